//! The devices that clients spoke of, with what their rights hang on, so that a connection costs no read of the store.
//! A twin's actor reports each change of these, and whoever holds a [`KnownDevice`] can see that it is out of date.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use actix::Recipient;
use tokio::sync::{oneshot, watch};
use twinhub_access::DeviceReach;
use twinhub_domain::{DeviceId, DeviceSettings, Twin};

use crate::device_tokens::token_hashes;
use crate::mailbox::try_send_unbounded;
use crate::messages::supervisor::ReadTwin;

/// A twin that does not come by then is not waited for.
const READ_WITHIN: Duration = Duration::from_secs(2);
/// A device is looked up so often while it changes again and again.
const TRIES: usize = 5;
/// Devices of which nobody has need are kept up to this number.
const MOST: usize = 50_000;

/// The facts on which the rights of a device's client hang.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceAccess {
    /// The hub has it.
    pub exists: bool,
    /// It is suspended or retired.
    pub is_out_of_service: bool,
    /// The hashes of its tokens.
    pub tokens: Box<[Box<str>]>,
    /// The devices for which it speaks.
    pub reach: DeviceReach,
}

/// The facts on which the rights of those hang who watch a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DevicePlace {
    /// Empty where it has none.
    pub owner: Box<str>,
    /// Empty where it is in none.
    pub group: Box<str>,
}

/// A device as it was when it was looked up.
#[derive(Debug)]
pub struct KnownDevice {
    pub id: DeviceId,
    pub access: DeviceAccess,
    pub place: DevicePlace,
    /// One for all that were made while the access stayed the same: nobody who holds an earlier one misses its end.
    access_changed: Arc<AtomicBool>,
    place_changed: AtomicBool,
}

/// The devices that were looked up.
pub struct KnownDevices {
    /// Where twins are read; set once there is a supervisor.
    supervisor: OnceLock<Recipient<ReadTwin>>,
    slots: RwLock<DeviceSlots>,
    /// The number of changes to devices that somebody has looked up.
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct DeviceSlots {
    devices: HashMap<DeviceId, DeviceSlot>,
    /// The number of the next read.
    next_read: u64,
    /// The number of devices at which those are dropped of which nobody has need.
    sweep_at: usize,
}

enum DeviceSlot {
    /// Its twin is read: those who began while it had this number may write down what they found. A change removes this,
    /// and the twin is read again.
    Reading(u64),
    Known(Arc<KnownDevice>),
}

impl DeviceAccess {
    /// As `twin` has it.
    #[must_use]
    pub fn of(twin: &Twin) -> Self {
        Self {
            exists: !twin.is_new(),
            is_out_of_service: twin.lifecycle().is_out_of_service(),
            tokens: token_hashes(twin).into(),
            reach: DeviceReach::new(twin.id.clone(), &twin.setup.settings()),
        }
    }

    fn of_none(id: &DeviceId) -> Self {
        let reach = DeviceReach::new(id.clone(), &DeviceSettings::default());
        Self { exists: false, is_out_of_service: false, tokens: Box::default(), reach }
    }
}

impl DevicePlace {
    /// As `twin` has it.
    #[must_use]
    pub fn of(twin: &Twin) -> Self {
        Self { owner: twin.profile.text("owner_id").into(), group: twin.profile.text("group_id").into() }
    }
}

impl KnownDevice {
    /// Has it tokens, so that a client without one cannot speak for it?
    #[must_use]
    pub fn has_tokens(&self) -> bool {
        !self.access.tokens.is_empty()
    }

    /// Is [`KnownDevice::access`] as it was?
    #[must_use]
    pub fn has_same_access(&self) -> bool {
        !self.access_changed.load(Ordering::Acquire)
    }

    /// Is [`KnownDevice::place`] as it was?
    #[must_use]
    pub fn has_same_place(&self) -> bool {
        !self.place_changed.load(Ordering::Acquire)
    }
}

impl Default for KnownDevices {
    fn default() -> Self {
        let slots = DeviceSlots { devices: HashMap::new(), next_read: 0, sweep_at: MOST };
        Self { supervisor: OnceLock::new(), slots: RwLock::new(slots), changes: watch::Sender::new(0) }
    }
}

impl KnownDevices {
    /// Twins are read from `supervisor` from now on.
    pub fn read_from(&self, supervisor: Recipient<ReadTwin>) {
        let _ = self.supervisor.set(supervisor); // a hub has one
    }

