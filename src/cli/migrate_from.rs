//! `twinhub migrate-from`: the database of another system into a running hub.
//!
//! It goes through the hub's API rather than into its folder: so what comes in is checked as what anybody sends, the hub
//! need not be stopped and may be on another machine, and what a journal has of it is what the API has.

mod cloud_backend;
mod device_book;
mod dispositivos;
mod flask_dashboard;
mod iamis;
mod iot_controller;
mod report;
mod row;
mod seed;
mod send;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use chrono_tz::Tz;
use clap::Args;
use twinhub_mqtt::dialects::iamis::DEVICE;
use twinhub_store::foreign::{ForeignDatabase, ForeignTable};

use self::report::MigrationReport;
use self::row::{MappedRows, SeedRow, names};
use self::seed::{Seed, SeedNumber, SeedTable, column, find};
use self::send::SeedSender;
use crate::cli::remote::{HubArgs, Remote};
use crate::cli::rules::CommandFailed;
use crate::cli::rules::print::line;
use crate::cli::work_bar::WorkBar;
use crate::config::SensorDevice;

/// Rows that are read, and sent, at once.
const ROWS: u32 = 5_000;
/// The reason why users stay behind.
const USERS: &str =
    "passwords are kept as hashes of another program: make them with `twinhub user add`, or invite them";

/// The arguments of `migrate-from`.
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub struct MigrateFromArgs {
    /// The SQLite file; it is read alone, also while its program runs
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The system that made it [default: as its tables say]
    #[arg(long, value_name = "NUMBER")]
    seed: Option<SeedNumber>,
    /// Send nothing: say what would come in, and which rows are at fault
    #[arg(long)]
    dry_run: bool,
    /// The time zone of times that name none, such as Europe/Madrid
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    timezone: Tz,
    /// The dashboard of 001 [default: layout.json beside the file, if there is one]
    #[arg(long, value_name = "FILE")]
    layout: Option<PathBuf>,
    /// The device that has the readings of 001: the hub's `sensor-data-device`
    #[arg(long, env = "TWINHUB_SENSOR_DATA_DEVICE", value_name = "ID", default_value = DEVICE)]
    sensor_data_device: SensorDevice,
    /// Write every row at fault with its reason to this file, as JSON Lines
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    #[command(flatten)]
    hub: HubArgs,
}

const HELP: &str = "\
The systems: 000 the Flask dashboard, 001 iamis-backend, 002 the FastAPI cloud backend, 003 the Flask \"IoT Backend\", 004 the IoT
Controller. Readings come in with their own times; no device counts as heard by it, and no rule runs. What is there already
stays as it is, so it may be run again, and goes on where it was broken off. What is not taken over is told with the reason.

Examples:

  twinhub migrate-from instance/dashboard.db --dry-run
  twinhub migrate-from iot_dashboard.db --seed 001 --layout layout.json
  twinhub migrate-from app.db --url https://hub.example.com:8443 --report rows.jsonl";

/// Carries it out. False where a row was at fault and reported.
///
/// # Errors
/// The file cannot be read, or is of no system that is known; or the hub is not there, or takes nothing in.
pub async fn run(args: MigrateFromArgs) -> Result<bool, CommandFailed> {
    let hub = if args.dry_run { None } else { Some(Remote::new(&args.hub).map_err(CommandFailed::Misused)?) };
    let opened = open(&args).map_err(CommandFailed::Misused)?;
    let report = MigrationReport::new(args.report.as_deref()).map_err(CommandFailed::Misused)?;
    migrate(&args, opened, SeedSender::new(hub, report)).await.map_err(CommandFailed::Broke)
}

/// The file, its tables, and the system that it is of.
type OpenedFile = (ForeignDatabase, Vec<ForeignTable>, SeedNumber);

