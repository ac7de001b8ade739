//! The intake of the messages that a link took from a broker. The hub's ingress is one; a test has its own.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;

use super::dialects::Dialects;
use super::identity::{Authenticator, ConnectRefusal};
use super::rule_topics::RuleTopics;
use super::subscribers::Subscribers;
use twinhub_domain::DeviceId;
use twinhub_domain::receipt::Receipt;
use twinhub_domain::twin::Downlink;

/// A message as a link took it in.
#[derive(Clone, Debug)]
pub struct IncomingMessage {
    pub topic: Arc<str>,
    pub payload: Bytes,
    /// QoS 0: the sender waits for no acknowledgement, and the message is shed where there is no room.
    pub fire_and_forget: bool,
    /// The broker had kept it: it restores state and fires nothing.
    pub retained: bool,
    /// The subscription by which it came: one for devices' twins, one for rules, or both.
    pub for_twins: bool,
    pub for_rules: bool,
}

/// Room for one message in flight, given back when dropped.
pub type Room = OwnedSemaphorePermit;

/// Takes messages in. Called from the threads of the links.
#[async_trait]
pub trait Intake: Send + Sync + 'static {
    /// Room for one more message, if there is any now. Asked first: it is cheaper than to wait.
    fn try_room(&self) -> Option<Room>;

    /// Waits for room for one more message. None if there will be none any more.
    async fn room(&self) -> Option<Room>;

    /// The link to the devices is open again. Before, no device could be heard.
    fn connected(&self);

    /// Takes a message in; never waits. `receipt` is settled, on whatever thread, with `Ok` when the
    /// message is to be acknowledged, and as lost when it must come again.
    fn accept(&self, message: IncomingMessage, receipt: Receipt, room: Option<Room>);

    /// A client published where it must not, or subscribed (then there is no payload): counted and kept for people to
    /// see, and nothing else comes of it.
    fn refuse(&self, topic: &str, payload: &[u8], reason: &'static str, detail: String);

    /// A client was not let in: counted.
    fn refuse_client(&self, refusal: ConnectRefusal);

    /// Says who clients are.
    fn authenticator(&self) -> Arc<dyn Authenticator>;

    /// Counts a message on a topic that has no reader.
    fn note_unread(&self, topic: &str);

    /// The connected listeners, as reported by a broker that knows them.
    fn subscribers(&self) -> Arc<Subscribers>;

    /// These devices now listen to these of their topics.
    fn subscribed(&self, devices: Vec<(DeviceId, Downlink)>);

    /// Is a client of this name a device that the hub has?
    async fn knows_device(&self, _client: &str) -> bool {
        false
    }

    /// The dialects that devices speak.
    fn dialects(&self) -> Arc<Dialects>;

    /// The topics that it wants beside those of the dialects.
    fn rule_topics(&self) -> Arc<RuleTopics>;
}
