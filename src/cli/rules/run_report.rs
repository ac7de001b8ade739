//! The report of a run for people: its time, its trigger, the values of its conditions, and its outcome.

use chrono_tz::Tz;
use twinhub_domain::{Json, Object};

use super::print::moment_of;

/// A member of an object; null where it is not there.
#[must_use]
pub fn member<'a>(of: &'a Json, name: &str) -> &'a Json {
    const NULL: &Json = &Json::Null;
    of.as_object().and_then(|object| object.get(name)).unwrap_or(NULL)
}

/// The items of an array; none where it is none.
#[must_use]
pub fn items(of: &Json) -> &[Json] {
    if let Json::Array(items) = of { items } else { &[] }
}

/// A count; 0 where it is none.
#[must_use]
pub fn number(of: &Json) -> u64 {
    if let Json::Number(number) = of { number.as_str().parse().unwrap_or_default() } else { 0 }
}

/// A run and its reasons, from the form in which the API tells it: numbers with their digits, times by the clock of
/// `zone`, which is its rule's.
#[must_use]
pub fn run(run: &Json, zone: Tz) -> String {
    let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
    let moment = |value: &Json| moment_of(value.as_str().unwrap_or_default(), zone);
    let mut lines = Vec::new();
    let device = member(run, "device_id").as_str().map_or_else(String::new, |device| format!("  {device}"));
    let times = match number(member(run, "count")) {
        count if count > 1 => format!(", {count} times until {}", moment(member(run, "last_at"))),
        _ => String::new(),
    };
    lines.push(format!(
        "{}  {}{device}  {}: {}{times}",
        moment(member(run, "at")),
        text(member(run, "rule_id")),
        trigger(run),
        outcome(run)
    ));
    for condition in items(member(run, "conditions")) {
        lines.push(format!("    {}  {}", holds(member(condition, "holds")), text(member(condition, "text"))));
        for term in items(member(condition, "terms")) {
            let seen = term_seen(term);
            if !seen.is_empty() {
                lines.push(format!("             {seen}"));
            }
        }
    }
    for action in items(member(run, "actions")) {
        let device =
            member(action, "device_id").as_str().map_or_else(String::new, |device| format!(" {device}"));
        let data = member(action, "data");
        let data = if *data == Json::Null { String::new() } else { format!(" {data}") };
        let detail =
            member(action, "detail").as_str().map_or_else(String::new, |detail| format!(" ({detail})"));
        lines.push(format!(
            "    -> {}{device}{data}: {}{detail}",
            text(member(action, "kind")),
            text(member(action, "result"))
        ));
    }
    lines.join("\n")
}

/// The trigger of the run: `numeric temperature 28.50`.
fn trigger(run: &Json) -> String {
    let trigger = member(run, "trigger");
    let kind = member(trigger, "kind").as_str().unwrap_or_default();
    let mut trigger_text = match member(run, "kind").as_str() {
        Some("release") => format!("release of {kind}"),
        _ => kind.to_owned(),
    };
    for name in ["property", "topic", "value"] {
        match member(member(trigger, "data"), name) {
            Json::Null => {}
            Json::String(text) => trigger_text.push_str(&format!(" {text}")),
            other => trigger_text.push_str(&format!(" {other}")),
        }
    }
    trigger_text
}

fn outcome(run: &Json) -> String {
    let text = |name: &str| member(run, name).as_str().filter(|text| !text.is_empty());
    match (text("outcome"), text("why"), text("detail").or_else(|| text("reason"))) {
        (Some("not_run"), Some(why), Some(detail)) => format!("not run, {why}: {detail}"),
        (Some("not_run"), Some(why), None) => format!("not run, {why}"),
        (Some(outcome), _, Some(reason)) => format!("{outcome}: {reason}"),
        (outcome, ..) => outcome.unwrap_or_default().to_owned(),
    }
}

fn holds(holds: &Json) -> &'static str {
    match holds {
        Json::Bool(true) => "true   ",
        Json::Bool(false) => "false  ",
        _ => "unknown",
    }
}

/// The values of the names in a term, and the reason where it is unknown.
fn term_seen(term: &Json) -> String {
    let values = member(term, "values").as_object().into_iter().flat_map(Object::iter);
    let mut seen: Vec<_> = values.map(|(name, value)| format!("{name} = {value}")).collect();
    seen.extend(member(term, "unknown").as_str().map(|why| format!("not known: {why}")));
    seen.join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn reported(run: &Value, zone: Tz) -> String {
        let text = run.to_string().replace("28.5,", "28.50,").replace("28.5}", "28.50}");
        super::run(&text.parse().unwrap(), zone)
    }

    #[test]
    fn tells_a_run_with_its_reasons() {
        let text = reported(
            &json!({
                "at": "2026-03-01T03:12:05.000Z", "rule_id": "cool", "device_id": "greenhouse", "kind": "trigger", "count": 1,
                "trigger": { "kind": "numeric", "data": { "property": "temperature", "value": 28.5 } },
                "conditions": [{ "text": "fan.mode != \"manual\"", "holds": true,
                    "terms": [{ "values": { "fan.mode": "schedule" }, "holds": true }] }],
                "actions": [{ "kind": "command", "device_id": "fan", "data": { "type": "set" }, "result": "ok" }],
                "outcome": "done",
            }),
            Tz::Europe__Madrid,
        );
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines[0],
            "2026-03-01 04:12:05.000+01:00  cool  greenhouse  numeric temperature 28.50: done"
        );
        assert_eq!(lines[1].trim(), r#"true     fan.mode != "manual""#);
        assert_eq!(lines[2].trim(), r#"fan.mode = "schedule""#);
        assert_eq!(lines[3].trim(), r#"-> command fan {"type":"set"}: ok"#);
    }

    #[test]
    fn tells_why_not_and_how_often() {
        let text = reported(
            &json!({
                "at": "2026-03-01T03:12:05.000Z", "last_at": "2026-03-01T04:00:00.000Z", "rule_id": "cool", "device_id": null,
                "kind": "release", "count": 12, "trigger": { "kind": "cron", "data": {} },
                "conditions": [{ "text": "a.b", "holds": null, "terms": [{ "values": {}, "unknown": "no twin `a`" }] }],
                "actions": [], "outcome": "not_run", "why": "unknown", "detail": "`a.b` is not known",
            }),
            Tz::UTC,
        );
        assert!(
            text.contains(
                "release of cron: not run, unknown: `a.b` is not known, 12 times until 2026-03-01 04:00:00.000Z"
            ),
            "{text}"
        );
        assert!(text.contains("unknown  a.b") && text.contains("not known: no twin `a`"), "{text}");
    }
}
