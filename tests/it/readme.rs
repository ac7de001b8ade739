//! The README tells the truth: each of its blocks is run as it stands, from top to bottom, as a newcomer would.

mod blocks;
mod shell;

use std::collections::BTreeSet;
use std::path::Path;

use blocks::{Block, blocks};
use serde_json::Value;
use shell::Shell;

use crate::options::rows_of_readme;
use crate::support::hub::{Installation, run as run_program};
use crate::support::{HubProcess, Mosquitto, MqttDevice, eventually};

/// Read while the test runs: an edit of the text needs no build.
const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");

/// Shell blocks that are not run here: how each begins, and why.
const NOT_RUN: &[(&str, &str)] = &[
    ("cargo run --release\n", "it starts the hub: the test has started it already"),
    ("cargo install ", "it builds the program once more, for ten minutes"),
    ("twinhub --listen 0.0.0.0:8080 ", "it serves the network, until it is ended"),
    ("tests/run\n", "it would run this test"),
    ("cargo build --release && cargo run --release --example benchmark", "it measures for many minutes"),
];

/// A word that begins a block's command, and what the block must print: an example that runs and finds nothing teaches
/// nothing.
const PRINTS: &[(&str, &str)] = &[
    ("pump-1/desired -C 1", r#"{"delta":{"power":"on"},"desired":{"power":"on"},"version":"#),
    ("/api/devices/pump-1/twin", r#""applied""#),
    ("agg=avg", "12.4"),
    ("text/event-stream", "data:"),
    ("cat command.json", "set_speed"),
    ("/api/commands/$id", r#""executed""#),
    ("sort=-reported.battery", r#""pump-1""#),
    ("tree=true", r#""hall-2""#),
    ("/api/templates/pump?dry_run", r#""pump-1""#),
    ("mosquitto_rr", r#""status":201,"id":"line3-0018""#),
    ("jobs watch", "done 100 %: 1 of 1 devices"),
    ("rollouts", r#""pump-1""#),
    ("devices import pumps.csv", "2 lines: 2 created"),
    ("rules test", "hot for five minutes"),
    ("/v1/sensors/latest", "temp-001"),
    ("X-Hub-Signature-256: sha256=$signature", r#""seq""#),
    ("journal?device_id=fan", r#""role":"left_alone""#),
    ("twinhub verify hub.tar", "whole: "),
    ("transport=polling", r#"42["sensor_data",{"device_id":"test_device","temperature":23.5"#),
];

#[tokio::test]
async fn every_block_of_the_readme_runs_as_it_stands() {
    let dir = tempfile::TempDir::with_prefix("twinhub-readme-").unwrap();
    // Where the program finds them by itself.
    let hub = Installation::at(&dir.path().join("data")).in_folder(dir.path()).start().await;
    let shell = Shell::new(dir.path(), &hub);

    let mut unseen: Vec<&str> = PRINTS.iter().map(|(begins, _)| *begins).collect();
    for block in blocks(&std::fs::read_to_string(README).unwrap()) {
        match block.language.as_str() {
            "sh" if is_left_out(&block) => {}
            "sh" => {
                let printed = shell.run(&block).await;
                for (word, expected) in PRINTS.iter().filter(|(word, _)| block.text.contains(word)) {
                    assert!(printed.contains(expected), "{block}\nprinted no {expected}, but\n{printed}");
                    unseen.retain(|other| other != word);
                }
            }
            "yaml" => {
                let file =
                    block.file.as_deref().unwrap_or_else(|| panic!("no file is named before\n{block}"));
                let path = dir.path().join(file);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap(); // a newcomer has none yet
                std::fs::write(path, &block.text).unwrap();
                let rule = block.text.lines().find_map(|line| line.strip_prefix("  ")?.strip_suffix(':'));
                let path = format!("/api/automation/rules/{}", rule.unwrap());
                eventually("the rule is read", async || {
                    hub.get(&path).await.status().is_success().then_some(())
                })
                .await;
            }
            "python" => shell.compiles(&block).await,
            "json" if block.text.contains("sensor_readings") => take_payloads(&hub, &block).await,
            "conf" => keeps_everything(&block).await,
            "toml" => is_configuration(dir.path(), &block).await,
            // The proxies' own: both run with their blocks in `proxy.rs`.
            "nginx" | "caddy" => {}
            // A page's client: it runs in `socketio`.
            "js" => {}
            // Pictures, and answers that stand shortened.
            "" | "json" => {}
            other => panic!("nothing runs a block in {other}:\n{block}"),
        }
    }
    assert!(unseen.is_empty(), "the README has no block with {unseen:?} any more");
}

#[test]
fn the_benchmark_s_table_has_each_of_its_parts() {
    let source = include_str!("../../examples/benchmark/main.rs");
    let parts = source.split_once("enum BenchmarkPart {").unwrap().1.split_once('}').unwrap().0;
    let kebab = |name: &str| {
        let lower =
            name.chars().flat_map(|c| [c.is_uppercase().then_some('-'), Some(c.to_ascii_lowercase())]);
        lower.flatten().collect::<String>().trim_matches(['-', ',']).to_owned()
    };
    let parts: BTreeSet<String> = parts.split_whitespace().map(kebab).collect();
    let rows = rows_of_readme("| case | what it measures |");
    let told =
        rows.iter().flat_map(|cells| cells[0].split(", ")).map(|name| name.trim_matches('`').to_owned());
    assert_eq!(told.collect::<BTreeSet<_>>(), parts);
}

/// Each payload that a device may send is taken.
async fn take_payloads(hub: &HubProcess, block: &Block) {
    for payload in serde_json::Deserializer::from_str(&block.text).into_iter::<Value>() {
        let payload = payload.unwrap_or_else(|error| panic!("{block}\n{error}"));
        let response = hub.post("/api/devices/pump-1/data", &payload).await;
        let (status, answer) = (response.status(), response.text().await.unwrap());
        assert!(status.is_success(), "{payload}: {status} {answer}");
    }
}

/// The lines are options of the configuration file. The files that they name stand in `folder` here.
async fn is_configuration(folder: &Path, block: &Block) {
    let file = folder.join("of-the-readme.toml");
    std::fs::write(folder.join("oidc.secret"), "a secret of the provider's").unwrap();
    let named = format!("{}/", folder.display());
    std::fs::write(&file, block.text.replace("/etc/twinhub/", &named)).unwrap();
    let output = run_program(&["config", "--config", file.to_str().unwrap()], &[]).await;
    assert!(output.status.success(), "{block}\n{}", String::from_utf8_lossy(&output.stderr));
}

/// A Mosquitto with these lines loses nothing while the hub is away: more than the 1,000 messages that it keeps as it
/// is installed.
async fn keeps_everything(block: &Block) {
    const MESSAGES: u64 = 1_200;
    let mosquitto = Mosquitto::with(&block.text).await;
    let installation = Installation::new().on_broker(mosquitto.address);
    assert!(installation.start().await.terminate().await.success());
    let mut device = MqttDevice::connect(mosquitto.address, "pump-1").await.unwrap();
    for n in 0..MESSAGES {
        device.say("iot/devices/pump-1/data", &format!(r#"{{"n": {n}}}"#)).await;
    }
    let hub = installation.start().await;
    eventually("all messages are stored", async || {
        let days = hub.json("/api/devices/pump-1/data?sensor_type=n&interval=1d&agg=count").await;
        let stored: u64 = days.as_array().unwrap().iter().filter_map(|day| day["value"].as_u64()).sum();
        (stored == MESSAGES).then_some(())
    })
    .await;
}

fn is_left_out(block: &Block) -> bool {
    NOT_RUN.iter().any(|(beginning, _)| block.text.starts_with(beginning))
}

#[test]
fn every_exception_is_still_in_the_readme() {
    let blocks = blocks(&std::fs::read_to_string(README).unwrap());
    for (beginning, why) in NOT_RUN {
        let stands = blocks.iter().any(|block| block.text.starts_with(beginning));
        assert!(stands, "no block begins with {beginning:?} ({why})");
    }
}
