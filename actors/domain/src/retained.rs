//! Retained messages: in the embedded broker, and in the store.

use std::sync::Arc;

use bytes::Bytes;

use crate::Timestamp;

/// The last retained message of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetainedMessage {
    pub topic: Arc<str>,
    /// Never empty: an empty payload clears the topic.
    pub payload: Bytes,
    /// 0, 1 or 2.
    pub qos: u8,
    /// Its MQTT 5 properties as in a packet, their length in front; empty where it has none.
    pub properties: Bytes,
    pub stored_at: Timestamp,
    /// The time from which it is not delivered any more.
    pub expires_at: Option<Timestamp>,
}

/// A change of a topic's retained message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RetainedChange {
    Keep(Arc<RetainedMessage>),
    Clear(Arc<str>),
}

impl RetainedChange {
    /// The topic it is about.
    #[must_use]
    pub fn topic(&self) -> &Arc<str> {
        match self {
            Self::Keep(message) => &message.topic,
            Self::Clear(topic) => topic,
        }
    }
}
