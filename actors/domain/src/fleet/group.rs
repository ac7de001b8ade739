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

/// The reason why a text is no group's id.
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
    /// The id of the user whose group it is; empty where it is everybody's who reaches it.
    pub owner: Box<str>,
    pub tags: Object,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// A requested change of a group. Members that are left out stay.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GroupRequest {
    /// The id that it is to get; only where it is made.
    pub id: Option<GroupId>,
    pub name: Option<Box<str>>,
    pub description: Option<Box<str>>,
    /// None in it: to the top.
    pub parent_group: Option<Option<GroupId>>,
    /// A merge patch.
    pub tags: Option<Object>,
    /// The id of the user whose group it will be; only where it is made.
    pub owner: Option<Box<str>>,
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
    pub fn as_stored(text: &str) -> Option<Self> {
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
            owner: "".into(),
            tags: Object::default(),
            created_at: now,
            updated_at: now,
        }
    }

    /// The group after a change.
    #[must_use]
    pub fn changed(&self, request: GroupRequest, now: Timestamp) -> Self {
        let mut changed = Self { updated_at: now, ..self.clone() };
        if let Some(name) = request.name {
            changed.name = name;
        }
        if let Some(description) = request.description {
            changed.description = description;
        }
        if let Some(parent) = request.parent_group {
            changed.parent_group = parent;
        }
        if let Some(owner) = request.owner {
            changed.owner = owner;
        }
        if let Some(tags) = request.tags {
            changed.tags.merge(&tags);
        }
        changed
    }

    /// As the store, events and answers have it.
    #[must_use]
    pub fn to_object(&self) -> Object {
        let parent = self.parent_group.as_ref().map_or(Json::Null, |parent| parent.as_str().into());
        let mut object: Object = [
            ("id", Json::from(self.id.as_str())),
            ("name", Json::String(self.name.clone())),
            ("description", Json::String(self.description.clone())),
            ("parent_group", parent),
            ("tags", self.tags.clone().into()),
            ("created_at", self.created_at.to_string().into()),
            ("updated_at", self.updated_at.to_string().into()),
        ]
        .into_iter()
        .collect();
        if !self.owner.is_empty() {
            object.insert("owner_id", Json::String(self.owner.clone()));
        }
        object
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
            id: GroupId::as_stored(text("id")?)?,
            name: text("name")?.into(),
            description: text("description").unwrap_or_default().into(),
            parent_group: text("parent_group").and_then(GroupId::as_stored),
            owner: text("owner_id").unwrap_or_default().into(),
            tags: object.get("tags").and_then(Json::as_object).cloned().unwrap_or_default(),
            created_at: time("created_at")?,
            updated_at: time("updated_at")?,
        })
    }
}

/// A group's fields as somebody gives them: each left out, or null, or a value.
#[derive(Clone, Debug, Default)]
pub struct GroupFields {
    pub id: Option<Box<str>>,
    pub name: Option<Option<Box<str>>>,
    pub description: Option<Option<Box<str>>>,
    /// Null or empty: to the top.
    pub parent_group: Option<Option<Box<str>>>,
    pub tags: Option<Object>,
}

impl GroupFields {
    /// The wish, where all in it can be.
    ///
    /// # Errors
    /// The field that is wrong, and what is wrong with it.
    pub fn checked(self) -> Result<GroupRequest, (&'static str, String)> {
        for (field, fields) in [("name", &self.name), ("description", &self.description)] {
            let length = fields.iter().flatten().map(|text| text.len()).max().unwrap_or_default();
            if length > LONGEST_TEXT {
                return Err((field, format!("{LONGEST_TEXT} bytes at most, this has {length}")));
            }
        }
        let id = self.id.map(|id| GroupId::parse(&id)).transpose();
        let name = match self.name {
            None => None,
            Some(Some(name)) if !name.trim().is_empty() => Some(name),
            Some(_) => return Err(("name", "must not be empty".into())),
        };
        Ok(GroupRequest {
            id: id.map_err(|error| ("id", error.to_string()))?,
            name,
            description: self.description.map(Option::unwrap_or_default),
            parent_group: self.parent_group.map(parent).transpose()?,
            tags: self.tags,
            owner: None,
        })
    }
}

