//! `twinhub rules backtest`: what rules would have done over the past, and how that differs from the version that
//! runs.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::PathBuf;

use anyhow::{Context as _, anyhow};
use chrono_tz::Tz;
use clap::Args;
use futures_util::StreamExt as _;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use twinhub_actors::SystemClock;
use twinhub_actors::backtest::{self, BacktestProgress, BacktestRequest};
use twinhub_actors::fleet::groups::TreeNow;
use twinhub_domain::duration::{duration_ms, positive_ms};
use twinhub_domain::{Clock as _, DeviceId, Json, Object, Timestamp};
use twinhub_rules::Rule;
use twinhub_store::sql::{Keeping, SqlOptions, SqlStore};

use super::print::{count, line, moment_of};
use super::run_report::{items, member, number};
use super::{CommandFailed, check, run_report, secrets, sources};
use crate::api::automation::backtest::shown;
use crate::cli::remote::{HubArgs, Remote, refused};
use crate::config::{Config, Database, Options};
use crate::http::extract::params::{MOMENT, moment};
use crate::startup::lock::Locks;

/// By whose clocks rules go, by their names.
type RuleZones = HashMap<String, Tz>;

/// The arguments of `rules backtest`.
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub struct BacktestArgs {
    /// The rule file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// This rule of it alone
    #[arg(long, value_name = "ID")]
    rule: Option<String>,
    /// From when on runs are told: a time, a date, or how long ago, as 7d
    #[arg(long, value_name = "TIME", default_value = "7d")]
    from: String,
    /// Up to when [default: now]
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// Only this device; may be given several times
    #[arg(long = "device", value_name = "ID")]
    devices: Vec<String>,
    /// The time before that is replayed, so that the twins are as they were: 1d, or all
    #[arg(long, value_name = "TIME", default_value = "all")]
    warm_up: String,
    /// Leave out the times that it would not have run
    #[arg(long)]
    runs_only: bool,
    #[command(flatten)]
    hub: HubArgs,
    /// Read the database itself, while no hub runs on it; without a value the one of the configuration
    #[arg(long, value_name = "URL", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    database: Option<String>,
    /// The folder that holds everything twinhub keeps, for --database [default: data]
    #[arg(long, value_name = "DIR", env = "TWINHUB_DATA_DIR")]
    data_dir: Option<PathBuf>,
}

const HELP: &str = "\
Examples:

  twinhub rules backtest rules/hall.yaml
  twinhub rules backtest draft.yaml --rule hall-warm --from 2026-03-01 --to 2026-03-08 --runs-only
  twinhub rules backtest draft.yaml --database --data-dir /var/lib/twinhub

Nothing is done to any device. Every run is told with what its conditions stood on. Below them: how many runs
the version that runs would have made as well, and those that one of the two would have made alone
(+ only the file's, - only the running one's). With --database it is compared with the rules folder.";

impl BacktestArgs {
    /// The arguments that are options of the configuration.
    pub fn options(&self) -> Options {
        let database = self.database.clone().filter(|url| !url.is_empty());
        Options { database, data_dir: self.data_dir.clone(), ..Options::default() }
    }
}

/// Replays and tells. False where the file does not check out.
pub async fn run(args: BacktestArgs, config: Config) -> Result<bool, CommandFailed> {
    let print_line = |text: &str| line(text).map_err(CommandFailed::Broke);
    let sources = sources::read(std::slice::from_ref(&args.file), None, &secrets(&config))?;
    let wrong = check::problems(&sources);
    if !wrong.is_empty() {
        wrong.iter().try_for_each(|problem| print_line(problem))?;
        return Ok(false);
    }
    let rules: Vec<Rule> = sources
        .iter()
        .filter_map(|source| source.read.as_ref().ok())
        .flat_map(|file| file.rules.clone())
        .filter(|rule| args.rule.as_deref().is_none_or(|only| only == rule.id.as_str()))
        .collect();
    if rules.is_empty() {
        let what = args.rule.as_deref().map_or("rule".into(), |rule| format!("rule `{rule}`"));
        return Err(CommandFailed::Misused(anyhow!("there is no {what} in {}", args.file.display())));
    }
    let zones: RuleZones =
        rules.iter().map(|rule| (rule.id.to_string(), rule.zone(&rule.source.object()))).collect();
    let now = SystemClock.now();
    let to = match &args.to {
        Some(text) => time("--to", text, now, true)?,
        None => now,
    };
    let from = time("--from", &args.from, now, false)?;
    if from >= to {
        return Err(CommandFailed::Misused(anyhow!("--from must be before --to")));
    }
    let result = if args.database.is_some() {
        offline(&args, rules, from, to, &config).await?
    } else {
        let text = sources.into_iter().next().map(|source| source.text).unwrap_or_default();
        remote(&args, &text, from, to).await?
    };
    print_result(&result, &zones, args.runs_only).map_err(CommandFailed::Broke)?;
    Ok(true)
}

