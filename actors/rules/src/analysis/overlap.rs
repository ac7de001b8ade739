//! Overlap: can two triggers fire for the same event, and two rules run at the same time?

use chrono::Weekday;
use chrono_tz::Tz;

use super::all_of;
use crate::expression::{Bound, Fact};
use crate::model;
use crate::model::{Condition, Path, Rule, Selector, TimeOfDay, Trigger, TriggerKind};
use twinhub_domain::{DeviceId, Json, Number, Timestamp};

/// The program is younger than this moment (2026-01-01T00:00Z), so its clock is later.
pub const EPOCH: i64 = 1_767_225_600_000;

/// The number of occurrences of two cron expressions that are compared.
const COMPARED: usize = 20;

/// Can one event, or one moment, fire both?
pub fn triggers(a: &Trigger, b: &Trigger) -> bool {
    use TriggerKind::{Alarm, Changed, Command, Cron, Event, Every, Mqtt, Numeric, Presence, Webhook};
    let meet = |a: &Selector, b: &Selector| a.meets(b);
    let either = |a: &Option<Box<str>>, b: &Option<Box<str>>| match (a, b) {
        (Some(a), Some(b)) => a == b,
        _ => true,
    };
    match (&a.kind, &b.kind) {
        (
            Numeric { of, property, above, below, .. },
            Numeric { of: other, property: other_property, above: other_above, below: other_below, .. },
        ) => {
            let a = thresholds(above.as_ref(), below.as_ref());
            let b = thresholds(other_above.as_ref(), other_below.as_ref());
            property == other_property
                && meet(of, other)
                && !matches!((a, b), (Some(a), Some(b)) if a.excludes(&b))
        }
        (
            Changed { of, path, from, to },
            Changed { of: other, path: other_path, from: other_from, to: other_to },
        ) => {
            let same = |a: &Option<Json>, b: &Option<Json>| !matches!((a, b), (Some(a), Some(b)) if a != b);
            path == other_path && meet(of, other) && same(from, other_from) && same(to, other_to)
        }
        (Event { of, kinds, data }, Event { of: other, kinds: other_kinds, data: other_data }) => {
            let kinds_meet =
                kinds.is_empty() || other_kinds.is_empty() || kinds.iter().any(|k| other_kinds.contains(k));
            let differ =
                |(key, value): (&str, &Json)| other_data.get(key).is_some_and(|other| other != value);
            kinds_meet && meet(of, other) && !data.iter().any(differ)
        }
        (Presence { of, status }, Presence { of: other, status: other_status }) => {
            status == other_status && meet(of, other)
        }
        (
            Command { of, command_type, status },
            Command { of: other, command_type: other_type, status: other_status },
        ) => {
            either(command_type, other_type)
                && (status.is_empty()
                    || other_status.is_empty()
                    || status.iter().any(|status| other_status.contains(status)))
                && meet(of, other)
        }
        (
            Alarm { of, alarm_type, becomes, .. },
            Alarm { of: other, alarm_type: other_type, becomes: other_becomes, .. },
        ) => {
            let whose = match (of, other) {
                (Some(of), Some(other)) => meet(of, other),
                _ => true,
            };
            whose && becomes == other_becomes && either(alarm_type, other_type)
        }
        (Cron { cron, .. }, Cron { cron: other, .. }) => {
            let times = |cron: &model::Cron| {
                let next = |at: &Timestamp| cron.recurrence.after(*at);
                let first = next(&Timestamp::from_millis(EPOCH));
                std::iter::successors(first, next).take(COMPARED).collect::<Vec<_>>()
            };
            let (a, b) = (times(cron), times(other));
            a.iter().any(|at| b.binary_search(at).is_ok())
        }
        (Every { .. }, Every { .. }) => true, // whole multiples meet sooner or later
        (Mqtt { topic, payload }, Mqtt { topic: other, payload: other_payload }) => {
            (topic_matches(topic, other) || topic_matches(other, topic))
                && !matches!((payload, other_payload), (Some(a), Some(b)) if a != b)
        }
        (Webhook { name, .. }, Webhook { name: other, .. }) => name == other,
        _ => false,
    }
}

