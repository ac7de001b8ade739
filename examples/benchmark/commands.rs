//! Commands there and back: a request over REST → a message over MQTT → the device's answer at once → the
//! command's history over REST says that it was executed. Two commits lie on the way.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::Bench;
use crate::disk;
use crate::http::{self, Http};
use crate::ingest::count;
use crate::load;
use crate::mqtt::{MqttClient, MqttMessage};
use crate::program::HubProgram;
use crate::report::{Aim, BenchmarkReport, at, millis};
use crate::websocket::{Subscriber, contains};

const DEVICES: u64 = 1_000;
const PER_SECOND: u32 = 200;
/// Connections that ask, in turn, and that look into the history.
const ASKING: u32 = 20;
const LOOKING: u32 = 8;
const PATIENCE: Duration = Duration::from_secs(60);

/// The id of a command that something happened to, and when.
type Noted = (Vec<u8>, Instant);

/// When each step was reached, by the command's id.
#[derive(Default)]
struct StepTimes {
    asked: HashMap<Vec<u8>, Instant>,
    told: HashMap<Vec<u8>, Instant>,
    looked_up: HashMap<Vec<u8>, Instant>,
}

/// Measures both brokers.
pub async fn run(bench: &Bench, report: &mut BenchmarkReport) -> Result<()> {
    for (name, outside) in bench.brokers() {
        let dir = bench.disk_dir()?;
        let hub = HubProgram::start(&bench.program, dir.path(), outside).await?;
        let devices = devices(&hub).await?;
        let mut syncs = Vec::new();
        let seen = tokio::select! {
            seen = measure(&hub, bench.seconds) => seen?,
            failed = disk::meanwhile(dir.path(), &mut syncs) => return failed,
        };
        drop(devices);
        hub.stop().await?;
        for (step, reached) in [("REST history", &seen.looked_up), ("WebSocket event", &seen.told)] {
            let times = since(&seen.asked, reached)?;
            for (percent, aim) in [(50, Aim::None), (99, Aim::Below(15.0))] {
                let name = format!("command → executed in {step}, {name}, p{percent}");
                report.add(name, millis(at(&times, percent)), "ms", aim);
            }
        }
        disk::report(report, &format!("meanwhile, {name}"), syncs);
        disk::report(report, &format!("alone, after {name}"), disk::alone(dir.path())?);
    }
    Ok(())
}

/// A thousand devices, each on a connection of its own, that answer every command at once.
async fn devices(hub: &HubProgram) -> Result<JoinSet<()>> {
    let mut devices = JoinSet::new();
    for number in 0..DEVICES {
        let name = load::name(number);
        let mut client = MqttClient::connect(hub.mqtt, &name).await?;
        client.subscribe(&format!("iot/devices/{name}/commands")).await?;
        let topic = format!("iot/devices/{name}/status");
        let online = MqttMessage { topic, payload: b"online".to_vec() };
        devices.spawn(async move {
            let serving = async {
                client.publish_all(std::iter::once(online), 1).await?;
                client
                    .serve(|topic, payload| {
                        let id = String::from_utf8_lossy(http::text(payload, "id")?).into_owned();
                        let payload = br#"{"status":"executed","response":{"power":"on"}}"#.to_vec();
                        Some(MqttMessage { topic: format!("{topic}/{id}"), payload })
                    })
                    .await
            };
            if let Err(error) = serving.await {
                eprintln!("  a device broke off: {error}");
            }
        });
    }
    hub.committed(count(DEVICES), PATIENCE).await?;
    Ok(devices)
}

