//! Chunks: stretches of one device's readings, each a row.
//!
//! All of a chunk is of one day (UTC), which bounds how far back from a moment the chunks that may hold it begin.
//! Messages that come late make chunks overlap in time; readers sort.

use std::cmp::Ordering;
use std::sync::Arc;

use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseConnection, DatabaseTransaction, EntityTrait, QueryFilter,
    QueryOrder, Select,
};

use super::entities::chunk;
use super::rows::{self, failed, int};
use super::write;
use crate::layers::LayerCache;
use crate::{StoreError, codec};
use twinhub_domain::{DeviceNumber, ReadingTime, Recorded, Timestamp};

/// Messages in a chunk at most. Some 6 kB for ordinary devices: more makes each addition to a device's last
/// chunk cost more, fewer makes more rows to look up. In tests few, so that a few messages fill several.
pub const MOST_MESSAGES: usize = if cfg!(test) { 8 } else { 256 };
/// A chunk with larger messages is full earlier.
const MOST_BYTES: usize = 64 * 1024;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

const WRITE: &str = "write chunks";

/// Chunks to write, in the place of the one that they begin with.
pub struct Rewrite {
    replaced: Option<(i64, i64)>,
    chunks: Vec<chunk::Model>,
}

/// The start of the day that `at` is in: no chunk with `at` in it begins earlier.
pub fn earliest_start(at: Timestamp) -> i64 {
    day(at) * DAY_MS
}

/// Chunks of `device` that may hold messages of `from <= at < to`.
pub fn in_time(
    device: DeviceNumber,
    from: Option<ReadingTime>,
    to: Option<ReadingTime>,
) -> Select<chunk::Entity> {
    let mut select = chunk::Entity::find().filter(chunk::Column::Device.eq(device.0));
    // Chunks are found by the milliseconds of their ends.
    if let Some(from) = from.map(ReadingTime::floor) {
        select = select
            .filter(chunk::Column::FirstAt.gte(earliest_start(from)))
            .filter(chunk::Column::LastAt.gte(from.millis()));
    }
    if let Some(to) = to.map(ReadingTime::ceil) {
        // Both bounds on both columns, so that either order can be walked by its index.
        let beyond = earliest_start(to).saturating_add(DAY_MS);
        select =
            select.filter(chunk::Column::FirstAt.lt(to.millis())).filter(chunk::Column::LastAt.lt(beyond));
    }
    select
}

/// Order within a chunk and in history: by time, and within the same time as they came.
pub fn by_time(one: &Recorded, other: &Recorded) -> Ordering {
    (one.event.at, one.seq).cmp(&(other.event.at, other.seq))
}

/// Makes chunks of new `readings` of one device: those of a day's last chunk are merged with it. There is none where
/// there is no `reader` to look for it.
pub async fn prepare(
    reader: Option<&DatabaseConnection>,
    device: DeviceNumber,
    mut readings: Vec<Arc<Recorded>>,
) -> Result<Vec<Rewrite>, StoreError> {
    readings.sort_by(|one, other| by_time(one, other));
    let mut rewrites = Vec::new();
    for of_day in readings.chunk_by(|one, other| day(one.event.at.floor()) == day(other.event.at.floor())) {
        let Some(first) = of_day.first() else { continue };
        let last = match reader {
            Some(reader) => last_of_day(reader, device, first.event.at.floor()).await?,
            None => None,
        };
        let open =
            last.filter(|chunk| chunk.count < int(MOST_MESSAGES as u64) && chunk.body.len() < MOST_BYTES);
        let before = match &open {
            Some(chunk) => rows::messages("read chunk", chunk.first_seq, &chunk.body)?,
            None => Vec::new(),
        };
        let mut messages: Vec<&Recorded> = before.iter().chain(of_day.iter().map(|event| &**event)).collect();
        messages.sort_by(|one, other| by_time(one, other));
        let chunks = pieces(&messages).map(|piece| row(device, piece)).collect();
        rewrites.push(Rewrite { replaced: open.map(|chunk| (chunk.first_at, chunk.first_seq)), chunks });
    }
    Ok(rewrites)
}

