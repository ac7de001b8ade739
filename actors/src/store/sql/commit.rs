//! The group commit: one transaction, one row for all readings in it.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;

use sea_orm::sea_query::OnConflict;
use sea_orm::{ColumnTrait, DatabaseTransaction, EntityTrait, IntoActiveModel, Iterable, QueryFilter};

use super::entities::{chunk, event, journal, meta, outbox, tag, tombstone, twin};
use super::rows::{self, failed, int, rows_at_once};
use super::{SqlStore, order};
use crate::domain::{DeviceNumber, EventBody, Twin};
use crate::store::{Batch, StoreError, codec, select};

const COMMIT: &str = "commit";

/// See [`crate::store::Store::commit`].
pub async fn commit(store: &SqlStore, batch: &Batch) -> Result<(), StoreError> {
    let row = journal_row(batch);
    let turn = store.writer.begin(COMMIT).await?;
    if let Some(row) = &row {
        if row.first_seq <= int(store.tail.last()) {
            turn.abandon().await.map(drop)?;
            return Ok(()); // committed before, and answered so
        }
        if store.in_doubt.load(Ordering::Acquire) && already_there(turn.sql(), row).await? {
            let done = turn.abandon().await?;
            store.tail.append(&batch.events, &batch.removed);
            store.in_doubt.store(false, Ordering::Release);
            drop(done);
            return Ok(());
        }
    }
    let has_events = row.is_some();
    write(turn.sql(), batch, row).await?;
    // Set before, not after, so that a caller that goes away while we wait leaves the doubt behind.
    store.in_doubt.fetch_or(has_events, Ordering::AcqRel);
    let done = turn.finish().await?;
    store.tail.append(&batch.events, &batch.removed);
    if has_events {
        store.in_doubt.store(false, Ordering::Release);
    }
    drop(done); // only now may another write: who orders or commits next finds the tail complete
    Ok(())
}

/// Writes twins' rows and their tags. `columns` are what an existing row takes over.
pub async fn write_twins(
    sql: &DatabaseTransaction,
    twins: Vec<twin::Model>,
    columns: &[twin::Column],
) -> Result<(), StoreError> {
    let mut left = twins.into_iter().map(IntoActiveModel::into_active_model);
    loop {
        let rows: Vec<twin::ActiveModel> = left.by_ref().take(rows_at_once(twin::Column::iter().len())).collect();
        if rows.is_empty() {
            return Ok(());
        }
        let overwrite = OnConflict::column(twin::Column::Number).update_columns(columns.iter().copied()).to_owned();
        twin::Entity::insert_many(rows)
            .on_conflict(overwrite)
            .exec_without_returning(sql)
            .await
            .map_err(failed("write twins"))?;
    }
}

/// Sets one of the numbers that outlive their rows.
pub async fn set_meta(sql: &DatabaseTransaction, name: &str, value: i64) -> Result<(), StoreError> {
    let row = meta::Model { name: name.to_owned(), value }.into_active_model();
    let overwrite = OnConflict::column(meta::Column::Name).update_column(meta::Column::Value).to_owned();
    meta::Entity::insert(row)
        .on_conflict(overwrite)
        .exec_without_returning(sql)
        .await
        .map(drop)
        .map_err(failed("write meta"))
}

fn journal_row(batch: &Batch) -> Option<journal::Model> {
    let (first, last) = (batch.events.first()?, batch.events.last()?);
    let times = || batch.events.iter().map(|event| event.event.at.millis());
    Some(journal::Model {
        first_seq: int(first.seq),
        last_seq: int(last.seq),
        at: batch.at.millis(),
        first_at: times().min().unwrap_or_default(),
        last_at: times().max().unwrap_or_default(),
        body: codec::encode(batch.events.iter().map(|event| &**event)),
    })
}

/// After a commit of which it is not known whether it took place: did it?
async fn already_there(sql: &DatabaseTransaction, row: &journal::Model) -> Result<bool, StoreError> {
    let found = journal::Entity::find_by_id(row.first_seq).one(sql).await.map_err(failed(COMMIT))?;
    match found {
        None => Ok(false),
        Some(found) if found.last_seq == row.last_seq && found.body == row.body => Ok(true),
        Some(_) => Err(StoreError::Damaged {
            operation: COMMIT,
            detail: format!("other events are stored from {} on", row.first_seq),
        }),
    }
}

async fn write(
    sql: &DatabaseTransaction,
    batch: &Batch,
    journal: Option<journal::Model>,
) -> Result<(), StoreError> {
    if let Some(row) = journal {
        journal::Entity::insert(row.into_active_model())
            .exec_without_returning(sql)
            .await
            .map_err(failed("write journal"))?;
    }
    let removed: HashMap<DeviceNumber, u64> = batch.removed.iter().map(|(seq, number)| (*number, *seq)).collect();
    if !removed.is_empty() {
        remove(sql, &removed).await?;
    }
    write_events(sql, batch, &removed).await?;
    let twins = latest_twins(batch, &removed);
    if !twins.is_empty() {
        write_tags(sql, &twins).await?;
        let rows: Result<Vec<_>, _> = twins.iter().map(|(seq, twin)| rows::of_twin(*seq, 0, twin)).collect();
        write_twins(sql, rows?, &order::ALL_BUT_ORDERED).await?;
    }
    write_outbox(sql, batch).await
}

