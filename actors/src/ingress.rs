//! The ingress of device messages, whichever link brought them. It bounds the messages in flight and decides on their
//! receivers; messages for twins go on by its [`InputDelivery`].

mod input_delivery;

use std::sync::Arc;
use std::time::Duration;

use actix::{Addr, Recipient};
use async_trait::async_trait;
use tokio::sync::{Semaphore, oneshot};

use crate::counters::{Counters, up};
use crate::identities::{ClientIdentities, DevicesPolicy};
use crate::journal::Journal;
use crate::mailbox::try_send_unbounded;
use crate::messages::dialects::Interpret;
use crate::messages::journal::Append;
use crate::messages::supervisor::{Deliver, IfUnknown, ReadTwin};
use crate::silence::HeardSince;
use crate::supervisor::Supervisor;
use twinhub_domain::cause::Source;
use twinhub_domain::json::bare;
use twinhub_domain::receipt::{Accepted, Receipt};
use twinhub_domain::run::AutomationSignal;
use twinhub_domain::twin::Downlink;
use twinhub_domain::{Cause, Clock, DeviceId, DeviceNumber, Event, EventBody, Input, Json};
use twinhub_mqtt::Intake;
use twinhub_mqtt::dialects::Dialects;
use twinhub_mqtt::identity::{Authenticator, ConnectRefusal};
use twinhub_mqtt::rule_topics::RuleTopics;
use twinhub_mqtt::subscribers::Subscribers;
use twinhub_mqtt::unread_topics::UnreadTopics;

pub use self::input_delivery::{InputDelivery, InputDeliveryDeps};
pub use twinhub_mqtt::{IncomingMessage, Room};

/// A store that does not say by then whether it has a device is not waited for.
const KNOWN_WITHIN: Duration = Duration::from_secs(2);

/// The treatment of unknown devices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnknownDevicePolicy {
    /// They register themselves, unclaimed.
    #[default]
    Accept,
    /// Their messages are refused and counted.
    Reject,
}

/// The ingress of device messages.
#[derive(Clone)]
pub struct Ingress(Arc<IngressShared>);

struct IngressShared {
    deps: IngressDeps,
    room: Arc<Semaphore>,
}

/// The actors and parts behind the ingress.
#[derive(Clone)]
pub struct IngressDeps {
    pub supervisor: Addr<Supervisor>,
    /// For messages that are no device's.
    pub journal: Addr<Journal>,
    /// For messages that each can be read by itself.
    pub delivery: InputDelivery,
    /// For all others.
    pub interpreter: Recipient<Interpret>,
    /// The dialects that devices speak.
    pub dialects: Arc<Dialects>,
    /// Messages on topics without a reader.
    pub unread_topics: Arc<UnreadTopics>,
    /// The listeners to the hub's messages.
    pub subscribers: Arc<Subscribers>,
    pub counters: Arc<Counters>,
    pub clock: Arc<dyn Clock>,
    pub heard: Arc<HeardSince>,
    /// The topics that rules listen to.
    pub rule_topics: Arc<RuleTopics>,
    /// The clients of the embedded broker.
    pub identities: ClientIdentities,
}

impl Ingress {
    /// An ingress to `deps` with room for `most_in_flight` messages.
    #[must_use]
    pub fn new(deps: IngressDeps, most_in_flight: usize) -> Self {
        Self(Arc::new(IngressShared { deps, room: Arc::new(Semaphore::new(most_in_flight)) }))
    }

    /// Sets the treatment of unknown devices from now on.
    pub fn treat_unknown(&self, unknown: UnknownDevicePolicy) {
        self.0.deps.delivery.treat_unknown(unknown);
    }

    /// Sets the treatment of clients without a password from now on.
    pub fn treat_anonymous(&self, policy: DevicesPolicy) {
        self.0.deps.identities.set_policy(policy);
    }

