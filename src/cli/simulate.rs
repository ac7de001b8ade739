//! `twinhub simulate`: a fleet that behaves like one. It measures, does as it is told, follows what is
//! desired of it, drops out and comes back.

mod broker_connection;
mod counters;
mod desired;
mod device;
mod fetch;
mod firmware;
mod machine;
mod received_commands;
mod rng;
mod station;
mod timer_queue;

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use twinhub_mqtt::link::BrokerAddress;

use crate::cli::remote::HubArgs;
use crate::config::DurationValue;
use crate::shutdown;
use counters::FleetCounters;
use device::SimulatedDevice;
use station::Station;

/// The arguments of `simulate`.
#[derive(Args, Clone, Debug)]
#[command(after_help = HELP)]
pub struct SimulateArgs {
    /// The number of devices
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    devices: u32,
    /// Messages that they send in a second, all together
    #[arg(long, value_name = "N", default_value_t = 50.0, value_parser = rate)]
    rate: f64,
    /// The broker they speak to
    #[arg(long, value_name = "URL", default_value = "mqtt://127.0.0.1:1883", value_parser = BrokerAddress::parse)]
    mqtt: BrokerAddress,
    /// The time that a device takes to carry out a command
    #[arg(long, value_name = "TIME", default_value = "200ms", value_parser = time)]
    answer_delay: Duration,
    /// The share of commands that a device fails at, or rejects: from 0 to 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.02, value_parser = share)]
    failure_rate: f64,
    /// Drop-outs of a device in a minute, by chance; 0 is never
    #[arg(long, value_name = "N", default_value_t = 0.01, value_parser = drop_outs)]
    drop_outs: f64,
    /// The time that it is away then, give or take a half
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = time)]
    away: Duration,
    /// The time that a device takes for each step of an update of its firmware
    #[arg(long, value_name = "TIME", default_value = "500ms", value_parser = time)]
    firmware_step: Duration,
    /// The share of updates that fail: from 0 to 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.02, value_parser = share)]
    firmware_failure_rate: f64,
    /// End after so many seconds [default: at Ctrl-C]
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
    #[command(flatten)]
    hub: HubArgs,
    /// The same seed gives the same fleet with the same weather
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

