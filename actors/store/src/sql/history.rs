//! Readings over time: chunks, pieces and the memtable as one.

use std::collections::HashSet;

use futures_util::TryStreamExt;
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, Select, SelectModel, Selector,
    StreamTrait,
};

use super::chunks::{self, Stretch};
use super::entities::{chunk, piece};
use super::rows::failed;
use super::{SqlStore, pieces, summaries, write};
use crate::{StoreError, select};
use twinhub_domain::series::{Bucket, BucketFold, HistoryQuery, StoredReading};
use twinhub_domain::{DeviceNumber, ReadingTime, Recorded, Timestamp};

const READ: &str = "read history";
/// Messages whose times are nearer to each other than this are looked for together.
const TOGETHER_MS: i64 = 3_600_000;

/// See [`crate::Store::raw_history`].
pub async fn raw(store: &SqlStore, query: &HistoryQuery) -> Result<Vec<StoredReading>, StoreError> {
    let mut found = FoundMessages { query, messages: Vec::new(), readings: 0 };
    let view = store.memtable.view();
    for recorded in view.of_device(query.device) {
        found.add(&recorded);
    }
    let sql = chunks::snapshot(store, READ).await?;
    let chunks = chunks::stretches(chunks_by_time(query)).into_model();
    for selected in [pieces_by_time(query), chunks] {
        let mut rows = selected.stream(&sql).await.map_err(failed(READ))?;
        while let Some(row) = rows.try_next().await.map_err(failed(READ))? {
            if found.is_enough_without(&row) {
                break;
            }
            if !query.sensors.is_empty() && row.summary.is_some() && !summaries::has_asked(READ, query, &row)?
            {
                continue;
            }
            for recorded in row.messages(READ)? {
                if recorded.seq <= view.after() {
                    found.add(&recorded);
                }
            }
        }
    }
    Ok(found.finish())
}

/// See [`crate::Store::bucket_history`].
pub async fn buckets(store: &SqlStore, query: &HistoryQuery) -> Result<Vec<Bucket>, StoreError> {
    let mut fold = BucketFold::new(query);
    let view = store.memtable.view();
    for recorded in view.of_device(query.device) {
        add_message(query, &mut fold, &recorded);
    }
    let sql = chunks::snapshot(store, READ).await?;
    let mut unknown = Vec::new();
    for selected in [pieces_by_time(query), summaries::chunks(query, chunks_by_time(query), view.after())] {
        let mut rows = selected.stream(&sql).await.map_err(failed(READ))?;
        while let Some(row) = rows.try_next().await.map_err(failed(READ))? {
            let enough = if query.newest_first {
                fold.has_after(Timestamp::from_millis(row.last_at), query.limit)
            } else {
                fold.has_before(Timestamp::from_millis(row.first_at), query.limit)
            };
            if enough {
                break;
            }
            if row.body.is_empty() {
                if !summaries::is_in_one_bucket(query, &row) || !summaries::add(READ, query, &mut fold, &row)?
                {
                    unknown.push(row.first_seq);
                }
                continue;
            }
            for recorded in row.messages(READ)? {
                if recorded.seq <= view.after() {
                    add_message(query, &mut fold, &recorded);
                }
            }
        }
    }
    let readings = |recorded: &Recorded| add_message(query, &mut fold, recorded);
    of_chunks(&sql, query.device, &unknown, readings).await?;
    drop(sql); // a lookup takes a connection of its own
    for (sensor, start) in fold.first_buckets(query.newest_first, query.limit) {
        let last = raw(store, &select::last_before(query, &sensor, start)).await?;
        if let Some((at, value)) = last.first().and_then(StoredReading::number) {
            fold.set_before(sensor, at, value);
        }
    }
    Ok(fold.finish(query.newest_first, query.limit))
}

/// Gives the messages of those chunks of a device that begin at these places in the sequence.
pub(super) async fn of_chunks(
    sql: &(impl ConnectionTrait + StreamTrait),
    device: DeviceNumber,
    first_seqs: &[i64],
    mut take: impl FnMut(&Recorded),
) -> Result<(), StoreError> {
    for some in first_seqs.chunks(write::AT_ONCE) {
        let chunks = chunk::Entity::find()
            .filter(chunk::Column::Device.eq(device.0))
            .filter(chunk::Column::FirstSeq.is_in(some.iter().copied()));
        let mut rows =
            chunks::stretches(chunks).into_model::<Stretch>().stream(sql).await.map_err(failed(READ))?;
        while let Some(row) = rows.try_next().await.map_err(failed(READ))? {
            row.messages(READ)?.iter().for_each(&mut take);
        }
    }
    Ok(())
}

