//! The cost of a message at the rates that most people have, and its time to a live subscriber: processor time and
//! thread switches of the hub by the operating system's account, and the time from publish to WebSocket. The aims are
//! those of the project; beside them stands what a bare commit takes on the same machine.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::Bench;
use crate::ingest::count;
use crate::live::{is_lagged, sent_times};
use crate::load::Load;
use crate::pacing::SteadyPace;
use crate::program::HubProgram;
use crate::report::{Aim, BenchmarkReport, at, millis};
use crate::websocket::Subscriber;

const DEVICES: u64 = 1_000;
const PATIENCE: Duration = Duration::from_secs(60);

/// A rate, with the store in memory or on disk.
struct RateCase {
    per_second: u32,
    in_memory: bool,
    /// Processor time a message, in µs.
    processor: f64,
    /// Thread switches a message, p50 and p99 in ms, where there are aims.
    others: Option<[f64; 3]>,
}

const CASES: [RateCase; 4] = [
    RateCase { per_second: 200, in_memory: true, processor: 150.0, others: None },
    RateCase { per_second: 1_000, in_memory: true, processor: 100.0, others: Some([5.0, 0.35, 1.5]) },
    RateCase { per_second: 1_000, in_memory: false, processor: 100.0, others: Some([5.0, 0.5, 2.5]) },
    RateCase { per_second: 5_000, in_memory: true, processor: 50.0, others: None },
];

/// Measures every rate on both brokers.
pub async fn run(bench: &Bench, report: &mut BenchmarkReport) -> Result<()> {
    bench.limits(report).await?;
    for (name, outside) in bench.brokers() {
        for case in &CASES {
            measure(bench, report, name, outside, case).await?;
        }
    }
    Ok(())
}

async fn measure(
    bench: &Bench,
    report: &mut BenchmarkReport,
    broker: &str,
    outside: Option<std::net::SocketAddr>,
    case: &RateCase,
) -> Result<()> {
    let Some(dir) = bench.store_dir(case.in_memory)? else { return Ok(()) };
    let hub = HubProgram::start(&bench.program, dir.path(), outside).await?;
    Load::hello(DEVICES, 50).publish(hub.mqtt, PATIENCE).await?;
    hub.committed(count(DEVICES), PATIENCE).await?;
    let mut subscriber = Subscriber::connect(hub.http).await?;
    // To get warm, which does not count.
    paced(&hub, &mut subscriber, case.per_second, case.per_second / 2).await?;
    let commits = hub.metric("twinhub_commits_total").await?;
    let (processor, switches) = (hub.processor_ms()?, hub.switches()?);
    let messages = case.per_second * bench.seconds;
    let mut times = paced(&hub, &mut subscriber, case.per_second, messages).await?;
    let (processor, switches) = (hub.processor_ms()? - processor, hub.switches()? - switches);
    let commits = hub.metric("twinhub_commits_total").await? - commits;
    hub.stop().await?;

    let messages = f64::from(messages);
    let micros = processor * 1_000.0 / messages;
    let store = if case.in_memory { "memory" } else { "disk" };
    let name = format!("at {}/s, {broker}, {store}", case.per_second);
    let aim = |place: usize| case.others.map_or(Aim::None, |others| Aim::Below(others[place]));
    report.add(format!("{name}: processor time a message"), micros, "µs", Aim::Below(case.processor));
    report.add(format!("{name}: thread switches a message"), switches / messages, "", aim(0));
    report.add(format!("  {name}: messages a commit"), messages / commits.max(1.0), "", Aim::None);
    times.sort_unstable();
    let (half, most) = (millis(at(&times, 50)), millis(at(&times, 99)));
    report.add(format!("{name}: publish → WebSocket, p50"), half, "ms", aim(1));
    report.add(format!("{name}: publish → WebSocket, p99"), most, "ms", aim(2));
    if let Some(commit) = bench.limits(report).await?.commit(case.in_memory) {
        report.add(format!("  {name}: processor time ÷ a bare commit"), micros / commit, "×", Aim::None);
        report.add(format!("  {name}: p50 ÷ a bare commit"), half * 1_000.0 / commit, "×", Aim::None);
    }
    Ok(())
}

/// Publishes so many messages, and gives the time from publishing to hearing of each.
async fn paced(
    hub: &HubProgram,
    subscriber: &mut Subscriber,
    per_second: u32,
    messages: u32,
) -> Result<Vec<Duration>> {
    let (base, broker) = (Instant::now(), hub.mqtt);
    let pace = SteadyPace { devices: DEVICES, per_second, messages };
    let publishing = spawn_blocking(move || pace.publish(broker, base));
    let mut times = Vec::new();
    let listening = async {
        while times.len() < usize::try_from(pace.messages)? {
            let frame = subscriber.next().await?;
            let now = base.elapsed();
            if is_lagged(frame) {
                bail!("the subscriber lagged");
            }
            times.extend(sent_times(frame).map(|sent| now.saturating_sub(sent)));
        }
        Ok(())
    };
    timeout(PATIENCE + Duration::from_secs(1) * (messages / per_second), listening)
        .await
        .context("not every message reached the subscriber")??;
    publishing.await??;
    Ok(times)
}
