//! Users as rows: their names to look them up, and all else in one sealed text.

use async_trait::async_trait;
use sea_orm::sea_query::OnConflict;
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder};
use twinhub_access::{AuditEntry, Email, User, UserId};

use super::{audit, begin, bytes, rows};
use crate::sql::entities::user::{Column, Entity, Model};
use crate::sql::entities::{access_key, bound_key, session};
use crate::sql::rows::failed;
use crate::sql::{SqlStore, write};
use crate::{StoreError, UserStore, UserWrite};

const READ: &str = "read users";
const WRITE: &str = "write users";

#[async_trait]
impl UserStore for SqlStore {
    async fn users(&self) -> Result<Vec<User>, StoreError> {
        let rows = Entity::find().order_by_asc(Column::NameKey).all(&self.readers).await;
        rows.map_err(failed(READ))?.iter().map(|row| to_user(self, row)).collect()
    }

    async fn user(&self, id: UserId) -> Result<Option<User>, StoreError> {
        let row = Entity::find_by_id(bytes(id.0)).one(&self.readers).await.map_err(failed(READ))?;
        row.map(|row| to_user(self, &row)).transpose()
    }

    async fn find_user(&self, login_key: &str) -> Result<Option<User>, StoreError> {
        let either = Condition::any().add(Column::NameKey.eq(login_key)).add(Column::EmailKey.eq(login_key));
        let row = Entity::find().filter(either).one(&self.readers).await.map_err(failed(READ))?;
        row.map(|row| to_user(self, &row)).transpose()
    }

    async fn put_user(&self, user: &User, entries: &[AuditEntry]) -> Result<UserWrite, StoreError> {
        let row = Model {
            id: bytes(user.id.0),
            name_key: user.name.key(),
            email_key: user.email.as_ref().map(Email::key),
            created_at: user.created_at.millis(),
            body: self.sealed(rows::json(WRITE, user)?)?,
        };
        let turn = begin(self, WRITE).await?;
        let others = Entity::find().filter(Column::Id.ne(row.id.clone()));
        let same_name = others.clone().filter(Column::NameKey.eq(row.name_key.clone()));
        if same_name.one(turn.sql()).await.map_err(failed(WRITE))?.is_some() {
            drop(turn.abandon().await?);
            return Ok(UserWrite::NameTaken);
        }
        if let Some(email) = &row.email_key {
            let same_email = others.filter(Column::EmailKey.eq(email.clone()));
            if same_email.one(turn.sql()).await.map_err(failed(WRITE))?.is_some() {
                drop(turn.abandon().await?);
                return Ok(UserWrite::EmailTaken);
            }
        }
        let columns = [Column::NameKey, Column::EmailKey, Column::CreatedAt, Column::Body];
        let overwrite = OnConflict::column(Column::Id).update_columns(columns).to_owned();
        write::insert(turn.sql(), WRITE, vec![row], Some(overwrite)).await?;
        audit::append(turn.sql(), entries).await?;
        drop(turn.finish().await?);
        Ok(UserWrite::Done)
    }

    async fn remove_user(&self, id: UserId, entries: &[AuditEntry]) -> Result<bool, StoreError> {
        const REMOVE: &str = "remove a user";
        let id = bytes(id.0);
        let turn = begin(self, REMOVE).await?;
        let gone = Entity::delete_by_id(id.clone()).exec(turn.sql()).await.map_err(failed(REMOVE))?;
        if gone.rows_affected == 0 {
            drop(turn.abandon().await?);
            return Ok(false);
        }
        let keys = access_key::Entity::delete_many().filter(access_key::Column::Owner.eq(id.clone()));
        keys.exec(turn.sql()).await.map_err(failed(REMOVE))?;
        let bound = bound_key::Entity::delete_many().filter(bound_key::Column::Owner.eq(id.clone()));
        bound.exec(turn.sql()).await.map_err(failed(REMOVE))?;
        let sessions = session::Entity::delete_many().filter(session::Column::User.eq(id));
        sessions.exec(turn.sql()).await.map_err(failed(REMOVE))?;
        audit::append(turn.sql(), entries).await?;
        drop(turn.finish().await?);
        Ok(true)
    }
}

fn to_user(store: &SqlStore, row: &Model) -> Result<User, StoreError> {
    rows::from_json(READ, || row.name_key.clone(), &store.opened(&row.body)?)
}
