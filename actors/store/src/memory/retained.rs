//! Retained messages, in memory.

use async_trait::async_trait;

use super::MemoryStore;
use crate::{RetainedStore, StoreError};
use twinhub_domain::retained::{RetainedChange, RetainedMessage};

#[async_trait]
impl RetainedStore for MemoryStore {
    async fn retained(&self) -> Result<Vec<RetainedMessage>, StoreError> {
        Ok(self.inner().retained.values().cloned().collect())
    }

    async fn change_retained(&self, changes: &[RetainedChange]) -> Result<(), StoreError> {
        let retained = &mut self.inner().retained;
        for change in changes {
            match change {
                RetainedChange::Keep(message) => {
                    retained.insert(message.topic.clone(), RetainedMessage::clone(message));
                }
                RetainedChange::Clear(topic) => {
                    retained.remove(topic);
                }
            }
        }
        Ok(())
    }
}
