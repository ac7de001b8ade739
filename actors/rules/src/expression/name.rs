//! Names: their meaning, and the lookup of their values.

use std::borrow::Cow;

use super::operators::Operator;
use super::tree::{ExpressionKind, ExpressionNode};
use super::value::{Unknown, Value};
use super::{Dependency, EvaluationScope, twin_names};
use twinhub_domain::fleet::Version;
use twinhub_domain::json::Number;
use twinhub_domain::status::UNKNOWN;
use twinhub_domain::twin::{Properties, inside};
use twinhub_domain::{DeviceId, Json, Object, ReadingTime, Status, Timestamp, Twin};

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

/// The device's own word on itself, unless it reports a property by that name.
pub(super) const FIRMWARE: &str = "firmware_version";

/// These words of [`HEAD`] hold others.
pub(super) const SECTIONS: [&str; 4] = ["reported", "desired", "tags", "configuration"];

/// A name: `pump.power`, `trigger.value`, `now`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    pub root: Root,
    /// The parts behind the root.
    pub path: Box<[Box<str>]>,
}

/// The root of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Root {
    Device(DeviceId),
    /// The device that fired the rule.
    TriggerDevice,
    /// The twin that a filter looks at.
    Itself,
    Trigger,
    Now,
}

/// The value of a name.
#[derive(Clone, Debug)]
pub enum NameValue<'a> {
    /// With its digits as they came.
    Json(&'a Json),
    Value(Value<'a>),
}

impl Name {
    /// The name of the word `root`, if it is one without further parts.
    pub fn root_of(word: &str) -> Option<Root> {
        match word {
            "trigger" => Some(Root::Trigger),
            "now" => Some(Root::Now),
            "device" => Some(Root::TriggerDevice),
            id => DeviceId::parse(id).ok().map(Root::Device),
        }
    }

    /// Checks that it names a value. The error is a sentence on the missing part.
    pub fn check(&self, text: &str) -> Result<(), String> {
        match (&self.root, self.path.first().map(|first| &**first)) {
            (Root::Now, None) => Ok(()),
            (Root::Now, Some(_)) => {
                Err("`now` is a time and has no parts: its hour is now.getHours(\"Europe/Berlin\")".into())
            }
            (Root::Trigger, None) => {
                Err("`trigger` is not a value: write trigger.value, trigger.device, trigger.property…".into())
            }
            (Root::Itself, None) => Err(format!("`{text}` is the twin itself: write {text}.power, or power")),
            (Root::Itself, Some(first)) => twin_names::check(first, self.path.len(), text),
            (_, None) => Err(format!(
                "`{text}` is a device and not a value: write {text}.power, {text}.status… (an id with `-` \
                 in it is written twin['{text}-1'], a text \"{text}\")"
            )),
            (Root::Device(_) | Root::TriggerDevice, Some(section))
                if self.path.len() == 1 && SECTIONS[..2].contains(&section) =>
            {
                Err(format!("`{text}` has many properties: name one, {text}.power"))
            }
            _ => Ok(()),
        }
    }

    /// Is its value a version? `firmware_version`, `tags.hw_version`.
    pub fn is_version(&self) -> bool {
        self.path.last().is_some_and(|last| Version::is_named(last))
    }

    /// The twin that it reads.
    pub fn dependency(&self) -> Option<Dependency> {
        match &self.root {
            Root::Device(id) => Some(Dependency::Device(id.clone())),
            Root::TriggerDevice => Some(Dependency::TriggerDevice),
            Root::Itself | Root::Trigger | Root::Now => None,
        }
    }

    /// Its value in `scope`; none where that is not known.
    pub fn find<'a>(&self, scope: &EvaluationScope<'a>) -> Option<NameValue<'a>> {
        match &self.root {
            Root::Now => Some(Value::Time(scope.now.into()).into()),
            Root::Trigger => in_trigger(scope.trigger, &self.path),
            Root::Itself => {
                twin_names::find(scope.twins.twin(scope.device?.as_str())?, &self.path, scope.now)
            }
            Root::TriggerDevice | Root::Device(_) => in_twin(self.twin(scope).ok()?, &self.path, scope.now),
        }
    }

    /// The reason why that is not known. `text` is the name as it is written.
    pub fn why(&self, scope: &EvaluationScope<'_>, text: &str) -> Unknown {
        let path = &*self.path;
        if self.root == Root::Trigger {
            return Unknown(format!("what fired this rule has no `{}`", path.join(".")));
        }
        match self.twin(scope) {
            Ok(twin) => Unknown(why_not_in(twin, path, text)),
            Err(unknown) => unknown,
        }
    }

    fn twin<'a>(&self, scope: &EvaluationScope<'a>) -> Result<&'a Twin, Unknown> {
        let device = match &self.root {
            Root::Device(id) => id.as_str(),
            _ => scope.device.ok_or_else(|| Unknown("no device has fired this rule".into()))?.as_str(),
        };
        scope.twins.twin(device).ok_or_else(|| Unknown(format!("there is no device `{device}`")))
    }
}