const HELP: &str = "\
Of ten devices five are rooms (climate-0), three doors (door-1) and two pumps (pump-3). Besides telemetry:

          desired                      commands
  room    target: 5 to 35 °C           set_target {\"target\": 21.5}
  door    lock: locked, unlocked       open, close, lock, unlock, set_lock {\"lock\": …}
  pump    power: on, off               start, stop, set_power {\"power\": …}
  all     anything else is kept        identify, reboot

  curl -X PATCH http://127.0.0.1:8080/api/devices/pump-3/twin \\
    -H 'Content-Type: application/json' -d '{\"desired\": {\"power\": \"on\"}}'
  curl 'http://127.0.0.1:8080/api/devices/door-1/commands?wait=5s' \\
    -H 'Content-Type: application/json' -d '{\"command_type\": \"lock\"}'

What a device cannot do it rejects, and says why. It carries out no command twice,
and passes over what is desired in an older version than it has followed. It drops
out by breaking its connection, so that the broker speaks its last will. Above 900
devices some share a connection; that says `offline` for them.

It takes firmware for the models sim-climate, sim-door and sim-pump: says how far it
has come, really fetches images of 4 MiB at most over HTTP and checks their hash, and
comes back with the new version after a moment.";

/// The state that all stations share.
struct SimulatedFleet {
    broker: BrokerAddress,
    /// The time between two messages of one device.
    period: Duration,
    answer_delay: Duration,
    /// 0 to 1.
    failure_rate: f64,
    /// A minute, of each device.
    drop_outs: f64,
    away: Duration,
    firmware_step: Duration,
    /// 0 to 1.
    firmware_failure_rate: f64,
    http: reqwest::Client,
    /// The hub, for images that it serves.
    hub: HubArgs,
    began: Instant,
    counters: Arc<FleetCounters>,
}

/// More connections than this and devices share one, as behind a gateway: a system gives a program 1,024
/// open files unless it is asked for more.
const MOST_CONNECTIONS: u32 = 900;
/// Devices that come at once are a storm of their own; a thousand a second is none.
const CONNECT_EVERY: Duration = Duration::from_millis(1);
/// No device says more than a thousand messages a second.
const SHORTEST_PERIOD: Duration = Duration::from_millis(1);
/// The time that the fleet has to say goodbye.
const GOODBYE: Duration = Duration::from_secs(3);
const RATES: RangeInclusive<f64> = 0.001..=1_000_000.0;
/// A minute.
const DROP_OUTS: RangeInclusive<f64> = 0.000_1..=600.0;
const LONGEST_TIME: Duration = Duration::from_secs(86_400);

/// Plays the fleet until its time is over or the user ends it, and tells what it did.
///
/// # Errors
/// No device ever reached the broker.
pub async fn run(args: SimulateArgs) -> anyhow::Result<()> {
    let fleet = Arc::new(SimulatedFleet::new(&args)?);
    let (end, ended) = watch::channel(false);
    let mut stations = JoinSet::new();
    for (place, devices) in (0..).zip(deal(&args, &fleet)) {
        let station = Station::new(Arc::clone(&fleet), devices);
        stations.spawn(station.run(fleet.began + CONNECT_EVERY * place, ended.clone()));
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
        () = show(&bar, &fleet) => {}
    }
    let _ = end.send(true); // fails where every station has ended
    let _ = tokio::time::timeout(GOODBYE, stations.join_all()).await; // the broker notices the rest
    bar.finish_and_clear();
    println!("{}", fleet.counters.summary(fleet.began.elapsed()));
    anyhow::ensure!(fleet.counters.sent.load(Relaxed) > 0, "no device reached the broker at {}", args.mqtt);
    Ok(())
}

impl SimulatedFleet {
    fn new(args: &SimulateArgs) -> anyhow::Result<Self> {
        let SimulateArgs { devices, rate, answer_delay, failure_rate, drop_outs, away, .. } = *args;
        let SimulateArgs { firmware_step, firmware_failure_rate, .. } = *args;
        Ok(Self {
            broker: args.mqtt.clone(),
            period: Duration::from_secs_f64(f64::from(devices) / rate).max(SHORTEST_PERIOD),
            answer_delay,
            failure_rate,
            drop_outs,
            away,
            firmware_step,
            firmware_failure_rate,
            http: args.hub.client()?,
            hub: args.hub.clone(),
            began: Instant::now(),
            counters: Arc::default(),
        })
    }
}

/// Deals the devices out to connections, each with the time of its first message: evenly spread over a
/// period, so that a fleet does not do everything at once.
fn deal(args: &SimulateArgs, fleet: &SimulatedFleet) -> Vec<Vec<(Instant, SimulatedDevice)>> {
    let device = |index| {
        let first = fleet.began + fleet.period.mul_f64(f64::from(index) / f64::from(args.devices));
        (first, SimulatedDevice::new(args.seed, index))
    };
    let connections = args.devices.min(MOST_CONNECTIONS);
    let step = connections as usize; // 900 at most
    (0..connections).map(|first| (first..args.devices).step_by(step).map(device).collect()).collect()
}

async fn show(bar: &ProgressBar, fleet: &SimulatedFleet) {
    let mut tick = tokio::time::interval(Duration::from_millis(250));
    loop {
        tick.tick().await;
        bar.set_message(fleet.counters.line(fleet.began.elapsed()));
        bar.tick();
    }
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{spinner} {elapsed_precise}  {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
}

/// The topic of a device.
fn topic(device: &str, about: &str) -> String {
    format!("iot/devices/{device}/{about}")
}

fn rate(text: &str) -> Result<f64, String> {
    within(text, RATES).ok_or_else(|| "expected a number from 0.001 to 1000000".into())
}

fn share(text: &str) -> Result<f64, String> {
    within(text, 0.0..=1.0).ok_or_else(|| "expected a number from 0 to 1".into())
}

fn drop_outs(text: &str) -> Result<f64, String> {
    let never = within(text, 0.0..=0.0);
    never.or_else(|| within(text, DROP_OUTS)).ok_or_else(|| "expected 0, or 0.0001 to 600 a minute".into())
}

fn time(text: &str) -> Result<Duration, String> {
    let DurationValue(time) = text.parse()?;
    if time <= LONGEST_TIME { Ok(time) } else { Err("expected a day at most".into()) }
}

fn within(text: &str, range: RangeInclusive<f64>) -> Option<f64> {
    text.parse().ok().filter(|number| range.contains(number))
}
