//! Readings by the type of their sensor, as a dashboard asks for them each second and for every tile.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::Bench;
use crate::http::Http;
use crate::ingest::count;
use crate::load::Load;
use crate::mqtt::MqttMessage;
use crate::program::HubProgram;
use crate::report::{Aim, BenchmarkReport, at, millis};
use crate::rest::settled_for;

const PATIENCE: Duration = Duration::from_secs(1_800);
/// Sensors of which one reports each second.
const SENSORS: [&str; 4] = ["temperature", "humidity", "pressure", "co2"];
/// A sensor that reports once in so many seconds.
const RARE: (&str, u64) = ("door", 100_000);
/// Readings in a message.
const ROWS: u64 = 300;
/// 2026-01-01T00:00:00Z, in s.
const MIDNIGHT: u64 = 1_767_225_600;
/// Requests of each tile.
const REQUESTS: usize = 500;

/// The reading of the `n`th second, with its number and the way to the one before.
fn row(n: u64) -> String {
    let (name, gap) = match (n % RARE.1 == 7, n.checked_sub(4)) {
        (true, _) if n > RARE.1 => (RARE.0, (RARE.1 * 1_000).to_string()),
        (true, _) => (RARE.0, "false".into()),
        (false, None) => (SENSORS[sensor(n)], "false".into()),
        (false, Some(before)) => {
            // The one four seconds ago was another's where the rare one had its turn.
            let seconds = if before % RARE.1 == 7 { 8 } else { 4 };
            (SENSORS[sensor(n)], (seconds * 1_000).to_string())
        }
    };
    let (id, at) = (n + 1, MIDNIGHT + n);
    format!(
        r##"{{"{name}":{}.5,"{name}#id":{id},"{name}#gap":{gap},"units":{{"{name}":"x"}},"timestamp":{at}}}"##,
        n % 90
    )
}

fn sensor(n: u64) -> usize {
    usize::try_from(n % 4).unwrap_or_default()
}

/// The time of an answer to a tile, out of many readings.
pub async fn run(bench: &Bench, report: &mut BenchmarkReport) -> Result<()> {
    let dir = bench.disk_dir()?;
    let hub = HubProgram::start(&bench.program, dir.path(), None).await?;
    let messages = bench.readings / ROWS;
    let load = Load { devices: 1, messages, connections: 1, window: 50 };
    let made = |_: u64, turn: u64| {
        let rows: Vec<String> = (turn * ROWS..(turn + 1) * ROWS).map(row).collect();
        let payload = format!(r#"{{"readings":[{}]}}"#, rows.join(",")).into_bytes();
        MqttMessage { topic: "iot/devices/sensor-data/data".into(), payload }
    };
    load.publish_with(hub.mqtt, PATIENCE, made).await?;
    hub.committed(count(messages), PATIENCE).await?;
    settled_for(&hub, 4).await?;
    let mut page = Http::connect(hub.http).await?;
    for (names, what) in [(&SENSORS[..], "each second"), (&[RARE.0][..], "each 100,000 s")] {
        let mut times = Vec::new();
        for turn in 0..REQUESTS {
            let name = names[turn % names.len()];
            let began = Instant::now();
            let body = page.expect(200, "GET", &format!("/sensor-data/{name}/?page=1&limit=100"), "").await?;
            times.push(began.elapsed());
            ensure!(body.len() > 2, "there are no readings of {name}");
        }
        times.sort_unstable();
        let name = format!("100 readings of a type that reports {what}, of {}", messages * ROWS);
        report.add(format!("{name}, p50"), millis(at(&times, 50)), "ms", Aim::None);
        report.add(format!("{name}, p99"), millis(at(&times, 99)), "ms", Aim::Below(5.0));
    }
    hub.stop().await
}
