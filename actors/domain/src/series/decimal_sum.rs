//! Sums of decimal numbers, exact in whatever order they are added.

use crate::json::Number;

/// A sum of decimals: `digits` with the point `scale` places from the right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecimalSum {
    digits: i128,
    scale: u8,
}

/// Numbers with more places hardly fit a sum with others.
const MOST_SCALE: u8 = 18;

impl DecimalSum {
    /// The sum of nothing.
    pub const ZERO: Self = Self { digits: 0, scale: 0 };

    /// A sum by its digits and its places behind the point; none where there are more than 18.
    #[must_use]
    pub fn new(digits: i128, scale: u8) -> Option<Self> {
        (scale <= MOST_SCALE).then_some(Self { digits, scale })
    }

    /// One number; none where it has too many digits for a sum.
    #[must_use]
    pub fn of(number: &Number) -> Option<Self> {
        let text = number.as_str();
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        if text.len() > 30 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
            return number.as_whole().map(|digits| Self { digits, scale: 0 });
        }
        let scale = u8::try_from(fraction.len()).ok().filter(|scale| *scale <= MOST_SCALE)?;
        let Ok(size) = whole.trim_start_matches('-').parse::<i128>() else {
            return number.as_whole().map(|digits| Self { digits, scale: 0 }); // as `1e3` is
        };
        let behind = if fraction.is_empty() { 0 } else { fraction.parse::<i128>().ok()? };
        let digits = size.checked_mul(power(scale))?.checked_add(behind)?;
        Some(Self { digits: if text.starts_with('-') { -digits } else { digits }, scale })
    }

    /// Both together; none where that has too many digits.
    #[must_use]
    pub fn with(self, other: Self) -> Option<Self> {
        let scale = self.scale.max(other.scale);
        let at_scale = |sum: Self| sum.digits.checked_mul(power(scale - sum.scale));
        Some(Self { digits: at_scale(self)?.checked_add(at_scale(other)?)?, scale })
    }

    /// The same with the other sign; none of the least of 128 bits.
    #[must_use]
    pub fn negated(self) -> Option<Self> {
        Some(Self { digits: self.digits.checked_neg()?, ..self })
    }

    /// The whole number that it is, where it is one.
    #[must_use]
    pub fn whole(self) -> Option<i128> {
        let unit = power(self.scale);
        (self.digits % unit == 0).then_some(self.digits / unit)
    }

    /// The nearest double.
    #[must_use]
    pub fn nearest(self) -> f64 {
        format!("{}e-{}", self.digits, self.scale).parse().unwrap_or_default() // it is a number
    }
}

/// Ten to the power of at most [`MOST_SCALE`].
fn power(scale: u8) -> i128 {
    10i128.pow(scale.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(numbers: &[&str]) -> Option<DecimalSum> {
        numbers
            .iter()
            .try_fold(DecimalSum::ZERO, |sum, text| sum.with(DecimalSum::of(&Number::parse(text).unwrap())?))
    }

    #[test]
    fn decimals_are_summed_exactly() {
        let check = |numbers: &[&str], nearest: f64, whole: Option<i128>| {
            for order in [numbers.to_vec(), numbers.iter().rev().copied().collect()] {
                let sum = sum(&order).unwrap();
                assert_eq!((sum.nearest().to_bits(), sum.whole()), (nearest.to_bits(), whole), "{order:?}");
            }
        };
        check(&[], 0.0, Some(0));
        check(&["0.1", "0.2"], 0.3, None);
        check(&["23.50", "-0.5"], 23.0, Some(23));
        check(&["-0.25", "-1", "0.001"], -1.249, None);
        check(&["1e3", "0.5"], 1000.5, None);
        check(&["9007199254740993", "1.0"], 9_007_199_254_740_994.0, Some(9_007_199_254_740_994));
        check(&["0.000000000000000001", "1"], 1.0, None);
        check(&["-0.0", "-0"], 0.0, Some(0));
    }

    #[test]
    fn what_does_not_fit_is_no_sum() {
        for number in ["1e300", "1e-3", "0.1234567890123456789", "1.5e1"] {
            assert!(sum(&[number]).is_none_or(|sum| sum.whole() == Some(15)), "{number}");
        }
        let most = i128::MAX.to_string();
        assert_eq!(sum(&[&most, "1"]), None);
        assert_eq!(sum(&[&most, "0.1"]), None);
    }
}
