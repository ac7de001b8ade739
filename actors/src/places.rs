//! Where each device is: its owner and its group, by its id and its number, as they were last committed. The journal
//! changes them before anybody is told of a commit; whoever must know whether a caller reaches a device asks here.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use twinhub_access::Reach;
use twinhub_domain::{DeviceId, DeviceNumber, Twin};
use twinhub_store::{DevicePlace, Store, StoreError};

/// Devices that were removed are remembered, so many of them: their last events are told to those who reached them.
const REMEMBERED: usize = 1_000;

/// The places of all devices, for readers in any thread.
#[derive(Debug, Default)]
pub struct Places(RwLock<PlaceTable>);

#[derive(Debug, Default)]
struct PlaceTable {
    ids: HashMap<DeviceNumber, DeviceId>,
    devices: HashMap<DeviceId, KnownPlace>,
    /// The number of devices of each owner.
    owned: HashMap<Arc<str>, u64>,
    /// Owners and groups, each once: thousands of devices are in one.
    texts: HashSet<Arc<str>>,
    /// The last to be removed come last.
    removed: VecDeque<(DeviceId, KnownPlace)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct KnownPlace {
    number: DeviceNumber,
    owner: Arc<str>,
    group: Arc<str>,
}

/// A device's place, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlaceNow {
    pub device: DeviceId,
    /// Empty where it has none.
    pub owner: Arc<str>,
    /// Empty where it is in none.
    pub group: Arc<str>,
}

/// Places under a lock, for many questions at once.
pub struct PlacesRead<'a>(RwLockReadGuard<'a, PlaceTable>);

impl Places {
    /// The places that the store has.
    ///
    /// # Errors
    /// The store does not give them.
    pub async fn load(store: &dyn Store) -> Result<Self, StoreError> {
        let mut table = PlaceTable::default();
        for DevicePlace { device, number, owner, group } in store.places().await? {
            table.put(device, number, &owner, &group);
        }
        Ok(Self(RwLock::new(table)))
    }

