//! Retained messages of the embedded broker, in the store.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::StoreError;
use twinhub_domain::Timestamp;

/// The last retained message of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetainedMessage {
    pub topic: Arc<str>,
    /// Never empty: an empty payload clears the topic.
    pub payload: Bytes,
    /// 0, 1 or 2.
    pub qos: u8,
    /// Its MQTT 5 properties as they stand in a packet, their length in front; empty where it has none.
    pub properties: Bytes,
    pub stored_at: Timestamp,
    /// From then on nobody gets it any more.
    pub expires_at: Option<Timestamp>,
}

/// What becomes of a topic.
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

/// Keeps retained messages durably.
#[async_trait]
pub trait RetainedStore: Send + Sync + 'static {
    /// All of them, in no order.
    async fn retained(&self) -> Result<Vec<RetainedMessage>, StoreError>;

    /// Makes `changes` durable, whole. Each topic occurs once. Doing it again does no harm.
    async fn change_retained(&self, changes: &[RetainedChange]) -> Result<(), StoreError>;
}
