//! Time as data: milliseconds since 1970-01-01T00:00:00Z, and the one trait that gives it.

mod reading_time;
mod written_time;

use std::fmt;
use std::num::NonZeroI64;

use chrono::{DateTime, SecondsFormat};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

pub use reading_time::{NS_IN_MS, ReadingTime};
pub use written_time::WrittenTime;

/// A moment, in milliseconds since the Unix epoch, UTC. Eight bytes, because a twin holds many; and as it is
/// kept counted from [`START`], which makes it never zero, one that may be missing takes eight bytes too.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(NonZeroI64);

/// A moment before every time that can be written.
const START: i64 = -(1 << 62);

/// A clock. The program's reads the system's; a test's is moved by hand.
pub trait Clock: Send + Sync + 'static {
    /// The present moment.
    fn now(&self) -> Timestamp;

    /// Milliseconds since some beginning, by a clock that is never set: where it and [`Clock::now`] go apart, that one
    /// was set.
    fn uptime_ms(&self) -> u64;

    /// By how many ms the clock on the wall is ahead of [`Clock::now`], below zero: behind it. It was set, and this
    /// one has not followed yet. One that asks the wall each time is never behind.
    fn ahead_ms(&self) -> i64 {
        0
    }

    /// Goes on from `by_ms` later than it shows, below zero: earlier.
    fn follow(&self, by_ms: i64) {
        let _ = by_ms;
    }
}

/// The difference between the wall clock and the clock that only counts, in ms, above which the wall clock is taken to
/// have been set. Below it are the small steps in which time services correct a clock: those change nothing.
pub const CLOCK_JUMP_MS: i64 = 5_000;

/// Years 0001 to 9999: the range of RFC 3339.
const EARLIEST_MS: i64 = -62_135_596_800_000;
const LATEST_MS: i64 = 253_402_300_799_999;

impl Timestamp {
    /// No calendar goes beyond [`START`], so this is its moment.
    const fn new(millis: i64) -> Self {
        match NonZeroI64::new(millis.saturating_sub(START)) {
            Some(since) => Self(since),
            None => Self(NonZeroI64::MIN),
        }
    }

    /// From milliseconds since the epoch, held within the years 0001 to 9999.
    #[must_use]
    pub fn from_millis(millis: i64) -> Self {
        Self::new(millis.clamp(EARLIEST_MS, LATEST_MS))
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub fn millis(self) -> i64 {
        self.0.get() + START
    }

    /// This moment moved by `millis`, which may be negative.
    #[must_use]
    pub fn plus_millis(self, millis: i64) -> Self {
        Self::from_millis(self.millis().saturating_add(millis))
    }

    /// From milliseconds since the epoch; none outside of the years 0001 to 9999.
    fn within(millis: i64) -> Option<Self> {
        (EARLIEST_MS..=LATEST_MS).contains(&millis).then(|| Self::new(millis))
    }

    /// Reads a time as [`WrittenTime`] does, cut to milliseconds; none for one without a zone, whose moment is unknown.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        WrittenTime::parse(text).filter(|written| written.has_zone).map(|written| written.at.floor())
    }

    /// As `parse`, but refuses epoch numbers.
    #[must_use]
    pub fn parse_calendar(text: &str) -> Option<Self> {
        Self::parse(text).filter(|_| text.contains(':'))
    }
}

impl Default for Timestamp {
    fn default() -> Self {
        Self::new(0)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Timestamp").field(&self.millis()).finish()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match DateTime::from_timestamp_millis(self.millis()) {
            Some(time) => f.write_str(&time.to_rfc3339_opts(SecondsFormat::Millis, true)),
            None => write!(f, "{} ms", self.millis()),
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| de::Error::custom(format!("`{text}` is not an RFC 3339 time")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<&str>) {
        assert_eq!(Timestamp::parse(text).map(|t| t.to_string()).as_deref(), expected, "{text}");
    }

    #[test]
    fn reads_what_devices_send() {
        check("2026-01-01T12:00:00Z", Some("2026-01-01T12:00:00.000Z"));
        check("2026-01-01T13:00:00.5+01:00", Some("2026-01-01T12:00:00.500Z"));
        check("1767268800", Some("2026-01-01T12:00:00.000Z"));
        check("1767268800.25", Some("2026-01-01T12:00:00.250Z"));
        check("1767268800123", Some("2026-01-01T12:00:00.123Z"));
        check("yesterday", None);
        check("NaN", None);
        check("1e300", None);
        check("", None);
        check("2026-01-01T12:00:00", None);
    }
}
