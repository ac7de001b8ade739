//! The benchmark: the whole program as a child process, loaded as devices and people would load it, beside
//! the limits of the machine measured in the same run.
//!
//! ```sh
//! cargo build --release && cargo run --release --example benchmark -- --quick
//! ```
//! It speaks to 127.0.0.1 only, and everything in it is bounded in number and time.

mod bulk;
mod bytes;
mod checked;
mod commands;
mod compare;
mod connections;
mod connects;
mod data;
mod disk;
mod flat_out;
mod groups;
mod http;
mod identities;
mod import;
mod ingest;
mod limits;
mod live;
mod load;
mod mqtt;
mod pacing;
mod program;
mod rates;
mod report;
mod rest;
mod rules;
mod schedules;
mod scoped;
mod search;
mod sensor_data;
mod sign_in;
mod socketio;
mod tls;
mod turns;
mod users;
mod websocket;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::{Parser, ValueEnum};
use mqtt5::broker::{BrokerConfig, MqttBroker};
use tempfile::TempDir;
use tokio::sync::OnceCell;

use crate::compare::PairedReport;
use crate::limits::MachineLimits;
use crate::program::MosquittoProcess;
use crate::report::BenchmarkReport;
use crate::turns::order;

/// Measures twinhub.
#[derive(Parser)]
struct BenchmarkArgs {
    /// End within a minute: fewer messages, twins and readings, and without --only the first parts alone
    #[arg(long, conflicts_with = "full")]
    quick: bool,
    /// A million twins and ten million readings too
    #[arg(long)]
    full: bool,
    /// Measure this only; may be given several times
    #[arg(long, value_name = "NAME")]
    only: Vec<BenchmarkPart>,
    /// The program to measure [default: the twinhub beside this benchmark]
    #[arg(long)]
    program: Option<PathBuf>,
    /// Where the stores lie while they are measured [default: beside the program]
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Messages in each ingest measurement
    #[arg(long)]
    messages: Option<u64>,
    /// Measure this older build too, in alternation, and print the new one's figures in relation to its own
    #[arg(long, value_name = "OLD_BINARY")]
    compare: Option<PathBuf>,
    /// Turns of each build in a comparison
    #[arg(long, value_name = "N", default_value_t = 5, requires = "compare")]
    turns: usize,
    #[arg(long, hide = true)]
    bare_broker: Option<SocketAddr>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum BenchmarkPart {
    Idle,
    Rates,
    FlatOut,
    Ingest,
    FanOut,
    Socketio,
    Commands,
    Rules,
    Bulk,
    Import,
    Many,
    Schedules,
    Groups,
    Search,
    History,
    Bytes,
    Data,
    SensorData,
    SignIn,
    Connects,
    Connections,
    Checked,
    Identities,
    Scoped,
    Tls,
}

/// The parts that are measured within a minute.
const QUICK: [BenchmarkPart; 3] = [BenchmarkPart::Idle, BenchmarkPart::Rates, BenchmarkPart::FlatOut];

/// The context that the measurements share.
struct Bench {
    program: PathBuf,
    dir: PathBuf,
    mosquitto: Option<MosquittoProcess>,
    /// Messages in an ingest measurement.
    messages: u64,
    /// The duration of paced measurements.
    seconds: u32,
    twins: u64,
    readings: u64,
    /// Measured where first asked for.
    limits: OnceCell<MachineLimits>,
}

impl Bench {
    /// A folder for a store on disk.
    fn disk_dir(&self) -> Result<TempDir> {
        TempDir::with_prefix_in("twinhub-benchmark-", &self.dir).context("cannot make a folder for the store")
    }

    /// A folder for a store in memory, where the system has such.
    fn memory_dir(&self) -> Result<Option<TempDir>> {
        let shm = Path::new("/dev/shm");
        Ok(if shm.is_dir() { Some(TempDir::with_prefix_in("twinhub-benchmark-", shm)?) } else { None })
    }

    /// A folder for a store, in memory where the system has such.
    fn store_dir(&self, in_memory: bool) -> Result<Option<TempDir>> {
        if in_memory { self.memory_dir() } else { Ok(Some(self.disk_dir()?)) }
    }

    /// The brokers by their names; the outside one with its address, where this machine has it.
    fn brokers(&self) -> impl Iterator<Item = (&'static str, Option<SocketAddr>)> {
        let outside = self.mosquitto.as_ref().map(|mosquitto| ("mosquitto", Some(mosquitto.address)));
        std::iter::once(("embedded", None)).chain(outside)
    }

