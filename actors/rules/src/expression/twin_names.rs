//! Names in a filter: all of them are of the one twin that is looked at. The words of [`HEAD`] stand for themselves
//! there, and so do those of [`more`]; every other word is a property that it reports, as it is behind a device in a
//! rule.

use std::borrow::Cow;

use super::HEAD;
use super::name::{FIRMWARE, NameValue, Root, SECTIONS, in_twin, member, property, word};
use super::tree::{ExpressionKind, ExpressionNode};
use super::value::Value;
use twinhub_domain::twin::fields::{Field, Shown};
use twinhub_domain::twin::{Properties, inside};
use twinhub_domain::{Json, Object, Scalar, Timestamp, Twin};

/// Words of a filter beside those of [`HEAD`]: what else the document shows, and all text fields that it shows.
pub fn more() -> impl Iterator<Item = &'static str> {
    MORE.into_iter().chain(Field::shown().filter(|field| !HEAD.contains(field)))
}

/// Is this a word of a filter beside those of [`HEAD`]?
pub fn is_more(word: &str) -> bool {
    MORE.contains(&word) || is_text(word) && !HEAD.contains(&word)
}

/// The words among them that are no text fields.
const MORE: [&str; 11] = [
    "number",
    "created_at",
    "updated_at",
    "mode_until",
    "drifting_since",
    "delta",
    "settings",
    "limits",
    "firmware",
    "lifecycle",
    "schedule",
];

/// The twin itself: `device.power` is `power`.
pub const ITSELF: &str = "device";

/// These of them hold others.
const MORE_SECTIONS: [&str; 4] = ["delta", "settings", "limits", "firmware"];

/// The root of a name with this first word. An error names the right spelling.
pub fn root_of(word: &str) -> Result<Root, String> {
    match word {
        "now" => Ok(Root::Now),
        "trigger" => Err("nothing has fired here: `trigger` is known to rules alone".into()),
        "twin" => Err("a filter looks at one twin at a time: write what it is about alone, power, \
                       reported.power, tags.floor…"
            .into()),
        _ => Ok(Root::Itself),
    }
}

/// One tag by its text.
const TAG: &str = "tag";

/// One tag is `tag.floor` to people; the document calls them `tags`. And the document's `device_id` is the `id` of a
/// rule.
pub fn unalias(path: &mut [Box<str>]) {
    match path {
        [first, ..] if **first == *TAG => *first = "tags".into(),
        [only] if **only == *"device_id" => *only = "id".into(),
        _ => {}
    }
}

/// Where one tag, written as `tag.floor`, is compared with a text, its own text is compared, as lists do: a file has
/// `2` where a person means "2". Written as `tags.floor` it keeps its type.
pub fn tag_as_text(source: &str, one: &mut ExpressionNode, other: &mut ExpressionNode) {
    let name = match (&one.kind, &other.kind) {
        (ExpressionKind::Name(_), ExpressionKind::Text(_)) => one,
        (ExpressionKind::Text(_), ExpressionKind::Name(_)) => other,
        _ => return,
    };
    let written = source.get(name.start()..name.end()).unwrap_or_default();
    let written = written.strip_prefix(ITSELF).and_then(|rest| rest.strip_prefix('.')).unwrap_or(written);
    if (written.starts_with("tag.") || written.starts_with("tag["))
        && let ExpressionKind::Name(name) = &mut name.kind
        && let Some(first) = name.path.first_mut()
    {
        *first = TAG.into();
    }
}

/// Checks a name of `parts` parts whose first is `first`. An error gives the reason.
pub fn check(first: &str, parts: usize, text: &str) -> Result<(), String> {
    let known = HEAD.contains(&first) || is_more(first);
    if parts == 1 || !known || SECTIONS.contains(&first) || MORE_SECTIONS.contains(&first) {
        return Ok(());
    }
    Err(format!("`{first}` of a twin has no parts: what it reports by that name is reported.{text}"))
}

/// The value of `path` in `twin`.
pub fn find<'a>(twin: &'a Twin, path: &[Box<str>], now: Timestamp) -> Option<NameValue<'a>> {
    let (first, rest) = path.split_first()?;
    let value = match (&**first, rest) {
        ("reported", []) => properties(&twin.reported),
        ("desired", []) => properties(&twin.desired),
        ("desired", [name @ .., sync]) if **sync == *"sync" => {
            return property(&twin.desired, rest, now).or_else(|| {
                let state = twin.sync(&name.join("."), now)?;
                Some(word(state.as_str())?.into())
            });
        }
        ("delta", []) => Value::owned(twin.delta().into()),
        ("delta", rest) => return unmet(twin, rest, now),
        (TAG, rest) => Value::owned(tag_text(member(&twin.setup.tags, rest)?)?.into()),
        ("number", _) => Value::Int(twin.number.0.into()),
        ("created_at", _) => Value::Time(twin.created_at.into()),
        ("updated_at", _) => Value::Time(twin.updated_at.into()),
        ("mode_until", _) => Value::Time(twin.control.mode_until()?.into()),
        ("drifting_since", _) => Value::Time(twin.drifting_since()?.into()),
        ("schedule", _) => Value::owned(twin.plan()?.entries()),
        ("settings", rest) => part_of(&twin.settings().to_object(), rest)?,
        ("limits", rest) => part_of(twin.limits().as_object(), rest)?,
        ("firmware", rest) => part_of(&twin.firmware_shown(), rest)?,
        ("lifecycle", _) => word(twin.lifecycle().as_str())?,
        (FIRMWARE, _) => return in_twin(twin, path, now), // it may be reported, too
        (field, _) if is_text(field) && !HEAD.contains(&field) => word(twin.profile.text(field))?,
        _ => return in_twin(twin, path, now),
    };
    Some(value.into())
}

/// A text field of the device that its document shows.
fn is_text(word: &str) -> bool {
    Field::of(word).is_some_and(|field| field.shown != Shown::Hidden)
}

/// The text of a tag; none of what is no scalar.
fn tag_text(tag: &Json) -> Option<String> {
    Scalar::from_json(tag.clone()).map(|tag| tag.to_string())
}

/// All of one side, by name.
fn properties(of: &Properties) -> Value<'_> {
    let entries =
        of.iter().map(|property| (Value::Text(Cow::Borrowed(&property.name)), Value::of(&property.value)));
    Value::Map(entries.collect())
}

/// All of an object that lies nowhere, or a part of it.
fn part_of<'a>(object: &Object, path: &[Box<str>]) -> Option<Value<'a>> {
    match path {
        [] => Some(Value::owned(object.clone().into())),
        path => member(object, path).cloned().map(Value::owned),
    }
}

/// The missing part of a desired property.
fn unmet<'a>(twin: &'a Twin, path: &[Box<str>], now: Timestamp) -> Option<NameValue<'a>> {
    if twin.unmet().is_empty() {
        return None; // as of nearly all
    }
    match inside(&twin.delta().into(), &path.join("."))? {
        Json::Object(missing) => Some(Value::owned(missing.clone().into()).into()),
        _ => property(&twin.desired, path, now),
    }
}
