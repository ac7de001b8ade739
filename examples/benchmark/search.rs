//! Search over everything in a hundred thousand twins: in memory, and right after a start,
//! when all of them are in the store alone.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use tokio::task::JoinSet;

use crate::Bench;
use crate::http::Http;
use crate::ingest::count;
use crate::load::{self, Load};
use crate::program::HubProgram;
use crate::report::{Aim, BenchmarkReport, millis};
use crate::rest::median;

const TWINS: u64 = 100_000;
/// Connections that register devices.
const REGISTERING: u64 = 64;
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(300);

/// The questions, by their names.
const QUESTIONS: [(&str, &[(&str, &str)]); 9] = [
    ("a reading below a value", &[("filter", "reported.temperature < 18.5")]),
    ("reading, status and tag", &[("filter", r#"humidity < 40 && status == "online" && tag.floor == "2""#)]),
    ("what no twin has", &[("filter", "reported.battery < 20")]),
    ("what is true of all", &[("filter", "has(temperature)")]),
    ("sorted by a reading", &[("sort", "-reported.temperature")]),
    ("sorted by a tag, page 2,500", &[("sort", "tags.floor"), ("page", "2500")]),
    ("found and sorted", &[("filter", "humidity > 50"), ("sort", "pressure")]),
    ("a part of the name, and a reading", &[("filter", "temperature > 20"), ("q", "0042")]),
    ("a part of the name alone", &[("q", "0042")]),
];

/// Runs the cases of the search and reports their figures.
pub async fn run(bench: &Bench, report: &mut BenchmarkReport) -> Result<()> {
    let twins = bench.twins.min(TWINS);
    let dir = bench.disk_dir()?;
    let outside = bench.mosquitto.as_ref().map(|mosquitto| mosquitto.address);
    let hub = HubProgram::start(&bench.program, dir.path(), outside).await?;
    register(&hub, twins).await?;
    let connections = if outside.is_some() { 4 } else { 100 };
    Load::hello(twins, connections).publish(hub.mqtt, PATIENCE).await?;
    hub.committed(count(2 * twins), PATIENCE).await?;
    let all = found(&hub, &[("filter", "has(temperature)")]).await?;
    ensure!(all == twins, "{all} of {twins} twins are found");
    for (name, question) in QUESTIONS {
        let took = median(&hub, || path(question)).await?;
        report.add(format!("search of {twins}: {name}"), took, "ms", Aim::Below(100.0));
    }
    hub.stop().await?;

    let hub = HubProgram::start(&bench.program, dir.path(), outside).await?;
    let began = Instant::now();
    let cold = found(&hub, QUESTIONS[0].1).await?;
    report.add(
        format!("search of {twins}: first after a start"),
        millis(began.elapsed()),
        "ms",
        Aim::Below(100.0),
    );
    ensure!(cold > 0, "nothing is found after a start");
    let took = median(&hub, || path(QUESTIONS[1].1)).await?;
    report.add(format!("search of {twins}: nothing in memory"), took, "ms", Aim::None);
    hub.stop().await
}

/// Registers so many devices, with tags and a type.
async fn register(hub: &HubProgram, twins: u64) -> Result<()> {
    let mut hands = JoinSet::new();
    for hand in 0..REGISTERING {
        let address = hub.http;
        hands.spawn(async move {
            let mut http = Http::connect(address).await?;
            for device in (hand..twins).step_by(usize::try_from(REGISTERING)?) {
                let body = format!(
                    r#"{{"device_id":"{0}","name":"{0}","type":"{1}","tags":{{"floor":"{2}"}}}}"#,
                    load::name(device),
                    if device % 3 == 0 { "pump" } else { "fan" },
                    device % 12
                );
                http.expect(201, "POST", "/api/devices", &body).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = hands.join_next().await {
        done??;
    }
    Ok(())
}

fn path(question: &[(&str, &str)]) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    let query = query.extend_pairs(question).append_pair("limit", "20").finish();
    format!("/api/devices?{query}")
}

/// The number of devices found.
async fn found(hub: &HubProgram, question: &[(&str, &str)]) -> Result<u64> {
    let answer = hub.get(&path(question)).await?.error_for_status()?;
    let total = answer.headers().get("X-Total-Count").context("a list says how many there are")?;
    Ok(total.to_str()?.parse()?)
}