/// Writes the result of [`prepare`].
pub async fn write(sql: &DatabaseTransaction, rewrites: Vec<Rewrite>) -> Result<(), StoreError> {
    use chunk::Column::{Body, Count, Device, FirstAt, FirstSeq, LastAt, LastSeq};

    let mut rows = Vec::new();
    for Rewrite { replaced, chunks } in rewrites {
        if let (Some(replaced), Some(first)) = (replaced, chunks.first())
            && replaced != (first.first_at, first.first_seq)
        {
            let key = (first.device, replaced.0, replaced.1);
            chunk::Entity::delete_by_id(key).exec(sql).await.map_err(failed(WRITE))?;
        }
        rows.extend(chunks);
    }
    let overwrite = OnConflict::columns([Device, FirstAt, FirstSeq])
        .update_columns([LastAt, LastSeq, Count, Body])
        .to_owned();
    write::insert(sql, WRITE, rows, Some(overwrite)).await
}

/// Deletes chunks that end before `until`, of devices numbered `from` to `to` (exclusive).
pub async fn delete_old(
    sql: &impl ConnectionTrait,
    devices: (i64, i64),
    until: Timestamp,
) -> Result<u64, StoreError> {
    chunk::Entity::delete_many()
        .filter(chunk::Column::Device.gte(devices.0))
        .filter(chunk::Column::Device.lt(devices.1))
        .filter(chunk::Column::LastAt.lt(until.millis()))
        .exec(sql)
        .await
        .map(|done| done.rows_affected)
        .map_err(failed("delete old readings"))
}

async fn last_of_day(
    reader: &DatabaseConnection,
    device: DeviceNumber,
    at: Timestamp,
) -> Result<Option<chunk::Model>, StoreError> {
    let start = earliest_start(at);
    chunk::Entity::find()
        .filter(chunk::Column::Device.eq(device.0))
        .filter(chunk::Column::FirstAt.gte(start))
        .filter(chunk::Column::FirstAt.lt(start.saturating_add(DAY_MS)))
        .order_by_desc(chunk::Column::FirstAt)
        .order_by_desc(chunk::Column::FirstSeq)
        .one(reader)
        .await
        .map_err(failed("read chunk"))
}

/// Messages by chunk: [`MOST_MESSAGES`] each, fewer where they are large.
fn pieces<'a, 'b>(messages: &'a [&'b Recorded]) -> impl Iterator<Item = &'a [&'b Recorded]> {
    let mut rest = messages;
    std::iter::from_fn(move || {
        let (mut count, mut bytes) = (0, 0);
        while count < rest.len().min(MOST_MESSAGES) && bytes < MOST_BYTES {
            bytes += size(rest[count]);
            count += 1;
        }
        let (piece, left) = rest.split_at(count);
        rest = left;
        (!piece.is_empty()).then_some(piece)
    })
}

/// About how many bytes a message takes, repeated texts aside.
fn size(recorded: &Recorded) -> usize {
    use twinhub_domain::{EventBody, Scalar};
    let EventBody::Telemetry { readings, .. } = &recorded.event.body else { return 0 };
    let text = |value: &Scalar| if let Scalar::Text(text) = value { text.len() } else { 4 };
    readings.iter().map(|reading| 4 + text(&reading.value)).sum()
}

fn row(device: DeviceNumber, messages: &[&Recorded]) -> chunk::Model {
    let at = |place: Option<&&Recorded>| place.map_or(0, |recorded| recorded.event.at.floor().millis());
    let seqs = || messages.iter().map(|recorded| int(recorded.seq));
    chunk::Model {
        device: device.0,
        first_at: at(messages.first()),
        first_seq: seqs().min().unwrap_or_default(),
        last_at: at(messages.last()),
        last_seq: seqs().max().unwrap_or_default(),
        count: int(messages.len() as u64),
        body: codec::encode(messages.iter().copied(), &LayerCache::default()), // readings name no layers
    }
}

fn day(at: Timestamp) -> i64 {
    at.millis().div_euclid(DAY_MS)
}
