//! Names: what they stand for, and where that is found.

use std::borrow::Cow;

use super::value::{Unknown, Value};
use super::{Dependency, Scope};
use crate::domain::json::Number;
use crate::domain::twin::{Properties, Property};
use crate::domain::{DeviceId, Json, Object, Timestamp, Twin};

/// These words after a device address the twin itself; every other word is a property that it reports.
pub const HEAD: [&str; 15] = [
    "reported",
    "desired",
    "tags",
    "configuration",
    "mode",
    "status",
    "name",
    "type",
    "id",
    "version",
    "last_seen",
    "group_id",
    "template",
    "claimed",
    "age",
];

/// These words of [`HEAD`] hold others.
const SECTIONS: [&str; 4] = ["reported", "desired", "tags", "configuration"];

/// A name: `pump.power`, `trigger.value`, `now`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    pub root: Root,
    /// What stands behind it, part by part.
    pub path: Box<[Box<str>]>,
}

/// What a name begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Root {
    Device(DeviceId),
    /// The device that fired the rule.
    TriggerDevice,
    Trigger,
    Now,
}

/// What a name stands for.
#[derive(Clone, Debug)]
pub enum Found<'a> {
    /// With its digits as they came.
    Json(&'a Json),
    Value(Value<'a>),
}

impl Name {
    /// The name that begins with the word `root`, if that is enough to say so.
    pub fn root_of(word: &str) -> Option<Root> {
        match word {
            "trigger" => Some(Root::Trigger),
            "now" => Some(Root::Now),
            "device" => Some(Root::TriggerDevice),
            id => DeviceId::parse(id).ok().map(Root::Device),
        }
    }

    /// Does it name a value? Otherwise, a sentence that says what is missing.
    pub fn check(&self, text: &str) -> Result<(), String> {
        let device = match &self.root {
            Root::Device(_) => true,
            Root::TriggerDevice => true,
            Root::Trigger | Root::Now => false,
        };
        match (&self.root, self.path.first().map(|first| &**first)) {
            (Root::Now, None) => Ok(()),
            (Root::Now, Some(_)) => {
                Err("`now` is a time and has no parts: its hour is now.getHours(\"Europe/Berlin\")".into())
            }
            (Root::Trigger, None) => {
                Err("`trigger` is not a value: write trigger.value, trigger.device, trigger.property…".into())
            }
            (_, None) => Err(format!(
                "`{text}` is a device and not a value: write {text}.power, {text}.status… (an id with `-` \
                 in it is written twin['{text}-1'], a text \"{text}\")"
            )),
            (_, Some(section)) if device && self.path.len() == 1 && SECTIONS[..2].contains(&section) => {
                Err(format!("`{text}` has many properties: name one, {text}.power"))
            }
            _ => Ok(()),
        }
    }

    /// Whose twin it looks at.
    pub fn dependency(&self) -> Option<Dependency> {
        match &self.root {
            Root::Device(id) => Some(Dependency::Device(id.clone())),
            Root::TriggerDevice => Some(Dependency::TriggerDevice),
            Root::Trigger | Root::Now => None,
        }
    }

    /// What it stands for in `scope`. `text` is the name as it is written.
    pub fn find<'a>(&self, scope: &Scope<'a>, text: &str) -> Result<Found<'a>, Unknown> {
        let device = match &self.root {
            Root::Now => return Ok(Value::Time(scope.now).into()),
            Root::Trigger => return in_trigger(scope.trigger, &self.path),
            Root::TriggerDevice => {
                scope.device.ok_or_else(|| Unknown("no device has fired this rule".into()))?.as_str()
            }
            Root::Device(id) => id.as_str(),
        };
        let twin =
            scope.twins.twin(device).ok_or_else(|| Unknown(format!("there is no device `{device}`")))?;
        in_twin(twin, &self.path, scope.now, text)
    }
}

impl<'a> Found<'a> {
    /// To calculate with.
    pub fn value(&self) -> Value<'a> {
        match self {
            Self::Json(json) => Value::of(json),
            Self::Value(value) => value.clone(),
        }
    }

    /// To be shown.
    pub fn to_json(&self) -> Json {
        match self {
            Self::Json(json) => (*json).clone(),
            Self::Value(value) => value.to_json(),
        }
    }
}

impl<'a> From<Value<'a>> for Found<'a> {
    fn from(value: Value<'a>) -> Self {
        Self::Value(value)
    }
}

fn in_trigger<'a>(trigger: &'a Object, path: &[Box<str>]) -> Result<Found<'a>, Unknown> {
    let found = member(trigger, path)
        .ok_or_else(|| Unknown(format!("what fired this rule has no `{}`", path.join("."))))?;
    match (path, found) {
        ([at], Json::String(text)) if **at == *"at" => {
            Ok(Timestamp::parse(text).map_or(Found::Json(found), |at| Value::Time(at).into()))
        }
        _ => Ok(Found::Json(found)),
    }
}

