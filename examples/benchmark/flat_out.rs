//! Durable ingest flat out while somebody listens, beside what the same broker alone passes to one QoS 1 subscriber in
//! the same run.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::Bench;
use crate::ingest::{broker_alone, count};
use crate::live::{missed, sent_times};
use crate::load::{self, Load};
use crate::mqtt::MqttMessage;
use crate::program::{BareBroker, COMMITTED, HubProgram};
use crate::report::{Aim, BenchmarkReport};
use crate::websocket::Subscriber;

const DEVICES: u64 = 1_000;
const CONNECTIONS: u64 = 4;
const WINDOW: usize = 1_000;
const PATIENCE: Duration = Duration::from_secs(180);

/// Measures both stores on both brokers.
pub async fn run(bench: &Bench, report: &mut BenchmarkReport) -> Result<()> {
    let load = Load { devices: DEVICES, messages: bench.messages, connections: CONNECTIONS, window: WINDOW };
    let limits = bench.limits(report).await?;
    for (broker, outside) in bench.brokers() {
        let passed = alone(outside, load).await?;
        report.add(format!("limit: {broker} alone to one subscriber"), passed, "msg/s", Aim::None);
        // The embedded broker alone passes far more than it is asked for.
        for (store, in_memory, embedded) in [("memory", true, 80_000.0), ("disk", false, 60_000.0)] {
            let Some(dir) = bench.store_dir(in_memory)? else { continue };
            let hub = HubProgram::start(&bench.program, dir.path(), outside).await?;
            let name = format!("{broker}, {store}, one subscriber");
            let stored = measure(&hub, report, load, &name)
                .await
                .with_context(|| format!("stored flat out, {name}"))?;
            hub.stop().await?;
            let (rate, ratio) = match outside {
                None => (Aim::AtLeast(embedded), Aim::None),
                Some(_) => (Aim::None, Aim::AtLeast(0.9)),
            };
            report.add(format!("stored flat out, {name}"), stored, "msg/s", rate);
            report.add(format!("  {name}: stored ÷ broker alone"), stored / passed, "×", ratio);
            if let Some(commit) = limits.commit(in_memory) {
                let bare = stored * commit / 1e6;
                report.add(format!("  {name}: stored ÷ bare commits of one row"), bare, "×", Aim::None);
            }
        }
    }
    Ok(())
}

/// The messages a second that the broker alone passes on.
async fn alone(outside: Option<SocketAddr>, load: Load) -> Result<f64> {
    match outside {
        Some(broker) => broker_alone(broker, load).await,
        None => broker_alone(BareBroker::start().await?.address, load).await,
    }
}

/// The messages a second that the hub stores.
async fn measure(hub: &HubProgram, report: &mut BenchmarkReport, load: Load, name: &str) -> Result<f64> {
    Load::hello(DEVICES, 50).publish(hub.mqtt, PATIENCE).await?;
    hub.committed(count(DEVICES), PATIENCE).await?;
    let mut subscriber = Subscriber::connect(hub.http).await?;
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let listening = tokio::spawn(async move {
        let (mut heard, mut skipped) = (0, 0);
        loop {
            let frame = tokio::select! {
                frame = subscriber.next() => frame?,
                _ = &mut stopped => return anyhow::Ok((heard, skipped)),
            };
            heard += sent_times(frame).count() as u64;
            skipped += missed(frame);
        }
    });
    let (commits, before) = (hub.metric("twinhub_commits_total").await?, hub.metric(COMMITTED).await?);
    let (processor, switches) = (hub.processor_ms()?, hub.switches()?);
    let began = Instant::now();
    load.publish_with(hub.mqtt, PATIENCE, message).await?;
    hub.committed(before + count(load.messages), PATIENCE).await?;
    let took = began.elapsed().as_secs_f64();
    let (processor, switches) = (hub.processor_ms()? - processor, hub.switches()? - switches);
    let commits = hub.metric("twinhub_commits_total").await? - commits;
    drop(stop);
    let (heard, skipped) = listening.await??;
    let messages = count(load.messages);
    for (what, value, unit) in [
        ("processor time a message", processor * 1_000.0 / messages, "µs"),
        ("thread switches a message", switches / messages, ""),
        ("messages a commit", messages / commits.max(1.0), ""),
        ("heard by the subscriber by then", count(heard) / messages, "×"),
        ("events it was told it missed", count(skipped), ""),
    ] {
        report.add(format!("  {name}: {what}"), value, unit, Aim::None);
    }
    Ok(messages / took)
}

/// As [`load::reading`], with the mark by which the subscriber counts.
fn message(device: u64, turn: u64) -> MqttMessage {
    let MqttMessage { topic, mut payload } = load::reading(device, turn);
    payload.pop();
    payload.extend_from_slice(format!(r#","seq":{turn},"sent":{turn}}}"#).as_bytes());
    MqttMessage { topic, payload }
}
