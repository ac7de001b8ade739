//! The bytes that a reading takes in the store: in the history of days that are over, and in the journal. Three kinds of
//! series, as devices send them: a slow temperature with one decimal, a power meter with steps and noise, and a track
//! of positions. Sizes are read out of the database file, contents and pages apart.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result};
use rusqlite::{Connection, OpenFlags};

use crate::Bench;
use crate::ingest::count;
use crate::load::{Load, name, topic};
use crate::mqtt::MqttMessage;
use crate::program::HubProgram;
use crate::report::{Aim, BenchmarkReport};

/// A message every ten seconds.
const A_DAY: u64 = 8_640;
/// Days before today, so that each is over.
const DAYS_AGO: u64 = 2;
const A_DAY_MS: u64 = 86_400_000;
const PATIENCE: Duration = Duration::from_secs(600);
/// Sizes are at rest when they have stayed as they are for so long: the journal is packed a minute later.
const AT_REST: Duration = Duration::from_secs(90);
const LONGEST: Duration = Duration::from_secs(600);

/// A kind of series: its name, the readings of a message, and the fields of the `n`th one of a device.
struct SensorSeries {
    name: &'static str,
    readings: u64,
    fields: fn(u64, u64) -> String,
}

const SERIES: [SensorSeries; 3] = [
    SensorSeries { name: "temperature", readings: 1, fields: temperature },
    SensorSeries { name: "power meter", readings: 2, fields: power },
    SensorSeries { name: "positions", readings: 3, fields: positions },
];

/// Measures each kind of series in a store of its own.
pub async fn run(bench: &Bench, report: &mut BenchmarkReport) -> Result<()> {
    for series in &SERIES {
        measure(bench, report, series).await.with_context(|| series.name)?;
    }
    Ok(())
}

