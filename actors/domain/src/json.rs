//! JSON as a twin holds it: numbers keep the digits they came with, and objects are small.
//!
//! `serde_json::Value` would turn `23.50` into `23.5` and `12345678901234567890123` into a float,
//! and its maps take over 600 bytes for one entry: with a million twins that is the memory limit.

mod difference;
mod lenient;
mod number;
mod reader;
mod size;
mod text;

use std::fmt;
use std::str::FromStr;

use serde::de::{self, MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use smallvec::SmallVec;

pub use difference::difference;
pub use lenient::Replacement;
pub use number::{EXACT, Number, compare_whole};
pub use reader::{JsonTypeError, fields_of};
pub use size::{DocumentSize, LARGEST_DOCUMENT, MOST_MEMBERS};
pub use text::{bare, write_string};

/// Deeper documents are refused: no real twin is so deep, and each level costs stack.
pub const DEEPEST: usize = 32;
/// The limit for documents that the hub itself has written, which may hold others a few levels down: a run's trigger a
/// message.
const DEEPEST_WRITTEN: usize = 2 * DEEPEST;

/// A patch of at most this many entries is applied one by one; a larger one in one walk over both objects.
const FEW_ENTRIES: usize = 16;

/// A JSON value.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Json {
    #[default]
    Null,
    Bool(bool),
    Number(Number),
    String(Box<str>),
    Array(Box<[Json]>),
    Object(Object),
}

/// A JSON object: keys in order, each once.
#[derive(Clone, Default, PartialEq)]
pub struct Object(Vec<(Box<str>, Json)>);

/// The reason why a text is no JSON that a twin can hold.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    #[error("not JSON: {0}")]
    Syntax(#[from] serde_json::Error),
    #[error("nested deeper than {DEEPEST} levels")]
    TooDeep,
    #[error("the number {0} is out of range")]
    OutOfRange(String),
}

impl Json {
    /// Reads JSON text.
    ///
    /// # Errors
    /// Not UTF-8, not JSON (with line and column), deeper than [`DEEPEST`], or a number beyond ±1.8e308.
    pub fn parse(bytes: &[u8]) -> Result<Self, JsonError> {
        match serde_json::from_slice(bytes) {
            Ok(raw) => Self::from_raw(raw, DEEPEST),
            Err(error) => match bare(bytes) {
                text if text.len() < bytes.len() => Self::from_raw(serde_json::from_slice(text)?, DEEPEST),
                _ => Err(error.into()),
            },
        }
    }

    /// As [`Json::parse`], but a value that no twin can hold (nested too deep, a number out of range) is left out of
    /// its array, null in its place, and put into `bad` with the beginning of its path: `motor.rpm`. In an object
    /// `stand_in` gives its replacement, if any. None where there are more than `most` of them.
    ///
    /// # Errors
    /// Not UTF-8 or not JSON, or the whole is bad; nothing of it is used then.
    pub fn parse_leaving_out(
        bytes: &[u8],
        stand_in: Replacement,
        most: usize,
        bad: &mut Vec<(String, JsonError)>,
    ) -> Result<Option<Self>, JsonError> {
        lenient::parse(bare(bytes), stand_in, most, bad)
    }

    /// `levels`: how many it may have below the first.
    fn from_raw(raw: &RawValue, levels: usize) -> Result<Self, JsonError> {
        let text = raw.get();
        let inner = |raw: &RawValue| {
            let levels = levels.checked_sub(1).ok_or(JsonError::TooDeep)?;
            Self::from_raw(raw, levels)
        };
        Ok(match text.as_bytes().first() {
            Some(b'{') => {
                let RawObject(entries) = serde_json::from_str(text)?;
                let mut read = Vec::with_capacity(entries.len());
                for (key, value) in entries {
                    read.push((key.into_boxed_str(), inner(value)?));
                }
                Self::Object(Object::of(read))
            }
            Some(b'[') => {
                let RawArray(items) = serde_json::from_str(text)?;
                let items: Result<Vec<_>, _> = items.into_iter().map(inner).collect();
                Self::Array(items?.into())
            }
            Some(b'"') => Self::String(serde_json::from_str::<String>(text)?.into()),
            Some(b't') => Self::Bool(true),
            Some(b'f') => Self::Bool(false),
            Some(b'n') => Self::Null,
            _ => Self::Number(Number::of_json(text).ok_or_else(|| out_of_range(text))?),
        })
    }

