//! `twinhub jobs watch`: a job followed to its end, with a bar on a terminal and lines elsewhere.

use std::io::IsTerminal as _;
use std::time::Duration;

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use super::{ended, failed, has_failed, progress, read, told_failed, told_reason};
use crate::cli::remote::{Remote, is_away};
use crate::cli::rules::print::line;

/// So often the hub is asked.
const EVERY: Duration = Duration::from_millis(400);
/// So often in a row it may be away, as while it starts again.
const MOST_AWAY: u32 = 75;
/// Where there is no bar, a line says how far it has come, so often at most.
const LINE_EVERY: u32 = 5;

/// Follows it. False where devices failed or it was called off.
///
/// # Errors
/// The hub cannot be reached, or says no.
pub async fn run(hub: &Remote, id: &str) -> Result<bool> {
    let mut shown = ProgressView::new(std::io::stderr().is_terminal());
    // A wrong id is told at once, and so is a hub that is not there at all.
    let mut job = read(hub, id).await?;
    let mut away = 0;
    loop {
        shown.show(&job)?;
        if matches!(job["status"].as_str(), Some("done" | "failed" | "canceled")) {
            shown.end(&job)?;
            told_reason(&job)?;
            told_failed(hub, &job).await?;
            return Ok(!has_failed(&job));
        }
        tokio::time::sleep(EVERY).await;
        match read(hub, id).await {
            Ok(read) => {
                job = read;
                away = 0;
            }
            Err(error) if is_away(&error) && away < MOST_AWAY => {
                away += 1;
                shown.away();
            }
            Err(error) => return Err(error),
        }
    }
}

/// The form in which progress is shown.
enum ProgressView {
    Bar(ProgressBar),
    /// The last line, and how often there was something newer since.
    Lines(String, u32),
}

impl ProgressView {
    fn new(on_terminal: bool) -> Self {
        if !on_terminal {
            return Self::Lines(String::new(), 0);
        }
        let style = ProgressStyle::with_template("{bar:40} {percent:>3} %  {msg}");
        let bar = ProgressBar::new(1);
        Self::Bar(bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())))
    }

    fn show(&mut self, job: &Value) -> Result<()> {
        match self {
            Self::Bar(bar) => {
                bar.set_length(job["total"].as_u64().unwrap_or_default());
                bar.set_position(ended(job));
                bar.set_message(message(job));
            }
            Self::Lines(last, newer) => {
                let now = progress(job);
                if now == *last {
                    return Ok(());
                }
                *newer += 1;
                // The end is told by itself.
                if last.is_empty() || *newer >= LINE_EVERY {
                    line(&now)?;
                    (*last, *newer) = (now, 0);
                }
            }
        }
        Ok(())
    }

    fn away(&self) {
        if let Self::Bar(bar) = self {
            bar.set_message("the hub does not answer");
        }
    }

    fn end(&self, job: &Value) -> Result<()> {
        let now = progress(job);
        match self {
            Self::Bar(bar) => bar.finish_and_clear(),
            Self::Lines(last, _) if *last == now => return Ok(()),
            Self::Lines(..) => {}
        }
        line(&now)
    }
}

/// Beside the bar.
fn message(job: &Value) -> String {
    let status = job["status"].as_str().unwrap_or_default();
    let mut text = format!("{} of {} {status}", ended(job), job["total"]);
    if failed(job) > 0 {
        text.push_str(&format!(", {} failed", failed(job)));
    }
    if let Some(speed) = job["devices_per_second"].as_f64() {
        text.push_str(&format!(", {speed}/s"));
    }
    text
}
