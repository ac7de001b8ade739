//! The cost of a command to the store: commits of one input each, every one durable (`synchronous=FULL`) before the
//! next, in a database of many devices and commands.
//!
//! ```sh
//! cargo run --release -p twinhub-actors --example command_cost [devices] [commands]
//! ```
//! Each command is asked for and goes out in one commit (two events, the outgoing message), its message leaves
//! the outbox with the commit in which the device answers. Beside it stands the least that a commit can cost: a
//! message of readings, one row of the journal.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use twinhub_domain::Outgoing;
use twinhub_domain::cause::Source;
use twinhub_domain::event::EventKind;
use twinhub_domain::twin::Registration;
use twinhub_domain::{
    Cause, CommandId, CommandRequest, CommandResult, CommandStatus, DeviceId, DeviceNumber, Input, Json,
    Object, Recorded, Timestamp, Twin, payload,
};
use twinhub_store::{Batch, CommandQuery, CommandRecord, SqlOptions, SqlStore, Store};
use uuid::Uuid;

type Outcome<T> = Result<T, Box<dyn Error>>;

const START: i64 = 1_767_225_600_000; // 2026-01-01T00:00:00Z
/// Devices registered with one commit.
const AT_ONCE: usize = 1_000;

struct CommandHub {
    store: Arc<SqlStore>,
    twins: Vec<Twin>,
    now: Timestamp,
    seq: u64,
    outgoing: u64,
}

/// The times that commits of one kind took.
#[derive(Default)]
struct CommitTimes {
    times: Vec<Duration>,
    bytes: u64,
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<usize>());
    let devices = arguments.next().transpose()?.unwrap_or(1_000);
    let commands = arguments.next().transpose()?.unwrap_or(3_000);
    let dir = tempfile::tempdir()?;
    let url = format!("sqlite:{}", dir.path().join("cost.db").display());
    let store = SqlStore::open(&url, SqlOptions::default()).await?;
    let now = Timestamp::from_millis(START);
    let mut hub = CommandHub { store, twins: Vec::new(), now, seq: 0, outgoing: 0 };
    hub.register(devices).await?;
    println!("{devices} devices, {commands} commands");
    println!("{:28} {:>8} {:>8} {:>10}", "commit of", "p50 ms", "p99 ms", "kB written");
    hub.readings(commands).await?.print("a message of readings");
    let (asked, answered) = hub.commands(commands).await?;
    asked.print("a command asked for and sent");
    answered.print("its answer");
    hub.questions().await
}

impl CommitTimes {
    fn print(mut self, what: &str) {
        self.times.sort();
        let at = |part: usize| self.times[(self.times.len() - 1) * part / 100].as_secs_f64() * 1e3;
        let written = self.bytes / self.times.len() as u64 / 1_000;
        println!("{what:28} {:>8.2} {:>8.2} {written:>10}", at(50), at(99));
    }
}

