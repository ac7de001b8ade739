//! A small world of devices whose doings become batches, as the journal makes them; and stores to put
//! them in.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use crate::domain::event::{EventBody, Source};
use crate::domain::series::{Aggregate, HistoryQuery};
use crate::domain::twin::{Change, Registration};
use crate::domain::{Cause, DeviceId, DeviceNumber, Input, Json, Object, Recorded, Timestamp, Twin, payload};
use crate::mqtt::Outgoing;
use crate::store::{Batch, DeviceQuery, EventQuery, MemoryStore, SqlOptions, SqlStore, Store};

/// 2026-01-01T12:00:00Z
pub const NOON: i64 = 1_767_268_800_000;

/// Devices and what they have done since the last batch.
pub struct World {
    pub now: Timestamp,
    pub seq: u64,
    pub twins: BTreeMap<String, Twin>,
    numbers: i64,
    outgoing: u64,
    pending: Batch,
    events: Vec<Arc<Recorded>>,
}

impl World {
    pub fn new() -> Self {
        let now = Timestamp::from_millis(NOON);
        let pending = Batch {
            at: now,
            events: Arc::new([]),
            twins: Vec::new(),
            removed: Vec::new(),
            commands: Vec::new(),
            outgoing: Vec::new(),
            sent: Vec::new(),
        };
        Self { now, seq: 0, twins: BTreeMap::new(), numbers: 0, outgoing: 0, pending, events: Vec::new() }
    }

    pub fn wait(&mut self, millis: i64) {
        self.now = self.now.plus_millis(millis);
    }

    /// Readings as a payload; a device not heard of before registers itself.
    pub fn tell(&mut self, id: &str, payload: &str) {
        let telemetry = payload::telemetry(payload.as_bytes()).unwrap();
        self.input(id, Input::Telemetry(telemetry));
    }

    pub fn register(&mut self, id: &str, patch: &str) {
        self.input(id, Input::Register(Box::new(Registration { patch: object(patch) })));
    }

    pub fn change(&mut self, id: &str, patch: &str) {
        self.input(id, Input::Change(Box::new(Change { patch: object(patch), if_version: None })));
    }

    /// Removes a device, if it is there.
    pub fn remove(&mut self, id: &str) {
        let Some(number) = self.twins.get(id).map(|twin| twin.number) else { return };
        self.input(id, Input::Delete);
        self.twins.remove(id);
        self.pending.removed.push((self.seq, number));
    }

    /// A message for a device; gives its id.
    pub fn send(&mut self, topic: &str) -> u64 {
        self.outgoing += 1;
        let payload = bytes::Bytes::from_static(b"{}");
        self.pending.outgoing.push(Outgoing {
            id: self.outgoing,
            topic: topic.into(),
            payload,
            retain: true,
            until: None,
        });
        self.outgoing
    }

    pub fn sent(&mut self, id: u64) {
        self.pending.sent.push(id);
    }

    pub fn number(&self, id: &str) -> DeviceNumber {
        self.twins[id].number
    }

    /// What happened since the last batch.
    pub fn batch(&mut self) -> Batch {
        let batch = Batch {
            at: self.now,
            events: std::mem::take(&mut self.events).into(),
            twins: std::mem::take(&mut self.pending.twins),
            removed: std::mem::take(&mut self.pending.removed),
            commands: std::mem::take(&mut self.pending.commands),
            outgoing: std::mem::take(&mut self.pending.outgoing),
            sent: std::mem::take(&mut self.pending.sent),
        };
        self.pending.at = self.now;
        batch
    }

    fn input(&mut self, id: &str, input: Input) {
        let cause = Cause::new(Source::Mqtt, &format!("iot/devices/{id}/data"));
        if !self.twins.contains_key(id) {
            self.numbers += 1;
            let twin = Twin::new(DeviceId::parse(id).unwrap(), DeviceNumber(self.numbers), self.now);
            self.twins.insert(id.to_owned(), twin);
            if !matches!(input, Input::Register(_)) {
                self.input(id, Input::Appear);
            }
        }
        let twin = self.twins.get_mut(id).unwrap();
        let Ok(outcome) = twin.apply(input, self.now, &cause) else { return };
        let mut readings_only = true;
        for event in outcome.events {
            readings_only &= matches!(event.body, EventBody::Telemetry { .. });
            self.seq += 1;
            self.events.push(Arc::new(Recorded::new(self.seq, event)));
        }
        if !readings_only {
            self.pending.twins.push((self.seq, twin.clone()));
        }
    }
}

fn object(text: &str) -> Object {
    match text.parse().unwrap() {
        Json::Object(object) => object,
        other => panic!("{other} is no object"),
    }
}

