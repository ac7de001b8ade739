//! The audit as rows, which are only ever added.

use async_trait::async_trait;
use sea_orm::{
    ActiveValue, ColumnTrait, Condition, DatabaseTransaction, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect,
};
use twinhub_access::{Action, AuditEntry, AuditOutcome, AuditRecord};
use twinhub_domain::Timestamp;

use super::{begin, damaged, rows, to_address};
use crate::sql::entities::audit::{ActiveModel, Column, Entity, Model};
use crate::sql::rows::{bound, failed, int, uint};
use crate::sql::{SqlStore, write};
use crate::{AuditPage, AuditQuery, AuditStore, StoreError, select};

const READ: &str = "read the audit";
const WRITE: &str = "write the audit";
const EXPIRE: &str = "delete old entries of the audit";

#[async_trait]
impl AuditStore for SqlStore {
    async fn append_audit(&self, entries: &[AuditEntry]) -> Result<(), StoreError> {
        if entries.is_empty() {
            return Ok(());
        }
        let turn = begin(self, WRITE).await?;
        append(turn.sql(), entries).await?;
        drop(turn.finish().await?);
        Ok(())
    }

    async fn audit(&self, query: &AuditQuery) -> Result<AuditPage, StoreError> {
        let condition = Condition::all()
            .add_option(query.who.as_ref().map(|who| Column::Who.eq(select::key(who))))
            .add_option(query.action.map(|action| Column::Action.eq(action.as_str())))
            .add_option(query.target.as_ref().map(|target| Column::Target.eq(select::key(target))))
            .add_option(query.from.map(|from| Column::At.gte(from.millis())))
            .add_option(query.to.map(|to| Column::At.lt(to.millis())))
            .add_option(query.since.map(|since| Column::Seq.gt(int(since))))
            .add_option(query.before.map(|before| Column::Seq.lt(int(before))));
        let found = Entity::find().filter(condition);
        let in_order = match query.newest_first {
            true => found.order_by_desc(Column::Seq),
            false => found.order_by_asc(Column::Seq),
        };
        // One more tells whether there are more.
        let rows = in_order.limit(bound(query.limit.saturating_add(1))).all(&self.readers).await;
        let mut records: Vec<AuditRecord> =
            rows.map_err(failed(READ))?.into_iter().map(to_record).collect::<Result<_, _>>()?;
        let has_more = records.len() as u64 > query.limit;
        if has_more {
            records.pop();
        }
        Ok(AuditPage { records, has_more })
    }

    async fn expire_audit(&self, before: Timestamp) -> Result<u64, StoreError> {
        let mut gone = 0;
        loop {
            // Few in a transaction, so that no commit waits long.
            let some: Vec<i64> = Entity::find()
                .filter(Column::At.lt(before.millis()))
                .limit(write::AT_ONCE as u64)
                .select_only()
                .column(Column::Seq)
                .into_tuple()
                .all(&self.readers)
                .await
                .map_err(failed(EXPIRE))?;
            if some.is_empty() {
                return Ok(gone);
            }
            let turn = begin(self, EXPIRE).await?;
            let deleted = Entity::delete_many().filter(Column::Seq.is_in(some)).exec(turn.sql()).await;
            gone += deleted.map_err(failed(EXPIRE))?.rows_affected;
            drop(turn.finish().await?);
        }
    }
}

/// Adds entries with the change that they tell of.
pub async fn append(sql: &DatabaseTransaction, entries: &[AuditEntry]) -> Result<(), StoreError> {
    for some in entries.chunks(write::AT_ONCE / 8) {
        let rows: Result<Vec<ActiveModel>, StoreError> = some.iter().map(row).collect();
        Entity::insert_many(rows?).exec_without_returning(sql).await.map_err(failed(WRITE))?;
    }
    Ok(())
}

fn row(entry: &AuditEntry) -> Result<ActiveModel, StoreError> {
    use ActiveValue::Set;

    Ok(ActiveModel {
        seq: ActiveValue::NotSet,
        at: Set(entry.at.millis()),
        who: Set(select::key(&entry.who).to_owned()),
        address: Set(entry.address.map(|address| address.to_string())),
        action: Set(entry.action.as_str().to_owned()),
        target: Set(select::key(&entry.target).to_owned()),
        outcome: Set(entry.outcome.as_str().to_owned()),
        detail: Set(rows::json(WRITE, &entry.detail)?),
    })
}

fn to_record(row: Model) -> Result<AuditRecord, StoreError> {
    let entry = AuditEntry {
        at: Timestamp::from_millis(row.at),
        who: row.who.into(),
        address: row.address.map(|address| to_address(READ, &address)).transpose()?,
        action: Action::parse(&row.action).ok_or_else(|| damaged(READ, &row.action))?,
        target: row.target.into(),
        outcome: AuditOutcome::parse(&row.outcome).ok_or_else(|| damaged(READ, &row.outcome))?,
        detail: rows::from_json(READ, || row.seq.to_string(), &row.detail)?,
    };
    Ok(AuditRecord { seq: uint(row.seq), entry })
}
