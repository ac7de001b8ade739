//! The store's state: at its start, and on request.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::TryStreamExt;
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, StreamTrait};

use super::entities::{journal, meta, outbox, tombstone, twin};
use super::memtable::{BatchEvents, Memtable};
use super::rows::{self, failed, int, uint};
use super::{SqlStore, write};
use crate::layers::LayerCache;
use crate::{ClockDoubt, Head, StoreError};
use twinhub_domain::{DeviceNumber, Outgoing, Purpose, Timestamp};

const OPEN: &str = "read the journal's tail";

/// See [`crate::Store::head`].
pub async fn head(sql: &impl ConnectionTrait) -> Result<Head, StoreError> {
    let journal = last_seq(sql).await?;
    let ordered = meta_value(sql, meta::ORDERED_SEQ).await?.unwrap_or_default();
    let living = largest(sql, twin::Entity, twin::Column::Number).await?;
    let removed = largest(sql, tombstone::Entity, tombstone::Column::Device).await?;
    let forgotten = meta_value(sql, meta::FORGOTTEN_NUMBER).await?.unwrap_or_default();
    let outgoing = meta_value(sql, meta::OUTGOING).await?.unwrap_or_default();
    Ok(Head {
        seq: uint(journal.max(ordered)),
        number: living.max(removed).max(forgotten),
        outgoing: uint(outgoing),
        at: last_at(sql).await?,
        doubt: ClockDoubt {
            ahead_ms: meta_value(sql, meta::CLOCK_AHEAD).await?.unwrap_or_default(),
            for_ms: uint(meta_value(sql, meta::CLOCK_DOUBTED).await?.unwrap_or_default()),
        },
    })
}

/// See [`crate::Store::doubt`].
pub async fn doubt(store: &SqlStore, ClockDoubt { ahead_ms, for_ms }: ClockDoubt) -> Result<(), StoreError> {
    let turn = store.writer.begin("write how far the clock is doubted").await?;
    write::meta(turn.sql(), meta::CLOCK_AHEAD, ahead_ms).await?;
    write::meta(turn.sql(), meta::CLOCK_DOUBTED, int(for_ms)).await?;
    let _ = turn.finish().await?;
    Ok(())
}

/// Reads the events that are not compacted yet from the journal.
pub async fn load_memtable(
    sql: &(impl ConnectionTrait + StreamTrait),
    layers: &LayerCache,
) -> Result<Memtable, StoreError> {
    let ordered = meta_value(sql, meta::ORDERED_SEQ).await?.unwrap_or_default();
    let removed: HashMap<DeviceNumber, u64> = tombstone::Entity::find()
        .all(sql)
        .await
        .map_err(failed(OPEN))?
        .into_iter()
        .map(|row| (DeviceNumber(row.device), uint(row.seq)))
        .collect();
    let memtable = Memtable::new(uint(ordered), removed);
    let mut rows = journal::Entity::find()
        .filter(journal::Column::FirstSeq.gt(ordered))
        .order_by_asc(journal::Column::FirstSeq)
        .stream(sql)
        .await
        .map_err(failed(OPEN))?;
    while let Some(row) = rows.try_next().await.map_err(failed(OPEN))? {
        let events = rows::events(OPEN, row.first_seq, &row.body, 0, layers)?;
        let events: BatchEvents = events.into_iter().map(Arc::new).collect();
        memtable.append(&events, &[]);
    }
    drop(rows);
    Ok(memtable)
}

/// See [`crate::Store::outgoing`].
pub async fn outgoing(sql: &impl ConnectionTrait) -> Result<Vec<Outgoing>, StoreError> {
    let rows = outbox::Entity::find()
        .order_by_asc(outbox::Column::Id)
        .all(sql)
        .await
        .map_err(failed("read the outbox"))?;
    let message = |row: outbox::Model| Outgoing {
        id: uint(row.id),
        topic: row.topic,
        payload: row.payload.into(),
        retain: row.retain,
        until: row.until.map(Timestamp::from_millis),
        purpose: row.purpose.as_deref().and_then(Purpose::parse).map(Box::new),
    };
    Ok(rows.into_iter().map(message).collect())
}

/// The last `seq` in the journal, 0 where it is empty.
pub async fn last_seq(sql: &impl ConnectionTrait) -> Result<i64, StoreError> {
    Ok(in_last_row(sql, journal::Column::LastSeq).await?.unwrap_or_default())
}

/// The time of the last row of the journal; where all were pruned, the time up to which rules have seen.
async fn last_at(sql: &impl ConnectionTrait) -> Result<Option<Timestamp>, StoreError> {
    let last = match in_last_row(sql, journal::Column::At).await? {
        None => meta_value(sql, meta::AUTOMATION_TIME).await?,
        last => last,
    };
    Ok(last.map(Timestamp::from_millis))
}

/// The value of a column in the last row of the journal.
async fn in_last_row(sql: &impl ConnectionTrait, column: journal::Column) -> Result<Option<i64>, StoreError> {
    journal::Entity::find()
        .select_only()
        .column(column)
        .order_by_desc(journal::Column::FirstSeq)
        .limit(1)
        .into_tuple()
        .one(sql)
        .await
        .map_err(failed("read the store's state"))
}

/// The largest value of a column with an index, 0 where there is no row.
pub async fn largest<E: EntityTrait>(
    sql: &impl ConnectionTrait,
    _table: E,
    column: E::Column,
) -> Result<i64, StoreError> {
    let largest: Option<Option<i64>> = E::find()
        .select_only()
        .column_as(column.max(), "largest")
        .into_tuple()
        .one(sql)
        .await
        .map_err(failed("read the store's state"))?;
    Ok(largest.flatten().unwrap_or_default())
}

/// One of the numbers that outlive their rows.
pub async fn meta_value(sql: &impl ConnectionTrait, name: &str) -> Result<Option<i64>, StoreError> {
    let row = meta::Entity::find_by_id(name).one(sql).await.map_err(failed("read meta"))?;
    Ok(row.map(|row| row.value))
}