/// Of a twin that is there more than once, the last.
fn latest_twins<'a>(batch: &'a Batch, removed: &HashMap<DeviceNumber, u64>) -> Vec<(u64, &'a Twin)> {
    let mut latest: HashMap<DeviceNumber, (u64, &Twin)> = HashMap::new();
    for (seq, twin) in batch.twins.iter().filter(|(_, twin)| !removed.contains_key(&twin.number)) {
        let entry = latest.entry(twin.number).or_insert((*seq, twin));
        if *seq >= entry.0 {
            *entry = (*seq, twin);
        }
    }
    let mut twins: Vec<_> = latest.into_values().collect();
    twins.sort_unstable_by_key(|(_, twin)| twin.number);
    twins
}

async fn write_tags(sql: &DatabaseTransaction, twins: &[(u64, &Twin)]) -> Result<(), StoreError> {
    const TAGS: &str = "write tags";
    let numbers: Vec<i64> = twins.iter().map(|(_, twin)| twin.number.0).collect();
    for some in numbers.chunks(rows_at_once(1)) {
        tag::Entity::delete_many()
            .filter(tag::Column::Device.is_in(some.iter().copied()))
            .exec(sql)
            .await
            .map_err(failed(TAGS))?;
    }
    let mut rows = Vec::new();
    for (_, twin) in twins {
        let mut names = HashSet::new();
        for (name, value) in twin.tags.iter() {
            // Two names that begin alike for so long are one to the index.
            if let Some(value) = select::tag_text(value)
                && names.insert(select::key(name))
            {
                let (device, name) = (twin.number.0, select::key(name).to_owned());
                rows.push(tag::Model { device, name, value }.into_active_model());
            }
        }
    }
    while !rows.is_empty() {
        let some = rows.split_off(rows.len().saturating_sub(rows_at_once(3)));
        tag::Entity::insert_many(some).exec_without_returning(sql).await.map_err(failed(TAGS))?;
    }
    Ok(())
}

/// Everything that is no telemetry gets a row, so that it is found without the readings around it.
async fn write_events(
    sql: &DatabaseTransaction,
    batch: &Batch,
    removed: &HashMap<DeviceNumber, u64>,
) -> Result<(), StoreError> {
    let is_row = |body: &EventBody| !matches!(body, EventBody::Telemetry { .. });
    let mut rows: Vec<_> = batch
        .events
        .iter()
        .filter(|recorded| is_row(&recorded.event.body))
        .filter(|recorded| removed.get(&recorded.event.number).is_none_or(|seq| recorded.seq >= *seq))
        .map(|recorded| {
            event::Model {
                seq: int(recorded.seq),
                device: recorded.event.number.0,
                kind: recorded.event.kind().as_str().to_owned(),
                at: recorded.event.at.millis(),
                body: codec::encode([&**recorded]),
            }
            .into_active_model()
        })
        .collect();
    while !rows.is_empty() {
        let rest = rows.split_off(rows.len().min(rows_at_once(5)));
        event::Entity::insert_many(rows).exec_without_returning(sql).await.map_err(failed("write events"))?;
        rows = rest;
    }
    Ok(())
}

async fn remove(sql: &DatabaseTransaction, removed: &HashMap<DeviceNumber, u64>) -> Result<(), StoreError> {
    const REMOVE: &str = "remove device";
    for (device, seq) in removed {
        let (device, seq) = (device.0, int(*seq));
        twin::Entity::delete_by_id(device).exec(sql).await.map_err(failed(REMOVE))?;
        tag::Entity::delete_many().filter(tag::Column::Device.eq(device)).exec(sql).await.map_err(failed(REMOVE))?;
        chunk::Entity::delete_many()
            .filter(chunk::Column::Device.eq(device))
            .exec(sql)
            .await
            .map_err(failed(REMOVE))?;
        event::Entity::delete_many()
            .filter(event::Column::Device.eq(device))
            .filter(event::Column::Seq.lt(seq))
            .exec(sql)
            .await
            .map_err(failed(REMOVE))?;
        let overwrite = OnConflict::column(tombstone::Column::Device).update_column(tombstone::Column::Seq).to_owned();
        tombstone::Entity::insert(tombstone::Model { device, seq }.into_active_model())
            .on_conflict(overwrite)
            .exec_without_returning(sql)
            .await
            .map_err(failed(REMOVE))?;
    }
    Ok(())
}

async fn write_outbox(sql: &DatabaseTransaction, batch: &Batch) -> Result<(), StoreError> {
    const OUTBOX: &str = "write outbox";
    let mut rows = batch.outgoing.iter().map(|message| {
        outbox::Model {
            id: int(message.id),
            topic: message.topic.clone(),
            payload: message.payload.to_vec(),
            retain: message.retain,
        }
        .into_active_model()
    });
    loop {
        let some: Vec<_> = rows.by_ref().take(rows_at_once(4)).collect();
        if some.is_empty() {
            break;
        }
        // A batch without events may come again: what it brought is there then.
        let keep = OnConflict::column(outbox::Column::Id).do_nothing().to_owned();
        outbox::Entity::insert_many(some)
            .on_conflict(keep)
            .exec_without_returning(sql)
            .await
            .map_err(failed(OUTBOX))?;
    }
    if let Some(largest) = batch.outgoing.iter().map(|message| message.id).max() {
        set_meta(sql, meta::OUTGOING, int(largest)).await?;
    }
    for sent in batch.sent.chunks(rows_at_once(1)) {
        outbox::Entity::delete_many()
            .filter(outbox::Column::Id.is_in(sent.iter().map(|id| int(*id))))
            .exec(sql)
            .await
            .map_err(failed(OUTBOX))?;
    }
    Ok(())
}
