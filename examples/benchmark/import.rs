//! A fleet from a file: devices as CSV over HTTP, and out again.

use std::fmt::Write as _;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use reqwest::Method;
use serde_json::Value;

use crate::Bench;
use crate::ingest::count;
use crate::program::HubProgram;
use crate::report::{Aim, BenchmarkReport};

const DEVICES: u64 = 100_000;

/// Imports into an empty store, exports, and imports once more where all is there already.
pub async fn run(bench: &Bench, report: &mut BenchmarkReport) -> Result<()> {
    let devices = DEVICES.min(bench.twins);
    let dir = bench.disk_dir()?;
    let hub = HubProgram::start(&bench.program, dir.path(), None).await?;
    let file = file(devices);
    let seconds = import(&hub, "format=csv", file, "created", devices).await?;
    let aim = if devices == DEVICES { Aim::Below(30.0) } else { Aim::None };
    report.add(format!("import of {devices} devices, CSV"), seconds, "s", aim);
    report.add(format!("import of {devices} devices, CSV"), count(devices) / seconds, "devices/s", Aim::None);
    report.add("resident, after the import", hub.resident_mb()?, "MB", Aim::None);
    let mut exported = Vec::new();
    for format in ["jsonl", "csv"] {
        let began = Instant::now();
        let answer = hub.get(&format!("/api/devices/export?format={format}")).await?;
        exported = answer.error_for_status()?.bytes().await?.to_vec();
        let name = format!("export of {devices} devices, {format}");
        report.add(name, began.elapsed().as_secs_f64(), "s", Aim::None);
    }
    let seconds = import(&hub, "existing=skip", exported, "skipped", devices).await?;
    report.add(format!("the same once more, all skipped, {devices} devices"), seconds, "s", Aim::None);
    hub.stop().await
}

/// Devices as people describe them: in a group, with tags, a configuration and a heartbeat.
fn file(devices: u64) -> Vec<u8> {
    let mut file = String::from(
        "device_id,name,type,serial_number,model,tags.floor,tags.room,configuration.interval,settings.heartbeat\n",
    );
    for number in 0..devices {
        let kind = ["pump", "fan", "room"][usize::from(number % 3 == 0) + usize::from(number % 7 == 0)];
        // Writing to a String cannot fail.
        let _ = writeln!(
            file,
            "dev-{number:06},Device {number},{kind},SN-{number:08},M{},{},\"room {}, hall\",1.50,90s",
            number % 5,
            number % 10,
            number % 100
        );
    }
    file.into_bytes()
}

/// Imports devices, all of which must be `what`: `created` or `skipped`. Says how many seconds it took.
pub async fn import(hub: &HubProgram, query: &str, file: Vec<u8>, what: &str, devices: u64) -> Result<f64> {
    let request = hub.request(Method::POST, &format!("/api/devices/import?{query}")).body(file);
    let began = Instant::now();
    let answer = request.send().await?.error_for_status()?;
    let told: Value = answer.json().await.context("the hub's answer makes no sense")?;
    let seconds = began.elapsed().as_secs_f64();
    ensure!(told[what] == devices, "not all are {what}: {told}");
    Ok(seconds)
}