    /// The text of a string value.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self { Some(text) } else { None }
    }

    /// A number's value.
    #[must_use]
    pub fn as_f64(&self) -> Option<f64> {
        if let Self::Number(number) = self { Some(number.as_f64()) } else { None }
    }

    /// A number with its digits.
    #[must_use]
    pub fn as_number(&self) -> Option<&Number> {
        if let Self::Number(number) = self { Some(number) } else { None }
    }

    /// An object's entries.
    #[must_use]
    pub fn as_object(&self) -> Option<&Object> {
        if let Self::Object(object) = self { Some(object) } else { None }
    }

    /// The name of its type, for error messages: `a number`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::String(_) => "a string",
            Self::Array(_) => "an array",
            Self::Object(_) => "an object",
        }
    }

    /// Applies `patch` as by RFC 7396: objects merge, null removes, anything else replaces.
    pub fn merge(&mut self, patch: &Self) {
        let Self::Object(patch) = patch else {
            *self = patch.clone();
            return;
        };
        if !matches!(self, Self::Object(_)) {
            *self = Self::Object(Object::default());
        }
        if let Self::Object(target) = self {
            target.merge(patch);
        }
    }

    /// Writes this as compact JSON text.
    pub fn write(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Number(number) => out.push_str(number.as_str()),
            Self::String(text) => write_string(out, text),
            Self::Array(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    item.write(out);
                }
                out.push(']');
            }
            Self::Object(object) => object.write(out),
        }
    }
}

/// The beginning of the number's text is quoted: it may be as long as the document.
fn out_of_range(text: &str) -> JsonError {
    const SHOWN: usize = 64;
    JsonError::OutOfRange(text.get(..SHOWN).map_or_else(|| text.to_owned(), |start| format!("{start}…")))
}

impl Object {
    /// An object of `entries` in any order; of equal keys the last counts. Sorted once: a sorted insert for each
    /// key would move all those behind it, which is quadratic where keys descend.
    fn of(mut entries: Vec<(Box<str>, Json)>) -> Self {
        if !entries.is_sorted_by(|(one, _), (next, _)| one < next) {
            entries.sort_by(|(one, _), (other, _)| one.cmp(other)); // stable: the last of equal keys stays last
            entries.dedup_by(|later, kept| {
                let is_same = later.0 == kept.0;
                if is_same {
                    std::mem::swap(&mut later.1, &mut kept.1);
                }
                is_same
            });
        }
        entries.shrink_to_fit(); // small objects stay exactly as large as they are
        Self(entries)
    }

