//! The native dialect: the topics of API.md. The Flask guide's `iot/devices/{id}/data` is one of them.

use super::{DecodeError, Decoded, Dialect, Direction, OwnTopics, TopicDevice, WatchedDevices};
use crate::topics;
use crate::topics::{Leaf, NativeTopic};
use twinhub_domain::fleet::FirmwareReport;
use twinhub_domain::json::bare;
use twinhub_domain::payload;
use twinhub_domain::payload::PayloadError;
use twinhub_domain::status::UNKNOWN;
use twinhub_domain::{CommandId, CommandResult, DeviceId, Input, Object, Outgoing, Publish, Status};

/// The native dialect: `iot/devices/{id}/…`.
pub(super) struct Native;

/// The topics on which devices publish.
const SUBSCRIPTIONS: [&str; 7] = [
    "iot/devices/+/data",
    "iot/devices/+/state",
    "iot/devices/+/status",
    "iot/devices/+/get",
    "iot/devices/+/desired/failed",
    "iot/devices/+/commands/+",
    "iot/devices/+/firmware",
];

/// The last levels of the topics on which devices publish, but for answers to commands.
pub(super) const LEAVES: [&str; 6] = ["data", "state", "status", "get", "desired/failed", "firmware"];

/// A status word that is quoted in an error is cut to this many characters.
const SHOWN: usize = 64;

impl Dialect for Native {
    fn filters(&self) -> Vec<String> {
        SUBSCRIPTIONS.map(str::to_owned).to_vec()
    }

    fn takes(&self, topic: &str) -> bool {
        takes(topic)
    }

    fn hub_filters(&self) -> Vec<String> {
        let leaves = [Leaf::Desired, Leaf::Commands, Leaf::Configuration, Leaf::Update];
        let of_devices = leaves.into_iter().map(topics::of_every_device);
        of_devices.chain([topics::provision_response("#")]).collect()
    }

    fn is_hubs(&self, topic: &str) -> bool {
        topics::parse(topic).is_some_and(|native| !is_inbound(native.leaf))
            || topics::is_provision_response(topic)
    }

    fn device_of(&self, topic: &str, direction: Direction) -> Option<TopicDevice> {
        let device = match direction {
            Direction::FromDevice => topics::parse(topic).filter(|native| is_inbound(native.leaf))?.device,
            // All below the device is its own, and what it says itself may come back to it.
            Direction::ToDevice => topics::device_of_filter(topic)?,
        };
        DeviceId::parse(device).ok().map(TopicDevice::Named)
    }

    fn may_retain(&self, topic: &str) -> bool {
        topics::parse(topic).is_some_and(|native| native.leaf == Leaf::Status)
    }

    fn own_topics(&self, me: &str) -> OwnTopics {
        let says = SUBSCRIPTIONS.map(|filter| filter.replacen('+', me, 1)).to_vec();
        OwnTopics { says, hears: vec![format!("iot/devices/{me}/#")] }
    }

    fn decode(&self, topic: &str, payload: &[u8]) -> Option<Result<Decoded, DecodeError>> {
        let native = topics::parse(topic).filter(|native| is_inbound(native.leaf))?;
        Some(decode(native, payload))
    }

    fn encode(&self, device: &DeviceId, publish: &Publish) -> Vec<Outgoing> {
        vec![topics::outgoing(0, device, publish)]
    }
}

/// The devices whose `data`, `state` or `status` this filter matches.
pub(super) fn watched_by(filter: &str) -> Option<WatchedDevices> {
    let native = topics::parse(filter)?;
    if !matches!(native.leaf, Leaf::Data | Leaf::State | Leaf::Status) {
        return None;
    }
    match native.device {
        "+" => Some(WatchedDevices::All),
        device => DeviceId::parse(device).ok().map(WatchedDevices::One),
    }
}

pub(super) fn takes(topic: &str) -> bool {
    topics::parse(topic).is_some_and(|native| is_inbound(native.leaf))
}

fn is_inbound(leaf: Leaf<'_>) -> bool {
    match leaf {
        Leaf::Data
        | Leaf::State
        | Leaf::Status
        | Leaf::Get
        | Leaf::DesiredFailed
        | Leaf::CommandResult(_) => true,
        Leaf::Firmware => true,
        Leaf::Desired | Leaf::Commands | Leaf::Configuration | Leaf::Update => false,
    }
}

fn decode(native: NativeTopic<'_>, payload: &[u8]) -> Result<Decoded, DecodeError> {
    let device = DeviceId::parse(native.device)?;
    let mut bad = Vec::new();
    let input = match native.leaf {
        Leaf::Data => {
            let heard = payload::readings(payload)?;
            bad = heard.bad;
            match Input::of_readings(heard.samples) {
                Some(input) => input,
                None => return Err(DecodeError::Readings(bad)),
            }
        }
        Leaf::State => Input::Report(payload::object_leaving_out(payload, &mut bad)?),
        Leaf::Status => presence(payload)?,
        Leaf::Get => Input::GetDesired,
        Leaf::DesiredFailed => Input::DesiredFailed(payload::object(payload)?),
        Leaf::CommandResult(command) => {
            let id = CommandId::parse(command)
                .ok_or_else(|| DecodeError::BadCommandId(command.chars().take(SHOWN).collect()))?;
            Input::CommandResult { id, answer: Box::new(CommandResult::read(payload)?), known: None }
        }
        Leaf::Firmware => Input::Firmware(Box::new(FirmwareReport::read(payload)?)),
        Leaf::Desired | Leaf::Commands | Leaf::Configuration | Leaf::Update => {
            return Err(DecodeError::BadTopic);
        }
    };
    Ok(Decoded::one(device, input, bad))
}

/// `online`, `offline`, or `{"status": "online", "firmware_version": "…"}`.
fn presence(payload: &[u8]) -> Result<Input, DecodeError> {
    let payload = bare(payload);
    if !payload.starts_with(b"{") {
        let online = online(&payload::word(payload))?;
        return Ok(Input::Presence { online, details: Object::default() });
    }
    let mut details = payload::object(payload)?;
    let status = details.remove("status").unwrap_or_default();
    let word = status.as_str().ok_or(PayloadError::WrongType {
        name: "status".into(),
        expected: "a string",
        found: status.kind(),
    })?;
    Ok(Input::Presence { online: online(word)?, details })
}

fn online(word: &str) -> Result<bool, DecodeError> {
    match Status::parse(&word.to_ascii_lowercase()).filter(|_| !word.eq_ignore_ascii_case(UNKNOWN)) {
        Some(Status::Online) => Ok(true),
        Some(Status::Offline) => Ok(false),
        None => Err(DecodeError::BadStatus(word.chars().take(SHOWN).collect())),
    }
}