fn add_message(query: &HistoryQuery, fold: &mut BucketFold, recorded: &Recorded) {
    for (index, reading) in select::readings(query, recorded) {
        fold.add(&reading.name, (recorded.event.at, recorded.seq, index), &reading.value);
    }
}

/// See [`crate::Store::has_messages`].
pub async fn has_messages(
    store: &SqlStore,
    device: DeviceNumber,
    messages: &[(ReadingTime, u64)],
) -> Result<HashSet<u64>, StoreError> {
    let mut wanted: HashSet<_> = messages.iter().copied().collect();
    let view = store.memtable.view();
    let mut found: HashSet<u64> =
        view.of_device(device).iter().filter_map(|recorded| select::message(recorded, &wanted)).collect();
    wanted.retain(|(_, identity)| !found.contains(identity));
    let mut times: Vec<ReadingTime> = wanted.iter().map(|(at, _)| *at).collect();
    if times.is_empty() {
        return Ok(found);
    }
    times.sort_unstable();
    let sql = chunks::snapshot(store, READ).await?;
    // Messages that lie far apart are asked for apart: between them may be years of readings.
    for near in times.chunk_by(|one, next| next.floor().millis() - one.floor().millis() < TOGETHER_MS) {
        let (Some(first), Some(last)) = (near.first(), near.last()) else { continue };
        // Readings from beyond the view's `after` were in the view: no need to tell them apart.
        let (from, to) = (Some(*first), Some(last.next()));
        let pieces = pieces::stretches(pieces::in_time(device, from, to)).into_model::<Stretch>();
        let chunks = chunks::stretches(chunks::in_time(device, from, to)).into_model::<Stretch>();
        for selected in [pieces, chunks] {
            let mut rows = selected.stream(&sql).await.map_err(failed(READ))?;
            while let Some(row) = rows.try_next().await.map_err(failed(READ))? {
                let after = near.partition_point(|at| at.floor().millis() < row.first_at);
                if near.get(after).is_some_and(|at| at.floor().millis() <= row.last_at) {
                    let events = row.messages(READ)?;
                    found.extend(events.iter().filter_map(|recorded| select::message(recorded, &wanted)));
                }
            }
        }
    }
    Ok(found)
}

/// Rows come by the end that is met first, so no later row has anything beyond that end. Nothing is asked but the time:
/// one more condition, and SQLite takes the index for that and sorts.
pub(super) fn chunks_by_time(query: &HistoryQuery) -> Select<chunk::Entity> {
    let select = chunks::in_time(query.device, query.from, query.to);
    if query.newest_first {
        select.order_by_desc(chunk::Column::LastAt)
    } else {
        select.order_by_asc(chunk::Column::FirstAt)
    }
}

/// The same of pieces: they are few, and sorted.
pub(super) fn pieces_by_time(query: &HistoryQuery) -> Selector<SelectModel<Stretch>> {
    let select = pieces::stretches(pieces::in_time(query.device, query.from, query.to));
    let select = if query.newest_first {
        select.order_by_desc(piece::Column::LastAt)
    } else {
        select.order_by_asc(piece::Column::FirstAt)
    };
    select.into_model()
}

/// Messages found so far.
struct FoundMessages<'a> {
    query: &'a HistoryQuery,
    messages: Vec<((ReadingTime, u64), Vec<StoredReading>)>,
    readings: usize,
}

impl FoundMessages<'_> {
    fn add(&mut self, recorded: &Recorded) {
        let readings = select::stored_readings(self.query, recorded);
        if !readings.is_empty() {
            self.readings += readings.len();
            self.messages.push(((recorded.event.at, recorded.seq), readings));
        }
    }

    /// Is the limit reached by messages that nothing in `next`, or after it, can come before?
    fn is_enough_without(&self, next: &Stretch) -> bool {
        if self.readings < self.query.limit {
            return false;
        }
        let is_before_next = |at: ReadingTime| {
            let millis = at.floor().millis(); // in the same one is beside it
            if self.query.newest_first { millis > next.last_at } else { millis < next.first_at }
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