/// The range of a numeric trigger's value; none for values outside of two thresholds.
pub fn thresholds(above: Option<&Number>, below: Option<&Number>) -> Option<Bound> {
    if let (Some(above), Some(below)) = (above, below)
        && above > below
    {
        return None;
    }
    let open = |threshold: &Number| (threshold.clone(), false);
    Some(Bound::Within { low: above.map(open), high: below.map(open) })
}

/// Does an MQTT filter match a topic (or another filter, word by word)?
pub fn topic_matches(filter: &str, topic: &str) -> bool {
    let (mut filter, mut topic) = (filter.split('/'), topic.split('/'));
    loop {
        match (filter.next(), topic.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(_)) => {}
            (Some(wanted), Some(word)) if wanted == word => {}
            _ => return false,
        }
    }
}

/// The facts that hold when a rule runs for `trigger`: from the trigger, and from its conditions.
pub fn facts(rule: &Rule, trigger: &Trigger) -> Vec<Fact> {
    let mut facts = Vec::new();
    let mut add = |of: &Selector, path: &str, bound: Bound| {
        let device: Option<DeviceId> = if let Selector::Device(id) = of { Some(id.clone()) } else { None };
        // Of the device that fired, whatever its name; and of the one that is named.
        if device.is_some() {
            facts.push(Fact { device: None, path: path.into(), bound: bound.clone() });
        }
        facts.push(Fact { device, path: path.into(), bound });
    };
    match &trigger.kind {
        TriggerKind::Numeric { of, property, above, below, .. } => {
            if let Some(bound) = thresholds(above.as_ref(), below.as_ref()) {
                add(of, property, bound);
            }
        }
        TriggerKind::Changed { of, path, to: Some(to), .. } => {
            add(of, &path_text(path), Bound::Is(to.clone()));
        }
        TriggerKind::Presence { of, status } => add(of, "status", Bound::Is(status.as_str().into())),
        _ => {}
    }
    all_of(&rule.conditions, &mut |condition| {
        if let Condition::Expression(expression) = condition {
            facts.extend(expression.facts());
        }
    });
    facts
}

/// As an expression names it behind the device.
pub fn path_text(path: &Path) -> String {
    match path {
        Path::Reported(name) => name.to_string(),
        Path::Desired(name) => format!("desired.{name}"),
        Path::Tag(name) => format!("tags.{name}"),
        Path::Configuration(name) => format!("configuration.{name}"),
        Path::Mode => "mode".into(),
        Path::Status => "status".into(),
        Path::Profile(name) => name.to_string(),
    }
}

/// Can the times of day of both rules' conditions not be at once?
pub fn times_exclude(a: &Rule, b: &Rule) -> bool {
    let times = |rule: &Rule| {
        let mut times = Vec::new();
        all_of(&rule.conditions, &mut |condition| {
            if let Condition::Time { after, before, weekdays, zone } = condition {
                times.push((*after, *before, weekdays.clone(), *zone));
            }
        });
        times
    };
    let others = times(b);
    times(a).iter().any(|a| others.iter().any(|b| spans_exclude(a, b)))
}

type DailyTimes = (Option<TimeOfDay>, Option<TimeOfDay>, Vec<Weekday>, Tz);

fn spans_exclude(a: &DailyTimes, b: &DailyTimes) -> bool {
    const DAY: u32 = 86_400;
    if a.3 != b.3 {
        return false;
    }
    // As spans within one day, one over midnight being two.
    let spans = |span: &DailyTimes| {
        let from = span.0.map_or(0, |time| time.0);
        let to = span.1.map_or(DAY, |time| time.0);
        if from > to { vec![(from, DAY), (0, to)] } else { vec![(from, to)] }
    };
    let (a_spans, b_spans) = (spans(a), spans(b));
    let meet = a_spans.iter().any(|a| b_spans.iter().any(|b| a.0 < b.1 && b.0 < a.1));
    let over_midnight = a_spans.len() + b_spans.len() > 2;
    let weekdays_differ =
        !over_midnight && !a.2.is_empty() && !b.2.is_empty() && !a.2.iter().any(|day| b.2.contains(day));
    !meet || weekdays_differ
}
