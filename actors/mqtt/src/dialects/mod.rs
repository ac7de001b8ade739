//! Dialects: conventions of topics and payloads, one file each. A message goes to the first that takes
//! its topic, and comes out as inputs for twins; what a twin wants published leaves in the dialect that its device
//! speaks. Where the twin has to be asked what a message means, the input is a `Translation`, which the twin calls.

pub mod dispositivos;
mod native;
mod registry;
mod stateful;
mod topic_hint;

use smallvec::SmallVec;
use twinhub_domain::topic::matches;

use twinhub_domain::payload::PayloadError;
use twinhub_domain::twin::Patch;
use twinhub_domain::{BadDeviceId, DeviceId, Input, Object, Outgoing, Publish, Twin};

pub use registry::{
    AddedDialects, DialectListeners, Dialects, MakeStateful, MessageDevice, StatefulId, WatchedDevices,
};
pub use stateful::{
    BadBindingId, Binding, BindingId, DeviceEncoder, DeviceOfTopic, DialectEvent, DialectMessage, Effects,
    Encoded, LONGEST_BINDING_ID, LONGEST_NAME, StatefulDialect,
};

/// The default limit of a payload, in bytes. A reading takes some 30 bytes, so this is far beyond the needs of one
/// message.
pub const LARGEST_PAYLOAD: usize = 1 << 20;

/// The device to which a topic belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicDevice {
    /// The topic names it.
    Named(DeviceId),
    /// The payload does, of which [`Dialect::decode`] knows.
    InPayload,
}

/// The direction of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    FromDevice,
    ToDevice,
}

/// Topic filters that a device has for itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnTopics {
    /// It alone publishes there.
    pub says: Vec<String>,
    /// It alone hears all that is published there.
    pub hears: Vec<String>,
}

/// A convention of topics and payloads in which each message is read by itself.
pub trait Dialect: Send + Sync {
    /// The topic filters that bring every message of it.
    fn filters(&self) -> Vec<String>;

    /// Do its devices publish on this topic? True for all that [`Dialect::decode`] takes.
    fn takes(&self, topic: &str) -> bool;

    /// The topic filters of all on which the hub alone speaks, to its devices.
    fn hub_filters(&self) -> Vec<String> {
        Vec::new()
    }

    /// Does the hub alone speak on this topic, to its devices?
    fn is_hubs(&self, topic: &str) -> bool {
        self.hub_filters().iter().any(|filter| matches(filter, topic))
    }

    /// The device that alone publishes on this topic, or hears all that this topic filter matches; none where no device
    /// has it for itself. Identified devices have no other topics.
    fn device_of(&self, _topic: &str, _direction: Direction) -> Option<TopicDevice> {
        None
    }

    /// Is the last message on this topic of a device one to keep for later subscribers?
    fn may_retain(&self, _topic: &str) -> bool {
        false
    }

    /// The topics that a device has for itself, with `me` in the place of its id. None where topics do not name the device.
    fn own_topics(&self, _me: &str) -> OwnTopics {
        OwnTopics::default()
    }

    /// Reads a message; none where it does not take the topic.
    ///
    /// # Errors
    /// The error, and its place.
    fn decode(&self, topic: &str, payload: &[u8]) -> Option<Result<Decoded, DecodeError>>;

    /// Does the hub publish to this device in this dialect? The first dialect that answers true has it, and the native
    /// one where none does.
    fn speaks_to(&self, _device: &DeviceId) -> bool {
        false
    }

    /// The messages to `device` for a publish of its twin. The journal gives them their ids, the twin
    /// their purpose.
    fn encode(&self, device: &DeviceId, publish: &Publish) -> Vec<Outgoing>;

    /// A native change of `twin` as the configuration of a device has it that looks for it there: a merge patch onto
    /// the first level of `configuration`. Asked in the twin's turn, of every twin.
    fn echo(&self, _twin: &Twin, _patch: &Patch) -> Object {
        Object::default()
    }
}

/// The inputs of a message, with the devices that they are for: one, most often.
pub type Inputs = SmallVec<[(DeviceId, Input); 1]>;

/// The meaning of a message.
#[derive(Debug, Default)]
pub struct Decoded {
    pub inputs: Inputs,
    /// Readings in it that make no sense, and are not in `inputs`.
    pub bad: Vec<PayloadError>,
}

impl Decoded {
    /// A message with one input, for one device.
    #[must_use]
    pub fn one(device: DeviceId, input: Input, bad: Vec<PayloadError>) -> Self {
        let mut inputs = Inputs::new();
        inputs.push((device, input));
        Self { inputs, bad }
    }
}

/// The reason why a message was not understood.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    #[error("no dialect knows this topic")]
    BadTopic,
    #[error(transparent)]
    BadDeviceId(#[from] BadDeviceId),
    #[error(transparent)]
    Payload(#[from] PayloadError),
    /// Every reading in it is bad.
    #[error("{}", .0.first().map(ToString::to_string).unwrap_or_default())]
    Readings(Vec<PayloadError>),
    #[error("a status is `online` or `offline`, alone or as `status` of an object; this is `{0}`")]
    BadStatus(String),
    #[error("a command's id is a UUID; this is `{0}`")]
    BadCommandId(String),
    #[error("a payload has {limit} bytes at most, this one has {bytes}")]
    TooLarge { bytes: usize, limit: usize },
    /// An error of one dialect alone; `reason` is the stable word that the messages are counted by.
    #[error("{detail}")]
    Other { reason: &'static str, detail: String },
}

impl DecodeError {
    /// The stable word that rejections are counted by.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::BadTopic => "bad_topic",
            Self::BadDeviceId(_) => "bad_device_id",
            Self::Payload(error) => error.reason(),
            Self::Readings(errors) => errors.first().map_or("no_readings", PayloadError::reason),
            Self::BadStatus(_) => "bad_status",
            Self::BadCommandId(_) => "bad_command_id",
            Self::TooLarge { .. } => "too_large",
            Self::Other { reason, .. } => reason,
        }
    }
}

/// The topic that was probably meant by one that has no reader; none where it is not close to any that is read.
#[must_use]
pub fn hint(topic: &str) -> Option<String> {
    topic_hint::hint(topic)
}

#[cfg(test)]
mod tests;
