//! Chunks: stretches of one device's readings, each a row. They are as they will stay, and carry a summary.
//!
//! All of a chunk is of one day (UTC), which bounds how far back from a moment the chunks that may hold it begin, and it
//! begins and ends where an hour does, as far as its size allows: a day's or an hour's aggregate needs its summary
//! alone. Messages that come late make chunks overlap in time; readers sort.

use std::cmp::Ordering;
use std::ops::Range;

use sea_orm::sea_query::{Expr, Func};
use sea_orm::{
    ColumnTrait, DatabaseTransaction, EntityTrait, FromQueryResult, QueryFilter, QuerySelect, Select,
    TransactionTrait,
};

use super::entities::{chunk, piece};
use super::rows::{self, failed, int};
use super::write::WriteSql;
use super::{SqlStore, write};
use crate::{StoreError, history};
use twinhub_domain::{DeviceNumber, EventBody, ReadingTime, Recorded, Scalar, Timestamp};

/// Messages in a chunk at most. In tests few, so that a few messages fill several.
pub const MOST_MESSAGES: usize = if cfg!(test) { 8 } else { 1_024 };
/// With as many, a chunk ends at the next full hour.
const ENOUGH_MESSAGES: usize = MOST_MESSAGES / 4;
/// A chunk with larger messages is full earlier.
const MOST_BYTES: usize = 64 * 1024;
const HOUR_MS: i64 = 60 * 60 * 1000;
pub const DAY_MS: i64 = 24 * HOUR_MS;

/// A stretch of a device's messages as it is read, from a chunk or a piece.
#[derive(Debug, FromQueryResult)]
pub struct Stretch {
    pub first_at: i64,
    pub first_seq: i64,
    pub last_at: i64,
    pub last_seq: i64,
    /// None where it has none.
    pub summary: Option<Vec<u8>>,
    /// Empty where the summary was all that was asked for.
    pub body: Vec<u8>,
}

impl Stretch {
    /// Its messages; `operation` is for the error.
    pub fn messages(&self, operation: &'static str) -> Result<Vec<Recorded>, StoreError> {
        rows::messages(operation, self.first_seq, &self.body)
    }
}

/// The messages of a chunk, whichever version wrote it.
pub fn messages(operation: &'static str, chunk: &chunk::Model) -> Result<Vec<Recorded>, StoreError> {
    rows::messages(operation, chunk.first_seq, chunk.sealed.as_deref().unwrap_or(&chunk.body))
}

/// The day (UTC) of a moment, counted from 1970.
pub fn day(at: i64) -> i64 {
    at.div_euclid(DAY_MS)
}

/// The start of the day that `at` is in: no chunk with `at` in it begins earlier.
pub fn earliest_start(at: Timestamp) -> i64 {
    day(at.millis()) * DAY_MS
}

