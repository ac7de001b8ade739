//! Limits: the expectations on a device's readings. For its health now, and for their quality later.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::duration::{EXAMPLES, GivenDuration, positive_ms};
use crate::json::{Json, Number, Object};
use crate::words::TruthWords;

/// A reading is overdue after this many of its intervals.
const INTERVALS: i64 = 3;
/// No unit is written longer, in bytes.
const LONGEST_UNIT: usize = 32;

/// The part of the range between `min` and `max`, or of the one limit there is, by which a reading has to be within for its
/// alarm to end, where no `margin` says it: a fiftieth is beyond the noise of most sensors.
const MARGIN_SHARE: f64 = 0.02;
/// No margin is more than this part of a range: in the middle of it each alarm ends.
const LARGEST_SHARE: f64 = 0.25;

/// By reading `{min, max, margin, for, unit, interval, words}`, each optional: `{"temperature": {"min": -10, "max": 40,
/// "margin": 0.5, "for": "30s", "unit": "°C", "interval": "60s"}, "power": {"words": ["OFF", "ON"]}}`. As a
/// document, so that numbers keep their digits and layers can be laid over each other.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Limits(Object);

/// The expectations of one reading.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ReadingLimit<'a> {
    pub min: Option<&'a Number>,
    pub max: Option<&'a Number>,
    /// The amount by which a value has to be within again for its alarm to end.
    pub margin: Option<&'a Number>,
    /// The time for which a value has to be beyond for an alarm to begin.
    pub for_ms: Option<i64>,
    pub unit: Option<&'a str>,
    pub interval_ms: Option<i64>,
}

/// The judgement of a reading, against its expectations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    /// Below `min` or above `max`, or no number where one of these is set.
    pub out_of_range: bool,
    /// The unit that it named last is another. One that never named any is not wrong.
    pub wrong_unit: bool,
    /// The reading has not come for three intervals.
    pub overdue: bool,
}

impl Limits {
    /// The limits after the merge patch; null takes away.
    ///
    /// # Errors
    /// The wrong field (`limits.temperature.min`), and its error.
    pub fn patched(&self, patch: &Object) -> Result<Self, (String, String)> {
        let mut merged = self.0.clone();
        merged.merge(patch);
        let mut limits = Object::default();
        for (reading, limit) in merged.iter() {
            let place = format!("limits.{reading}");
            if reading.is_empty() {
                return Err((place, "a reading has a name".into()));
            }
            let Json::Object(limit) = limit else {
                return Err((place, format!("expected an object, found {}", limit.kind())));
            };
            let checked = check(&place, limit)?;
            if !checked.is_empty() {
                limits.insert(reading, checked.into());
            }
        }
        Ok(Self(limits))
    }

    /// These over `base`: where both have a value, these count.
    #[must_use]
    pub fn over(&self, base: &Self) -> Self {
        let mut all = base.0.clone();
        all.merge(&self.0);
        Self(all)
    }

    /// Of the readings that `patch` names, one whose least is above its most, with the error. Limits that were laid
    /// over others may have one, and then it is no error of a patch of other readings.
    ///
    /// # Errors
    /// As [`Limits::patched`].
    pub fn check_ranges(&self, patch: &Object) -> Result<(), (String, String)> {
        let mut named = self.iter().filter(|(reading, _)| patch.get(reading).is_some());
        let crossed = named.find(|(_, limit)| matches!((limit.min, limit.max), (Some(a), Some(b)) if a > b));
        match crossed {
            None => Ok(()),
            Some((reading, _)) => Err((format!("limits.{reading}.min"), "is above `max`".into())),
        }
    }

    /// The words for false and true that this reading has.
    #[must_use]
    pub fn words(&self, reading: &str) -> Option<TruthWords<'_>> {
        TruthWords::of(self.0.get(reading)?.as_object()?.get("words")?)
    }

    /// True when nothing is expected of any reading.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The expectations, in the order of the readings' names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, ReadingLimit<'_>)> {
        self.0.iter().filter_map(|(reading, limit)| Some((reading, ReadingLimit::of(limit.as_object()?))))
    }

    /// As the document shows them.
    #[must_use]
    pub fn as_object(&self) -> &Object {
        &self.0
    }
}

impl<'a> ReadingLimit<'a> {
    fn of(limit: &'a Object) -> Self {
        Self {
            min: limit.get("min").and_then(Json::as_number),
            max: limit.get("max").and_then(Json::as_number),
            margin: limit.get("margin").and_then(Json::as_number),
            for_ms: limit.get("for").and_then(interval_ms),
            unit: limit.get("unit").and_then(Json::as_str),
            interval_ms: limit.get("interval").and_then(interval_ms),
        }
    }

