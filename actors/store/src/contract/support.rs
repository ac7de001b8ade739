//! A small world of devices whose doings become batches, as the journal makes them; and stores to put
//! them in.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use crate::Keeping;
use crate::{
    AutomationChanges, Batch, CommandQuery, CommandRecord, DeviceQuery, EventQuery, FleetChanges,
    MemoryStore, SqlOptions, SqlStore, Store,
};
use twinhub_domain::cause::Source;
use twinhub_domain::event::EventBody;
use twinhub_domain::fleet::{Layer, Lifecycle};
use twinhub_domain::reading::ClockWindow;
use twinhub_domain::series::{Aggregate, HistoryQuery, Interval};
use twinhub_domain::twin::presence::FIRST_SILENCE_MS;
use twinhub_domain::twin::{Change, Registration};
use twinhub_domain::twin::{LayerLookup, SilenceRule, UnknownListeners};
use twinhub_domain::{
    Cause, Command, CommandId, CommandRequest, CommandResult, DeviceId, DeviceNumber, Event, Input, Json,
    Mode, Object, Recorded, Telemetry, Timestamp, Twin, payload,
};
use twinhub_domain::{Outgoing, Purpose};

/// 2026-01-01T12:00:00Z
pub const NOON: i64 = 1_767_268_800_000;

/// Devices, and their changes since the last batch.
pub struct TestFleet {
    pub now: Timestamp,
    pub seq: u64,
    pub twins: BTreeMap<String, Twin>,
    /// By their ids.
    pub templates: TemplateLayers,
    /// The commands of the devices that there are, as far as they have come.
    pub commands: BTreeMap<CommandId, CommandRecord>,
    numbers: i64,
    outgoing: u64,
    asked: u64,
    pending: Batch,
    /// Automation's part of the next batch.
    pub automation: AutomationChanges,
    /// The fleet's part of it.
    pub fleet: FleetChanges,
    events: Vec<Arc<Recorded>>,
}

/// The layers of templates.
#[derive(Default)]
pub struct TemplateLayers(BTreeMap<String, Arc<Layer>>);

impl TemplateLayers {
    /// Makes a template of this layer, or changes it.
    pub fn put(&mut self, layer: &str) {
        let layer = Layer::read(&object(layer)).unwrap();
        self.0.insert(layer.template.to_string(), Arc::new(layer));
    }
}

impl LayerLookup for TemplateLayers {
    fn layer(&self, id: &str) -> Option<Arc<Layer>> {
        self.0.get(id).cloned()
    }
}

impl TestFleet {
    pub fn new() -> Self {
        let now = Timestamp::from_millis(NOON);
        let pending = Batch::empty(now);
        let (twins, commands) = (BTreeMap::new(), BTreeMap::new());
        let (automation, fleet, events) = (AutomationChanges::default(), FleetChanges::default(), Vec::new());
        Self {
            now,
            seq: 0,
            twins,
            templates: TemplateLayers::default(),
            commands,
            numbers: 0,
            outgoing: 0,
            asked: 0,
            pending,
            automation,
            fleet,
            events,
        }
    }

    pub fn wait(&mut self, millis: i64) {
        self.now = self.now.plus_millis(millis);
    }

    /// Readings as a payload; a device not heard of before registers itself.
    pub fn tell(&mut self, id: &str, payload: &str) {
        let telemetry = payload::telemetry(payload.as_bytes()).unwrap();
        // The text of the payload is kept in memory alone: what is read from the store has none.
        self.input(id, Input::Telemetry(Telemetry { payload: None, ..telemetry }));
    }

    /// The same of a device whose time is believed whatever it is.
    pub fn tell_believed(&mut self, id: &str, payload: &str) {
        let telemetry = payload::telemetry(payload.as_bytes()).unwrap();
        self.input(id, Input::Telemetry(Telemetry { window: ClockWindow::ANY, payload: None, ..telemetry }));
    }

    pub fn register(&mut self, id: &str, patch: &str) {
        self.input(id, Input::Register(Box::new(Registration { patch: object(patch) })));
    }

    pub fn change(&mut self, id: &str, patch: &str) {
        self.input(id, Input::Change(Box::new(Change { patch: object(patch) })));
    }

    /// Removes a device, if it is there.
    pub fn remove(&mut self, id: &str) {
        let Some(number) = self.twins.get(id).map(|twin| twin.number) else { return };
        self.input(id, Input::Delete);
        self.twins.remove(id);
        self.commands.retain(|_, record| record.number != number);
        self.pending.removed.push((self.seq, number));
    }

