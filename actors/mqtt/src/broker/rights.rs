//! The right to publish and to subscribe, by the identity of a client. One rule holds for all: the hub alone publishes
//! on the topics on which devices listen to it.

use super::wire::WillPacket;
use crate::dialects::{DecodeError, Dialects, Direction, MessageDevice, TopicDevice, WatchedDevices};
use crate::identity::{Act, Allowance, ClientIdentity, TopicAllowance};
use crate::subscribers::unshared;
use crate::topics;

/// The refusal of a publish, a subscription or a last will.
#[derive(Debug)]
pub(super) struct Denial {
    /// The stable word for it among rejected messages.
    pub(super) reason: &'static str,
    /// The reason for people.
    pub(super) detail: String,
}

/// A topic of the hub.
const HUB_ONLY: &str = "hub_only_topic";
/// A topic or filter that is not the client's.
const NOT_AUTHORIZED: &str = "not_authorized";
/// A message that is kept for later subscribers, on a topic where none may be.
const NOT_RETAINED: &str = "retain_not_authorized";

impl Denial {
    fn new(reason: &'static str, detail: String) -> Self {
        Self { reason, detail }
    }

    fn of_payload(error: &DecodeError) -> Self {
        Self::new(error.reason(), error.to_string())
    }
}

/// A client, as refusals name it: by its principal, or by its client id where it has none.
fn shown(identity: &dyn ClientIdentity, client: &str) -> String {
    match identity.name() {
        "" => format!("`{client}`, which is anonymous,"),
        name => format!("`{name}`"),
    }
}

/// May `client` publish this?
///
/// # Errors
/// It may not.
pub(super) async fn may_publish(
    dialects: &Dialects,
    identity: &dyn ClientIdentity,
    client: &str,
    topic: &str,
    payload: &[u8],
) -> Result<(), Denial> {
    if topic == topics::PROVISION_REQUEST {
        let who = shown(identity, client);
        let detail =
            format!("{who} may not ask for a token: it takes a provisioning key, or an open pairing window");
        return if identity.may_provision() { Ok(()) } else { Err(Denial::new(NOT_AUTHORIZED, detail)) };
    }
    let topics = identity.topics();
    let everything = identity.allowance() == Allowance::Everything;
    let belongs_to =
        if everything || topics.is_some() { None } else { dialects.device_of(topic, Direction::FromDevice) };
    let has_hub_topics = topics.is_some_and(TopicAllowance::has_hub_topics);
    if belongs_to.is_none() && !has_hub_topics && !dialects.is_ours(topic) && dialects.is_hubs(topic) {
        let detail = format!("the hub alone speaks on this topic, and `{client}` published to it");
        return Err(Denial::new(HUB_ONLY, detail));
    }
    if everything {
        return Ok(());
    }
    let denied = |of: &str| {
        let who = shown(identity, client);
        Err(Denial::new(NOT_AUTHORIZED, format!("{who} may not publish {of}")))
    };
    if let Some(topics) = topics {
        return if topics.may_publish(topic) { Ok(()) } else { denied("on this topic") };
    }
    if identity.allowance() != Allowance::SpeakForDevices {
        return denied("anything");
    }
    match belongs_to {
        None => denied("on a topic that is no device's"),
        Some(TopicDevice::Named(device)) if identity.reaches(&device, None, Act::Publish).await => Ok(()),
        Some(TopicDevice::Named(device)) => denied(&format!("for `{device}`")),
        Some(TopicDevice::InPayload) => {
            // What cannot be read is for nobody.
            let devices = dialects.devices_in(topic, payload).map_err(|error| Denial::of_payload(&error))?;
            for MessageDevice { device, serial } in devices {
                if !identity.reaches(&device, serial.as_deref(), Act::Publish).await {
                    return denied(&format!("for `{device}`"));
                }
            }
            Ok(())
        }
    }
}

/// May a message on this topic, which `client` may publish, be kept for later subscribers?
///
/// # Errors
/// It may not.
pub(super) fn may_retain(
    dialects: &Dialects,
    identity: &dyn ClientIdentity,
    client: &str,
    topic: &str,
) -> Result<(), Denial> {
    if matches!(identity.allowance(), Allowance::Everything | Allowance::OwnTopics)
        || dialects.may_retain(topic)
    {
        return Ok(());
    }
    let detail = format!("{} may not have this message retained: a status alone is", shown(identity, client));
    Err(Denial::new(NOT_RETAINED, detail))
}

/// May `client` subscribe to all that this filter matches?
///
/// # Errors
/// It may not.
pub(super) async fn may_subscribe(
    dialects: &Dialects,
    identity: &dyn ClientIdentity,
    client: &str,
    filter: &str,
) -> Result<(), Denial> {
    if identity.may_provision() && topics::is_provision_response(filter) {
        return Ok(());
    }
    let own = unshared(filter);
    if own != filter && !may_share(identity) {
        let who = shown(identity, client);
        let detail =
            format!("{who} may not share a subscription: each message would go to one of those who share it");
        return Err(Denial::new(NOT_AUTHORIZED, detail));
    }
    let is_within = match identity.allowance() {
        Allowance::Everything => true,
        Allowance::SpeakForDevices => match dialects.device_of(own, Direction::ToDevice) {
            Some(TopicDevice::Named(device)) => identity.reaches(&device, None, Act::Subscribe).await,
            Some(TopicDevice::InPayload) | None => false,
        },
        Allowance::WatchDevices => match dialects.watched_by(own) {
            Some(WatchedDevices::All) => identity.reaches_all(),
            Some(WatchedDevices::One(device)) => identity.reaches(&device, None, Act::Subscribe).await,
            None => false,
        },
        Allowance::OwnTopics => identity.topics().is_some_and(|topics| topics.may_subscribe(own)),
    };
    if is_within {
        return Ok(());
    }
    let may = match identity.allowance() {
        Allowance::OwnTopics => "the filters that its bridge was given, and those within them",
        Allowance::WatchDevices => "iot/devices/ID/data, state and status of devices in its scope",
        _ => "the topics of one of its devices, such as iot/devices/ID/#",
    };
    let who = shown(identity, client);
    Err(Denial::new(NOT_AUTHORIZED, format!("{who} may not subscribe to this filter: it may to {may}")))
}

/// May a client share subscriptions? It takes messages away from others who do: whoever looks on, or has no name, may
/// not.
fn may_share(identity: &dyn ClientIdentity) -> bool {
    match identity.allowance() {
        Allowance::Everything | Allowance::OwnTopics => true,
        Allowance::SpeakForDevices => !identity.name().is_empty(),
        Allowance::WatchDevices => false,
    }
}

/// May `client` have this last will?
///
/// # Errors
/// It may not.
pub(super) async fn may_leave(
    dialects: &Dialects,
    identity: &dyn ClientIdentity,
    client: &str,
    will: &WillPacket,
) -> Result<(), Denial> {
    let allowed = may_publish(dialects, identity, client, &will.topic, &will.payload).await;
    let allowed = match (allowed, will.retain) {
        (Ok(()), true) => may_retain(dialects, identity, client, &will.topic),
        (allowed, _) => allowed,
    };
    allowed.map_err(|denial| Denial { detail: format!("as its last will: {}", denial.detail), ..denial })
}
