//! The door: where messages of devices come in, whichever link brought them. It decodes them by dialect,
//! bounds what is in flight, keeps what cannot be read, and tries again what was lost on its way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use actix::Addr;
use async_trait::async_trait;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};
use tracing::warn;

use crate::backoff::{Backoff, TWIN};
use crate::counters::{Counters, add, down, up};
use crate::journal::Journal;
use crate::messages::journal::Append;
use crate::messages::supervisor::{Deliver, IfUnknown, ReadTwin};
use crate::post::post;
use crate::silence::HeardSince;
use crate::supervisor::Supervisor;
use twinhub_domain::cause::Source;
use twinhub_domain::json::bare;
use twinhub_domain::payload::PayloadError;
use twinhub_domain::receipt::{NotTaken, Receipt, Settled, Taken};
use twinhub_domain::run::Signal;
use twinhub_domain::twin::{Ear, Rejected};
use twinhub_domain::{Cause, Clock, DeviceId, DeviceNumber, Event, EventBody, Input, Json, Refusal};
use twinhub_mqtt::Intake;
use twinhub_mqtt::dialects;
use twinhub_mqtt::dialects::{DecodeError, Decoded};
use twinhub_mqtt::listening::Listening;
use twinhub_mqtt::rejections::Rejections;
use twinhub_mqtt::subscribers::Subscribers;
use twinhub_mqtt::unread::Unread;
pub use twinhub_mqtt::{Arrived, Room};

/// A message that is lost this often, because its twin dies of it, is put aside as rejected.
const TRIES: Backoff = TWIN.at_most(4);

/// A store that does not say by then whether it has a device is not waited for.
const KNOWN_WITHIN: Duration = Duration::from_secs(2);

/// What is done with devices that nobody has heard of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnknownDevices {
    /// They register themselves, unclaimed.
    #[default]
    Accept,
    /// Their messages are refused and counted.
    Reject,
}

/// See the module.
#[derive(Clone)]
pub struct Door(Arc<Inner>);

struct Inner {
    house: House,
    room: Arc<Semaphore>,
    /// Devices that nobody has registered are refused.
    refuses_unknown: AtomicBool,
    /// In bytes.
    largest_payload: AtomicUsize,
}

/// What stands behind the door.
#[derive(Clone)]
pub struct House {
    pub supervisor: Addr<Supervisor>,
    /// For messages that are no device's.
    pub journal: Addr<Journal>,
    pub rejections: Arc<Rejections>,
    /// Messages that nobody reads.
    pub unread: Arc<Unread>,
    /// Who listens to what the hub says.
    pub subscribers: Arc<Subscribers>,
    pub counters: Arc<Counters>,
    pub clock: Arc<dyn Clock>,
    pub heard: Arc<HeardSince>,
    /// The topics that rules listen to.
    pub listening: Arc<Listening>,
}

/// A message on its way in.
struct Attempt {
    message: Arrived,
    receipt: Receipt,
    /// Held while the message is in flight.
    room: Option<Room>,
    /// Which try this is, from 1.
    tries: u32,
    /// Readings in it that make no sense: told once the others are in.
    bad: Vec<PayloadError>,
}

/// Readings of one message that are named each; of more it is said how many there are.
const MOST_NAMED: usize = 50;

impl Door {
    /// A door before `house` with room for `most_in_flight` inputs.
    #[must_use]
    pub fn new(house: House, unknown: UnknownDevices, most_in_flight: usize) -> Self {
        let room = Arc::new(Semaphore::new(most_in_flight));
        let largest_payload = AtomicUsize::new(dialects::LARGEST_PAYLOAD);
        let refuses_unknown = AtomicBool::new(unknown == UnknownDevices::Reject);
        Self(Arc::new(Inner { house, room, refuses_unknown, largest_payload }))
    }

    /// What becomes of devices that nobody has registered from now on.
    pub fn treat_unknown(&self, unknown: UnknownDevices) {
        self.0.refuses_unknown.store(unknown == UnknownDevices::Reject, Ordering::Relaxed);
    }

    /// Payloads of more than `bytes` are refused from now on; 1 MiB unless this is called.
    pub fn limit_payloads(&self, bytes: usize) {
        self.0.largest_payload.store(bytes, Ordering::Relaxed);
    }

    /// Room for one more input, if there is any now.
    #[must_use]
    pub fn try_room(&self) -> Option<Room> {
        Arc::clone(&self.0.room).try_acquire_owned().ok()
    }

    /// Waits until there is room for one more input; the room is given back with the permit.
    pub async fn room(&self) -> Option<Room> {
        Arc::clone(&self.0.room).acquire_owned().await.ok() // never closed
    }

