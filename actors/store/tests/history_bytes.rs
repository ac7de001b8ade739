//! The bytes that a reading takes on the disk, of fixed work: devices that tell three quantities with one decimal every
//! ten seconds, give or take 40 ms.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::path::Path;
use std::sync::Arc;

use twinhub_domain::cause::Source;
use twinhub_domain::event::{ChangeKind, TwinChange};
use twinhub_domain::twin::Patch;
use twinhub_domain::{
    Cause, DeviceId, DeviceNumber, Event, EventBody, Number, Object, Reading, Recorded, Scalar, Timestamp,
    Twin,
};
use twinhub_store::{Batch, SqlOptions, SqlStore, Store};

/// 2026-01-01T12:00:00Z
const NOON: i64 = 1_767_268_800_000;
const DEVICES: i64 = 40;
/// Two hours of each.
const MESSAGES: i64 = 720;
const READINGS: i64 = DEVICES * MESSAGES * 3;
/// Messages in a commit, as at a few hundred a second.
const IN_COMMIT: usize = 8;

/// The same numbers each time, none of which seems to have to do with another.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: i64) -> i64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        i64::try_from(self.0 >> 33).unwrap() % limit
    }
}

struct Work {
    chance: Chance,
    /// In tenths.
    values: Vec<[i64; 3]>,
    seq: u64,
}

impl Work {
    fn new() -> Self {
        let values = (0..DEVICES).map(|n| [200 + n, 550 - n, 10_132]).collect();
        Self { chance: Chance(7), values, seq: 0 }
    }

    fn message(&mut self, device: i64, at: i64) -> Arc<Recorded> {
        let values = &mut self.values[usize::try_from(device).unwrap()];
        let names = ["temperature", "humidity", "pressure"];
        let readings = names.into_iter().zip(values).map(|(name, value)| {
            *value += self.chance.below(3) - 1;
            let text = format!("{}.{}", *value / 10, *value % 10);
            let value = Scalar::Number(Number::parse(&text).unwrap());
            Reading { name: name.into(), value, unit: None, quality_score: None }
        });
        let body = EventBody::Telemetry {
            readings: readings.collect(),
            identity: None,
            claimed: None,
            payload: None,
        };
        self.recorded(device, at, body)
    }

    fn recorded(&mut self, device: i64, at: i64, body: EventBody) -> Arc<Recorded> {
        let (id, at) = (format!("device-{device:04}"), Timestamp::from_millis(at));
        let cause = Cause::new(Source::Mqtt, &format!("iot/devices/{id}/data"));
        self.seq += 1;
        let (device, number) = (DeviceId::parse(&id).unwrap(), DeviceNumber(device + 1));
        Arc::new(Recorded::new(
            self.seq,
            Event { device, number, at: at.into(), received_at: at, body, cause },
        ))
    }

    /// Registers all devices.
    fn first(&mut self) -> Batch {
        let mut batch = Batch::empty(Timestamp::from_millis(NOON));
        let mut events = Vec::new();
        for device in 0..DEVICES {
            let patch = Patch::read(Object::default());
            let registered = TwinChange { change: ChangeKind::Registered, patch };
            let event = self.recorded(device, NOON, EventBody::Twin(registered));
            let Event { device, number, at, .. } = &event.event;
            batch.twins.push((event.seq, Twin::new(device.clone(), *number, at.floor())));
            events.push(event);
        }
        Batch { events: events.into(), ..batch }
    }
}

fn asked(path: &Path, question: &str) -> i64 {
    rusqlite::Connection::open(path).unwrap().query_row(question, [], |row| row.get(0)).unwrap()
}

#[expect(clippy::cast_precision_loss, reason = "for a ratio")]
fn a_reading(bytes: i64) -> f64 {
    bytes as f64 / READINGS as f64
}

#[tokio::test]
async fn a_reading_takes_few_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("twinhub.db");
    let store = SqlStore::open(&format!("sqlite:{}", path.display()), SqlOptions::default()).await.unwrap();
    let mut work = Work::new();
    let mut first = work.first();
    store.commit(&mut first).await.unwrap();
    let mut now = NOON;
    for round in 0..MESSAGES {
        let mut events = Vec::new();
        for device in 0..DEVICES {
            let at = NOON + round * 10_000 + device * 10_000 / DEVICES + work.chance.below(80) - 40;
            events.push(work.message(device, at));
        }
        now = NOON + (round + 1) * 10_000;
        for some in events.chunks(IN_COMMIT) {
            let mut batch = Batch { events: some.into(), ..Batch::empty(Timestamp::from_millis(now)) };
            store.commit(&mut batch).await.unwrap();
        }
        store.maintain(Timestamp::from_millis(now)).await.unwrap();
    }
    let pieces = asked(&path, "SELECT count(*) FROM pieces");
    assert!(pieces <= DEVICES * 64, "{pieces} pieces while the day goes on");
    // The day is over: all is sealed and packed.
    now += 26 * 3_600_000;
    for _ in 0..10 {
        store.maintain(Timestamp::from_millis(now)).await.unwrap();
    }
    assert_eq!(asked(&path, "SELECT count(*) FROM pieces"), 0);
    let rewritten = store.rewritten();
    store.close().await;

    assert_eq!(asked(&path, "SELECT sum(count) FROM chunks"), DEVICES * MESSAGES);
    let sealed = asked(&path, "SELECT sum(length(sealed)) FROM chunks");
    let summaries = asked(&path, "SELECT sum(length(summary)) FROM chunks");
    let journal = asked(&path, "SELECT sum(length(body)) FROM journal");
    let (chunks, blocks) =
        (asked(&path, "SELECT count(*) FROM chunks"), asked(&path, "SELECT count(*) FROM journal"));
    let pages =
        |of: &str| asked(&path, &format!("SELECT coalesce(sum(pgsize), 0) FROM dbstat WHERE name {of}"));
    let chunk_pages = pages("LIKE '%chunks%'");
    let journal_pages = pages("= 'journal'");
    println!(
        "a reading: sealed {:.2}, summaries {:.2}, pages of chunks and their indexes {:.2} ({chunks} chunks), journal {:.2}, \
         its pages {:.2} ({blocks} blocks); messages written anew: {rewritten} of {}",
        a_reading(sealed),
        a_reading(summaries),
        a_reading(chunk_pages),
        a_reading(journal),
        a_reading(journal_pages),
        DEVICES * MESSAGES,
    );
    assert!(a_reading(sealed) <= SEALED && a_reading(journal) <= JOURNAL);
    assert!(a_reading(chunk_pages) <= CHUNK_PAGES && a_reading(journal_pages) <= JOURNAL_PAGES);
    assert!(i64::try_from(rewritten).unwrap() <= DEVICES * MESSAGES * 5 / 2);
}

/// The bounds, with some room.
const SEALED: f64 = 2.5;
const JOURNAL: f64 = 6.0;
const CHUNK_PAGES: f64 = 4.0;
const JOURNAL_PAGES: f64 = 8.0;
