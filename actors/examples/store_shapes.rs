//! A comparison of shapes for the table of readings. Three are filled with the same messages in the same batches, each
//! batch durable (`synchronous=FULL`) before the next, and asked the same two questions.
//!
//! ```sh
//! cargo run --release -p twinhub-actors --example store_shapes [messages]
//! ```
//! A thousand devices send three readings a message, all within one day; one of them sends every ten seconds
//! (8,640 messages). The questions: that device's day in 5-minute means, and the last 100 messages of another.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::{Connection, params};
use twinhub_domain::cause::Source;
use twinhub_domain::event::{ChangeKind, TwinChange};
use twinhub_domain::series::{Aggregate, HistoryQuery, Interval};
use twinhub_domain::{
    Cause, DeviceId, DeviceNumber, Event, EventBody, Number, Reading, Recorded, Scalar, Timestamp, Twin,
};
use twinhub_store::{Batch, SqlOptions, SqlStore, Store};

type Outcome<T> = Result<T, Box<dyn Error>>;

const DEVICES: u64 = 1_000;
const DAY_MS: u64 = 86_400_000;
const START: i64 = 1_767_225_600_000; // 2026-01-01T00:00:00Z
/// One message in so many is of the device with the long day.
const EVERY: u64 = 390;
/// 8,640 times that: ten million readings.
const MESSAGES: u64 = 8_640 * EVERY;
const BATCH: u16 = 256;
/// Order is made after so many messages: what comes in within five seconds at 20,000 a second.
const MAINTAIN_EVERY: u64 = 100_000;
const SENSORS: [(&str, &str); 3] = [("temperature", "°C"), ("humidity", "%"), ("pressure", "hPa")];
const FIVE_MINUTES: i64 = 300_000;
/// The device with the long day, and another.
const LONG: i64 = 0;
const OTHER: i64 = 7;

/// A message: what each shape is given.
struct ShapeMessage {
    device: i64,
    at: i64,
    /// In hundredths.
    values: [i64; 3],
}

/// The measurements of one shape.
struct ShapeCosts {
    shape: &'static str,
    ingest: Duration,
    bytes: u64,
    day: Duration,
    last: Duration,
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let messages = std::env::args().nth(1).map_or(Ok(MESSAGES), |text| text.parse())?;
    let dir = tempfile::tempdir()?;
    println!("{messages} messages, {} readings", messages * 3);
    println!(
        "{:42} {:>11} {:>11} {:>6} {:>8} {:>8}",
        "shape", "messages/s", "readings/s", "MB", "day ms", "last ms"
    );
    row_a_reading(&dir.path().join("readings.db"), messages)?.print(messages);
    row_a_message(&dir.path().join("messages.db"), messages)?.print(messages);
    row_a_batch(&dir.path().join("batches.db"), messages).await?.print(messages);
    Ok(())
}

impl ShapeCosts {
    fn print(&self, messages: u64) {
        let Self { shape, ingest, bytes, day, last } = self;
        #[expect(clippy::cast_precision_loss, reason = "for reading")]
        let rate = messages as f64 / ingest.as_secs_f64();
        println!(
            "{shape:42} {rate:>11.0} {:>11.0} {:>6} {:>8.2} {:>8.2}",
            rate * 3.0,
            bytes / 1_000_000,
            day.as_secs_f64() * 1e3,
            last.as_secs_f64() * 1e3,
        );
    }
}

fn message(index: u64, messages: u64) -> ShapeMessage {
    let device = if index.is_multiple_of(EVERY) { LONG } else { 1 + signed(index % (DEVICES - 1)) };
    let at = START + signed(index * DAY_MS / messages);
    let noise = signed(index.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56);
    ShapeMessage { device, at, values: [2_000 + noise, 4_500 + noise * 3, 101_300 + noise] }
}

/// Small numbers, for the database.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn batches(messages: u64) -> impl Iterator<Item = Vec<ShapeMessage>> {
    (0..messages).step_by(usize::from(BATCH)).map(move |first| {
        (first..messages.min(first + u64::from(BATCH))).map(|index| message(index, messages)).collect()
    })
}