/// The parent that is said, if any. Whether there is such a group is seen where the groups are.
fn parent(fields: Option<Box<str>>) -> Result<Option<GroupId>, (&'static str, String)> {
    let Some(id) = fields.filter(|id| !id.is_empty()) else { return Ok(None) };
    match GroupId::as_stored(&id) {
        Some(id) => Ok(Some(id)),
        None => Err(("parent_group", BadGroupId::TooLong(id.chars().count()).to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_changes_its_fields_and_no_others() {
        let request = |fields: GroupFields| fields.checked().unwrap();
        let tags = [("floor", "2.50".parse().unwrap())].into_iter().collect();
        let (name, parent) = (Some(Some("Hall".into())), Some(Some("hq".into())));
        let read =
            request(GroupFields { name, parent_group: parent, tags: Some(tags), ..GroupFields::default() });
        assert_eq!(read.parent_group, Some(GroupId::as_stored("hq")));
        let group = Group::new(GroupId::parse("hall").unwrap(), "old", Timestamp::from_millis(0));
        let group = group.changed(read, Timestamp::from_millis(5));
        assert_eq!(Group::from_object(&group.to_object()), Some(group.clone()));
        let owned = group
            .changed(GroupRequest { owner: Some("ann".into()), ..GroupRequest::default() }, group.updated_at);
        assert_eq!(Group::from_object(&owned.to_object()), Some(owned));
        let tag = group.tag();
        assert_eq!(Group::from_object(&group.to_object()).unwrap().tag(), tag);
        let to_top = request(GroupFields { parent_group: Some(None), ..GroupFields::default() });
        let top = group.changed(to_top, Timestamp::from_millis(6));
        assert_ne!(top.tag(), tag);
        assert_eq!((&*top.name, top.parent_group), ("Hall", None));
        assert_eq!(Json::from(top.tags).to_string(), r#"{"floor":2.50}"#);
        let empty = request(GroupFields { parent_group: Some(Some("".into())), ..GroupFields::default() });
        assert_eq!(empty.parent_group, Some(None));
    }

    #[test]
    fn names_what_is_wrong() {
        let check = |fields: GroupFields, field: &str, detail: &str| {
            let (wrong, why) = fields.checked().unwrap_err();
            assert!(wrong == field && why.starts_with(detail), "{wrong}: {why}");
        };
        let usual = GroupFields::default;
        check(GroupFields { name: Some(Some(" ".into())), ..usual() }, "name", "must not be empty");
        check(GroupFields { name: Some(None), ..usual() }, "name", "must not be empty");
        let long = Some(Some("x".repeat(5_000).into()));
        check(
            GroupFields { description: long, ..usual() },
            "description",
            "4096 bytes at most, this has 5000",
        );
        check(GroupFields { id: Some("a b".into()), ..usual() }, "id", "a group's id is made of");
        let long = Some(Some("x".repeat(129).into()));
        let detail = "a group's id has 128 characters at most, this one has 129";
        check(GroupFields { parent_group: long, ..usual() }, "parent_group", detail);
    }

    #[test]
    fn ids_are_as_devices_have_them() {
        assert!(GroupId::parse("hall-2.north:a_b").is_ok());
        assert_eq!(GroupId::parse(""), Err(BadGroupId::Empty));
        assert_eq!(GroupId::parse(&"x".repeat(129)), Err(BadGroupId::TooLong(129)));
        assert_eq!(GroupId::parse("Hall 2"), Err(BadGroupId::Character(' ')));
        assert_eq!(GroupId::as_stored("Hall 2").unwrap().as_str(), "Hall 2");
        assert_eq!(GroupId::as_stored(&"ä".repeat(129)), None);
    }
}