    /// Counts up as devices change that somebody has looked up.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Looks up a device. None where its twin cannot be read now.
    pub async fn get(&self, id: &DeviceId) -> Option<Arc<KnownDevice>> {
        for _ in 0..TRIES {
            if let Some(known) = self.get_known(id) {
                return Some(known);
            }
            let number = self.write().begin(id);
            let read = self.read_twin(id).await;
            let mut slots = self.write();
            let Some(twin) = read else {
                if matches!(slots.devices.get(id), Some(DeviceSlot::Reading(_))) {
                    slots.devices.remove(id); // whoever else reads it tries again
                }
                return None;
            };
            match slots.devices.get(id) {
                Some(DeviceSlot::Known(known)) => return Some(Arc::clone(known)),
                Some(DeviceSlot::Reading(now)) if Some(*now) == number => {}
                Some(DeviceSlot::Reading(_)) | None => continue, // it changed meanwhile
            }
            let known = Arc::new(KnownDevice {
                id: id.clone(),
                access: twin.as_deref().map_or_else(|| DeviceAccess::of_none(id), DeviceAccess::of),
                place: twin.as_deref().map_or_else(DevicePlace::of_none, DevicePlace::of),
                access_changed: Arc::default(),
                place_changed: AtomicBool::default(),
            });
            slots.devices.insert(id.clone(), DeviceSlot::Known(Arc::clone(&known)));
            return Some(known);
        }
        None
    }

    /// The device has changed. `before` and `after` are as its twin had it and has it; a change is not durable yet.
    pub fn changed(
        &self,
        id: &DeviceId,
        before: &(DeviceAccess, DevicePlace),
        after: &(DeviceAccess, DevicePlace),
    ) {
        if before == after {
            return;
        }
        let mut slots = self.write();
        let Some(DeviceSlot::Known(known)) = slots.devices.remove(id) else { return };
        // Whoever comes next reads what is durable then. A place has no secrets: where it alone changed it stays known,
        // for the sake of those who hold the access.
        let (access, place) = after;
        if known.access == *access {
            let now = KnownDevice {
                id: id.clone(),
                access: access.clone(),
                place: place.clone(),
                access_changed: Arc::clone(&known.access_changed),
                place_changed: AtomicBool::default(),
            };
            slots.devices.insert(id.clone(), DeviceSlot::Known(Arc::new(now)));
        } else {
            known.access_changed.store(true, Ordering::Release);
        }
        known.place_changed.store(true, Ordering::Release);
        drop(slots);
        self.changes.send_modify(|changes| *changes += 1);
    }

    fn get_known(&self, id: &DeviceId) -> Option<Arc<KnownDevice>> {
        match self.read().devices.get(id) {
            Some(DeviceSlot::Known(known)) => Some(Arc::clone(known)),
            Some(DeviceSlot::Reading(_)) | None => None,
        }
    }

    /// The outer none: it cannot be read. The inner one: there is none.
    async fn read_twin(&self, id: &DeviceId) -> Option<Option<Box<Twin>>> {
        let (reply, twin) = oneshot::channel();
        let supervisor = self.supervisor.get()?;
        try_send_unbounded(supervisor, ReadTwin { device: id.clone(), reply }).ok()?;
        tokio::time::timeout(READ_WITHIN, twin).await.ok()?.ok()
    }