/// (a) A row a reading, clustered by series and time, small integer keys.
fn row_a_reading(path: &Path, messages: u64) -> Outcome<ShapeCosts> {
    let mut sql = plain(path)?;
    sql.execute_batch(
        "CREATE TABLE readings (series INTEGER, at INTEGER, seq INTEGER, value REAL, \
         PRIMARY KEY (series, at, seq)) WITHOUT ROWID",
    )?;
    let mut ingest = Duration::ZERO;
    let mut seq = 0i64;
    for batch in batches(messages) {
        let began = Instant::now();
        let transaction = sql.transaction()?;
        {
            let mut insert = transaction.prepare_cached("INSERT INTO readings VALUES (?1, ?2, ?3, ?4)")?;
            for message in &batch {
                seq += 1;
                for (sensor, hundredths) in (0i64..).zip(message.values) {
                    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
                    let value = hundredths as f64 / 100.0;
                    insert.execute(params![message.device * 8 + sensor, message.at, seq, value])?;
                }
            }
        }
        transaction.commit()?;
        ingest += began.elapsed();
    }
    let day = median(|| {
        let mut query = sql.prepare_cached(
            "SELECT series, at / ?2, avg(value) FROM readings WHERE series BETWEEN ?1 AND ?1 + 2 GROUP BY 1, 2",
        )?;
        let rows = query.query_map(params![LONG * 8, FIVE_MINUTES], |row| row.get::<_, f64>(2))?;
        Ok(rows.collect::<Result<Vec<_>, _>>()?.len())
    })?;
    let last = median(|| {
        let mut query = sql
            .prepare_cached("SELECT at, value FROM readings WHERE series = ?1 ORDER BY at DESC LIMIT 100")?;
        let mut found = 0;
        for sensor in 0..3 {
            let rows = query.query_map(params![OTHER * 8 + sensor], |row| row.get::<_, f64>(1))?;
            found += rows.collect::<Result<Vec<_>, _>>()?.len();
        }
        Ok(found)
    })?;
    Ok(ShapeCosts { shape: "(a) a row a reading, by series and time", ingest, bytes: size(path)?, day, last })
}

/// (b) A row a message with its readings packed, clustered by device and time.
fn row_a_message(path: &Path, messages: u64) -> Outcome<ShapeCosts> {
    let mut sql = plain(path)?;
    sql.execute_batch(
        "CREATE TABLE messages (device INTEGER, at INTEGER, seq INTEGER, body BLOB, \
         PRIMARY KEY (device, at, seq)) WITHOUT ROWID",
    )?;
    let mut ingest = Duration::ZERO;
    let mut seq = 0i64;
    for batch in batches(messages) {
        let began = Instant::now();
        let transaction = sql.transaction()?;
        {
            let mut insert = transaction.prepare_cached("INSERT INTO messages VALUES (?1, ?2, ?3, ?4)")?;
            for message in &batch {
                seq += 1;
                let mut body = Vec::with_capacity(32);
                for (sensor, hundredths) in (0u8..).zip(message.values) {
                    body.push(sensor);
                    body.extend(hundredths.to_le_bytes());
                }
                insert.execute(params![message.device, message.at, seq, body])?;
            }
        }
        transaction.commit()?;
        ingest += began.elapsed();
    }
    let day = median(|| {
        let mut query = sql.prepare_cached("SELECT at, body FROM messages WHERE device = ?1")?;
        let mut rows = query.query(params![LONG])?;
        let mut sums = std::collections::BTreeMap::<(u8, i64), (f64, u64)>::new();
        while let Some(row) = rows.next()? {
            let (at, body): (i64, Vec<u8>) = (row.get(0)?, row.get(1)?);
            for reading in body.chunks_exact(9) {
                let hundredths = i64::from_le_bytes(reading[1..].try_into()?);
                let sum = sums.entry((reading[0], at / FIVE_MINUTES)).or_default();
                #[expect(clippy::cast_precision_loss, reason = "small numbers")]
                let value = hundredths as f64 / 100.0;
                *sum = (sum.0 + value, sum.1 + 1);
            }
        }
        Ok(sums.len())
    })?;
    let last = median(|| {
        let mut query =
            sql.prepare_cached("SELECT at, body FROM messages WHERE device = ?1 ORDER BY at DESC LIMIT 100")?;
        let rows = query.query_map(params![OTHER], |row| row.get::<_, Vec<u8>>(1))?;
        Ok(rows.collect::<Result<Vec<_>, _>>()?.len() * 3)
    })?;
    Ok(ShapeCosts { shape: "(b) a row a message, by device and time", ingest, bytes: size(path)?, day, last })
}