    /// Judges the last of the reading: its value and unit, and its time. One that never came is waited for from `since`
    /// on.
    #[must_use]
    pub fn judge(
        &self,
        latest: Option<(&Json, Timestamp)>,
        unit: Option<&str>,
        since: Timestamp,
        now: Timestamp,
    ) -> Judgement {
        let has_range = self.min.is_some() || self.max.is_some();
        let out_of_range = latest.is_some_and(|(value, _)| match value.as_number() {
            Some(value) => self.min.is_some_and(|min| value < min) || self.max.is_some_and(|max| value > max),
            None => has_range,
        });
        let last = latest.map_or(since, |(_, at)| at);
        Judgement {
            out_of_range,
            wrong_unit: matches!((self.unit, unit), (Some(wanted), Some(latest)) if wanted != latest),
            overdue: self
                .interval_ms
                .is_some_and(|interval| last.plus_millis(interval.saturating_mul(INTERVALS)) < now),
        }
    }
}

impl ReadingLimit<'_> {
    /// Is a value so near to a limit, though within, that an alarm which it has goes on? So one that trembles at the limit
    /// is one alarm, and not many.
    #[must_use]
    pub fn is_near(&self, value: &Json) -> bool {
        let Some(value) = value.as_number().map(Number::as_f64) else { return false };
        let margin = self.margin();
        self.min.is_some_and(|min| value < min.as_f64() + margin)
            || self.max.is_some_and(|max| value > max.as_f64() - margin)
    }

    fn margin(&self) -> f64 {
        let (min, max) = (self.min.map(Number::as_f64), self.max.map(Number::as_f64));
        let range = min.zip(max).map(|(min, max)| max - min);
        let usual = || range.or(min).or(max).map_or(0.0, |size| size.abs() * MARGIN_SHARE);
        let margin = self.margin.map_or_else(usual, Number::as_f64);
        range.map_or(margin, |range| margin.min(range * LARGEST_SHARE))
    }
}

impl Judgement {
    /// As expected.
    #[must_use]
    pub fn is_good(self) -> bool {
        self == Self::default()
    }
}

/// One reading's part, in the form in which it is kept.
fn check(place: &str, limit: &Object) -> Result<Object, (String, String)> {
    let mut checked = Object::default();
    for (name, value) in limit.iter() {
        let wrong = |detail: &str| (format!("{place}.{name}"), detail.to_owned());
        let kept = match name {
            "min" | "max" => match value {
                Json::Number(_) => value.clone(),
                _ => return Err(wrong("expected a number")),
            },
            "margin" => match value {
                Json::Number(number) if number.as_f64() >= 0.0 => value.clone(),
                _ => return Err(wrong("expected a number, 0 or more, in the unit of the reading")),
            },
            "unit" => match value.as_str() {
                Some(unit) if !unit.trim().is_empty() && unit.len() <= LONGEST_UNIT => value.clone(),
                _ => return Err(wrong("expected a unit such as °C, of 1 to 32 bytes")),
            },
            "interval" | "for" => match GivenDuration::of(value) {
                Ok(given) => given.text().into(),
                Err(error) => {
                    let detail = format!("expected a duration such as {EXAMPLES}, or seconds: {error}");
                    return Err(wrong(&detail));
                }
            },
            "words" => match TruthWords::check(value) {
                Ok(()) => value.clone(),
                Err(detail) => return Err(wrong(detail)),
            },
            _ => {
                return Err(wrong(
                    "there is no such limit: `min`, `max`, `margin`, `for`, `unit`, `interval` and `words` are",
                ));
            }
        };
        checked.insert(name, kept);
    }
    Ok(checked)
}

