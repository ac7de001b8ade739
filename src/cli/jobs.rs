//! `twinhub jobs`: what is done to many devices, listed, watched and steered.

mod watch;

use anyhow::{Result, anyhow};
use clap::{Args, Subcommand};
use serde_json::Value;

use crate::cli::remote::{HubArgs, Remote};
use crate::cli::rules::CommandFailed;
use crate::cli::rules::print::{line, moment_in, table};

/// The command `jobs`.
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub struct JobsArgs {
    #[command(subcommand)]
    action: JobsAction,
    #[command(flatten)]
    hub: HubArgs,
}

#[derive(Debug, Subcommand)]
enum JobsAction {
    /// List the jobs, the newest first
    List(ListJobsArgs),
    /// Show a job, and the devices that it failed with
    Show(JobArgs),
    /// Follow a job to its end
    Watch(JobArgs),
    /// Have no further device get its turn
    Pause(JobArgs),
    /// Go on with a job that is paused
    Resume(JobArgs),
    /// Call a job off: devices that had no turn yet get none
    Cancel(JobArgs),
    /// Give the devices that failed another turn
    Retry(JobArgs),
}

#[derive(Args, Debug)]
struct ListJobsArgs {
    /// Only jobs that are preparing, running, paused, done, canceled or failed
    #[arg(long, value_name = "STATUS")]
    status: Option<String>,
    /// The number of jobs
    #[arg(long, value_name = "COUNT", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    limit: u16,
}

/// A job.
#[derive(Args, Debug)]
struct JobArgs {
    /// The job's id
    #[arg(value_name = "ID")]
    id: String,
}

const HELP: &str = "\
Examples:

  twinhub jobs list --status running
  twinhub jobs watch 01890a5d-ac96-774b-bcce-b302099a8057
  twinhub jobs retry 01890a5d-ac96-774b-bcce-b302099a8057

Exit status: 0 all is well, 1 devices failed or the job was canceled (watch and show), or the hub says no,
2 it could not be done as it was asked.";

/// Failed devices that are listed, at most.
const FAILED_SHOWN: usize = 10;
const HEADS: [&str; 7] = ["JOB", "STATUS", "DOES", "DEVICES", "FAILED", "%", "CREATED"];

/// Does it. False where devices failed or the job was called off.
///
/// # Errors
/// The hub cannot be reached, or says no.
pub async fn run(JobsArgs { action, hub }: JobsArgs) -> Result<bool, CommandFailed> {
    let hub = Remote::new(&hub).map_err(CommandFailed::Misused)?;
    let done = match action {
        JobsAction::List(args) => list(&hub, &args).await.map(|()| true),
        JobsAction::Show(JobArgs { id }) => show(&hub, &id).await,
        JobsAction::Watch(JobArgs { id }) => watch::run(&hub, &id).await,
        JobsAction::Pause(JobArgs { id }) => steer(&hub, &id, "pause").await,
        JobsAction::Resume(JobArgs { id }) => steer(&hub, &id, "resume").await,
        JobsAction::Cancel(JobArgs { id }) => steer(&hub, &id, "cancel").await,
        JobsAction::Retry(JobArgs { id }) => steer(&hub, &id, "retry").await,
    };
    done.map_err(CommandFailed::Broke)
}

async fn list(hub: &Remote, ListJobsArgs { status, limit }: &ListJobsArgs) -> Result<()> {
    let status = status.as_deref().map(|status| format!("&status={}", escaped(status))).unwrap_or_default();
    let (jobs, total) = hub.get(&format!("/api/jobs?limit={limit}{status}")).await?;
    let rows: Vec<_> = jobs.as_array().into_iter().flatten().map(row).collect();
    line(&table(HEADS, &rows, "no jobs"))?;
    if total > rows.len() {
        line(&format!("… and {} more", total - rows.len()))?;
    }
    Ok(())
}

async fn show(hub: &Remote, id: &str) -> Result<bool> {
    let job = read(hub, id).await?;
    line(&table(HEADS, &[row(&job)], ""))?;
    line(&progress(&job))?;
    told_reason(&job)?;
    told_failed(hub, &job).await?;
    Ok(!has_failed(&job))
}