async fn measure(bench: &Bench, report: &mut BenchmarkReport, series: &SensorSeries) -> Result<()> {
    let dir = bench.disk_dir()?;
    let hub = HubProgram::start(&bench.program, dir.path(), None).await?;
    // 302,400 messages, as in the project's table; each device stays on its connection.
    let devices = (bench.readings * 3 / 10 / A_DAY).clamp(1, 35);
    let load = Load { devices, messages: devices * A_DAY, connections: devices, window: 200 };
    let today = now_ms()?;
    let midnight = today - today % A_DAY_MS - DAYS_AGO * A_DAY_MS;
    let fields = series.fields;
    let made = move |device: u64, turn: u64| {
        let at = midnight + 10_000 * turn + noise(device, turn) % 41;
        let payload = format!(r#"{{{},"timestamp":{at}}}"#, fields(device, turn)).into_bytes();
        MqttMessage { topic: topic(device), payload }
    };
    load.publish_with(hub.mqtt, PATIENCE, made).await?;
    hub.committed(count(load.messages), PATIENCE).await?;
    let database = dir.path().join("twinhub.db");
    let sizes = StoreSizes::at_rest(&database).await?;
    let whole = hub.get(&format!("/api/devices/{}/data?limit=1", name(0))).await?.error_for_status()?;
    anyhow::ensure!(whole.bytes().await?.len() > 2, "there is no history");
    hub.stop().await?;
    let readings = count(load.messages * series.readings);
    let is_first = series.readings == 1;
    let aim = |most| if is_first { Aim::Below(most) } else { Aim::None };
    for (what, StoredBytes { contents, pages }, most) in
        [("history", sizes.history, 2.5), ("journal", sizes.journal, 6.0)]
    {
        let name = format!("bytes a reading, {what}, {}", series.name);
        report.add(name, contents / readings, "bytes", aim(most));
        let name = format!("  with page overhead, {what}, {}", series.name);
        report.add(name, pages / readings, "bytes", Aim::None);
    }
    Ok(())
}

/// The time by the devices' clocks, which is right.
#[expect(clippy::disallowed_methods, reason = "devices ask their own clocks")]
pub fn now_ms() -> Result<u64> {
    Ok(u64::try_from(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_millis())?)
}

/// Bytes of a part of the store.
#[derive(Clone, Copy, Default, PartialEq)]
struct StoredBytes {
    /// Of the bodies alone.
    contents: f64,
    /// Of all pages of its tables and indexes.
    pages: f64,
}

/// The sizes of the parts in question.
#[derive(Clone, Copy, Default, PartialEq)]
struct StoreSizes {
    history: StoredBytes,
    journal: StoredBytes,
}

impl StoreSizes {
    /// The sizes once they stay as they are.
    async fn at_rest(database: &Path) -> Result<Self> {
        let (began, mut since, mut last) = (Instant::now(), Instant::now(), Self::default());
        loop {
            tokio::time::sleep(Duration::from_secs(2)).await;
            let now = Self::read(database)?;
            if now != last {
                (last, since) = (now, Instant::now());
            }
            if since.elapsed() >= AT_REST || began.elapsed() >= LONGEST {
                return Ok(last);
            }
        }
    }

    /// Reads them beside the hub.
    fn read(database: &Path) -> Result<Self> {
        let database = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        database.busy_timeout(Duration::from_secs(10))?;
        let mut sizes = Self::default();
        let mut select = database.prepare("SELECT name, tbl_name FROM sqlite_master WHERE rootpage > 0")?;
        let parts: Vec<(String, String)> =
            select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
        for (name, table) in parts {
            let part = match table.as_str() {
                journal if journal.contains("journal") => &mut sizes.journal,
                history
                    if ["chunk", "piece", "history", "sealed"].iter().any(|word| history.contains(word)) =>
                {
                    &mut sizes.history
                }
                _ => continue,
            };
            let pages = "SELECT coalesce(sum(pgsize), 0) FROM dbstat WHERE name = ?1 AND aggregate = TRUE";
            part.pages += database.query_row(pages, [&name], |row| row.get::<_, f64>(0))?;
            if name == table {
                part.contents += contents(&database, &table)?;
            }
        }
        Ok(sizes)
    }
}

/// The bytes in the blobs of a table.
fn contents(database: &Connection, table: &str) -> Result<f64> {
    let mut select = database.prepare("SELECT name FROM pragma_table_info(?1) WHERE lower(type) = 'blob'")?;
    let columns: Vec<String> = select.query_map([table], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let mut bytes = 0.0;
    for column in columns {
        let sum = format!("SELECT coalesce(sum(length(\"{column}\")), 0) + 0.0 FROM \"{table}\"");
        bytes += database.query_row(&sum, [], |row| row.get::<_, f64>(0))?;
    }
    Ok(bytes)
}

/// A number that looks like chance and is always the same.
fn noise(device: u64, turn: u64) -> u64 {
    let mut mixed = device.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ turn.wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed ^= mixed >> 31;
    mixed = mixed.wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 29)
}

/// Tenths of a degree that go up and down over the day, by one step now and then.
fn temperature(device: u64, turn: u64) -> String {
    let hour = turn / 360;
    let slope = if hour < 12 { turn / 60 } else { (A_DAY - turn) / 60 };
    let tenths = 180 + device % 20 + slope + u64::from(noise(device, turn / 7).is_multiple_of(3));
    format!(r#""temperature":{}.{}"#, tenths / 10, tenths % 10)
}

/// Watts in steps with noise, and the energy that grows with them.
fn power(device: u64, turn: u64) -> String {
    let step = [60, 60, 450, 1_800][usize::try_from(noise(device, turn / 90) % 4).unwrap_or_default()];
    let tenths = step * 10 + noise(device, turn) % 50;
    let watt_hours = 1_000_000 + device * 1_000 + turn * 2 + noise(device, turn) % 2;
    format!(
        r#""power":{}.{},"energy":{}.{:03}"#,
        tenths / 10,
        tenths % 10,
        watt_hours / 1_000,
        watt_hours % 1_000
    )
}

/// Degrees with six decimals of something that moves, and its speed.
fn positions(device: u64, turn: u64) -> String {
    let latitude = 40_416_000 + device * 1_000 + turn * 13 + noise(device, turn) % 40;
    let longitude = 3_703_000 + device * 1_000 + turn * 7 + noise(device, turn + 1) % 40;
    let speed = 40 + noise(device, turn / 6) % 20;
    format!(
        r#""latitude":{}.{:06},"longitude":{}.{:06},"speed":{speed}.{}"#,
        latitude / 1_000_000,
        latitude % 1_000_000,
        longitude / 1_000_000,
        longitude % 1_000_000,
        noise(device, turn) % 10
    )
}
