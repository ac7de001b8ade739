//! The properties of one side of a twin, each with what is known of it beside its value.

use std::collections::BTreeMap;
use std::sync::Arc;

use arcstr::ArcStr;
use serde::ser::SerializeStruct;
use serde::{Deserialize, Serialize, Serializer};

use super::details::{PropertyDetails, SharedDetails, Units, is_name_shared};
use super::path::{heads, inside};
use crate::cause::Cause;
use crate::clock::{ReadingTime, Timestamp};
use crate::json::{DocumentSize, Json, Object};
use crate::reading::{Quality, Reading};

/// A patch of so many entries is applied one by one; a larger one in one walk over both sides.
const FEW_ENTRIES: usize = 16;

/// Among so many a property is found by a look at each.
const FEW: usize = 8;

/// Properties in the order of their names, each once.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Properties(Vec<Property>);

/// A value and its metadata. Kept together and small: a million twins have three million of these.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(from = "Stored")]
pub struct Property {
    /// Held together with the twins that have one of the same name: see [`SharedDetails`].
    pub name: ArcStr,
    pub value: Json,
    /// The milliseconds of `at` and `changed_at`, and the nanoseconds behind them: apart, where they leave no gap.
    millisecond: Timestamp,
    changed_millisecond: Timestamp,
    nanos: u32,
    changed_nanos: u32,
    /// None where all of it is as it nearly always is.
    details: Option<Arc<PropertyDetails>>,
}

/// The arrival of a reading, beside the moment that it is filed under.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    pub received: Timestamp,
    /// The time that the device said, where it is not believed.
    pub claimed: Option<ReadingTime>,
}

/// A value that is dated further ahead than this of what comes now was dated by a clock that nobody believes: such
/// values were taken before clocks were judged. It is more than hubs are told to believe (`device-clock-ahead`, a day
/// unless it is set), which is no part of an event; whose own clock was ahead, has dated its twins anew.
const NEVER_BELIEVED_MS: i64 = 31 * 86_400_000;

/// A property as it is stored.
#[derive(Deserialize)]
struct Stored {
    name: Box<str>,
    value: Json,
    at: ReadingTime,
    changed_at: ReadingTime,
    #[serde(default)]
    quality: Quality,
    #[serde(default)]
    by: Option<Box<str>>,
    #[serde(default)]
    units: Units,
    #[serde(default)]
    claimed_at: Option<ReadingTime>,
}

impl Arrival {
    /// Does a reading of the moment `at` come late beside a value of the moment `known`? One of a moment that nobody
    /// believes, because it `is_doubted` or lies in the future, gives way to each that comes after it. A reading whose
    /// time is that of its arrival carries none of its own: the last of those to come is the newest.
    #[must_use]
    pub fn is_late(self, at: ReadingTime, known: ReadingTime, is_doubted: bool) -> bool {
        at < known
            && at != self.received
            && !is_doubted
            && known <= self.received.plus_millis(NEVER_BELIEVED_MS).into()
    }

    /// The trust in the reading: not whole while nobody knows when it was taken.
    fn quality(self, reading: &Reading) -> Quality {
        match (Quality::of_score(reading.quality_score), self.claimed) {
            (Quality::Good, Some(_)) => Quality::Uncertain,
            (quality, _) => quality,
        }
    }
}

