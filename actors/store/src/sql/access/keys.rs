//! Keys as rows.

use async_trait::async_trait;
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder};
use twinhub_access::{AuditEntry, DisplayName, KeptSecret, Key, Role, SecretId, SecretKind, UserId};
use twinhub_domain::Timestamp;

use super::{audit, begin, bytes, damaged, is_user, rows, to_address, to_hash, to_uuid};
use crate::sql::entities::access_key::{Column, Entity, Model};
use crate::sql::rows::failed;
use crate::sql::{SqlStore, write};
use crate::{KeyStore, KeyUse, StoreError};

const READ: &str = "read keys";
const WRITE: &str = "write keys";

#[async_trait]
impl KeyStore for SqlStore {
    async fn key(&self, id: &SecretId) -> Result<Option<Key>, StoreError> {
        let row = Entity::find_by_id(id.as_str()).one(&self.readers).await.map_err(failed(READ))?;
        row.map(to_key).transpose()
    }

    async fn keys(&self, owner: Option<UserId>) -> Result<Vec<Key>, StoreError> {
        let owned = match owner {
            Some(user) => Column::Owner.eq(bytes(user.0)),
            None => Column::Owner.is_null(),
        };
        let oldest_first =
            Entity::find().filter(owned).order_by_asc(Column::CreatedAt).order_by_asc(Column::Id);
        let rows = oldest_first.all(&self.readers).await.map_err(failed(READ))?;
        rows.into_iter().map(to_key).collect()
    }

    async fn put_key(&self, key: &Key, entries: &[AuditEntry]) -> Result<bool, StoreError> {
        let row = of_key(key)?;
        let turn = begin(self, WRITE).await?;
        if let Some(owner) = key.owner
            && !is_user(turn.sql(), WRITE, owner).await?
        {
            drop(turn.abandon().await?);
            return Ok(false);
        }
        let columns = [Column::Name, Column::Role, Column::Scope, Column::ExpiresAt];
        let overwrite = OnConflict::column(Column::Id).update_columns(columns).to_owned();
        write::insert(turn.sql(), WRITE, vec![row], Some(overwrite)).await?;
        audit::append(turn.sql(), entries).await?;
        drop(turn.finish().await?);
        Ok(true)
    }

    async fn remove_key(&self, id: &SecretId, entries: &[AuditEntry]) -> Result<bool, StoreError> {
        let turn = begin(self, WRITE).await?;
        let gone = Entity::delete_by_id(id.as_str()).exec(turn.sql()).await.map_err(failed(WRITE))?;
        if gone.rows_affected == 0 {
            drop(turn.abandon().await?);
            return Ok(false);
        }
        audit::append(turn.sql(), entries).await?;
        drop(turn.finish().await?);
        Ok(true)
    }

    async fn note_key_uses(&self, uses: &[KeyUse]) -> Result<(), StoreError> {
        if uses.is_empty() {
            return Ok(());
        }
        let turn = begin(self, WRITE).await?;
        for KeyUse { id, at, address } in uses {
            Entity::update_many()
                .col_expr(Column::LastUsedAt, Expr::value(at.millis()))
                .col_expr(Column::LastAddress, Expr::value(address.to_string()))
                .filter(Column::Id.eq(id.as_str()))
                .exec(turn.sql())
                .await
                .map_err(failed(WRITE))?;
        }
        drop(turn.finish().await?);
        Ok(())
    }
}

fn of_key(key: &Key) -> Result<Model, StoreError> {
    let KeptSecret { kind, id, hash, last_4 } = &key.secret;
    Ok(Model {
        id: id.to_string(),
        kind: kind.code().to_owned(),
        owner: key.owner.map(|owner| bytes(owner.0)),
        hash: hash.to_vec(),
        last_4: last_4.to_string(),
        name: key.name.to_string(),
        role: key.role.as_str().to_owned(),
        scope: rows::json(WRITE, &key.scope)?,
        created_at: key.created_at.millis(),
        expires_at: key.expires_at.millis(),
        last_used_at: key.last_used.map(|(at, _)| at.millis()),
        last_address: key.last_used.map(|(_, address)| address.to_string()),
    })
}

fn to_key(row: Model) -> Result<Key, StoreError> {
    let kind = SecretKind::of_code(&row.kind).ok_or_else(|| damaged(READ, &row.kind))?;
    let id = SecretId::parse(&row.id).ok_or_else(|| damaged(READ, &row.id))?;
    let last_used = match (row.last_used_at, &row.last_address) {
        (Some(at), Some(address)) => Some((Timestamp::from_millis(at), to_address(READ, address)?)),
        _ => None,
    };
    Ok(Key {
        secret: KeptSecret { kind, id, hash: to_hash(READ, &row.hash)?, last_4: row.last_4.into() },
        owner: row.owner.map(|owner| to_uuid(READ, &owner).map(UserId)).transpose()?,
        name: DisplayName::parse(&row.name).map_err(|error| damaged(READ, &error))?,
        role: Role::parse(&row.role).map_err(|error| damaged(READ, &error))?,
        scope: rows::from_json(READ, || row.id.clone(), &row.scope)?,
        created_at: Timestamp::from_millis(row.created_at),
        expires_at: Timestamp::from_millis(row.expires_at),
        last_used,
    })
}
