//! Expectations of a test: `command fan`, `not stale`, `{ command fan: { type: set }, at: 9m }`.

use super::check::{Checker, items, listed};
use super::hint::nearest;
use super::node::{Node, Value};
use crate::scenario::{Expected, Wanted};
use twinhub_domain::run::WhyNot;
use twinhub_domain::{DeviceId, Json, Mode, Object};

/// The effects that a test can expect, with the members of each.
const DEEDS: [(&str, &[&str]); 10] = [
    ("command", &["type", "parameters", "priority", "ttl_ms", "timeout_ms", "max_attempts", "supersedes"]),
    ("desired", &["set"]),
    ("mode", &["mode"]),
    ("alarm", &["severity", "message", "device"]),
    ("clear", &["device"]),
    ("publish", &["payload", "retain"]),
    ("webhook", &["method", "headers", "body"]),
    ("log", &["level", "message"]),
    ("enable", &[]),
    ("disable", &[]),
];
/// Why a rule did not run.
const REASONS: [WhyNot; 10] = [
    WhyNot::Condition,
    WhyNot::Unknown,
    WhyNot::Stale,
    WhyNot::StillRunning,
    WhyNot::TooMany,
    WhyNot::Cooldown,
    WhyNot::Stopped,
    WhyNot::Depth,
    WhyNot::Missed,
    WhyNot::Panic,
];

/// One or a list of them; `nothing` for none.
pub(super) fn expected(c: &mut Checker, node: &Node) -> Vec<Expected> {
    if node.as_text() == Some("nothing") {
        return Vec::new();
    }
    items(node).iter().filter_map(|item| one(c, item)).collect()
}

fn one(c: &mut Checker, node: &Node) -> Option<Expected> {
    let Value::Map(entries) = &node.value else {
        let text = c.text_of(node)?;
        let (not, what) = read(text).map_err(|(message, hint)| c.flaw_hint(node, message, hint)).ok()?;
        return Some(Expected { text: text.into(), not, what, at_ms: None, details: Object::default() });
    };
    let mut at_ms = None;
    let mut deed = None;
    for (key, value) in entries {
        if &*key.text == "at" {
            at_ms = c.duration_of(value, 0);
        } else if deed.is_none() {
            deed = Some((key, value));
        } else {
            c.flaw_key(
                key,
                "one thing is expected by one item: the second belongs to an item of its own",
                None,
            );
        }
    }
    let Some((key, value)) = deed else {
        c.expected(node, "something that is done, such as `command fan`");
        return None;
    };
    let (not, what) = read(&key.text).map_err(|(message, hint)| c.flaw_key(key, message, hint)).ok()?;
    let details = details(c, &key.text, value);
    Some(Expected { text: key.text.clone(), not, what, at_ms, details })
}

/// The members that it must have.
fn details(c: &mut Checker, text: &str, node: &Node) -> Object {
    if node.is_null() {
        return Object::default();
    }
    let (Some(entries), Json::Object(object)) = (node.as_map(), node.to_json()) else {
        c.expected(node, "members that it must have");
        return Object::default();
    };
    let word = text.split_whitespace().find(|word| *word != "not").unwrap_or_default();
    let known = DEEDS.iter().find(|(deed, _)| *deed == word).map(|(_, members)| *members).unwrap_or_default();
    for (key, _) in entries {
        if !known.contains(&&*key.text) {
            let shown: String = key.text.chars().take(64).collect();
            let may = if known.is_empty() { "nothing".into() } else { listed(known.iter().copied()) };
            let hint = nearest(&key.text, known.iter().copied()).map(str::to_owned);
            c.flaw_key(key, format!("of `{word}` {may} can be said, not `{shown}`"), hint);
        }
    }
    object
}

/// Reads the text. The error is a sentence, and perhaps a suggestion.
fn read(text: &str) -> Result<(bool, Wanted), (String, Option<String>)> {
    let text = text.trim();
    let (not, text) = text.strip_prefix("not ").map_or((false, text), |rest| (true, rest.trim()));
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let rest = rest.trim();
    let said: Option<Box<str>> = Some(rest).filter(|rest| !rest.is_empty()).map(Into::into);
    if not && let Some(why) = REASONS.into_iter().find(|why| why.as_str() == text) {
        return Ok((false, Wanted::NotRun(why)));
    }
    let device = || match said.as_deref().map(DeviceId::parse) {
        None => Ok(None),
        Some(Ok(id)) => Ok(Some(id)),
        Some(Err(error)) => Err((error.to_string(), None)),
    };
    let what = match word {
        "command" => Wanted::Command { device: device()? },
        "desired" => Wanted::Desired { device: device()? },
        "mode" => mode(rest)?,
        "alarm" => Wanted::Alarm { alarm_type: said },
        "clear" => Wanted::Clear { alarm_type: said },
        "publish" => Wanted::Publish { topic: said },
        "webhook" => Wanted::Webhook { url: said },
        "log" => Wanted::Log { message: said },
        "enable" => Wanted::Enable { rule: said },
        "disable" => Wanted::Disable { rule: said },
        other => {
            let deeds = DEEDS.iter().map(|(deed, _)| *deed);
            let reasons = REASONS.iter().map(|why| why.as_str());
            let shown: String = other.chars().take(64).collect();
            let message = format!(
                "`{shown}` is nothing that a rule does: it is one of {}, or `not` and one of them or of {}",
                listed(deeds.clone()),
                listed(reasons.clone())
            );
            return Err((message, nearest(other, deeds.chain(reasons)).map(str::to_owned)));
        }
    };
    Ok((not, what))
}

/// `fan manual`, `fan`, or nothing.
fn mode(text: &str) -> Result<Wanted, (String, Option<String>)> {
    let mut words = text.split_whitespace();
    let device = words.next().map(DeviceId::parse).transpose().map_err(|error| (error.to_string(), None))?;
    let mode = match words.next() {
        None => None,
        Some(word) => {
            let hint = || nearest(word, ["manual", "schedule"].into_iter()).map(str::to_owned);
            Some(
                Mode::parse(word)
                    .ok_or_else(|| (format!("`{word}` is no mode: manual or schedule"), hint()))?,
            )
        }
    };
    Ok(Wanted::Mode { device, mode })
}
