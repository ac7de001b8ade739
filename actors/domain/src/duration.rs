//! Durations as people write them: `90s`, `1h 30m`, `PT1H30M`; in rule files also `00:05:00`. The one grammar of
//! options, bodies, queries, files and expressions.

use std::fmt;
use std::ops::RangeInclusive;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::json::Json;

#[cfg(test)]
mod tests;

const SECOND_MS: i64 = 1_000;
const MINUTE_MS: i64 = 60 * SECOND_MS;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;
/// 366 days, in ms: more is a slip in a command or a rule.
pub const LONGEST_MS: i64 = 366 * DAY_MS;

/// Each unit with its names.
const UNITS: [(i64, &[&str]); 6] = [
    (1, &["ms", "msec", "millis", "millisecond", "milliseconds"]),
    (SECOND_MS, &["s", "sec", "secs", "second", "seconds"]),
    (MINUTE_MS, &["m", "min", "mins", "minute", "minutes"]),
    (HOUR_MS, &["h", "hr", "hrs", "hour", "hours"]),
    (DAY_MS, &["d", "day", "days"]),
    (7 * DAY_MS, &["w", "wk", "wks", "week", "weeks"]),
];
const FINER: [&str; 10] =
    ["us", "µs", "μs", "usec", "micros", "microseconds", "ns", "nsec", "nanos", "nanoseconds"];
const MONTHS: [&str; 3] = ["M", "month", "months"];
const YEARS: [&str; 5] = ["y", "yr", "yrs", "year", "years"];
/// The parts of an ISO 8601 duration before and after its `T`, in their order, each with the unit that it means.
const ISO_DATE: [(char, &str); 4] = [('Y', "years"), ('M', "months"), ('W', "w"), ('D', "d")];
const ISO_TIME: [(char, &str); 3] = [('H', "h"), ('M', "m"), ('S', "s")];
/// The length above which a text is not kept as it was given, in bytes: white space alone makes it so long.
const LONGEST_TEXT: usize = 64;
/// The number of characters shown of a text that cannot be read.
const SHOWN: usize = 40;

/// Examples of durations, for errors and descriptions.
pub const EXAMPLES: &str = "90s, 1h 30m or PT1H30M";

/// The reason why a duration cannot be read, or is not allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadDuration {
    #[error("it is empty: write a number and its unit, as 5m")]
    Empty,
    #[error("`{0}` is no number with its unit, as {examples}", examples = EXAMPLES)]
    Unreadable(Box<str>),
    #[error("`{0}` has no unit: write {0}s for seconds, {0}m for minutes")]
    NoUnit(Box<str>),
    #[error("`{0}` is no unit: ms, s, m, h, d and w are, as in 1h 30m")]
    UnknownUnit(Box<str>),
    #[error("`{0}` is finer than a millisecond: write 1ms or more")]
    TooFine(Box<str>),
    #[error("a {0} has no fixed length: write {1}")]
    NoFixedLength(&'static str, &'static str),
    #[error("`{0}` is negative: write it without the sign, as 5m")]
    Negative(Box<str>),
    #[error("`{0}` is no ISO 8601 duration: write PT1H30M, P1DT2H or P2W")]
    Iso(Box<str>),
    #[error("`{0}` is no HH:MM:SS: write 00:05:00 for five minutes")]
    Clock(Box<str>),
    #[error("it is longer than can be counted: write 1h, 30d")]
    Uncountable,
    #[error("0 is too short: write 1s or more")]
    Zero,
    #[error("{0} is too short: write {1} or more")]
    Short(Box<str>, Box<str>),
    #[error("{0} is too long: write {1} or less")]
    Long(Box<str>, Box<str>),
    #[error("it is {0}: write a text, as 5m, or a number of seconds")]
    Kind(&'static str),
}

impl BadDuration {
    fn of(make: fn(Box<str>) -> Self, text: &str) -> Self {
        make(text.chars().take(SHOWN).collect())
    }
}

/// The ms of a duration: `500ms`, `90s`, `1h 30m`, `1h30m`, `1.5h`, `2 minutes`, `PT1H30M`, `P1DT2H`, `P2W`; `0s` and
/// `0` too.
///
/// # Errors
/// The text is no duration.
pub fn duration_ms(text: &str) -> Result<i64, BadDuration> {
    let text = text.trim();
    if text.is_empty() {
        return Err(BadDuration::Empty);
    }
    if text == "0" {
        return Ok(0); // nothing needs no unit
    }
    if text.strip_prefix('-').is_some_and(|rest| rest.starts_with(|c: char| c == 'P' || c.is_ascii_digit())) {
        return Err(BadDuration::of(BadDuration::Negative, text));
    }
    match text.strip_prefix('P') {
        Some(rest) => iso_ms(text, rest),
        None => units_ms(text),
    }
}

