//! Times as devices and people write them: the one reader of all of them.
//!
//! | form | example |
//! |---|---|
//! | RFC 3339, also with a space for the `T`, a comma, no seconds | `2026-01-01T13:00:00.5+01:00` |
//! | the same with an offset as ISO 8601 has it | `…+0100`, `…+01` |
//! | the same without any zone: [`WrittenTime::has_zone`] is false | `2026-01-01 12:00:00` |
//! | epoch seconds, ms, µs or ns, told apart by their size, with or without a fraction | `1767268800.25` |

use chrono::{LocalResult, NaiveDate, TimeDelta, TimeZone as _};
use chrono_tz::Tz;

use super::{NS_IN_MS, ReadingTime};

/// A time as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrittenTime {
    /// The moment; where no zone was written, as if it were UTC.
    pub at: ReadingTime,
    pub has_zone: bool,
    /// The time is finer than nanoseconds, which a [`ReadingTime`] cannot hold.
    pub is_finer: bool,
}

/// A number with an exponent beyond this is no time.
const MOST_PLACES: i64 = 40;
/// A double of the size of a time is written with fewer digits behind the point than this.
const MOST_DIGITS: usize = 64;
/// Nanoseconds in a millisecond.
const MS: i128 = NS_IN_MS as i128;
/// The units of epoch numbers, by their size, in ns. The ranges do not overlap: each unit covers 1973 to 5138.
const UNITS: [(u128, i128); 4] = [
    (100_000_000_000, 1_000_000_000),
    (100_000_000_000_000, MS),
    (100_000_000_000_000_000, 1_000),
    (100_000_000_000_000_000_000, 1),
];

impl WrittenTime {
    /// Reads a time from text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        // A date has its first hyphen behind the year, an epoch number at most in front.
        if text.as_bytes().get(4) == Some(&b'-') { calendar(text) } else { Self::epoch(text) }
    }

    /// Reads an epoch number: seconds, ms, µs or ns.
    #[must_use]
    pub fn epoch(text: &str) -> Option<Self> {
        let (is_negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let is_plain = !whole.is_empty() && [whole, fraction].iter().all(|part| are_digits(part.as_bytes()));
        if !is_plain {
            return Self::exponent(text); // 1.7672688e9
        }
        let number: u128 = whole.parse().ok()?;
        let (_, unit) = UNITS.into_iter().find(|(below, _)| number < *below)?;
        let mut ns = i128::try_from(number).ok()? * unit;
        let (mut digit, mut is_finer) = (unit, false);
        for byte in fraction.bytes() {
            let value = i128::from(byte - b'0');
            digit /= 10;
            ns += value * digit;
            is_finer |= digit == 0 && value != 0;
        }
        if digit == 0
            && unit > 1
            && let Some(meant) = meant_by_double(ns, unit, (number, fraction))
        {
            (ns, is_finer) = (meant, false);
        }
        Self::of_ns(if is_negative { -ns } else { ns }, is_finer, true)
    }

    /// The moment, where a time without a zone is one of `zone`: of two (in autumn) the first, and of none (in
    /// spring) the one as long after midnight.
    #[must_use]
    pub fn in_zone(self, zone: Tz) -> ReadingTime {
        if self.has_zone {
            return self.at;
        }
        let Some(utc) = chrono::DateTime::from_timestamp_millis(self.at.floor().millis()) else {
            return self.at;
        };
        let wall = utc.naive_utc();
        let found = match zone.from_local_datetime(&wall) {
            LocalResult::Single(found) | LocalResult::Ambiguous(found, _) => found,
            // Clocks go forward by an hour or two: the offset of a day before is that of the skipped wall time.
            LocalResult::None => match zone.from_local_datetime(&(wall - TimeDelta::days(1))).earliest() {
                Some(day_before) => day_before + TimeDelta::days(1),
                None => return self.at,
            },
        };
        self.at.plus_millis(found.timestamp_millis() - self.at.floor().millis())
    }

    /// `1.7672688e9`, by its digits: a double would round them.
    fn exponent(text: &str) -> Option<Self> {
        let (mantissa, exponent) = text.split_once(['e', 'E'])?;
        let places: i64 = exponent.parse().ok().filter(|places: &i64| places.abs() <= MOST_PLACES)?;
        let (sign, digits) = match mantissa.strip_prefix('-') {
            Some(digits) => ("-", digits),
            None => ("", mantissa.strip_prefix('+').unwrap_or(mantissa)),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let is_number = !whole.is_empty() && [whole, fraction].iter().all(|part| are_digits(part.as_bytes()));
        if !is_number {
            return None;
        }
        let digits = [whole, fraction].concat();
        let point = i64::try_from(whole.len()).ok()? + places;
        let plain = match usize::try_from(point) {
            Ok(point) if point > 0 => {
                let (before, behind) = digits.split_at(point.min(digits.len()));
                let zeros = "0".repeat(point - before.len());
                let before = format!("{before}{zeros}");
                let before = before.trim_start_matches('0');
                format!("{sign}0{before}.{behind}")
            }
            _ => format!("{sign}0.{}{digits}", "0".repeat(usize::try_from(-point).ok()?)),
        };
        Self::epoch(&plain)
    }

    fn of_ns(ns: i128, is_finer: bool, has_zone: bool) -> Option<Self> {
        ReadingTime::from_nanos(ns).map(|at| Self { at, has_zone, is_finer })
    }
}

/// The ms or µs that is meant by a number with more digits than a nanosecond has, where these are the digits of a double:
/// the time was counted in one, which is a little beside what it stands for. None where they are not, or it is not as
/// near to one as a double can tell.
fn meant_by_double(ns: i128, unit: i128, (whole, fraction): (u128, &str)) -> Option<i128> {
    if fraction.len() > MOST_DIGITS {
        return None; // and no text is formatted to 65,536 places
    }
    let value: f64 = format!("{whole}.{fraction}").parse().ok()?;
    if format!("{value:.*}", fraction.len()) != format!("{whole}.{fraction}") {
        return None;
    }
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "far below 1e9 ns")]
    let error = ((value.next_up() - value) * unit as f64) as i128;
    [MS, 1_000].into_iter().find_map(|step| {
        let over = ns.rem_euclid(step);
        let off = if over <= step / 2 { -over } else { step - over };
        (off.abs() <= error.min(step / 2 - 1)).then_some(ns + off)
    })
}

