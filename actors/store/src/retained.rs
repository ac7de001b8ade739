//! Retained messages of the embedded broker, in the store.

use async_trait::async_trait;

use crate::StoreError;
use twinhub_domain::retained::{RetainedChange, RetainedMessage};

/// Keeps retained messages durably.
#[async_trait]
pub trait RetainedStore: Send + Sync + 'static {
    /// All of them, in no order.
    async fn retained(&self) -> Result<Vec<RetainedMessage>, StoreError>;

    /// Makes `changes` durable, whole. Each topic occurs once. Doing it again does no harm.
    async fn change_retained(&self, changes: &[RetainedChange]) -> Result<(), StoreError>;
}