/// The ms of a duration that is more than nothing.
///
/// # Errors
/// The text is no duration, or zero.
pub fn positive_ms(text: &str) -> Result<i64, BadDuration> {
    within(duration_ms(text)?, 1..=i64::MAX)
}

/// The ms of a duration in a rule file, where `00:05:00` is one too, and a number counts seconds.
///
/// # Errors
/// The text is no duration.
pub fn file_duration_ms(text: &str) -> Result<i64, BadDuration> {
    let text = text.trim();
    if text.contains(':') {
        return clock_ms(text);
    }
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if is_number { amount_ms(text, "s") } else { duration_ms(text) }
}

/// The ms of an amount of a unit: of `1.5` and `hours`.
///
/// # Errors
/// The number or the unit is none, or there are fractions of a millisecond.
pub fn amount_ms(number: &str, unit: &str) -> Result<i64, BadDuration> {
    let length = unit_ms(number, unit)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_digits(whole) || !is_digits(fraction) {
        return Err(match number.strip_prefix('-') {
            Some(_) => BadDuration::of(BadDuration::Negative, number),
            None => BadDuration::of(BadDuration::Unreadable, number),
        });
    }
    let whole = whole.parse::<i64>().ok().and_then(|whole| whole.checked_mul(length));
    let whole = whole.ok_or(BadDuration::Uncountable)?;
    let fraction = fraction.trim_end_matches('0');
    let too_fine = || BadDuration::of(BadDuration::TooFine, &format!("{number}{unit}"));
    let scale = u32::try_from(fraction.len()).ok().and_then(|digits| 10_i64.checked_pow(digits));
    let (Some(scale), Ok(part)) = (scale, format!("0{fraction}").parse::<i64>()) else {
        return Err(too_fine());
    };
    let part = i128::from(part) * i128::from(length);
    if part % i128::from(scale) != 0 {
        return Err(too_fine());
    }
    let part = i64::try_from(part / i128::from(scale)).map_err(|_| BadDuration::Uncountable)?;
    whole.checked_add(part).ok_or(BadDuration::Uncountable)
}

/// Checks that a duration is within its bounds, in ms.
///
/// # Errors
/// The duration is too short or too long.
pub fn within(ms: i64, range: RangeInclusive<i64>) -> Result<i64, BadDuration> {
    if range.contains(&ms) {
        return Ok(ms);
    }
    let text = |ms: i64| duration_text(ms).into_boxed_str();
    Err(match (ms < *range.start(), ms) {
        (true, 0) if *range.start() == 1 => BadDuration::Zero,
        (true, _) => BadDuration::Short(text(ms), text(*range.start())),
        (false, _) => BadDuration::Long(text(ms), text(*range.end())),
    })
}

/// The duration in the largest units without a remainder: `5m`, `1h 30m`, `1s 500ms`; `0s`. [`duration_ms`] reads it
/// back.
#[must_use]
pub fn duration_text(ms: i64) -> String {
    const SHOWN_AS: [(i64, &str); 5] =
        [(DAY_MS, "d"), (HOUR_MS, "h"), (MINUTE_MS, "m"), (SECOND_MS, "s"), (1, "ms")];
    let mut left = ms.max(0);
    let mut parts = Vec::new();
    for (length, unit) in SHOWN_AS {
        if left >= length {
            parts.push(format!("{}{unit}", left / length));
            left %= length;
        }
    }
    if parts.is_empty() { "0s".into() } else { parts.join(" ") }
}

/// A duration with the text by which it was given, and by which it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenDuration {
    text: Box<str>,
    ms: i64,
}

impl GivenDuration {
    /// Reads a text, or a number of seconds, that is more than nothing.
    ///
    /// # Errors
    /// The value is no duration.
    pub fn of(value: &Json) -> Result<Self, BadDuration> {
        match value {
            Json::String(text) => {
                let ms = positive_ms(text)?;
                let text = text.trim();
                let is_short = text.len() <= LONGEST_TEXT;
                Ok(Self { text: if is_short { text.into() } else { duration_text(ms).into() }, ms })
            }
            Json::Number(number) => {
                let ms = within(seconds_ms(number.as_f64())?, 1..=i64::MAX)?;
                Ok(Self { text: duration_text(ms).into(), ms })
            }
            other => Err(BadDuration::Kind(other.kind())),
        }
    }

    /// So many ms that nobody gave, in the largest units; nothing where they are negative.
    #[must_use]
    pub fn from_ms(ms: i64) -> Self {
        let ms = ms.max(0);
        Self { text: duration_text(ms).into(), ms }
    }

    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    #[must_use]
    pub fn ms(&self) -> i64 {
        self.ms
    }
}

impl Serialize for GivenDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.text.serialize(serializer)
    }
}

