//! Groups: how long their list with counts takes, at rest and while devices report, and how soon after a start.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::Bench;
use crate::http::Http;
use crate::ingest::count;
use crate::load::{self, Load};
use crate::program::HubProgram;
use crate::report::{Aim, BenchmarkReport, at, millis};

const GROUPS: u64 = 1_000;
/// Groups right under each.
const UNDER: u64 = 10;
const CONNECTIONS: usize = 50;
/// The number of requests for the list.
const TIMES: usize = 200;
const PATIENCE: Duration = Duration::from_secs(900);
/// The time that the list may take, in ms.
const LIMIT: f64 = 20.0;

/// Measures all of it.
pub async fn run(bench: &Bench, report: &mut BenchmarkReport) -> Result<()> {
    let devices = bench.twins.min(100_000);
    let dir = bench.disk_dir()?;
    let hub = HubProgram::start(&bench.program, dir.path(), None).await?;
    fill(&hub, devices).await?;
    let of = format!("{GROUPS} groups with counts of {devices} devices");
    let times = ask(&hub, devices, TIMES).await?;
    report.add(format!("{of}, p50"), millis(at(&times, 50)), "ms", Aim::Below(LIMIT));
    report.add("  p99", millis(at(&times, 99)), "ms", Aim::None);
    let load = Load { devices, messages: bench.messages, connections: 4, window: 100 };
    let before = hub.metric(crate::program::COMMITTED).await?;
    let began = Instant::now();
    let reporting = async {
        load.publish(hub.mqtt, PATIENCE).await?;
        hub.committed(before + count(load.messages), PATIENCE).await?;
        anyhow::Ok(began.elapsed())
    };
    let asking = async {
        tokio::time::sleep(Duration::from_millis(200)).await; // they are under way
        ask(&hub, devices, TIMES / 4).await
    };
    let (took, times) = tokio::try_join!(reporting, asking)?;
    report.add("  while devices report, p50", millis(at(&times, 50)), "ms", Aim::None);
    report.add(
        "    so many of them meanwhile",
        count(load.messages) / took.as_secs_f64(),
        "msg/s",
        Aim::None,
    );
    hub.stop().await?;

    let hub = HubProgram::start(&bench.program, dir.path(), None).await?;
    let began = Instant::now();
    ask(&hub, devices, 1).await?;
    report.add("  counted after a start, beyond ready", millis(began.elapsed()), "ms", Aim::None);
    hub.stop().await
}

/// Asks for all groups so often; the times, sorted.
async fn ask(hub: &HubProgram, devices: u64, times: usize) -> Result<Vec<Duration>> {
    let mut http = Http::connect(hub.http).await?;
    let mut took = Vec::with_capacity(times);
    for _ in 0..times {
        let began = Instant::now();
        // Right after a start it may have to count first.
        let answer = loop {
            let answer = http.request("GET", "/api/groups?limit=1000", "").await?;
            match answer.status {
                200 => break answer.body.to_vec(),
                503 if began.elapsed() < PATIENCE => {}
                status => anyhow::bail!("the list of groups is answered with {status}"),
            }
        };
        took.push(began.elapsed());
        let groups: Vec<serde_json::Value> = serde_json::from_slice(&answer)?;
        ensure!(groups.len() as u64 == GROUPS, "{} groups", groups.len());
        let total = groups[0]["subtree"]["total"].as_u64();
        ensure!(total == Some(devices), "{total:?} devices under the first group");
    }
    took.sort_unstable();
    Ok(took)
}

/// Makes the groups, a tree, and registers the devices in them, in turn.
async fn fill(hub: &HubProgram, devices: u64) -> Result<()> {
    let mut http = Http::connect(hub.http).await?;
    for group in 0..GROUPS {
        let parent = match group {
            0 => "null".to_owned(),
            group => format!(r#""{}""#, name((group - 1) / UNDER)),
        };
        let body = format!(r#"{{"id":"{}","name":"Group {group}","parent_group":{parent}}}"#, name(group));
        http.expect(201, "POST", "/api/groups", &body).await?;
    }
    let mut tasks = JoinSet::new();
    let address = hub.http;
    for lane in (0..devices).take(CONNECTIONS) {
        tasks.spawn(async move {
            let mut http = Http::connect(address).await?;
            for device in (lane..devices).step_by(CONNECTIONS) {
                let (id, group) = (load::name(device), name(device % GROUPS));
                let kind = ["pump", "fan", "sensor"][usize::try_from(device % 3)?];
                let body =
                    format!(r#"{{"device_id":"{id}","name":"{id}","type":"{kind}","group_id":"{group}"}}"#);
                http.expect(201, "POST", "/api/devices", &body).await?;
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
    timeout(PATIENCE, all).await.context("not every device was registered")??;
    let before = hub.metric(crate::program::COMMITTED).await?;
    Load::hello(devices, 50).publish(hub.mqtt, PATIENCE).await?;
    hub.committed(before + count(devices), PATIENCE).await
}

/// They sort as they are counted, so that the first is the first in the list.
fn name(group: u64) -> String {
    format!("group-{group:04}")
}
