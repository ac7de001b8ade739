//! Values of expressions. Parts of a twin are borrowed from it.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::rc::Rc;

use twinhub_domain::json::{EXACT, Number, compare_whole};
use twinhub_domain::text::composed;
use twinhub_domain::{Json, Object, ReadingTime};

/// A value.
#[derive(Clone, Debug)]
pub enum Value<'a> {
    Null,
    Bool(bool),
    /// Wide enough for every counter of 64 bits, with a sign or without.
    Int(i128),
    Double(f64),
    Text(Cow<'a, str>),
    Time(ReadingTime),
    /// A length of time, in ms.
    Span(i64),
    Array(&'a [Json]),
    Object(&'a Object),
    List(Rc<[Value<'a>]>),
    Map(Rc<[(Value<'a>, Value<'a>)]>),
}

/// The reason why a value is not known: a sentence without its full stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown(pub String);

impl<'a> Value<'a> {
    /// A JSON value.
    pub fn of(json: &'a Json) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(value) => Self::Bool(*value),
            Json::Number(number) => Self::number(number),
            Json::String(text) => Self::Text(Cow::Borrowed(text)),
            Json::Array(items) => Self::Array(items),
            Json::Object(object) => Self::Object(object),
        }
    }

    /// A JSON value that was made for this.
    pub fn owned(json: Json) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(value) => Self::Bool(value),
            Json::Number(number) => Self::number(&number),
            Json::String(text) => Self::Text(String::from(text).into()),
            Json::Array(items) => Self::List(items.into_iter().map(Self::owned).collect()),
            Json::Object(object) => {
                let entry = |(key, value): (&str, &Json)| {
                    (Self::Text(key.to_owned().into()), Self::owned(value.clone()))
                };
                Self::Map(object.iter().map(entry).collect())
            }
        }
    }

    fn number(number: &Number) -> Self {
        if let Ok(whole) = number.as_str().parse() {
            return Self::Int(whole);
        }
        let double = number.as_f64();
        // `9007199254740993.0` is a whole number that no double holds.
        let whole = if double.abs() >= EXACT { number.as_whole() } else { None };
        whole.map_or(Self::Double(double), Self::Int)
    }

    /// The value as JSON; times and lengths of time as texts.
    pub fn to_json(&self) -> Json {
        match self {
            Self::Null => Json::Null,
            Self::Bool(value) => Json::Bool(*value),
            Self::Int(value) => Json::Number(Number::whole(*value)),
            Self::Double(value) => Number::from_f64(*value).map_or(Json::Null, Json::Number),
            Self::Text(text) => Json::String(text.as_ref().into()),
            Self::Time(at) => at.to_string().into(),
            Self::Span(ms) => span_text(*ms).into(),
            Self::Array(items) => Json::Array((*items).into()),
            Self::Object(object) => Json::Object((*object).clone()),
            Self::List(items) => Json::Array(items.iter().map(Self::to_json).collect()),
            Self::Map(entries) => {
                let key = |key: &Self| match key.to_json() {
                    Json::String(text) => text,
                    other => other.to_string().into(),
                };
                Json::Object(entries.iter().map(|(k, value)| (key(k), value.to_json())).collect())
            }
        }
    }

    /// The name of its type: `text`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "true or false",
            Self::Int(_) | Self::Double(_) => "a number",
            Self::Text(_) => "text",
            Self::Time(_) => "a time",
            Self::Span(_) => "a length of time",
            Self::Array(_) | Self::List(_) => "a list",
            Self::Object(_) | Self::Map(_) => "an object",
        }
    }

    /// A number's value.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            #[expect(clippy::cast_precision_loss, reason = "beyond 2^53 the nearest is meant")]
            Self::Int(value) => Some(*value as f64),
            Self::Double(value) => Some(*value),
            _ => None,
        }
    }

    /// A time, or a text that is one.
    pub fn as_time(&self) -> Option<ReadingTime> {
        match self {
            Self::Time(at) => Some(*at),
            Self::Text(text) => ReadingTime::parse(text),
            _ => None,
        }
    }

    /// The order of the two. None where the types do not go together, `Some(None)` for values without an order.
    pub fn compare(&self, other: &Self) -> Option<Option<Ordering>> {
        #[expect(clippy::cast_precision_loss, reason = "no length of time is that long")]
        let seconds = |ms: i64| ms as f64 / 1_000.0;
        Some(match (self, other) {
            (Self::Int(a), Self::Int(b)) => Some(a.cmp(b)),
            (Self::Text(a), Self::Text(b)) => Some(compare_texts(a, b)),
            (Self::Time(a), Self::Time(b)) => Some(a.cmp(b)),
            (Self::Span(a), Self::Span(b)) => Some(a.cmp(b)),
            (Self::Bool(a), Self::Bool(b)) => Some(a.cmp(b)),
            (Self::Time(a), Self::Text(_)) => Some(a.cmp(&other.as_time()?)),
            (Self::Text(_), Self::Time(b)) => Some(self.as_time()?.cmp(b)),
            (Self::Span(a), Self::Int(_) | Self::Double(_)) => seconds(*a).partial_cmp(&other.as_f64()?),
            (Self::Int(_) | Self::Double(_), Self::Span(b)) => self.as_f64()?.partial_cmp(&seconds(*b)),
            (Self::Int(a), Self::Double(b)) => compare_whole(*a, *b),
            (Self::Double(a), Self::Int(b)) => compare_whole(*b, *a).map(Ordering::reverse),
            _ => self.as_f64()?.partial_cmp(&other.as_f64()?),
        })
    }

    /// Are they the same? None where the types do not go together.
    pub fn equals(&self, other: &Self) -> Option<bool> {
        if matches!(self, Self::Null) || matches!(other, Self::Null) {
            return Some(matches!((self, other), (Self::Null, Self::Null)));
        }
        if let Some(order) = self.compare(other) {
            return Some(order == Some(Ordering::Equal));
        }
        if let (Some(a), Some(b)) = (self.items(), other.items()) {
            return Some(a.len() == b.len() && a.zip(b).all(|(a, b)| a.equals(&b) == Some(true)));
        }
        let (a, b) = (self.entries()?, other.entries()?);
        if a.len() != b.len() {
            return Some(false);
        }
        let mut fits = a.map(|(key, value)| other.get(&key).is_some_and(|b| value.equals(&b) == Some(true)));
        Some(fits.all(|fits| fits))
    }

    /// Is `item` among the items or keys of this? None where this has none.
    pub fn contains(&self, item: &Self) -> Option<bool> {
        if let Some(mut items) = self.items() {
            return Some(items.any(|other| other.equals(item) == Some(true)));
        }
        self.entries().map(|mut entries| entries.any(|(key, _)| key.equals(item) == Some(true)))
    }

    /// A list's items.
    pub fn items(&self) -> Option<Box<dyn ExactSizeIterator<Item = Self> + '_>> {
        match self {
            Self::Array(items) => Some(Box::new(items.iter().map(Self::of))),
            Self::List(items) => Some(Box::new(items.iter().cloned())),
            _ => None,
        }
    }

    /// An object's entries.
    fn entries(&self) -> Option<Box<dyn ExactSizeIterator<Item = (Self, Self)> + '_>> {
        match self {
            Self::Object(object) => {
                let entries: Vec<_> = object
                    .iter()
                    .map(|(key, value)| (Self::Text(Cow::Borrowed(key)), Self::of(value)))
                    .collect();
                Some(Box::new(entries.into_iter()))
            }
            Self::Map(entries) => Some(Box::new(entries.iter().cloned())),
            _ => None,
        }
    }

    /// The items for `all`, `exists`, …: a list's items, or an object's keys.
    pub fn range(&self) -> Option<Vec<Self>> {
        if let Some(items) = self.items() {
            return Some(items.collect());
        }
        self.entries().map(|entries| entries.map(|(key, _)| key).collect())
    }

    /// The member of an object at `key`.
    pub fn get(&self, key: &Self) -> Option<Self> {
        match (self, key) {
            (Self::Object(object), Self::Text(key)) => object.get(key).map(Self::of),
            (Self::Map(entries), key) => {
                let entry = entries.iter().find(|(k, _)| k.equals(key) == Some(true));
                entry.map(|(_, value)| value.clone())
            }
            _ => None,
        }
    }

    /// A list's item, from 0.
    pub fn item(&self, index: usize) -> Option<Self> {
        match self {
            Self::Array(items) => items.get(index).map(Self::of),
            Self::List(items) => items.get(index).cloned(),
            _ => None,
        }
    }

    /// The number of its items, entries or characters.
    pub fn size(&self) -> Option<usize> {
        match self {
            Self::Text(text) => Some(text.chars().count()),
            Self::Array(items) => Some(items.len()),
            Self::Object(object) => Some(object.len()),
            Self::List(items) => Some(items.len()),
            Self::Map(entries) => Some(entries.len()),
            _ => None,
        }
    }
}

/// A text may be written in several forms (`ü` is one character, or two): they are the same.
fn compare_texts(a: &str, b: &str) -> Ordering {
    if a.is_ascii() || b.is_ascii() { a.cmp(b) } else { composed(a).cmp(&composed(b)) }
}

/// A length of time as CEL writes it: `90s`, `0.5s`.
pub fn span_text(ms: i64) -> String {
    let (sign, ms) = (if ms < 0 { "-" } else { "" }, ms.unsigned_abs());
    let fraction = format!(".{:03}", ms % 1_000);
    format!("{sign}{}{}s", ms / 1_000, fraction.trim_end_matches('0').trim_end_matches('.'))
}
