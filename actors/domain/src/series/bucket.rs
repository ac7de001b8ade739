//! The state of one bucket: the numbers of one sensor within one interval, as far as an aggregate needs them.

use super::counter::CounterValue;
use super::percentile::{SortableValue, percentile};
use super::{Aggregate, CounterGrowth, DecimalSum, ReadingPosition, TimedMoments};
use crate::clock::ReadingTime;
use crate::json::{EXACT, Number};

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
pub struct BucketState {
    pub count: u64,
    pub min: Number,
    pub max: Number,
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
    /// The spread, where it is asked for.
    moments: TimedMoments,
    /// Every value, where the growth of a counter is asked for.
    counter: Vec<CounterValue>,
}

impl BucketState {
    /// The state before the first value, which this will be.
    pub fn new(number: &Number) -> Self {
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
            moments: TimedMoments::default(),
            counter: Vec::new(),
        }
    }

    pub fn add(&mut self, aggregate: Aggregate, place: ReadingPosition, number: &Number) {
        let value = number.as_f64();
        self.count += 1;
        self.stretch(number, value);
        match aggregate {
            Aggregate::Avg | Aggregate::Sum => self.add_to_sum(value, DecimalSum::of(number)),
            Aggregate::Stddev => self.moments = self.moments.with(TimedMoments::of(place.0.seconds(), value)),
            Aggregate::P5 | Aggregate::P50 | Aggregate::P95 => {
                self.values.push(SortableValue::of(value, number));
            }
            Aggregate::First | Aggregate::Last => self.add_edge(aggregate, place, number),
            Aggregate::Increase | Aggregate::Rate => self.counter.push((place, number.clone())),
            Aggregate::Min | Aggregate::Max | Aggregate::Count => {}
        }
    }

    pub fn add_summed(&mut self, aggregate: Aggregate, summed: &SummedReadings<'_>) {
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

    /// The last value of a counter in it, once its bucket was made.
    pub fn last_of_counter(&self) -> Option<(ReadingTime, Number)> {
        self.counter.last().map(|((at, ..), number)| (*at, number.clone()))
    }

    /// The value that is asked for. `before` is the reading before it, for the steps of a counter.
    pub fn value(&mut self, aggregate: Aggregate, before: Option<&(ReadingTime, Number)>) -> Number {
        #[expect(clippy::cast_precision_loss, reason = "nobody has 2^53 readings in a bucket")]
        let count = self.count as f64;
        let rounded = if self.sum.is_finite() { self.sum + self.lost } else { self.sum };
        let sum = self.exact.map_or(rounded, DecimalSum::nearest);
        let whole_sum = self.exact.and_then(DecimalSum::whole);
        match aggregate {
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
            Aggregate::P5 => percentile(&mut self.values, 5),
            Aggregate::P50 => percentile(&mut self.values, 50),
            Aggregate::P95 => percentile(&mut self.values, 95),
            Aggregate::Stddev => finite(self.moments.standard_deviation()),
            Aggregate::Increase => CounterGrowth::of(&mut self.counter, before).increase,
            Aggregate::Rate => CounterGrowth::of(&mut self.counter, before).rate,
        }
    }
}

/// The mean of `count` whole numbers with this sum: to six places behind the point where no double is that exact.
pub fn mean(sum: i128, count: u64) -> Number {
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
pub fn finite(value: f64) -> Number {
    Number::from_f64(value.clamp(f64::MIN, f64::MAX)).unwrap_or_else(|| Number::from(0))
}