    /// Requests a command of a device; gives its id. A repeat gives the first one's.
    pub fn command(&mut self, id: &str, request: &CommandRequest) -> CommandId {
        // In no order but the time's: those of one moment are told apart by what looks like chance.
        self.asked += 1;
        let chance = self.asked.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let time = u128::from(self.now.millis().unsigned_abs());
        let new = CommandId(uuid::Uuid::from_u128(time << 80 | u128::from(chance)));
        let known = request.idempotency_key.as_deref().and_then(|key| self.with_key(id, key)).cloned();
        let before = known.as_ref().map(|known| known.command.id);
        let known = known.map(|known| Box::new(known.command));
        self.input(id, Input::Command { id: new, request: Box::new(request.clone()), known, is_new: false });
        before.unwrap_or(new)
    }

    /// The device reports the result of a command.
    pub fn answer(&mut self, command: CommandId, answer: &str) {
        let Some((id, known)) = self.known(command) else { return };
        let answer = CommandResult::read(answer.as_bytes()).unwrap();
        self.input(&id, Input::CommandResult { id: command, answer: Box::new(answer), known });
    }

    pub fn cancel(&mut self, command: CommandId) {
        let Some((id, known)) = self.known(command) else { return };
        self.input(&id, Input::Cancel { id: command, known });
    }

    /// The device comes, or goes.
    pub fn presence(&mut self, id: &str, online: bool) {
        self.input(id, Input::Presence { online, details: Object::default() });
    }

    pub fn set_mode(&mut self, id: &str, mode: Mode, until: Option<Timestamp>) {
        self.input(id, Input::SetMode { mode, until });
    }

    /// A person sets the state of its lifecycle.
    pub fn live(&mut self, id: &str, state: Lifecycle) {
        self.input(id, Input::SetLifecycle { state, reason: "".into() });
    }

    /// Wakes the twin.
    pub fn wake(&mut self, id: &str) {
        let hearing = SilenceRule { since: Timestamp::from_millis(NOON), first_silence_ms: FIRST_SILENCE_MS };
        self.input(id, Input::Wake { hearing, first_id: CommandId(uuid::Uuid::nil()) });
    }

    /// An event that changes no twin; gives its `seq`. It is no device's where there is none.
    pub fn happen(&mut self, device: Option<(&str, DeviceNumber)>, body: EventBody) -> u64 {
        let id = device.map_or_else(DeviceId::none, |(id, _)| DeviceId::parse(id).unwrap());
        let number = device.map_or(DeviceNumber(0), |(_, number)| number);
        let (at, cause) = (self.now, Cause::new(Source::Rule, "cool"));
        self.seq += 1;
        let event = Event { device: id, number, at: at.into(), received_at: at, body, cause };
        self.events.push(Arc::new(Recorded::new(self.seq, event)));
        self.seq
    }

    /// The latest command of this device with this key.
    pub fn with_key(&self, id: &str, key: &str) -> Option<&CommandRecord> {
        self.commands
            .values()
            .filter(|record| record.device.as_str() == id)
            .filter(|record| record.command.request.idempotency_key.as_deref() == Some(key))
            .max_by_key(|record| (record.command.created_at, record.command.id))
    }

    /// The device of a command, and the command in the store where the twin has let it go.
    fn known(&self, command: CommandId) -> Option<(String, Option<Box<Command>>)> {
        let CommandRecord { device, command, .. } = self.commands.get(&command)?;
        let known = command.status.is_final().then(|| Box::new(command.clone()));
        Some((device.to_string(), known))
    }

    /// A message for a device; gives its id.
    pub fn send(&mut self, topic: &str) -> u64 {
        self.send_until(topic, None)
    }

    /// The same, wanted no more after `until`.
    pub fn send_until(&mut self, topic: &str, until: Option<Timestamp>) -> u64 {
        self.outgoing += 1;
        let payload = bytes::Bytes::from_static(b"{}");
        self.pending.outgoing.push(Outgoing {
            id: self.outgoing,
            topic: topic.into(),
            payload,
            retain: true,
            until,
            purpose: Purpose::parse(&format!(
                "pump-1 command {} 3",
                uuid::Uuid::from_u128(self.outgoing.into())
            ))
            .map(Box::new),
        });
        self.outgoing
    }

    pub fn sent(&mut self, id: u64) {
        self.pending.sent.push(id);
    }