    /// Takes a message in; never waits. `receipt` is settled when the message is durable, or when it
    /// was put aside and need not come again: either way it is to be acknowledged. It is settled
    /// as [`NotTaken::Lost`] only when the hub goes down: then the message must come again.
    pub fn take(&self, message: Arrived, receipt: Receipt, room: Option<Room>) {
        up(&self.0.house.counters.messages_in);
        let room = room.or_else(|| self.try_room());
        if message.fire_and_forget && room.is_none() {
            up(&self.0.house.counters.messages_shed);
            receipt.settle(Ok(Taken::default()));
            return;
        }
        if message.for_rules && self.0.house.listening.hears(&message.topic) {
            let for_twin = message.for_twins && dialects::is_ours(&message.topic);
            if !for_twin {
                return self.signal(&message, receipt, room);
            }
            // Told to the journal before what the twin makes of it: durable no later than that.
            self.signal(&message, Receipt::nobody(), None);
        }
        if message.for_twins {
            self.attempt(Attempt { message, receipt, room, tries: 1, bad: Vec::new() });
        } else {
            receipt.settle(Ok(Taken::default())); // what nobody listens to any more
        }
    }

    /// A message that rules listen to. What the broker had kept fires none, and is not even told.
    fn signal(&self, message: &Arrived, receipt: Receipt, room: Option<Room>) {
        if message.retained {
            return receipt.settle(Ok(Taken::default()));
        }
        let payload = Json::parse(&message.payload)
            .unwrap_or_else(|_| Json::String(String::from_utf8_lossy(bare(&message.payload)).into()));
        let topic = message.topic.as_ref().into();
        let now = self.0.house.clock.now();
        let event = Event {
            device: DeviceId::none(),
            number: DeviceNumber::default(),
            at: now,
            received_at: now,
            body: EventBody::Signal(Box::new(Signal::Mqtt { topic, payload })),
            cause: Cause::new(Source::Mqtt, &message.topic),
        };
        let receipt = Receipt::new(move |settled| {
            receipt.settle(settled);
            drop(room);
        });
        // Where the journal is gone the hub is going down; the receipt says so as it is dropped.
        let _ = post(
            &self.0.house.journal,
            Append::with_kept(vec![event], Vec::new(), Default::default(), receipt),
        );
    }

    fn attempt(&self, mut attempt: Attempt) {
        let Arrived { topic, payload, .. } = &attempt.message;
        let largest = self.0.largest_payload.load(Ordering::Relaxed);
        match dialects::decode_within(largest, topic, payload) {
            Ok(Decoded { device, input, bad }) => {
                attempt.bad = bad;
                self.deliver(device, input, attempt);
            }
            Err(DecodeError::Readings(bad)) => {
                up(&self.0.house.counters.messages_rejected);
                self.name_bad(&attempt.message, bad.iter().map(|error| (error.reason(), error.to_string())));
                attempt.receipt.settle(Ok(Taken::default()));
            }
            Err(error) => self.put_aside(attempt, error.reason(), error.to_string()),
        }
    }

    fn deliver(&self, device: DeviceId, input: Input, attempt: Attempt) {
        let cause = Cause {
            source: Source::Mqtt,
            by: Arc::clone(&attempt.message.topic),
            run: None,
            retained: attempt.message.retained,
        };
        let refuses = self.0.refuses_unknown.load(Ordering::Relaxed);
        let if_unknown = if refuses { IfUnknown::Refuse } else { IfUnknown::Appear };
        let door = self.clone();
        // The receipt is settled on any thread; a second try is timed by the runtime of the first.
        let runtime = Handle::try_current().ok();
        add(&self.0.house.counters.inputs_in_flight, 1);
        let receipt = Receipt::new(move |settled| {
            down(&door.0.house.counters.inputs_in_flight);
            door.settled(attempt, settled, runtime);
        });
        // Where the supervisor is gone the hub is going down; the receipt says so as it is dropped.
        let _ = post(
            &self.0.house.supervisor,
            Deliver { device, input, cause, receipt, if_unknown, if_version: None, want_twin: false },
        );
    }

