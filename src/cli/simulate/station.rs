//! A station: the devices that speak over one connection, and what they do when. A device with a
//! connection of its own drops out by breaking it, and its will is spoken; behind a shared one, as behind
//! a gateway, that would take the others along, so there the gateway says it for the device.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use twinhub_actors::SystemClock;
use twinhub_domain::{Clock as _, Timestamp};
use twinhub_mqtt::topics;
use twinhub_mqtt::topics::Leaf;

use super::broker_connection::{BrokerConnection, Incoming};
use super::device::{DeviceMessage, SimulatedDevice};
use super::fetch;
use super::firmware::{Download, Fetch, UpdaterStep};
use super::timer_queue::TimerQueue;
use super::{SimulatedFleet, topic};

/// A part of the fleet behind one connection.
pub(super) struct Station {
    fleet: Arc<SimulatedFleet>,
    members: Vec<StationMember>,
    by_id: HashMap<String, usize>,
    timers: TimerQueue<Task>,
    /// The way in for the outcome of downloads.
    sender: mpsc::UnboundedSender<DownloadOutcome>,
    fetched: mpsc::UnboundedReceiver<DownloadOutcome>,
}

/// The outcome of a device's download.
struct DownloadOutcome {
    place: usize,
    job: String,
    outcome: Download,
}

struct StationMember {
    device: SimulatedDevice,
    is_away: bool,
    /// When it was last cut off.
    broken_at: Option<Timestamp>,
    /// Commands that fell due while it was away: the answer would have been lost.
    waiting: Vec<String>,
}

/// A task of a device; the number is its place at the station.
enum Task {
    Measure(usize),
    CarryOut(usize, String),
    DropOut(usize),
    Return(usize),
    /// It comes further with its firmware.
    Update(usize),
    /// It starts with new firmware.
    Restart(usize),
}

/// The end of a connection.
enum ConnectionEnd {
    /// The fleet is done.
    Done,
    /// It dropped out on purpose for this long.
    DropOut(Duration),
    /// The broker is not there, or not any more.
    Failed,
}

/// The wait before the next try to reach a broker that is not there.
const TRY_AGAIN: Duration = Duration::from_secs(2);
/// The time that a device takes to start with new firmware.
const RESTART: Duration = Duration::from_secs(1);
/// The fleet's day begins with the program; it is eight in the morning there.
const MORNING: f64 = 8.0 * 3_600.0;

impl Station {
    /// A station of `devices`, each with the time of its first message; there is at least one.
    pub(super) fn new(fleet: Arc<SimulatedFleet>, devices: Vec<(Instant, SimulatedDevice)>) -> Self {
        let by_id = devices.iter().enumerate().map(|(place, (_, device))| (device.id.clone(), place));
        let by_id = by_id.collect();
        let (sender, fetched) = mpsc::unbounded_channel();
        let mut station =
            Self { fleet, members: Vec::new(), by_id, timers: TimerQueue::new(), sender, fetched };
        for (place, (first, device)) in devices.into_iter().enumerate() {
            station.members.push(StationMember {
                device,
                is_away: false,
                broken_at: None,
                waiting: Vec::new(),
            });
            station.timers.put(first, Task::Measure(place));
            station.plan_drop_out(place, Duration::ZERO);
        }
        station
    }

    /// Plays its devices until `ended` turns true.
    pub(super) async fn run(mut self, connect_at: Instant, mut ended: watch::Receiver<bool>) {
        tokio::time::sleep_until(connect_at).await;
        loop {
            let wait = match self.connection(&mut ended).await {
                ConnectionEnd::Done => return,
                ConnectionEnd::DropOut(wait) => wait,
                ConnectionEnd::Failed => {
                    self.fleet.counters.failed.fetch_add(1, Relaxed);
                    self.members.iter_mut().for_each(|member| member.device.lose_broker());
                    TRY_AGAIN
                }
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                _ = ended.wait_for(|ended| *ended) => return,
            }
        }
    }

