//! The native topics: `iot/devices/{id}/…` (API.md). Pure: from text and to text.

use bytes::Bytes;

use twinhub_domain::{CommandAttempt, CommandId, DeviceId, Json, Outgoing, Publish, Purpose, PurposeKind};

const ROOT: &str = "iot/devices/";
/// The first level of every native topic.
pub const FIRST_LEVEL: &str = "iot";

/// The topic on which a device asks for a token of its own.
pub const PROVISION_REQUEST: &str = "iot/provision/request";
const PROVISION_RESPONSE: &str = "iot/provision/response/";

/// The topic on which a client of this name hears the answer.
#[must_use]
pub fn provision_response(client: &str) -> String {
    format!("{PROVISION_RESPONSE}{client}")
}

/// Is all that this topic or filter matches an answer to such a request?
#[must_use]
pub fn is_provision_response(filter: &str) -> bool {
    filter.strip_prefix(PROVISION_RESPONSE).is_some_and(|client| !client.is_empty())
}

/// A native topic, taken apart. The device is as the topic has it, not yet checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NativeTopic<'a> {
    pub device: &'a str,
    pub leaf: Leaf<'a>,
}

/// The part of a topic behind the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaf<'a> {
    /// Device → hub: readings.
    Data,
    /// Device → hub: a merge patch onto `reported`.
    State,
    /// Device → hub: is it there? Also its last will.
    Status,
    /// Device → hub: asks for its desired state.
    Get,
    /// Hub → device: the desired state.
    Desired,
    /// Device → hub: the desired properties that it cannot reach, and the reasons.
    DesiredFailed,
    /// Hub → device: commands.
    Commands,
    /// Device → hub: the result of the command with this id.
    CommandResult(&'a str),
    /// Hub → device, retained.
    Configuration,
    /// Device → hub: how far it has come with its firmware.
    Firmware,
    /// Hub → device: the image that it is to come to.
    Update,
}

/// The attempt at a command that a message to a device is; none where it is something else.
#[must_use]
pub fn attempt(payload: &[u8]) -> Option<CommandAttempt> {
    let message = Json::parse(payload).ok()?;
    let message = message.as_object()?;
    let command = CommandId::parse(message.get("id")?.as_str()?)?;
    let Json::Number(attempt) = message.get("attempt")? else { return None };
    Some(CommandAttempt { command, attempt: attempt.as_str().parse().ok()? })
}

/// The purpose of a native message that an earlier version has put into the outbox, without a word on it.
#[must_use]
pub fn purpose(message: &Outgoing) -> Option<Purpose> {
    let native = parse(&message.topic)?;
    let kind = match native.leaf {
        Leaf::Desired => PurposeKind::Desired,
        Leaf::Update => PurposeKind::Firmware,
        Leaf::Commands => PurposeKind::Command(attempt(&message.payload)?),
        _ => return None,
    };
    Some(Purpose { device: DeviceId::parse(native.device).ok()?, kind })
}

/// Takes a topic apart; none when it is no native one.
#[must_use]
pub fn parse(topic: &str) -> Option<NativeTopic<'_>> {
    let (device, leaf) = topic.strip_prefix(ROOT)?.split_once('/')?;
    let leaf = match leaf {
        "data" => Leaf::Data,
        "state" => Leaf::State,
        "status" => Leaf::Status,
        "get" => Leaf::Get,
        "desired" => Leaf::Desired,
        "desired/failed" => Leaf::DesiredFailed,
        "commands" => Leaf::Commands,
        "configuration" => Leaf::Configuration,
        "firmware" => Leaf::Firmware,
        "firmware/update" => Leaf::Update,
        other => match other.strip_prefix("commands/") {
            Some(command) if !command.is_empty() && !command.contains('/') => Leaf::CommandResult(command),
            _ => return None,
        },
    };
    Some(NativeTopic { device, leaf })
}

/// The device, not yet checked, below which all lies that a filter matches; none where that is of several, or of none.
#[must_use]
pub fn device_of_filter(filter: &str) -> Option<&str> {
    let (device, _) = filter.strip_prefix(ROOT)?.split_once('/')?;
    (!device.contains(['+', '#'])).then_some(device)
}

/// The topic of `device` for `leaf`.
#[must_use]
pub fn make(device: &DeviceId, leaf: Leaf<'_>) -> String {
    filter(device.as_str(), leaf)
}

/// The filter that matches `leaf` of every device.
#[must_use]
pub fn of_every_device(leaf: Leaf<'_>) -> String {
    filter("+", leaf)
}

fn filter(device: &str, leaf: Leaf<'_>) -> String {
    match leaf {
        Leaf::Data => format!("{ROOT}{device}/data"),
        Leaf::State => format!("{ROOT}{device}/state"),
        Leaf::Status => format!("{ROOT}{device}/status"),
        Leaf::Get => format!("{ROOT}{device}/get"),
        Leaf::Desired => format!("{ROOT}{device}/desired"),
        Leaf::DesiredFailed => format!("{ROOT}{device}/desired/failed"),
        Leaf::Commands => format!("{ROOT}{device}/commands"),
        Leaf::CommandResult(command) => format!("{ROOT}{device}/commands/{command}"),
        Leaf::Configuration => format!("{ROOT}{device}/configuration"),
        Leaf::Firmware => format!("{ROOT}{device}/firmware"),
        Leaf::Update => format!("{ROOT}{device}/firmware/update"),
    }
}

