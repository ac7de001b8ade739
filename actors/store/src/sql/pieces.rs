//! Pieces: stretches of one device's readings as they were put into order, until they are merged into chunks.
//!
//! A making of order adds a piece to each device that spoke and reads nothing of what is there. A device has a few dozen
//! pieces at most ([`plan`]); readers read all of them, and of the chunks what they need, at one moment
//! ([`chunks::snapshot`]): a reading is in one or the other.
//!
//! # How often a reading is written anew
//! Pieces of a day are merged once there are [`MOST_PIECES`] of them, those of that again, and into chunks once they
//! fill one or the day is over. So a reading is written once when it is put into order and twice more at most, however
//! few came at a time: 32 pieces of one message make one of 32, 32 of these a chunk of 1,024. With 16 at once the
//! index of pieces is half as long and a device of few messages is merged three times; with 64, a read of the last
//! hour looks into up to 128 rows.

use std::collections::BTreeMap;
use std::sync::Arc;

use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, DatabaseTransaction, EntityTrait, QueryFilter, QuerySelect, Select};

use super::chunks::{self, Ends};
use super::entities::{chunk, piece};
use super::rows::int;
use super::write;
use crate::{StoreError, history};
use twinhub_domain::{DeviceNumber, ReadingTime, Recorded};

/// Pieces of one day and one level at most, before they are merged.
pub const MOST_PIECES: usize = if cfg!(test) { 4 } else { 32 };
/// Of pieces that are as they were put into order.
pub const APPENDED: i64 = 0;
/// Of pieces that were made of others.
pub const MERGED: i64 = 1;

/// New rows.
#[derive(Default)]
pub struct NewRows {
    pub pieces: Vec<piece::Model>,
    pub chunks: Vec<chunk::Model>,
}

impl NewRows {
    /// Adds another's.
    pub fn extend(&mut self, other: Self) {
        self.pieces.extend(other.pieces);
        self.chunks.extend(other.chunks);
    }

    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty() && self.chunks.is_empty()
    }

    /// Writes them.
    pub async fn write(self, sql: &DatabaseTransaction) -> Result<(), StoreError> {
        write::insert(sql, "write pieces", self.pieces, None).await?;
        chunks::write(sql, self.chunks).await
    }
}

/// Rows of new `readings` of one device: a piece of each day, and chunks where there is enough for them.
pub fn append(device: DeviceNumber, mut readings: Vec<Arc<Recorded>>) -> NewRows {
    readings.sort_by(|one, other| chunks::by_time(one, other));
    let day = |recorded: &Recorded| chunks::day(recorded.event.at.floor().millis());
    let mut new = NewRows::default();
    for of_day in readings.chunk_by(|one, other| day(one) == day(other)) {
        let messages: Vec<&Recorded> = of_day.iter().map(|event| &**event).collect();
        if chunks::is_full(&messages) {
            new.extend(part(device, &messages, false, APPENDED));
        } else {
            new.pieces.push(row(device, &messages, APPENDED));
        }
    }
    new
}

/// Parts messages of one day, in the order of their time, into chunks, and a piece of this level of what is left.
pub fn part(device: DeviceNumber, messages: &[&Recorded], is_over: bool, level: i64) -> NewRows {
    let (ranges, mut left) = chunks::cut(messages, is_over);
    let mut new = NewRows::default();
    new.chunks.extend(ranges.into_iter().map(|range| chunks::row(device, &messages[range])));
    while left < messages.len() {
        let end = left + chunks::fits(&messages[left..]);
        new.pieces.push(row(device, &messages[left..end], level));
        left = end;
    }
    new
}

fn row(device: DeviceNumber, messages: &[&Recorded], level: i64) -> piece::Model {
    let Ends { first_at, first_seq, last_at, last_seq } = Ends::of(messages);
    piece::Model {
        device: device.0,
        first_at,
        first_seq,
        last_at,
        last_seq,
        level,
        count: int(messages.len() as u64),
        body: history::encode_chunk(messages).body,
    }
}

/// Pieces of `device` that may hold messages of `from <= at < to`.
pub fn in_time(
    device: DeviceNumber,
    from: Option<ReadingTime>,
    to: Option<ReadingTime>,
) -> Select<piece::Entity> {
    let mut select = piece::Entity::find().filter(piece::Column::Device.eq(device.0));
    if let Some(from) = from.map(ReadingTime::floor) {
        select = select
            .filter(piece::Column::FirstAt.gte(chunks::earliest_start(from)))
            .filter(piece::Column::LastAt.gte(from.millis()));
    }
    if let Some(to) = to.map(ReadingTime::ceil) {
        select = select.filter(piece::Column::FirstAt.lt(to.millis()));
    }
    select
}

