//! Requests outward: each a row, on its way or done.

use sea_orm::sea_query::OnConflict;
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder};

use super::entities::delivery;
use super::write::{self, WriteSql};
use super::{SqlStore, page, rows};
use crate::{DeliveryPage, DeliveryQuery, DeliveryRecord, DeliveryStatus, StoreError, select};
use twinhub_domain::Timestamp;

use delivery::Column as C;

const READ: &str = "read deliveries";
const WRITE: &str = "write deliveries";

/// See [`crate::Store::deliveries`].
pub async fn deliveries(store: &SqlStore, query: &DeliveryQuery) -> Result<DeliveryPage, StoreError> {
    let condition = Condition::all()
        .add_option(query.status.map(|status| C::Status.eq(word(status))))
        .add_option(query.run.map(|run| C::Run.eq(run.0.as_bytes().to_vec())));
    let selected = delivery::Entity::find().filter(condition);
    let total = page::count(store, READ, selected.clone(), C::Id).await?;
    if query.offset >= total || query.limit == 0 {
        return Ok(DeliveryPage { deliveries: Vec::new(), total });
    }
    let newest_first = selected.order_by_desc(C::CreatedAt).order_by_desc(C::Id);
    let rows = page::rows(store, READ, newest_first, C::Id, (query.offset, query.limit)).await?;
    let place = |row: &delivery::Model| format!("made at {}", row.created_at);
    let record = |row| -> Result<DeliveryRecord, StoreError> {
        let row: &delivery::Model = row;
        rows::from_json(READ, || place(row), &store.opened(&row.body)?)
    };
    let records: Result<Vec<DeliveryRecord>, _> = rows.iter().map(record).collect();
    // One that a commit has just changed may be no more what was asked for.
    let deliveries = records?.into_iter().filter(|record| select::is_delivery(query, record)).collect();
    Ok(DeliveryPage { deliveries, total })
}

/// Writes requests outward, each once. What is asked, and when it was made, stays as it was.
pub async fn write(
    store: &SqlStore,
    sql: &impl WriteSql,
    records: impl Iterator<Item = &DeliveryRecord>,
) -> Result<(), StoreError> {
    let row = |record: &DeliveryRecord| -> Result<delivery::Model, StoreError> {
        Ok(delivery::Model {
            id: record.id.as_bytes().to_vec(),
            run: record.run.0.as_bytes().to_vec(),
            status: word(record.status).to_owned(),
            created_at: record.created_at.millis(),
            ended_at: record.ended_at.map(Timestamp::millis),
            body: store.sealed(rows::json(WRITE, record)?)?,
        })
    };
    let rows: Result<Vec<_>, _> = records.map(row).collect();
    let overwrite = OnConflict::column(C::Id).update_columns([C::Status, C::EndedAt, C::Body]).to_owned();
    write::insert(sql, WRITE, rows?, Some(overwrite)).await
}

/// The status's word in rows.
pub fn word(status: DeliveryStatus) -> &'static str {
    match status {
        DeliveryStatus::Waiting => "waiting",
        DeliveryStatus::Delivered => "delivered",
        DeliveryStatus::Failed => "failed",
    }
}
