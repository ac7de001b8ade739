//! Dialects: conventions of topics and payloads, one file each. A message goes to the first that knows
//! its topic, and comes out as an input for a twin.

mod close;
mod dispositivos;
mod native;

use twinhub_domain::payload::PayloadError;
use twinhub_domain::{BadDeviceId, DeviceId, Input};

/// A payload has at most this many bytes unless it is set otherwise. A reading takes some 30 bytes, so
/// this is far beyond what one message has to say.
pub const LARGEST_PAYLOAD: usize = 1 << 20;

/// What a message means.
#[derive(Debug)]
pub struct Decoded {
    pub device: DeviceId,
    pub input: Input,
    /// Readings in it that make no sense, and are not in `input`.
    pub bad: Vec<PayloadError>,
}

/// Why a message was not understood.
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
        }
    }
}

/// The topic filters that bring every message that a dialect knows. None overlaps another: a broker
/// may deliver a message once for each filter that it matches.
#[must_use]
pub fn subscriptions() -> Vec<&'static str> {
    [&native::SUBSCRIPTIONS[..], &dispositivos::SUBSCRIPTIONS].concat()
}

/// True where a dialect knows the topic. On the embedded broker all else is other people's traffic.
#[must_use]
pub fn is_ours(topic: &str) -> bool {
    native::knows(topic) || dispositivos::knows(topic)
}

/// True where the hub speaks to devices: nobody else may, where the broker is ours to say so. The dialect of
/// `dispositivos` tells its devices nothing over MQTT.
#[must_use]
pub fn is_hubs(topic: &str) -> bool {
    native::is_hubs(topic)
}

/// What may be meant by a topic that nobody reads; none where it is not close to any that is read.
#[must_use]
pub fn hint(topic: &str) -> Option<String> {
    close::hint(topic)
}

/// Reads a message whose payload has at most [`LARGEST_PAYLOAD`] bytes.
///
/// # Errors
/// As [`decode_within`].
pub fn decode(topic: &str, payload: &[u8]) -> Result<Decoded, DecodeError> {
    decode_within(LARGEST_PAYLOAD, topic, payload)
}

/// Reads a message whose payload has at most `limit` bytes.
///
/// # Errors
/// Says what was wrong with it, and where.
pub fn decode_within(limit: usize, topic: &str, payload: &[u8]) -> Result<Decoded, DecodeError> {
    if payload.len() > limit {
        return Err(DecodeError::TooLarge { bytes: payload.len(), limit });
    }
    native::decode(topic, payload)
        .or_else(|| dispositivos::decode(topic, payload))
        .unwrap_or(Err(DecodeError::BadTopic))
}

#[cfg(test)]
mod tests;
