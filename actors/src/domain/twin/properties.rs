//! The properties of one side of a twin, each with what is known of it beside its value.

use serde::ser::SerializeStruct;
use serde::{Deserialize, Serialize, Serializer};

use crate::domain::clock::Timestamp;
use crate::domain::event::Cause;
use crate::domain::json::{Json, Object};
use crate::domain::reading::{Quality, Reading};

/// Properties in the order of their names, each once.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Properties(Vec<Property>);

/// A value and its metadata. Kept together and small: a million twins have three million of these.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(from = "Stored")]
pub struct Property {
    pub name: Box<str>,
    pub value: Json,
    /// When the value was last said, the same or another.
    pub at: Timestamp,
    /// When it last became another.
    pub changed_at: Timestamp,
    /// None where all of it is as it nearly always is.
    seldom: Option<Box<Seldom>>,
}

/// What few properties have: only those pay for it.
#[derive(Clone, Debug, Default, PartialEq)]
struct Seldom {
    quality: Quality,
    by: Option<Box<str>>,
}

/// A property as it is stored.
#[derive(Deserialize)]
struct Stored {
    name: Box<str>,
    value: Json,
    at: Timestamp,
    changed_at: Timestamp,
    #[serde(default)]
    quality: Quality,
    #[serde(default)]
    by: Option<Box<str>>,
}

impl Properties {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True when there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The properties in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Property> {
        self.0.iter()
    }

    /// The property called `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Property> {
        self.find(name).ok().map(|index| &self.0[index])
    }

    /// The values by name.
    #[must_use]
    pub fn to_object(&self) -> Object {
        self.0.iter().map(|p| (p.name.clone(), p.value.clone())).collect()
    }

    /// Takes a reading's value, unless a later one is here already. True when the value is another. One whose time is
    /// that of its arrival, `received`, carries none of its own: then the last to come is the newest.
    pub fn read(&mut self, reading: &Reading, at: Timestamp, received: Timestamp) -> bool {
        let value = Json::from(reading.value.clone());
        let quality = Quality::of_score(reading.quality_score);
        match self.find(&reading.name) {
            Ok(index) if at < self.0[index].at && at != received => false, // late: history has it, the twin is past it
            Ok(index) => {
                let property = &mut self.0[index];
                if quality != property.quality() {
                    let by = property.by().map(Box::<str>::from);
                    property.describe(quality, by.as_deref());
                }
                property.set(value, at)
            }
            Err(index) => {
                self.insert(index, Property::new(&reading.name, value, at, quality, None));
                true
            }
        }
    }

    /// Applies a merge patch at `at`. What it names is said anew, even where the value stays.
    pub fn merge(&mut self, patch: &Object, at: Timestamp, cause: Option<&Cause>) {
        let by = cause.map(|cause| &*cause.by).filter(|by| !by.is_empty());
        for (name, value) in patch.iter() {
            match (self.find(name), value) {
                (Ok(index), Json::Null) => {
                    self.0.remove(index);
                }
                (Err(_), Json::Null) => {}
                (Ok(index), value) => {
                    let property = &mut self.0[index];
                    let mut merged = property.value.clone();
                    merged.merge(value);
                    property.set(merged, at);
                    property.describe(property.quality(), by);
                }
                (Err(index), value) => {
                    let mut fresh = Json::Null;
                    fresh.merge(value);
                    self.insert(index, Property::new(name, fresh, at, Quality::Good, by));
                }
            }
        }
    }

    /// Nothing is dated after `now`.
    pub fn no_later_than(&mut self, now: Timestamp) {
        for property in &mut self.0 {
            property.at = property.at.min(now);
            property.changed_at = property.changed_at.min(now);
        }
    }

    fn insert(&mut self, index: usize, property: Property) {
        if self.0.len() == self.0.capacity() && self.0.len() < 8 {
            self.0.reserve_exact(1); // small twins stay exactly as large as they are
        }
        self.0.insert(index, property);
    }

    fn find(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|property| (*property.name).cmp(name))
    }
}

impl Property {
    fn new(name: &str, value: Json, at: Timestamp, quality: Quality, by: Option<&str>) -> Self {
        let mut property = Self { name: name.into(), value, at, changed_at: at, seldom: None };
        property.describe(quality, by);
        property
    }

    /// How far the value can be trusted.
    #[must_use]
    pub fn quality(&self) -> Quality {
        self.seldom.as_ref().map_or(Quality::Good, |seldom| seldom.quality)
    }

    /// Who said it, where that was no device.
    #[must_use]
    pub fn by(&self) -> Option<&str> {
        self.seldom.as_ref()?.by.as_deref()
    }

    fn describe(&mut self, quality: Quality, by: Option<&str>) {
        if quality != self.quality() || by != self.by() {
            let seldom = Seldom { quality, by: by.map(Into::into) };
            self.seldom = (seldom != Seldom::default()).then(|| Box::new(seldom));
        }
    }

    fn set(&mut self, value: Json, at: Timestamp) -> bool {
        self.at = at;
        if self.value == value {
            return false;
        }
        self.value = value;
        self.changed_at = at;
        true
    }
}

impl From<Stored> for Property {
    fn from(stored: Stored) -> Self {
        let Stored { name, value, at, changed_at, quality, by } = stored;
        let mut property = Self { name, value, at, changed_at, seldom: None };
        property.describe(quality, by.as_deref());
        property
    }
}

impl Serialize for Property {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let by = self.by();
        let mut fields = serializer.serialize_struct("Property", 5 + usize::from(by.is_some()))?;
        fields.serialize_field("name", &self.name)?;
        fields.serialize_field("value", &self.value)?;
        fields.serialize_field("at", &self.at)?;
        fields.serialize_field("changed_at", &self.changed_at)?;
        fields.serialize_field("quality", &self.quality())?;
        if by.is_some() {
            fields.serialize_field("by", &by)?;
        }
        fields.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_property_is_small_and_is_stored_as_ever() {
        assert_eq!(size_of::<Property>(), 64);
        for text in [
            r#"{"name":"t","value":21.50,"at":"2026-01-01T00:00:00.000Z","changed_at":"2026-01-01T00:00:00.000Z","quality":"good"}"#,
            r#"{"name":"t","value":1,"at":"2026-01-01T00:00:01.000Z","changed_at":"2026-01-01T00:00:00.000Z","quality":"bad","by":"user:ann"}"#,
        ] {
            let property: Property = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&property).unwrap(), text);
        }
        let bare = r#"{"name":"t","value":1,"at":"2026-01-01T00:00:00.000Z","changed_at":"2026-01-01T00:00:00.000Z"}"#;
        let property: Property = serde_json::from_str(bare).unwrap();
        assert_eq!((property.quality(), property.by()), (Quality::Good, None));
    }
}