    /// The number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True when there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value at `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Json> {
        self.find(key).ok().map(|index| &self.0[index].1)
    }

    /// The value at `key`, to change it.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Json> {
        self.find(key).ok().map(|index| &mut self.0[index].1)
    }

    /// Puts `value` at `key` and gives back the earlier one.
    pub fn insert(&mut self, key: impl Into<Box<str>>, value: Json) -> Option<Json> {
        let key = key.into();
        match self.find(&key) {
            Ok(index) => Some(std::mem::replace(&mut self.0[index].1, value)),
            Err(index) => {
                if self.0.len() == self.0.capacity() && self.0.len() < 8 {
                    self.0.reserve_exact(1); // small objects stay exactly as large as they are
                }
                self.0.insert(index, (key, value));
                None
            }
        }
    }

    /// Takes the entry at `key` out.
    pub fn remove(&mut self, key: &str) -> Option<Json> {
        self.find(key).ok().map(|index| self.0.remove(index).1)
    }

    /// Keeps the entries of which `keep` is true: one pass costs less than a search for each of several keys.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &mut Json) -> bool) {
        self.0.retain_mut(|(key, value)| keep(key, value));
    }

    /// The entries in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Json)> {
        self.0.iter().map(|(key, value)| (&**key, value))
    }

    /// Applies `patch` as by RFC 7396.
    pub fn merge(&mut self, patch: &Self) {
        if patch.len() <= FEW_ENTRIES {
            patch.iter().for_each(|(key, value)| self.merge_entry(key, value));
            return;
        }
        // Both are sorted: one walk over the two, however many entries come or go.
        let had = std::mem::take(&mut self.0);
        let mut merged = Vec::with_capacity(had.len() + patch.len());
        let mut had = had.into_iter().peekable();
        for (key, value) in &patch.0 {
            while let Some(before) = had.next_if(|(name, _)| name < key) {
                merged.push(before);
            }
            let found = had.next_if(|(name, _)| name == key);
            if *value == Json::Null {
                continue;
            }
            let (key, mut target) = found.unwrap_or_else(|| (key.clone(), Json::Null));
            target.merge(value);
            merged.push((key, target));
        }
        merged.extend(had);
        merged.shrink_to_fit();
        self.0 = merged;
    }

    fn merge_entry(&mut self, key: &str, value: &Json) {
        if *value == Json::Null {
            self.remove(key);
            return;
        }
        match self.find(key) {
            Ok(index) => self.0[index].1.merge(value),
            Err(_) => {
                let mut fresh = Json::Null;
                fresh.merge(value);
                self.insert(key, fresh);
            }
        }
    }

    /// Writes this as compact JSON text.
    pub fn write(&self, out: &mut String) {
        out.push('{');
        for (index, (key, value)) in self.0.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            write_string(out, key);
            out.push(':');
            value.write(out);
        }
        out.push('}');
    }

    fn find(&self, key: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(k, _)| (**k).cmp(key))
    }
}

impl<K: Into<Box<str>>> FromIterator<(K, Json)> for Object {
    fn from_iter<I: IntoIterator<Item = (K, Json)>>(entries: I) -> Self {
        Self::of(entries.into_iter().map(|(key, value)| (key.into(), value)).collect())
    }
}

impl IntoIterator for Object {
    type Item = (Box<str>, Json);
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        self.write(&mut text);
        f.write_str(&text)
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl FromStr for Json {
    type Err = JsonError;

    fn from_str(text: &str) -> Result<Self, JsonError> {
        Self::parse(text.as_bytes())
    }
}

impl From<&str> for Json {
    fn from(text: &str) -> Self {
        Self::String(text.into())
    }
}

impl From<String> for Json {
    fn from(text: String) -> Self {
        Self::String(text.into())
    }
}

impl From<bool> for Json {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Json {
    fn from(value: i64) -> Self {
        Self::Number(value.into())
    }
}

impl From<Object> for Json {
    fn from(object: Object) -> Self {
        Self::Object(object)
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Number(number) => number.serialize(serializer),
            Self::String(text) => serializer.serialize_str(text),
            Self::Array(items) => {
                let mut seq = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    seq.serialize_element(item)?;
                }
                seq.end()
            }
            Self::Object(object) => object.serialize(serializer),
        }
    }
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.len()))?;
        for (key, value) in self.iter() {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

/// Works with `serde_json` and out of [`Json`] itself, and not inside `flatten` or tagged enums: those lose the digits.
impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Self::from_raw(&raw, DEEPEST_WRITTEN).map_err(de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Json::deserialize(deserializer)? {
            Json::Object(object) => Ok(object),
            other => Err(de::Error::custom(format!("expected an object, found {}", other.kind()))),
        }
    }
}

/// One level of an object, its values unread. Most have so few that they cost no allocation.
struct RawObject<'a>(SmallVec<[(String, &'a RawValue); 8]>);

/// One level of an array, its items unread.
struct RawArray<'a>(Vec<&'a RawValue>);

impl<'de> Deserialize<'de> for RawObject<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor;
        impl<'de> Visitor<'de> for ObjectVisitor {
            type Value = SmallVec<[(String, &'de RawValue); 8]>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = SmallVec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(entries)
            }
        }
        deserializer.deserialize_map(ObjectVisitor).map(Self)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for RawArray<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ArrayVisitor;
        impl<'de> Visitor<'de> for ArrayVisitor {
            type Value = Vec<&'de RawValue>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    items.push(item);
                }
                Ok(items)
            }
        }
        deserializer.deserialize_seq(ArrayVisitor).map(Self)
    }
}

#[cfg(test)]
mod tests;
