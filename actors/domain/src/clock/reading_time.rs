//! The time of a reading, as fine as devices say it.

use std::fmt;

use chrono::{DateTime, SecondsFormat};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{Timestamp, WrittenTime};

/// Nanoseconds in a millisecond.
pub const NS_IN_MS: u32 = 1_000_000;

/// The moment of a reading, to the nanosecond: that of a device where it gave one, else that of the hub's clock, which
/// has whole milliseconds. It is shown with the shortest of 3, 6 or 9 digits behind the seconds that tell all of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ReadingTime {
    millisecond: Timestamp,
    /// Behind it, below [`NS_IN_MS`].
    nanos: u32,
}

impl ReadingTime {
    /// `nanos` nanoseconds behind `millisecond`; the last of it where they are more than it has.
    #[must_use]
    pub fn new(millisecond: Timestamp, nanos: u32) -> Self {
        Self { millisecond, nanos: nanos.min(NS_IN_MS - 1) }
    }

    /// From nanoseconds since the epoch; none outside of the years 0001 to 9999.
    #[must_use]
    pub fn from_nanos(nanos: i128) -> Option<Self> {
        let in_ms = i128::from(NS_IN_MS);
        let millis = i64::try_from(nanos.div_euclid(in_ms)).ok()?;
        let behind = u32::try_from(nanos.rem_euclid(in_ms)).ok()?;
        Timestamp::within(millis).map(|millisecond| Self { millisecond, nanos: behind })
    }

    /// Nanoseconds since the epoch.
    #[must_use]
    pub fn nanos(self) -> i128 {
        i128::from(self.millisecond.millis()) * i128::from(NS_IN_MS) + i128::from(self.nanos)
    }

    /// The millisecond that it is in: it is not later.
    #[must_use]
    pub fn floor(self) -> Timestamp {
        self.millisecond
    }

    /// The first whole millisecond that is not earlier.
    #[must_use]
    pub fn ceil(self) -> Timestamp {
        self.millisecond.plus_millis(i64::from(self.nanos > 0))
    }

    /// The nanoseconds behind [`ReadingTime::floor`], below [`NS_IN_MS`].
    #[must_use]
    pub fn nanos_behind(self) -> u32 {
        self.nanos
    }

    /// Seconds since the epoch, to a millionth of them or so.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a time to reckon with")]
    pub fn seconds(self) -> f64 {
        self.floor().millis() as f64 / 1e3 + f64::from(self.nanos_behind()) / 1e9
    }

    /// This moment moved by `millis`, which may be negative.
    #[must_use]
    pub fn plus_millis(self, millis: i64) -> Self {
        Self { millisecond: self.millisecond.plus_millis(millis), ..self }
    }

    /// The first moment that is later; the last of the calendar has none, and stays.
    #[must_use]
    pub fn next(self) -> Self {
        Self::from_nanos(self.nanos() + 1).unwrap_or(self)
    }

    /// Reads a time as [`WrittenTime`] does; none for one without a zone, whose moment is unknown. What is finer than a
    /// nanosecond is cut.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        WrittenTime::parse(text).filter(|written| written.has_zone).map(|written| written.at)
    }
}

impl From<Timestamp> for ReadingTime {
    fn from(millisecond: Timestamp) -> Self {
        Self { millisecond, nanos: 0 }
    }
}

impl PartialEq<Timestamp> for ReadingTime {
    fn eq(&self, other: &Timestamp) -> bool {
        *self == Self::from(*other)
    }
}

impl fmt::Debug for ReadingTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReadingTime").field(&self.millisecond.millis()).field(&self.nanos).finish()
    }
}

impl fmt::Display for ReadingTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nanos == 0 {
            return self.millisecond.fmt(f);
        }
        let digits =
            if self.nanos.is_multiple_of(1_000) { SecondsFormat::Micros } else { SecondsFormat::Nanos };
        let (seconds, millis) =
            (self.millisecond.millis().div_euclid(1_000), self.millisecond.millis().rem_euclid(1_000));
        let behind = u32::try_from(millis).unwrap_or_default() * NS_IN_MS + self.nanos;
        match DateTime::from_timestamp(seconds, behind) {
            Some(time) => f.write_str(&time.to_rfc3339_opts(digits, true)),
            None => write!(f, "{} ns", self.nanos()),
        }
    }
}