fn open(args: &MigrateFromArgs) -> Result<OpenedFile> {
    let cannot = || format!("cannot take {} over", args.file.display());
    let database = ForeignDatabase::open(&args.file).with_context(cannot)?;
    let tables = database.tables().with_context(cannot)?;
    let list = || tables.iter().map(|table| table.name.as_str()).collect::<Vec<_>>().join(", ");
    let seed = match args.seed {
        Some(seed) if seed.fits(&tables) => seed,
        Some(seed) => {
            let other = SeedNumber::guess(&tables).map(|seed| format!("; {} has such", seed.as_str()));
            let other = other.unwrap_or_default();
            bail!("{}: it has not the tables of {}, but {}{other}", cannot(), seed.as_str(), list());
        }
        None => SeedNumber::guess(&tables)
            .ok_or_else(|| anyhow!("{}: no known system has such tables: {}", cannot(), list()))?,
    };
    Ok((database, tables, seed))
}

async fn migrate(args: &MigrateFromArgs, opened: OpenedFile, mut sender: SeedSender) -> Result<bool> {
    let (database, tables, number) = opened;
    line(&format!("{} is of {}", args.file.display(), number.as_str()))?;
    let mut seed = number.reader(args.timezone, args.sensor_data_device.0.clone());
    tell_left(&*seed, &tables, &mut sender.report);
    if number == SeedNumber::Iamis {
        sender.check_numbers(&args.sensor_data_device.0).await?;
    }
    let planned = seed.tables().iter().filter_map(|plan| Some((plan, find(&tables, plan.name)?)));
    let planned: Vec<_> = planned.collect();
    let all: u64 = planned.iter().map(|(_, table)| table.rows).sum();
    let (bar, mut done) = (WorkBar::new(), 0);
    for (plan, table) in planned {
        let columns: Vec<Option<&str>> =
            plan.columns.iter().map(|wanted| names(wanted).find_map(|name| column(table, name))).collect();
        let mut after = None;
        loop {
            let rows = database.rows(&table.name, &columns, after, ROWS)?;
            let mut mapped = MappedRows::default();
            for row in &rows {
                seed.map(plan.name, &SeedRow::new(plan.columns, row), &mut mapped);
            }
            let Some(last) = rows.last() else {
                seed.end(plan.name, &mut mapped);
                sender.send(&table.name, mapped).await?;
                break;
            };
            after = Some(last.rowid);
            sender.send(&table.name, mapped).await?;
            done += rows.len() as u64;
            bar.tell("rows", done, all.max(done));
        }
    }
    if number == SeedNumber::Iamis {
        take_layout(args, &mut sender).await?;
    }
    bar.end();
    sender.report.finish(args.dry_run)
}

/// Tells the tables and columns that are not taken over.
fn tell_left(seed: &dyn Seed, tables: &[ForeignTable], report: &mut MigrationReport) {
    for table in tables {
        let ForeignTable { name, columns, rows } = table;
        let is_same = |other: &'static str| names(other).any(|other| name.eq_ignore_ascii_case(other));
        let shown = format!("{name} ({rows} {})", if *rows == 1 { "row" } else { "rows" });
        if let Some(SeedTable { columns: taken, left, .. }) =
            seed.tables().iter().find(|plan| is_same(plan.name))
        {
            for column in columns {
                let is_column = |other: &str| column.eq_ignore_ascii_case(other);
                let is_taken = taken.iter().any(|taken| names(taken).any(is_column));
                let reason = left.iter().find(|(left, _)| is_column(left));
                if !is_taken {
                    let reason = reason.map_or("the original has no such column", |(_, reason)| reason);
                    report.left(&format!("{name}.{column}"), reason);
                }
            }
        } else {
            let reason = seed.left().iter().find(|(left, _)| is_same(left));
            report.left(&shown, reason.map_or("the original has no such table", |(_, reason)| reason));
        }
    }
}

/// The dashboard, which the original keeps in a file beside its database.
async fn take_layout(args: &MigrateFromArgs, sender: &mut SeedSender) -> Result<()> {
    let beside = args.file.parent().unwrap_or(Path::new("")).join("layout.json");
    let path = match &args.layout {
        Some(path) => path,
        None if beside.is_file() => &beside,
        None => return Ok(()),
    };
    let shown = path.display().to_string();
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))?;
    sender.layout(&shown, text).await
}
