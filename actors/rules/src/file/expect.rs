//! Expectations of a test: `command fan`, `not stale`, `{ command fan: { type: set }, at: 9m }`.

use super::check::{Checker, items, listed};
use super::hint::nearest;
use super::node::{YamlNode, YamlValue};
use crate::engine::{EXPECTABLE, Expectable, Subject};
use crate::scenario::{Expectation, Expected};
use twinhub_domain::run::WhyNot;
use twinhub_domain::{DeviceId, Json, Mode, Object};

/// The fault, a sentence, and perhaps what was meant.
type Unclear = (String, Option<String>);

/// The reason why a rule did not run.
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
pub(super) fn expected(c: &mut Checker, node: &YamlNode) -> Vec<Expected> {
    if node.as_text() == Some("nothing") {
        return Vec::new();
    }
    items(node).iter().filter_map(|item| one(c, item)).collect()
}

fn one(c: &mut Checker, node: &YamlNode) -> Option<Expected> {
    let YamlValue::Map(entries) = &node.value else {
        let text = c.text_of(node)?;
        let (not, what) = read(text).map_err(|(message, hint)| c.flaw_hint(node, message, hint)).ok()?;
        return Some(Expected { text: text.into(), not, what, at_ms: None, details: Object::default() });
    };
    let mut at_ms = None;
    let mut effect = None;
    for (key, value) in entries {
        if &*key.text == "at" {
            at_ms = c.duration_of(value, 0);
        } else if effect.is_none() {
            effect = Some((key, value));
        } else {
            c.flaw_key(key, "an item has one expectation: the second needs an item of its own", None);
        }
    }
    let Some((key, value)) = effect else {
        c.expected(node, "something that is done, such as `command fan`");
        return None;
    };
    let (not, what) = read(&key.text).map_err(|(message, hint)| c.flaw_key(key, message, hint)).ok()?;
    let details = details(c, &key.text, value);
    Some(Expected { text: key.text.clone(), not, what, at_ms, details })
}

/// The members that it must have.
fn details(c: &mut Checker, text: &str, node: &YamlNode) -> Object {
    if node.is_null() {
        return Object::default();
    }
    let (Some(entries), Json::Object(object)) = (node.as_map(), node.to_json()) else {
        c.expected(node, "members that it must have");
        return Object::default();
    };
    let word = text.split_whitespace().find(|word| *word != "not").unwrap_or_default();
    let known = EXPECTABLE.iter().find(|of| of.word == word).map(|of| of.members).unwrap_or_default();
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

/// Reads the text. The error is a sentence, and perhaps what was meant.
fn read(text: &str) -> Result<(bool, Expectation), Unclear> {
    let text = text.trim();
    let (not, text) = text.strip_prefix("not ").map_or((false, text), |rest| (true, rest.trim()));
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let rest = rest.trim();
    let said: Option<Box<str>> = Some(rest).filter(|rest| !rest.is_empty()).map(Into::into);
    if not && let Some(why) = REASONS.into_iter().find(|why| why.as_str() == text) {
        return Ok((false, Expectation::NotRun(why)));
    }
    let Some(Expectable { word, subject, .. }) = EXPECTABLE.iter().find(|of| of.word == word) else {
        let effects = EXPECTABLE.iter().map(|of| of.word);
        let reasons = REASONS.iter().map(|why| why.as_str());
        let shown: String = word.chars().take(64).collect();
        let message = format!(
            "`{shown}` is nothing that a rule does: it is one of {}, or `not` and one of them or of {}",
            listed(effects.clone()),
            listed(reasons.clone())
        );
        return Err((message, nearest(word, effects.chain(reasons)).map(str::to_owned)));
    };
    let (subject, by_part, mode) = match subject {
        Subject::Device => (device(rest)?, false, None),
        Subject::DeviceAndMode => {
            let (device, mode) = device_and_mode(rest)?;
            (device, false, mode)
        }
        Subject::Text => (said, false, None),
        Subject::PartOfText => (said, true, None),
    };
    Ok((not, Expectation::Effect { word, subject, by_part, mode }))
}

/// A device's id, or nothing.
fn device(text: &str) -> Result<Option<Box<str>>, Unclear> {
    if text.is_empty() {
        return Ok(None);
    }
    let id = DeviceId::parse(text).map_err(|error| (error.to_string(), None))?;
    Ok(Some(id.as_str().into()))
}

/// `fan manual`, `fan`, or nothing.
fn device_and_mode(text: &str) -> Result<(Option<Box<str>>, Option<Mode>), Unclear> {
    let mut words = text.split_whitespace();
    let device = device(words.next().unwrap_or_default())?;
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
    Ok((device, mode))
}
