//! The members that few properties have beside their value and its times. Thousands of devices send `°C`, so there is
//! one of each in memory where many twins are: what a property pays for is a pointer.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use arcstr::ArcStr;
use serde::{Deserialize, Serialize};

use crate::clock::ReadingTime;
use crate::reading::Quality;

/// The parts of a property that few properties have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct PropertyDetails {
    pub quality: Quality,
    /// The author of the value, where that was no device.
    pub by: Option<Box<str>>,
    pub units: Units,
    /// The time that the device said, where it is not believed.
    pub claimed_at: Option<ReadingTime>,
}

/// The units of what lies in a property, by the path within it; the property's own without a path. In order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Units(Box<[(Box<str>, Box<str>)]>);

/// So many units are kept of what lies in one property: they are no part of the document, whose size has an end.
const MOST_UNITS: usize = 100;

/// So many are looked up. There are few units; a fleet that makes them up pays for its own.
const MOST_SHARED: usize = 4_096;

/// Values that properties of many twins have, each once. Whoever holds many twins has one of these.
#[derive(Debug, Default)]
pub struct SharedDetails {
    known: HashSet<Arc<PropertyDetails>>,
    names: HashSet<ArcStr>,
    /// The number of values that found no room. At as many as there is room for, the unused are swept out once more.
    turned_away: usize,
    /// The same of names.
    names_turned_away: usize,
}

/// Nothing is to be gained by looking for another name that is the same: several hold this one.
pub(super) fn is_name_shared(name: &ArcStr) -> bool {
    ArcStr::strong_count(name) != Some(1)
}

impl SharedDetails {
    /// The one in memory that is the same, where there is one.
    pub(super) fn share(&mut self, own: &mut Arc<PropertyDetails>) {
        if own.is_shared() {
            return;
        }
        if let Some(known) = self.known.get(own) {
            *own = Arc::clone(known);
            return;
        }
        if self.known.len() >= MOST_SHARED && self.turned_away.is_multiple_of(MOST_SHARED) {
            self.known.retain(|known| Arc::strong_count(known) > 1);
        }
        if self.known.len() < MOST_SHARED {
            self.turned_away = 0;
            self.known.insert(Arc::clone(own));
        } else {
            self.turned_away += 1;
        }
    }

    /// The same for the name of a property.
    pub(super) fn share_name(&mut self, own: &mut ArcStr) {
        if is_name_shared(own) {
            return;
        }
        if let Some(known) = self.names.get(own) {
            *own = ArcStr::clone(known);
            return;
        }
        if self.names.len() >= MOST_SHARED && self.names_turned_away.is_multiple_of(MOST_SHARED) {
            self.names.retain(is_name_shared);
        }
        if self.names.len() < MOST_SHARED {
            self.names_turned_away = 0;
            self.names.insert(ArcStr::clone(own));
        } else {
            self.names_turned_away += 1;
        }
    }
}

impl PropertyDetails {
    /// Nothing is to be gained by looking for another that is the same: this one is held by several, or differs from
    /// all others, as who said something when does.
    pub fn is_shared(self: &Arc<Self>) -> bool {
        Arc::strong_count(self) > 1 || self.by.is_some() || self.claimed_at.is_some()
    }
}

impl Units {
    /// The unit at a path; the property's own at none.
    pub fn get(&self, path: &str) -> Option<&str> {
        self.0.iter().find(|(place, _)| **place == *path).map(|(_, unit)| &**unit)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them, by path.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(path, unit)| (&**path, &**unit))
    }

    /// The same with other units at these paths; none takes one away. Where there are [`MOST_UNITS`], a new one finds
    /// no room.
    pub fn with(&self, changes: &[(&str, Option<&str>)]) -> Self {
        let mut units: BTreeMap<&str, &str> = self.iter().collect();
        for (path, unit) in changes {
            match unit {
                None => drop(units.remove(path)),
                Some(unit) if units.len() < MOST_UNITS || units.contains_key(path) => {
                    units.insert(path, unit);
                }
                Some(_) => {}
            }
        }
        Self(units.into_iter().map(|(path, unit)| (path.into(), unit.into())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn celsius() -> PropertyDetails {
        PropertyDetails { units: Units::default().with(&[("", Some("°C"))]), ..PropertyDetails::default() }
    }

    #[test]
    fn there_is_one_of_each_unit_in_memory() {
        let mut common = SharedDetails::default();
        let mut share = |details: PropertyDetails| {
            let mut own = Arc::new(details);
            common.share(&mut own);
            own
        };
        let (one, same) = (share(celsius()), share(celsius()));
        assert!(Arc::ptr_eq(&one, &same) && one.is_shared());
        let other = share(PropertyDetails { quality: Quality::Bad, ..celsius() });
        assert!(!Arc::ptr_eq(&one, &other));
        let by_ann = || PropertyDetails { by: Some("user:ann".into()), ..celsius() };
        assert!(!Arc::ptr_eq(&share(by_ann()), &share(by_ann())), "who said it differs more than units do");
    }

    #[test]
    fn what_nobody_has_any_more_makes_room() {
        let mut common = SharedDetails::default();
        let unit = |n: usize| PropertyDetails {
            units: Units::default().with(&[("", Some(&format!("u{n}")))]),
            ..PropertyDetails::default()
        };
        let mut kept = Arc::new(unit(0));
        common.share(&mut kept);
        for n in 1..3 * MOST_SHARED {
            common.share(&mut Arc::new(unit(n)));
            assert!(common.known.len() <= MOST_SHARED);
        }
        assert!(common.known.contains(&kept), "what somebody has stays");
        let (mut one, mut same) = (Arc::new(celsius()), Arc::new(celsius()));
        common.share(&mut one);
        common.share(&mut same);
        assert!(Arc::ptr_eq(&one, &same));
    }

    #[test]
    fn units_stand_by_path() {
        let units = Units::default().with(&[("rpm", Some("1/min")), ("", Some("V"))]);
        let units = units.with(&[("rpm", Some("Hz"))]);
        assert_eq!(units.iter().collect::<Vec<_>>(), [("", "V"), ("rpm", "Hz")]);
        assert_eq!(units.with(&[("rpm", None)]).get("rpm"), None);
    }
}
