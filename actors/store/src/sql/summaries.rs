//! Aggregates of chunks that lie within one bucket: by their summaries, without a look into their content.

use sea_orm::sea_query::{CaseStatement, Condition, Expr, ExprTrait};
use sea_orm::{ColumnTrait, Select, SelectModel, Selector};

use super::chunks::{self, Stretch};
use super::entities::chunk;
use super::rows::{self, int};
use crate::history::{Edge, NumberSummary, NumberSums, SeriesSummary, Summary};
use crate::{StoreError, select};
use twinhub_domain::series::{
    Aggregate, BucketFold, DecimalSum, HistoryQuery, Interval, ReadingPosition, SummedReadings,
};
use twinhub_domain::{ReadingTime, Timestamp};

/// `chunks` for a query of buckets, with no content where a summary does. All of such a chunk is asked for, is within
/// one bucket and is compacted `until` there.
pub fn chunks(
    query: &HistoryQuery,
    chunks: Select<chunk::Entity>,
    until: u64,
) -> Selector<SelectModel<Stretch>> {
    if query.aggregate.needs_readings() || query.min_quality.is_some() {
        return chunks::stretches(chunks).into_model();
    }
    let (first_at, last_at) = (|| Expr::col(chunk::Column::FirstAt), || Expr::col(chunk::Column::LastAt));
    let does = Condition::all()
        .add(chunk::Column::Summary.is_not_null())
        .add(chunk::Column::LastSeq.lte(int(until)))
        .add_option(query.from.map(|from| first_at().gte(from.ceil().millis())))
        .add_option(query.to.map(|to| last_at().lt(to.floor().millis())));
    let does = match query.interval {
        Some(Interval::Fixed(ms)) => {
            let ms = Ord::max(ms, 1);
            // A database divides towards zero; before 1970 buckets begin on the other side.
            does.add(first_at().gte(0i64)).add(first_at().div(ms).eq(last_at().div(ms)))
        }
        // No database knows the calendar: see [`is_in_one_bucket`].
        Some(Interval::Local(..)) => does,
        None => does.add(Expr::val(false)),
    };
    let none: Vec<u8> = Vec::new();
    let content = CaseStatement::new().case(does, none).finally(chunks::content());
    chunks::stretches_with(chunks, content.into()).into_model()
}

/// `chunks` for statistics between two times, with no content where a summary does: where all of the chunk is between
/// them and is compacted `until` there.
pub fn between(
    (from, to): (ReadingTime, ReadingTime),
    chunks: Select<chunk::Entity>,
    until: u64,
) -> Selector<SelectModel<Stretch>> {
    let within = Condition::all()
        .add(chunk::Column::FirstAt.gte(from.ceil().millis()))
        .add(chunk::Column::LastAt.lt(to.floor().millis()));
    without_content(chunks, until, within)
}

/// The same for a count of readings.
pub fn counted(chunks: Select<chunk::Entity>, until: u64) -> Selector<SelectModel<Stretch>> {
    without_content(chunks, until, Condition::all())
}

/// `chunks` with no content where there is a summary, and `also` is so.
fn without_content(
    chunks: Select<chunk::Entity>,
    until: u64,
    also: Condition,
) -> Selector<SelectModel<Stretch>> {
    let does = Condition::all()
        .add(chunk::Column::Summary.is_not_null())
        .add(chunk::Column::LastSeq.lte(int(until)))
        .add(also);
    let none: Vec<u8> = Vec::new();
    let content = CaseStatement::new().case(does, none).finally(chunks::content());
    chunks::stretches_with(chunks, content.into()).into_model()
}

/// The number of readings of a chunk, by its summary.
pub fn count(operation: &'static str, chunk: &Stretch) -> Result<u64, StoreError> {
    Ok(decode(operation, chunk)?.series.values().map(SeriesSummary::count).sum())
}

/// Does a chunk have readings that are asked for, by its summary?
pub fn has_asked(operation: &'static str, query: &HistoryQuery, chunk: &Stretch) -> Result<bool, StoreError> {
    Ok(decode(operation, chunk)?.series.keys().any(|name| select::is_asked(query, name)))
}

/// Is all of a chunk within one bucket of `query`?
pub fn is_in_one_bucket(query: &HistoryQuery, chunk: &Stretch) -> bool {
    let bucket = |at| query.interval.map(|interval| interval.start_of(Timestamp::from_millis(at)));
    bucket(chunk.first_at) == bucket(chunk.last_at)
}

pub fn decode(operation: &'static str, chunk: &Stretch) -> Result<Summary, StoreError> {
    let summary = chunk.summary.as_deref().unwrap_or_default();
    Summary::decode(summary).map_err(rows::damaged(operation, chunk.first_seq))
}

/// Takes in the readings of a chunk by its summary. False where their sum is not known exactly and is asked for: then
/// nothing is taken in.
pub fn add(
    operation: &'static str,
    query: &HistoryQuery,
    fold: &mut BucketFold,
    chunk: &Stretch,
) -> Result<bool, StoreError> {
    let summary = decode(operation, chunk)?;
    let is_summed = matches!(query.aggregate, Aggregate::Avg | Aggregate::Sum);
    let asked = || {
        let numbers = summary.series.iter().filter(|(name, _)| select::is_asked(query, name));
        numbers.filter_map(|(name, series)| Some((name, series.numbers.as_ref()?)))
    };
    if is_summed && asked().any(|(_, numbers)| sum_of(numbers.sums).is_none()) {
        for (name, numbers) in asked() {
            fold.expect(name, numbers.first.at, &numbers.min); // the bucket counts already
        }
        return Ok(false);
    }
    for (name, NumberSummary { count, min, max, first, last, sums, .. }) in asked() {
        let place = |edge: &Edge| -> ReadingPosition { (ReadingTime::new(edge.at, edge.nanos), edge.seq, 0) };
        let sum = sum_of(*sums).unwrap_or(DecimalSum::ZERO);
        let (first, last) = ((place(first), &first.value), (place(last), &last.value));
        fold.add_summed(name, &SummedReadings { count: *count, min, max, first, last, sum });
    }
    Ok(true)
}

fn sum_of(sums: NumberSums) -> Option<DecimalSum> {
    match sums {
        NumberSums::Exact { scale, sum, .. } | NumberSums::ExactSum { scale, sum, .. } => {
            DecimalSum::new(sum, scale)
        }
        NumberSums::Rounded { .. } => None,
    }
}
