//! Packing, behind the commits: rows of the journal that have been put into order and are older than a minute become
//! blocks, a row each, compressed.
//!
//! A block has the place and the times of the rows that it was made of, so it is found, replayed and pruned as a row
//! is. It is written and its rows are deleted in one transaction.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::TryStreamExt;
use sea_orm::{ColumnTrait, DatabaseTransaction, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::entities::{journal, meta};
use super::pace::{self, WorkTurn};
use super::prune::WRONG_MS;
use super::rows::{failed, int};
use super::{SqlStore, head, write};
use crate::{StoreError, history};
use twinhub_domain::{Recorded, Timestamp};

const PACK: &str = "pack the journal";
/// Rows that are younger than this may be looked at again and again: subscribers that were away for a moment.
const YOUNG_MS: i64 = 60 * 1000;
/// As many events make a block: some 60 kB of ordinary messages, so that the half page that is empty at a block's end
/// on average weighs little, and a replay that needs one event of it reads no more than some milliseconds' worth.
const BLOCK_EVENTS: i64 = if cfg!(test) { 16 } else { 4_096 };
/// A block of larger events ends earlier: the bodies of its rows have some as many bytes.
const BLOCK_BYTES: usize = 256 * 1024;
/// So old, rows make a block, however few they are; and so far apart in time the rows of one are at most.
const WAIT_MS: i64 = 10 * 60 * 1000;

/// The place up to which the journal is packed; none where it is not known yet.
#[derive(Default)]
pub struct PackedPlace(Mutex<Option<i64>>);

impl PackedPlace {
    fn get(&self) -> Option<i64> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, place: i64) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(place);
    }
}

/// Packs what is due, as far as there is time.
pub async fn pack(store: &SqlStore, now: Timestamp) -> Result<(), StoreError> {
    // Events that are not in order yet are read at a start, row by row.
    let ordered = int(store.memtable.view().after());
    let turn = WorkTurn::begin();
    while !turn.is_over() {
        let packed = match store.packed.get() {
            Some(packed) => packed,
            None => head::meta_value(&store.readers, meta::PACKED_SEQ).await?.unwrap_or_default(),
        };
        store.packed.set(packed);
        if packed >= ordered || !is_due(store, packed, ordered, now).await? {
            return Ok(());
        }
        let rows = next_rows(store, packed, ordered, now).await?;
        let Some(last) = rows.last().map(|row| row.last_seq) else { return Ok(()) };
        let block = block(store, &rows).await?;
        let write = async |sql: &DatabaseTransaction| replace(sql, rows.len(), block).await;
        store.paces.packing.write(store, PACK, rows.len(), write).await?;
        store.packed.set(last);
    }
    Ok(())
}

/// Is there a whole block of rows that are no longer young, or any row that has waited long?
async fn is_due(store: &SqlStore, packed: i64, ordered: i64, now: Timestamp) -> Result<bool, StoreError> {
    let waits: Option<i64> = journal::Entity::find()
        .filter(journal::Column::FirstSeq.gt(packed))
        .order_by_asc(journal::Column::FirstSeq)
        .select_only()
        .column(journal::Column::At)
        .limit(1)
        .into_tuple()
        .one(&store.readers)
        .await
        .map_err(failed(PACK))?;
    match waits {
        None => return Ok(false),
        Some(at) if is_older(at, WAIT_MS, now) => return Ok(true),
        Some(_) if ordered - packed < BLOCK_EVENTS => return Ok(false),
        Some(_) => {}
    }
    let end: Option<i64> = journal::Entity::find()
        .filter(journal::Column::FirstSeq.lte(packed + BLOCK_EVENTS))
        .order_by_desc(journal::Column::FirstSeq)
        .select_only()
        .column(journal::Column::At)
        .limit(1)
        .into_tuple()
        .one(&store.readers)
        .await
        .map_err(failed(PACK))?;
    Ok(end.is_some_and(|at| is_older(at, YOUNG_MS, now)))
}

/// A row from the future was written by a wrong clock.
fn is_older(at: i64, millis: i64, now: Timestamp) -> bool {
    at < now.plus_millis(-millis).millis() || at > now.plus_millis(WRONG_MS).millis()
}

/// The rows of the next block.
async fn next_rows(
    store: &SqlStore,
    packed: i64,
    ordered: i64,
    now: Timestamp,
) -> Result<Vec<journal::Model>, StoreError> {
    let mut stream = journal::Entity::find()
        .filter(journal::Column::FirstSeq.gt(packed))
        .filter(journal::Column::FirstSeq.lte(ordered))
        .order_by_asc(journal::Column::FirstSeq)
        .stream(&store.readers)
        .await
        .map_err(failed(PACK))?;
    let (mut rows, mut bytes): (Vec<journal::Model>, usize) = (Vec::new(), 0);
    while let Some(row) = stream.try_next().await.map_err(failed(PACK))? {
        if row.last_seq > ordered || !is_older(row.at, YOUNG_MS, now) {
            break;
        }
        // A block goes as a whole when it is old.
        let first = rows.first().map_or(row.at, |first| first.at);
        if (row.at - first).abs() >= WAIT_MS {
            break;
        }
        bytes += row.body.len();
        let events = row.last_seq - packed;
        rows.push(row);
        if events >= BLOCK_EVENTS || bytes >= BLOCK_BYTES || rows.len() >= store.paces.packing.size() {
            break;
        }
    }
    Ok(rows)
}

/// The row of a block.
async fn block(store: &SqlStore, rows: &[journal::Model]) -> Result<Option<journal::Model>, StoreError> {
    let mut events: Vec<Recorded> = Vec::new();
    for row in rows {
        events.extend(store.events(PACK, row.first_seq, &row.body).await?);
        tokio::task::yield_now().await; // others are on this thread, too
    }
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return Ok(None) };
    let layers = Arc::clone(&store.layers);
    let encode = move || history::encode_block(&events.iter().collect::<Vec<_>>(), &layers);
    Ok(Some(journal::Model {
        first_seq: first.first_seq,
        last_seq: last.last_seq,
        at: last.at,
        first_at: rows.iter().map(|row| row.first_at).min().unwrap_or_default(),
        last_at: rows.iter().map(|row| row.last_at).max().unwrap_or_default(),
        body: pace::aside(PACK, encode).await?,
    }))
}

async fn replace(
    sql: &DatabaseTransaction,
    rows: usize,
    block: Option<journal::Model>,
) -> Result<(), StoreError> {
    let Some(block) = block else { return Ok(()) };
    let packed = journal::Entity::delete_many()
        .filter(journal::Column::FirstSeq.gte(block.first_seq))
        .filter(journal::Column::FirstSeq.lte(block.last_seq));
    let gone = packed.exec(sql).await.map_err(failed(PACK))?.rows_affected;
    if gone != rows as u64 {
        let detail = format!("{gone} rows are in the place of {rows}");
        return Err(StoreError::Failed { operation: PACK, detail }); // with nothing written
    }
    let last = block.last_seq;
    write::insert(sql, PACK, vec![block], None).await?;
    write::meta(sql, meta::PACKED_SEQ, last).await
}