/// As it is kept: a text, or, by earlier versions, a number of ms.
impl<'de> Deserialize<'de> for GivenDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct DurationVisitor;
        impl de::Visitor<'_> for DurationVisitor {
            type Value = GivenDuration;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<GivenDuration, E> {
                let ms = duration_ms(text).map_err(E::custom)?;
                Ok(GivenDuration { text: text.into(), ms })
            }

            fn visit_i64<E: de::Error>(self, ms: i64) -> Result<GivenDuration, E> {
                Ok(GivenDuration::from_ms(ms))
            }

            fn visit_u64<E: de::Error>(self, ms: u64) -> Result<GivenDuration, E> {
                Ok(GivenDuration::from_ms(i64::try_from(ms).unwrap_or(i64::MAX)))
            }
        }
        deserializer.deserialize_any(DurationVisitor)
    }
}

/// The ms of a number of seconds, to the nearest.
fn seconds_ms(seconds: f64) -> Result<i64, BadDuration> {
    const MOST_MS: f64 = 1e15; // 30,000 years
    let ms = (seconds * 1_000.0).round();
    if seconds < 0.0 {
        return Err(BadDuration::of(BadDuration::Negative, &seconds.to_string()));
    }
    #[expect(clippy::cast_possible_truncation, reason = "within the limit just checked")]
    if ms <= MOST_MS { Ok(ms as i64) } else { Err(BadDuration::Uncountable) }
}

/// Amounts one after the other: `1h 30m`.
fn units_ms(text: &str) -> Result<i64, BadDuration> {
    let mut total: i64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let (number, after) = split_number(rest);
        let after = after.trim_start();
        let (unit, next) = after.split_at(after.find(|c: char| !c.is_alphabetic()).unwrap_or(after.len()));
        if number.is_empty() || (unit.is_empty() && !next.is_empty()) {
            return Err(BadDuration::of(BadDuration::Unreadable, text));
        }
        if unit.is_empty() {
            return Err(BadDuration::of(BadDuration::NoUnit, number));
        }
        total = total.checked_add(amount_ms(number, unit)?).ok_or(BadDuration::Uncountable)?;
        rest = next.trim_start();
    }
    Ok(total)
}

/// `1DT2H30M`, after the `P` of ISO 8601.
fn iso_ms(text: &str, rest: &str) -> Result<i64, BadDuration> {
    let bad = || BadDuration::of(BadDuration::Iso, text);
    let (date, time) = match rest.split_once('T') {
        Some((_, "")) => return Err(bad()),
        Some(parts) => parts,
        None if rest.is_empty() => return Err(bad()),
        None => (rest, ""),
    };
    let mut total: i64 = 0;
    for (mut rest, mut designators) in [(date, &ISO_DATE[..]), (time, &ISO_TIME[..])] {
        while !rest.is_empty() {
            let (number, after) = split_number(rest);
            let designator = after.chars().next().ok_or_else(bad)?;
            let place = designators.iter().position(|(known, _)| *known == designator).ok_or_else(bad)?;
            if number.is_empty() {
                return Err(bad());
            }
            let (_, unit) = designators[place];
            total = total.checked_add(amount_ms(number, unit)?).ok_or(BadDuration::Uncountable)?;
            designators = &designators[place + 1..]; // each once, in their order
            rest = &after[designator.len_utf8()..];
        }
    }
    Ok(total)
}

/// `HH:MM:SS`, with a fraction of the second perhaps.
fn clock_ms(text: &str) -> Result<i64, BadDuration> {
    let bad = || BadDuration::of(BadDuration::Clock, text);
    let fields: Vec<&str> = text.split(':').collect();
    let &[hours, minutes, seconds] = fields.as_slice() else { return Err(bad()) };
    let mut total: i64 = 0;
    for (field, unit, below) in [(hours, "h", i64::MAX), (minutes, "m", HOUR_MS), (seconds, "s", MINUTE_MS)] {
        let ms = match amount_ms(field, unit) {
            Err(BadDuration::Unreadable(_) | BadDuration::Negative(_)) => Err(bad()),
            Ok(ms) if ms >= below || (unit != "s" && field.contains('.')) => Err(bad()),
            told => told,
        }?;
        total = total.checked_add(ms).ok_or(BadDuration::Uncountable)?;
    }
    Ok(total)
}

/// The digits at the beginning, with a fraction perhaps, and the rest.
fn split_number(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len()))
}

fn unit_ms(number: &str, unit: &str) -> Result<i64, BadDuration> {
    if let Some((length, _)) = UNITS.iter().find(|(_, names)| names.contains(&unit)) {
        return Ok(*length);
    }
    Err(if FINER.contains(&unit) {
        BadDuration::of(BadDuration::TooFine, &format!("{number}{unit}"))
    } else if MONTHS.contains(&unit) {
        BadDuration::NoFixedLength("month", "days, as 30d (minutes are `m`)")
    } else if YEARS.contains(&unit) {
        BadDuration::NoFixedLength("year", "days, as 365d")
    } else {
        BadDuration::of(BadDuration::UnknownUnit, unit)
    })
}