/// A moment, or how long ago.
fn time(option: &str, text: &str, now: Timestamp, end: bool) -> Result<Timestamp, CommandFailed> {
    let Some(at) = moment(text, end) else {
        return match duration_ms(text) {
            Ok(ms) => Ok(now.plus_millis(-ms)),
            Err(error) => Err(CommandFailed::Misused(anyhow!(
                "{option} {text}: expected {MOMENT}, or how long ago, as 7d: {error}"
            ))),
        };
    };
    Ok(at.ceil())
}

async fn remote(
    args: &BacktestArgs,
    text: &str,
    from: Timestamp,
    to: Timestamp,
) -> Result<Json, CommandFailed> {
    let hub = Remote::new(&args.hub).map_err(CommandFailed::Misused)?;
    let mut wish = json!({
        "file": text, "from": from.to_string(), "to": to.to_string(), "warm_up": args.warm_up,
    });
    if let Some(rule) = &args.rule {
        wish["rule_id"] = rule.as_str().into();
    }
    if !args.devices.is_empty() {
        wish["device_ids"] = args.devices.clone().into();
    }
    let bar = progress_bar();
    let frames = hub.stream("/api/automation/backtest", &wish).await.map_err(CommandFailed::Broke)?;
    let mut frames = Box::pin(frames);
    while let Some(frame) = frames.next().await {
        let frame = frame.context("the hub broke off").map_err(CommandFailed::Broke)?;
        let data: Value = serde_json::from_str(&frame.data).unwrap_or_default();
        match frame.event.as_str() {
            "progress" => {
                let share = data["share"].as_f64().unwrap_or_default();
                show(&bar, share, data["events"].as_u64().unwrap_or_default());
            }
            "result" => {
                bar.finish_and_clear();
                // With the digits of its numbers.
                return serde_json::from_str(&frame.data).map_err(|error| CommandFailed::Broke(error.into()));
            }
            _ => {
                let error = refused(&data).unwrap_or_else(|| anyhow!("the hub says: {data}"));
                return Err(CommandFailed::Broke(error));
            }
        }
    }
    Err(CommandFailed::Broke(anyhow!("the hub broke off")))
}

async fn offline(
    args: &BacktestArgs,
    rules: Vec<Rule>,
    from: Timestamp,
    to: Timestamp,
    config: &Config,
) -> Result<Json, CommandFailed> {
    if let Database::File(path) = &config.database
        && !path.exists()
    {
        return Err(CommandFailed::Misused(anyhow!("there is no database at {}", path.display())));
    }
    let warm_up = match args.warm_up.as_str() {
        "all" => None,
        text => Some(positive_ms(text).map_err(|error| {
            CommandFailed::Misused(anyhow!(
                "--warm-up {text}: expected a duration such as 1d, or all: {error}"
            ))
        })?),
    };
    let id = |text: &String| {
        DeviceId::parse(text).map_err(|error| CommandFailed::Misused(anyhow!("--device {text}: {error}")))
    };
    let devices = args.devices.iter().map(id).collect::<Result<Vec<_>, _>>()?;
    let running = match config.rules_there() {
        Some(folder) => sources::read(&[], Some(folder), &secrets(config))?,
        None => Vec::new(),
    };
    let running =
        running.into_iter().filter_map(|source| source.read.ok()).flat_map(|file| file.rules).collect();
    // Nothing is to go while it is looked at.
    let options = SqlOptions { keeping: Keeping::FOR_EVER, ..SqlOptions::default() };
    // The tables of a hub that runs are read as they are. Held only while they are brought up to date: a hub may
    // start while the past is looked at.
    let locks = Locks::of_database(&config.database).ok();
    let options = SqlOptions { migrate: locks.is_some(), ..options };
    let store = SqlStore::open(&config.database.url(), options)
        .await
        .with_context(|| format!("cannot use the database {}", config.database))
        .map_err(CommandFailed::Broke)?;
    drop(locks);
    let tree =
        TreeNow::load(&*store).await.context("cannot read the groups").map_err(CommandFailed::Broke)?.now();
    let devices = (!devices.is_empty()).then_some(devices);
    let wish = BacktestRequest { rules, running, from, to, warm_up, devices, tree };
    let bar = progress_bar();
    let progress = |BacktestProgress { events, share, .. }: BacktestProgress| show(&bar, share, events);
    let outcome = backtest::run(&store, wish.clone(), progress).await;
    bar.finish_and_clear();
    let outcome = outcome.map_err(|error| CommandFailed::Broke(error.into()))?;
    Ok(shown(&wish, &outcome, Cow::Borrowed).into())
}

