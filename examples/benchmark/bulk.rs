//! One thing done to ten thousand devices that are online: from the request over REST to the last message over MQTT,
//! and what other traffic notices of it.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tokio::time::timeout;

use crate::Bench;
use crate::disk;
use crate::http::Http;
use crate::ingest::count;
use crate::live;
use crate::load::{self, Load};
use crate::mqtt::{MqttClient, MqttMessage};
use crate::program::HubProgram;
use crate::report::{Aim, BenchmarkReport, at, millis};

const DEVICES: u64 = 10_000;
/// Jobs while the other traffic is measured, one after the other.
const JOBS: u64 = 3;
/// The other traffic goes on so long, with jobs and without, in seconds; each job has its share of it.
const SECONDS: u32 = 15;
/// The other traffic goes alone before the first job.
const LEAD: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(60);

/// Measures both brokers.
pub async fn run(bench: &Bench, report: &mut BenchmarkReport) -> Result<()> {
    for (name, outside) in bench.brokers() {
        let dir = bench.disk_dir()?;
        let hub = HubProgram::start(&bench.program, dir.path(), outside).await?;
        come_online(&hub).await?;
        let mut before = delays(&hub, Instant::now()).await?;
        let base = Instant::now();
        let (mut syncs, mut jobs) = (Vec::new(), Vec::new());
        let measured = async {
            let (traffic, done) = tokio::join!(delays(&hub, base), all_jobs(&hub, base, &mut jobs));
            done?;
            traffic
        };
        let traffic = tokio::select! {
            traffic = measured => traffic?,
            failed = disk::meanwhile(dir.path(), &mut syncs) => return failed,
        };
        hub.stop().await?;
        let slowest = jobs.iter().map(|(from, to)| *to - *from).max().context("there was a job")?;
        report.add(
            format!("desired of {DEVICES} online, to the last publish, {name}"),
            slowest.as_secs_f64(),
            "s",
            Aim::Below(5.0),
        );
        let during = |sent: &Duration| jobs.iter().any(|(from, to)| (from..to).contains(&sent));
        let mut meanwhile: Vec<_> = traffic.into_iter().filter(|(sent, _)| during(sent)).collect();
        ensure!(meanwhile.len() >= 100, "the jobs were too short to say what other traffic noticed");
        let p99 = |times: &mut Vec<(Duration, Duration)>| {
            let mut delays: Vec<_> = times.iter().map(|(_, delay)| *delay).collect();
            delays.sort_unstable();
            millis(at(&delays, 99))
        };
        let (before, meanwhile) = (p99(&mut before), p99(&mut meanwhile));
        report.add(format!("other traffic, p99 before a bulk job, {name}"), before, "ms", Aim::None);
        report.add(format!("other traffic, p99 meanwhile, {name}"), meanwhile, "ms", Aim::None);
        let times = meanwhile / before;
        report.add(format!("other traffic, p99 meanwhile ÷ before, {name}"), times, "×", Aim::Below(1.3));
        disk::report(report, &format!("meanwhile, {name}"), syncs);
    }
    Ok(())
}

/// Every device says that it is online.
async fn come_online(hub: &HubProgram) -> Result<()> {
    let load = Load { devices: DEVICES, messages: DEVICES, connections: 50, window: 200 };
    let online = |device, _| MqttMessage {
        topic: format!("iot/devices/{}/status", load::name(device)),
        payload: b"online".to_vec(),
    };
    load.publish_with(hub.mqtt, PATIENCE, online).await?;
    hub.committed(count(DEVICES), PATIENCE).await
}

async fn delays(hub: &HubProgram, base: Instant) -> Result<Vec<(Duration, Duration)>> {
    live::timed(hub.http, hub.mqtt, SECONDS, base).await
}

/// One job after the other, each with when it was asked for and when the last message of it came, from `base` on.
async fn all_jobs(hub: &HubProgram, base: Instant, jobs: &mut Vec<(Duration, Duration)>) -> Result<()> {
    let mut ears = MqttClient::connect(hub.mqtt, "ears").await?;
    ears.subscribe("iot/devices/+/desired").await?;
    let mut http = Http::connect(hub.http).await?;
    for job in 0..JOBS {
        let share =
            LEAD + (Duration::from_secs(SECONDS.into()) - LEAD) / u32::try_from(JOBS)? * u32::try_from(job)?;
        tokio::time::sleep_until((base + share).into()).await;
        let asked = base.elapsed();
        let body = format!(r#"{{"where":{{}},"action":{{"desired":{{"job":{job}}}}}}}"#);
        http.expect(202, "POST", "/api/devices/bulk", &body).await?;
        timeout(PATIENCE, ears.receive(DEVICES)).await.context("not every device was told")??;
        jobs.push((asked, base.elapsed()));
    }
    Ok(())
}
