//! Readings over time: queries, answers, and buckets of readings.

mod decimal_sum;
mod percentile;

pub use decimal_sum::DecimalSum;

use std::collections::BTreeMap;

use serde::Serialize;

use self::percentile::{SortableValue, percentile};
use super::clock::{ReadingTime, Timestamp};
use super::id::DeviceNumber;
use super::json::{EXACT, Number};
use super::reading::Scalar;

/// A question for one device's history.
#[derive(Clone, Debug)]
pub struct HistoryQuery {
    pub device: DeviceNumber,
    /// From here on, inclusive.
    pub from: Option<ReadingTime>,
    /// Up to here, exclusive.
    pub to: Option<ReadingTime>,
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
    pub timestamp: ReadingTime,
    /// The device's own time, where it is not believed: `timestamp` is then the time of arrival.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claimed_at: Option<ReadingTime>,
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
pub type ReadingPosition = (ReadingTime, u64, usize);

/// The numbers of one sensor that lie in one bucket, summed up. Booleans count as 0 and 1.
#[derive(Clone, Copy, Debug)]
pub struct SummedReadings<'a> {
    pub count: u64,
    pub min: &'a Number,
    pub max: &'a Number,
    /// The first and the last by their places.
    pub first: (ReadingPosition, &'a Number),
    pub last: (ReadingPosition, &'a Number),
    pub sum: DecimalSum,
}

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
    /// The sum while every value is a decimal that fits: exact, so that counters keep their last digits, and the same
    /// however the readings are parted.
    exact: Option<DecimalSum>,
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
        let aggregate = self.aggregate;
        self.update(place.0.floor(), sensor, number, |bucket| bucket.add(aggregate, place, number));
    }

    /// Takes many readings of one bucket in, by their sums. No percentile can be made of these.
    pub fn add_summed(&mut self, sensor: &str, summed: &SummedReadings<'_>) {
        let aggregate = self.aggregate;
        self.update(summed.first.0.0.floor(), sensor, summed.min, |bucket| {
            bucket.add_summed(aggregate, summed);
        });
    }