    fn settled(&self, mut attempt: Attempt, settled: Settled, runtime: Option<Handle>) {
        match settled {
            Ok(taken) => {
                if !attempt.bad.is_empty() || !taken.rejected.is_empty() {
                    let bad = attempt.bad.iter().map(|error| (error.reason(), error.to_string()));
                    let rejected = taken
                        .rejected
                        .iter()
                        .map(|Rejected { name, refusal }| (reason(refusal), format!("`{name}`: {refusal}")));
                    self.name_bad(&attempt.message, bad.chain(rejected));
                }
                attempt.receipt.settle(Ok(taken));
                drop(attempt.room);
            }
            Err(NotTaken::Refused(refusal)) => {
                self.put_aside(attempt, reason(&refusal), refusal.to_string());
            }
            Err(NotTaken::Lost) => {
                let Some(wait) = TRIES.wait(attempt.tries) else {
                    let detail = format!("its twin died of it {} times", attempt.tries);
                    return self.put_aside(attempt, "poison", detail);
                };
                let Some(runtime) = runtime.filter(|_| self.0.house.supervisor.connected()) else {
                    return; // going down: the receipt is dropped and the message must come again
                };
                let door = self.clone();
                runtime.spawn(async move {
                    tokio::time::sleep(wait).await;
                    warn!(topic = %attempt.message.topic, tries = attempt.tries, "message lost on its way, trying again");
                    attempt.tries += 1;
                    door.attempt(attempt);
                });
            }
        }
    }

    /// Keeps for people to see what was wrong with single readings of a message.
    fn name_bad(
        &self,
        Arrived { topic, payload, .. }: &Arrived,
        bad: impl Iterator<Item = (&'static str, String)>,
    ) {
        let House { counters, rejections, clock, .. } = &self.0.house;
        let now = clock.now();
        for (count, (reason, detail)) in bad.enumerate() {
            up(&counters.readings_rejected);
            if count < MOST_NAMED {
                rejections.add(now, topic, payload, reason, detail);
            } else {
                rejections.count(reason);
            }
        }
    }

    /// Keeps what was wrong for people to see; the sender is told that the message has arrived, or it
    /// would come again and again.
    fn put_aside(&self, attempt: Attempt, reason: &'static str, detail: String) {
        let Arrived { topic, payload, .. } = &attempt.message;
        up(&self.0.house.counters.messages_rejected);
        self.0.house.rejections.add(self.0.house.clock.now(), topic, payload, reason, detail);
        attempt.receipt.settle(Ok(Taken::default()));
    }
}

/// The stable word for why a twin refused what a device said.
fn reason(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::Suspended => "suspended",
        Refusal::Retired => "retired",
        Refusal::TooLarge { .. } => "document_too_large",
        Refusal::NoZone(_) => "bad_timestamp",
        _ => "refused",
    }
}

/// Tells a twin that somebody listens there now.
pub(crate) fn listens(device: DeviceId, ear: Ear) -> Deliver {
    Deliver {
        device,
        input: Input::Listens(ear),
        cause: Cause::new(Source::Hub, "subscribed"),
        receipt: Receipt::nobody(),
        if_unknown: IfUnknown::Refuse,
        if_version: None,
        want_twin: false,
    }
}

#[async_trait]
impl Intake for Door {
    fn try_room(&self) -> Option<Room> {
        Self::try_room(self)
    }

    async fn room(&self) -> Option<Room> {
        Self::room(self).await
    }

    fn connected(&self) {
        self.0.house.heard.begin_again(self.0.house.clock.now());
    }

    fn take(&self, message: Arrived, receipt: Receipt, room: Option<Room>) {
        Self::take(self, message, receipt, room);
    }

    fn refuse(&self, topic: &str, payload: &[u8], reason: &'static str, detail: String) {
        let House { counters, rejections, clock, .. } = &self.0.house;
        up(&counters.messages_in);
        up(&counters.messages_rejected);
        rejections.add(clock.now(), topic, payload, reason, detail);
    }

    fn unread(&self, topic: &str) {
        self.0.house.unread.note(topic, self.0.house.clock.now());
    }

    fn subscribers(&self) -> Arc<Subscribers> {
        Arc::clone(&self.0.house.subscribers)
    }

    fn heard(&self, devices: Vec<(DeviceId, Ear)>) {
        for (device, ear) in devices {
            let _ = post(&self.0.house.supervisor, listens(device, ear)); // or the hub is going down
        }
    }

    async fn knows(&self, client: &str) -> bool {
        let Ok(device) = DeviceId::parse(client) else { return false };
        let (reply, twin) = oneshot::channel();
        if post(&self.0.house.supervisor, ReadTwin { device, reply }).is_err() {
            return false;
        }
        matches!(tokio::time::timeout(KNOWN_WITHIN, twin).await, Ok(Ok(Some(_))))
    }

    fn listening(&self) -> Arc<Listening> {
        Arc::clone(&self.0.house.listening)
    }
}
