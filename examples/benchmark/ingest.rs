//! Durable ingest, flat out, beside two limits measured in the same run: what the broker alone passes on
//! to one subscriber, and what a plain loop of prepared statements writes of the same rows. The aims: half
//! of the lower limit; on disk fifteen times, in memory five times what the fastest of four other systems
//! stored on such a machine (1,200 and 5,900 messages a second).

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rusqlite::Connection;
use rusqlite::types::Value;

use crate::Bench;
use crate::load::Load;
use crate::mqtt::MqttClient;
use crate::program::{BareBroker, COMMITTED, HubProgram};
use crate::report::{Aim, BenchmarkReport};

const DEVICES: u64 = 1_000;
const PATIENCE: Duration = Duration::from_secs(180);

/// One way to bring messages in.
struct IngestWay {
    name: &'static str,
    /// Mosquitto rather than the embedded broker.
    outside: bool,
    connections: u64,
    window: usize,
    /// The store lies in memory, to compare with others measured so.
    in_memory: bool,
}

const WAYS: [IngestWay; 5] = [
    IngestWay {
        name: "mosquitto, 4 connections",
        outside: true,
        connections: 4,
        window: 1_000,
        in_memory: false,
    },
    IngestWay {
        name: "mosquitto, 4 connections, in memory",
        outside: true,
        connections: 4,
        window: 1_000,
        in_memory: true,
    },
    IngestWay {
        name: "embedded, 4 connections",
        outside: false,
        connections: 4,
        window: 1_000,
        in_memory: false,
    },
    IngestWay {
        name: "embedded, 1,000 connections",
        outside: false,
        connections: 1_000,
        window: 20,
        in_memory: false,
    },
    IngestWay {
        name: "embedded, 1,000 connections, in memory",
        outside: false,
        connections: 1_000,
        window: 20,
        in_memory: true,
    },
];

/// Measures every way.
pub async fn run(bench: &Bench, report: &mut BenchmarkReport) -> Result<()> {
    for way in &WAYS {
        let outside = match (way.outside, &bench.mosquitto) {
            (false, _) => None,
            (true, Some(mosquitto)) => Some(mosquitto.address),
            (true, None) => {
                println!("  ingest, {}: left out, there is no Mosquitto here", way.name);
                continue;
            }
        };
        measure(bench, report, way, outside).await.with_context(|| format!("ingest, {}", way.name))?;
    }
    Ok(())
}

async fn measure(
    bench: &Bench,
    report: &mut BenchmarkReport,
    way: &IngestWay,
    outside: Option<SocketAddr>,
) -> Result<()> {
    let Some(dir) = (if way.in_memory { bench.memory_dir()? } else { Some(bench.disk_dir()?) }) else {
        return Ok(()); // no memory file system here
    };
    let load =
        Load { devices: DEVICES, messages: bench.messages, connections: way.connections, window: way.window };
    let hub = HubProgram::start(&bench.program, dir.path(), outside).await?;
    // Let every device appear first: that happens once in its life.
    Load::hello(DEVICES, way.connections.max(50)).publish(hub.mqtt, PATIENCE).await?;
    hub.committed(count(DEVICES), PATIENCE).await?;
    let (commits, before) = (hub.metric("twinhub_commits_total").await?, hub.metric(COMMITTED).await?);
    let began = Instant::now();
    load.publish(hub.mqtt, PATIENCE).await?;
    hub.committed(before + count(load.messages), PATIENCE).await?;
    let stored = count(load.messages) / began.elapsed().as_secs_f64();
    let batch = count(load.messages) / (hub.metric("twinhub_commits_total").await? - commits).max(1.0);
    hub.stop().await?;
    let IngestWay { name, in_memory, .. } = way;
    report.add(
        format!("stored, {name}"),
        stored,
        "msg/s",
        Aim::AtLeast(if *in_memory { 29_500.0 } else { 18_000.0 }),
    );
    report.add(format!("  messages a commit, {name}"), batch, "", Aim::None);

    let passed = match outside {
        Some(broker) => broker_alone(broker, load).await?,
        None => {
            let bare = BareBroker::start().await?;
            broker_alone(bare.address, load).await?
        }
    };
    let written = plain_loop(bench, dir.path(), *in_memory, load.messages + DEVICES)?;
    report.add(format!("  broker alone to one subscriber, {name}"), passed, "msg/s", Aim::None);
    report.add(format!("  prepared statements, same rows, {name}"), written, "msg/s", Aim::None);
    let aim = if *in_memory { Aim::None } else { Aim::AtLeast(0.5) };
    report.add(format!("  stored ÷ the lower of both, {name}"), stored / passed.min(written), "", aim);
    Ok(())
}

/// The same messages through the broker to one QoS 1 subscriber that does nothing with them.
pub async fn broker_alone(broker: SocketAddr, load: Load) -> Result<f64> {
    let mut subscriber = MqttClient::connect(broker, "limit").await?;
    subscriber.subscribe("iot/devices/#").await?;
    let began = Instant::now();
    let received = tokio::spawn(async move { subscriber.receive(load.messages).await });
    load.publish(broker, PATIENCE).await?;
    tokio::time::timeout(PATIENCE, received).await???;
    Ok(count(load.messages) / began.elapsed().as_secs_f64())
}

/// Writes every row that the hub wrote into a database like it, the journal's rows one a transaction as
/// the hub does, all others in transactions of a thousand.
fn plain_loop(bench: &Bench, data: &Path, in_memory: bool, messages: u64) -> Result<f64> {
    let theirs = Connection::open(data.join("twinhub.db"))?;
    let tables = tables(&theirs)?;
    let dir = if in_memory { bench.memory_dir()?.context("there was one")? } else { bench.disk_dir()? };
    let mut ours = Connection::open(dir.path().join("plain.db"))?;
    ours.pragma_update(None, "journal_mode", "wal")?;
    ours.pragma_update(None, "synchronous", "full")?;
    let mut took = Duration::ZERO;
    for (table, create) in tables {
        ours.execute_batch(&create)?;
        let (rows, columns) = rows(&theirs, &table)?;
        let in_transaction = if table.contains("journal") { 1 } else { 1_000 };
        let places = vec!["?"; columns].join(",");
        let began = Instant::now();
        for batch in rows.chunks(in_transaction) {
            let transaction = ours.transaction()?;
            let mut insert =
                transaction.prepare_cached(&format!("INSERT INTO \"{table}\" VALUES ({places})"))?;
            for row in batch {
                insert.execute(rusqlite::params_from_iter(row))?;
            }
            drop(insert);
            transaction.commit()?;
        }
        took += began.elapsed();
    }
    Ok(count(messages) / took.as_secs_f64())
}

fn tables(from: &Connection) -> Result<Vec<(String, String)>> {
    let mut select = from.prepare(
        "SELECT name, sql FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' \
         AND name NOT LIKE 'seaql_%'",
    )?;
    let tables = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
    Ok(tables)
}

fn rows(from: &Connection, table: &str) -> Result<(Vec<Vec<Value>>, usize)> {
    let mut select = from.prepare(&format!("SELECT * FROM \"{table}\""))?;
    let columns = select.column_count();
    let rows = select.query_map([], |row| (0..columns).map(|column| row.get(column)).collect())?;
    Ok((rows.collect::<Result<_, _>>()?, columns))
}

#[expect(clippy::cast_precision_loss, reason = "counts of messages are far below 2^53")]
pub fn count(number: u64) -> f64 {
    number as f64
}