    async fn connection(&mut self, ended: &mut watch::Receiver<bool>) -> ConnectionEnd {
        let Self { fleet, members, .. } = self;
        let first = &members[0].device.id; // no station is without a device
        let mut broker =
            BrokerConnection::open(&fleet.broker, first, members.len(), Arc::clone(&fleet.counters));
        let mut connected = false;
        let ended = loop {
            tokio::select! {
                _ = ended.wait_for(|ended| *ended) => break ConnectionEnd::Done,
                incoming = broker.next() => match incoming {
                    Some(Incoming::Connected) => {
                        connected = true;
                        self.arrive(&broker);
                    }
                    Some(Incoming::Message { topic, payload }) => self.hear(&broker, &topic, &payload),
                    None => break ConnectionEnd::Failed,
                },
                Some(DownloadOutcome { place, job, outcome }) = self.fetched.recv() => {
                    self.members[place].device.fetched(&job, outcome);
                }
                (at, task) = self.timers.due(), if connected => {
                    if let Some(ended) = self.act(&broker, at, task) {
                        break ended;
                    }
                }
            }
        };
        if connected {
            let now = SystemClock.now();
            let here = || self.members.iter().filter(|member| !member.is_away);
            self.fleet.counters.here.fetch_sub(here().count() as u64, Relaxed);
            if matches!(ended, ConnectionEnd::Done) {
                let goodbye = |member: &StationMember| (topic(&member.device.id, "status"), offline());
                broker.hang_up(here().map(goodbye)).await;
            }
            self.members.iter_mut().for_each(|member| member.broken_at = Some(now));
        }
        ended
    }

    /// The connection is there: everybody listens before saying so, or would miss the first word.
    fn arrive(&mut self, broker: &BrokerConnection) {
        let ids = self.members.iter().map(|member| &member.device.id);
        broker.subscribe(
            ids.flat_map(|id| ["desired", "commands", "firmware/update"].map(|about| topic(id, about))),
        );
        for place in 0..self.members.len() {
            if !self.members[place].is_away {
                self.greet(broker, place);
            }
        }
    }

    fn greet(&mut self, broker: &BrokerConnection, place: usize) {
        self.fleet.counters.here.fetch_add(1, Relaxed);
        let StationMember { device, broken_at, .. } = &self.members[place];
        self.publish(broker, place, device.greet(*broken_at));
    }

    fn hear(&mut self, broker: &BrokerConnection, topic: &str, payload: &[u8]) {
        let Some(native) = topics::parse(topic) else { return };
        let Some(place) = self.by_id.get(native.device).copied() else { return };
        let member = &mut self.members[place];
        if member.is_away {
            return; // out of reach: what the gateway was told for it is lost
        }
        match native.leaf {
            Leaf::Desired => {
                let messages = member.device.hear_desired(payload);
                if !messages.is_empty() {
                    self.fleet.counters.followed.fetch_add(1, Relaxed);
                    self.publish(broker, place, messages);
                    self.measure(broker, place);
                }
            }
            Leaf::Commands => {
                let reaction = member.device.hear_command(payload, SystemClock.now());
                if let Some(command) = reaction.carry_out {
                    let at = Instant::now() + self.fleet.answer_delay;
                    self.timers.put(at, Task::CarryOut(place, command));
                }
                self.publish(broker, place, reaction.messages);
            }
            Leaf::Update => {
                let Some((wanted, begins)) = member.device.hear_update(payload) else { return };
                self.timers.put(Instant::now() + self.fleet.firmware_step, Task::Update(place));
                self.publish(broker, place, vec![begins]);
                self.fetch(place, wanted);
            }
            _ => {}
        }
    }

