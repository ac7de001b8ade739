//! Readings over time: queries, answers, and buckets of readings.

use std::collections::BTreeMap;

use serde::Serialize;

use super::clock::Timestamp;
use super::id::DeviceNumber;
use super::json::{EXACT, Number};
use super::reading::Scalar;

/// A question for one device's history.
#[derive(Clone, Debug)]
pub struct HistoryQuery {
    pub device: DeviceNumber,
    /// From here on, inclusive.
    pub from: Option<Timestamp>,
    /// Up to here, exclusive.
    pub to: Option<Timestamp>,
    /// Only these; empty means all.
    pub sensors: Vec<String>,
    /// Readings or buckets at most.
    pub limit: usize,
    pub newest_first: bool,
    /// Length of a bucket in ms, and the aggregate of each. Unused by raw history.
    pub interval_ms: i64,
    pub aggregate: Aggregate,
}

/// The aggregate of a bucket's numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Aggregate {
    #[default]
    Avg,
    Min,
    Max,
    Sum,
    Count,
    First,
    Last,
    /// Median.
    P50,
    /// 95th percentile.
    P95,
}

/// A reading as it was stored.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StoredReading {
    pub sensor_type: String,
    pub value: Scalar,
    pub unit: Option<String>,
    pub quality_score: Option<u8>,
    pub timestamp: Timestamp,
    /// The device's own time, where it is not believed: `timestamp` is then the time of arrival.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claimed_at: Option<Timestamp>,
    /// The place of its event; 0 where it is not to be told.
    #[serde(skip_serializing_if = "is_untold")]
    pub seq: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
fn is_untold(seq: &u64) -> bool {
    *seq == 0
}

/// One sensor's numbers within one clock-aligned interval. Booleans count as 0 and 1, texts not at all.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Bucket {
    pub sensor_type: String,
    /// The start of the interval.
    pub timestamp: Timestamp,
    pub value: Number,
    pub count: u64,
    pub min: Number,
    pub max: Number,
}

impl Aggregate {
    /// The aggregate with this name: `avg`, `min`, `max`, `sum`, `count`, `first`, `last`, `p50`, `p95`.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "avg" => Self::Avg,
            "min" => Self::Min,
            "max" => Self::Max,
            "sum" => Self::Sum,
            "count" => Self::Count,
            "first" => Self::First,
            "last" => Self::Last,
            "p50" => Self::P50,
            "p95" => Self::P95,
            _ => return None,
        })
    }
}

/// Makes buckets of readings, in whatever order they come.
#[derive(Debug)]
pub struct BucketFold {
    interval_ms: i64,
    aggregate: Aggregate,
    /// By start and sensor.
    buckets: BTreeMap<i64, BTreeMap<Box<str>, BucketState>>,
    count: usize,
}

/// The place of a reading among all of its device: its time, its message's `seq`, its place in the message.
pub type ReadingPosition = (Timestamp, u64, usize);

/// The state of one bucket so far. Only the values for its aggregate are kept.
#[derive(Debug)]
struct BucketState {
    count: u64,
    min: Number,
    max: Number,
    min_value: f64,
    max_value: f64,
    sum: f64,
    /// The rounding error of `sum` (Neumaier), so that the order of the readings makes no difference.
    lost: f64,
    /// The sum while every value is a whole number: exact, so that counters keep their last digits.
    whole_sum: Option<i128>,
    /// The first or last reading, where one of them is asked for.
    edge: Option<(ReadingPosition, Number)>,
    /// Every value, where a percentile is asked for.
    values: Vec<SortableValue>,
}

impl BucketFold {
    /// An empty fold for the interval and aggregate of `query`.
    #[must_use]
    pub fn new(query: &HistoryQuery) -> Self {
        let HistoryQuery { interval_ms, aggregate, .. } = query;
        Self { interval_ms: (*interval_ms).max(1), aggregate: *aggregate, buckets: BTreeMap::new(), count: 0 }
    }

    /// Takes one reading in. A text has no place in a bucket and is passed over.
    pub fn add(&mut self, sensor: &str, place: ReadingPosition, value: &Scalar) {
        let flag;
        let number = match value {
            Scalar::Number(number) => number,
            Scalar::Bool(value) => {
                flag = Number::from(i64::from(*value));
                &flag
            }
            Scalar::Text(_) => return,
        };
        let sensors = self.buckets.entry(self.start_of(place.0)).or_default();
        if let Some(gathered) = sensors.get_mut(sensor) {
            gathered.add(self.aggregate, place, number);
        } else {
            sensors.insert(sensor.into(), BucketState::new(self.aggregate, place, number));
            self.count += 1;
        }
    }

