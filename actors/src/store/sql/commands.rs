//! Commands as rows.

use super::SqlStore;
use crate::domain::{CommandId, DeviceNumber};
use crate::store::{CommandPage, CommandQuery, CommandRecord, StoreError};

pub async fn commands(_store: &SqlStore, _query: &CommandQuery) -> Result<CommandPage, StoreError> {
    Ok(CommandPage::default())
}

pub async fn command(_store: &SqlStore, _id: CommandId) -> Result<Option<CommandRecord>, StoreError> {
    Ok(None)
}

pub async fn with_key(
    _store: &SqlStore,
    _device: DeviceNumber,
    _key: &str,
) -> Result<Option<CommandRecord>, StoreError> {
    Ok(None)
}
