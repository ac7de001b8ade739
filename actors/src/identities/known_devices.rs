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

use crate::access::token_hashes;
use crate::mailbox::try_send_unbounded;
use crate::messages::supervisor::ReadTwin;

/// A twin that does not come by then is not waited for.
const READ_WITHIN: Duration = Duration::from_secs(2);
/// A device is looked up so often while it changes again and again.
const TRIES: usize = 5;
/// Devices of which nobody has need are kept up to this number.
const MOST: usize = 50_000;

/// What the rights of a device's client hang on.
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

/// What the rights of those who watch a device hang on.
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
    access_changed: AtomicBool,
    place_changed: AtomicBool,
}

/// The devices that were looked up.
pub struct KnownDevices {
    /// Where twins are read; set once there is a supervisor.
    supervisor: OnceLock<Recipient<ReadTwin>>,
    slots: RwLock<Slots>,
    /// The number of changes to devices that somebody has looked up.
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct Slots {
    devices: HashMap<DeviceId, Slot>,
    /// The number of devices at which those are dropped of which nobody has need.
    sweep_at: usize,
}

enum Slot {
    /// Somebody reads its twin. A change removes this, and the twin is read again.
    Reading,
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
        let slots = Slots { devices: HashMap::new(), sweep_at: MOST };
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
            self.write().begin(id);
            let read = self.read_twin(id).await;
            let mut slots = self.write();
            let Some(twin) = read else {
                slots.devices.remove(id); // whoever else reads it tries again
                return None;
            };
            match slots.devices.get_mut(id) {
                Some(Slot::Known(known)) => return Some(Arc::clone(known)),
                Some(slot @ Slot::Reading) => {
                    let known = Arc::new(KnownDevice {
                        id: id.clone(),
                        access: twin.as_deref().map_or_else(|| DeviceAccess::of_none(id), DeviceAccess::of),
                        place: twin.as_deref().map_or_else(DevicePlace::of_none, DevicePlace::of),
                        access_changed: AtomicBool::default(),
                        place_changed: AtomicBool::default(),
                    });
                    *slot = Slot::Known(Arc::clone(&known));
                    return Some(known);
                }
                None => {} // it changed meanwhile
            }
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
        let removed = self.write().devices.remove(id);
        if let Some(Slot::Known(known)) = removed {
            known.access_changed.store(known.access != after.0, Ordering::Release);
            known.place_changed.store(known.place != after.1, Ordering::Release);
            self.changes.send_modify(|changes| *changes += 1);
        }
    }

    fn get_known(&self, id: &DeviceId) -> Option<Arc<KnownDevice>> {
        match self.read().devices.get(id) {
            Some(Slot::Known(known)) => Some(Arc::clone(known)),
            Some(Slot::Reading) | None => None,
        }
    }

    /// The outer none: it cannot be read. The inner one: there is none.
    async fn read_twin(&self, id: &DeviceId) -> Option<Option<Box<Twin>>> {
        let (reply, twin) = oneshot::channel();
        let supervisor = self.supervisor.get()?;
        try_send_unbounded(supervisor, ReadTwin { device: id.clone(), reply }).ok()?;
        tokio::time::timeout(READ_WITHIN, twin).await.ok()?.ok()
    }

    fn read(&self) -> RwLockReadGuard<'_, Slots> {
        // Nothing panics while holding the lock.
        self.slots.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Slots> {
        self.slots.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DevicePlace {
    fn of_none() -> Self {
        Self { owner: "".into(), group: "".into() }
    }
}

impl Slots {
    fn begin(&mut self, id: &DeviceId) {
        if self.devices.len() >= self.sweep_at {
            let is_needed = |slot: &Slot| match slot {
                Slot::Reading => true,
                Slot::Known(known) => Arc::strong_count(known) > 1,
            };
            self.devices.retain(|_, slot| is_needed(slot));
            self.sweep_at = MOST.max(self.devices.len() * 2); // so that a look costs each who comes the same
        }
        self.devices.entry(id.clone()).or_insert(Slot::Reading);
    }
}
