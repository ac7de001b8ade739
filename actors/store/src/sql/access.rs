//! Users, keys, sessions and the audit as rows.

mod audit;
mod bound_keys;
mod keys;
mod sessions;
mod users;

use std::net::IpAddr;

use sea_orm::{ConnectionTrait, EntityTrait};
use twinhub_access::UserId;
use uuid::Uuid;

use super::commit::fence;
use super::entities::user;
use super::rows::failed;
use super::write_connection::WriteTransaction;
use super::{SqlStore, rows};
use crate::StoreError;

/// Begins a write. A hub that another one has taken over from writes nothing more.
async fn begin(store: &SqlStore, operation: &'static str) -> Result<WriteTransaction, StoreError> {
    let turn = store.writer.begin(operation).await?;
    fence(store, turn.sql(), operation).await?;
    Ok(turn)
}

/// Is there a user with this id?
async fn is_user(
    sql: &impl ConnectionTrait,
    operation: &'static str,
    id: UserId,
) -> Result<bool, StoreError> {
    let row = user::Entity::find_by_id(bytes(id.0)).one(sql).await.map_err(failed(operation))?;
    Ok(row.is_some())
}

/// A UUID in a row.
fn bytes(id: Uuid) -> Vec<u8> {
    id.as_bytes().to_vec()
}

fn to_uuid(operation: &'static str, bytes: &[u8]) -> Result<Uuid, StoreError> {
    Uuid::from_slice(bytes).map_err(|error| damaged(operation, &error))
}

fn to_hash(operation: &'static str, bytes: &[u8]) -> Result<[u8; 32], StoreError> {
    bytes.try_into().map_err(|_| damaged(operation, &"a hash has 32 bytes"))
}

fn to_address(operation: &'static str, text: &str) -> Result<IpAddr, StoreError> {
    text.parse().map_err(|error| damaged(operation, &error))
}

fn damaged(operation: &'static str, detail: &dyn std::fmt::Display) -> StoreError {
    StoreError::Damaged { operation, detail: detail.to_string() }
}
