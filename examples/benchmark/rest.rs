//! The measurements at rest: memory, start-up, history and lists.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::Bench;
use crate::ingest::count;
use crate::load::{self, Load};
use crate::mqtt::MqttMessage;
use crate::program::HubProgram;
use crate::report::{Aim, BenchmarkReport, at, millis};

const PATIENCE: Duration = Duration::from_secs(900);
/// Half seconds without a new least until memory is at rest, and half seconds to wait for that at most:
/// putting a million new twins into order takes a while.
const AT_REST: u32 = 20;
const LONGEST_REST: u32 = 240;

/// Start-up with an empty store, and the memory of an idle hub with a thousand devices.
pub async fn idle(bench: &Bench, report: &mut BenchmarkReport) -> Result<()> {
    let dir = bench.disk_dir()?;
    let hub = HubProgram::start(&bench.program, dir.path(), None).await?;
    report.add("start to ready, empty store", hub.started_in.as_secs_f64(), "s", Aim::Below(0.3));
    Load::hello(1_000, 50).publish(hub.mqtt, PATIENCE).await?;
    hub.committed(1_000.0, PATIENCE).await?;
    report.add("resident, idle with 1,000 devices", settled(&hub).await?, "MB", Aim::Below(25.0));
    hub.stop().await
}

/// Memory of many twins with three readings each; then the first page of their list, and a new start.
pub async fn many(bench: &Bench, report: &mut BenchmarkReport) -> Result<()> {
    for (twins, memory, start) in [(100_000, 300.0, Aim::None), (1_000_000, 2_500.0, Aim::Below(5.0))] {
        if twins > bench.twins {
            println!("  {twins} twins: left out, ask for it with --full");
            continue;
        }
        let dir = bench.disk_dir()?;
        let outside = bench.mosquitto.as_ref().map(|mosquitto| mosquitto.address);
        let hub = HubProgram::start(&bench.program, dir.path(), outside).await?;
        let connections = if outside.is_some() { 4 } else { 500 };
        Load::hello(twins, connections).publish(hub.mqtt, PATIENCE).await?;
        hub.committed(count(twins), PATIENCE).await?;
        let resident = settled(&hub).await?;
        let page = median(&hub, || "/api/devices?page=1".into()).await?;
        let whole = WholeListTimes::of(&hub, resident).await?;
        hub.stop().await?;
        report.add(
            format!("resident, {twins} twins with three readings"),
            resident,
            "MB",
            Aim::Below(memory),
        );
        let aim = if twins == 100_000 { Aim::Below(20.0) } else { Aim::None };
        report.add(format!("list of devices, page 1 of {twins}"), page, "ms", aim);
        let aims =
            if twins == 100_000 { (Aim::Below(50.0), Aim::Below(20.0)) } else { (Aim::None, Aim::None) };
        report.add(format!("list of all {twins} devices, first byte"), whole.first_byte_ms, "ms", aims.0);
        report.add(format!("list of all {twins} devices"), whole.all_ms, "ms", Aim::None);
        report.add(format!("list of all {twins} devices, memory for it"), whole.grown_mb, "MB", aims.1);
        let hub = HubProgram::start(&bench.program, dir.path(), outside).await?;
        report.add(format!("start to ready, {twins} devices"), hub.started_in.as_secs_f64(), "s", start);
        hub.stop().await?;
    }
    of_a_twin(bench, report).await
}

/// The memory of a twin with three readings: the difference between two hubs, one with twice as many.
async fn of_a_twin(bench: &Bench, report: &mut BenchmarkReport) -> Result<()> {
    const TWINS: u64 = 100_000;
    if bench.twins < TWINS {
        return Ok(());
    }
    let mut resident = Vec::new();
    for twins in [TWINS, 2 * TWINS] {
        let dir = bench.disk_dir()?;
        let hub = HubProgram::start(&bench.program, dir.path(), None).await?;
        Load::hello(twins, 500).publish(hub.mqtt, PATIENCE).await?;
        hub.committed(count(twins), PATIENCE).await?;
        resident.push(settled(&hub).await? * 1e6);
        hub.stop().await?;
    }
    let each = (resident[1] - resident[0]) / count(TWINS);
    report.add(
        format!("memory of a twin with three readings, of {TWINS}"),
        each,
        "bytes",
        Aim::Below(1_200.0),
    );
    Ok(())
}

/// The list of all devices, read whole.
struct WholeListTimes {
    /// The median of five.
    first_byte_ms: f64,
    all_ms: f64,
    /// The most that the hub grew by while it was read.
    grown_mb: f64,
}

