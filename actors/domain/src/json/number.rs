//! Numbers with the digits they came with.

use std::cmp::Ordering;

use super::RawValue;
use serde::{Serialize, Serializer};

/// A finite JSON number, with the digits it came with.
#[derive(Clone)]
pub struct Number(Digits);

/// Up to eight digits lie where the pointer to more would: nearly every reading is that short, so it costs
/// no allocation, and a property of a twin no second one.
#[derive(Clone, PartialEq)]
enum Digits {
    /// Zeros after the last.
    Few([u8; FEW]),
    Many(Box<str>),
}

/// The number of digits beside a pointer that is not null: more would make every value larger.
const FEW: usize = 8;
/// The largest double has 309 digits before its point: a shorter number without an exponent is finite.
const FINITE: usize = 300;

impl Digits {
    fn new(text: &str) -> Self {
        let mut few = [0; FEW];
        match few.get_mut(..text.len()) {
            Some(place) => {
                place.copy_from_slice(text.as_bytes());
                Self::Few(few)
            }
            None => Self::Many(text.into()),
        }
    }

    fn as_str(&self) -> &str {
        match self {
            Self::Few(few) => {
                let length = few.iter().position(|byte| *byte == 0).unwrap_or(FEW);
                // They were text when they came, and no digit is a zero byte.
                std::str::from_utf8(&few[..length]).unwrap_or_default()
            }
            Self::Many(text) => text,
        }
    }
}

impl Number {
    /// Takes JSON number text whose value is finite.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let first = text.as_bytes().first()?;
        let last = text.as_bytes().last()?;
        if !(first.is_ascii_digit() || *first == b'-') || !last.is_ascii_digit() {
            return None;
        }
        text.parse::<f64>().ok().filter(|value| value.is_finite())?;
        Some(Self(Digits::new(text)))
    }

    /// The same for text that is known to be a JSON number: only one with an exponent, or very many digits, can be out
    /// of range.
    pub(super) fn of_json(text: &str) -> Option<Self> {
        match text.len() > FINITE || text.bytes().any(|byte| matches!(byte, b'e' | b'E')) {
            true => Self::parse(text),
            false => Some(Self(Digits::new(text))),
        }
    }

    /// A number from a float; none for NaN and infinity, which JSON cannot write.
    #[must_use]
    pub fn from_f64(value: f64) -> Option<Self> {
        serde_json::Number::from_f64(value).map(|number| Self(Digits::new(&number.to_string())))
    }

    /// A whole number.
    #[must_use]
    pub fn whole(value: i128) -> Self {
        Self(Digits::new(&value.to_string()))
    }

    /// The digits as they came.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The nearest double.
    #[must_use]
    pub fn as_f64(&self) -> f64 {
        // `parse` and `from_f64` let only finite number text in.
        self.as_str().parse().unwrap_or_default()
    }
}

/// Equality of numbers everywhere: convergence, filters, rules and nested values. See [`Number::compare`].
impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.compare(other).is_eq()
    }
}

impl Eq for Number {}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        self.compare(other)
    }
}

/// From here on, 2^53, not every whole number is a double.
pub const EXACT: f64 = 9_007_199_254_740_992.0;

impl Number {
    /// The order of two numbers. Whole numbers are compared digit by digit, however long they are. Any other number
    /// counts as the double nearest to it, for a device that writes `0.10000000000000001` means 0.1.
    #[must_use]
    pub fn compare(&self, other: &Self) -> Ordering {
        if self.0 == other.0 {
            return Ordering::Equal;
        }
        let (one, two) = (self.as_f64(), other.as_f64());
        // Rounding keeps the order: different doubles say which is less.
        match one.partial_cmp(&two) {
            Some(Ordering::Equal) | None if one.abs() >= EXACT => {
                let digits =
                    |number: &Self, value: f64| number.whole_digits().unwrap_or_else(|| digits_of(value));
                let (one_digits, two_digits) = (digits(self, one), digits(other, two));
                let order = (one_digits.len(), &one_digits).cmp(&(two_digits.len(), &two_digits));
                if one < 0.0 { order.reverse() } else { order }
            }
            order => order.unwrap_or(Ordering::Equal), // never none: both are finite
        }
    }

    /// The whole number that this is, where it is one of up to 38 digits; `1e3` and `5.0` are whole too.
    #[must_use]
    pub fn as_whole(&self) -> Option<i128> {
        if let Ok(whole) = self.as_str().parse() {
            return Some(whole);
        }
        let digits = self.whole_digits()?;
        let digits: i128 = if digits.is_empty() { 0 } else { digits.parse().ok()? };
        Some(if self.as_str().starts_with('-') { -digits } else { digits })
    }

    /// The digits of its absolute value without zeros before them, where it is a whole number; none for zero.
    fn whole_digits(&self) -> Option<String> {
        let text = self.as_str();
        let text = text.strip_prefix('-').unwrap_or(text);
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let exponent: i64 = exponent.parse().ok()?;
        let mut digits = [whole, fraction].concat();
        let places = exponent.checked_sub(i64::try_from(fraction.len()).ok()?)?;
        if places < 0 {
            let cut = usize::try_from(places.unsigned_abs()).ok()?;
            let kept = digits.len().saturating_sub(cut);
            if digits[kept..].bytes().any(|digit| digit != b'0') {
                return None;
            }
            digits.truncate(kept);
        } else if digits.bytes().any(|digit| digit != b'0') {
            // Finite, so there are 309 digits at most.
            digits.extend(std::iter::repeat_n('0', usize::try_from(places).ok()?));
        }
        Some(digits.trim_start_matches('0').to_owned())
    }
}