    /// Payloads of more than `bytes` are refused from now on; 1 MiB unless this is called.
    pub fn limit_payloads(&self, bytes: usize) {
        self.0.deps.delivery.limit_payloads(bytes);
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

    /// Takes a message in; never waits. `receipt` is settled when the message is durable, or when it was rejected and
    /// need not come again: either way it is to be acknowledged. It is settled as [`NotTaken::Lost`] only when the hub
    /// shuts down: then the message must come again.
    pub fn accept(&self, message: IncomingMessage, receipt: Receipt, room: Option<Room>) {
        up(&self.0.deps.counters.messages_in);
        let room = room.or_else(|| self.try_room());
        if message.fire_and_forget && room.is_none() {
            up(&self.0.deps.counters.messages_shed);
            receipt.settle(Ok(Accepted::default()));
            return;
        }
        if message.for_rules && self.0.deps.rule_topics.matches(&message.topic) {
            let for_twin = message.for_twins && self.0.deps.dialects.is_ours(&message.topic);
            if !for_twin {
                return self.signal(&message, receipt, room);
            }
            // Sent to the journal before the twin's outcome: durable no later than that.
            self.signal(&message, Receipt::ignored(), None);
        }
        if message.for_twins {
            self.deliver_to_twins(message, receipt, room);
        } else {
            receipt.settle(Ok(Accepted::default())); // no rule listens to it any more
        }
    }

    /// Brings a message to the twins, by its dialect.
    fn deliver_to_twins(&self, message: IncomingMessage, receipt: Receipt, room: Option<Room>) {
        let IngressDeps { delivery, dialects, interpreter, .. } = &self.0.deps;
        let Some(dialect) = dialects.stateful_for(&message.topic) else {
            return delivery.deliver_message(message, receipt, room);
        };
        if let Err(error) = delivery.check_size(&message) {
            return delivery.reject(&message, error, receipt);
        }
        // Where the interpreter is gone the hub is shutting down; the dropped receipt says so.
        let _ = try_send_unbounded(interpreter, Interpret { dialect, message, receipt, room });
    }

    /// Signals a message that rules are subscribed to. One that the broker had retained fires none, and makes no event.
    fn signal(&self, message: &IncomingMessage, receipt: Receipt, room: Option<Room>) {
        if message.retained {
            return receipt.settle(Ok(Accepted::default()));
        }
        let payload = Json::parse(&message.payload)
            .unwrap_or_else(|_| Json::String(String::from_utf8_lossy(bare(&message.payload)).into()));
        let topic = message.topic.as_ref().into();
        let now = self.0.deps.clock.now();
        let event = Event {
            device: DeviceId::none(),
            number: DeviceNumber::default(),
            at: now.into(),
            received_at: now,
            body: EventBody::Signal(Box::new(AutomationSignal::Mqtt { topic, payload })),
            cause: Cause::new(Source::Mqtt, &message.topic),
        };
        let receipt = Receipt::new(move |settled| {
            receipt.settle(settled);
            drop(room);
        });
        // Where the journal is gone the hub is shutting down; the dropped receipt says so.
        let _ = try_send_unbounded(
            &self.0.deps.journal,
            Append::with_kept(vec![event], Vec::new(), Default::default(), receipt),
        );
    }
}

/// The input for a twin whose device's topic has a listener now.
pub(crate) fn listens(device: DeviceId, ear: Downlink) -> Deliver {
    Deliver {
        device,
        input: Input::Subscribed(ear),
        cause: Cause::new(Source::Hub, "subscribed"),
        receipt: Receipt::ignored(),
        if_unknown: IfUnknown::Refuse,
        if_version: None,
        want_twin: false,
    }
}

#[async_trait]
impl Intake for Ingress {
    fn try_room(&self) -> Option<Room> {
        Self::try_room(self)
    }

    async fn room(&self) -> Option<Room> {
        Self::room(self).await
    }

    fn connected(&self) {
        self.0.deps.heard.begin_again(self.0.deps.clock.now());
    }

    fn accept(&self, message: IncomingMessage, receipt: Receipt, room: Option<Room>) {
        Self::accept(self, message, receipt, room);
    }

    fn refuse(&self, topic: &str, payload: &[u8], reason: &'static str, detail: String) {
        up(&self.0.deps.counters.messages_in);
        self.0.deps.delivery.note_rejected(topic, payload, reason, detail);
    }

    fn refuse_client(&self, refusal: ConnectRefusal) {
        self.0.deps.counters.clients_refused.count(refusal);
    }

    fn authenticator(&self) -> Arc<dyn Authenticator> {
        Arc::new(self.0.deps.identities.clone())
    }

    fn note_unread(&self, topic: &str) {
        self.0.deps.unread_topics.count(topic, self.0.deps.clock.now());
    }

    fn subscribers(&self) -> Arc<Subscribers> {
        Arc::clone(&self.0.deps.subscribers)
    }

    fn subscribed(&self, devices: Vec<(DeviceId, Downlink)>) {
        for (device, ear) in devices {
            let _ = try_send_unbounded(&self.0.deps.supervisor, listens(device, ear)); // or the hub is shutting down
        }
    }

    async fn knows_device(&self, client: &str) -> bool {
        let Ok(device) = DeviceId::parse(client) else { return false };
        let (reply, twin) = oneshot::channel();
        if try_send_unbounded(&self.0.deps.supervisor, ReadTwin { device, reply }).is_err() {
            return false;
        }
        matches!(tokio::time::timeout(KNOWN_WITHIN, twin).await, Ok(Ok(Some(_))))
    }

    fn dialects(&self) -> Arc<Dialects> {
        Arc::clone(&self.0.deps.dialects)
    }

    fn rule_topics(&self) -> Arc<RuleTopics> {
        Arc::clone(&self.0.deps.rule_topics)
    }
}