impl WholeListTimes {
    /// Reads the list five times from a hub that has `resident` MB at rest.
    async fn of(hub: &HubProgram, resident: f64) -> Result<Self> {
        let (mut first, mut all, mut most) = (Vec::new(), Vec::new(), resident);
        for _ in 0..5 {
            let began = Instant::now();
            let mut answer = hub.get("/api/devices").await?.error_for_status()?;
            ensure!(answer.chunk().await?.is_some(), "the list is empty");
            first.push(began.elapsed());
            while answer.chunk().await?.is_some() {
                most = most.max(hub.resident_mb()?);
            }
            all.push(began.elapsed());
        }
        let median = |times: &mut Vec<Duration>| {
            times.sort_unstable();
            millis(at(times, 50))
        };
        let (first_byte_ms, all_ms) = (median(&mut first), median(&mut all));
        Ok(Self { first_byte_ms, all_ms, grown_mb: most - resident })
    }
}

/// One device's day in 5-minute means, out of many readings.
pub async fn history(bench: &Bench, report: &mut BenchmarkReport) -> Result<()> {
    /// A message every ten seconds: 8,640 a day, three readings each.
    const A_DAY: u64 = 8_640;
    const MIDNIGHT: u64 = 1_767_225_600; // 2026-01-01T00:00:00Z
    let dir = bench.disk_dir()?;
    let outside = bench.mosquitto.as_ref().map(|mosquitto| mosquitto.address);
    let hub = HubProgram::start(&bench.program, dir.path(), outside).await?;
    let connections = if outside.is_some() { 4 } else { 500 };
    // So many that each device stays on one connection, as devices do: over several its messages would
    // overtake each other by hundreds.
    let devices = (bench.readings / (3 * A_DAY)).max(1).next_multiple_of(connections);
    let load = Load { devices, messages: devices * A_DAY, connections, window: 500 };
    let made = |device: u64, turn: u64| {
        let MqttMessage { topic, mut payload } = load::reading(device, turn);
        payload.pop();
        payload.extend(format!(r#","timestamp":{}}}"#, MIDNIGHT + 10 * turn).into_bytes());
        MqttMessage { topic, payload }
    };
    load.publish_with(hub.mqtt, PATIENCE, made).await?;
    hub.committed(count(load.messages), PATIENCE).await?;
    let mut device = 0;
    let query = || {
        device = (device + 7) % devices;
        format!(
            "/api/devices/{}/data?sensor_type=temperature&interval=5m&agg=avg&order=asc&limit=1000\
             &start_date=2026-01-01T00:00:00Z&end_date=2026-01-02T00:00:00Z",
            load::name(device)
        )
    };
    let mut query = query;
    let buckets: Vec<serde_json::Value> = hub.get(&query()).await?.json().await?;
    ensure!(buckets.len() == 288, "a day has 288 times five minutes, the answer {}", buckets.len());
    let name = format!("history, a day in 5-minute means of {} readings", load.messages * 3);
    report.add(format!("{name}, fresh"), median(&hub, &mut query).await?, "ms", Aim::Below(50.0));
    settled(&hub).await?;
    report.add(format!("{name}, at rest"), median(&hub, &mut query).await?, "ms", Aim::Below(50.0));
    hub.stop().await
}

/// Half of twenty answers came within this many milliseconds.
pub async fn median(hub: &HubProgram, mut path: impl FnMut() -> String) -> Result<f64> {
    let client = reqwest::Client::new();
    let mut times = Vec::new();
    for _ in 0..20 {
        let url = format!("http://{}{}", hub.http, path());
        let began = Instant::now();
        client.get(url).send().await?.error_for_status()?.bytes().await?;
        times.push(began.elapsed());
    }
    times.sort_unstable();
    times.get(10).map(|time| time.as_secs_f64() * 1_000.0).context("twenty were asked")
}

/// The resident memory, in MB, once the hub has done what it does behind.
async fn settled(hub: &HubProgram) -> Result<f64> {
    settled_for(hub, AT_REST).await
}

/// The same where so many half seconds without a new least are enough.
pub async fn settled_for(hub: &HubProgram, looks: u32) -> Result<f64> {
    at_rest(|| hub.resident_mb(), looks).await
}

/// The least of what is read twice a second, once it got no less for so many looks.
pub async fn at_rest(read: impl Fn() -> Result<f64>, looks: u32) -> Result<f64> {
    let (mut least, mut since) = (f64::INFINITY, 0);
    for _ in 0..LONGEST_REST {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let resident = read()?;
        since = if resident < least * 0.999 { 0 } else { since + 1 };
        least = least.min(resident);
        if since >= looks {
            break;
        }
    }
    Ok(least)
}
