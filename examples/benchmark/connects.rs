//! Devices with passwords that connect: one after another, and all at once, from several addresses of this machine.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::Bench;
use crate::import;
use crate::ingest::count;
use crate::load;
use crate::mqtt::MqttClient;
use crate::program::HubProgram;
use crate::report::{Aim, BenchmarkReport, at, millis};

const DEVICES: u64 = 100_000;
/// Connections at once.
const AT_ONCE: u64 = 10_000;
/// Addresses from which they come: each has some 28,000 ports, which rest for a minute after their use.
const ADDRESSES: u64 = 16;
const PATIENCE: Duration = Duration::from_secs(900);
/// The time for all of it, in seconds.
const LIMIT: f64 = 60.0;

/// Measures all of it.
pub async fn run(bench: &Bench, report: &mut BenchmarkReport) -> Result<()> {
    rlimit::increase_nofile_limit(u64::MAX).context("cannot raise the limit of file handles")?;
    let devices = DEVICES.min(bench.twins);
    let dir = bench.disk_dir()?;
    std::fs::write(dir.path().join("twinhub.toml"), "devices = 'strict'\n")?;
    let hub = HubProgram::start(&bench.program, dir.path(), None).await?;
    register(&hub, devices).await?;

    let processor = hub.processor_ms()?;
    let began = Instant::now();
    let mut times = Vec::new();
    for device in 0..devices {
        let began = Instant::now();
        drop(timeout(PATIENCE, connect(&hub, device)).await??);
        times.push(began.elapsed());
    }
    let one_by_one = began.elapsed().as_secs_f64();
    times.sort_unstable();
    let name = format!("{devices} devices with a token connect one after another");
    report.add(name, one_by_one, "s", Aim::None);
    report.add("  p50", millis(at(&times, 50)), "ms", Aim::None);
    report.add("  p99", millis(at(&times, 99)), "ms", Aim::None);
    let spent = (hub.processor_ms()? - processor) * 1_000.0 / count(devices);
    report.add("  processor time of the hub for each", spent, "µs", Aim::None);

    let many = AT_ONCE.min(devices);
    let began = Instant::now();
    let clients = timeout(PATIENCE, connect_at_once(&hub, many)).await??;
    let at_once = began.elapsed().as_secs_f64();
    ensure!(clients.len() as u64 == many, "{} are connected", clients.len());
    report.add(format!("{many} at once, until all are in"), at_once, "s", Aim::None);
    let aim = if devices == DEVICES { Aim::Below(LIMIT) } else { Aim::None };
    report.add("both", one_by_one + at_once, "s", aim);
    drop(clients);
    hub.stop().await
}

async fn connect_at_once(hub: &HubProgram, many: u64) -> Result<Vec<MqttClient>> {
    let mut connecting = JoinSet::new();
    for device in 0..many {
        let (broker, from, name) = (hub.mqtt, address(device), load::name(device));
        connecting.spawn(async move { MqttClient::connect_as(broker, from, &name, &token(device)).await });
    }
    let mut clients = Vec::new();
    while let Some(connected) = connecting.join_next().await {
        clients.push(connected??);
    }
    Ok(clients)
}

/// The password of a device.
pub fn token(device: u64) -> String {
    format!("token-of-device-{device:07}")
}

async fn connect(hub: &HubProgram, device: u64) -> Result<MqttClient> {
    let name = load::name(device);
    let client = MqttClient::connect_as(hub.mqtt, address(device), &name, &token(device)).await;
    client.with_context(|| name)
}

/// The address from which a device connects.
fn address(device: u64) -> Ipv4Addr {
    let last = u8::try_from(device % ADDRESSES + 1).unwrap_or(1); // 16 at most
    Ipv4Addr::new(127, 0, 1, last)
}

/// Registers so many devices, with their passwords.
pub async fn register(hub: &HubProgram, devices: u64) -> Result<()> {
    let mut file = String::from("device_id,name,auth_token\n");
    for device in 0..devices {
        // Writing to a String cannot fail.
        let _ = writeln!(file, "{0},{0},{1}", load::name(device), token(device));
    }
    import::import(hub, "format=csv", file.into_bytes(), "created", devices).await?;
    Ok(())
}