fn in_twin<'a>(twin: &'a Twin, path: &[Box<str>], now: Timestamp, text: &str) -> Result<Found<'a>, Unknown> {
    let id = &twin.id;
    let Some((first, rest)) = path.split_first() else {
        return Err(Unknown(format!("`{text}` is a device and not a value")));
    };
    let word = |word: &'a str| -> Result<Found<'a>, Unknown> {
        if word.is_empty() {
            return Err(Unknown(format!("`{id}` has no `{first}`")));
        }
        Ok(Value::Text(Cow::Borrowed(word)).into())
    };
    let whole = |object: &'a Object| -> Result<Found<'a>, Unknown> { Ok(Value::Object(object).into()) };
    if !rest.is_empty() && !SECTIONS.contains(&&**first) && HEAD.contains(&&**first) {
        return Err(Unknown(format!("`{first}` of `{id}` has no parts")));
    }
    match &**first {
        "reported" => property(&twin.reported, rest, now)
            .ok_or_else(|| Unknown(format!("`{id}` has not reported `{}`", rest.join(".")))),
        "desired" => property(&twin.desired, rest, now)
            .ok_or_else(|| Unknown(format!("`{id}` has no desired `{}`", rest.join(".")))),
        "tags" if rest.is_empty() => whole(&twin.tags),
        "configuration" if rest.is_empty() => whole(&twin.configuration),
        "tags" => member(&twin.tags, rest)
            .map(Found::Json)
            .ok_or_else(|| Unknown(format!("`{id}` has no tag `{}`", rest.join(".")))),
        "configuration" => member(&twin.configuration, rest)
            .map(Found::Json)
            .ok_or_else(|| Unknown(format!("the configuration of `{id}` has no `{}`", rest.join(".")))),
        "mode" => word(twin.mode.as_str()),
        "status" => word(twin.status.as_str()),
        "name" => word(twin.display_name()),
        "type" => word(&twin.profile.device_type),
        "group_id" => word(twin.profile.text("group_id")),
        "template" => word(twin.template_id().unwrap_or_default()),
        "id" => word(id_of(twin)),
        "version" => Ok(Value::Int(i64::try_from(twin.version).unwrap_or(i64::MAX)).into()),
        "claimed" => Ok(Value::Bool(twin.claimed).into()),
        "last_seen" | "age" => {
            let seen = twin.last_seen.ok_or_else(|| Unknown(format!("`{id}` has never been heard")))?;
            let age = &**first == "age";
            Ok(if age { seconds(seen, now) } else { Value::Time(seen) }.into())
        }
        _ => property(&twin.reported, path, now)
            .ok_or_else(|| Unknown(format!("`{id}` has not reported `{}`", path.join(".")))),
    }
}

fn id_of(twin: &Twin) -> &str {
    twin.id.as_str()
}

/// The property that `path` begins with, the longest name first (`motor.rpm` may be one property, or a member
/// of one), and what the rest of it says.
fn property<'a>(of: &'a Properties, path: &[Box<str>], now: Timestamp) -> Option<Found<'a>> {
    if let [name] = path {
        return of.get(name).map(|property| Found::Json(&property.value));
    }
    (1..=path.len()).rev().find_map(|length| {
        let (name, rest) = path.split_at(length);
        let property = match name {
            [name] => of.get(name)?,
            parts => of.get(&parts.join("."))?,
        };
        let Json::Object(object) = &property.value else { return about(property, rest, now) };
        member(object, rest).map(Found::Json).or_else(|| about(property, rest, now))
    })
}

/// The property's value, or what is known of it.
fn about<'a>(property: &'a Property, rest: &[Box<str>], now: Timestamp) -> Option<Found<'a>> {
    match rest {
        [] => Some(Found::Json(&property.value)),
        [word] => Some(Found::Value(match &**word {
            "quality" => Value::Text(Cow::Borrowed(property.quality().as_str())),
            "age" => seconds(property.at, now),
            "at" => Value::Time(property.at),
            "changed_at" => Value::Time(property.changed_at),
            _ => return None,
        })),
        _ => None,
    }
}

fn member<'a>(object: &'a Object, path: &[Box<str>]) -> Option<&'a Json> {
    let (first, rest) = path.split_first()?;
    let found = object.get(first)?;
    match (rest, found) {
        ([], found) => Some(found),
        (rest, Json::Object(inner)) => member(inner, rest),
        _ => None,
    }
}

/// How long ago, in seconds; a clock ahead of ours counts as just now.
fn seconds<'a>(at: Timestamp, now: Timestamp) -> Value<'a> {
    let ms = now.millis().saturating_sub(at.millis()).max(0);
    let text = format!("{}.{:03}", ms / 1_000, ms % 1_000);
    let text = text.trim_end_matches('0').trim_end_matches('.');
    match (text.parse(), Number::parse(text)) {
        (Ok(whole), _) => Value::Int(whole),
        (_, number) => Value::Double(number.map_or(0.0, |number| number.as_f64())),
    }
}
