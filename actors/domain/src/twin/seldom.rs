//! What few properties have beside their value and its times. Thousands of devices send `°C`, so there is one of each
//! in memory: what a property pays for is a pointer.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::reading::Quality;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Seldom {
    pub quality: Quality,
    /// Who said it, where that was no device.
    pub by: Option<Box<str>>,
    pub units: Units,
    /// The time that the device said, where it is not believed.
    pub claimed_at: Option<Timestamp>,
}

/// The units of what lies in a property, by the path within it; the property's own without a path. In order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Units(Box<[(Box<str>, Box<str>)]>);

/// So many units are kept of what lies in one property: they are no part of the document, whose size has an end.
const MOST_UNITS: usize = 100;

/// So many are looked up. There are few units; a fleet that makes them up pays for its own.
const MOST_SHARED: usize = 4_096;

static SHARED: LazyLock<Mutex<Shared>> = LazyLock::new(Mutex::default);

#[derive(Default)]
struct Shared {
    known: HashSet<Arc<Seldom>>,
    /// Those that found no room. As many as there is room for, and the unused are swept out once more.
    turned_away: usize,
}

impl Seldom {
    /// The one in memory, where there is one.
    pub fn share(self) -> Arc<Self> {
        if self.by.is_some() || self.claimed_at.is_some() {
            return Arc::new(self); // these differ more than units do
        }
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = shared.known.get(&self) {
            return Arc::clone(known);
        }
        let fresh = Arc::new(self);
        if shared.known.len() >= MOST_SHARED && shared.turned_away.is_multiple_of(MOST_SHARED) {
            shared.known.retain(|known| Arc::strong_count(known) > 1);
        }
        if shared.known.len() < MOST_SHARED {
            shared.turned_away = 0;
            shared.known.insert(Arc::clone(&fresh));
        } else {
            shared.turned_away += 1;
        }
        fresh
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

    fn celsius() -> Seldom {
        Seldom { units: Units::default().with(&[("", Some("°C"))]), ..Seldom::default() }
    }

    #[test]
    fn there_is_one_of_each_unit_in_memory() {
        assert!(Arc::ptr_eq(&celsius().share(), &celsius().share()));
        let other = Seldom { quality: Quality::Bad, ..celsius() };
        assert!(!Arc::ptr_eq(&celsius().share(), &other.share()));
    }

    #[test]
    fn units_stand_by_path() {
        let units = Units::default().with(&[("rpm", Some("1/min")), ("", Some("V"))]);
        let units = units.with(&[("rpm", Some("Hz"))]);
        assert_eq!(units.iter().collect::<Vec<_>>(), [("", "V"), ("rpm", "Hz")]);
        assert_eq!(units.with(&[("rpm", None)]).get("rpm"), None);
    }
}