/// All that is read with the result is of one moment, however much is merged meanwhile. To be held briefly: the log
/// does not shrink so long.
pub async fn snapshot(store: &SqlStore, operation: &'static str) -> Result<DatabaseTransaction, StoreError> {
    store.readers.begin().await.map_err(failed(operation))
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

/// The content of a chunk, whichever version wrote it.
pub fn content() -> Expr {
    Func::coalesce([Expr::col(chunk::Column::Sealed), Expr::col(chunk::Column::Body)]).into()
}

/// Chunks as stretches, with this in the place of their content.
pub fn stretches_with(select: Select<chunk::Entity>, body: Expr) -> Select<chunk::Entity> {
    use chunk::Column::{FirstAt, FirstSeq, LastAt, LastSeq, Summary};

    select.select_only().columns([FirstAt, FirstSeq, LastAt, LastSeq, Summary]).column_as(body, "body")
}

/// Chunks as stretches.
pub fn stretches(select: Select<chunk::Entity>) -> Select<chunk::Entity> {
    stretches_with(select, content())
}

/// Order within a chunk and in history: by time, and within the same time as they came.
pub fn by_time(one: &Recorded, other: &Recorded) -> Ordering {
    (one.event.at, one.seq).cmp(&(other.event.at, other.seq))
}

/// Writes chunks.
pub async fn write(sql: &DatabaseTransaction, chunks: Vec<chunk::Model>) -> Result<(), StoreError> {
    write::insert(sql, "write chunks", chunks, None).await
}

/// Removes all readings of a device.
pub async fn remove(sql: &impl WriteSql, operation: &'static str, device: i64) -> Result<(), StoreError> {
    sql.run(operation, chunk::Entity::delete_many().filter(chunk::Column::Device.eq(device))).await?;
    sql.run(operation, piece::Entity::delete_many().filter(piece::Column::Device.eq(device))).await
}

/// The row of a chunk.
pub fn row(device: DeviceNumber, messages: &[&Recorded]) -> chunk::Model {
    let Ends { first_at, first_seq, last_at, last_seq } = Ends::of(messages);
    let history::SealedChunk { body, summary } = history::encode_chunk(messages);
    chunk::Model {
        device: device.0,
        first_at,
        first_seq,
        last_at,
        last_seq,
        count: int(messages.len() as u64),
        body: Vec::new(),
        summary: Some(summary),
        sealed: Some(body),
    }
}

/// The ends of messages that are in the order of their time.
pub struct Ends {
    pub first_at: i64,
    pub first_seq: i64,
    pub last_at: i64,
    pub last_seq: i64,
}

impl Ends {
    pub fn of(messages: &[&Recorded]) -> Self {
        let at = |place: Option<&&Recorded>| place.map_or(0, |recorded| recorded.event.at.floor().millis());
        let seqs = || messages.iter().map(|recorded| int(recorded.seq));
        Self {
            first_at: at(messages.first()),
            first_seq: seqs().min().unwrap_or_default(),
            last_at: at(messages.last()),
            last_seq: seqs().max().unwrap_or_default(),
        }
    }
}

/// Parts messages of one day, in the order of their time, into chunks: these, and from where on the rest is left. None is
/// where the day `is_over`. An hour that may go on is left, unless there is so much of it that it fills a chunk.
pub fn cut(messages: &[&Recorded], is_over: bool) -> (Vec<Range<usize>>, usize) {
    let (mut chunks, mut begin) = (Vec::new(), 0);
    let mut hour_begin = 0;
    let hour = |index: usize| messages[index].event.at.floor().millis().div_euclid(HOUR_MS);
    for index in 1..=messages.len() {
        let is_end = index == messages.len();
        if !is_end && hour(index) == hour(hour_begin) {
            continue;
        }
        if is_end && !is_over {
            break;
        }
        hour_begin = index;
        if index - begin >= ENOUGH_MESSAGES || is_end {
            even(messages, begin..index, &mut chunks);
            begin = index;
        }
    }
    while !is_over && is_full(&messages[begin..]) {
        let end = begin + fits(&messages[begin..]);
        chunks.push(begin..end);
        begin = end;
    }
    (chunks, begin)
}

/// Parts a range into chunks of about the same size, as few as hold it.
fn even(messages: &[&Recorded], range: Range<usize>, chunks: &mut Vec<Range<usize>>) {
    let count = range.len().div_ceil(MOST_MESSAGES).max(1);
    let each = range.len().div_ceil(count);
    let mut begin = range.start;
    while begin < range.end {
        let end = begin + fits(&messages[begin..range.end.min(begin + each)]);
        chunks.push(begin..end);
        begin = end;
    }
}

/// Is there enough for a chunk?
pub fn is_full(messages: &[&Recorded]) -> bool {
    messages.len() >= MOST_MESSAGES
        || messages.iter().map(|message| size(message)).sum::<usize>() >= MOST_BYTES
}

/// The number of messages that fit a chunk: one at least.
pub fn fits(messages: &[&Recorded]) -> usize {
    let (mut count, mut bytes) = (0, 0);
    while count < messages.len().min(MOST_MESSAGES) && bytes < MOST_BYTES {
        bytes += size(messages[count]);
        count += 1;
    }
    count
}

/// About how many bytes a message takes, repeated texts aside.
fn size(recorded: &Recorded) -> usize {
    let EventBody::Telemetry { readings, .. } = &recorded.event.body else { return 0 };
    let text = |value: &Scalar| if let Scalar::Text(text) = value { text.len() } else { 4 };
    readings.iter().map(|reading| 4 + text(&reading.value)).sum()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::contract::support::{NOON, TestFleet};

    /// Messages of one device at these times, in the order of their time.
    fn messages(times: &[i64]) -> Vec<Arc<Recorded>> {
        let mut world = TestFleet::new();
        for at in times {
            world.tell_believed("a", &format!(r#"{{"t": 1, "timestamp": {at}}}"#));
        }
        let events = world.batch().events;
        let telemetry = |event: &&Arc<Recorded>| matches!(event.event.body, EventBody::Telemetry { .. });
        let mut messages: Vec<_> = events.iter().filter(telemetry).cloned().collect();
        messages.sort_by(|one, other| by_time(one, other));
        messages
    }

    fn check(times: &[i64], is_over: bool, expected: &[usize], rest: usize) {
        let messages = messages(times);
        let messages: Vec<&Recorded> = messages.iter().map(|message| &**message).collect();
        let (chunks, begin) = cut(&messages, is_over);
        let sizes: Vec<usize> = chunks.iter().map(ExactSizeIterator::len).collect();
        assert_eq!((&*sizes, messages.len() - begin), (expected, rest), "{times:?}, over: {is_over}");
    }

    #[test]
    fn chunks_end_with_an_hour_once_they_have_enough() {
        let every = |minutes: i64, count: i64| -> Vec<i64> {
            (0..count).map(|n| NOON + n * minutes * 60_000).collect()
        };
        check(&[], false, &[], 0);
        check(&[], true, &[], 0);
        check(&[NOON], false, &[], 1);
        check(&[NOON], true, &[1], 0);
        check(&every(10, 7), false, &[6], 1);
        check(&every(10, 7), true, &[6, 1], 0);
        // One an hour: two make enough.
        check(&every(60, 5), false, &[2, 2], 1);
        check(&every(60, 5), true, &[2, 2, 1], 0);
        // More in an hour than fit a chunk.
        check(&every(5, 12), false, &[8], 4);
        check(&every(5, 13), false, &[6, 6], 1);
        check(&every(5, 12), true, &[6, 6], 0);
        check(&every(1, 25), false, &[8, 8, 8], 1);
        check(&every(1, 25), true, &[7, 7, 7, 4], 0);
    }

    proptest! {
        #[test]
        fn each_message_is_in_one_chunk_or_left(
            mut times in prop::collection::vec(NOON..NOON + DAY_MS / 2, 0..60),
            is_over in any::<bool>(),
        ) {
            times.dedup();
            let messages = messages(&times);
            let messages: Vec<&Recorded> = messages.iter().map(|message| &**message).collect();
            let (chunks, rest) = cut(&messages, is_over);
            let mut next = 0;
            for range in chunks {
                prop_assert!(range.start == next && range.end > next && range.len() <= MOST_MESSAGES);
                next = range.end;
            }
            prop_assert_eq!(rest, next);
            prop_assert!(!is_over || rest == messages.len());
        }
    }
}