/// A store under test, and the means to open it again.
pub struct Fixture {
    pub store: Arc<dyn Store>,
    sql: Option<(TempDir, SqlOptions)>,
}

impl Fixture {
    pub fn memory() -> Self {
        Self { store: Arc::new(MemoryStore::default()), sql: None }
    }

    pub async fn sql() -> Self {
        Self::sql_with(SqlOptions::default()).await
    }

    pub async fn sql_with(options: SqlOptions) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = open_in(&dir, &options).await;
        Self { store, sql: Some((dir, options)) }
    }

    pub async fn both() -> [Self; 2] {
        [Self::memory(), Self::sql().await]
    }

    /// As after a crash: whatever was only in memory is gone.
    pub async fn reopen(&mut self) {
        if let Some((dir, options)) = &self.sql {
            self.store = open_in(dir, options).await;
        }
    }

    pub fn path(&self) -> std::path::PathBuf {
        self.sql.as_ref().unwrap().0.path().join("test.db")
    }

    pub async fn commit(&self, batch: &Batch) {
        self.store.commit(batch).await.unwrap();
    }
}

/// One more store on the same database.
pub async fn open(fixture: &Fixture) -> Arc<SqlStore> {
    let (dir, options) = fixture.sql.as_ref().unwrap();
    open_in(dir, options).await
}

async fn open_in(dir: &TempDir, options: &SqlOptions) -> Arc<SqlStore> {
    let url = format!("sqlite:{}", dir.path().join("test.db").display());
    SqlStore::open(&url, options.clone()).await.unwrap()
}

/// Options that keep the journal for so long.
pub fn keeping_journal(keep_journal: Duration) -> SqlOptions {
    SqlOptions { keep_journal, ..SqlOptions::default() }
}

pub fn history(device: DeviceNumber) -> HistoryQuery {
    HistoryQuery {
        device,
        from: None,
        to: None,
        sensors: Vec::new(),
        limit: 1_000_000,
        newest_first: false,
        interval_ms: 60_000,
        aggregate: Aggregate::Avg,
    }
}

pub fn log() -> EventQuery {
    EventQuery { limit: 1_000_000, ..EventQuery::default() }
}

pub fn list() -> DeviceQuery {
    DeviceQuery { limit: 1_000, ..DeviceQuery::default() }
}

pub fn seqs(events: &[Arc<Recorded>]) -> Vec<u64> {
    events.iter().map(|recorded| recorded.seq).collect()
}

/// Everything that a store can be asked about `devices`, as text: two stores that answer alike tell the same.
pub async fn tell_all(store: &dyn Store, devices: &[(String, DeviceNumber)], now: Timestamp) -> String {
    use std::fmt::Write as _;
    let mut told = String::new();
    let head = store.head().await.unwrap();
    writeln!(told, "{head:?}").unwrap();
    let replayed = store.replay(0, u64::MAX, usize::MAX).await.unwrap();
    writeln!(told, "replay {} {:?}", replayed.pruned, describe(&replayed.events)).unwrap();
    for limit in [3, 1_000] {
        for newest_first in [false, true] {
            let query = EventQuery { limit, newest_first, since: Some(head.seq / 3), ..log() };
            writeln!(told, "events {:?}", describe(&store.events(&query).await.unwrap())).unwrap();
        }
    }
    let page = store.devices(&list()).await.unwrap();
    writeln!(told, "devices {} {:?}", page.total, page.twins).unwrap();
    for (id, device) in devices {
        let ids = [DeviceId::parse(id).unwrap()];
        writeln!(told, "{id} {device:?} {:?}", store.load(&ids).await.unwrap()).unwrap();
        for (limit, newest_first) in [(5, false), (5, true), (10_000, false), (10_000, true)] {
            let from = newest_first.then(|| now.plus_millis(-90_000));
            let to = (!newest_first && limit == 5).then(|| now.plus_millis(-5_000));
            let query = HistoryQuery { limit, newest_first, from, to, ..history(*device) };
            writeln!(told, "raw {:?}", store.raw_history(&query).await.unwrap()).unwrap();
            let by_minute = store.bucket_history(&query).await.unwrap();
            writeln!(told, "buckets {by_minute:?}").unwrap();
            let query = EventQuery { device: Some(*device), limit, newest_first, from, to, ..log() };
            writeln!(told, "log {:?}", describe(&store.events(&query).await.unwrap())).unwrap();
        }
    }
    told
}

fn describe(events: &[Arc<Recorded>]) -> Vec<String> {
    events.iter().map(|recorded| format!("{} {:?}", recorded.seq, recorded.event)).collect()
}