/// The topic of `publish`, and whether the broker is to retain it for later subscribers.
///
/// `desired` is not retained: an old one would meet a device that has gone on since, and a device that comes back is
/// sent a new one, of firmware too; nor is a command, which must not meet a device twice. The configuration is
/// retained: its last message is the newest.
#[must_use]
pub fn outgoing_topic(device: &DeviceId, publish: &Publish) -> (String, bool) {
    match publish {
        Publish::Desired(_) => (make(device, Leaf::Desired), false),
        Publish::Configuration(_) | Publish::NoConfiguration => (make(device, Leaf::Configuration), true),
        Publish::Command { .. } => (make(device, Leaf::Commands), false),
        Publish::Firmware(_) => (make(device, Leaf::Update), false),
    }
}

/// The message to `device` for `publish`.
#[must_use]
pub fn outgoing(id: u64, device: &DeviceId, publish: &Publish) -> Outgoing {
    let (topic, retain) = outgoing_topic(device, publish);
    let (body, until) = match publish {
        Publish::Desired(body) | Publish::Configuration(body) | Publish::Firmware(body) => (Some(body), None),
        Publish::Command { body, until, .. } => (Some(body), Some(*until)),
        Publish::NoConfiguration => (None, None), // a broker lets go of what it keeps when nothing takes its place
    };
    let payload = body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string()));
    let purpose = publish.purpose(device).map(Box::new);
    Outgoing { id, topic, payload, retain, until, purpose }
}

/// The topic on which a device says that it is there.
#[must_use]
pub fn status(device: &str) -> String {
    format!("{ROOT}{device}/status")
}

/// The root of a device's topics, where `message` is the last message to it: it was deleted.
#[must_use]
pub fn farewell(message: &Outgoing) -> Option<String> {
    let native = parse(&message.topic)?;
    let is_last = message.retain && message.payload.is_empty() && native.leaf == Leaf::Configuration;
    is_last.then(|| format!("{ROOT}{}", native.device))
}

#[cfg(test)]
mod tests {
    use super::*;
    use twinhub_domain::Json;

    fn check(topic: &str, expected: Option<(&str, Leaf<'_>)>) {
        let found = parse(topic).map(|native| (native.device, native.leaf));
        assert_eq!(found, expected, "{topic}");
        if let Some((device, leaf)) = expected
            && let Ok(device) = DeviceId::parse(device)
        {
            assert_eq!(make(&device, leaf), topic, "there and back");
        }
    }

    #[test]
    fn takes_topics_apart() {
        check("iot/devices/pump-1/data", Some(("pump-1", Leaf::Data)));
        check("iot/devices/pump-1/state", Some(("pump-1", Leaf::State)));
        check("iot/devices/pump-1/status", Some(("pump-1", Leaf::Status)));
        check("iot/devices/pump-1/get", Some(("pump-1", Leaf::Get)));
        check("iot/devices/pump-1/desired", Some(("pump-1", Leaf::Desired)));
        check("iot/devices/pump-1/desired/failed", Some(("pump-1", Leaf::DesiredFailed)));
        check("iot/devices/pump-1/commands", Some(("pump-1", Leaf::Commands)));
        check("iot/devices/pump-1/commands/c7", Some(("pump-1", Leaf::CommandResult("c7"))));
        check("iot/devices/pump-1/configuration", Some(("pump-1", Leaf::Configuration)));
        check("iot/devices/pump-1/firmware", Some(("pump-1", Leaf::Firmware)));
        check("iot/devices/pump-1/firmware/update", Some(("pump-1", Leaf::Update)));
        check("iot/devices/pump-1/firmware/image", None);
        check("iot/devices/what is this/data", Some(("what is this", Leaf::Data)));
        check("iot/devices//data", Some(("", Leaf::Data)));
        check("iot/devices/pump-1/commands/", None);
        check("iot/devices/pump-1/commands/c7/more", None);
        check("iot/devices/pump-1/data/more", None);
        check("iot/devices/pump-1", None);
        check("iot/devices", None);
        check("other/devices/pump-1/data", None);
        check("", None);
    }

    #[test]
    fn desired_passes_and_configuration_stays() {
        let device = DeviceId::parse("pump-1").unwrap();
        let body = || Json::from("x");
        let desired = outgoing(7, &device, &Publish::Desired(body()));
        assert_eq!((desired.id, desired.retain), (7, false));
        assert_eq!(desired.topic, "iot/devices/pump-1/desired");
        assert_eq!(&*desired.payload, br#""x""#);
        let configuration = outgoing(8, &device, &Publish::Configuration(body()));
        assert_eq!((configuration.id, configuration.retain), (8, true));
        assert_eq!(parse(&status("pump-1")).map(|native| native.leaf), Some(Leaf::Status));
        assert_eq!(configuration.topic, "iot/devices/pump-1/configuration");
        let gone = outgoing(9, &device, &Publish::NoConfiguration);
        assert_eq!(farewell(&gone).as_deref(), Some("iot/devices/pump-1"));
        assert_eq!((farewell(&configuration), farewell(&desired)), (None, None));
        for message in [&desired, &configuration, &gone] {
            assert_eq!(purpose(message), message.purpose.as_deref().cloned(), "{}", message.topic);
        }
        assert_eq!((gone.topic, gone.retain, &*gone.payload), (configuration.topic, true, &b""[..]));
    }
}
