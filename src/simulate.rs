//! `twinhub simulate`: a fleet that behaves like one. It measures, obeys, drops out and comes back.

mod device;
mod dice;
mod station;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::watch;
use tokio::task::JoinSet;
use twinhub_actors::mqtt::link::BrokerAddress;

use crate::shutdown;
use device::Device;
use station::{Start, Station};

/// What the fleet is like.
#[derive(Args, Clone, Debug)]
pub struct SimulateArgs {
    /// How many devices there are
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    devices: u32,
    /// How many messages they send in a second, all together
    #[arg(long, default_value_t = 50.0, value_parser = rate)]
    rate: f64,
    /// The broker they speak to
    #[arg(long, value_name = "URL", default_value = "mqtt://127.0.0.1:1883", value_parser = BrokerAddress::parse)]
    mqtt: BrokerAddress,
    /// End after so many seconds [default: at Ctrl-C]
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
    /// The same seed gives the same fleet with the same weather
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// What the fleet did, counted by all of it.
#[derive(Default)]
struct Tally {
    connected: AtomicU64,
    sent: AtomicU64,
    acknowledged: AtomicU64,
    obeyed: AtomicU64,
    dropped_out: AtomicU64,
    failed: AtomicU64,
}

/// More connections than this and devices share one, as behind a gateway: a system gives a program 1,024
/// open files unless it is asked for more.
const MOST_CONNECTIONS: u32 = 900;
/// Devices that come at once are a storm of their own; a thousand a second is none.
const CONNECT_EVERY: Duration = Duration::from_millis(1);
/// How long the fleet is given to say goodbye.
const GOODBYE: Duration = Duration::from_secs(3);

/// Plays the fleet until its time is over or the user ends it, and tells what it did.
///
/// # Errors
/// No device ever reached the broker.
pub async fn run(args: SimulateArgs) -> anyhow::Result<()> {
    let tally = Arc::new(Tally::default());
    let (end, ended) = watch::channel(false);
    let began = Instant::now();
    let mut stations = JoinSet::new();
    let period = Duration::from_secs_f64(f64::from(args.devices) / args.rate);
    for (place, devices) in (0..).zip(deal(&args)) {
        // One after the other, and then evenly spread over the period.
        let start =
            Start { connect_after: CONNECT_EVERY * place, phase: period.mul_f64(share(place, &args)) };
        let station = Station::new(args.mqtt.clone(), devices, period, start, began, Arc::clone(&tally));
        stations.spawn(station.run(ended.clone()));
    }
    println!("{} devices on {}, {} messages a second; Ctrl-C ends it", args.devices, args.mqtt, args.rate);
    let bar = ProgressBar::new_spinner().with_style(style());
    let time = async {
        match args.seconds {
            Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = shutdown::signal() => {}
        () = time => {}
        () = show(&bar, &tally, began) => {}
    }
    let _ = end.send(true); // fails where every station has ended
    let _ = tokio::time::timeout(GOODBYE, stations.join_all()).await; // the broker notices the rest
    bar.finish_and_clear();
    println!("{}", tally.summary(began.elapsed()));
    anyhow::ensure!(tally.sent.load(Relaxed) > 0, "no device reached the broker at {}", args.mqtt);
    Ok(())
}

/// Which part of a turn of all connections has passed when it comes to number `place`.
fn share(place: u32, args: &SimulateArgs) -> f64 {
    f64::from(place) / f64::from(args.devices.min(MOST_CONNECTIONS))
}

/// Deals the devices out to connections.
fn deal(args: &SimulateArgs) -> Vec<Vec<Device>> {
    let connections = args.devices.min(MOST_CONNECTIONS);
    (0..connections)
        .map(|first| {
            let step = connections as usize; // 900 at most
            (first..args.devices).step_by(step).map(|index| Device::new(args.seed, index)).collect()
        })
        .collect()
}

async fn show(bar: &ProgressBar, tally: &Tally, began: Instant) {
    let mut tick = tokio::time::interval(Duration::from_millis(250));
    loop {
        tick.tick().await;
        bar.set_message(tally.line(began.elapsed()));
        bar.tick();
    }
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{spinner} {elapsed_precise}  {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate <= 1_000_000.0 => Ok(rate),
        _ => Err("expected a number above 0".into()),
    }
}

impl Tally {
    fn line(&self, elapsed: Duration) -> String {
        let get = |counter: &AtomicU64| counter.load(Relaxed);
        #[expect(clippy::cast_precision_loss, reason = "for show")]
        let rate = get(&self.acknowledged) as f64 / elapsed.as_secs_f64().max(0.001);
        format!(
            "{} connected · {} sent · {} acknowledged ({rate:.0}/s) · {} obeyed · {} drop-outs · {} lost connections",
            get(&self.connected),
            get(&self.sent),
            get(&self.acknowledged),
            get(&self.obeyed),
            get(&self.dropped_out),
            get(&self.failed),
        )
    }

    fn summary(&self, elapsed: Duration) -> String {
        format!("after {:.1} s: {}", elapsed.as_secs_f64(), self.line(elapsed))
    }
}