    /// Does what is due; tells where that ends the connection.
    fn act(&mut self, broker: &BrokerConnection, at: Instant, task: Task) -> Option<ConnectionEnd> {
        let (Task::Measure(place)
        | Task::CarryOut(place, _)
        | Task::DropOut(place)
        | Task::Return(place)
        | Task::Update(place)
        | Task::Restart(place)) = task;
        let now = SystemClock.now();
        let member = &mut self.members[place];
        match task {
            Task::Measure(_) => {
                // Late by whole periods, it leaves out as many: the fleet keeps its rhythm.
                let period = self.fleet.period;
                let late = at.elapsed().as_secs_f64() / period.as_secs_f64();
                self.timers.put(at + period.mul_f64(late.floor() + 1.0), task);
                if !member.is_away {
                    self.measure(broker, place);
                }
            }
            Task::CarryOut(_, command) if member.is_away => member.waiting.push(command),
            Task::CarryOut(_, command) => {
                let messages = member.device.carry_out(&command, self.fleet.failure_rate, now);
                self.fleet.counters.answered.fetch_add(1, Relaxed);
                self.publish(broker, place, messages);
            }
            Task::DropOut(_) if member.is_away => self.plan_drop_out(place, RESTART),
            Task::DropOut(_) => {
                let away = self.fleet.away.mul_f64(member.device.absence());
                self.fleet.counters.dropped_out.fetch_add(1, Relaxed);
                self.plan_drop_out(place, away);
                return self.leave(broker, place, away, now);
            }
            Task::Update(_) if member.is_away => {
                self.timers.put(Instant::now() + self.fleet.firmware_step, task);
            }
            Task::Update(_) => {
                let (message, next) = member.device.update(self.fleet.firmware_failure_rate);
                self.publish(broker, place, message.into_iter().collect());
                match next {
                    UpdaterStep::Say(_) | UpdaterStep::Wait => {
                        self.timers.put(Instant::now() + self.fleet.firmware_step, Task::Update(place));
                    }
                    // After what it says has gone out.
                    UpdaterStep::Restart(_) => {
                        self.timers.put(Instant::now() + self.fleet.firmware_step, Task::Restart(place));
                    }
                    UpdaterStep::Last(_) | UpdaterStep::Nothing => {}
                }
            }
            Task::Restart(_) => {
                self.fleet.counters.updated.fetch_add(1, Relaxed);
                if !member.is_away {
                    return self.leave(broker, place, RESTART, now); // if not, it comes back with the new version anyhow
                }
            }
            Task::Return(_) => {
                member.is_away = false;
                for command in std::mem::take(&mut member.waiting) {
                    self.timers.put(Instant::now(), Task::CarryOut(place, command));
                }
                self.greet(broker, place);
            }
        }
        None
    }

    /// It goes for so long. Alone on its connection, it breaks that.
    fn leave(
        &mut self,
        broker: &BrokerConnection,
        place: usize,
        away: Duration,
        now: Timestamp,
    ) -> Option<ConnectionEnd> {
        if self.members.len() == 1 {
            return Some(ConnectionEnd::DropOut(away));
        }
        let member = &mut self.members[place];
        (member.is_away, member.broken_at) = (true, Some(now));
        self.fleet.counters.here.fetch_sub(1, Relaxed);
        self.publish(broker, place, vec![offline()]);
        self.timers.put(Instant::now() + away, Task::Return(place));
        None
    }

    /// Begins to fetch an image, where it is one to be fetched.
    fn fetch(&mut self, place: usize, wanted: Fetch) {
        if !fetch::is_real(&wanted) {
            return;
        }
        self.members[place].device.fetched(&wanted.job, Download::UnderWay);
        let (client, sender) = (self.fleet.http.clone(), self.sender.clone());
        let token = self.fleet.hub.token_for(&wanted.url);
        tokio::spawn(async move {
            let outcome = fetch::fetch(&client, token.as_ref(), &wanted).await;
            let _ = sender.send(DownloadOutcome { place, job: wanted.job, outcome }); // the fleet may be done
        });
    }

    fn measure(&mut self, broker: &BrokerConnection, place: usize) {
        let time = MORNING + self.fleet.began.elapsed().as_secs_f64();
        let device = &mut self.members[place].device;
        let readings = device.measure(time);
        if broker.mention(topic(&device.id, &readings.about), readings) {
            self.fleet.counters.sent.fetch_add(1, Relaxed);
        }
    }

    fn publish(&self, broker: &BrokerConnection, place: usize, messages: Vec<DeviceMessage>) {
        for message in messages {
            if broker.publish(topic(&self.members[place].device.id, &message.about), message) {
                self.fleet.counters.sent.fetch_add(1, Relaxed);
            }
        }
    }

    /// The next time it drops out, after it is back from an absence of `away`.
    fn plan_drop_out(&mut self, place: usize, away: Duration) {
        if let Some(seconds) = self.members[place].device.drops_out_after(self.fleet.drop_outs) {
            self.timers.put(Instant::now() + away + Duration::from_secs_f64(seconds), Task::DropOut(place));
        }
    }
}

fn offline() -> DeviceMessage {
    DeviceMessage { about: "status".into(), payload: "offline".into(), retain: true }
}