/// Pieces as stretches. They have no summary.
pub fn stretches(select: Select<piece::Entity>) -> Select<piece::Entity> {
    use piece::Column::{Body, FirstAt, FirstSeq, LastAt, LastSeq};

    let none: Option<Vec<u8>> = None;
    let columns = select.select_only().columns([FirstAt, FirstSeq, LastAt, LastSeq, Body]);
    columns.column_as(Expr::val(none), "summary")
}

/// A piece, as far as must be known to tell what to merge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PieceEntry {
    pub day: i64,
    pub level: i64,
    pub count: u64,
}

/// The way in which pieces of a day are merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MergeKind {
    /// Only those that are as they were put into order, to one piece.
    Gather,
    /// All, to chunks; what may go on is left as a piece.
    Seal,
    /// All, to chunks.
    SealDay,
}

/// The merges of one device's `pieces`, by day. Days before `today` are over: `and_days_over`, they are sealed too,
/// however little there is.
pub fn plan(pieces: &[PieceEntry], today: i64, and_days_over: bool) -> BTreeMap<i64, MergeKind> {
    let mut days: BTreeMap<i64, DayPieces> = BTreeMap::new();
    for PieceEntry { day, level, count } in pieces {
        let of_day = days.entry(*day).or_default();
        of_day.messages += count;
        if *level == APPENDED {
            of_day.appended += 1;
        } else {
            of_day.merged += 1;
        }
    }
    let merge = |day: i64, DayPieces { appended, merged, messages }: DayPieces| {
        let is_much = messages >= chunks::MOST_MESSAGES as u64 || merged >= MOST_PIECES;
        let is_over = day < today;
        if is_over && (and_days_over || is_much) {
            Some(MergeKind::SealDay)
        } else if is_much {
            Some(MergeKind::Seal)
        } else {
            (appended >= MOST_PIECES).then_some(MergeKind::Gather)
        }
    };
    days.into_iter().filter_map(|(day, pieces)| Some((day, merge(day, pieces)?))).collect()
}

/// The pieces of a day, counted.
#[derive(Clone, Copy, Default)]
struct DayPieces {
    appended: usize,
    merged: usize,
    messages: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pieces: &[(i64, i64, u64)], and_days_over: bool, expected: &[(i64, MergeKind)]) {
        let entry =
            |(day, level, count): &(i64, i64, u64)| PieceEntry { day: *day, level: *level, count: *count };
        let pieces: Vec<PieceEntry> = pieces.iter().map(entry).collect();
        let planned: Vec<_> = plan(&pieces, 7, and_days_over).into_iter().collect();
        assert_eq!(planned, expected, "{pieces:?}, days over too: {and_days_over}");
    }

    #[test]
    fn pieces_are_merged_when_they_are_many_or_their_day_is_over() {
        check(&[], true, &[]);
        check(&[(7, APPENDED, 1); 3], true, &[]);
        check(&[(7, APPENDED, 1); 4], false, &[(7, MergeKind::Gather)]);
        check(&[(7, APPENDED, 2); 4], false, &[(7, MergeKind::Seal)]);
        check(&[(7, APPENDED, 1), (7, MERGED, 4), (7, MERGED, 2)], true, &[]);
        check(&[(7, MERGED, 1); 4], false, &[(7, MergeKind::Seal)]);
        check(&[(7, MERGED, 8)], false, &[(7, MergeKind::Seal)]);
        check(&[(8, APPENDED, 1); 4], true, &[(8, MergeKind::Gather)]); // a clock that is ahead
        check(&[(6, APPENDED, 1)], false, &[]);
        check(&[(6, APPENDED, 1)], true, &[(6, MergeKind::SealDay)]);
        check(&[(6, APPENDED, 1); 4], false, &[(6, MergeKind::Gather)]);
        check(&[(6, MERGED, 1); 4], false, &[(6, MergeKind::SealDay)]);
        let days = [(5, MERGED, 1), (6, APPENDED, 1), (7, APPENDED, 1)];
        check(&days, true, &[(5, MergeKind::SealDay), (6, MergeKind::SealDay)]);
    }
}