fn interval_ms(value: &Json) -> Option<i64> {
    positive_ms(value.as_str()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::object;

    fn limits(text: &str) -> Limits {
        Limits::default().patched(&object(text.as_bytes()).unwrap()).unwrap()
    }

    fn check(patch: &str, expected: &str) {
        let had = limits(r#"{"t": {"min": -10.50, "max": 40, "interval": 60}, "p": {"unit": "bar"}}"#);
        let told = match had.patched(&object(patch.as_bytes()).unwrap()) {
            Ok(limits) => Json::from(limits.as_object().clone()).to_string(),
            Err((field, _)) => field,
        };
        assert_eq!(told, expected, "{patch}");
    }

    #[test]
    fn takes_patches_and_names_what_is_wrong() {
        check("{}", r#"{"p":{"unit":"bar"},"t":{"interval":"1m","max":40,"min":-10.50}}"#);
        check(
            r#"{"t": {"max": null, "interval": "1500ms"}, "p": null}"#,
            r#"{"t":{"interval":"1500ms","min":-10.50}}"#,
        );
        check(r#"{"t": null, "p": {"unit": null}}"#, "{}");
        check(r#"{"h": {"unit": "%"}, "t": null}"#, r#"{"h":{"unit":"%"},"p":{"unit":"bar"}}"#);
        for (wrong, field) in [
            (r#"{"t": {"min": "cold"}}"#, "limits.t.min"),
            (r#"{"t": {"max": true}}"#, "limits.t.max"),
            (r#"{"t": {"unit": ""}}"#, "limits.t.unit"),
            (r#"{"t": {"interval": "soon"}}"#, "limits.t.interval"),
            (r#"{"t": {"margin": -1}}"#, "limits.t.margin"),
            (r#"{"t": {"margin": "wide"}}"#, "limits.t.margin"),
            (r#"{"t": {"for": "ever"}}"#, "limits.t.for"),
            (r#"{"t": {"interval": 0}}"#, "limits.t.interval"),
            (r#"{"t": {"mni": 1}}"#, "limits.t.mni"),
            (r#"{"t": {"words": ["on", "ON"]}}"#, "limits.t.words"),
            (r#"{"t": 5}"#, "limits.t"),
            (r#"{"": {"min": 1}}"#, "limits."),
        ] {
            check(wrong, field);
        }
        let crossed = limits(r#"{"t": {"min": 5}}"#).over(&limits(r#"{"t": {"max": 4}}"#));
        assert_eq!(crossed.check_ranges(crossed.as_object()).unwrap_err().0, "limits.t.min");
        assert_eq!(crossed.check_ranges(limits(r#"{"h": {"min": 5}}"#).as_object()), Ok(()), "not its word");
        let even = limits(r#"{"t": {"min": 5, "max": 5}}"#);
        assert_eq!(even.check_ranges(even.as_object()), Ok(()));
    }

    #[test]
    fn a_value_has_to_be_well_within_for_its_alarm_to_end() {
        let near = |limit: &str, value: &str| {
            let limits = limits(&format!(r#"{{"t": {limit}}}"#));
            let (_, limit) = limits.iter().next().unwrap();
            limit.is_near(&value.parse().unwrap())
        };
        for (limit, value, expected) in [
            (r#"{"max": 100}"#, "98.1", true),
            (r#"{"max": 100}"#, "98", false),
            (r#"{"min": -50}"#, "-49.5", true),
            (r#"{"min": -50}"#, "-49", false),
            (r#"{"min": 0, "max": 50}"#, "49.5", true),
            (r#"{"min": 0, "max": 50}"#, "49", false),
            (r#"{"min": 0, "max": 50}"#, "0.5", true),
            (r#"{"max": 100, "margin": 10}"#, "90.1", true),
            (r#"{"max": 100, "margin": 10}"#, "90", false),
            (r#"{"max": 100, "margin": 0}"#, "100", false),
            (r#"{"min": 0, "max": 4, "margin": 9}"#, "2", false),
            (r#"{"min": 0, "max": 4, "margin": 9}"#, "3.1", true),
            (r#"{"max": 0}"#, "0", false),
            (r#"{"unit": "K"}"#, "5", false),
            (r#"{"max": 100}"#, r#""hot""#, false),
        ] {
            assert_eq!(near(limit, value), expected, "{value} with {limit}");
        }
    }

    #[test]
    fn judges_what_came() {
        let limits = limits(r#"{"t": {"min": 0, "max": 40, "unit": "°C", "interval": "10s"}}"#);
        let (_, limit) = limits.iter().next().unwrap();
        let at = |seconds: i64| Timestamp::from_millis(seconds * 1_000);
        let judge = |value: &str, unit: Option<&str>, latest: i64| {
            let value: Json = value.parse().unwrap();
            let judged = limit.judge(Some((&value, at(latest))), unit, at(0), at(100));
            (judged.out_of_range, judged.wrong_unit, judged.overdue)
        };
        assert_eq!(judge("40", Some("°C"), 100), (false, false, false));
        assert_eq!(judge("40.1", None, 70), (true, false, false));
        assert_eq!(judge("-1", Some("°F"), 69), (true, true, true));
        assert_eq!(judge("\"hot\"", None, 100), (true, false, false));
        assert!(limit.judge(None, None, at(69), at(100)).overdue, "it never came");
        assert!(limit.judge(None, None, at(70), at(100)).is_good(), "there is time still");
    }
}
