//! History in use: it is taken in from a file, summed up, and taken out.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use reqwest::Method;
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

use crate::Bench;
use crate::bytes::now_ms;
use crate::ingest::count;
use crate::program::HubProgram;
use crate::report::{Aim, BenchmarkReport, at, millis};

/// Devices, each with a month of readings.
const DEVICES: u64 = 1_000;
const A_MONTH_S: u64 = 30 * 86_400;
/// Readings of one device in the month, where all are measured.
const OF_A_DEVICE: u64 = 2_880;
/// A device with a reading a minute.
const BUSY: &str = "busy";
const OF_BUSY: u64 = A_MONTH_S / 60;
/// Sensors of seed 002, each with a week of readings.
const SENSORS: u64 = 100;
const A_WEEK_S: u64 = 7 * 86_400;
/// Lines of a request.
const LINES: u64 = 100_000;
/// Questions of a kind.
const ASKED: usize = 9;
/// Tables that stay as they are for so long are at rest.
const AT_REST: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(300);

/// Imports a month of many devices, asks for statistics, and exports it.
pub async fn run(bench: &Bench, report: &mut BenchmarkReport) -> Result<()> {
    let dir = bench.disk_dir()?;
    let hub = HubProgram::start(&bench.program, dir.path(), None).await?;
    let devices = DEVICES.min(bench.readings / 1_000);
    let readings = devices * OF_A_DEVICE;
    let end = now_ms()? / 1_000;
    let began = Instant::now();
    // Device by device, as an export writes them.
    let all = (0..readings).map(|n| (n / OF_A_DEVICE, n % OF_A_DEVICE));
    let step = A_MONTH_S / OF_A_DEVICE;
    let lines = all
        .map(|(device, turn)| line(&format!("dev-{device:04}"), end - A_MONTH_S + turn * step, turn, device));
    import(&hub, lines, readings).await?;
    let seconds = began.elapsed().as_secs_f64();
    let whole = bench.readings >= 1_000_000;
    let aim = |aim| if whole { aim } else { Aim::None };
    let name = format!("import of {readings} readings of {devices} devices, JSON Lines");
    report.add(name, count(readings) / seconds, "readings/s", aim(Aim::AtLeast(200_000.0)));
    import(&hub, (0..OF_BUSY).map(|turn| line(BUSY, end - A_MONTH_S + turn * 60, turn, 7)), OF_BUSY).await?;
    let sensors = bench.readings.min(1_000_000);
    import(&hub, (0..sensors).flat_map(|n| sensor_lines(n, sensors, end)), 2 * sensors).await?;
    in_order(&dir.path().join("twinhub.db")).await?;

    let from = end - A_MONTH_S;
    for (name, path, most) in [
        (
            &*format!("/v1/sensors/stats?hours=168 of {sensors} readings"),
            "/v1/sensors/stats?hours=168".to_owned(),
            200.0,
        ),
        (
            "statistics of a device's month, 43,200 readings",
            format!("/api/devices/{BUSY}/statistics?from={from}"),
            50.0,
        ),
        ("statistics of a month of all devices", format!("/api/statistics?from={from}"), 1_000.0),
        ("the same by type", format!("/api/statistics?from={from}&by=type"), 1_000.0),
        ("analytics of seed 004", "/api/analytics".to_owned(), 1_000.0),
    ] {
        let mut times = Vec::new();
        for _ in 0..ASKED {
            let began = Instant::now();
            let answer = hub.get(&path).await?.error_for_status().with_context(|| path.clone())?;
            answer.bytes().await?;
            times.push(began.elapsed());
        }
        times.sort_unstable();
        report.add(
            format!("{name}, {devices} devices, p50"),
            millis(at(&times, 50)),
            "ms",
            aim(Aim::Below(most)),
        );
    }
    for format in ["jsonl", "csv"] {
        let began = Instant::now();
        let answer = hub.get(&format!("/api/data/export?format={format}")).await?.error_for_status()?;
        let size = answer.bytes().await?.len();
        let seconds = began.elapsed().as_secs_f64();
        ensure!(size > 1_000, "there is nothing in the export");
        let rate = count(readings + OF_BUSY) / seconds;
        report.add(format!("export of readings, {format}"), rate, "readings/s", Aim::None);
    }
    report.add("resident, after all of it", hub.resident_mb()?, "MB", Aim::None);
    hub.stop().await
}

/// Imports lines, all of which must be stored.
async fn import(hub: &HubProgram, lines: impl Iterator<Item = String>, all: u64) -> Result<()> {
    let mut lines = lines.peekable();
    let mut stored = 0;
    while lines.peek().is_some() {
        let mut body = String::new();
        for line in lines.by_ref().take(usize::try_from(LINES)?) {
            body.push_str(&line);
        }
        let request = hub.request(Method::POST, "/api/data/import?format=jsonl").body(body);
        let told: Value = request.send().await?.error_for_status()?.json().await?;
        stored += told["created"].as_u64().unwrap_or_default();
    }
    ensure!(stored == all, "{stored} readings of {all} are stored");
    Ok(())
}

/// The `n`th reading of `all` in a week of the sensors of seed 002.
fn sensor_lines(n: u64, all: u64, end: u64) -> [String; 2] {
    let of_one = all / SENSORS;
    let (sensor, second) = (n / of_one, end - A_WEEK_S + 60 + (n % of_one) * (A_WEEK_S - 120) / of_one);
    let device = format!("sensor-{sensor:03}");
    let protocol = format!(
        "{{\"device_id\":\"{device}\",\"timestamp\":{second},\"sensor_type\":\"temperature.source_protocol\",\"value\":\"mqtt\"}}\n"
    );
    [line(&device, second, n, sensor), protocol]
}

fn line(device: &str, second: u64, turn: u64, salt: u64) -> String {
    let mut line = String::with_capacity(110);
    let value = 180 + (turn + salt * 37) % 90;
    // Writing to a String cannot fail.
    let _ = writeln!(
        line,
        r#"{{"device_id":"{device}","timestamp":{second},"sensor_type":"temperature","value":{}.{}}}"#,
        value / 10,
        value % 10
    );
    line
}

/// Waits until the readings are in order: the tables of them have stayed as they are for a while.
async fn in_order(database: &Path) -> Result<()> {
    let began = Instant::now();
    let (mut last, mut since) = (0, Instant::now());
    while since.elapsed() < AT_REST {
        ensure!(began.elapsed() < PATIENCE, "the readings are not in order after {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
        let sql = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let rows = "SELECT (SELECT coalesce(sum(last_seq), 0) FROM chunks) + (SELECT coalesce(sum(last_seq), 0) FROM pieces)";
        let rows: i64 = sql.query_row(rows, [], |row| row.get(0))?;
        if rows != last {
            (last, since) = (rows, Instant::now());
        }
    }
    Ok(())
}