impl CommandHub {
    async fn register(&mut self, devices: usize) -> Outcome<()> {
        for device in 0..devices {
            let id = DeviceId::parse(&format!("device-{device}"))?;
            self.twins.push(Twin::new(id, DeviceNumber(i64::try_from(device)? + 1), self.now));
        }
        for first in (0..devices).step_by(AT_ONCE) {
            let mut batch = self.batch();
            for device in first..devices.min(first + AT_ONCE) {
                let patch: Object =
                    object(r#"{"name": "Pump", "type": "pump", "tags": {"floor": 2, "wet": true}}"#)?;
                let register = Input::Register(Box::new(Registration { patch }));
                self.input(&mut batch, device, register)?;
                self.input(&mut batch, device, Input::Presence { online: true, details: Object::default() })?;
                let report =
                    object(r#"{"power": "on", "speed": 1200, "temperature": 23.5, "humidity": 45.2}"#)?;
                self.input(&mut batch, device, Input::Report(report))?;
            }
            self.store.commit(&mut batch).await?;
        }
        Ok(self.store.maintain(self.now).await?)
    }

    async fn readings(&mut self, count: usize) -> Outcome<CommitTimes> {
        let mut measured = CommitTimes::default();
        for index in 0..count {
            let mut batch = self.batch();
            let telemetry = payload::telemetry(br#"{"temperature": 23.5, "humidity": 45.2}"#)?;
            self.input(&mut batch, index % self.twins.len(), Input::Telemetry(telemetry))?;
            self.commit(&mut batch, &mut measured).await?;
        }
        self.store.maintain(self.now).await?;
        Ok(measured)
    }

    async fn commands(&mut self, count: usize) -> Outcome<(CommitTimes, CommitTimes)> {
        let (mut asked, mut answered) = (CommitTimes::default(), CommitTimes::default());
        for index in 0..count {
            // Not one after the other, as the rows are.
            let device = index.wrapping_mul(7_919) % self.twins.len();
            let id = CommandId(Uuid::now_v7());
            let parameters = object(r#"{"rpm": 1200, "ramp": "slow"}"#)?;
            let request = Box::new(CommandRequest {
                idempotency_key: Some(id.to_string().into()),
                ..CommandRequest::new("set_speed", parameters)
            });
            let mut batch = self.batch();
            self.input(&mut batch, device, Input::Command { id, request, known: None, is_new: false })?;
            self.commit(&mut batch, &mut asked).await?;
            let mut batch = self.batch();
            batch.sent.push(self.outgoing);
            let answer = CommandResult::read(br#"{"status": "executed", "response": {"rpm": 1200}}"#)?;
            self.input(
                &mut batch,
                device,
                Input::CommandResult { id, answer: Box::new(answer), known: None },
            )?;
            self.commit(&mut batch, &mut answered).await?;
        }
        Ok((asked, answered))
    }

    /// The times that lists of commands take, in a database that has them all.
    async fn questions(&self) -> Outcome<()> {
        println!("{:28} {:>8}", "list of 20 commands", "ms");
        let page = || CommandQuery { newest_first: true, limit: 20, ..CommandQuery::default() };
        let of_device = CommandQuery { device: Some(DeviceNumber(1)), ..page() };
        let failed = CommandQuery { status: vec![CommandStatus::Failed], ..page() };
        let done = CommandQuery { status: vec![CommandStatus::Executed, CommandStatus::Failed], ..page() };
        let typed = CommandQuery { command_type: Some("set_speed".into()), ..page() };
        for (what, query) in
            [("all", page()), ("a device", of_device), ("dead", failed), ("final", done), ("a type", typed)]
        {
            let mut times = Vec::new();
            for _ in 0..9 {
                let began = Instant::now();
                self.store.commands(&query).await?;
                times.push(began.elapsed());
            }
            times.sort();
            println!("{what:28} {:>8.2}", times[4].as_secs_f64() * 1e3);
        }
        Ok(())
    }

    fn batch(&mut self) -> Batch {
        self.now = self.now.plus_millis(10);
        Batch::empty(self.now)
    }

    /// As the twin's actor and the journal do it.
    fn input(&mut self, batch: &mut Batch, device: usize, input: Input) -> Outcome<()> {
        let twin = &mut self.twins[device];
        let cause = Cause::new(Source::Mqtt, &format!("iot/devices/{}/data", twin.id));
        let outcome = twin.apply(input, self.now, &cause)?;
        let mut events: Vec<Arc<Recorded>> = batch.events.to_vec();
        for event in outcome.events {
            self.seq += 1;
            events.push(Arc::new(Recorded::new(self.seq, event)));
        }
        if events.iter().any(|recorded| recorded.event.kind() != EventKind::Telemetry) {
            batch.twins.retain(|(_, before)| before.number != twin.number);
            batch.twins.push((self.seq, twin.clone()));
        }
        batch.events = events.into();
        for command in outcome.commands {
            batch.commands.retain(|before| before.command.id != command.id);
            batch.commands.push(CommandRecord { device: twin.id.clone(), number: twin.number, command });
        }
        for _ in outcome.publishes {
            self.outgoing += 1;
            batch.outgoing.push(Outgoing {
                id: self.outgoing,
                topic: format!("iot/devices/{}/commands", twin.id),
                payload: vec![b'x'; 200].into(),
                retain: false,
                until: Some(self.now),
                purpose: None,
            });
        }
        Ok(())
    }

    async fn commit(&self, batch: &mut Batch, measured: &mut CommitTimes) -> Outcome<()> {
        let (before, began) = (written()?, Instant::now());
        self.store.commit(batch).await?;
        measured.times.push(began.elapsed());
        measured.bytes += written()? - before;
        Ok(())
    }
}

/// Bytes that this process has had written so far, as Linux counts them.
fn written() -> Outcome<u64> {
    let io = std::fs::read_to_string("/proc/self/io")?;
    let line = io.lines().find_map(|line| line.strip_prefix("wchar: ")).ok_or("no wchar")?;
    Ok(line.parse()?)
}

fn object(text: &str) -> Outcome<Object> {
    match text.parse::<Json>().map_err(|error| error.to_string())? {
        Json::Object(object) => Ok(object),
        other => Err(format!("{other} is no object").into()),
    }
}
