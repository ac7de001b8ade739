//! Memory of MQTT connections that say nothing, beside that of the bare broker in the same run.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::time::timeout;

use crate::Bench;
use crate::ingest::count;
use crate::load;
use crate::mqtt::MqttClient;
use crate::program::{BareBroker, HubProgram};
use crate::report::{Aim, BenchmarkReport};
use crate::rest::at_rest;

const CONNECTIONS: u64 = 10_000;
const PATIENCE: Duration = Duration::from_secs(300);

/// Measures the hub and the bare broker.
pub async fn run(bench: &Bench, report: &mut BenchmarkReport) -> Result<()> {
    rlimit::increase_nofile_limit(u64::MAX).context("cannot raise the limit of file handles")?;
    let connections = CONNECTIONS.min(bench.twins);
    let dir = bench.disk_dir()?;
    // A tenth of the places is kept for devices that the hub knows.
    let options = ["--mqtt-connections", "12000"];
    let hub = HubProgram::start_with(&bench.program, dir.path(), None, &options).await?;
    let of_hub = grown(|| hub.resident_mb(), hub.mqtt, connections).await?;
    hub.stop().await?;
    let bare = BareBroker::start().await?;
    let of_bare = grown(|| bare.resident_mb(), bare.address, connections).await?;
    let aim = if connections == CONNECTIONS { Aim::Below(120.0) } else { Aim::None };
    report.add(format!("memory of {connections} idle MQTT connections"), of_hub, "MB", aim);
    report.add("  of each", of_hub * 1e6 / count(connections), "bytes", Aim::None);
    report.add(format!("limit: the same, {connections} at the bare broker"), of_bare, "MB", Aim::None);
    report.add("  hub ÷ bare broker", of_hub / of_bare, "×", Aim::None);
    Ok(())
}

/// The MB by which it grew with so many connections.
async fn grown(resident: impl Fn() -> Result<f64>, broker: SocketAddr, connections: u64) -> Result<f64> {
    const LOOKS: u32 = 6;
    let before = at_rest(&resident, LOOKS).await?;
    let clients = timeout(PATIENCE, load::connect(broker, connections)).await??;
    let after = at_rest(&resident, LOOKS).await?;
    drop::<Vec<MqttClient>>(clients);
    Ok(after - before)
}
