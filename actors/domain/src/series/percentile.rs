//! Percentiles, exact for whole numbers that no double holds.

use super::bucket::{finite, mean};
use crate::json::{EXACT, Number};

/// A value to sort: the nearest double, and the remainder of a whole number that no double holds.
#[derive(Clone, Copy, Debug)]
pub struct SortableValue {
    nearest: f64,
    rest: i64,
}

impl SortableValue {
    pub fn of(nearest: f64, number: &Number) -> Self {
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

/// The value below which this percentage of the values lies, between two of them in proportion (SQL's
/// `percentile_cont`).
pub fn percentile(values: &mut [SortableValue], percent: u32) -> Number {
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
