//! The durable storage of retained messages.

use async_trait::async_trait;

use twinhub_domain::retained::{RetainedChange, RetainedMessage};

/// Keeps retained messages durably.
#[async_trait]
pub trait RetainedPersistence: Send + Sync + 'static {
    /// All of them, in no order.
    async fn retained(&self) -> Result<Vec<RetainedMessage>, PersistenceError>;

    /// Makes `changes` durable, whole. Each topic occurs once. Doing it again does no harm.
    async fn change_retained(&self, changes: &[RetainedChange]) -> Result<(), PersistenceError>;
}

/// The reason why retained messages were not read or written, for people.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct PersistenceError(pub String);
