//! The properties of one side of a twin, each with what is known of it beside its value.

use std::sync::Arc;

use serde::ser::SerializeStruct;
use serde::{Deserialize, Serialize, Serializer};

use super::path::{heads, inside};
use super::seldom::{Seldom, Units};
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
    seldom: Option<Arc<Seldom>>,
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
    #[serde(default)]
    units: Units,
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

    /// Takes a reading's value, unless a later one is here already. True when the value is another. A reading without
    /// a unit leaves the one that is known: many devices name it once. One whose time is that of its arrival, `received`,
    /// carries none of its own: then the last to come is the newest.
    pub fn read(&mut self, reading: &Reading, at: Timestamp, received: Timestamp) -> bool {
        let value = Json::from(reading.value.clone());
        let quality = Quality::of_score(reading.quality_score);
        let unit = reading.unit.as_deref().filter(|unit| !unit.is_empty());
        match self.find(&reading.name) {
            Ok(index) if at < self.0[index].at && at != received => false, // late: history has it, the twin is past it
            Ok(index) => {
                let property = &mut self.0[index];
                let is_new_unit = unit.is_some() && unit != property.unit();
                if quality != property.quality() || is_new_unit {
                    property.describe(|seldom| {
                        seldom.quality = quality;
                        if is_new_unit {
                            seldom.units = seldom.units.with("", unit);
                        }
                    });
                }
                property.set(value, at)
            }
            Err(index) => {
                let mut property = Property::new(&reading.name, value, at);
                if quality != Quality::Good || unit.is_some() {
                    property.describe(|seldom| {
                        seldom.quality = quality;
                        seldom.units = Units::default().with("", unit);
                    });
                }
                self.insert(index, property);
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
                    property.say_by(by);
                }
                (Err(index), value) => {
                    let mut fresh = Json::Null;
                    fresh.merge(value);
                    let mut property = Property::new(name, fresh, at);
                    property.say_by(by);
                    self.insert(index, property);
                }
            }
        }
    }

    /// Says the unit of what `path` leads to; none takes it away. Of what is not there nothing is remembered.
    pub(super) fn set_unit(&mut self, path: &str, unit: Option<&str>) {
        for (head, rest) in heads(path) {
            if let Ok(index) = self.find(head)
                && rest.is_none_or(|rest| inside(&self.0[index].value, rest).is_some())
            {
                let within = rest.unwrap_or_default();
                if self.0[index].unit_of(within) != unit {
                    self.0[index].describe(|seldom| seldom.units = seldom.units.with(within, unit));
                }
                return;
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
    fn new(name: &str, value: Json, at: Timestamp) -> Self {
        Self { name: name.into(), value, at, changed_at: at, seldom: None }
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

    /// The unit of its value, as the device named it last: `°C`.
    #[must_use]
    pub fn unit(&self) -> Option<&str> {
        self.unit_of("")
    }

    /// The unit of what lies at a path in its value.
    #[must_use]
    pub fn unit_of(&self, path: &str) -> Option<&str> {
        self.seldom.as_ref()?.units.get(path)
    }

    /// The units of what lies in its value, by path.
    pub fn inner_units(&self) -> impl Iterator<Item = (&str, &str)> {
        self.seldom.iter().flat_map(|seldom| seldom.units.iter()).filter(|(path, _)| !path.is_empty())
    }

    fn say_by(&mut self, by: Option<&str>) {
        if by != self.by() {
            self.describe(|seldom| seldom.by = by.map(Into::into));
        }
    }

    fn describe(&mut self, change: impl FnOnce(&mut Seldom)) {
        let mut seldom = self.seldom.as_deref().cloned().unwrap_or_default();
        change(&mut seldom);
        self.seldom = (seldom != Seldom::default()).then(|| seldom.share());
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
        let Stored { name, value, at, changed_at, quality, by, units } = stored;
        let mut property = Self { name, value, at, changed_at, seldom: None };
        if quality != Quality::Good || by.is_some() || !units.is_empty() {
            property.describe(|seldom| *seldom = Seldom { quality, by, units });
        }
        property
    }
}

impl Serialize for Property {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let by = self.by();
        let units = self.seldom.as_ref().map(|seldom| &seldom.units).filter(|units| !units.is_empty());
        let more = usize::from(by.is_some()) + usize::from(units.is_some());
        let mut fields = serializer.serialize_struct("Property", 5 + more)?;
        fields.serialize_field("name", &self.name)?;
        fields.serialize_field("value", &self.value)?;
        fields.serialize_field("at", &self.at)?;
        fields.serialize_field("changed_at", &self.changed_at)?;
        fields.serialize_field("quality", &self.quality())?;
        if by.is_some() {
            fields.serialize_field("by", &by)?;
        }
        if let Some(units) = units {
            fields.serialize_field("units", units)?;
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
            r#"{"name":"t","value":1,"at":"2026-01-01T00:00:01.000Z","changed_at":"2026-01-01T00:00:00.000Z","quality":"good","units":[["","°C"],["in","K"]]}"#,
        ] {
            let property: Property = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&property).unwrap(), text);
        }
        let bare = r#"{"name":"t","value":1,"at":"2026-01-01T00:00:00.000Z","changed_at":"2026-01-01T00:00:00.000Z"}"#;
        let property: Property = serde_json::from_str(bare).unwrap();
        assert_eq!((property.quality(), property.by(), property.unit()), (Quality::Good, None, None));
    }

    #[test]
    fn a_unit_stays_until_another_is_named() {
        let mut properties = Properties::default();
        let mut read = |unit: Option<&str>, at: i64| {
            let value = crate::domain::reading::Scalar::Bool(true);
            let reading =
                Reading { name: "t".into(), value, unit: unit.map(Into::into), quality_score: None };
            properties.read(&reading, Timestamp::from_millis(at), Timestamp::from_millis(9));
            properties.get("t").unwrap().unit().map(str::to_owned)
        };
        assert_eq!(read(None, 1), None);
        assert_eq!(read(Some("°C"), 2).as_deref(), Some("°C"));
        assert_eq!(read(None, 3).as_deref(), Some("°C"));
        assert_eq!(read(Some("K"), 2).as_deref(), Some("°C"), "a late reading changes nothing");
        assert_eq!(read(Some("K"), 4).as_deref(), Some("K"));
        properties.merge(
            &[("m", "{\"rpm\": 5}".parse().unwrap())].into_iter().collect(),
            Timestamp::default(),
            None,
        );
        properties.set_unit("m.rpm", Some("1/min"));
        properties.set_unit("m.no", Some("V"));
        assert_eq!(properties.unit_at("m.rpm"), Some("1/min"));
        assert_eq!(properties.get("m").unwrap().inner_units().count(), 1);
        properties.set_unit("m.rpm", None);
        assert_eq!(properties.unit_at("m.rpm"), None);
    }
}
