//! Runs told to people: when, what set them off, why, and what came of it.

use serde_json::Value;

use super::print::moment_in;

/// A run and its reasons, from the form in which the API tells it.
#[must_use]
pub fn run(run: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut lines = Vec::new();
    let device = run["device"].as_str().map_or_else(String::new, |device| format!("  {device}"));
    let times = match run["count"].as_u64() {
        Some(count) if count > 1 => format!(", {count} times until {}", moment_in(&text(&run["last_at"]))),
        _ => String::new(),
    };
    lines.push(format!(
        "{}  {}{device}  {}: {}{times}",
        moment_in(&text(&run["at"])),
        text(&run["rule"]),
        trigger(run),
        outcome(run)
    ));
    for condition in run["conditions"].as_array().into_iter().flatten() {
        lines.push(format!("    {}  {}", holds(&condition["holds"]), text(&condition["text"])));
        for term in condition["terms"].as_array().into_iter().flatten() {
            let seen = term_seen(term);
            if !seen.is_empty() {
                lines.push(format!("             {seen}"));
            }
        }
    }
    for action in run["actions"].as_array().into_iter().flatten() {
        let device = action["device"].as_str().map_or_else(String::new, |device| format!(" {device}"));
        let data = if action["data"].is_null() { String::new() } else { format!(" {}", action["data"]) };
        let detail = action["detail"].as_str().map_or_else(String::new, |detail| format!(" ({detail})"));
        lines.push(format!(
            "    -> {}{device}{data}: {}{detail}",
            text(&action["kind"]),
            text(&action["result"])
        ));
    }
    lines.join("\n")
}

/// What set it off: `numeric temperature 28.5`.
fn trigger(run: &Value) -> String {
    let trigger = &run["trigger"];
    let mut told = match run["kind"].as_str() {
        Some("release") => format!("release of {}", trigger["kind"].as_str().unwrap_or_default()),
        _ => trigger["kind"].as_str().unwrap_or_default().to_owned(),
    };
    for name in ["property", "topic", "value"] {
        match &trigger["data"][name] {
            Value::Null => {}
            Value::String(text) => told.push_str(&format!(" {text}")),
            other => told.push_str(&format!(" {other}")),
        }
    }
    told
}

fn outcome(run: &Value) -> String {
    let say = |name: &str| run[name].as_str().filter(|text| !text.is_empty());
    match (run["outcome"].as_str(), say("why"), say("detail").or_else(|| say("reason"))) {
        (Some("not_run"), Some(why), Some(detail)) => format!("not run, {why}: {detail}"),
        (Some("not_run"), Some(why), None) => format!("not run, {why}"),
        (Some(outcome), _, Some(reason)) => format!("{outcome}: {reason}"),
        (outcome, ..) => outcome.unwrap_or_default().to_owned(),
    }
}

fn holds(holds: &Value) -> &'static str {
    match holds.as_bool() {
        Some(true) => "true   ",
        Some(false) => "false  ",
        None => "unknown",
    }
}

/// What the names in it stood for, and why it is not known.
fn term_seen(term: &Value) -> String {
    let values = term["values"].as_object().into_iter().flatten();
    let mut seen: Vec<_> = values.map(|(name, value)| format!("{name} = {value}")).collect();
    seen.extend(term["unknown"].as_str().map(|why| format!("not known: {why}")));
    seen.join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tells_a_run_with_its_reasons() {
        let told = run(&json!({
            "at": "2026-03-01T03:12:05.000Z", "rule": "cool", "device": "greenhouse", "kind": "trigger", "count": 1,
            "trigger": { "kind": "numeric", "data": { "property": "temperature", "value": 28.5 } },
            "conditions": [{ "text": "fan.mode != \"manual\"", "holds": true,
                "terms": [{ "values": { "fan.mode": "schedule" }, "holds": true }] }],
            "actions": [{ "kind": "command", "device": "fan", "data": { "type": "set" }, "result": "ok" }],
            "outcome": "done",
        }));
        let lines: Vec<_> = told.lines().collect();
        assert!(lines[0].ends_with("  cool  greenhouse  numeric temperature 28.5: done"), "{told}");
        assert_eq!(lines[1].trim(), r#"true     fan.mode != "manual""#);
        assert_eq!(lines[2].trim(), r#"fan.mode = "schedule""#);
        assert_eq!(lines[3].trim(), r#"-> command fan {"type":"set"}: ok"#);
    }

    #[test]
    fn tells_why_not_and_how_often() {
        let told = run(&json!({
            "at": "2026-03-01T03:12:05.000Z", "last_at": "2026-03-01T04:00:00.000Z", "rule": "cool", "device": null,
            "kind": "release", "count": 12, "trigger": { "kind": "cron", "data": {} },
            "conditions": [{ "text": "a.b", "holds": null, "terms": [{ "values": {}, "unknown": "no twin `a`" }] }],
            "actions": [], "outcome": "not_run", "why": "unknown", "detail": "`a.b` is not known",
        }));
        assert!(
            told.contains("release of cron: not run, unknown: `a.b` is not known, 12 times until "),
            "{told}"
        );
        assert!(told.contains("unknown  a.b") && told.contains("not known: no twin `a`"), "{told}");
    }
}