impl Serialize for ReadingTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ReadingTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| de::Error::custom(format!("`{text}` is not an RFC 3339 time")))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{EARLIEST_MS, LATEST_MS};
    use super::*;

    fn moment() -> impl Strategy<Value = ReadingTime> {
        let nanos = prop_oneof![Just(0), (0..1_000_u32).prop_map(|micros| micros * 1_000), 0..NS_IN_MS];
        let millis = prop_oneof![EARLIEST_MS..=LATEST_MS, 1_700_000_000_000..1_700_000_000_003_i64];
        (millis, nanos).prop_map(|(millis, nanos)| ReadingTime::new(Timestamp::from_millis(millis), nanos))
    }

    #[test]
    fn shows_the_shortest_of_3_6_or_9_digits() {
        for (sent, shown) in [
            ("2026-01-01T12:00:00Z", "2026-01-01T12:00:00.000Z"),
            ("2026-01-01T12:00:00.5Z", "2026-01-01T12:00:00.500Z"),
            ("2026-01-01T12:00:00.1230000Z", "2026-01-01T12:00:00.123Z"),
            ("2026-01-01T12:00:00.1234Z", "2026-01-01T12:00:00.123400Z"),
            ("2026-01-01T12:00:00.123456Z", "2026-01-01T12:00:00.123456Z"),
            ("2026-01-01T12:00:00.1234567Z", "2026-01-01T12:00:00.123456700Z"),
            ("2026-01-01T13:00:00.123456789+01:00", "2026-01-01T12:00:00.123456789Z"),
            ("2026-01-01T12:00:00.1234567899Z", "2026-01-01T12:00:00.123456789Z"),
            ("1969-12-31T23:59:59.999999999Z", "1969-12-31T23:59:59.999999999Z"),
            ("9999-12-31T23:59:59.999999999Z", "9999-12-31T23:59:59.999999999Z"),
            ("0001-01-01T00:00:00.000000001Z", "0001-01-01T00:00:00.000000001Z"),
            ("1767268800123456789", "2026-01-01T12:00:00.123456789Z"),
            ("1767268800123456", "2026-01-01T12:00:00.123456Z"),
            ("1767268800123", "2026-01-01T12:00:00.123Z"),
            ("1767268800", "2026-01-01T12:00:00.000Z"),
        ] {
            assert_eq!(ReadingTime::parse(sent).unwrap().to_string(), shown, "{sent}");
        }
        assert_eq!(ReadingTime::parse("2026-01-01T12:00:00.5"), None, "whose moment is unknown");
    }

    #[test]
    fn it_is_as_large_as_it_must_be() {
        assert_eq!(size_of::<ReadingTime>(), 16);
        assert_eq!(size_of::<Option<ReadingTime>>(), 16);
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_again(at in moment()) {
            prop_assert_eq!(ReadingTime::parse(&at.to_string()), Some(at));
            prop_assert_eq!(ReadingTime::from_nanos(at.nanos()), Some(at));
            let json = serde_json::to_string(&at).unwrap();
            prop_assert_eq!(serde_json::from_str::<ReadingTime>(&json).unwrap(), at);
        }

        #[test]
        fn its_order_is_that_of_its_nanoseconds(one in moment(), other in moment()) {
            prop_assert_eq!(one.cmp(&other), one.nanos().cmp(&other.nanos()));
            prop_assert!(one.floor().millis() <= one.ceil().millis() && one.ceil().millis() <= one.floor().millis() + 1);
            prop_assert!(ReadingTime::from(one.floor()) <= one);
            if one < other {
                prop_assert!(one.next() <= other && one < one.next());
            }
        }
    }
}