/// `YYYY-MM-DD`, `T` or a space, `HH:MM[:SS[.fraction]]` and perhaps `Z` or an offset.
fn calendar(text: &str) -> Option<WrittenTime> {
    let mut rest = text.as_bytes();
    let year = number(&mut rest, 4)?;
    let month = number(skip(&mut rest, b"-")?, 2)?;
    let day = number(skip(&mut rest, b"-")?, 2)?;
    let date = NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)?;
    let hour = number(skip(&mut rest, b"Tt ")?, 2)?;
    let minute = number(skip(&mut rest, b":")?, 2)?;
    let second = if rest.first() == Some(&b':') { number(skip(&mut rest, b":")?, 2)? } else { 0 };
    if hour > 23 || minute > 59 || second > 60 {
        return None; // 60 is a leap second, and as good as the one after it
    }
    let mut ns = i128::from(second) * 1_000_000_000;
    let mut is_finer = false;
    if skip(&mut rest, b".,").is_some() {
        let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let mut digit = 1_000_000_000;
        for byte in rest.get(..length).filter(|digits| !digits.is_empty())? {
            let value = i128::from(*byte - b'0');
            digit /= 10;
            ns += value * digit;
            is_finer |= digit == 0 && value != 0;
        }
        rest = &rest[length..];
    }
    let offset = offset(rest)?;
    let minutes = i64::from(hour) * 60 + i64::from(minute) - offset.unwrap_or(0);
    let days = i64::from(date.to_epoch_days());
    ns += (i128::from(days) * 1_440 + i128::from(minutes)) * 60 * 1_000_000_000;
    WrittenTime::of_ns(ns, is_finer, offset.is_some())
}

/// The zone behind the time: `Z`, `+01:00`, `+0100`, `+01`, or none. In minutes.
fn offset(rest: &[u8]) -> Option<Option<i64>> {
    let mut rest = rest.trim_ascii();
    let sign = match rest {
        [] => return Some(None),
        [b'Z' | b'z'] | b"UTC" | b"GMT" => return Some(Some(0)),
        [b'+', ..] => 1,
        [b'-', ..] => -1,
        _ => return None,
    };
    rest = &rest[1..];
    let hours = number(&mut rest, 2)?;
    // A colon announces minutes.
    let minutes = match rest {
        [] => 0,
        [b':', minutes @ ..] => {
            rest = minutes;
            number(&mut rest, 2)?
        }
        _ => number(&mut rest, 2)?,
    };
    let is_one = rest.is_empty() && hours <= 23 && minutes <= 59;
    is_one.then(|| Some(sign * (i64::from(hours) * 60 + i64::from(minutes))))
}

/// Takes a number of exactly `digits` digits off the front.
fn number(rest: &mut &[u8], digits: usize) -> Option<u32> {
    let (number, behind) = rest.split_at_checked(digits).filter(|(number, _)| are_digits(number))?;
    *rest = behind;
    Some(number.iter().fold(0, |number, digit| number * 10 + u32::from(*digit - b'0')))
}

