//! What is older than its retention goes.

use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::entities::{journal, meta, tombstone, twin};
use super::rows::{failed, int, uint};
use super::{SqlStore, chunks, head, write};
use crate::domain::Timestamp;
use crate::store::StoreError;

/// Journal rows deleted in one transaction at most; some hundred kB each.
const ROWS_AT_ONCE: u64 = 50;
/// Devices whose old readings are deleted in one transaction.
const DEVICES_AT_ONCE: i64 = 1_000;
/// Readings expire by the chunk, so there is no need to look more often.
const READINGS_EVERY_MS: i64 = 60 * 60 * 1000;

/// Deletes journal rows that are in order and older than their retention, and tombstones that no row of
/// the journal needs.
pub async fn journal(store: &SqlStore, now: Timestamp) -> Result<(), StoreError> {
    const PRUNE: &str = "prune journal";
    let until = now.plus_millis(-millis(store.keeping().journal)).millis();
    let ordered = int(store.tail.view().after());
    loop {
        let oldest: Vec<(i64, i64, i64)> = journal::Entity::find()
            .select_only()
            .columns([journal::Column::FirstSeq, journal::Column::LastSeq, journal::Column::At])
            .order_by_asc(journal::Column::FirstSeq)
            .limit(ROWS_AT_ONCE)
            .into_tuple()
            .all(&store.readers)
            .await
            .map_err(failed(PRUNE))?;
        let old = oldest.iter().take_while(|(_, last, at)| *last <= ordered && *at < until);
        let Some((first, last, _)) = old.last().copied() else { return Ok(()) };
        let turn = store.writer.begin(PRUNE).await?;
        journal::Entity::delete_many()
            .filter(journal::Column::FirstSeq.lte(first))
            .exec(turn.sql())
            .await
            .map_err(failed(PRUNE))?;
        forget_tombstones(turn.sql(), last).await?;
        let done = turn.finish().await?;
        store.tail.forget_removed(uint(last));
        drop(done);
    }
}

/// Deletes chunks of readings that ended before the retention, where there is one.
pub async fn readings(store: &SqlStore, now: Timestamp) -> Result<(), StoreError> {
    let Some(keep) = store.keeping().readings else { return Ok(()) };
    {
        let mut last = store.readings_pruned.lock().await;
        if last.is_some_and(|last| now.millis() - last.millis() < READINGS_EVERY_MS) {
            return Ok(());
        }
        *last = Some(now);
    }
    let until = now.plus_millis(-millis(keep));
    let last = head::largest(&store.readers, twin::Entity, twin::Column::Number).await?;
    let mut from = 0;
    while from <= last {
        let turn = store.writer.begin("delete old readings").await?;
        chunks::delete_old(turn.sql(), (from, from + DEVICES_AT_ONCE), until).await?;
        drop(turn.finish().await?);
        from += DEVICES_AT_ONCE;
    }
    Ok(())
}

/// The number of a device that nothing else remembers must not be given again.
async fn forget_tombstones(sql: &sea_orm::DatabaseTransaction, until: i64) -> Result<(), StoreError> {
    const FORGET: &str = "forget removed devices";
    let gone: Option<i64> = tombstone::Entity::find()
        .filter(tombstone::Column::Seq.lte(until))
        .select_only()
        .column(tombstone::Column::Device)
        .order_by_desc(tombstone::Column::Device)
        .limit(1)
        .into_tuple()
        .one(sql)
        .await
        .map_err(failed(FORGET))?;
    let Some(largest) = gone else { return Ok(()) };
    let before = head::meta_value(sql, meta::FORGOTTEN_NUMBER).await?.unwrap_or_default();
    write::meta(sql, meta::FORGOTTEN_NUMBER, largest.max(before)).await?;
    tombstone::Entity::delete_many()
        .filter(tombstone::Column::Seq.lte(until))
        .exec(sql)
        .await
        .map(drop)
        .map_err(failed(FORGET))
}

/// As times are counted.
pub fn millis(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
