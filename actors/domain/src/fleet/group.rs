//! Groups of devices. Each has its place in a tree.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use uuid::Uuid;

use crate::clock::Timestamp;
use crate::fingerprint::Fingerprint;
use crate::json::{Json, Object};

/// A group's id: 1 to 128 of `A-Z a-z 0-9 . _ : -`, as a device's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(Arc<str>);

/// Why a text is no group's id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadGroupId {
    #[error("a group's id must not be empty")]
    Empty,
    #[error("a group's id has 128 characters at most, this one has {0}")]
    TooLong(usize),
    #[error("a group's id is made of A-Z a-z 0-9 . _ : - and this one has `{0}`")]
    Character(char),
}

/// A group of devices and of other groups.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    pub id: GroupId,
    pub name: Box<str>,
    /// The description; empty where there is none.
    pub description: Box<str>,
    /// The parent; none: it is a top group.
    pub parent_group: Option<GroupId>,
    pub tags: Object,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// A requested change of a group. Members that are left out stay.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GroupWish {
    /// The id that it is to get; only where it is made.
    pub id: Option<GroupId>,
    pub name: Option<Box<str>>,
    pub description: Option<Box<str>>,
    /// None in it: to the top.
    pub parent_group: Option<Option<GroupId>>,
    /// A merge patch.
    pub tags: Option<Object>,
}

const LONGEST: usize = 128;
/// A name or description has at most this many bytes.
const LONGEST_TEXT: usize = 4_096;

impl GroupId {
    /// Takes `text` as a group's id.
    ///
    /// # Errors
    /// The error: empty, longer than 128, or the first character that is not allowed.
    pub fn parse(text: &str) -> Result<Self, BadGroupId> {
        if text.is_empty() {
            return Err(BadGroupId::Empty);
        }
        if let Some(bad) = text.chars().find(|c| !(c.is_ascii_alphanumeric() || "._:-".contains(*c))) {
            return Err(BadGroupId::Character(bad));
        }
        if text.len() > LONGEST {
            return Err(BadGroupId::TooLong(text.len()));
        }
        Ok(Self(text.into()))
    }

    /// The id of a group that devices are in already: before groups were stored any text could be one. None for a text
    /// that cannot be stored as an id at all.
    #[must_use]
    pub fn as_kept(text: &str) -> Option<Self> {
        (!text.is_empty() && text.chars().count() <= LONGEST).then(|| Self(text.into()))
    }

