//! Retained messages of the embedded broker.

use async_trait::async_trait;
use sea_orm::sea_query::OnConflict;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};
use sha2::{Digest as _, Sha256};

use super::commit::fence;
use super::entities::retained::{Column, Entity, Model};
use super::rows::failed;
use super::{SqlStore, write};
use crate::{RetainedStore, StoreError};
use twinhub_domain::Timestamp;
use twinhub_domain::retained::{RetainedChange, RetainedMessage};

const READ: &str = "read retained messages";
const WRITE: &str = "write retained messages";

#[async_trait]
impl RetainedStore for SqlStore {
    async fn retained(&self) -> Result<Vec<RetainedMessage>, StoreError> {
        let rows = Entity::find().all(&self.readers).await.map_err(failed(READ))?;
        rows.into_iter().map(message).collect()
    }

    async fn change_retained(&self, changes: &[RetainedChange]) -> Result<(), StoreError> {
        let (mut keep, mut clear) = (Vec::new(), Vec::new());
        for change in changes {
            match change {
                RetainedChange::Keep(message) => keep.push(row(message)),
                RetainedChange::Clear(topic) => clear.push(hash(topic)),
            }
        }
        let turn = self.writer.begin(WRITE).await?;
        fence(self, turn.sql(), WRITE).await?;
        for some in clear.chunks(write::AT_ONCE) {
            let cleared = Entity::delete_many().filter(Column::TopicHash.is_in(some.iter().cloned()));
            cleared.exec(turn.sql()).await.map_err(failed(WRITE))?;
        }
        let columns = [Column::Payload, Column::Qos, Column::Properties, Column::StoredAt, Column::ExpiresAt];
        let overwrite = OnConflict::column(Column::TopicHash).update_columns(columns).to_owned();
        write::insert(turn.sql(), WRITE, keep, Some(overwrite)).await?;
        let _ = turn.finish().await?;
        Ok(())
    }
}

fn hash(topic: &str) -> Vec<u8> {
    Sha256::digest(topic).to_vec()
}

fn row(message: &RetainedMessage) -> Model {
    Model {
        topic_hash: hash(&message.topic),
        topic: message.topic.to_string(),
        payload: message.payload.to_vec(),
        qos: message.qos.into(),
        properties: message.properties.to_vec(),
        stored_at: message.stored_at.millis(),
        expires_at: message.expires_at.map(Timestamp::millis),
    }
}

fn message(row: Model) -> Result<RetainedMessage, StoreError> {
    let qos = u8::try_from(row.qos).ok().filter(|qos| *qos <= 2).ok_or_else(|| StoreError::Damaged {
        operation: READ,
        detail: format!("`{}` has QoS {}", row.topic, row.qos),
    })?;
    Ok(RetainedMessage {
        topic: row.topic.into(),
        payload: row.payload.into(),
        qos,
        properties: row.properties.into(),
        stored_at: Timestamp::from_millis(row.stored_at),
        expires_at: row.expires_at.map(Timestamp::from_millis),
    })
}
