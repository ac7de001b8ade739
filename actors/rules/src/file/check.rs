//! Reads values out of the tree by the tables, and writes down everything that does not fit.

use std::collections::HashMap;
use std::fmt::Write as _;

use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as Unfit, StrDeserializer};

use super::FileProblem;
use super::hint::{nearest, nearest_key};
use super::node::{YamlKey, YamlNode, YamlValue};
use super::secrets::SecretNames;
use super::shape::{CONDITIONS, KeyShape, MapShape, TRIGGERS, ValueKind};
use super::yaml::YamlFlaw;
use crate::action::ACTIONS;
use twinhub_domain::duration::{BadDuration, LONGEST_MS, amount_ms, file_duration_ms, within};
use twinhub_domain::{DeviceId, Json, Number};

/// More problems than this are one: the wrong file.
const MOST_PROBLEMS: usize = 1_000;
/// The keys of a duration that is a map: `{ hours: 1, minutes: 30 }`.
pub(crate) const UNIT_KEYS: [&str; 6] = ["weeks", "days", "hours", "minutes", "seconds", "milliseconds"];
const DURATION: &str = "a duration such as 90s, 1h 30m, 00:05:00 or { minutes: 5 }";

/// Everything that was found.
#[derive(Debug, Default)]
pub(crate) struct Checker {
    found: Vec<YamlFlaw>,
    /// The number of further problems.
    more: usize,
    pub secrets: SecretNames,
}

/// A map that has the keys it may have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Map<'n> {
    pub node: &'n YamlNode,
    pub shape: &'static MapShape,
}

impl<'n> Map<'n> {
    /// The value at `key`, null being nothing.
    pub fn get(&self, key: &str) -> Option<&'n YamlNode> {
        debug_assert!(self.shape.field(key).is_some(), "{} has no key {key}", self.shape.name);
        self.node.get(key)
    }

    /// Is there such a key, be it with nothing?
    pub fn has(&self, key: &str) -> bool {
        self.node.as_map().is_some_and(|entries| entries.iter().any(|(other, _)| *other.text == *key))
    }

    fn field(&self, key: &str) -> Option<(&'static KeyShape, &'n YamlNode)> {
        Some((self.shape.field(key)?, self.get(key)?))
    }
}

impl Checker {
    /// A checker that knows of these already.
    pub fn new(found: Vec<YamlFlaw>, secrets: SecretNames) -> Self {
        Self { found, more: 0, secrets }
    }

    /// Something is wrong with a value.
    pub fn flaw(&mut self, node: &YamlNode, message: impl Into<String>) {
        self.flaw_at((node.id, node.line, node.column), message.into(), None);
    }

    /// The same, with a suggestion.
    pub fn flaw_hint(&mut self, node: &YamlNode, message: impl Into<String>, hint: Option<String>) {
        self.flaw_at((node.id, node.line, node.column), message.into(), hint);
    }

    /// Something is wrong with a key.
    pub fn flaw_key(&mut self, key: &YamlKey, message: impl Into<String>, hint: Option<String>) {
        self.flaw_at((key.id, key.line, key.column), message.into(), hint);
    }

    /// Reports an error in a text, `at` bytes after its beginning.
    pub fn flaw_within(&mut self, node: &YamlNode, at: usize, message: impl Into<String>) {
        let mut column = node.column;
        if let YamlValue::Scalar(scalar) = &node.value
            && let Some(inset) = scalar.inset
        {
            let before = scalar.text.char_indices().take_while(|(index, _)| *index < at).count();
            column += u32::from(inset) + u32::try_from(before).unwrap_or(0);
        }
        self.flaw_at((node.id, node.line, column), message.into(), None);
    }

    fn flaw_at(&mut self, (id, line, column): (u32, u32, u32), message: String, hint: Option<String>) {
        if self.found.len() < MOST_PROBLEMS {
            self.found.push(YamlFlaw { id, of: id, line, column, message, hint });
        } else {
            self.more += 1;
        }
    }

    /// Reports an unexpected value.
    pub fn expected(&mut self, node: &YamlNode, what: &str) {
        self.expected_hint(node, what, None);
    }

