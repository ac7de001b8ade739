//! Rules: how soon a reading beyond a threshold becomes a command, with a thousand of them loaded; what rules cost
//! messages that do not concern them; their memory; and how fast a backtest goes through the past.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::Bench;
use crate::disk;
use crate::ingest::count;
use crate::load::{self, Load};
use crate::mqtt::{MqttClient, MqttMessage};
use crate::program::HubProgram;
use crate::report::{Aim, BenchmarkReport, at, millis};
use crate::rest::settled_for;

/// Rules, each about a device of its own, in the measurement of how soon.
const WATCHED: u64 = 1_000;
const PER_SECOND: u32 = 200;
/// Rules that do not concern the messages that are counted.
const UNCONCERNED: [u64; 4] = [0, 10, 1_000, 10_000];
/// Each number of rules is measured so often, in turn, and counts with its best: the machine is never quiet.
const ROUNDS: usize = 3;
const DEVICES: u64 = 1_000;
const PATIENCE: Duration = Duration::from_secs(300);

/// Measures all of it.
pub async fn run(bench: &Bench, report: &mut BenchmarkReport) -> Result<()> {
    for (name, outside) in bench.brokers() {
        how_soon(bench, report, name, outside, false).await?;
        how_soon(bench, report, name, outside, true).await?;
    }
    unconcerned(bench, report).await?;
    backtest(bench, report).await
}

/// A file with `rules` rules; `device` says whom each is about.
fn write_rules(data: &Path, rules: u64, device: impl Fn(u64) -> String) -> Result<()> {
    let folder = data.join("rules");
    std::fs::create_dir_all(&folder)?;
    // A file of a million bytes is as large as one may be.
    for (file, first) in (0..rules).step_by(1_000).enumerate() {
        let mut text = String::from("version: 1\nrules:\n");
        for rule in first..rules.min(first + 1_000) {
            let device = device(rule);
            let target = if device.contains('*') { "trigger.device" } else { &device };
            write!(
                text,
                "  hot-{rule}:\n    triggers:\n      - numeric: {device}.temperature\n        above: 1000\n        \
                 release: 900\n    conditions:\n      - device.mode != \"manual\"\n    actions:\n      \
                 - command: {target}\n        type: cool\n        parameters: {{ seen: \"{{{{ trigger.value }}}}\" }}\n"
            )?;
        }
        std::fs::write(folder.join(format!("{file:03}.yaml")), text)?;
    }
    Ok(())
}

