//! The number of listeners on WebSockets, and the time of a message to one of them beside other work.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::Bench;
use crate::load::{self, Load, topic};
use crate::mqtt::MqttMessage;
use crate::program::HubProgram;
use crate::report::{Aim, BenchmarkReport};
use crate::websocket::{Subscriber, contains};

const DEVICES: u64 = 1_000;
const PATIENCE: Duration = Duration::from_secs(60);

/// 200 subscribers, 500 messages a second, each to all of them.
pub async fn fan_out(bench: &Bench, report: &mut BenchmarkReport) -> Result<()> {
    const SUBSCRIBERS: u32 = 200;
    const CONNECTIONS: u32 = 50;
    let each = 10 * bench.seconds;
    let expected = u64::from(each * CONNECTIONS);
    let (_dir, hub) = warm_hub(bench).await?;
    let mut listeners = JoinSet::new();
    for _ in 0..SUBSCRIBERS {
        let mut subscriber = Subscriber::connect(hub.http).await?;
        listeners.spawn(async move {
            let (mut events, mut lagged) = (0, 0_u32);
            while events < expected && lagged == 0 {
                let frame = subscriber.next().await?;
                events += u64::from(contains(&frame[..frame.len().min(40)], br#""type":"event""#));
                lagged += u32::from(contains(&frame[..frame.len().min(40)], br#""type":"lagged""#));
            }
            anyhow::Ok(lagged)
        });
    }
    let began = Instant::now();
    let period = Duration::from_millis(100);
    let publishing = paced(hub.mqtt, CONNECTIONS, period, each, load::reading).await?;
    let all = async {
        let mut lagged = 0;
        while let Some(done) = listeners.join_next().await {
            lagged += done??;
        }
        anyhow::Ok(lagged)
    };
    let limit = PATIENCE + Duration::from_secs(bench.seconds.into());
    let lagged = timeout(limit, all).await.context("not every subscriber got every event")??;
    let took = began.elapsed().as_secs_f64();
    publishing.join_all().await;
    hub.stop().await?;
    let frames = f64::from(SUBSCRIBERS) * f64::from(each * CONNECTIONS) / took;
    report.add("fan-out, 200 subscribers × 500 messages/s", frames, "frames/s", Aim::AtLeast(95_000.0));
    report.add("fan-out, subscribers that lagged", f64::from(lagged), "", Aim::Below(1.0));
    Ok(())
}

/// A hub that knows a thousand devices.
pub async fn warm_hub(bench: &Bench) -> Result<(tempfile::TempDir, HubProgram)> {
    let dir = bench.disk_dir()?;
    let hub = HubProgram::start(&bench.program, dir.path(), None).await?;
    Load::hello(DEVICES, 50).publish(hub.mqtt, PATIENCE).await?;
    hub.committed(crate::ingest::count(DEVICES), PATIENCE).await?;
    Ok((dir, hub))
}

/// The time from writing each message to its broker to reading it from the WebSocket, with when it was written, from
/// `base` on. 1,000 messages a second.
pub async fn timed(
    http: SocketAddr,
    mqtt: SocketAddr,
    seconds: u32,
    base: Instant,
) -> Result<Vec<(Duration, Duration)>> {
    const CONNECTIONS: u32 = 50;
    let each = seconds * 1_000 / CONNECTIONS;
    let mut subscriber = Subscriber::connect(http).await?;
    let listening = tokio::spawn(async move {
        let mut times = Vec::new();
        while times.len() < usize::try_from(each * CONNECTIONS)? {
            let frame = subscriber.next().await?;
            let now = base.elapsed();
            if is_lagged(frame) {
                bail!("the subscriber lagged");
            }
            times.extend(sent_times(frame).map(|sent| (sent, now.saturating_sub(sent))));
        }
        Ok(times)
    });
    let make = move |device, _| MqttMessage {
        topic: topic(device),
        payload: format!(r#"{{"temperature":21.5,"humidity":40,"sent":{}}}"#, base.elapsed().as_micros())
            .into_bytes(),
    };
    let publishing =
        paced(mqtt, CONNECTIONS, Duration::from_millis(u64::from(CONNECTIONS)), each, make).await?;
    let times = timeout(PATIENCE + Duration::from_secs(seconds.into()), listening).await???;
    publishing.join_all().await;
    Ok(times)
}

/// `connections` that publish one message a `period` each, evenly staggered.
pub async fn paced(
    broker: SocketAddr,
    connections: u32,
    period: Duration,
    each: u32,
    make: impl Fn(u64, u64) -> MqttMessage + Clone + Send + Sync + 'static,
) -> Result<JoinSet<()>> {
    let clients = load::connect(broker, connections.into()).await?;
    let start = Instant::now() + Duration::from_millis(50);
    let mut tasks = JoinSet::new();
    for (lane, mut client) in (0..connections).zip(clients) {
        let make = make.clone();
        tasks.spawn(async move {
            let device = |turn: u32| (u64::from(lane) + u64::from(connections) * u64::from(turn)) % DEVICES;
            let sending = client.publish_paced(start + period * lane / connections, period, each, |turn| {
                make(device(turn), u64::from(turn))
            });
            if let Err(error) = sending.await {
                eprintln!("  publishing broke off: {error}");
            }
        });
    }
    Ok(tasks)
}

/// The readings called `sent`, in microseconds, one of each event in the frame.
pub fn sent_times(frame: &[u8]) -> impl Iterator<Item = Duration> {
    numbers(frame, br#""sent":"#).map(Duration::from_micros)
}

/// True of the frame that says that events were skipped.
pub fn is_lagged(frame: &[u8]) -> bool {
    contains(&frame[..frame.len().min(40)], br#""type":"lagged""#)
}

/// The number of events that the frame says were skipped.
pub fn missed(frame: &[u8]) -> u64 {
    if is_lagged(frame) { numbers(frame, br#""missed":"#).next().unwrap_or_default() } else { 0 }
}

/// The whole numbers behind each `name`.
fn numbers(frame: &[u8], name: &'static [u8]) -> impl Iterator<Item = u64> {
    let found = frame.windows(name.len()).enumerate().filter(move |(_, window)| *window == name);
    found.map(move |(start, _)| {
        let digits = frame[start + name.len()..].iter().take_while(|byte| byte.is_ascii_digit());
        digits.fold(0, |number: u64, digit| number.wrapping_mul(10).wrapping_add(u64::from(digit - b'0')))
    })
}