    /// The id of a group that brought none.
    #[must_use]
    pub fn made(id: Uuid) -> Self {
        Self(id.to_string().into())
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for GroupId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Group {
    /// A group with this name and nothing else.
    #[must_use]
    pub fn new(id: GroupId, name: &str, now: Timestamp) -> Self {
        Self {
            id,
            name: name.into(),
            description: "".into(),
            parent_group: None,
            tags: Object::default(),
            created_at: now,
            updated_at: now,
        }
    }

    /// The group after a change.
    #[must_use]
    pub fn changed(&self, wish: GroupWish, now: Timestamp) -> Self {
        let mut changed = Self { updated_at: now, ..self.clone() };
        if let Some(name) = wish.name {
            changed.name = name;
        }
        if let Some(description) = wish.description {
            changed.description = description;
        }
        if let Some(parent) = wish.parent_group {
            changed.parent_group = parent;
        }
        if let Some(tags) = wish.tags {
            changed.tags.merge(&tags);
        }
        changed
    }

    /// As the store, events and answers have it.
    #[must_use]
    pub fn to_object(&self) -> Object {
        let parent = self.parent_group.as_ref().map_or(Json::Null, |parent| parent.as_str().into());
        [
            ("id", Json::from(self.id.as_str())),
            ("name", Json::String(self.name.clone())),
            ("description", Json::String(self.description.clone())),
            ("parent_group", parent),
            ("tags", self.tags.clone().into()),
            ("created_at", self.created_at.to_string().into()),
            ("updated_at", self.updated_at.to_string().into()),
        ]
        .into_iter()
        .collect()
    }

    /// The entity tag of its document: another with each change of that, and the same whatever devices are in it.
    #[must_use]
    pub fn tag(&self) -> Box<str> {
        Fingerprint::default().field(Json::from(self.to_object()).to_string().as_bytes()).tag()
    }

    /// A group as [`Group::to_object`] wrote it; none where it was something else that did.
    #[must_use]
    pub fn from_object(object: &Object) -> Option<Self> {
        let text = |field: &str| object.get(field).and_then(Json::as_str);
        let time = |field: &str| text(field).and_then(Timestamp::parse);
        Some(Self {
            id: GroupId::as_kept(text("id")?)?,
            name: text("name")?.into(),
            description: text("description").unwrap_or_default().into(),
            parent_group: text("parent_group").and_then(GroupId::as_kept),
            tags: object.get("tags").and_then(Json::as_object).cloned().unwrap_or_default(),
            created_at: time("created_at")?,
            updated_at: time("updated_at")?,
        })
    }
}

impl GroupWish {
    /// The fields of a wish. `parent_id` is `parent_group` by another name.
    pub const FIELDS: [&str; 6] = ["id", "name", "description", "parent_group", "parent_id", "tags"];

    /// Reads a wish.
    ///
    /// # Errors
    /// The wrong field, and its error; an unknown field first of all.
    pub fn parse(mut fields: Object) -> Result<Self, (String, String)> {
        if let Some((field, _)) = fields.iter().find(|(field, _)| !Self::FIELDS.contains(field)) {
            return Err((field.to_owned(), "there is no such field".into()));
        }
        let id = text(&mut fields, "id")?
            .flatten()
            .map(|id| GroupId::parse(&id).map_err(|error| ("id".to_owned(), error.to_string())));
        let name = match text(&mut fields, "name")? {
            None => None,
            Some(Some(name)) if !name.trim().is_empty() => Some(name),
            Some(_) => return Err(("name".into(), "must not be empty".into())),
        };
        let parent = match (parent(&mut fields, "parent_group")?, parent(&mut fields, "parent_id")?) {
            (Some(_), Some(_)) => {
                let detail = "is `parent_group` by another name: say one of them".into();
                return Err(("parent_id".into(), detail));
            }
            (parent, other) => parent.or(other),
        };
        let tags = match fields.remove("tags") {
            None | Some(Json::Null) => None,
            Some(Json::Object(tags)) => Some(tags),
            Some(other) => {
                return Err(("tags".into(), format!("expected an object, found {}", other.kind())));
            }
        };
        let description = text(&mut fields, "description")?.map(Option::unwrap_or_default);
        Ok(Self { id: id.transpose()?, name, description, parent_group: parent, tags })
    }
}

/// A given parent; an empty text is none. Its existence is checked where the groups are.
fn parent(fields: &mut Object, field: &str) -> Result<Option<Option<GroupId>>, (String, String)> {
    let Some(said) = text(fields, field)? else { return Ok(None) };
    let Some(id) = said.filter(|id| !id.is_empty()) else { return Ok(Some(None)) };
    match GroupId::as_kept(&id) {
        Some(id) => Ok(Some(Some(id))),
        None => Err((field.to_owned(), BadGroupId::TooLong(id.chars().count()).to_string())),
    }
}

/// A given text, or null.
fn text(fields: &mut Object, field: &str) -> Result<Option<Option<Box<str>>>, (String, String)> {
    let bad = |detail: String| Err((field.to_owned(), detail));
    match fields.remove(field) {
        None => Ok(None),
        Some(Json::Null) => Ok(Some(None)),
        Some(Json::String(text)) if text.len() > LONGEST_TEXT => {
            bad(format!("{LONGEST_TEXT} bytes at most, this has {}", text.len()))
        }
        Some(Json::String(text)) => Ok(Some(Some(text))),
        Some(other) => bad(format!("expected a string, found {}", other.kind())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload;

    fn wish(text: &str) -> Result<GroupWish, (String, String)> {
        GroupWish::parse(payload::object(text.as_bytes()).unwrap())
    }

    #[test]
    fn reads_what_is_said_and_leaves_the_rest() {
        let read = wish(r#"{"name": "Hall", "parent_id": "hq", "tags": {"floor": 2.50}}"#).unwrap();
        assert_eq!(read.parent_group, Some(GroupId::as_kept("hq")));
        let group = Group::new(GroupId::parse("hall").unwrap(), "old", Timestamp::from_millis(0));
        let group = group.changed(read, Timestamp::from_millis(5));
        assert_eq!(Group::from_object(&group.to_object()), Some(group.clone()));
        let tag = group.tag();
        assert_eq!(Group::from_object(&group.to_object()).unwrap().tag(), tag);
        let top = group.changed(wish(r#"{"parent_group": null}"#).unwrap(), Timestamp::from_millis(6));
        assert_ne!(top.tag(), tag);
        assert_eq!((&*top.name, top.parent_group), ("Hall", None));
        assert_eq!(Json::from(top.tags).to_string(), r#"{"floor":2.50}"#);
        assert_eq!(wish(r#"{"parent_group": ""}"#).unwrap().parent_group, Some(None));
    }

    #[test]
    fn names_what_is_wrong() {
        let check = |text: &str, field: &str, detail: &str| {
            let (wrong, why) = wish(text).unwrap_err();
            assert!(wrong == field && why.starts_with(detail), "{text}: {wrong}: {why}");
        };
        check(r#"{"nam": "x", "name": 5}"#, "nam", "there is no such field");
        check(r#"{"name": " "}"#, "name", "must not be empty");
        check(r#"{"name": null}"#, "name", "must not be empty");
        check(r#"{"name": 5}"#, "name", "expected a string, found a number");
        check(r#"{"id": "a b"}"#, "id", "a group's id is made of");
        check(r#"{"tags": []}"#, "tags", "expected an object, found an array");
        check(r#"{"parent_group": 1}"#, "parent_group", "expected a string, found a number");
        for field in ["parent_group", "parent_id"] {
            let long = format!(r#"{{"{field}": "{}"}}"#, "x".repeat(129));
            check(&long, field, "a group's id has 128 characters at most, this one has 129");
        }
        for both in
            [r#"{"parent_group": "a", "parent_id": "b"}"#, r#"{"parent_id": "a", "parent_group": null}"#]
        {
            check(both, "parent_id", "is `parent_group` by another name");
        }
    }

    #[test]
    fn ids_are_as_devices_have_them() {
        assert!(GroupId::parse("hall-2.north:a_b").is_ok());
        assert_eq!(GroupId::parse(""), Err(BadGroupId::Empty));
        assert_eq!(GroupId::parse(&"x".repeat(129)), Err(BadGroupId::TooLong(129)));
        assert_eq!(GroupId::parse("Hall 2"), Err(BadGroupId::Character(' ')));
        assert_eq!(GroupId::as_kept("Hall 2").unwrap().as_str(), "Hall 2");
        assert_eq!(GroupId::as_kept(&"ä".repeat(129)), None);
    }
}