    /// Changes the bucket of a sensor at a time; where there is none, one that begins with `first`.
    fn update(&mut self, at: Timestamp, sensor: &str, first: &Number, change: impl FnOnce(&mut BucketState)) {
        let start = self.start_of(at);
        let sensors = self.buckets.entry(start).or_default();
        if let Some(bucket) = sensors.get_mut(sensor) {
            change(bucket);
        } else {
            let mut bucket = BucketState::new(first);
            change(&mut bucket);
            sensors.insert(sensor.into(), bucket);
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
    /// The state before the first value, which this will be.
    fn new(number: &Number) -> Self {
        let value = number.as_f64();
        Self {
            count: 0,
            min: number.clone(),
            max: number.clone(),
            min_value: value,
            max_value: value,
            sum: 0.0,
            lost: 0.0,
            exact: Some(DecimalSum::ZERO),
            edge: None,
            values: Vec::new(),
        }
    }

    fn add(&mut self, aggregate: Aggregate, place: ReadingPosition, number: &Number) {
        let value = number.as_f64();
        self.count += 1;
        self.stretch(number, value);
        match aggregate {
            Aggregate::Avg | Aggregate::Sum => self.add_to_sum(value, DecimalSum::of(number)),
            Aggregate::P50 | Aggregate::P95 => self.values.push(SortableValue::of(value, number)),
            Aggregate::First | Aggregate::Last => self.add_edge(aggregate, place, number),
            Aggregate::Min | Aggregate::Max | Aggregate::Count => {}
        }
    }

    fn add_summed(&mut self, aggregate: Aggregate, summed: &SummedReadings<'_>) {
        self.count += summed.count;
        self.stretch(summed.min, summed.min.as_f64());
        self.stretch(summed.max, summed.max.as_f64());
        match aggregate {
            Aggregate::Avg | Aggregate::Sum => self.add_to_sum(summed.sum.nearest(), Some(summed.sum)),
            Aggregate::First => self.add_edge(aggregate, summed.first.0, summed.first.1),
            Aggregate::Last => self.add_edge(aggregate, summed.last.0, summed.last.1),
            _ => {}
        }
    }

    /// Takes a value into the least and the greatest. Different doubles say which is less; counters that are the same
    /// double are told apart by their digits.
    fn stretch(&mut self, number: &Number, value: f64) {
        let is_less = |one: &Number, one_value: f64, other: &Number, other_value: f64| {
            one_value < other_value || (one_value == other_value && one_value.abs() >= EXACT && one < other)
        };
        if is_less(number, value, &self.min, self.min_value) {
            (self.min, self.min_value) = (number.clone(), value);
        }
        if is_less(&self.max, self.max_value, number, value) {
            (self.max, self.max_value) = (number.clone(), value);
        }
    }

    fn add_edge(&mut self, aggregate: Aggregate, place: ReadingPosition, number: &Number) {
        let is_before = |(edge, _): &(ReadingPosition, Number)| match aggregate {
            Aggregate::First => place < *edge,
            _ => place > *edge,
        };
        if self.edge.as_ref().is_none_or(is_before) {
            self.edge = Some((place, number.clone()));
        }
    }

    fn add_to_sum(&mut self, value: f64, number: Option<DecimalSum>) {
        self.exact = self.exact.and_then(|sum| sum.with(number?));
        let sum = self.sum + value;
        self.lost +=
            if self.sum.abs() >= value.abs() { (self.sum - sum) + value } else { (value - sum) + self.sum };
        self.sum = sum;
    }

    fn into_bucket(mut self, sensor: Box<str>, start: i64, aggregate: Aggregate) -> Bucket {
        #[expect(clippy::cast_precision_loss, reason = "nobody has 2^53 readings in a bucket")]
        let count = self.count as f64;
        let rounded = if self.sum.is_finite() { self.sum + self.lost } else { self.sum };
        let sum = self.exact.map_or(rounded, DecimalSum::nearest);
        let whole_sum = self.exact.and_then(DecimalSum::whole);
        let value = match aggregate {
            Aggregate::Avg => match whole_sum {
                Some(whole) => mean(whole, self.count),
                None => finite(sum / count),
            },
            Aggregate::Sum => match whole_sum {
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
            fold.add("t", (Timestamp::from_millis(at).into(), seq as u64, 0), &value);
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
                fold.add("n", (ReadingTime::default(), seq as u64, 0), &Scalar::Number(number));
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
            fold.add("t", (ReadingTime::default(), seq, 0), &Scalar::Number(most.clone()));
        }
        assert_eq!(fold.finish(true, 1)[0].value, most);
    }

    #[test]
    fn within_a_millisecond_the_last_is_the_latest() {
        for (word, expected) in [("first", "2"), ("last", "1")] {
            let mut fold = BucketFold::new(&query(Aggregate::parse(word).expect("an aggregate")));
            for (seq, (nanos, value)) in (0..).zip([(2, 1), (1, 2)]) {
                let at = ReadingTime::new(Timestamp::from_millis(59_999), nanos);
                fold.add("t", (at, seq, 0), &Scalar::Number(Number::from(value)));
            }
            let buckets = fold.finish(false, 10);
            assert_eq!((buckets[0].timestamp.millis(), buckets[0].value.as_str()), (0, expected), "{word}");
        }
    }

    #[test]
    fn knows_when_enough_buckets_are_complete() {
        let mut fold = BucketFold::new(&query(Aggregate::Avg));
        let at = Timestamp::from_millis;
        for minute in 0..5 {
            fold.add("t", (at(minute * 60_000).into(), 1, 0), &Scalar::Bool(true));
        }
        assert!(fold.has_after(at(2 * 60_000 + 1), 2));
        assert!(!fold.has_after(at(2 * 60_000 + 1), 3));
        assert!(fold.has_before(at(2 * 60_000), 2));
        assert!(!fold.has_before(at(2 * 60_000), 3));
    }
}
