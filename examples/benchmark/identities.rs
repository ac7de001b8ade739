//! The cost of knowing which device speaks: durable ingest of devices with passwords, by a hub that lets in no other,
//! beside the same by a hub that lets in everybody.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use crate::Bench;
use crate::connects::{register, token};
use crate::ingest::count;
use crate::load::{self, Load};
use crate::mqtt::MqttClient;
use crate::program::{COMMITTED, HubProgram};
use crate::report::BenchmarkReport;
use crate::turns::{Compared, TURNS, order};

/// Each with a connection of its own.
const DEVICES: u64 = 1_000;
const WINDOW: usize = 20;
const PATIENCE: Duration = Duration::from_secs(180);
const WAYS: [&str; 2] = ["open", "with tokens"];

/// A hub with its devices connected.
struct ConnectedHub {
    hub: HubProgram,
    clients: Vec<MqttClient>,
    _dir: TempDir,
}

/// Measures both in turns.
pub async fn run(bench: &Bench, report: &mut BenchmarkReport) -> Result<()> {
    rlimit::increase_nofile_limit(u64::MAX).context("cannot raise the limit of file handles")?;
    let mut hubs = [connected(bench, false).await?, connected(bench, true).await?];
    let hello = Load { devices: DEVICES, messages: DEVICES, connections: DEVICES, window: WINDOW };
    let load = Load { messages: bench.messages / 2, ..hello };
    let mut stored = Compared::new(format!("stored, {DEVICES} devices"), "msg/s", &WAYS);
    let mut spent = Compared::new("processor time a message, devices", "µs", &WAYS);
    for hub in &mut hubs {
        hub.ingest(hello).await?;
    }
    for turn in 0..TURNS {
        for way in order(turn, WAYS.len()) {
            let processor = hubs[way].hub.processor_ms()?;
            let took = hubs[way].ingest(load).await?;
            let processor = hubs[way].hub.processor_ms()? - processor;
            stored.add(way, count(load.messages) / took.as_secs_f64());
            spent.add(way, processor * 1_000.0 / count(load.messages));
        }
    }
    for compared in [stored, spent] {
        compared.report(report);
        compared.report_ratio(report, 1, 0);
    }
    for ConnectedHub { hub, clients, .. } in hubs {
        drop(clients);
        hub.stop().await?;
    }
    Ok(())
}

/// Both know the devices; the strict one lets in nobody else.
async fn connected(bench: &Bench, is_strict: bool) -> Result<ConnectedHub> {
    let dir = bench.disk_dir()?;
    let options = ["--devices", if is_strict { "strict" } else { "open" }];
    let hub = HubProgram::start_with(&bench.program, dir.path(), None, &options).await?;
    register(&hub, DEVICES).await?;
    let mut clients = Vec::new();
    for device in 0..DEVICES {
        let name = load::name(device);
        clients.push(match is_strict {
            true => MqttClient::connect_as(hub.mqtt, Ipv4Addr::LOCALHOST, &name, &token(device)).await?,
            false => MqttClient::connect(hub.mqtt, &name).await?,
        });
    }
    Ok(ConnectedHub { hub, clients, _dir: dir })
}

impl ConnectedHub {
    /// From the first message to the commit of the last.
    async fn ingest(&mut self, load: Load) -> Result<Duration> {
        let before = self.hub.metric(COMMITTED).await?;
        let clients = std::mem::take(&mut self.clients);
        let began = Instant::now();
        self.clients = load.publish_over(clients, PATIENCE, load::reading).await?;
        self.hub.committed(before + count(load.messages), PATIENCE).await?;
        Ok(began.elapsed())
    }
}
