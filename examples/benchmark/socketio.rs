//! Socket.IO: a thousand clients that all hear 200 events a second, beside as many over `/api/ws`, and beside
//! python-socketio's own server on the same work, with its events from Mosquitto.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::Bench;
use crate::live::{paced, sent_times, warm_hub};
use crate::load::topic;
use crate::mqtt::MqttMessage;
use crate::report::{Aim, BenchmarkReport, at, millis};
use crate::websocket::Subscriber;

const CLIENTS: u32 = 1_000;
/// Connections that publish ten messages a second each.
const PUBLISHERS: u32 = 20;
const PERIOD: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(60);
/// The Python of the tests' clients: `tests/clients/install`.
const PYTHON: &str = "target/clients/python/bin/python";
const SERVER: &str = "examples/benchmark/socketio_server.py";

/// A way to hear events.
#[derive(Clone, Copy)]
enum EventSource {
    ApiWs,
    SocketIo,
}

pub async fn run(bench: &Bench, report: &mut BenchmarkReport) -> Result<()> {
    for (name, source) in [("/api/ws", EventSource::ApiWs), ("Socket.IO", EventSource::SocketIo)] {
        let (_dir, hub) = warm_hub(bench).await?;
        let times = delays(source, hub.http, hub.mqtt, bench.seconds).await?;
        let resident = hub.resident_mb()?;
        hub.stop().await?;
        tell(report, name, times);
        report.add(format!("1,000 clients × 200 events/s, {name}, resident"), resident, "MB", Aim::None);
    }
    let Some(mosquitto) = &bench.mosquitto else { return Ok(()) };
    if !Path::new(PYTHON).exists() {
        println!("  python-socketio is not there: tests/clients/install");
        return Ok(());
    }
    let (server, http) = start_original(mosquitto.address).await?;
    let times = delays(EventSource::SocketIo, http, mosquitto.address, bench.seconds).await?;
    drop(server);
    tell(report, "python-socketio", times);
    Ok(())
}

fn tell(report: &mut BenchmarkReport, name: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    for percent in [50, 99] {
        let name = format!("1,000 clients × 200 events/s, {name}, p{percent}");
        report.add(name, millis(at(&times, percent)), "ms", Aim::None);
    }
}

/// The time from writing each message to its broker to reading it, at every client.
async fn delays(
    source: EventSource,
    http: SocketAddr,
    mqtt: SocketAddr,
    seconds: u32,
) -> Result<Vec<Duration>> {
    let base = Instant::now();
    let each = 10 * seconds;
    let expected = usize::try_from(each * PUBLISHERS)?;
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let mut subscriber = match source {
            EventSource::ApiWs => Subscriber::connect(http).await?,
            EventSource::SocketIo => Subscriber::join(http).await?,
        };
        clients.spawn(async move {
            let mut times = Vec::with_capacity(expected);
            while times.len() < expected {
                let frame = subscriber.next().await?;
                if frame == b"2" {
                    subscriber.answer_ping().await?;
                } else if let Some(sent) = sent_times(frame).next() {
                    times.push(base.elapsed().saturating_sub(sent));
                }
            }
            anyhow::Ok(times)
        });
    }
    let make = move |device, _| MqttMessage {
        topic: topic(device),
        payload: format!(r#"{{"temperature":21.5,"humidity":40,"sent":{}}}"#, base.elapsed().as_micros())
            .into_bytes(),
    };
    let publishing = paced(mqtt, PUBLISHERS, PERIOD, each, make).await?;
    let all = async {
        let mut times = Vec::new();
        while let Some(done) = clients.join_next().await {
            times.extend(done??);
        }
        anyhow::Ok(times)
    };
    let limit = PATIENCE + Duration::from_secs(seconds.into());
    let times = timeout(limit, all).await.context("not every client got every event")??;
    publishing.join_all().await;
    Ok(times)
}

/// Starts python-socketio's server, which says where it listens.
async fn start_original(broker: SocketAddr) -> Result<(Child, SocketAddr)> {
    let mut server = Command::new(PYTHON)
        .args([SERVER, &broker.port().to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let stdout = server.stdout.take().context("its output is read")?;
    let line = timeout(PATIENCE, BufReader::new(stdout).lines().next_line()).await??;
    let port = line.context("python-socketio's server has not started")?.trim().parse()?;
    Ok((server, SocketAddr::from(([127, 0, 0, 1], port))))
}