impl<'a> NameValue<'a> {
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

impl<'a> From<Value<'a>> for NameValue<'a> {
    fn from(value: Value<'a>) -> Self {
        Self::Value(value)
    }
}

fn in_trigger<'a>(trigger: &'a Object, path: &[Box<str>]) -> Option<NameValue<'a>> {
    let found = member(trigger, path)?;
    Some(match (path, found) {
        ([at], Json::String(text)) if **at == *"at" => {
            ReadingTime::parse(text).map_or(NameValue::Json(found), |at| Value::Time(at).into())
        }
        _ => NameValue::Json(found),
    })
}

/// The value of `path` in `twin`. An unknown costs nothing here: a filter asks each of thousands.
pub(super) fn in_twin<'a>(twin: &'a Twin, path: &[Box<str>], now: Timestamp) -> Option<NameValue<'a>> {
    let (first, rest) = path.split_first()?;
    if !rest.is_empty() && !SECTIONS.contains(&&**first) && HEAD.contains(&&**first) {
        return None; // it has no parts
    }
    let value = match &**first {
        "reported" => return property(&twin.reported, rest, now),
        "desired" => return property(&twin.desired, rest, now),
        "tags" if rest.is_empty() => Value::Object(&twin.setup.tags),
        "configuration" if rest.is_empty() => Value::Object(&twin.setup.configuration),
        "tags" => return member(&twin.setup.tags, rest).map(NameValue::Json),
        "configuration" => return member(&twin.setup.configuration, rest).map(NameValue::Json),
        "mode" => word(twin.control.mode.as_str())?,
        "status" => word(twin.presence.status.as_str())?,
        "name" => word(twin.display_name())?,
        "type" => word(&twin.profile.device_type)?,
        "group_id" => word(twin.profile.text("group_id"))?,
        "template" => word(twin.template_id().unwrap_or_default())?,
        "id" => word(twin.id.as_str())?,
        "version" => Value::Int(twin.version.into()),
        "claimed" => Value::Bool(twin.control.claimed),
        "last_seen" => Value::Time(twin.presence.last_seen?.into()),
        "age" => seconds(twin.presence.last_seen?, now),
        _ => {
            return property(&twin.reported, path, now).or_else(|| match path {
                // The version that it said of itself, by its status or its registration.
                [name] if **name == *FIRMWARE => word(twin.profile.text(FIRMWARE)).map(NameValue::from),
                _ => None,
            });
        }
    };
    Some(value.into())
}

/// The reason why [`in_twin`] found nothing.
fn why_not_in(twin: &Twin, path: &[Box<str>], text: &str) -> String {
    let id = &twin.id;
    let Some((first, rest)) = path.split_first() else {
        return format!("`{text}` is a device and not a value");
    };
    match &**first {
        "reported" => format!("`{id}` has not reported `{}`", rest.join(".")),
        "desired" => format!("`{id}` has no desired `{}`", rest.join(".")),
        "tags" => format!("`{id}` has no tag `{}`", rest.join(".")),
        "configuration" => format!("the configuration of `{id}` has no `{}`", rest.join(".")),
        known if HEAD.contains(&known) && !rest.is_empty() => format!("`{first}` of `{id}` has no parts"),
        "last_seen" | "age" => format!("`{id}` has never been heard"),
        known if HEAD.contains(&known) => format!("`{id}` has no `{first}`"),
        _ => format!("`{id}` has not reported `{}`", path.join(".")),
    }
}

