//! Sums from which an added value can be taken away again without a remainder.
//!
//! A running sum of doubles drifts: each step rounds, and one absurd value that comes and goes takes the others'
//! digits with it. Here a double is cut into digits of 32 bits at fixed places, and each place counts for itself in
//! whole numbers. So the sum is exact, whatever comes and goes, in whatever order; it is rounded where it is read.

/// An exact sum of doubles. Few digits are used: readings of one name are alike.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExactSum(Vec<(u8, i64)>);

/// Bits of a digit. A place holds the sum of 2^31 digits at least: more devices than there are.
const DIGIT: u32 = 32;
const BASE: f64 = 4_294_967_296.0;
/// The lowest bit of a double is 2 to the power of minus this.
const LOWEST: i32 = 1_074;
const MANTISSA: u32 = 52;
/// From here on the lower digits are less than the precision of a double.
const ENOUGH: f64 = 1e30;

impl ExactSum {
    /// Adds a finite number.
    pub fn add(&mut self, value: f64) {
        self.count(value, 1);
    }

    /// Takes away a number that was added.
    pub fn remove(&mut self, value: f64) {
        self.count(value, -1);
    }

    /// Adds another sum.
    pub fn add_all(&mut self, other: &Self) {
        for (place, digits) in &other.0 {
            self.count_at(*place, *digits);
        }
    }

    /// The sum divided by `count`, which is not zero.
    #[must_use]
    pub fn mean(&self, count: u64) -> f64 {
        let (Some((first, _)), Some((last, _))) = (self.0.first(), self.0.last()) else { return 0.0 };
        // As digits that are not negative, each below the base; what is left over stands above them.
        let mut digits = Vec::with_capacity(usize::from(last - first) + 1);
        let mut over = 0;
        for place in *first..=*last {
            let here = self.0.iter().find(|(at, _)| *at == place).map_or(0, |(_, digits)| *digits);
            let all = here + over;
            over = all >> DIGIT;
            digits.push(all & ((1 << DIGIT) - 1));
        }
        #[expect(clippy::cast_precision_loss, reason = "rounding to a double is what this is for")]
        let (mut mean, count) = (over as f64, count as f64);
        let mut place = i32::from(*last) + 1;
        for digit in digits.into_iter().rev() {
            if mean.abs() > ENOUGH {
                break;
            }
            #[expect(clippy::cast_precision_loss, reason = "32 bits fit")]
            let digit = digit as f64;
            mean = mean * BASE + digit;
            place -= 1;
        }
        // In two steps: one alone might be out of range where the result is not.
        let power = place * DIGIT.cast_signed() - LOWEST;
        mean / count * 2.0_f64.powi(power / 2) * 2.0_f64.powi(power - power / 2)
    }

    fn count(&mut self, value: f64, sign: i64) {
        let bits = value.to_bits();
        let fraction = bits & ((1 << MANTISSA) - 1);
        let exponent = (bits >> MANTISSA) & 0x7ff;
        // Subnormal numbers have no leading one, and the lowest exponent all the same.
        let (whole, bit) =
            if exponent == 0 { (fraction, 0) } else { (fraction | 1 << MANTISSA, exponent - 1) };
        let sign = if value.is_sign_negative() { -sign } else { sign };
        let mut rest = u128::from(whole) << (bit % u64::from(DIGIT));
        let mut place = u8::try_from(bit / u64::from(DIGIT)).unwrap_or(u8::MAX); // 63 at most
        while rest > 0 {
            let digit = i64::try_from(rest & ((1 << DIGIT) - 1)).unwrap_or_default(); // 32 bits
            self.count_at(place, sign * digit);
            rest >>= DIGIT;
            place += 1;
        }
    }

    fn count_at(&mut self, place: u8, digits: i64) {
        match self.0.binary_search_by_key(&place, |(place, _)| *place) {
            Ok(index) => self.0[index].1 += digits,
            Err(index) => self.0.insert(index, (place, digits)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mean(values: &[f64]) -> f64 {
        let mut sum = ExactSum::default();
        values.iter().for_each(|value| sum.add(*value));
        sum.mean(values.len() as u64)
    }

    #[test]
    fn means_are_exact() {
        let check = |values: &[f64], expected: f64| assert_eq!(mean(values), expected, "{values:?}");
        check(&[], 0.0);
        check(&[23.5], 23.5);
        check(&[0.25, 0.5, 0.75], 0.5);
        check(&[-1.0, 1.0], 0.0);
        check(&[-5.25, 1.0], -2.125);
        check(&[1e300, 1.0, -1e300], 1.0 / 3.0);
        check(&[f64::MAX, f64::MAX], f64::MAX);
        check(&[f64::from_bits(1), f64::from_bits(1)], f64::from_bits(1));
        check(&[1e-9, 3e-9], 2e-9);
    }

    #[test]
    fn what_came_and_went_leaves_nothing() {
        let mut sum = ExactSum::default();
        sum.add(21.37);
        for value in [1e300, -1e-300, 0.1, 1e17] {
            sum.add(value);
        }
        for value in [0.1, 1e300, 1e17, -1e-300] {
            sum.remove(value);
        }
        assert_eq!(sum.mean(1), 21.37);
    }

    proptest! {
        #[test]
        fn one_value_is_itself(value in proptest::num::f64::NORMAL | proptest::num::f64::SUBNORMAL) {
            prop_assert_eq!(mean(&[value]), value);
        }

        #[test]
        fn it_is_what_is_left(
            stays in prop::collection::vec(-1e6..1e6_f64, 1..20),
            goes in prop::collection::vec(proptest::num::f64::NORMAL, 0..20),
        ) {
            let mut sum = ExactSum::default();
            goes.iter().for_each(|value| sum.add(*value));
            stays.iter().for_each(|value| sum.add(*value));
            goes.iter().rev().for_each(|value| sum.remove(*value));
            prop_assert_eq!(sum.mean(stays.len() as u64), mean(&stays));
            let plain = stays.iter().sum::<f64>() / f64::from(u32::try_from(stays.len()).unwrap());
            prop_assert!((mean(&stays) - plain).abs() <= 1e-7);
        }
    }
}