    /// Takes a commit in: twins as they are after it, and devices that it removed.
    pub fn commit<'a>(
        &self,
        twins: impl Iterator<Item = &'a Twin> + Clone,
        removed: impl Iterator<Item = DeviceNumber> + Clone,
    ) {
        let is_known = {
            let table = &self.read().0;
            removed.clone().next().is_none() && twins.clone().all(|twin| table.has(twin))
        };
        if is_known {
            return; // as nearly always: nobody waits for a lock
        }
        let mut table = self.write();
        for twin in twins {
            table.put(twin.id.clone(), twin.number, owner_of(twin), group_of(twin));
        }
        for number in removed {
            table.remove(number);
        }
    }

    /// Locks them for many questions at once. Not while a commit is awaited.
    #[must_use]
    pub fn read(&self) -> PlacesRead<'_> {
        PlacesRead(self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The place of the device with this id.
    #[must_use]
    pub fn of(&self, device: &DeviceId) -> Option<PlaceNow> {
        let KnownPlace { owner, group, .. } = self.read().0.devices.get(device)?.clone();
        Some(PlaceNow { device: device.clone(), owner, group })
    }

    /// The id of the device with this number.
    #[must_use]
    pub fn id(&self, number: DeviceNumber) -> Option<DeviceId> {
        self.read().0.ids.get(&number).cloned()
    }

    /// The number of devices of this owner.
    #[must_use]
    pub fn owned(&self, owner: &str) -> u64 {
        self.read().0.owned.get(owner).copied().unwrap_or_default()
    }

    fn write(&self) -> RwLockWriteGuard<'_, PlaceTable> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PlacesRead<'_> {
    /// Is there such a device, and within reach?
    #[must_use]
    pub fn has(&self, reach: &Reach, device: &DeviceId) -> bool {
        self.0.devices.get(device).is_some_and(|place| place.is_within(reach, device))
    }

    /// Stands a device beyond reach in this group?
    #[must_use]
    pub fn is_shared(&self, reach: &Reach, group: &str) -> bool {
        let mut in_it = self.0.devices.iter().filter(|(_, place)| *place.group == *group);
        in_it.any(|(device, place)| !place.is_within(reach, device))
    }

    /// Is there such a device?
    #[must_use]
    pub fn knows(&self, device: &DeviceId) -> bool {
        self.0.devices.contains_key(device)
    }

    /// The owner and the group of a device; each is empty where it has none.
    #[must_use]
    pub fn place(&self, device: &DeviceId) -> Option<(&str, &str)> {
        self.0.devices.get(device).map(|place| (&*place.owner, &*place.group))
    }

    /// The same as [`PlacesRead::has`] by its number.
    #[must_use]
    pub fn has_number(&self, reach: &Reach, number: DeviceNumber) -> bool {
        self.0.ids.get(&number).is_some_and(|id| self.has(reach, id))
    }

    /// The same for one that may have just been removed.
    #[must_use]
    pub fn has_or_had(&self, reach: &Reach, device: &DeviceId, number: DeviceNumber) -> bool {
        match self.0.devices.get(device) {
            Some(place) if place.number == number => place.is_within(reach, device),
            _ => {
                let mut removed = self.0.removed.iter().rev();
                removed
                    .find(|(_, place)| place.number == number)
                    .is_some_and(|(device, place)| place.is_within(reach, device))
            }
        }
    }
}

impl PlaceTable {
    fn has(&self, twin: &Twin) -> bool {
        self.devices.get(&twin.id).is_some_and(|place| {
            place.number == twin.number && *place.owner == *owner_of(twin) && *place.group == *group_of(twin)
        })
    }

    fn put(&mut self, device: DeviceId, number: DeviceNumber, owner: &str, group: &str) {
        let place = KnownPlace { number, owner: self.text(owner), group: self.text(group) };
        self.ids.insert(number, device.clone());
        self.count(&place, 1);
        if let Some(before) = self.devices.insert(device, place) {
            self.count(&before, -1);
            if before.number != number {
                self.ids.remove(&before.number);
            }
        }
    }

    fn remove(&mut self, number: DeviceNumber) {
        let Some(device) = self.ids.remove(&number) else { return };
        // Another one may have its id by now.
        if self.devices.get(&device).is_none_or(|place| place.number != number) {
            return;
        }
        if let Some(place) = self.devices.remove(&device) {
            self.count(&place, -1);
            self.removed.push_back((device, place));
            if self.removed.len() > REMEMBERED {
                self.removed.pop_front();
            }
        }
    }

    fn count(&mut self, place: &KnownPlace, by: i64) {
        if place.owner.is_empty() {
            return;
        }
        let owned = self.owned.entry(Arc::clone(&place.owner)).or_default();
        *owned = owned.saturating_add_signed(by);
        if *owned == 0 {
            self.owned.remove(&place.owner);
        }
    }

    fn text(&mut self, text: &str) -> Arc<str> {
        match self.texts.get(text) {
            Some(known) => Arc::clone(known),
            None => {
                let text: Arc<str> = text.into();
                self.texts.insert(Arc::clone(&text));
                text
            }
        }
    }
}

impl KnownPlace {
    fn is_within(&self, reach: &Reach, device: &DeviceId) -> bool {
        reach.contains(device, &self.owner, &self.group)
    }
}

fn owner_of(twin: &Twin) -> &str {
    twin.profile.text("owner_id")
}

fn group_of(twin: &Twin) -> &str {
    twin.profile.text("group_id")
}

#[cfg(test)]
mod tests {
    use twinhub_access::{Scope, Scopes};
    use twinhub_domain::Timestamp;
    use twinhub_domain::fleet::{GroupId, GroupTree};
    use twinhub_domain::twin::Registration;
    use twinhub_domain::{Cause, Input, Json};

    use super::*;

    fn twin(id: &str, number: i64, owner: &str, group: &str) -> Twin {
        let mut twin = Twin::new(DeviceId::parse(id).unwrap(), DeviceNumber(number), Timestamp::default());
        let member = |text: &str| Json::from(text);
        let patch = [("owner_id", member(owner)), ("group_id", member(group))].into_iter().collect();
        let registration = Input::Register(Box::new(Registration { patch }));
        twin.apply(registration, Timestamp::default(), &Cause::hub()).unwrap();
        twin
    }

    fn reach(group: &str) -> Reach {
        let scope = Scope::Groups([GroupId::parse(group).unwrap()].into());
        Reach::of(&Scopes::from(&scope), &GroupTree::default())
    }

    #[test]
    fn places_follow_commits() {
        let (places, hall) = (Places::default(), reach("hall"));
        let pump = DeviceId::parse("pump").unwrap();
        let commit = |twins: &[Twin], removed: &[i64]| {
            places.commit(twins.iter(), removed.iter().copied().map(DeviceNumber));
        };
        commit(&[twin("pump", 1, "ann", "hall"), twin("fan", 2, "ann", "yard")], &[]);
        assert!(places.read().has(&hall, &pump) && places.read().has_number(&hall, DeviceNumber(1)));
        assert!(!places.read().has_number(&hall, DeviceNumber(2)));
        assert!(!places.read().has_number(&Reach::everywhere(), DeviceNumber(3)));
        assert_eq!(places.owned("ann"), 2);
        assert!(places.read().is_shared(&hall, "yard") && !places.read().is_shared(&hall, "hall"));

        commit(&[twin("pump", 1, "bob", "yard")], &[]);
        assert!(!places.read().has(&hall, &pump), "moved away");
        assert_eq!((places.owned("ann"), places.owned("bob"), places.owned("")), (1, 1, 0));

        commit(&[twin("pump", 1, "", "hall")], &[]);
        commit(&[], &[1]);
        let had = |number: i64| places.read().has_or_had(&hall, &pump, DeviceNumber(number));
        assert!(!places.read().has(&hall, &pump) && had(1), "its removal is told where it was");
        commit(&[twin("pump", 3, "", "yard")], &[]);
        assert!(had(1) && !had(3), "the next of its id is another");
        assert_eq!(places.id(DeviceNumber(3)), Some(pump.clone()));
        commit(&[], &[1, 2]);
        assert_eq!((places.id(DeviceNumber(3)), places.owned("ann")), (Some(pump), 0));
    }
}