    fn read(&self) -> RwLockReadGuard<'_, DeviceSlots> {
        // Nothing panics while holding the lock.
        self.slots.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, DeviceSlots> {
        self.slots.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DevicePlace {
    fn of_none() -> Self {
        Self { owner: "".into(), group: "".into() }
    }
}

impl DeviceSlots {
    /// Begins a read, and gives its number; none where the device is known by now.
    fn begin(&mut self, id: &DeviceId) -> Option<u64> {
        if self.devices.len() >= self.sweep_at {
            let is_needed = |slot: &DeviceSlot| match slot {
                DeviceSlot::Reading(_) => true,
                DeviceSlot::Known(known) => {
                    Arc::strong_count(known) > 1 || Arc::strong_count(&known.access_changed) > 1
                }
            };
            self.devices.retain(|_, slot| is_needed(slot));
            self.sweep_at = MOST.max(self.devices.len() * 2); // so that a look costs each who comes the same
        }
        let next = &mut self.next_read;
        let slot = self.devices.entry(id.clone()).or_insert_with(|| {
            *next += 1;
            DeviceSlot::Reading(*next)
        });
        match slot {
            DeviceSlot::Reading(number) => Some(*number),
            DeviceSlot::Known(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use twinhub_domain::{DeviceNumber, Timestamp};

    use super::*;

    fn access(tokens: &[&str]) -> DeviceAccess {
        let id = DeviceId::parse("pump").unwrap();
        let tokens = tokens.iter().map(|token| (*token).into()).collect();
        DeviceAccess { exists: true, tokens, ..DeviceAccess::of_none(&id) }
    }

    fn place(group: &str) -> DevicePlace {
        DevicePlace { owner: "".into(), group: group.into() }
    }

    fn pump() -> DeviceId {
        DeviceId::parse("pump").unwrap()
    }

    /// One that knows the pump by a token, in a group.
    fn knowing() -> (KnownDevices, Arc<KnownDevice>) {
        let devices = KnownDevices::default();
        let known = Arc::new(KnownDevice {
            id: pump(),
            access: access(&["a"]),
            place: place("hall"),
            access_changed: Arc::default(),
            place_changed: AtomicBool::default(),
        });
        devices.write().devices.insert(pump(), DeviceSlot::Known(Arc::clone(&known)));
        (devices, known)
    }

    #[test]
    fn a_change_is_seen_by_whoever_holds_the_device() {
        let (devices, known) = knowing();
        let changes = devices.changes();
        let before = (access(&["a"]), place("hall"));
        devices.changed(&pump(), &before, &before.clone());
        assert!(known.has_same_access() && known.has_same_place() && !changes.has_changed().unwrap());
        let moved = (access(&["a"]), place("attic"));
        devices.changed(&pump(), &before, &moved);
        assert!(known.has_same_access() && !known.has_same_place() && changes.has_changed().unwrap());
        let now = devices.get_known(&pump()).unwrap();
        assert_eq!(&*now.place.group, "attic");
        devices.changed(&pump(), &moved, &(access(&["b"]), place("attic")));
        assert!(!now.has_same_access() && !now.has_same_place());
        assert!(!known.has_same_access(), "who held it before it was moved sees it too");
        assert!(devices.get_known(&pump()).is_none(), "the next one reads what is durable");
    }

    #[test]
    fn what_was_read_before_a_change_is_not_written_down() {
        let devices = KnownDevices::default();
        let first = devices.write().begin(&pump());
        assert_eq!(first, devices.write().begin(&pump()), "both read the same");
        devices.changed(&pump(), &(access(&["a"]), place("")), &(access(&[]), place("")));
        assert!(devices.read().devices.is_empty());
        assert_ne!(first, devices.write().begin(&pump()));
    }

    #[test]
    fn devices_of_which_nobody_has_need_are_dropped() {
        let (devices, known) = knowing();
        devices.changed(&pump(), &(access(&["a"]), place("hall")), &(access(&["a"]), place("attic")));
        for number in 0..2 * MOST {
            let id = DeviceId::parse(&format!("d{number}")).unwrap();
            let twin = Twin::new(id.clone(), DeviceNumber(1), Timestamp::default());
            let unneeded = KnownDevice {
                id: id.clone(),
                access: DeviceAccess::of(&twin),
                place: DevicePlace::of(&twin),
                access_changed: Arc::default(),
                place_changed: AtomicBool::default(),
            };
            let mut slots = devices.write();
            slots.begin(&id);
            slots.devices.insert(id, DeviceSlot::Known(Arc::new(unneeded)));
        }
        assert!(devices.read().devices.len() <= MOST + 1);
        let held = (access(&["a"]), place("attic"));
        devices.changed(&pump(), &held, &(access(&["b"]), place("attic")));
        assert!(!known.has_same_access(), "one that is held is not dropped");
    }
}