impl Properties {
    /// The number of properties.
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
        self.0.iter().map(|p| (&*p.name, p.value.clone())).collect()
    }

    /// Their size as an object.
    #[must_use]
    pub fn size(&self) -> DocumentSize {
        self.0
            .iter()
            .fold(DocumentSize::EMPTY, |size, p| size + DocumentSize::of_member(&p.name, p.value.size()))
    }

    /// Takes a reading's value, unless a later one is here already. True when the value is another. A reading without
    /// a unit leaves the one that is known: many devices name it once.
    pub fn read(&mut self, reading: &Reading, at: ReadingTime, arrival: Arrival) -> bool {
        let value = Json::from(reading.value.clone());
        let quality = arrival.quality(reading);
        let unit = reading.unit.as_deref().filter(|unit| !unit.is_empty());
        match self.find(&reading.name) {
            Ok(index) if self.0[index].is_past(at, arrival) => false, // history has it
            Ok(index) => {
                let property = &mut self.0[index];
                let is_new_unit = unit.is_some() && unit != property.unit();
                let is_other = quality != property.quality() || arrival.claimed != property.claimed_at();
                if is_other || is_new_unit {
                    property.describe(|details| {
                        (details.quality, details.claimed_at) = (quality, arrival.claimed);
                        if is_new_unit {
                            details.units = details.units.with(&[("", unit)]);
                        }
                    });
                }
                property.set(value, at)
            }
            Err(index) => {
                let mut property = Property::new(&reading.name, value, at);
                if quality != Quality::Good || unit.is_some() || arrival.claimed.is_some() {
                    property.describe(|details| {
                        (details.quality, details.claimed_at) = (quality, arrival.claimed);
                        details.units = Units::default().with(&[("", unit)]);
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
        if patch.len() > FEW_ENTRIES {
            return self.merge_many(patch, at, by);
        }
        for (name, value) in patch.iter() {
            match (self.find(name), value) {
                (Ok(index), Json::Null) => {
                    self.0.remove(index);
                }
                (Err(_), Json::Null) => {}
                (Ok(index), value) => self.0[index].merge(value, at, by),
                (Err(index), value) => self.insert(index, Property::fresh(name, value, at, by)),
            }
        }
    }

    /// Both are sorted: one walk over the two, however many entries come or go.
    fn merge_many(&mut self, patch: &Object, at: Timestamp, by: Option<&str>) {
        let had = std::mem::take(&mut self.0);
        let mut merged = Vec::with_capacity(had.len() + patch.len());
        let mut had = had.into_iter().peekable();
        for (name, value) in patch.iter() {
            while let Some(before) = had.next_if(|property| &*property.name < name) {
                merged.push(before);
            }
            match (had.next_if(|property| &*property.name == name), value) {
                (_, Json::Null) => {}
                (Some(mut property), value) => {
                    property.merge(value, at, by);
                    merged.push(property);
                }
                (None, value) => merged.push(Property::fresh(name, value, at, by)),
            }
        }
        merged.extend(had);
        merged.shrink_to_fit();
        self.0 = merged;
    }

    /// A merge patch onto these by which an object that loses its last member goes with it. By the patch itself an empty
    /// object would stay, which was never asked for. One that is asked for as such is taken.
    pub(super) fn without_emptied(&self, patch: Object) -> Object {
        let settled = |(name, value): (Box<str>, Json)| {
            let had = self.get(&name).map(|property| &property.value);
            let value = without_emptied(had, value);
            (name, value)
        };
        patch.into_iter().map(settled).collect()
    }

    /// Says the units of what their paths lead to; null takes one away. Of what is not there nothing is remembered.
    pub(super) fn set_units(&mut self, units: &Object) {
        let mut changes: BTreeMap<usize, Vec<(&str, Option<&str>)>> = BTreeMap::new();
        for (path, unit) in units.iter() {
            let place = heads(path).find_map(|(head, rest)| {
                let index = self.find(head).ok()?;
                let is_there = rest.is_none_or(|rest| inside(&self.0[index].value, rest).is_some());
                is_there.then(|| (index, rest.unwrap_or_default()))
            });
            if let Some((index, within)) = place {
                changes.entry(index).or_default().push((within, unit.as_str()));
            }
        }
        for (index, mut changes) in changes {
            let property = &mut self.0[index];
            changes.retain(|(within, unit)| property.unit_of(within) != *unit);
            if !changes.is_empty() {
                property.describe(|details| details.units = details.units.with(&changes));
            }
        }
    }

    pub(super) fn is_shared(&self) -> bool {
        self.0.iter().all(|property| {
            is_name_shared(&property.name) && property.details.as_ref().is_none_or(PropertyDetails::is_shared)
        })
    }

    pub(super) fn share(&mut self, common: &mut SharedDetails) {
        for property in &mut self.0 {
            common.share_name(&mut property.name);
            if let Some(own) = &mut property.details {
                common.share(own);
            }
        }
    }

    /// Nothing is dated after `now`.
    pub fn no_later_than(&mut self, now: Timestamp) {
        for property in &mut self.0 {
            property.say_at(property.at().min(now.into()));
            property.say_changed_at(property.changed_at().min(now.into()));
        }
    }

    fn insert(&mut self, index: usize, property: Property) {
        if self.0.len() == self.0.capacity() && self.0.len() < 8 {
            self.0.reserve_exact(1); // small twins stay exactly as large as they are
        }
        self.0.insert(index, property);
    }

    fn find(&self, name: &str) -> Result<usize, usize> {
        // Names of other lengths are told apart at once, so among few a look at each costs less than the order.
        if self.0.len() <= FEW
            && let Some(index) = self.0.iter().position(|property| *property.name == *name)
        {
            return Ok(index);
        }
        self.0.binary_search_by(|property| (*property.name).cmp(name))
    }
}

/// The same for one value, which `had` this one before.
fn without_emptied(had: Option<&Json>, patch: Json) -> Json {
    let Json::Object(members) = patch else { return patch };
    if members.is_empty() {
        return members.into();
    }
    let had_member = |name: &str| had.and_then(Json::as_object).and_then(|object| object.get(name));
    let settled = |(name, value): (Box<str>, Json)| {
        let value = without_emptied(had_member(&name), value);
        (name, value)
    };
    let settled: Object = members.into_iter().map(settled).collect();
    let stays = |name: &str| settled.get(name).is_none_or(|value| *value != Json::Null);
    let has_others = had.and_then(Json::as_object).is_some_and(|had| had.iter().any(|(name, _)| stays(name)));
    let brings = settled.iter().any(|(_, value)| *value != Json::Null);
    if has_others || brings { settled.into() } else { Json::Null }
}

impl Property {
    fn new(name: &str, value: Json, at: ReadingTime) -> Self {
        let (millisecond, nanos) = (at.floor(), at.nanos_behind());
        Self {
            name: name.into(),
            value,
            millisecond,
            changed_millisecond: millisecond,
            nanos,
            changed_nanos: nanos,
            details: None,
        }
    }

    /// One that a merge patch brings.
    fn fresh(name: &str, value: &Json, at: Timestamp, by: Option<&str>) -> Self {
        let mut fresh = Json::Null;
        fresh.merge(value);
        let mut property = Self::new(name, fresh, at.into());
        property.say_by(by);
        property
    }

    fn merge(&mut self, value: &Json, at: Timestamp, by: Option<&str>) {
        let mut merged = self.value.clone();
        merged.merge(value);
        self.set(merged, at.into());
        self.say_by(by);
        if self.claimed_at().is_some() {
            self.describe(|details| details.claimed_at = None);
        }
    }

    /// When the value was last said, the same or another.
    #[must_use]
    pub fn at(&self) -> ReadingTime {
        ReadingTime::new(self.millisecond, self.nanos)
    }

    /// When it last became another.
    #[must_use]
    pub fn changed_at(&self) -> ReadingTime {
        ReadingTime::new(self.changed_millisecond, self.changed_nanos)
    }

    fn say_at(&mut self, at: ReadingTime) {
        (self.millisecond, self.nanos) = (at.floor(), at.nanos_behind());
    }

    fn say_changed_at(&mut self, at: ReadingTime) {
        (self.changed_millisecond, self.changed_nanos) = (at.floor(), at.nanos_behind());
    }

    /// The trust in the value.
    #[must_use]
    pub fn quality(&self) -> Quality {
        self.details.as_ref().map_or(Quality::Good, |details| details.quality)
    }

    /// The author of the value, where that was no device.
    #[must_use]
    pub fn by(&self) -> Option<&str> {
        self.details.as_ref()?.by.as_deref()
    }

    /// The time that the device said, where it is not believed: `at` is when the value came then.
    #[must_use]
    pub fn claimed_at(&self) -> Option<ReadingTime> {
        self.details.as_ref()?.claimed_at
    }

    /// Is it of a later moment than a reading of the moment `at` that arrives now?
    #[must_use]
    pub fn is_past(&self, at: ReadingTime, arrival: Arrival) -> bool {
        arrival.is_late(at, self.at(), self.claimed_at().is_some())
    }

    /// The unit of its value, as the device named it last: `°C`.
    #[must_use]
    pub fn unit(&self) -> Option<&str> {
        self.unit_of("")
    }

    /// The unit of what lies at a path in its value.
    #[must_use]
    pub fn unit_of(&self, path: &str) -> Option<&str> {
        self.details.as_ref()?.units.get(path)
    }

    /// The units of what lies in its value, by path.
    pub fn inner_units(&self) -> impl Iterator<Item = (&str, &str)> {
        self.details.iter().flat_map(|details| details.units.iter()).filter(|(path, _)| !path.is_empty())
    }

    fn say_by(&mut self, by: Option<&str>) {
        if by != self.by() {
            self.describe(|details| details.by = by.map(Into::into));
        }
    }

    fn describe(&mut self, change: impl FnOnce(&mut PropertyDetails)) {
        let mut details = self.details.as_deref().cloned().unwrap_or_default();
        change(&mut details);
        self.details = (details != PropertyDetails::default()).then(|| Arc::new(details));
    }

    fn set(&mut self, value: Json, at: ReadingTime) -> bool {
        self.say_at(at);
        if self.value == value {
            return false;
        }
        self.value = value;
        self.say_changed_at(at);
        self.forget_units();
        true
    }

    /// Drops the units of what does not lie in the value any more.
    fn forget_units(&mut self) {
        let is_gone = |path: &str| inside(&self.value, path).is_none();
        let gone: Vec<Box<str>> =
            self.inner_units().map(|(path, _)| path).filter(|path| is_gone(path)).map(Into::into).collect();
        if !gone.is_empty() {
            let changes: Vec<_> = gone.iter().map(|path| (&**path, None)).collect();
            self.describe(|details| details.units = details.units.with(&changes));
        }
    }
}

impl From<Stored> for Property {
    fn from(stored: Stored) -> Self {
        let Stored { name, value, at, changed_at, quality, by, units, claimed_at } = stored;
        let mut property = Self::new(&name, value, at);
        property.say_changed_at(changed_at);
        if quality != Quality::Good || by.is_some() || !units.is_empty() || claimed_at.is_some() {
            property.describe(|details| *details = PropertyDetails { quality, by, units, claimed_at });
        }
        property
    }
}

impl Serialize for Property {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let by = self.by();
        let claimed_at = self.claimed_at();
        let units = self.details.as_ref().map(|details| &details.units).filter(|units| !units.is_empty());
        let more =
            [by.is_some(), units.is_some(), claimed_at.is_some()].into_iter().map(usize::from).sum::<usize>();
        let mut fields = serializer.serialize_struct("Property", 5 + more)?;
        fields.serialize_field("name", &*self.name)?;
        fields.serialize_field("value", &self.value)?;
        fields.serialize_field("at", &self.at())?;
        fields.serialize_field("changed_at", &self.changed_at())?;
        fields.serialize_field("quality", &self.quality())?;
        if by.is_some() {
            fields.serialize_field("by", &by)?;
        }
        if let Some(units) = units {
            fields.serialize_field("units", units)?;
        }
        if claimed_at.is_some() {
            fields.serialize_field("claimed_at", &claimed_at)?;
        }
        fields.end()
    }
}

#[cfg(test)]
mod tests;
