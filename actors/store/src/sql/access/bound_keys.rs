//! Keys that are bound to one purpose, as rows.

use async_trait::async_trait;
use sea_orm::sea_query::{Expr, ExprTrait as _};
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder};
use twinhub_access::{AuditEntry, BoundKey, DisplayName, KeptSecret, SecretId, SecretKind, UserId};
use twinhub_domain::Timestamp;

use super::{audit, begin, bytes, damaged, is_user, rows, to_address, to_hash, to_uuid};
use crate::sql::entities::bound_key::{Column, Entity, Model};
use crate::sql::rows::failed;
use crate::sql::{SqlStore, write};
use crate::{BoundKeyStore, KeyUse, StoreError};

const READ: &str = "read bound keys";
const WRITE: &str = "write bound keys";

#[async_trait]
impl BoundKeyStore for SqlStore {
    async fn bound_keys(&self) -> Result<Vec<BoundKey>, StoreError> {
        let oldest_first = Entity::find().order_by_asc(Column::CreatedAt).order_by_asc(Column::Id);
        let rows = oldest_first.all(&self.readers).await.map_err(failed(READ))?;
        rows.into_iter().map(to_key).collect()
    }

    async fn add_bound_key(&self, key: &BoundKey, entries: &[AuditEntry]) -> Result<bool, StoreError> {
        let row = of_key(key)?;
        let turn = begin(self, WRITE).await?;
        if let Some(owner) = key.owner
            && !is_user(turn.sql(), WRITE, owner).await?
        {
            drop(turn.abandon().await?);
            return Ok(false);
        }
        // Written again, where nobody knows whether it was written, it is the same.
        let again = Entity::delete_by_id(row.id.clone());
        again.exec(turn.sql()).await.map_err(failed(WRITE))?;
        write::insert(turn.sql(), WRITE, vec![row], None).await?;
        audit::append(turn.sql(), entries).await?;
        drop(turn.finish().await?);
        Ok(true)
    }

    async fn remove_bound_key(&self, id: &SecretId, entries: &[AuditEntry]) -> Result<bool, StoreError> {
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

    async fn use_bound_key(&self, used: &KeyUse, entries: &[AuditEntry]) -> Result<bool, StoreError> {
        let is_left = Condition::any()
            .add(Column::MostUses.is_null())
            .add(Expr::col(Column::Uses).lt(Expr::col(Column::MostUses)));
        let turn = begin(self, WRITE).await?;
        let counted = Entity::update_many()
            .col_expr(Column::Uses, Expr::col(Column::Uses).add(1))
            .col_expr(Column::LastUsedAt, Expr::value(used.at.millis()))
            .col_expr(Column::LastAddress, Expr::value(used.address.to_string()))
            .filter(Column::Id.eq(used.id.as_str()))
            .filter(is_left)
            .exec(turn.sql())
            .await
            .map_err(failed(WRITE))?;
        if counted.rows_affected == 0 {
            drop(turn.abandon().await?);
            return Ok(false);
        }
        audit::append(turn.sql(), entries).await?;
        drop(turn.finish().await?);
        Ok(true)
    }

    async fn give_back_bound_key(&self, id: &SecretId) -> Result<(), StoreError> {
        let turn = begin(self, WRITE).await?;
        Entity::update_many()
            .col_expr(Column::Uses, Expr::col(Column::Uses).sub(1))
            .filter(Column::Id.eq(id.as_str()))
            .filter(Column::Uses.gt(0))
            .exec(turn.sql())
            .await
            .map_err(failed(WRITE))?;
        drop(turn.finish().await?);
        Ok(())
    }
}

fn of_key(key: &BoundKey) -> Result<Model, StoreError> {
    let KeptSecret { kind, id, hash, last_4 } = &key.secret;
    Ok(Model {
        id: id.to_string(),
        kind: kind.code().to_owned(),
        hash: hash.to_vec(),
        last_4: last_4.to_string(),
        name: key.name.to_string(),
        owner: key.owner.map(|owner| bytes(owner.0)),
        purpose: rows::json(WRITE, &key.purpose)?,
        created_at: key.created_at.millis(),
        expires_at: key.expires_at.map(Timestamp::millis),
        uses: rows::int(key.uses),
        most_uses: key.most_uses.map(rows::int),
        last_used_at: key.last_used.map(|(at, _)| at.millis()),
        last_address: key.last_used.map(|(_, address)| address.to_string()),
    })
}

fn to_key(row: Model) -> Result<BoundKey, StoreError> {
    let kind = SecretKind::of_code(&row.kind).ok_or_else(|| damaged(READ, &row.kind))?;
    let id = SecretId::parse(&row.id).ok_or_else(|| damaged(READ, &row.id))?;
    let last_used = match (row.last_used_at, &row.last_address) {
        (Some(at), Some(address)) => Some((Timestamp::from_millis(at), to_address(READ, address)?)),
        _ => None,
    };
    Ok(BoundKey {
        secret: KeptSecret { kind, id, hash: to_hash(READ, &row.hash)?, last_4: row.last_4.into() },
        name: DisplayName::parse(&row.name).map_err(|error| damaged(READ, &error))?,
        owner: row.owner.map(|owner| to_uuid(READ, &owner).map(UserId)).transpose()?,
        purpose: rows::from_json(READ, || row.id.clone(), &row.purpose)?,
        created_at: Timestamp::from_millis(row.created_at),
        expires_at: row.expires_at.map(Timestamp::from_millis),
        uses: rows::uint(row.uses),
        most_uses: row.most_uses.map(rows::uint),
        last_used,
    })
}
