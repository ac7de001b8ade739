//! Making buckets of readings.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::bucket::BucketState;
use super::{Aggregate, Bucket, HistoryQuery, Interval, ReadingPosition, SummedReadings};
use crate::clock::{ReadingTime, Timestamp};
use crate::json::Number;
use crate::reading::Scalar;

/// Makes buckets of readings, in whatever order they come.
#[derive(Debug)]
pub struct BucketFold {
    interval: Interval,
    aggregate: Aggregate,
    /// By start and sensor.
    buckets: BTreeMap<i64, BTreeMap<Box<str>, BucketState>>,
    count: usize,
    /// The last stretch that was looked up.
    last: Option<(Timestamp, Timestamp)>,
    /// The last reading of each sensor before its first bucket, for the growth of counters.
    before: BTreeMap<Box<str>, (ReadingTime, Number)>,
}

impl BucketFold {
    /// An empty fold for the interval and aggregate of `query`.
    #[must_use]
    pub fn new(query: &HistoryQuery) -> Self {
        Self {
            interval: query.interval.unwrap_or(Interval::Fixed(1)),
            aggregate: query.aggregate,
            buckets: BTreeMap::new(),
            count: 0,
            last: None,
            before: BTreeMap::new(),
        }
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

    /// Readings of this time, of which `one` is the number of, will be taken in: their bucket is there already.
    pub fn expect(&mut self, sensor: &str, at: Timestamp, one: &Number) {
        self.update(at, sensor, one, |_| {});
    }

    /// Changes the bucket of a sensor at a time; where there is none, one that begins with `first`.
    fn update(&mut self, at: Timestamp, sensor: &str, first: &Number, change: impl FnOnce(&mut BucketState)) {
        let start = self.start_of_next(at);
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

    /// The first bucket of each sensor among those that [`Self::finish`] gives, where the growth of a counter is asked for: the
    /// sensor, and the start. The reading before it is needed then, see [`Self::set_before`].
    #[must_use]
    pub fn first_buckets(&self, newest_first: bool, limit: usize) -> BTreeMap<Box<str>, Timestamp> {
        let mut first = BTreeMap::new();
        if !self.aggregate.is_of_counter() {
            return first;
        }
        let add = |(start, sensor): (i64, &str)| {
            let start = Timestamp::from_millis(start);
            let known = first.entry(sensor.into()).or_insert(start);
            *known = start.min(*known);
        };
        let of_time = |(start, sensors): (&i64, _)| {
            let sensors: &BTreeMap<Box<str>, BucketState> = sensors;
            let start = *start;
            sensors.keys().map(move |sensor| (start, &**sensor)).collect::<Vec<_>>()
        };
        if newest_first {
            self.buckets.iter().rev().flat_map(of_time).take(limit).for_each(add);
        } else {
            self.buckets.iter().flat_map(of_time).take(limit).for_each(add);
        }
        first
    }

    /// Sets the last reading of a sensor before its first bucket.
    pub fn set_before(&mut self, sensor: Box<str>, at: ReadingTime, value: Number) {
        self.before.insert(sensor, (at, value));
    }

    /// The buckets by time, within a time by sensor, `limit` at most.
    #[must_use]
    pub fn finish(mut self, newest_first: bool, limit: usize) -> Vec<Bucket> {
        let first = self.first_buckets(newest_first, limit);
        let mut buckets = Vec::with_capacity(self.count.min(limit));
        let mut before: BTreeMap<Box<str>, (ReadingTime, Number)> = BTreeMap::new();
        // A counter's steps go from bucket to bucket, so they are made in the order of time.
        for (start, sensors) in std::mem::take(&mut self.buckets) {
            let (_, end) = self.interval.around(Timestamp::from_millis(start));
            let end = matches!(self.interval, Interval::Local(..)).then_some(end);
            for (sensor, mut state) in sensors {
                let timestamp = Timestamp::from_millis(start);
                if first.get(&sensor) == Some(&timestamp) {
                    match self.before.remove(&sensor) {
                        Some(last) => drop(before.insert(sensor.clone(), last)),
                        None => drop(before.remove(&sensor)),
                    }
                }
                let value = state.value(self.aggregate, before.get(&sensor));
                if let Some(last) = state.last_of_counter() {
                    before.insert(sensor.clone(), last);
                }
                let BucketState { count, min, max, .. } = state;
                buckets.push(Bucket { sensor_type: sensor.into(), timestamp, end, value, count, min, max });
            }
        }
        if newest_first {
            // Within a time by sensor all the same.
            buckets.sort_by_key(|bucket| Reverse(bucket.timestamp));
        }
        buckets.truncate(limit);
        buckets
    }

    fn start_of(&self, at: Timestamp) -> i64 {
        self.interval.start_of(at).millis()
    }

    /// The same, with a look at the calendar only where the stretch is another than the last one.
    fn start_of_next(&mut self, at: Timestamp) -> i64 {
        match self.last {
            Some((start, end)) if start <= at && at < end => start.millis(),
            _ => {
                let around = self.interval.around(at);
                self.last = Some(around);
                around.0.millis()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::DeviceNumber;

    fn query(aggregate: Aggregate) -> HistoryQuery {
        HistoryQuery {
            device: DeviceNumber(1),
            from: None,
            to: None,
            sensors: Vec::new(),
            min_quality: None,
            limit: 10,
            newest_first: false,
            interval: Some(Interval::Fixed(60_000)),
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
            "avg" | "sum" | "p5" | "p50" | "p95" => "7.0",
            "stddev" => "0.0",
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
        check("p5", "1.0");
        check("stddev", "1.243734296383275");
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