    /// The same, with a suggestion.
    pub fn expected_hint(&mut self, node: &YamlNode, what: &str, hint: Option<String>) {
        if !matches!(node.value, YamlValue::Flawed) {
            self.flaw_hint(node, format!("expected {what}, found {}", node.kind()), hint);
        }
    }

    /// Has nothing been found?
    pub fn is_clean(&self) -> bool {
        self.found.is_empty()
    }

    /// Everything that was found, in the order of the text.
    pub fn finish(mut self, root: &YamlNode) -> Vec<FileProblem> {
        self.found.sort_by_key(|flaw| flaw.id);
        let mut pointers: HashMap<u32, String> =
            self.found.iter().map(|flaw| (flaw.of, String::new())).collect();
        point(root, &mut String::new(), &mut pointers);
        let mut problems: Vec<FileProblem> = self
            .found
            .into_iter()
            .map(|YamlFlaw { of, line, column, message, hint, .. }| {
                let pointer = pointers.get(&of).cloned().unwrap_or_default();
                FileProblem { line, column, pointer, message, hint }
            })
            .collect();
        if self.more > 0
            && let Some(last) = problems.last_mut()
        {
            let _ = write!(last.message, " (and {} problems more)", self.more); // to a String: cannot fail
        }
        problems
    }

    /// Reads a map of this shape: unknown and missing keys are reported.
    pub fn map<'n>(&mut self, node: &'n YamlNode, shape: &'static MapShape) -> Option<Map<'n>> {
        let Some(entries) = node.as_map() else {
            let keys = listed(shape.fields.iter().map(|field| field.key));
            self.expected(node, &format!("{}: a map with keys such as {keys}", shape.what));
            return None;
        };
        let mut meant = Vec::new();
        for (key, _) in entries {
            if shape.field(&key.text).is_none() {
                let (message, hint) = unknown(&key.text, shape);
                meant.extend(hint.clone());
                self.flaw_key(key, message, hint);
            }
        }
        for field in shape.fields.iter().filter(|field| field.needed) {
            let there = entries.iter().find(|(key, _)| *key.text == *field.key);
            match there {
                // It is there, misspelt, and that was told.
                None if meant.iter().any(|key| key == field.key) => {}
                None => self.flaw(node, format!("{} needs `{}`", shape.what, field.key)),
                Some((key, value)) if value.is_null() => {
                    self.flaw_key(
                        key,
                        format!("`{}` is empty, and {} needs it", field.key, shape.what),
                        None,
                    );
                }
                Some(_) => {}
            }
        }
        Some(Map { node, shape })
    }