    /// The twins that there are, as a list has them.
    pub fn twins_by_number(&self) -> Vec<Twin> {
        let mut twins: Vec<Twin> = self.twins.values().cloned().collect();
        twins.sort_unstable_by_key(|twin| twin.number);
        twins
    }

    pub fn number(&self, id: &str) -> DeviceNumber {
        self.twins[id].number
    }

    /// The events since the last batch.
    pub fn batch(&mut self) -> Batch {
        let events: Arc<[Arc<Recorded>]> = std::mem::take(&mut self.events).into();
        let automation = std::mem::take(&mut self.automation);
        let fleet = std::mem::take(&mut self.fleet);
        let batch = std::mem::replace(&mut self.pending, Batch::empty(self.now));
        Batch { at: self.now, events, automation, fleet, ..batch }
    }

    pub fn input(&mut self, id: &str, input: Input) {
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
        let taken = twin.apply_before(&UnknownListeners, &self.templates, input, self.now, &cause);
        let Ok(outcome) = taken else { return };
        if !outcome.repeated {
            for command in outcome.commands {
                let record = CommandRecord { device: twin.id.clone(), number: twin.number, command };
                self.pending.commands.retain(|pending| pending.command.id != record.command.id);
                self.pending.commands.push(record.clone());
                self.commands.insert(record.command.id, record);
            }
        }
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

/// A command request: `{"command_type": "reboot", …}`, as the API takes it.
pub fn asked(request: &str) -> CommandRequest {
    CommandRequest::parse(object(request)).unwrap()
}

/// The same with an idempotency key.
pub fn asked_once(request: &str, key: &str) -> CommandRequest {
    CommandRequest { idempotency_key: Some(key.into()), ..asked(request) }
}

pub fn object(text: &str) -> Object {
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

    /// Stores whose journals go back this far.
    pub async fn both_keeping_journal(keep_journal: Duration) -> [Self; 2] {
        let memory = MemoryStore::keeping_journal(keep_journal);
        [Self { store: Arc::new(memory), sql: None }, Self::sql_with(keeping_journal(keep_journal)).await]
    }

    /// As after a crash: whatever was only in memory is gone.
    pub async fn reopen(&mut self) {
        if let Some((dir, options)) = &self.sql {
            self.store = open_in(dir, options).await;
        }
    }

    pub fn is_sql(&self) -> bool {
        self.sql.is_some()
    }

    pub fn path(&self) -> std::path::PathBuf {
        self.sql.as_ref().unwrap().0.path().join("test.db")
    }

    pub async fn commit(&self, batch: &mut Batch) {
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

/// The number of rows in a table of `fixture`'s database.
pub fn rows(fixture: &Fixture, table: &str) -> i64 {
    let sql = rusqlite::Connection::open(fixture.path()).unwrap();
    sql.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
}

/// The database's plan for a statement on `fixture`, a line a step.
pub fn plan(fixture: &Fixture, statement: &str) -> String {
    let sql = rusqlite::Connection::open(fixture.path()).unwrap();
    let mut explain = sql.prepare(&format!("EXPLAIN QUERY PLAN {statement}")).unwrap();
    let steps = explain.query_map([], |row| row.get::<_, String>("detail")).unwrap();
    steps.map(Result::unwrap).collect::<Vec<_>>().join("\n")
}

/// Options with this retention of the journal.
pub fn keeping_journal(keep_journal: Duration) -> SqlOptions {
    SqlOptions { keeping: Keeping { journal: keep_journal, ..Keeping::default() }, ..SqlOptions::default() }
}

pub fn history(device: DeviceNumber) -> HistoryQuery {
    HistoryQuery {
        device,
        from: None,
        to: None,
        sensors: Vec::new(),
        min_quality: None,
        limit: 1_000_000,
        newest_first: false,
        interval: Some(Interval::Fixed(60_000)),
        aggregate: Aggregate::Avg,
    }
}

pub fn log() -> EventQuery {
    EventQuery { limit: 1_000_000, ..EventQuery::default() }
}

pub fn list() -> DeviceQuery {
    DeviceQuery { limit: 1_000, ..DeviceQuery::default() }
}

pub fn commands() -> CommandQuery {
    CommandQuery { limit: 1_000, ..CommandQuery::default() }
}

pub fn seqs(events: &[Arc<Recorded>]) -> Vec<u64> {
    events.iter().map(|recorded| recorded.seq).collect()
}

/// A database that stores are opened on, one after the other.
pub struct SqlFixture(TempDir);

impl SqlFixture {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub async fn open(&self) -> Arc<SqlStore> {
        open_in(&self.0, &SqlOptions::default()).await
    }
}