    /// Are there `limit` buckets that no reading at or before `until` can change any more?
    #[must_use]
    pub fn has_after(&self, until: Timestamp, limit: usize) -> bool {
        self.count >= limit
            && self.buckets.range(self.start_of(until) + 1..).map(|(_, s)| s.len()).sum::<usize>() >= limit
    }

    /// Are there `limit` buckets that no reading at or after `from` can change any more?
    #[must_use]
    pub fn has_before(&self, from: Timestamp, limit: usize) -> bool {
        self.count >= limit
            && self.buckets.range(..self.start_of(from)).map(|(_, s)| s.len()).sum::<usize>() >= limit
    }

    /// The buckets by time, within a time by sensor, `limit` at most.
    #[must_use]
    pub fn finish(self, newest_first: bool, limit: usize) -> Vec<Bucket> {
        let aggregate = self.aggregate;
        let of_time = move |(start, sensors): (i64, BTreeMap<Box<str>, BucketState>)| {
            sensors.into_iter().map(move |(sensor, gathered)| gathered.into_bucket(sensor, start, aggregate))
        };
        let by_time = self.buckets.into_iter();
        if newest_first {
            by_time.rev().flat_map(of_time).take(limit).collect()
        } else {
            by_time.flat_map(of_time).take(limit).collect()
        }
    }

    fn start_of(&self, at: Timestamp) -> i64 {
        at.millis().div_euclid(self.interval_ms).saturating_mul(self.interval_ms)
    }
}

impl BucketState {
    fn new(aggregate: Aggregate, place: ReadingPosition, number: &Number) -> Self {
        let value = number.as_f64();
        let mut gathered = Self {
            count: 0,
            min: number.clone(),
            max: number.clone(),
            min_value: value,
            max_value: value,
            sum: 0.0,
            lost: 0.0,
            whole_sum: Some(0),
            edge: None,
            values: Vec::new(),
        };
        gathered.add(aggregate, place, number);
        gathered
    }

    fn add(&mut self, aggregate: Aggregate, place: ReadingPosition, number: &Number) {
        let value = number.as_f64();
        self.count += 1;
        // Different doubles say which is less; counters that are the same double are told apart by their digits.
        let is_less = |one: &Number, one_value: f64, other: &Number, other_value: f64| {
            one_value < other_value || (one_value == other_value && one_value.abs() >= EXACT && one < other)
        };
        if is_less(number, value, &self.min, self.min_value) {
            (self.min, self.min_value) = (number.clone(), value);
        }
        if is_less(&self.max, self.max_value, number, value) {
            (self.max, self.max_value) = (number.clone(), value);
        }
        match aggregate {
            Aggregate::Avg | Aggregate::Sum => self.add_to_sum(value, number),
            Aggregate::P50 | Aggregate::P95 => self.values.push(SortableValue::of(value, number)),
            Aggregate::First if self.edge.as_ref().is_none_or(|(first, _)| place < *first) => {
                self.edge = Some((place, number.clone()));
            }
            Aggregate::Last if self.edge.as_ref().is_none_or(|(last, _)| place > *last) => {
                self.edge = Some((place, number.clone()));
            }
            Aggregate::First | Aggregate::Last | Aggregate::Min | Aggregate::Max | Aggregate::Count => {}
        }
    }

    fn add_to_sum(&mut self, value: f64, number: &Number) {
        self.whole_sum = self.whole_sum.and_then(|sum| sum.checked_add(number.as_whole()?));
        let sum = self.sum + value;
        self.lost +=
            if self.sum.abs() >= value.abs() { (self.sum - sum) + value } else { (value - sum) + self.sum };
        self.sum = sum;
    }

    fn into_bucket(mut self, sensor: Box<str>, start: i64, aggregate: Aggregate) -> Bucket {
        #[expect(clippy::cast_precision_loss, reason = "nobody has 2^53 readings in a bucket")]
        let count = self.count as f64;
        let sum = if self.sum.is_finite() { self.sum + self.lost } else { self.sum };
        let value = match aggregate {
            Aggregate::Avg => match self.whole_sum {
                Some(whole) => mean(whole, self.count),
                None => finite(sum / count),
            },
            Aggregate::Sum => match self.whole_sum {
                Some(whole) if sum.abs() >= EXACT => Number::whole(whole),
                _ => finite(sum),
            },
            Aggregate::Min => self.min.clone(),
            Aggregate::Max => self.max.clone(),
            Aggregate::Count => Number::from(self.count.cast_signed()),
            Aggregate::First | Aggregate::Last => {
                self.edge.take().map_or_else(|| self.max.clone(), |(_, number)| number)
            }
            Aggregate::P50 => percentile(&mut self.values, 50),
            Aggregate::P95 => percentile(&mut self.values, 95),
        };
        Bucket {
            sensor_type: sensor.into(),
            timestamp: Timestamp::from_millis(start),
            value,
            count: self.count,
            min: self.min,
            max: self.max,
        }
    }
}

