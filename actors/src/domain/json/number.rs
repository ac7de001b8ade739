//! Numbers with the digits they came with.

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

/// What fits beside a pointer that is not null: more would make every value larger.
const FEW: usize = 8;

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

    /// A number from a float; none for NaN and infinity, which JSON cannot write.
    #[must_use]
    pub fn from_f64(value: f64) -> Option<Self> {
        serde_json::Number::from_f64(value).map(|number| Self(Digits::new(&number.to_string())))
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

/// The same value is the same number: `1.0` and `1.00` are equal; two long integers are compared by digit.
impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        const EXACT_DIGITS: usize = 15;
        self.0 == other.0
            || (self.as_str().len() <= EXACT_DIGITS
                && other.as_str().len() <= EXACT_DIGITS
                && self.as_f64() == other.as_f64())
    }
}

impl From<i64> for Number {
    fn from(value: i64) -> Self {
        Self(Digits::new(&value.to_string()))
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
    fn few_digits_take_no_more_room_than_a_pointer_to_them() {
        assert_eq!(size_of::<Number>(), size_of::<Box<str>>());
        assert_eq!(size_of::<super::super::Json>(), 24);
        for text in ["0", "-12.5", "12345678", "-1234.50", "123456789", "1.7976931348623157e308"] {
            assert_eq!(Number::parse(text).unwrap().as_str(), text);
        }
    }
}
