//! Dialects whose messages cannot be read each by itself: a discovery gives a topic its meaning, an alias comes with a
//! birth, a bridge's death concerns all devices behind it. Such a dialect is a pure state machine: events go in with
//! the time, [`Effects`] come out, and the interpreter performs them. State that it needs after a restart is kept as
//! [`Binding`]s.

use std::sync::Arc;

use bytes::Bytes;

use super::{DecodeError, Direction, Inputs};
use twinhub_domain::payload::PayloadError;
use twinhub_domain::{DeviceId, Object, Outgoing, Publish, Timestamp};

/// A dialect with a state.
pub trait StatefulDialect: Send {
    /// Names its bindings in the store, for ever. At most [`LONGEST_NAME`] bytes, without `/`.
    fn name(&self) -> &'static str;

    /// The topic filters that bring every message of it. They do not change.
    fn filters(&self) -> Vec<String>;

    /// Filters of topics on which the hub alone speaks to devices.
    fn hub_filters(&self) -> Vec<String> {
        Vec::new()
    }

    /// As [`Dialect::device_of`](super::Dialect::device_of), by the topic alone. None: identified devices do not speak
    /// this dialect.
    fn device_of(&self) -> Option<DeviceOfTopic> {
        None
    }

    /// Handles an event. On an error it has changed nothing.
    ///
    /// # Errors
    /// The error of a message, and its place.
    fn take(&mut self, event: DialectEvent, now: Timestamp) -> Result<Effects, DecodeError>;

    /// The time of the next [`DialectEvent::Due`] that it needs, as of now.
    fn deadline(&self) -> Option<Timestamp>;
}

/// Gives the device of a topic or topic filter.
pub type DeviceOfTopic = fn(&str, Direction) -> Option<DeviceId>;

/// An event for a stateful dialect.
#[derive(Clone, Debug)]
pub enum DialectEvent {
    /// The dialect begins, with all stored bindings: the first event, sent once. Its filters are subscribed to after
    /// this.
    Started(Vec<Binding>),
    /// A message on a topic of its filters.
    Message(DialectMessage),
    /// Its deadline has come.
    Due,
    /// All that came of an event is durable: the number is that of [`Effects::tell_committed`].
    Committed(u64),
    /// A device's [`DeviceEncoder`] has encoded this publish, and its bindings are stored. Comes before any answer of
    /// the device. After [`Publish::NoConfiguration`] the device is gone.
    Published { device: DeviceId, publish: Publish, kept: Vec<Binding> },
    /// The hub's clock was set: it showed `from`, and then `to`. Spans of time that it measures go on.
    ClockMoved { from: Timestamp, to: Timestamp },
}

/// A message as it arrived.
#[derive(Clone, Debug)]
pub struct DialectMessage {
    pub topic: Arc<str>,
    pub payload: Bytes,
    /// The broker had kept it.
    pub retained: bool,
}

/// The effects of an event. Bindings are durable no later than any other effect in here.
#[derive(Default)]
pub struct Effects {
    pub keep: Vec<Binding>,
    /// The encoders of these devices from now on; none: natively.
    pub encoders: Vec<(DeviceId, Option<Arc<dyn DeviceEncoder>>)>,
    /// A message is acknowledged when all of them are durable.
    pub inputs: Inputs,
    /// Readings in the message that make no sense, and are not in `inputs`.
    pub bad: Vec<PayloadError>,
    /// Messages to publish.
    pub publishes: Vec<Outgoing>,
    /// Send [`DialectEvent::Committed`] with this number once all of it is durable.
    pub tell_committed: Option<u64>,
}

/// Encodes messages to a device that speaks a stateful dialect, with the dialect's knowledge as of the moment that it
/// gave the encoder.
pub trait DeviceEncoder: Send + Sync {
    /// The messages to `device` for a publish of its twin, and the bindings to store in the same commit.
    fn encode(&self, device: &DeviceId, publish: &Publish) -> Encoded;
}

/// An encoded publish.
#[derive(Clone, Debug, Default)]
pub struct Encoded {
    /// The journal gives them their ids, the twin their purpose.
    pub messages: Vec<Outgoing>,
    /// Under ids that are new, such as a command's: the dialect may be changing those that it knows meanwhile. It hears
    /// of them with [`DialectEvent::Published`].
    pub keep: Vec<Binding>,
}

/// Something that a stateful dialect has to know after a restart.
#[derive(Clone, Debug, PartialEq)]
pub struct Binding {
    pub id: BindingId,
    /// None: it is forgotten.
    pub body: Option<Object>,
}

/// Names a binding within its dialect.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BindingId(Box<str>);

/// A text that names no binding, and its length in bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the id of a binding has 1 to {LONGEST_BINDING_ID} bytes, this one has {0}")]
pub struct BadBindingId(pub usize);

/// In bytes. With the name of its dialect an id has to find room where the store has 128 characters.
pub const LONGEST_BINDING_ID: usize = 100;
/// In bytes.
pub const LONGEST_NAME: usize = 27;

impl BindingId {
    /// The binding of this id.
    ///
    /// # Errors
    /// The id is empty or too long: devices choose topics, and so it may well be.
    pub fn parse(id: &str) -> Result<Self, BadBindingId> {
        let has_room = (1..=LONGEST_BINDING_ID).contains(&id.len());
        if has_room { Ok(Self(id.into())) } else { Err(BadBindingId(id.len())) }
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_finds_room_in_the_store() {
        let check = |length: usize, expected: bool| {
            assert_eq!(BindingId::parse(&"x".repeat(length)).is_ok(), expected, "{length}");
        };
        check(0, false);
        check(1, true);
        check(LONGEST_BINDING_ID, true);
        check(LONGEST_BINDING_ID + 1, false);
        assert_eq!(LONGEST_NAME + 1 + LONGEST_BINDING_ID, 128);
    }
}