    /// A map of one of these shapes, known by its key word.
    pub fn variant<'n>(
        &mut self,
        node: &'n YamlNode,
        shapes: &[&'static MapShape],
        what: &str,
    ) -> Option<Map<'n>> {
        let words = || shapes.iter().map(|shape| shape.word());
        let Some(entries) = node.as_map() else {
            self.expected(node, &format!("{what}, a map with one of the keys {}", listed(words())));
            return None;
        };
        let mut fitting = entries
            .iter()
            .filter_map(|(key, _)| shapes.iter().find(|s| s.word() == &*key.text).map(|s| (key, *s)));
        let Some((_, shape)) = fitting.next() else {
            let message = format!("{what} has one of the keys {}, and this has none", listed(words()));
            let near = entries.iter().find_map(|(key, _)| Some((key, nearest_key(&key.text, words())?)));
            match near {
                Some((key, word)) => {
                    let message = format!("`{}` is no key of {what}: {message}", key.text);
                    self.flaw_key(key, message, Some(word.to_owned()));
                }
                None => self.flaw(node, message),
            }
            return None;
        };
        if let Some((key, other)) = fitting.next() {
            let message = format!(
                "{what} has one key word, and this has `{}` and `{}`: the second belongs to an item of its own",
                shape.word(),
                other.word()
            );
            self.flaw_key(key, message, None);
            return None;
        }
        self.map(node, shape)
    }

    /// The text at `key`.
    pub fn text<'n>(&mut self, map: &Map<'n>, key: &str) -> Option<&'n str> {
        self.text_of(map.get(key)?)
    }

    /// A text.
    pub fn text_of<'n>(&mut self, node: &'n YamlNode) -> Option<&'n str> {
        let text = node.as_text();
        if text.is_none() {
            self.expected(node, "a text");
        }
        text
    }

    /// The boolean at `key`.
    pub fn bool(&mut self, map: &Map<'_>, key: &str) -> Option<bool> {
        let node = map.get(key)?;
        if let YamlValue::Scalar(scalar) = &node.value
            && let Some(value) = scalar.as_bool()
        {
            return Some(value);
        }
        let hint = match node.as_text().map(str::to_ascii_lowercase).as_deref() {
            Some("true" | "on" | "yes" | "y") => Some("true".to_owned()),
            Some("false" | "off" | "no" | "n") => Some("false".to_owned()),
            _ => None,
        };
        self.expected_hint(node, "true or false, without quotes", hint);
        None
    }

    /// The number at `key`.
    pub fn number(&mut self, map: &Map<'_>, key: &str) -> Option<Number> {
        let node = map.get(key)?;
        let YamlValue::Scalar(scalar) = &node.value else {
            self.expected(node, "a number");
            return None;
        };
        if let Some(number) = scalar.as_number() {
            return Some(number);
        }
        let bare = super::node::YamlScalar { plain: true, ..scalar.clone() }.as_number();
        let hint = bare.map(|number| format!("{} without quotes", number.as_str()));
        self.expected_hint(node, "a number", hint);
        None
    }

    /// The whole number at `key`, within the bounds of the table.
    pub fn whole(&mut self, map: &Map<'_>, key: &str) -> Option<i64> {
        let (field, node) = map.field(key)?;
        let ValueKind::Whole(from, to) = field.kind else { return None };
        let number = match &node.value {
            YamlValue::Scalar(scalar) => scalar.as_number().and_then(|number| number.as_str().parse().ok()),
            _ => None,
        };
        let within = number.filter(|number| (from..=to).contains(number));
        if within.is_none() {
            let what =
                if from == to { from.to_string() } else { format!("a whole number from {from} to {to}") };
            self.expected(node, &what);
        }
        within
    }

    /// The duration at `key`, in ms.
    pub fn duration(&mut self, map: &Map<'_>, key: &str) -> Option<i64> {
        let (field, node) = map.field(key)?;
        self.duration_of(node, if matches!(field.kind, ValueKind::Offset) { 0 } else { 1 })
    }

    /// A duration of `least` ms at least.
    pub fn duration_of(&mut self, node: &YamlNode, least: i64) -> Option<i64> {
        let read = match &node.value {
            YamlValue::Scalar(scalar) if !scalar.is_null() => file_duration_ms(&scalar.text),
            YamlValue::Map(entries) => self.units(entries)?,
            _ => {
                self.expected(node, DURATION);
                return None;
            }
        };
        match read.and_then(|ms| within(ms, least..=LONGEST_MS)) {
            Ok(ms) => Some(ms),
            Err(error) => {
                self.flaw(node, format!("expected {DURATION}: {error}"));
                None
            }
        }
    }

    /// The duration in a map of numbers by their units. None: a key is wrong, and was reported.
    fn units(&mut self, entries: &[(YamlKey, YamlNode)]) -> Option<Result<i64, BadDuration>> {
        let mut total = if entries.is_empty() { Err(BadDuration::Empty) } else { Ok(0_i64) };
        for (key, value) in entries {
            if !UNIT_KEYS.contains(&&*key.text) {
                let shown: String = key.text.chars().take(64).collect();
                let message =
                    format!("`{shown}` is no unit of a duration: {} are", listed(UNIT_KEYS.into_iter()));
                self.flaw_key(key, message, nearest(&key.text, UNIT_KEYS.into_iter()).map(str::to_owned));
                return None;
            }
            let Some(number) = value.as_text() else {
                self.expected(value, "a number");
                return None;
            };
            total = total.and_then(|total| {
                total.checked_add(amount_ms(number, &key.text)?).ok_or(BadDuration::Uncountable)
            });
        }
        Some(total)
    }

    /// The value of the word at `key`, one of those in the table.
    pub fn word<T: for<'de> Deserialize<'de>>(&mut self, map: &Map<'_>, key: &str) -> Option<T> {
        let (field, node) = map.field(key)?;
        let (ValueKind::Word(words) | ValueKind::Words(words)) = field.kind else { return None };
        self.word_of(node, words)
    }

    /// The words at `key`, one or a list.
    pub fn words<T: for<'de> Deserialize<'de>>(&mut self, map: &Map<'_>, key: &str) -> Vec<T> {
        let Some((field, node)) = map.field(key) else { return Vec::new() };
        let ValueKind::Words(words) = field.kind else { return Vec::new() };
        items(node).iter().filter_map(|item| self.word_of(item, words)).collect()
    }

    /// The value of one of these words.
    pub fn word_of<T: for<'de> Deserialize<'de>>(
        &mut self,
        node: &YamlNode,
        words: &[&'static str],
    ) -> Option<T> {
        let text = node.as_text().unwrap_or_default();
        if words.contains(&text) {
            let read: Result<T, Unfit> = T::deserialize(as_deserializer(text));
            debug_assert!(read.is_ok(), "the table has a word that the type has not: {text}");
            if let Ok(value) = read {
                return Some(value);
            }
        }
        let hint = nearest(text, words.iter().copied()).map(str::to_owned);
        self.expected_hint(node, &one_of(words.iter().copied()), hint);
        None
    }

    /// The document at `key`.
    pub fn json(&mut self, map: &Map<'_>, key: &str) -> Option<Json> {
        map.get(key).map(YamlNode::to_json)
    }

    /// A device's id.
    pub fn device(&mut self, node: &YamlNode) -> Option<DeviceId> {
        let text = self.text_of(node)?;
        match DeviceId::parse(text) {
            Ok(id) => Some(id),
            Err(error) => {
                self.flaw(node, error.to_string());
                None
            }
        }
    }
}

