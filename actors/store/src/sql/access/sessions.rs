//! Sessions as rows.

use async_trait::async_trait;
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder};
use twinhub_access::{AuditEntry, Session, SessionId, SessionKind, UserId};
use twinhub_domain::Timestamp;

use super::{audit, begin, bytes, is_user, to_address, to_hash, to_uuid};
use crate::sql::entities::session::{Column, Entity, Model};
use crate::sql::rows::failed;
use crate::sql::{SqlStore, write};
use crate::{SessionStore, StoreError};

const READ: &str = "read sessions";
const WRITE: &str = "write sessions";
/// Values of one statement.
const AT_ONCE: usize = 500;

#[async_trait]
impl SessionStore for SqlStore {
    async fn find_session(&self, hash: &[u8; 32]) -> Result<Option<Session>, StoreError> {
        let found = Entity::find().filter(Column::Hash.eq(hash.to_vec()));
        found.one(&self.readers).await.map_err(failed(READ))?.map(to_session).transpose()
    }

    async fn session(&self, id: SessionId) -> Result<Option<Session>, StoreError> {
        let found = Entity::find_by_id(bytes(id.0));
        found.one(&self.readers).await.map_err(failed(READ))?.map(to_session).transpose()
    }

    async fn sessions(&self, user: UserId) -> Result<Vec<Session>, StoreError> {
        let own = Entity::find().filter(Column::User.eq(bytes(user.0)));
        let oldest_first = own.order_by_asc(Column::CreatedAt).order_by_asc(Column::Id);
        let rows = oldest_first.all(&self.readers).await.map_err(failed(READ))?;
        rows.into_iter().map(to_session).collect()
    }

    async fn put_session(&self, session: &Session, entries: &[AuditEntry]) -> Result<bool, StoreError> {
        let row = Model {
            id: bytes(session.id.0),
            hash: session.hash.to_vec(),
            user: bytes(session.user.0),
            created_at: session.created_at.millis(),
            last_seen: session.last_seen.millis(),
            address: session.address.to_string(),
            agent: session.agent.to_string(),
            by_web_tokens: session.kind == SessionKind::WebTokens,
        };
        let turn = begin(self, WRITE).await?;
        if !is_user(turn.sql(), WRITE, session.user).await? {
            drop(turn.abandon().await?);
            return Ok(false);
        }
        // Once more, after an answer that got lost.
        Entity::delete_by_id(row.id.clone()).exec(turn.sql()).await.map_err(failed(WRITE))?;
        write::insert(turn.sql(), WRITE, vec![row], None).await?;
        audit::append(turn.sql(), entries).await?;
        drop(turn.finish().await?);
        Ok(true)
    }

    async fn note_sessions_seen(&self, seen: &[(SessionId, Timestamp)]) -> Result<(), StoreError> {
        if seen.is_empty() {
            return Ok(());
        }
        let turn = begin(self, WRITE).await?;
        for (id, at) in seen {
            Entity::update_many()
                .col_expr(Column::LastSeen, Expr::value(at.millis()))
                .filter(Column::Id.eq(bytes(id.0)))
                .exec(turn.sql())
                .await
                .map_err(failed(WRITE))?;
        }
        drop(turn.finish().await?);
        Ok(())
    }

    async fn remove_session(&self, id: SessionId, entries: &[AuditEntry]) -> Result<bool, StoreError> {
        let turn = begin(self, WRITE).await?;
        let gone = Entity::delete_by_id(bytes(id.0)).exec(turn.sql()).await.map_err(failed(WRITE))?;
        if gone.rows_affected == 0 {
            drop(turn.abandon().await?);
            return Ok(false);
        }
        audit::append(turn.sql(), entries).await?;
        drop(turn.finish().await?);
        Ok(true)
    }

    async fn remove_sessions(&self, ids: &[SessionId], entries: &[AuditEntry]) -> Result<u64, StoreError> {
        let turn = begin(self, WRITE).await?;
        let mut gone = 0;
        for some in ids.chunks(AT_ONCE) {
            let over = Column::Id.is_in(some.iter().map(|id| bytes(id.0)));
            let removed = Entity::delete_many().filter(over).exec(turn.sql()).await.map_err(failed(WRITE))?;
            gone += removed.rows_affected;
        }
        audit::append(turn.sql(), entries).await?;
        drop(turn.finish().await?);
        Ok(gone)
    }

    async fn remove_sessions_of(
        &self,
        user: UserId,
        stays: Option<SessionId>,
        entries: &[AuditEntry],
    ) -> Result<Vec<SessionId>, StoreError> {
        let over = Condition::all()
            .add(Column::User.eq(bytes(user.0)))
            .add_option(stays.map(|id| Column::Id.ne(bytes(id.0))));
        let turn = begin(self, WRITE).await?;
        let rows =
            Entity::find().filter(over.clone()).order_by_asc(Column::CreatedAt).order_by_asc(Column::Id);
        let rows = rows.all(turn.sql()).await.map_err(failed(WRITE))?;
        Entity::delete_many().filter(over).exec(turn.sql()).await.map_err(failed(WRITE))?;
        audit::append(turn.sql(), entries).await?;
        drop(turn.finish().await?);
        rows.iter().map(|row| to_uuid(WRITE, &row.id).map(SessionId)).collect()
    }

    async fn expire_sessions(
        &self,
        not_seen_since: Timestamp,
        made_before: Timestamp,
    ) -> Result<u64, StoreError> {
        let over = Condition::any()
            .add(Column::LastSeen.lt(not_seen_since.millis()))
            .add(Column::CreatedAt.lt(made_before.millis()));
        let turn = begin(self, WRITE).await?;
        let gone = Entity::delete_many().filter(over).exec(turn.sql()).await.map_err(failed(WRITE))?;
        drop(turn.finish().await?);
        Ok(gone.rows_affected)
    }
}

fn to_session(row: Model) -> Result<Session, StoreError> {
    Ok(Session {
        id: SessionId(to_uuid(READ, &row.id)?),
        hash: to_hash(READ, &row.hash)?,
        user: UserId(to_uuid(READ, &row.user)?),
        kind: if row.by_web_tokens { SessionKind::WebTokens } else { SessionKind::Cookie },
        created_at: Timestamp::from_millis(row.created_at),
        last_seen: Timestamp::from_millis(row.last_seen),
        address: to_address(READ, &row.address)?,
        agent: row.agent.into(),
    })
}