/// From the reading that is published to the command that the device gets: two commits lie between. One rule is about
/// all devices, or each device has one of its own.
async fn how_soon(
    bench: &Bench,
    report: &mut BenchmarkReport,
    name: &str,
    outside: Option<std::net::SocketAddr>,
    has_one_each: bool,
) -> Result<()> {
    let dir = bench.disk_dir()?;
    let rules = if has_one_each { WATCHED } else { 1 };
    write_rules(dir.path(), rules, |rule| if has_one_each { load::name(rule) } else { "bench-*".into() })?;
    let hub = HubProgram::start(&bench.program, dir.path(), outside).await?;
    ensure!(hub.metric("twinhub_rules").await? >= count(rules), "the rules are not loaded");
    Load::hello(WATCHED, 50).publish(hub.mqtt, PATIENCE).await?;
    hub.committed(count(WATCHED), PATIENCE).await?;

    let crossings = PER_SECOND * bench.seconds;
    let (told, mut sent) = mpsc::unbounded_channel();
    let mut devices = MqttClient::connect(hub.mqtt, "devices").await?;
    devices.subscribe("iot/devices/+/commands").await?;
    let (heard, mut commanded) = mpsc::unbounded_channel();
    let listening = tokio::spawn(async move {
        devices
            .serve(|topic, payload| {
                let seen = number(payload, b"\"seen\":")?;
                let _ = heard.send((seen, Instant::now()));
                let id = String::from_utf8_lossy(crate::http::text(payload, "id")?).into_owned();
                let payload = br#"{"status":"executed"}"#.to_vec();
                Some(MqttMessage { topic: format!("{topic}/{id}"), payload })
            })
            .await
    });
    let mut syncs = Vec::new();
    let publishing = async {
        let mut client = MqttClient::connect(hub.mqtt, "sensors").await?;
        let start = Instant::now() + Duration::from_millis(100);
        let period = Duration::from_secs(1) / (2 * PER_SECOND);
        // Each crossing is followed by the way back, half a round of the devices later.
        client
            .publish_paced(start, period, 2 * crossings, |n| {
                let turn = u64::from(n / 2);
                let (device, value) = if n % 2 == 0 {
                    let _ = told.send((1_001 + turn, Instant::now()));
                    (turn % WATCHED, 1_001 + turn)
                } else {
                    ((turn + WATCHED / 2) % WATCHED, 20)
                };
                let payload = format!(r#"{{"temperature":{value}}}"#).into_bytes();
                MqttMessage { topic: load::topic(device), payload }
            })
            .await?;
        let mut reached = HashMap::new();
        while reached.len() < crossings as usize {
            let (seen, at) = commanded.recv().await.context("the devices broke off")?;
            reached.entry(seen).or_insert(at);
        }
        anyhow::Ok(reached)
    };
    let limit = PATIENCE + Duration::from_secs(bench.seconds.into());
    let reached = tokio::select! {
        reached = timeout(limit, publishing) => reached.context("not every crossing became a command")??,
        failed = disk::meanwhile(dir.path(), &mut syncs) => return failed,
    };
    listening.abort();
    let mut times = Vec::new();
    while let Ok((value, began)) = sent.try_recv() {
        let at: &Instant = reached.get(&value).context("a crossing without a command")?;
        times.push(at.saturating_duration_since(began));
    }
    times.sort_unstable();
    hub.stop().await?;
    let (what, most) =
        if has_one_each { (format!("{WATCHED} rules"), 3.0) } else { ("one rule".into(), 2.0) };
    for (percent, aim) in [(50, 1.2), (99, most)] {
        let name = format!("reading → command, {what}, {name}, p{percent}");
        report.add(name, millis(at(&times, percent)), "ms", Aim::Below(aim));
    }
    disk::report(report, &format!("meanwhile, {what}, {name}"), syncs);
    Ok(())
}

/// The number behind `name`, where it is one or the text of one.
fn number(json: &[u8], name: &[u8]) -> Option<u64> {
    let start = json.windows(name.len()).position(|window| window == name)? + name.len();
    let digits: Vec<u8> =
        json[start..].iter().copied().skip_while(|b| *b == b'"').take_while(u8::is_ascii_digit).collect();
    std::str::from_utf8(&digits).ok()?.parse().ok()
}

/// Messages stored a second beside rules that they do not concern, and what those rules take of memory.
async fn unconcerned(bench: &Bench, report: &mut BenchmarkReport) -> Result<()> {
    let mut best = [0.0_f64; UNCONCERNED.len()];
    for round in 0..ROUNDS {
        for place in 0..UNCONCERNED.len() {
            // In another order each round, so that what grows over time does not count against one of them.
            let place = (place + round) % UNCONCERNED.len();
            best[place] = best[place].max(beside(bench, UNCONCERNED[place]).await?);
        }
    }
    for (rules, rate) in UNCONCERNED.iter().zip(best) {
        report.add(format!("stored beside {rules} rules, embedded"), rate, "msg/s", Aim::None);
    }
    for (rules, rate) in UNCONCERNED.iter().zip(best).skip(1) {
        let name = format!("  {rules} rules ÷ none");
        report.add(name, rate / best[0], "", Aim::AtLeast(0.95));
    }
    let mut resident = Vec::new();
    for rules in [0, 10_000] {
        let dir = bench.disk_dir()?;
        write_rules(dir.path(), rules, |rule| format!("elsewhere-{rule}"))?;
        let hub = HubProgram::start(&bench.program, dir.path(), None).await?;
        resident.push(settled_for(&hub, 20).await? * 1e6);
        hub.stop().await?;
    }
    let each = (resident[1] - resident[0]) / 10_000.0;
    report.add("memory of a rule, of 10,000", each, "bytes", Aim::Below(4_000.0));
    Ok(())
}

async fn beside(bench: &Bench, rules: u64) -> Result<f64> {
    let dir = bench.disk_dir()?;
    write_rules(dir.path(), rules, |rule| format!("elsewhere-{rule}"))?;
    let hub = HubProgram::start(&bench.program, dir.path(), None).await?;
    ensure!(hub.metric("twinhub_rules").await? >= count(rules), "the rules are not loaded");
    Load::hello(DEVICES, 4).publish(hub.mqtt, PATIENCE).await?;
    hub.committed(count(DEVICES), PATIENCE).await?;
    let load = Load { devices: DEVICES, messages: bench.messages, connections: 4, window: 1_000 };
    let began = Instant::now();
    load.publish(hub.mqtt, PATIENCE).await?;
    hub.committed(count(DEVICES + load.messages), PATIENCE).await?;
    let rate = count(load.messages) / began.elapsed().as_secs_f64();
    hub.stop().await?;
    Ok(rate)
}

/// One rule over the readings of one device.
async fn backtest(bench: &Bench, report: &mut BenchmarkReport) -> Result<()> {
    let readings = bench.readings.min(1_000_000);
    let dir = bench.disk_dir()?;
    let hub = HubProgram::start(&bench.program, dir.path(), None).await?;
    let load = Load { devices: 1, messages: readings, connections: 1, window: 1_000 };
    let one = |device: u64, turn: u64| {
        // Up and down between 0 and 99: it crosses 90 once in 200 readings.
        let place = turn % 200;
        let value = if place < 100 { place } else { 199 - place };
        let payload = format!(r#"{{"temperature":{value},"id":"{turn}"}}"#).into_bytes();
        MqttMessage { topic: load::topic(device), payload }
    };
    load.publish_with(hub.mqtt, PATIENCE, one).await?;
    hub.committed(count(readings), PATIENCE).await?;
    settled_for(&hub, 10).await?;
    let name = load::name(0);
    let body = format!(
        r#"{{"rule":{{"id":"hot","triggers":[{{"numeric":"{name}.temperature","above":90,"release":50}}],
            "actions":[{{"log":"hot"}}]}},"from":"2026-01-01T00:00:00Z"}}"#
    );
    let client = reqwest::Client::builder().no_proxy().build()?;
    let began = Instant::now();
    let answer = client
        .post(format!("http://{}/api/automation/backtest", hub.http))
        .header("content-type", "application/json")
        .body(body)
        .timeout(PATIENCE)
        .send()
        .await?
        .error_for_status()?;
    let answer: serde_json::Value = answer.json().await?;
    let took = began.elapsed().as_secs_f64();
    hub.stop().await?;
    let runs = answer["runs"].as_array().map_or(0, Vec::len);
    ensure!(runs > 0, "the backtest found no run");
    let aim = if readings == 1_000_000 { Aim::Below(5.0) } else { Aim::None };
    report.add(format!("backtest of one rule over {readings} readings"), took, "s", aim);
    report.add("  runs found", count(u64::try_from(runs)?), "", Aim::None);
    Ok(())
}
