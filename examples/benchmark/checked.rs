//! The cost of knowing who asks: the same request open, with a key and with a session's cookie, each over a connection
//! that is kept.

use std::time::Instant;

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::Bench;
use crate::http::Http;
use crate::program::HubProgram;
use crate::report::{Aim, BenchmarkReport, at, millis};
use crate::turns::order;
use crate::users::UserSession;

/// Requests of a way in each turn.
const REQUESTS: usize = 100;
/// Turns a second of the time that paced measurements have.
const TURNS_A_SECOND: u32 = 10;
const PATH: &str = "/api/devices/bench/twin";

/// Measures the three ways in turns, by one hub that lets in who has no credential, too.
pub async fn run(bench: &Bench, report: &mut BenchmarkReport) -> Result<()> {
    let dir = bench.disk_dir()?;
    let options = ["--open", "--rate-limit", "0"];
    let hub = HubProgram::start_with(&bench.program, dir.path(), None, &options).await?;
    let ann = UserSession::first(&hub, "ann").await?;
    ann.post(&hub, "/api/devices", &json!({ "device_id": "bench", "name": "Bench" })).await?;
    let key = ann.post(&hub, "/api/auth/keys", &json!({ "name": "bench", "role": "viewer" })).await?;
    let key = key["secret"].as_str().context("a key is told once")?;
    let ways = [
        ("open", String::new()),
        ("with a key", format!("Authorization: Bearer {key}")),
        ("with a cookie", ann.credential()),
    ];
    let mut connections = Vec::new();
    for (_, credential) in &ways {
        connections.push(Http::connect_with(hub.http, credential).await?);
    }
    let mut times = vec![Vec::new(); ways.len()];
    let turns = usize::try_from(bench.seconds * TURNS_A_SECOND)?;
    for turn in 0..=turns {
        for way in order(turn, ways.len()) {
            for _ in 0..REQUESTS {
                let began = Instant::now();
                connections[way].expect(200, "GET", PATH, "").await?;
                times[way].push(began.elapsed());
            }
        }
        if turn == 0 {
            times.iter_mut().for_each(Vec::clear); // all is warm now
        }
    }
    hub.stop().await?;
    let mut open = None;
    for ((name, _), mut times) in ways.into_iter().zip(times) {
        times.sort_unstable();
        let (half, most) = (millis(at(&times, 50)) * 1_000.0, millis(at(&times, 99)) * 1_000.0);
        report.add(format!("a request {name}, p50"), half, "µs", Aim::None);
        report.add(format!("a request {name}, p99"), most, "µs", Aim::None);
        match open {
            None => open = Some(half),
            Some(open) => report.add(format!("  {name} ÷ open, p50"), half / open, "×", Aim::None),
        }
    }
    Ok(())
}