/// A value to sort: the nearest double, and the remainder of a whole number that no double holds.
#[derive(Clone, Copy, Debug)]
struct SortableValue {
    nearest: f64,
    rest: i64,
}

impl SortableValue {
    fn of(nearest: f64, number: &Number) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "a double from 2^53 on is whole")]
        let lacks = |whole: i128| whole.saturating_sub(nearest as i128);
        let rest = if nearest.abs() >= EXACT { number.as_whole().map_or(0, lacks) } else { 0 };
        Self { nearest, rest: i64::try_from(rest).unwrap_or(0) }
    }

    fn order(&self, other: &Self) -> std::cmp::Ordering {
        self.nearest.total_cmp(&other.nearest).then(self.rest.cmp(&other.rest))
    }

    fn whole(self) -> Option<i128> {
        /// No counter is larger, and a hundred of them still fit.
        const MOST: f64 = 1e30;
        #[expect(clippy::cast_possible_truncation, reason = "whole, and below the limit")]
        let whole = self.nearest as i128;
        (self.nearest.fract() == 0.0 && self.nearest.abs() < MOST)
            .then(|| whole.saturating_add(self.rest.into()))
    }

    fn number(self) -> Number {
        match self.rest {
            0 => finite(self.nearest),
            #[expect(clippy::cast_possible_truncation, reason = "it has a rest, so it is whole")]
            rest => Number::whole((self.nearest as i128).saturating_add(rest.into())),
        }
    }
}

