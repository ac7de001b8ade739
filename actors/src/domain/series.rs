//! Readings over time: what is asked, what is answered, and how readings become buckets.

use std::collections::BTreeMap;

use serde::Serialize;

use super::clock::Timestamp;
use super::id::DeviceNumber;
use super::json::Number;
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
    /// Length of a bucket in ms, and what is made of each. Unused by raw history.
    pub interval_ms: i64,
    pub aggregate: Aggregate,
}

/// What is made of a bucket's numbers.
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
    /// The time that the device said, where it is not believed: `timestamp` is when the reading came then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claimed_at: Option<Timestamp>,
    pub seq: u64,
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
    buckets: BTreeMap<i64, BTreeMap<Box<str>, Gathered>>,
    count: usize,
}

/// The place of a reading among all of its device: its time, its message's `seq`, its place in the message.
pub type Place = (Timestamp, u64, usize);

/// What is known of one bucket so far. Only what its aggregate needs is kept.
#[derive(Debug)]
struct Gathered {
    count: u64,
    min: Number,
    max: Number,
    min_value: f64,
    max_value: f64,
    sum: f64,
    /// What `sum` lost by rounding (Neumaier), so that the order of the readings makes no difference.
    lost: f64,
    /// The first or last reading, where one of them is asked for.
    edge: Option<(Place, Number)>,
    /// Every value, where a percentile is asked for.
    values: Vec<f64>,
}

impl BucketFold {
    /// An empty fold for the interval and aggregate of `query`.
    #[must_use]
    pub fn new(query: &HistoryQuery) -> Self {
        let HistoryQuery { interval_ms, aggregate, .. } = query;
        Self { interval_ms: (*interval_ms).max(1), aggregate: *aggregate, buckets: BTreeMap::new(), count: 0 }
    }

    /// Takes one reading in. A text has no place in a bucket and is passed over.
    pub fn add(&mut self, sensor: &str, place: Place, value: &Scalar) {
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
            sensors.insert(sensor.into(), Gathered::new(self.aggregate, place, number));
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
        let of_time = move |(start, sensors): (i64, BTreeMap<Box<str>, Gathered>)| {
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

impl Gathered {
    fn new(aggregate: Aggregate, place: Place, number: &Number) -> Self {
        let value = number.as_f64();
        let mut gathered = Self {
            count: 0,
            min: number.clone(),
            max: number.clone(),
            min_value: value,
            max_value: value,
            sum: 0.0,
            lost: 0.0,
            edge: None,
            values: Vec::new(),
        };
        gathered.add(aggregate, place, number);
        gathered
    }

    fn add(&mut self, aggregate: Aggregate, place: Place, number: &Number) {
        let value = number.as_f64();
        self.count += 1;
        if value < self.min_value {
            (self.min, self.min_value) = (number.clone(), value);
        }
        if value > self.max_value {
            (self.max, self.max_value) = (number.clone(), value);
        }
        match aggregate {
            Aggregate::Avg | Aggregate::Sum => self.add_to_sum(value),
            Aggregate::P50 | Aggregate::P95 => self.values.push(value),
            Aggregate::First if self.edge.as_ref().is_none_or(|(first, _)| place < *first) => {
                self.edge = Some((place, number.clone()));
            }
            Aggregate::Last if self.edge.as_ref().is_none_or(|(last, _)| place > *last) => {
                self.edge = Some((place, number.clone()));
            }
            Aggregate::First | Aggregate::Last | Aggregate::Min | Aggregate::Max | Aggregate::Count => {}
        }
    }

    fn add_to_sum(&mut self, value: f64) {
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
            Aggregate::Avg => finite(sum / count),
            Aggregate::Sum => finite(sum),
            Aggregate::Min => self.min.clone(),
            Aggregate::Max => self.max.clone(),
            Aggregate::Count => Number::from(self.count.cast_signed()),
            Aggregate::First | Aggregate::Last => {
                self.edge.take().map_or_else(|| self.max.clone(), |(_, number)| number)
            }
            Aggregate::P50 => finite(percentile(&mut self.values, 0.5)),
            Aggregate::P95 => finite(percentile(&mut self.values, 0.95)),
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

/// The value below which the part `rank` of the values lies, between two of them in proportion (what SQL
/// calls `percentile_cont`).
fn percentile(values: &mut [f64], rank: f64) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let Some(last) = values.len().checked_sub(1) else { return 0.0 };
    #[expect(clippy::cast_precision_loss, reason = "nobody has 2^53 readings in a bucket")]
    let place = last as f64 * rank;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and the last")]
    let below = place as usize;
    let (low, high) = (values[below], values[(below + 1).min(last)]);
    low + (high - low) * place.fract()
}

/// A sum may leave the range of doubles; JSON cannot say infinity.
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
        let told: Vec<_> = fold
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
        assert_eq!(told, expected, "{word}");
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
