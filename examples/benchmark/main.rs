//! The benchmark: the whole program as a child process, loaded as devices and people would load it, beside
//! the limits of the machine measured in the same run.
//!
//! ```sh
//! cargo build --release && cargo run --release --example benchmark -- --quick
//! ```
//! It speaks to 127.0.0.1 only, and everything in it is bounded in number and time.

mod bulk;
mod checked;
mod commands;
mod connects;
mod disk;
mod groups;
mod http;
mod identities;
mod import;
mod ingest;
mod live;
mod load;
mod mqtt;
mod program;
mod report;
mod rest;
mod rules;
mod schedules;
mod scoped;
mod search;
mod sign_in;
mod tls;
mod turns;
mod users;
mod websocket;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use clap::{Parser, ValueEnum};
use mqtt5::broker::{BrokerConfig, MqttBroker};
use tempfile::TempDir;

use crate::program::MosquittoProcess;
use crate::report::BenchmarkReport;

/// Measures twinhub.
#[derive(Parser)]
struct BenchmarkArgs {
    /// End within a minute: fewer messages, twins and readings
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
    #[arg(long, hide = true)]
    bare_broker: Option<SocketAddr>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum BenchmarkPart {
    Idle,
    Ingest,
    Latency,
    FanOut,
    Commands,
    Rules,
    Bulk,
    Import,
    Many,
    Schedules,
    Groups,
    Search,
    History,
    SignIn,
    Connects,
    Checked,
    Identities,
    Scoped,
    Tls,
}

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
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = BenchmarkArgs::parse();
    if let Some(address) = args.bare_broker {
        return bare_broker(address).await;
    }
    let mut report = BenchmarkReport::default();
    // Dropping what runs, here or by an error, ends every child process.
    let ended = tokio::select! {
        ended = measure(args, &mut report) => ended,
        _ = tokio::signal::ctrl_c() => Ok(()),
    };
    report.print();
    ended
}

async fn measure(args: BenchmarkArgs, report: &mut BenchmarkReport) -> Result<()> {
    let here = std::env::current_exe()?;
    let beside = here.ancestors().nth(2).context("this benchmark lies in target/release/examples")?;
    let program = args.program.unwrap_or_else(|| beside.join("twinhub"));
    ensure!(program.exists(), "{} is not there: cargo build --release", program.display());
    let sizes =
        if args.full { (200_000, 20, 1_000_000, 10_000_000) } else { (200_000, 10, 100_000, 1_000_000) };
    let (messages, seconds, twins, readings) = if args.quick { (50_000, 3, 1_000, 100_000) } else { sizes };
    let bench = Bench {
        dir: args.dir.unwrap_or_else(|| program.parent().unwrap_or(beside).to_owned()),
        program: program.canonicalize()?,
        mosquitto: MosquittoProcess::start().await?,
        messages: args.messages.unwrap_or(messages),
        seconds,
        twins,
        readings,
    };
    for part in BenchmarkPart::value_variants() {
        if !args.only.is_empty() && !args.only.contains(part) {
            continue;
        }
        let name = part.to_possible_value().context("every part has a name")?;
        println!("{}", name.get_name());
        let done = match part {
            BenchmarkPart::Idle => rest::idle(&bench, report).await,
            BenchmarkPart::Ingest => ingest::run(&bench, report).await,
            BenchmarkPart::Latency => live::latency(&bench, report).await,
            BenchmarkPart::FanOut => live::fan_out(&bench, report).await,
            BenchmarkPart::Commands => commands::run(&bench, report).await,
            BenchmarkPart::Rules => rules::run(&bench, report).await,
            BenchmarkPart::Bulk => bulk::run(&bench, report).await,
            BenchmarkPart::Import => import::run(&bench, report).await,
            BenchmarkPart::Many => rest::many(&bench, report).await,
            BenchmarkPart::Schedules => schedules::run(&bench, report).await,
            BenchmarkPart::Groups => groups::run(&bench, report).await,
            BenchmarkPart::Search => search::run(&bench, report).await,
            BenchmarkPart::History => rest::history(&bench, report).await,
            BenchmarkPart::SignIn => sign_in::run(&bench, report).await,
            BenchmarkPart::Connects => connects::run(&bench, report).await,
            BenchmarkPart::Checked => checked::run(&bench, report).await,
            BenchmarkPart::Identities => identities::run(&bench, report).await,
            BenchmarkPart::Scoped => scoped::run(&bench, report).await,
            BenchmarkPart::Tls => tls::run(&bench, report).await,
        };
        done.with_context(|| name.get_name().to_owned())?;
    }
    Ok(())
}

/// Nothing but the broker that the program embeds.
async fn bare_broker(address: SocketAddr) -> Result<()> {
    let storage = mqtt5::broker::config::StorageConfig::new()
        .with_backend(mqtt5::broker::config::StorageBackend::Memory);
    let config = BrokerConfig::new().with_bind_address(address).with_max_clients(2_000).with_storage(storage);
    let mut broker = MqttBroker::with_config(config).await?;
    broker.run().await?;
    Ok(())
}