/// Where a status is compared with the word of earlier versions for a device that was never heard, it is compared with
/// `offline`, the present status of such a device. A property that a device reports by this name is not changed.
pub fn read_old_status(operator: Operator, one: &mut ExpressionNode, other: &mut ExpressionNode) {
    if !operator.equates() && operator != Operator::In {
        return;
    }
    let asked = match (is_status(one), is_status(other)) {
        (true, false) => other,
        (false, true) => one,
        _ => return,
    };
    let read = |node: &mut ExpressionNode| {
        if let ExpressionKind::Text(word) = &mut node.kind
            && **word == *UNKNOWN
        {
            *word = Status::Offline.as_str().into();
        }
    };
    match &mut asked.kind {
        ExpressionKind::List(items) => items.iter_mut().for_each(read),
        _ => read(asked),
    }
}

fn is_status(node: &ExpressionNode) -> bool {
    let ExpressionKind::Name(name) = &node.kind else { return false };
    let is_of_twin = matches!(name.root, Root::Itself | Root::Device(_) | Root::TriggerDevice);
    is_of_twin && matches!(&*name.path, [word] if **word == *"status")
}

/// A word that a twin has; none where it has none.
pub(super) fn word(word: &str) -> Option<Value<'_>> {
    (!word.is_empty()).then_some(Value::Text(Cow::Borrowed(word)))
}

/// The value at `path`, nested before flat (`motor.rpm` may be a member of one property, or one by itself), or the
/// metadata of the property that it lies in.
pub(super) fn property<'a>(of: &'a Properties, path: &[Box<str>], now: Timestamp) -> Option<NameValue<'a>> {
    if let [name] = path {
        // One part is one name, also where it has dots in it: `reported['motor.rpm']`.
        let named = of.get(name).map(|property| &property.value);
        let found = named.or_else(|| of.at_path(name).map(|(_, value)| value));
        return found.map(NameValue::Json);
    }
    let joined = path.join(".");
    if let Some((_, value)) = of.at_path(&joined) {
        return Some(NameValue::Json(value));
    }
    let (of_what, word) = joined.rsplit_once('.')?;
    let (property, _) = of.at_path(of_what)?;
    Some(NameValue::Value(match word {
        "quality" => Value::Text(Cow::Borrowed(property.quality().as_str())),
        "unit" => Value::Text(Cow::Borrowed(of.unit_at(of_what)?)),
        "age" => seconds(property.at().floor(), now),
        "at" => Value::Time(property.at()),
        "changed_at" => Value::Time(property.changed_at()),
        _ => return None,
    }))
}

/// The value at `path` in an object, nested before flat.
#[must_use]
pub fn member<'a>(object: &'a Object, path: &[Box<str>]) -> Option<&'a Json> {
    strict_member(object, path).or_else(|| {
        // Somewhere a name has dots in it: seldom, so it may cost a text.
        let head = |length: usize| Some((object.get(&path[..length].join("."))?, &path[length..]));
        (1..=path.len()).filter_map(head).find_map(|(found, rest)| match rest {
            [] => Some(found),
            rest => inside(found, &rest.join(".")),
        })
    })
}

fn strict_member<'a>(object: &'a Object, path: &[Box<str>]) -> Option<&'a Json> {
    let (first, rest) = path.split_first()?;
    let found = object.get(first)?;
    match (rest, found) {
        ([], found) => Some(found),
        (rest, Json::Object(inner)) => strict_member(inner, rest),
        _ => None,
    }
}

/// The age in seconds; a clock ahead of ours counts as just now.
fn seconds<'a>(at: Timestamp, now: Timestamp) -> Value<'a> {
    let ms = now.millis().saturating_sub(at.millis()).max(0);
    let text = format!("{}.{:03}", ms / 1_000, ms % 1_000);
    let text = text.trim_end_matches('0').trim_end_matches('.');
    match (text.parse(), Number::parse(text)) {
        (Ok(whole), _) => Value::Int(whole),
        (_, number) => Value::Double(number.map_or(0.0, |number| number.as_f64())),
    }
}