fn print_result(result: &Json, zones: &RuleZones, runs_only: bool) -> anyhow::Result<()> {
    let is_told = |run: &&Json| !(runs_only && member(run, "outcome").as_str() == Some("not_run"));
    let report = |run: &Json| {
        let zone = member(run, "rule_id").as_str().and_then(|rule| zones.get(rule).copied());
        run_report::run(run, zone.unwrap_or(Tz::UTC))
    };
    for run in items(member(result, "runs")).iter().filter(is_told) {
        line(&report(run))?;
    }
    if *member(result, "truncated") == Json::Bool(true) {
        line("… and more")?;
    }
    let compared = member(result, "compared");
    for (sign, runs) in [("+", "only_candidate"), ("-", "only_running")] {
        for run in items(member(compared, runs)).iter().filter(is_told) {
            line(&format!("{sign} {}", report(run).replace('\n', "\n  ")))?;
        }
    }
    // Of rules with several clocks none is that of all.
    let mut clocks = zones.values();
    let first = clocks.next().copied().unwrap_or(Tz::UTC);
    let zone = if clocks.all(|zone| *zone == first) { first } else { Tz::UTC };
    let text = |name: &str| moment_of(member(result, name).as_str().unwrap_or_default(), zone);
    let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let counts = member(result, "counts").as_object();
    let all: u64 = counts.into_iter().flat_map(Object::iter).map(|(_, count)| number(count)).sum();
    let not_run = number(member(member(result, "counts"), "not_run"));
    line(&format!(
        "{} and {not_run} not run, from {} to {}; {} in {}",
        count(size(all - not_run), "run"),
        text("from"),
        text("to"),
        count(size(number(member(result, "events"))), "event"),
        member(result, "took").as_str().unwrap_or_default(),
    ))?;
    if *compared == Json::Null {
        return line("no version of it runs to compare with");
    }
    let alone = |name: &str| items(member(compared, name)).len();
    line(&format!(
        "beside the version that runs: {} the same, {} only here, {} only there",
        number(member(compared, "same")),
        alone("only_candidate"),
        alone("only_running"),
    ))
}

fn progress_bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {percent:>3} %  {msg}");
    ProgressBar::new(STEPS).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Steps of the bar.
const STEPS: u64 = 1_000;

fn show(bar: &ProgressBar, share: f64, events: u64) {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 1,000")]
    bar.set_position((share.clamp(0.0, 1.0) * 1_000.0) as u64);
    bar.set_message(format!("{events} events"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_times() {
        let now = Timestamp::parse("2026-03-08T12:00:00Z").unwrap();
        let read = |text: &str, end| time("--from", text, now, end).ok().map(|at| at.to_string());
        assert_eq!(read("7d", false).as_deref(), Some("2026-03-01T12:00:00.000Z"));
        assert_eq!(read("2026-03-01", true).as_deref(), Some("2026-03-02T00:00:00.000Z"));
        assert_eq!(read("soon", false), None);
    }
}
