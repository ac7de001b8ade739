//! The properties of one side of a twin, each with what is known of it beside its value.

use serde::{Deserialize, Serialize};

use crate::domain::clock::Timestamp;
use crate::domain::event::Cause;
use crate::domain::json::{Json, Object};
use crate::domain::reading::{Quality, Reading};

/// Properties in the order of their names, each once.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Properties(Vec<Property>);

/// A value and its metadata. Kept together: a million twins have three million of these.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Property {
    pub name: Box<str>,
    pub value: Json,
    /// When the value was last said, the same or another.
    pub at: Timestamp,
    /// When it last became another.
    pub changed_at: Timestamp,
    #[serde(default)]
    pub quality: Quality,
    /// Who said it, where that was no device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Box<str>>,
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

    /// Takes a reading's value, unless a later one is here already. True when the value is another.
    pub fn read(&mut self, reading: &Reading, at: Timestamp) -> bool {
        let value = Json::from(reading.value.clone());
        let quality = Quality::of_score(reading.quality_score);
        match self.find(&reading.name) {
            Ok(index) if at < self.0[index].at => false, // late: history has it, the twin is past it
            Ok(index) => {
                let property = &mut self.0[index];
                property.quality = quality;
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
        let by = cause.map(|cause| &*cause.by).filter(|by| !by.is_empty()).map(Box::<str>::from);
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
                    property.by.clone_from(&by);
                }
                (Err(index), value) => {
                    let mut fresh = Json::Null;
                    fresh.merge(value);
                    self.insert(index, Property::new(name, fresh, at, Quality::Good, by.clone()));
                }
            }
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
    fn new(name: &str, value: Json, at: Timestamp, quality: Quality, by: Option<Box<str>>) -> Self {
        Self { name: name.into(), value, at, changed_at: at, quality, by }
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
