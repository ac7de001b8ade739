//! The cost of schedules while they wait: memory, beside the same hub without them, and processor time. Once after a
//! restart, when nothing but what waits is in memory, and once with all twins there.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::timeout;
use twinhub_actors::SystemClock;
use twinhub_domain::Clock as _;

use crate::Bench;
use crate::http::Http;
use crate::ingest::count;
use crate::load::{self, Load};
use crate::program::HubProgram;
use crate::report::{Aim, BenchmarkReport};
use crate::rest::settled_for;

const CONNECTIONS: usize = 50;
const PATIENCE: Duration = Duration::from_secs(900);
/// Bytes that a schedule may cost beyond its twin.
const LIMIT: f64 = 200.0;
/// The processor time that a waiting hub may take, in ms of each second.
const PROCESSOR: f64 = 5.0;

/// The memory and processor time of a hub while it waits.
struct IdleCost {
    /// Bytes of memory, resident.
    resident: f64,
    /// Processor time, in ms a second.
    processor: f64,
}

/// Measures as many schedules as there are twins, one a twin.
pub async fn run(bench: &Bench, report: &mut BenchmarkReport) -> Result<()> {
    let schedules = bench.twins.clamp(10_000, 100_000);
    // The memory that fewer take drowns in what an allocator takes and gives.
    let limit = if schedules < 100_000 { Aim::None } else { Aim::Below(LIMIT) };
    let dir = bench.disk_dir()?;
    let hub = HubProgram::start(&bench.program, dir.path(), None).await?;
    all_speak(&hub, schedules).await?;
    resident(&hub, bench.seconds).await?; // so that the next start finds everything in order
    hub.stop().await?;
    let without = at_rest(bench, &dir, schedules, true).await?;
    let with = at_rest(bench, &dir, schedules, false).await?;
    for ((state, without), (_, with)) in without.into_iter().zip(with) {
        let bytes = (with.resident - without.resident) / count(schedules);
        report.add(format!("a schedule, {schedules} wait, {state}"), bytes, "bytes", limit);
        let name = format!("  processor while {schedules} wait, {state}");
        report.add(name, with.processor, "ms/s", Aim::Below(PROCESSOR));
        report.add(format!("  processor while none waits, {state}"), without.processor, "ms/s", Aim::None);
    }
    Ok(())
}

/// The cost of a hub after its start, and once every twin is in memory; then, if asked, every twin is given its
/// schedule.
async fn at_rest(
    bench: &Bench,
    dir: &TempDir,
    twins: u64,
    schedule_then: bool,
) -> Result<[(&'static str, IdleCost); 2]> {
    let hub = HubProgram::start(&bench.program, dir.path(), None).await?;
    let started = rest(&hub, bench.seconds).await?;
    all_speak(&hub, twins).await?;
    let awake = rest(&hub, bench.seconds).await?;
    if schedule_then {
        schedule(&hub, twins).await?;
        resident(&hub, bench.seconds).await?;
    }
    hub.stop().await?;
    Ok([("twins in the store", started), ("twins in memory", awake)])
}

/// Watches the hub for `seconds` once it is at rest.
async fn rest(hub: &HubProgram, seconds: u32) -> Result<IdleCost> {
    let resident = resident(hub, seconds).await?;
    let before = hub.processor_ms()?;
    tokio::time::sleep(Duration::from_secs(seconds.into())).await;
    Ok(IdleCost { resident, processor: (hub.processor_ms()? - before) / f64::from(seconds) })
}

/// Bytes of memory once the hub has nothing left to do, and has not grown smaller for `seconds`.
async fn resident(hub: &HubProgram, seconds: u32) -> Result<f64> {
    const BEAT: Duration = Duration::from_secs(2);
    const IDLE_MS: f64 = 40.0;
    let until = Instant::now() + PATIENCE;
    loop {
        let before = hub.processor_ms()?;
        tokio::time::sleep(BEAT).await;
        if hub.processor_ms()? - before < IDLE_MS {
            return Ok(settled_for(hub, 2 * seconds).await? * 1e6);
        }
        ensure!(Instant::now() < until, "the hub does not come to rest");
    }
}

/// A message of every device brings its twin into memory.
async fn all_speak(hub: &HubProgram, twins: u64) -> Result<()> {
    Load::hello(twins, 500).publish(hub.mqtt, PATIENCE).await?;
    hub.committed(count(twins), PATIENCE).await
}

/// Gives each twin an entry that is due every day, none of them within the next hours.
async fn schedule(hub: &HubProgram, twins: u64) -> Result<()> {
    const HOUR_MS: i64 = 3_600_000;
    let hour = u64::try_from(SystemClock.now().millis() / HOUR_MS % 24)?;
    let mut tasks = JoinSet::new();
    let hub = hub.http;
    for lane in (0..twins).take(CONNECTIONS) {
        tasks.spawn(async move {
            let mut http = Http::connect(hub).await?;
            for twin in (lane..twins).step_by(CONNECTIONS) {
                let entry = format!(
                    r#"[{{"cron":"{} {} * * *","timezone":"Europe/Madrid","set":{{"power":"on"}}}}]"#,
                    twin % 60,
                    (hour + 8 + twin % 8) % 24
                );
                let path = format!("/api/devices/{}/schedule", load::name(twin));
                http.expect(200, "PUT", &path, &entry).await?;
            }
            anyhow::Ok(())
        });
    }
    let all = async {
        while let Some(ended) = tasks.join_next().await {
            ended??;
        }
        anyhow::Ok(())
    };
    timeout(PATIENCE, all).await.context("not every schedule was taken")?
}