/// One or a list of them.
pub(crate) fn items(node: &YamlNode) -> &[YamlNode] {
    match &node.value {
        YamlValue::List(items) => items,
        _ => std::slice::from_ref(node),
    }
}

/// `` `a`, `b`, `c` ``.
pub(crate) fn listed<'a>(words: impl Iterator<Item = &'a str>) -> String {
    words.map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

/// `` one of `a`, `b` ``, or the only one.
fn one_of<'a>(words: impl ExactSizeIterator<Item = &'a str>) -> String {
    if words.len() == 1 { listed(words) } else { format!("one of {}", listed(words)) }
}

fn as_deserializer(text: &str) -> StrDeserializer<'_, Unfit> {
    text.into_deserializer()
}

/// The error about a key that a map of this shape does not have.
fn unknown(key: &str, shape: &'static MapShape) -> (String, Option<String>) {
    let shown: String = key.chars().take(64).collect();
    let keys = || shape.fields.iter().map(|field| field.key);
    for family in [&TRIGGERS[..], ACTIONS, &CONDITIONS[..]] {
        if !family.iter().any(|member| std::ptr::eq(*member, shape)) {
            continue;
        }
        let having: Vec<&str> = family
            .iter()
            .filter(|member| member.field(key).is_some() && member.word() != key)
            .map(|member| member.word())
            .collect();
        if !having.is_empty() {
            let having = listed(having.into_iter());
            return (format!("`{shown}` has no place in {}: it goes with {having}", shape.what), None);
        }
    }
    let message = format!("`{shown}` is no key of {}, which may have {}", shape.what, listed(keys()));
    (message, nearest_key(key, keys()).map(str::to_owned))
}

/// Fills in the JSON pointers of those values and keys that are asked for.
fn point(node: &YamlNode, path: &mut String, pointers: &mut HashMap<u32, String>) {
    if let Some(pointer) = pointers.get_mut(&node.id) {
        pointer.clone_from(path);
    }
    let length = path.len();
    match &node.value {
        YamlValue::List(items) => {
            for (index, item) in items.iter().enumerate() {
                let _ = write!(path, "/{index}"); // to a String: cannot fail
                point(item, path, pointers);
                path.truncate(length);
            }
        }
        YamlValue::Map(entries) => {
            for (key, value) in entries {
                path.push('/');
                path.push_str(&key.text.replace('~', "~0").replace('/', "~1"));
                if let Some(pointer) = pointers.get_mut(&key.id) {
                    pointer.clone_from(path);
                }
                point(value, path, pointers);
                path.truncate(length);
            }
        }
        YamlValue::Scalar(_) | YamlValue::Flawed => {}
    }
}
