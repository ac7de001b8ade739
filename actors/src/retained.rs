//! The embedded broker's retained messages, in the hub's store.

use std::sync::Arc;

use async_trait::async_trait;

use twinhub_domain::retained::{RetainedChange, RetainedMessage};
use twinhub_mqtt::broker::{PersistenceError, RetainedPersistence};
use twinhub_store::{RetainedStore, StoreError};

/// Stores the broker's retained messages.
pub struct RetainedInStore(pub Arc<dyn RetainedStore>);

#[async_trait]
impl RetainedPersistence for RetainedInStore {
    async fn retained(&self) -> Result<Vec<RetainedMessage>, PersistenceError> {
        self.0.retained().await.map_err(|error| of_store(&error))
    }

    async fn change_retained(&self, changes: &[RetainedChange]) -> Result<(), PersistenceError> {
        self.0.change_retained(changes).await.map_err(|error| of_store(&error))
    }
}

fn of_store(error: &StoreError) -> PersistenceError {
    PersistenceError(error.to_string())
}