    /// The limits of the machine, which are reported where they are measured.
    async fn limits(&self, report: &mut BenchmarkReport) -> Result<&MachineLimits> {
        self.limits.get_or_try_init(|| MachineLimits::measure(self, report)).await
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = BenchmarkArgs::parse();
    if let Some(address) = args.bare_broker {
        return bare_broker(address).await;
    }
    let mut reports = Reports::default();
    // Dropping what runs, here or by an error, ends every child process.
    let ended = tokio::select! {
        ended = measure(args, &mut reports) => ended,
        _ = tokio::signal::ctrl_c() => Ok(()),
    };
    match &reports.paired {
        Some(paired) => paired.print(),
        None => reports.own.print(),
    }
    ended
}

/// The results.
#[derive(Default)]
struct Reports {
    own: BenchmarkReport,
    /// Of both builds, where two are compared.
    paired: Option<PairedReport>,
}

async fn measure(args: BenchmarkArgs, reports: &mut Reports) -> Result<()> {
    let here = std::env::current_exe()?;
    let beside = here.ancestors().nth(2).context("this benchmark lies in target/release/examples")?;
    let program = args.program.unwrap_or_else(|| beside.join("twinhub"));
    let sizes =
        if args.full { (200_000, 20, 1_000_000, 10_000_000) } else { (200_000, 10, 100_000, 1_000_000) };
    let (messages, seconds, twins, readings) = if args.quick { (20_000, 2, 1_000, 100_000) } else { sizes };
    let mut bench = Bench {
        dir: args.dir.unwrap_or_else(|| program.parent().unwrap_or(beside).to_owned()),
        program: found(&program)?,
        mosquitto: MosquittoProcess::start().await?,
        messages: args.messages.unwrap_or(messages),
        seconds,
        twins,
        readings,
        limits: OnceCell::new(),
    };
    let old = args.compare.as_deref().map(found).transpose()?;
    let asked = |part: &&BenchmarkPart| match (args.only.is_empty(), args.quick) {
        (true, true) => QUICK.contains(part),
        (true, false) => true,
        (false, _) => args.only.contains(part),
    };
    for part in BenchmarkPart::value_variants().iter().filter(asked) {
        let name = part.to_possible_value().context("every part has a name")?;
        let name = name.get_name();
        match &old {
            None => {
                println!("{name}");
                part.run(&bench, &mut reports.own).await.with_context(|| name.to_owned())?;
            }
            Some(old) => {
                let paired = reports.paired.get_or_insert_default();
                let builds = [("old", old.clone()), ("new", bench.program.clone())];
                for turn in 0..args.turns {
                    let mut figures = builds.each_ref().map(|_| BenchmarkReport::default());
                    for build in order(turn, builds.len()) {
                        println!("{name}, {}, turn {} of {}", builds[build].0, turn + 1, args.turns);
                        bench.program.clone_from(&builds[build].1);
                        bench.limits = OnceCell::new();
                        part.run(&bench, &mut figures[build]).await.with_context(|| name.to_owned())?;
                    }
                    let [old, new] = figures;
                    paired.add_turn(old, &new);
                }
                bench.program.clone_from(&builds[1].1);
            }
        }
    }
    Ok(())
}

/// The whole path of a program that must be there.
fn found(program: &Path) -> Result<PathBuf> {
    program
        .canonicalize()
        .with_context(|| format!("{} is not there: cargo build --release", program.display()))
}

impl BenchmarkPart {
    async fn run(self, bench: &Bench, report: &mut BenchmarkReport) -> Result<()> {
        match self {
            Self::Idle => rest::idle(bench, report).await,
            Self::Rates => rates::run(bench, report).await,
            Self::FlatOut => flat_out::run(bench, report).await,
            Self::Ingest => ingest::run(bench, report).await,
            Self::FanOut => live::fan_out(bench, report).await,
            Self::Socketio => socketio::run(bench, report).await,
            Self::Commands => commands::run(bench, report).await,
            Self::Rules => rules::run(bench, report).await,
            Self::Bulk => bulk::run(bench, report).await,
            Self::Import => import::run(bench, report).await,
            Self::Many => rest::many(bench, report).await,
            Self::Schedules => schedules::run(bench, report).await,
            Self::Groups => groups::run(bench, report).await,
            Self::Search => search::run(bench, report).await,
            Self::History => rest::history(bench, report).await,
            Self::Bytes => bytes::run(bench, report).await,
            Self::Data => data::run(bench, report).await,
            Self::SensorData => sensor_data::run(bench, report).await,
            Self::SignIn => sign_in::run(bench, report).await,
            Self::Connects => connects::run(bench, report).await,
            Self::Connections => connections::run(bench, report).await,
            Self::Checked => checked::run(bench, report).await,
            Self::Identities => identities::run(bench, report).await,
            Self::Scoped => scoped::run(bench, report).await,
            Self::Tls => tls::run(bench, report).await,
        }
    }
}

/// Nothing but the broker that the program embeds.
async fn bare_broker(address: SocketAddr) -> Result<()> {
    let storage = mqtt5::broker::config::StorageConfig::new()
        .with_backend(mqtt5::broker::config::StorageBackend::Memory);
    let config =
        BrokerConfig::new().with_bind_address(address).with_max_clients(20_000).with_storage(storage);
    let mut broker = MqttBroker::with_config(config).await?;
    broker.run().await?;
    Ok(())
}