/// (c) A row a batch, order made behind: the store itself, the making of order included.
async fn row_a_batch(path: &Path, messages: u64) -> Outcome<ShapeCosts> {
    let store = SqlStore::open(&format!("sqlite:{}", path.display()), SqlOptions::default()).await?;
    let mut seq = register(&store).await?;
    let mut ingest = Duration::ZERO;
    let mut since = 0;
    for batch in batches(messages) {
        let events: Arc<[Arc<Recorded>]> = batch
            .iter()
            .map(|message| {
                seq += 1;
                Arc::new(Recorded::new(seq, event(message)))
            })
            .collect();
        since += batch.len() as u64;
        let mut batch = of(events, Vec::new());
        let began = Instant::now();
        store.commit(&mut batch).await?;
        if since >= MAINTAIN_EVERY {
            since = 0;
            store.maintain(batch.at).await?;
        }
        ingest += began.elapsed();
    }
    let began = Instant::now();
    store.maintain(Timestamp::from_millis(START)).await?;
    ingest += began.elapsed();
    let query = |device: i64, limit: usize| HistoryQuery {
        device: number(device),
        from: None,
        to: None,
        sensors: Vec::new(),
        min_quality: None,
        limit,
        newest_first: true,
        interval: Some(Interval::Fixed(FIVE_MINUTES)),
        aggregate: Aggregate::Avg,
    };
    let (day, last) = (query(LONG, 10_000), query(OTHER, 300));
    let (mut days, mut lasts) = (Vec::new(), Vec::new());
    for _ in 0..9 {
        let began = Instant::now();
        store.bucket_history(&day).await?;
        days.push(began.elapsed());
        let began = Instant::now();
        store.raw_history(&last).await?;
        lasts.push(began.elapsed());
    }
    days.sort();
    lasts.sort();
    let shape = "(c) a row a batch, order made behind";
    Ok(ShapeCosts { shape, ingest, bytes: size(path)?, day: days[4], last: lasts[4] })
}

async fn register(store: &SqlStore) -> Outcome<u64> {
    let mut events = Vec::new();
    let mut twins = Vec::new();
    for (seq, device) in (1..=DEVICES).zip(0i64..) {
        let at = Timestamp::from_millis(START);
        let mut twin = Twin::new(id(device)?, number(device), at);
        let event = Event {
            device: twin.id.clone(),
            number: twin.number,
            at: at.into(),
            received_at: at,
            body: EventBody::Twin(TwinChange::empty(ChangeKind::Registered)),
            cause: Cause::hub(),
        };
        twin.redo(&event);
        twins.push((seq, twin));
        events.push(Arc::new(Recorded::new(seq, event)));
    }
    store.commit(&mut of(events.into(), twins)).await?;
    Ok(DEVICES)
}

fn of(events: Arc<[Arc<Recorded>]>, twins: Vec<(u64, Twin)>) -> Batch {
    let at = events.last().map_or_else(Timestamp::default, |last| last.event.received_at);
    Batch { events, twins, ..Batch::empty(at) }
}

fn event(message: &ShapeMessage) -> Event {
    let reading = |((name, unit), hundredths): (&(&str, &str), &i64)| Reading {
        name: (*name).into(),
        value: Scalar::Number(
            Number::parse(&format!("{}.{:02}", hundredths / 100, hundredths % 100))
                .unwrap_or_else(|| Number::from(0)),
        ),
        unit: Some((*unit).into()),
        quality_score: None,
    };
    let at = Timestamp::from_millis(message.at);
    let readings = SENSORS.iter().zip(&message.values).map(reading).collect();
    Event {
        // The name of a number is a good id.
        device: id(message.device).unwrap_or_else(|_| unreachable!()),
        number: number(message.device),
        at: at.into(),
        received_at: at,
        body: EventBody::Telemetry { readings, identity: None, claimed: None, payload: None },
        cause: Cause::new(Source::Mqtt, &format!("iot/devices/device-{}/data", message.device)),
    }
}

fn id(device: i64) -> Outcome<DeviceId> {
    Ok(DeviceId::parse(&format!("device-{device}"))?)
}

fn number(device: i64) -> DeviceNumber {
    DeviceNumber(device + 1)
}

fn plain(path: &Path) -> Outcome<Connection> {
    let sql = Connection::open(path)?;
    sql.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -8192")?;
    Ok(sql)
}

fn median(mut ask: impl FnMut() -> Outcome<usize>) -> Outcome<Duration> {
    let mut times = Vec::new();
    for _ in 0..9 {
        let began = Instant::now();
        ask()?;
        times.push(began.elapsed());
    }
    times.sort();
    Ok(times[4])
}

fn size(path: &Path) -> Outcome<u64> {
    Ok(std::fs::metadata(path)?.len())
}
