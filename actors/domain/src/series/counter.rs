//! Counters that only grow, and begin again at zero: energy, water, packets. A value below the one before is such a reset.

use super::bucket::finite;
use super::{DecimalSum, ReadingPosition};
use crate::clock::ReadingTime;
use crate::json::Number;

/// A value of a counter and its place.
pub type CounterValue = (ReadingPosition, Number);

/// The growth of a counter over a stretch of time.
#[derive(Clone, Debug, PartialEq)]
pub struct CounterGrowth {
    /// The sum of its steps. A step down is a reset, and counts as the value after it.
    pub increase: Number,
    /// The same in a second, over the time from the reading before the stretch, or its first, to its last.
    pub rate: Number,
}

impl CounterGrowth {
    /// The growth over `values`, in whatever order, from the reading `before` them on: the step to the first is in it.
    #[must_use]
    pub fn of(values: &mut [CounterValue], before: Option<&(ReadingTime, Number)>) -> Self {
        values.sort_by_key(|(place, _)| *place);
        let mut exact = Some(DecimalSum::ZERO);
        let mut rounded = 0.0;
        let mut last = before.map(|(at, number)| (*at, number));
        let began = last.map(|(at, _)| at);
        for ((at, ..), value) in &*values {
            let from = last.filter(|(_, number)| *value >= **number).map(|(_, number)| number);
            if from.is_some() || last.is_some() {
                rounded += value.as_f64() - from.map_or(0.0, Number::as_f64);
                exact = exact.and_then(|sum| {
                    let sum = sum.with(DecimalSum::of(value)?)?;
                    from.map_or(Some(sum), |from| sum.with(DecimalSum::of(from)?.negated()?))
                });
            }
            last = Some((*at, value));
        }
        let began = began.or_else(|| values.first().map(|((at, ..), _)| *at));
        let seconds = began.zip(last).map_or(0.0, |(began, (ended, _))| seconds(began, ended));
        let growth = exact.map_or(rounded, DecimalSum::nearest);
        let whole = exact.and_then(DecimalSum::whole);
        let increase = whole.map_or_else(|| finite(growth), Number::whole);
        let rate = if seconds > 0.0 { finite(growth / seconds) } else { Number::from(0) };
        Self { increase, rate }
    }
}

/// The time between two readings, in seconds.
#[expect(clippy::cast_precision_loss, reason = "a time to divide by")]
fn seconds(from: ReadingTime, to: ReadingTime) -> f64 {
    let ms = to.floor().millis().saturating_sub(from.floor().millis()) as f64;
    let ns = f64::from(to.nanos_behind()) - f64::from(from.nanos_behind());
    ms / 1e3 + ns / 1e9
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock::Timestamp;

    fn value(second: i64, text: &str) -> CounterValue {
        let at = ReadingTime::from(Timestamp::from_millis(second * 1_000));
        ((at, 0, 0), Number::parse(text).unwrap())
    }

    fn check(before: Option<(i64, &str)>, values: &[(i64, &str)], increase: &str, rate: &str) {
        let mut values: Vec<_> = values.iter().map(|(second, text)| value(*second, text)).collect();
        let before = before.map(|(second, text)| value(second, text)).map(|((at, ..), number)| (at, number));
        let growth = CounterGrowth::of(&mut values, before.as_ref());
        let rate = Number::parse(rate).unwrap().as_f64();
        assert_eq!(growth.increase.as_str(), increase, "{before:?} {values:?}");
        assert_eq!(growth.rate.as_f64().to_bits(), rate.to_bits(), "{before:?} {values:?}");
    }

    #[test]
    fn steps_are_summed_and_resets_begin_at_zero() {
        check(None, &[], "0", "0");
        check(None, &[(5, "7")], "0", "0");
        check(Some((0, "5")), &[(5, "7")], "2", "0.4");
        check(None, &[(10, "3.5"), (0, "1.1")], "2.4", "0.24");
        check(None, &[(0, "8"), (1, "10"), (2, "1"), (4, "3")], "5", "1.25");
        check(Some((0, "100")), &[(10, "0")], "0", "0");
        check(Some((0, "100")), &[(10, "20")], "20", "2");
        check(None, &[(0, "18446744073709551610"), (1, "18446744073709551615")], "5", "5");
        check(None, &[(0, "1e300"), (1, "3e300")], "2e+300", "2e+300");
    }

    proptest! {
        /// The increases of stretches that follow each other are together that of all.
        #[test]
        fn stretches_add_up(values in prop::collection::vec(0_i64..1_000, 1..40), cut in 0_usize..40) {
            let all: Vec<_> = (0..).zip(&values).map(|(second, value)| self::value(second, &value.to_string())).collect();
            let cut = cut.min(all.len());
            let increase = |values: &[CounterValue], before: Option<&CounterValue>| {
                let before = before.map(|((at, ..), number)| (*at, number.clone()));
                CounterGrowth::of(&mut values.to_vec(), before.as_ref()).increase.as_f64()
            };
            let (first, second) = all.split_at(cut);
            let parted = increase(first, None) + increase(second, first.last());
            prop_assert_eq!(parted.to_bits(), increase(&all, None).to_bits());
        }
    }
}
