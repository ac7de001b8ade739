//! Readings over time: chunks and the tail as one.

use futures_util::TryStreamExt;
use sea_orm::{QueryOrder, Select};

use super::SqlStore;
use super::chunks;
use super::entities::chunk;
use super::rows::{self, failed};
use crate::domain::series::{Bucket, BucketFold, HistoryQuery, StoredReading};
use crate::domain::{DeviceNumber, Recorded, Timestamp};
use crate::store::{StoreError, select};

const READ: &str = "read history";

/// See [`crate::store::Store::raw_history`].
pub async fn raw(store: &SqlStore, query: &HistoryQuery) -> Result<Vec<StoredReading>, StoreError> {
    let mut found = Found { query, messages: Vec::new(), readings: 0 };
    let view = store.tail.view();
    for recorded in view.of_device(query.device) {
        found.add(&recorded);
    }
    let mut rows = ordered_chunks(query).stream(&store.readers).await.map_err(failed(READ))?;
    while let Some(row) = rows.try_next().await.map_err(failed(READ))? {
        if found.is_enough_without(&row) {
            break;
        }
        for recorded in rows::events(READ, row.first_seq, &row.body)? {
            if recorded.seq <= view.after() {
                found.add(&recorded);
            }
        }
    }
    Ok(found.finish())
}

/// See [`crate::store::Store::bucket_history`].
pub async fn buckets(store: &SqlStore, query: &HistoryQuery) -> Result<Vec<Bucket>, StoreError> {
    let mut fold = BucketFold::new(query);
    let view = store.tail.view();
    let add = |fold: &mut BucketFold, recorded: &Recorded| {
        for (index, reading) in select::readings(query, recorded) {
            fold.add(&reading.name, (recorded.event.at, recorded.seq, index), &reading.value);
        }
    };
    for recorded in view.of_device(query.device) {
        add(&mut fold, &recorded);
    }
    let mut rows = ordered_chunks(query).stream(&store.readers).await.map_err(failed(READ))?;
    while let Some(row) = rows.try_next().await.map_err(failed(READ))? {
        let enough = if query.newest_first {
            fold.has_after(Timestamp::from_millis(row.last_at), query.limit)
        } else {
            fold.has_before(Timestamp::from_millis(row.first_at), query.limit)
        };
        if enough {
            break;
        }
        for recorded in rows::events(READ, row.first_seq, &row.body)? {
            if recorded.seq <= view.after() {
                add(&mut fold, &recorded);
            }
        }
    }
    Ok(fold.finish(query.newest_first, query.limit))
}

/// See [`crate::store::Store::has_message`].
pub async fn has_message(
    store: &SqlStore,
    device: DeviceNumber,
    at: Timestamp,
    identity: u64,
) -> Result<bool, StoreError> {
    let view = store.tail.view();
    if view.of_device(device).iter().any(|recorded| select::is_message(recorded, at, identity)) {
        return Ok(true);
    }
    // What chunks hold from beyond the view's `after` was in the view: no need to tell them apart.
    let mut rows = chunks::in_time(device, Some(at), Some(at.plus_millis(1)))
        .stream(&store.readers)
        .await
        .map_err(failed(READ))?;
    while let Some(row) = rows.try_next().await.map_err(failed(READ))? {
        let events = rows::events(READ, row.first_seq, &row.body)?;
        if events.iter().any(|recorded| select::is_message(recorded, at, identity)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// One statement, so that all its rows are of one moment even while chunks are written anew. Rows come by
/// the end that is met first, so no later row has anything beyond that end. Nothing is asked but the time:
/// one more condition, and SQLite takes the index for that and sorts.
fn ordered_chunks(query: &HistoryQuery) -> Select<chunk::Entity> {
    let select = chunks::in_time(query.device, query.from, query.to);
    if query.newest_first {
        select.order_by_desc(chunk::Column::LastAt)
    } else {
        select.order_by_asc(chunk::Column::FirstAt)
    }
}

/// Messages found so far.
struct Found<'a> {
    query: &'a HistoryQuery,
    messages: Vec<((Timestamp, u64), Vec<StoredReading>)>,
    readings: usize,
}

impl Found<'_> {
    fn add(&mut self, recorded: &Recorded) {
        let readings = select::stored_readings(self.query, recorded);
        if !readings.is_empty() {
            self.readings += readings.len();
            self.messages.push(((recorded.event.at, recorded.seq), readings));
        }
    }

    /// Is the limit reached by messages that nothing in `next`, or after it, can come before?
    fn is_enough_without(&self, next: &chunk::Model) -> bool {
        if self.readings < self.query.limit {
            return false;
        }
        let is_before_next = |at: Timestamp| {
            if self.query.newest_first { at.millis() > next.last_at } else { at.millis() < next.first_at }
        };
        let before = self.messages.iter().filter(|((at, _), _)| is_before_next(*at));
        before.map(|(_, readings)| readings.len()).sum::<usize>() >= self.query.limit
    }

    fn finish(mut self) -> Vec<StoredReading> {
        self.messages.sort_by_key(|(place, _)| *place);
        if self.query.newest_first {
            self.messages.reverse();
        }
        self.messages.into_iter().flat_map(|(_, readings)| readings).take(self.query.limit).collect()
    }
}