async fn measure(hub: &HubProgram, seconds: u32) -> Result<StepTimes> {
    let commands = usize::try_from(PER_SECOND * seconds)?;
    let mut tasks = JoinSet::new();
    let (asked, mut all_asked) = mpsc::unbounded_channel();
    let (told, looking) = mpsc::unbounded_channel();
    let (looked_up, mut all_looked_up) = mpsc::unbounded_channel();
    let mut subscriber = Subscriber::connect_to(hub.http, "command").await?;
    tasks.spawn(async move {
        for _ in 0..commands {
            let executed = executed(&mut subscriber).await?;
            told.send(executed)?;
        }
        Ok(())
    });
    let looking = Arc::new(Mutex::new(looking));
    for _ in 0..LOOKING {
        tasks.spawn(look_up(hub.http, Arc::clone(&looking), looked_up.clone()));
    }
    let start = Instant::now() + Duration::from_millis(100);
    for lane in 0..ASKING {
        tasks.spawn(ask(hub.http, start, lane, PER_SECOND * seconds, asked.clone()));
    }
    drop((asked, looked_up));
    let all = async {
        while let Some(ended) = tasks.join_next().await {
            ended??;
        }
        anyhow::Ok(())
    };
    let limit = PATIENCE + Duration::from_secs(seconds.into());
    timeout(limit, all).await.context("not every command came back")??;
    let mut seen = StepTimes::default();
    while let Ok((id, at)) = all_asked.try_recv() {
        seen.asked.insert(id, at);
    }
    while let Ok(((id, told), at)) = all_looked_up.try_recv() {
        seen.looked_up.insert(id.clone(), at);
        seen.told.insert(id, told);
    }
    ensure!(seen.asked.len() == commands, "{} of {commands} commands were taken", seen.asked.len());
    Ok(seen)
}

/// Asks for every `ASKING`th command when its time has come, from the `lane`th on.
async fn ask(
    hub: SocketAddr,
    start: Instant,
    lane: u32,
    commands: u32,
    tell: mpsc::UnboundedSender<Noted>,
) -> Result<()> {
    const BODY: &str = r#"{"command_type":"set_power","parameters":{"power":"on"}}"#;
    let mut http = Http::connect(hub).await?;
    for number in (lane..commands).step_by(ASKING as usize) {
        tokio::time::sleep_until((start + Duration::from_secs(1) / PER_SECOND * number).into()).await;
        let path = format!("/api/devices/{}/commands", load::name(u64::from(number) % DEVICES));
        let began = Instant::now();
        let answer = http.expect(202, "POST", &path, BODY).await?;
        let id = http::text(answer, "id").context("a command without an id")?;
        tell.send((id.to_vec(), began))?;
    }
    Ok(())
}

/// The next command that the WebSocket says was executed.
async fn executed(subscriber: &mut Subscriber) -> Result<Noted> {
    loop {
        let frame = subscriber.next().await?;
        ensure!(!contains(&frame[..frame.len().min(40)], br#""type":"lagged""#), "the subscriber lagged");
        if contains(frame, br#""status":"executed""#) {
            let id = http::text(frame, "command_id").context("an event of a command without its id")?;
            return Ok((id.to_vec(), Instant::now()));
        }
    }
}

/// Sees for each command that was told as executed whether the history says so.
async fn look_up(
    hub: SocketAddr,
    told: Arc<Mutex<mpsc::UnboundedReceiver<Noted>>>,
    tell: mpsc::UnboundedSender<(Noted, Instant)>,
) -> Result<()> {
    let mut http = Http::connect(hub).await?;
    loop {
        let Some((id, at)) = told.lock().await.recv().await else { return Ok(()) };
        let path = format!("/api/commands/{}", String::from_utf8_lossy(&id));
        let answer = http.expect(200, "GET", &path, "").await?;
        let now = Instant::now();
        ensure!(contains(answer, br#""response":{"power":"on"}"#), "the history does not know what was told");
        tell.send(((id, at), now))?;
    }
}

/// The times from asking to what was `reached`, in order.
fn since(asked: &HashMap<Vec<u8>, Instant>, reached: &HashMap<Vec<u8>, Instant>) -> Result<Vec<Duration>> {
    let mut times = Vec::new();
    for (id, began) in asked {
        let at = reached.get(id).context("a command that nobody saw executed")?;
        times.push(at.saturating_duration_since(*began));
    }
    times.sort_unstable();
    Ok(times)
}