/// Takes one of these bytes off the front.
fn skip<'a, 'b>(rest: &'a mut &'b [u8], any_of: &[u8]) -> Option<&'a mut &'b [u8]> {
    let (first, behind) = rest.split_first()?;
    if !any_of.contains(first) {
        return None;
    }
    *rest = behind;
    Some(rest)
}

fn are_digits(bytes: &[u8]) -> bool {
    bytes.iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, expected: &str) {
        let told = WrittenTime::parse(text).map_or_else(String::new, |written| {
            let zone = if written.has_zone { "" } else { " no zone" };
            let finer = if written.is_finer { " finer" } else { "" };
            format!("{}{zone}{finer}", written.at)
        });
        assert_eq!(told, expected, "{text}");
    }

    fn at(millis: i64) -> ReadingTime {
        crate::Timestamp::from_millis(millis).into()
    }

    const NOON: &str = "2026-01-01T12:00:00.000Z";

    #[test]
    fn reads_every_offset() {
        for text in [
            "2026-01-01T13:00:00.000+0100",
            "2026-01-01T13:00:00+01",
            "2026-01-01T13:00:00+01:00",
            "2026-01-01T07:30:00-0430",
            "2026-01-01T12:00:00Z",
            "2026-01-01t12:00:00z",
            "2026-01-01 12:00:00Z",
            "2026-01-01 13:00:00 +0100",
            "2026-01-01 12:00:00 UTC",
            "2026-01-01T12:00Z",
            "2026-01-01T11:59:60Z",
            " 2026-01-01T12:00:00,000Z\n",
        ] {
            check(text, NOON);
        }
        for wrong in ["+1", "+24", "+0160", "+01:", "+01:0", "+01:00:00", "CET", "Z+01", "+", "+010"] {
            check(&format!("2026-01-01T13:00:00{wrong}"), "");
        }
    }

    #[test]
    fn reads_every_epoch_unit() {
        for text in ["1767268800", "1767268800000", "1767268800000000", "1767268800000000000", "1.7672688e9"]
        {
            check(text, NOON);
        }
        check("1767268800.25", "2026-01-01T12:00:00.250Z");
        check("1.767268800123e9", "2026-01-01T12:00:00.123Z");
        check("17672688001230E-4", "2026-01-01T12:00:00.123Z");
        check("-5e-1", "1969-12-31T23:59:59.500Z");
        check("1767268800.1229999065", "2026-01-01T12:00:00.123Z");
        check("1767268800.1227", "2026-01-01T12:00:00.122700Z");
        check("1767268800122.9999", "2026-01-01T12:00:00.122999900Z");
        check("1767268800123.4", "2026-01-01T12:00:00.123400Z");
        for digits in [63, 64, 65, 70_000] {
            check(&format!("1767268800.{}", "1".repeat(digits)), "2026-01-01T12:00:00.111111111Z finer");
        }
        check("1767268800123456", "2026-01-01T12:00:00.123456Z");
        check("1767268800123456789", "2026-01-01T12:00:00.123456789Z");
        check("1767268800.123456789", "2026-01-01T12:00:00.123456789Z");
        check("1767268800123.456789", "2026-01-01T12:00:00.123456789Z");
        check("1767268800123456.789", "2026-01-01T12:00:00.123456789Z");
        check("1767268800123456789.25", "2026-01-01T12:00:00.123456789Z finer");
        check("1767268800.123456789012", "2026-01-01T12:00:00.123456789Z finer");
        check("-0.000000001", "1969-12-31T23:59:59.999999999Z");
        check("1767268800.0000000001", "2026-01-01T12:00:00.000Z finer");
        check("-1", "1969-12-31T23:59:59.000Z");
        check("-0.5", "1969-12-31T23:59:59.500Z");
        check("0", "1970-01-01T00:00:00.000Z");
        for wrong in [
            "",
            "NaN",
            "inf",
            "1e300",
            "1e",
            "e9",
            "1e-300",
            "1.e-x",
            "1e9e9",
            "yesterday",
            ".5",
            "1_000",
            "100000000000000000000",
            "--1",
            "0x10",
        ] {
            check(wrong, "");
        }
    }

    #[test]
    fn says_what_was_not_written() {
        check("2026-01-01T12:00:00", &format!("{NOON} no zone"));
        check("2026-01-01 12:00", &format!("{NOON} no zone"));
        check("2026-01-01T12:00:00.000100Z", "2026-01-01T12:00:00.000100Z");
        check("2026-01-01T12:00:00,000000001Z", "2026-01-01T12:00:00.000000001Z");
        check("2026-01-01T12:00:00.0000000001Z", &format!("{NOON} finer"));
        for wrong in [
            "2026-01-01",
            "2026-13-01T12:00:00Z",
            "2026-02-29T12:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T12:60:00Z",
            "2026-01-01T12:00:61Z",
            "2026-01-01T12:00:00.Z",
            "2026-01-01T12",
            "0000-01-01T12:00:00Z",
            "2026-01-01T12:00:00Zx",
        ] {
            check(wrong, "");
        }
    }

    #[test]
    fn a_time_without_a_zone_is_one_of_the_zone_that_is_named() {
        let check = |text: &str, zone: &str, expected: &str| {
            let at = WrittenTime::parse(text).unwrap().in_zone(zone.parse().unwrap());
            assert_eq!(at.to_string(), expected, "{text} in {zone}");
        };
        check("2026-01-01T13:00:00", "Europe/Madrid", NOON);
        check("2026-01-01T12:00:00", "UTC", NOON);
        check("2026-01-01T12:00:00Z", "Europe/Madrid", NOON);
        check("2026-03-29T02:30:00", "Europe/Madrid", "2026-03-29T01:30:00.000Z");
        check("2026-10-25T02:30:00", "Europe/Madrid", "2026-10-25T00:30:00.000Z");
    }

    proptest! {
        /// Devices count in doubles, and print them with all their digits.
        #[test]
        fn a_double_keeps_its_millisecond(millis in 1_000_000_000_000i64..4_000_000_000_000) {
            #[expect(clippy::cast_precision_loss, reason = "that is what is tried")]
            let seconds = millis as f64 / 1_000.0;
            for text in [format!("{seconds}"), format!("{seconds:.10}"), format!("{seconds:e}")] {
                prop_assert_eq!(WrittenTime::epoch(&text).unwrap().at, at(millis), "{}", text);
            }
        }

        #[test]
        fn a_double_keeps_its_microsecond(micros in 1_000_000_000_000_000i64..4_000_000_000_000_000) {
            #[expect(clippy::cast_precision_loss, reason = "that is what is tried")]
            let seconds = micros as f64 / 1_000_000.0;
            let meant = ReadingTime::from_nanos(i128::from(micros) * 1_000);
            for text in [format!("{seconds}"), format!("{seconds:.10}"), format!("{seconds:.17}")] {
                prop_assert_eq!(WrittenTime::epoch(&text).map(|written| written.at), meant, "{}", text);
            }
        }

        /// Nine digits are those that were sent, in whatever unit and form.
        #[test]
        fn every_nanosecond_is_read(ns in 1_000_000_000_000_000_000i128..4_000_000_000_000_000_000, offset in -1_439i32..1_440) {
            let exact = ReadingTime::from_nanos(ns).unwrap();
            let point = |places: u32| {
                let unit = 10_i128.pow(places);
                format!("{}.{:0width$}", ns / unit, ns % unit, width = places as usize)
            };
            let zone = chrono::FixedOffset::east_opt(offset * 60).unwrap();
            let calendar = chrono::DateTime::from_timestamp_nanos(i64::try_from(ns).unwrap()).with_timezone(&zone);
            for text in [ns.to_string(), point(3), point(6), point(9), calendar.to_rfc3339(), exact.to_string()] {
                let written = WrittenTime::parse(&text).unwrap();
                prop_assert_eq!((written.at, written.is_finer), (exact, false), "{}", text);
            }
        }

        #[test]
        fn no_text_makes_it_panic(text in prop_oneof![any::<String>(), "[-+0-9TZ:., ]{0,40}", "2026-[-+0-9TZ:., é]{0,30}"]) {
            if let Some(written) = WrittenTime::parse(&text) {
                let _ = written.in_zone(Tz::Europe__Madrid);
            }
        }

        #[test]
        fn agrees_with_another_reader_of_rfc_3339(millis in -62_135_596_800_000i64..253_402_300_799_999, offset in -1_439i32..1_440) {
            let zone = chrono::FixedOffset::east_opt(offset * 60).unwrap();
            let time = chrono::DateTime::from_timestamp_millis(millis).unwrap().with_timezone(&zone);
            let text = time.to_rfc3339();
            prop_assume!(text.as_bytes().get(4) == Some(&b'-') && !text.starts_with("0000"));
            prop_assert_eq!(WrittenTime::parse(&text).unwrap().at, at(millis));
            if (100_000_000_000..100_000_000_000_000).contains(&millis.unsigned_abs()) {
                prop_assert_eq!(WrittenTime::epoch(&millis.to_string()).unwrap().at, at(millis));
            }
        }
    }
}
