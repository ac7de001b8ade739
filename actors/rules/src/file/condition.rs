//! Conditions: expressions, the time of day, and their combinations.

use chrono::Weekday;
use chrono_tz::{TZ_VARIANTS, Tz};

use super::check::{Checker, Map, items};
use super::hint::nearest;
use super::node::{YamlNode, YamlValue};
use super::shape::{CONDITIONS, TIME};
use crate::expression::Expression;
use crate::model::{Condition, TimeOfDay};

/// The most conditions side by side.
const MOST: usize = 100;
const DAY: u32 = 86_400;
const WEEK: [Weekday; 7] =
    [Weekday::Mon, Weekday::Tue, Weekday::Wed, Weekday::Thu, Weekday::Fri, Weekday::Sat, Weekday::Sun];
const DAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

/// One condition or a list of them.
pub(crate) fn conditions(c: &mut Checker, node: &YamlNode, zone: Tz) -> Vec<Condition> {
    let items = items(node);
    if let Some(beyond) = items.get(MOST) {
        c.flaw(beyond, format!("{MOST} conditions at most stand side by side"));
        return Vec::new();
    }
    items.iter().filter_map(|item| condition(c, item, zone)).collect()
}

/// The conditions at `key`, all of which must hold, as one.
pub(crate) fn together(c: &mut Checker, map: &Map<'_>, key: &str, zone: Tz) -> Option<Condition> {
    let node = map.get(key)?;
    let mut all = conditions(c, node, zone);
    match all.len() {
        0 => {
            if matches!(&node.value, YamlValue::List(items) if items.is_empty()) {
                c.expected(node, "a condition");
            }
            None
        }
        1 => all.pop(),
        _ => Some(Condition::All(all)),
    }
}

/// One condition.
pub(crate) fn condition(c: &mut Checker, node: &YamlNode, zone: Tz) -> Option<Condition> {
    match &node.value {
        YamlValue::Scalar(scalar) if !scalar.is_null() => match Expression::compile(&scalar.text) {
            Ok(expression) => Some(Condition::Expression(expression)),
            Err(error) => {
                c.flaw_within(node, error.at, error.detail);
                None
            }
        },
        YamlValue::Map(entries) => {
            let is_word = |text: &str| text.chars().all(|c| c.is_alphanumeric() || c == '_');
            if let Some((key, _)) = entries.first()
                && !is_word(&key.text)
            {
                let message = "expected a condition; YAML takes this for a key and its value";
                let hint = "an expression with a colon and a space in it, or one that ends in a colon, must be in quotes";
                c.flaw_key(key, message, Some(hint.into()));
                return None;
            }
            held_together(c, node, zone)
        }
        _ => {
            c.expected(node, "a condition: an expression, or a map with `time`, `all`, `any` or `not`");
            None
        }
    }
}

fn held_together(c: &mut Checker, node: &YamlNode, zone: Tz) -> Option<Condition> {
    let map = c.variant(node, &CONDITIONS, "a condition that is no expression")?;
    let inner = map.get(map.shape.word())?;
    match map.shape.word() {
        "time" => time(c, inner, zone),
        "not" => {
            if matches!(inner.value, YamlValue::List(_)) {
                let hint = Some("not: { any: […] }".into());
                c.flaw_hint(inner, "`not` takes one condition: say whether all or any of these", hint);
                return None;
            }
            condition(c, inner, zone).map(|inner| Condition::Not(Box::new(inner)))
        }
        word => {
            let several = conditions(c, inner, zone);
            if several.is_empty() && matches!(&inner.value, YamlValue::List(items) if items.is_empty()) {
                c.expected(inner, "conditions");
            }
            Some(if word == "all" { Condition::All(several) } else { Condition::Any(several) })
        }
    }
}

fn time(c: &mut Checker, node: &YamlNode, zone: Tz) -> Option<Condition> {
    let map = c.map(node, &TIME)?;
    let after = time_of_day(c, &map, "after");
    let before = time_of_day(c, &map, "before");
    let weekdays = weekdays(c, &map);
    let zone = self::zone(c, &map).unwrap_or(zone);
    let is_said = ["after", "before", "weekdays"].iter().any(|key| map.get(key).is_some());
    if !is_said {
        c.flaw(node, "a time condition needs `after`, `before` or `weekdays`");
    }
    if let (Some(after), Some(before)) = (after, before)
        && after == before
    {
        c.flaw(node, "`after` and `before` are the same time: it holds always, or never");
    }
    Some(Condition::Time { after, before, weekdays, zone })
}

fn time_of_day(c: &mut Checker, map: &Map<'_>, key: &str) -> Option<TimeOfDay> {
    let node = map.get(key)?;
    let text = node.as_text().unwrap_or_default();
    let fields: Option<Vec<u32>> = text
        .split(':')
        .map(|field| {
            let plain = matches!(field.len(), 1 | 2) && field.bytes().all(|byte| byte.is_ascii_digit());
            field.parse().ok().filter(|_| plain)
        })
        .collect();
    let seconds = match fields.as_deref() {
        Some(&[hours, minutes]) if minutes < 60 => Some((hours * 60 + minutes) * 60),
        Some(&[hours, minutes, seconds]) if minutes < 60 && seconds < 60 => {
            Some((hours * 60 + minutes) * 60 + seconds)
        }
        _ => None,
    };
    // Midnight is the end of a day too.
    let latest = if key == "before" { DAY } else { DAY - 1 };
    let within = seconds.filter(|seconds| *seconds <= latest);
    if within.is_none() {
        c.expected(node, "a time of day such as 22:30");
    }
    within.map(TimeOfDay)
}

/// `Mon-Fri`, `Sat,Sun`, `[Mon, Tue]`: the days in the week's order.
fn weekdays(c: &mut Checker, map: &Map<'_>) -> Vec<Weekday> {
    let Some(node) = map.get("weekdays") else { return Vec::new() };
    let mut chosen = [false; 7];
    for item in items(node) {
        let text = item.as_text().unwrap_or_default();
        for part in text.split(',').map(str::trim) {
            let (from, to) = part.split_once('-').map_or((part, part), |(from, to)| (from.trim(), to.trim()));
            let (Some(first), Some(last)) = (weekday(from), weekday(to)) else {
                let wrong = if weekday(from).is_none() { from } else { to };
                let hint = nearest(wrong, DAYS.into_iter()).map(|day| day[..3].to_owned());
                c.expected_hint(item, "days such as Mon-Fri or Sat,Sun", hint);
                break;
            };
            let last = if last < first { last + 7 } else { last };
            for day in first..=last {
                chosen[day % 7] = true;
            }
        }
    }
    if matches!(&node.value, YamlValue::List(items) if items.is_empty()) {
        c.expected(node, "days such as Mon-Fri");
    }
    WEEK.into_iter().zip(chosen).filter(|(_, chosen)| *chosen).map(|(day, _)| day).collect()
}

fn weekday(text: &str) -> Option<usize> {
    let text = text.to_ascii_lowercase();
    (text.len() >= 3).then(|| DAYS.iter().position(|day| day.starts_with(&text))).flatten()
}

/// The time zone at `timezone`.
pub(crate) fn zone(c: &mut Checker, map: &Map<'_>) -> Option<Tz> {
    let node = map.get("timezone")?;
    let text = c.text_of(node)?;
    let zone = text.parse().ok();
    if zone.is_none() {
        let hint = nearest(text, TZ_VARIANTS.iter().map(|zone| zone.name())).map(str::to_owned);
        c.expected_hint(node, "a time zone such as Europe/Berlin", hint);
    }
    zone
}