/// The mean of `count` whole numbers with this sum: to six places behind the point where no double is that exact.
pub(super) fn mean(sum: i128, count: u64) -> Number {
    let count = i128::from(count.max(1));
    let (whole, rest) = (sum.div_euclid(count), sum.rem_euclid(count));
    #[expect(clippy::cast_precision_loss, reason = "both are exact below 2^53")]
    if (whole.unsigned_abs() as f64) < EXACT {
        return finite(if rest == 0 { whole as f64 } else { sum as f64 / count as f64 });
    }
    const PLACES: i128 = 1_000_000;
    // A count is below 2^64, so this stays far below 2^127.
    let (whole, places) = match (rest * PLACES + count / 2) / count {
        PLACES => (whole + 1, 0),
        places => (whole, places),
    };
    // Below zero, -5 and 0.25 are -4.75.
    let (sign, whole, places) = match whole {
        ..0 if places > 0 => ("-", (whole + 1).unsigned_abs(), PLACES - places),
        ..0 => ("-", whole.unsigned_abs(), 0),
        _ => ("", whole.unsigned_abs(), places),
    };
    let text = format!("{sign}{whole}.{places:06}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    Number::parse(text).unwrap_or_else(|| Number::whole(whole.cast_signed()))
}

/// The value below which this percentage of the values lies, between two of them in proportion (SQL's
/// `percentile_cont`).
fn percentile(values: &mut [SortableValue], percent: u32) -> Number {
    values.sort_unstable_by(SortableValue::order);
    let Some(last) = values.len().checked_sub(1) else { return Number::from(0) };
    #[expect(clippy::cast_precision_loss, reason = "nobody has 2^53 readings in a bucket")]
    let place = last as f64 * (f64::from(percent) / 100.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and the last")]
    let below = place as usize;
    let (low, high) = (values[below], values[(below + 1).min(last)]);
    if place.fract() == 0.0 || low.order(&high).is_eq() {
        return low.number();
    }
    if let Some(exact) = between_whole(low, high, (last as u64 * u64::from(percent)) % 100) {
        return exact;
    }
    finite(low.nearest + (high.nearest - low.nearest) * place.fract())
}

/// The value at this percentage of the way from one whole number to another; none where doubles are as exact.
fn between_whole(low: SortableValue, high: SortableValue, percent: u64) -> Option<Number> {
    if low.nearest.abs().max(high.nearest.abs()) < EXACT {
        return None;
    }
    let (low, high) = (low.whole()?, high.whole()?);
    let way = high.checked_sub(low)?.checked_mul(percent.into())?;
    Some(mean(low.checked_mul(100)?.checked_add(way)?, 100))
}

/// A sum may leave the range of doubles; JSON has no infinity.
fn finite(value: f64) -> Number {
    Number::from_f64(value.clamp(f64::MIN, f64::MAX)).unwrap_or_else(|| Number::from(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(aggregate: Aggregate) -> HistoryQuery {
        HistoryQuery {
            device: DeviceNumber(1),
            from: None,
            to: None,
            sensors: Vec::new(),
            limit: 10,
            newest_first: false,
            interval_ms: 60_000,
            aggregate,
        }
    }

    fn check(word: &str, expected: &str) {
        let mut fold = BucketFold::new(&query(Aggregate::parse(word).expect("an aggregate")));
        let readings =
            [(61_000, "2.50"), (60_000, "4"), (119_999, "1.0"), (70_000, "true"), (70_000, "on"), (-1, "7")];
        for (seq, (at, text)) in readings.into_iter().enumerate() {
            let value = match text {
                "true" => Scalar::Bool(true),
                text => Number::parse(text).map_or_else(|| Scalar::Text(text.into()), Scalar::Number),
            };
            fold.add("t", (Timestamp::from_millis(at), seq as u64, 0), &value);
        }
        let shown: Vec<_> = fold
            .finish(false, 10)
            .into_iter()
            .map(|b| {
                let at = b.timestamp.millis();
                format!("{at}: {} of {} {}..{}", b.value.as_str(), b.count, b.min.as_str(), b.max.as_str())
            })
            .collect();
        let alone = match word {
            "count" => "1",
            "avg" | "sum" | "p50" | "p95" => "7.0",
            _ => "7",
        };
        let expected = [format!("-60000: {alone} of 1 7..7"), format!("60000: {expected} of 4 1.0..4")];
        assert_eq!(shown, expected, "{word}");
    }

    #[test]
    fn makes_of_a_bucket_what_is_asked() {
        check("avg", "2.125");
        check("sum", "8.5");
        check("min", "1.0");
        check("max", "4");
        check("count", "4");
        check("first", "4");
        check("last", "1.0");
        check("p50", "1.75");
        check("p95", "3.7749999999999995");
    }

    #[test]
    fn counters_of_64_bits_keep_their_last_digit() {
        let of = |word: &str, counters: &[&str]| {
            let mut fold = BucketFold::new(&query(Aggregate::parse(word).expect("an aggregate")));
            for (seq, text) in counters.iter().enumerate() {
                let number = Number::parse(text).expect("a number");
                fold.add("n", (Timestamp::default(), seq as u64, 0), &Scalar::Number(number));
            }
            let buckets = fold.finish(true, 1);
            buckets[0].value.as_str().to_owned()
        };
        let counters = ["9007199254740992", "9007199254740993"];
        for (word, expected) in [
            ("min", "9007199254740992"),
            ("max", "9007199254740993"),
            ("first", "9007199254740992"),
            ("last", "9007199254740993"),
            ("sum", "18014398509481985"),
            ("avg", "9007199254740992.5"),
        ] {
            assert_eq!(of(word, &counters), expected, "{word}");
        }
        assert_eq!(of("max", &["18446744073709551615", "18446744073709551614"]), "18446744073709551615");
        assert_eq!(of("min", &["-9007199254740992", "-9007199254740993"]), "-9007199254740993");
        assert_eq!(of("avg", &["-9007199254740992", "-9007199254740993"]), "-9007199254740992.5");
        assert_eq!(of("avg", &["18446744073709551615"; 3]), "18446744073709551615");
        assert_eq!(
            of("p50", &["9007199254740995", "9007199254740993", "9007199254740991"]),
            "9007199254740993"
        );
        assert_eq!(of("p50", &["9007199254740992", "9007199254740993"]), "9007199254740992.5");
        assert_eq!(of("p50", &["18446744073709551615", "18446744073709551613"]), "18446744073709551614");
        assert_eq!(of("p95", &["-9007199254740993", "-9007199254740995"]), "-9007199254740993.1");
        assert_eq!(of("p50", &["1e300", "3e300"]), "2e+300");
        assert_eq!(of("sum", &["1e300", "1"]), "1e+300", "what is too long for whole numbers is a double");
        assert_eq!(of("avg", &["1", "2"]), "1.5");
    }

    #[test]
    fn sums_do_not_leave_the_range_of_numbers() {
        let mut fold = BucketFold::new(&query(Aggregate::Sum));
        let most = Number::from_f64(f64::MAX).expect("finite");
        for seq in 0..3 {
            fold.add("t", (Timestamp::default(), seq, 0), &Scalar::Number(most.clone()));
        }
        assert_eq!(fold.finish(true, 1)[0].value, most);
    }

    #[test]
    fn knows_when_enough_buckets_are_complete() {
        let mut fold = BucketFold::new(&query(Aggregate::Avg));
        let at = Timestamp::from_millis;
        for minute in 0..5 {
            fold.add("t", (at(minute * 60_000), 1, 0), &Scalar::Bool(true));
        }
        assert!(fold.has_after(at(2 * 60_000 + 1), 2));
        assert!(!fold.has_after(at(2 * 60_000 + 1), 3));
        assert!(fold.has_before(at(2 * 60_000), 2));
        assert!(!fold.has_before(at(2 * 60_000), 3));
    }
}