/// The digits of the absolute value of a double from 2^53 on: all of these are whole.
fn digits_of(value: f64) -> String {
    format!("{:.0}", value.abs())
}

/// The exact order of a whole number and a double; none beside NaN.
#[must_use]
pub fn compare_whole(whole: i128, double: f64) -> Option<Ordering> {
    #[expect(clippy::cast_precision_loss, reason = "where it matters, both are compared as whole numbers")]
    let order = (whole as f64).partial_cmp(&double);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a double from 2^53 on is whole; this one is about `whole`"
    )]
    match order {
        Some(Ordering::Equal) if double.abs() >= EXACT => Some(whole.cmp(&(double as i128))),
        order => order,
    }
}

impl From<i64> for Number {
    fn from(value: i64) -> Self {
        Self(Digits::new(&value.to_string()))
    }
}

impl std::fmt::Display for Number {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::fmt::Debug for Number {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Number").field(&self.as_str()).finish()
    }
}

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue = serde_json::from_str(self.as_str()).map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_numbers_are_equal_however_they_are_written() {
        use Ordering::{Equal, Greater, Less};
        let check = |one: &str, other: &str, expected: Ordering| {
            let (a, b) = (Number::parse(one).unwrap(), Number::parse(other).unwrap());
            assert_eq!(a.compare(&b), expected, "{one} with {other}");
            assert_eq!(b.compare(&a), expected.reverse(), "{other} with {one}");
            assert_eq!(a == b, expected.is_eq());
        };
        check("21.5", "21.500000000000000", Equal);
        check("0.1", "0.10000000000000001", Equal);
        check("0.1", "0.1000000000000000055511151231257827", Equal);
        check("100", "100.00000000000000000", Equal);
        check("100", "1e2", Equal);
        check("-0", "0.000", Equal);
        check("0.1", "0.10000000000000003", Less);
        check("0.30000000000000004", "0.3", Greater);
        check("9007199254740993", "9007199254740992", Greater);
        check("-9007199254740993", "-9007199254740992", Less);
        check("9007199254740993", "9007199254740993.0", Equal);
        check("9007199254740993", "9.007199254740993e15", Equal);
        check("9007199254740993", "9007199254740992.5", Greater);
        check("9007199254740991", "9007199254740992", Less);
        check("18446744073709551615", "18446744073709551614", Greater);
        check("18446744073709551615", "18446744073709551615.000", Equal);
        check("12345678901234567890123", "12345678901234567890124", Less);
        check("1e23", "100000000000000000000000", Equal);
        check("1e300", "1.0e300", Equal);
        check("99999999999999999999", "100000000000000000000", Less);
    }

    #[test]
    fn whole_numbers_are_found_in_every_spelling() {
        let check = |text: &str, expected: Option<i128>| {
            assert_eq!(Number::parse(text).unwrap().as_whole(), expected, "{text}");
        };
        check("18446744073709551615", Some(18_446_744_073_709_551_615));
        check("-9007199254740993.00", Some(-9_007_199_254_740_993));
        check("1.5e3", Some(1_500));
        check("120e-1", Some(12));
        check("-0.0", Some(0));
        check("1.5", None);
        check("1e300", None);
        check("0e999999999999999999", Some(0));
    }

    #[test]
    fn a_whole_number_beside_a_double_is_compared_exactly() {
        const BIG: i128 = 9_007_199_254_740_993;
        assert_eq!(compare_whole(BIG, 9_007_199_254_740_992.0), Some(Ordering::Greater));
        assert_eq!(compare_whole(BIG - 1, 9_007_199_254_740_992.0), Some(Ordering::Equal));
        assert_eq!(compare_whole(-BIG, -9_007_199_254_740_992.0), Some(Ordering::Less));
        assert_eq!(compare_whole(2, 2.5), Some(Ordering::Less));
        assert_eq!(compare_whole(i128::MAX, 1e300), Some(Ordering::Less));
        assert_eq!(compare_whole(1, f64::NAN), None);
    }

    proptest::proptest! {
        /// One order, whatever the spellings: if a ≤ b and b ≤ c, then a ≤ c.
        #[test]
        fn numbers_have_one_order(
            whole in proptest::collection::vec(9_007_199_254_740_988_u64..9_007_199_254_741_000, 3),
            tails in proptest::collection::vec(proptest::sample::select(&["", ".0", ".5", ".25", "e0"][..]), 3),
        ) {
            let numbers: Vec<Number> = whole
                .iter()
                .zip(&tails)
                .map(|(whole, tail)| Number::parse(&format!("{whole}{tail}")).unwrap())
                .collect();
            let [a, b, c] = &numbers[..] else { unreachable!() };
            if a.compare(b).is_le() && b.compare(c).is_le() {
                proptest::prop_assert!(a.compare(c).is_le(), "{a:?} {b:?} {c:?}");
            }
        }
    }

    #[test]
    fn few_digits_take_no_more_room_than_a_pointer_to_them() {
        assert_eq!(size_of::<Number>(), size_of::<Box<str>>());
        assert_eq!(size_of::<super::super::Json>(), 24);
        for text in ["0", "-12.5", "12345678", "-1234.50", "123456789", "1.7976931348623157e308"] {
            assert_eq!(Number::parse(text).unwrap().as_str(), text);
        }
    }
}