async fn steer(hub: &Remote, id: &str, how: &str) -> Result<bool> {
    let job = hub.post(&format!("/api/jobs/{}/{how}", escaped(id))).await?;
    line(&progress(&job))?;
    Ok(true)
}

async fn read(hub: &Remote, id: &str) -> Result<Value> {
    let (job, _) = hub.get(&format!("/api/jobs/{}", escaped(id))).await?;
    if job["status"].is_string() { Ok(job) } else { Err(anyhow!("the hub's answer makes no sense")) }
}

/// Prints why it failed, where it did.
fn told_reason(job: &Value) -> Result<()> {
    job["reason"].as_str().map_or(Ok(()), line)
}

/// Says with which devices it failed, and why.
async fn told_failed(hub: &Remote, job: &Value) -> Result<()> {
    let failed = failed(job);
    if failed == 0 {
        return Ok(());
    }
    let id = job["id"].as_str().unwrap_or_default();
    let path = format!("/api/jobs/{}/devices?state=failed&limit={FAILED_SHOWN}", escaped(id));
    let (devices, total) = hub.get(&path).await?;
    let devices = devices.as_array().map(Vec::as_slice).unwrap_or_default();
    for device in devices {
        let text = |name: &str| device[name].as_str().unwrap_or_default();
        line(&format!("{}: {}", text("device_id"), text("reason")))?;
    }
    if total > devices.len() {
        line(&format!("… and {} more", total - devices.len()))?;
    }
    Ok(())
}

/// `running 45 %: 4,500 of 10,000 devices, 12 failed, 1200.5 a second, done at …`
fn progress(job: &Value) -> String {
    let number = |value: &Value| value.as_u64().unwrap_or_default();
    let status = job["status"].as_str().unwrap_or_default();
    let (percent, total, ended) = (number(&job["percent"]), number(&job["total"]), ended(job));
    let mut text = format!("{status} {percent} %: {ended} of {total} devices");
    for state in ["failed", "skipped", "canceled"] {
        let count = number(&job["counts"][state]);
        if count > 0 {
            text.push_str(&format!(", {count} {state}"));
        }
    }
    if let (Some(speed), "running") = (job["devices_per_second"].as_f64(), status) {
        text.push_str(&format!(", {speed} a second"));
    }
    if let (Some(eta), "running") = (job["eta"].as_str(), status) {
        text.push_str(&format!(", done at {}", moment_in(eta)));
    }
    text
}

/// With how many devices it has come to an end.
fn ended(job: &Value) -> u64 {
    ["done", "failed", "skipped", "canceled"].iter().filter_map(|state| job["counts"][state].as_u64()).sum()
}

fn failed(job: &Value) -> u64 {
    job["counts"]["failed"].as_u64().unwrap_or_default()
}

/// Devices failed, or it was called off or broke off.
fn has_failed(job: &Value) -> bool {
    failed(job) > 0 || job["status"] == "canceled" || job["status"] == "failed"
}

fn row(job: &Value) -> [String; 7] {
    let text = |name: &str| job[name].as_str().unwrap_or_default().to_owned();
    let failed = Some(failed(job)).filter(|failed| *failed > 0);
    [
        text("id"),
        text("status"),
        text("kind"),
        job["total"].to_string(),
        failed.map(|failed| failed.to_string()).unwrap_or_default(),
        job["percent"].to_string(),
        job["created_at"].as_str().map(moment_in).unwrap_or_default(),
    ]
}

/// As a part of a path or a query.
fn escaped(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tells_how_far_it_has_come() {
        let mut job = json!({
            "status": "running", "percent": 45, "total": 1_000, "devices_per_second": 12.5, "eta": null,
            "counts": { "done": 440, "failed": 10, "asked": 50, "queued": 500 },
        });
        assert_eq!(progress(&job), "running 45 %: 450 of 1000 devices, 10 failed, 12.5 a second");
        assert!(has_failed(&job));
        job["status"] = "done".into();
        job["counts"] = json!({ "done": 1_000 });
        job["percent"] = 100.into();
        assert_eq!(progress(&job), "done 100 %: 1000 of 1000 devices");
        assert!(!has_failed(&job));
        job["status"] = "canceled".into();
        assert!(has_failed(&job));
    }

    #[test]
    fn ids_are_no_paths() {
        assert_eq!(escaped("../devices?x"), "..%2Fdevices%3Fx");
    }
}
