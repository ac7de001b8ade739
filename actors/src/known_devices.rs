//! The devices that clients spoke of, with what their rights hang on, so that a connection costs no read of the store.
//! A twin's actor reports each change of these, and whoever holds a [`KnownDevice`] can see that it is out of date.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use actix::Recipient;
use tokio::sync::{oneshot, watch};
use twinhub_access::DeviceReach;
use twinhub_domain::twin::fields::UNPAIRED_SINCE;
use twinhub_domain::{DeviceId, DeviceSettings, Twin};
use twinhub_store::seal::TokenMatch;

use crate::device_tokens::{Tokens, token_hashes};
use crate::mailbox::try_send_unbounded;
use crate::messages::supervisor::ReadTwin;

/// A twin that does not come by then is not waited for.
const READ_WITHIN: Duration = Duration::from_secs(2);
/// A device is looked up so often while it changes again and again.
const TRIES: usize = 5;
/// The credential of a device to which no certificate is bound: one that an authority issued to its name counts.
const BY_NAME: &str = "certificate by name";
/// Devices of which nobody has need are kept up to this number.
const MOST: usize = 50_000;

/// The facts on which the rights of a device's client hang.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceAccess {
    /// The hub has it.
    pub exists: bool,
    /// It is suspended or retired.
    pub is_out_of_service: bool,
    /// It came through a pairing window: without a token it is let in through another one alone.
    pub is_unpaired: bool,
    /// The stored forms of its credentials: the hashes of its tokens, and the fingerprint of the certificate that is bound
    /// to it, or [`BY_NAME`] where none is.
    pub credentials: Box<[Box<str>]>,
    /// The devices for which it speaks.
    pub reach: DeviceReach,
}

/// The facts on which the rights of those hang who watch a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchedPlace {
    /// Empty where it has none.
    pub owner: Box<str>,
    /// Empty where it is in none.
    pub group: Box<str>,
}

/// A credential of a device, for those who came by it. It outlasts changes of the device's other credentials.
#[derive(Clone, Debug)]
pub struct HeldCredential {
    stored: Box<str>,
    state: Arc<HeldCredentialState>,
}

/// The state of a credential, common to all who came by it.
#[derive(Debug, Default)]
struct HeldCredentialState {
    has_ended: AtomicBool,
    /// The hash under which the same token is to be stored from now on.
    renewed: OnceLock<Box<str>>,
}

/// A device as it was when it was looked up.
#[derive(Debug)]
pub struct KnownDevice {
    pub id: DeviceId,
    pub access: DeviceAccess,
    pub place: WatchedPlace,
    /// The credentials in `access`, each as its holders have it.
    credentials: Box<[HeldCredential]>,
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
    /// Its twin is read, or will be by whoever comes next: those who began while it had this number may write down what
    /// they found. After a change the twin is read again.
    Reading {
        number: u64,
        /// The credentials that counted before the last change and count after it.
        held: Box<[HeldCredential]>,
    },
    Known(Arc<KnownDevice>),
}

impl DeviceAccess {
    /// As `twin` has it.
    #[must_use]
    pub fn of(twin: &Twin) -> Self {
        let certificate = Some(twin.profile.certificate()).filter(|bound| !bound.is_empty());
        let tokens = token_hashes(twin).into_iter();
        Self {
            exists: !twin.is_new(),
            is_out_of_service: twin.lifecycle().is_out_of_service(),
            is_unpaired: !twin.profile.text(UNPAIRED_SINCE).is_empty(),
            credentials: tokens.chain([certificate.unwrap_or(BY_NAME).into()]).collect(),
            reach: DeviceReach::new(twin.id.clone(), &twin.setup.settings()),
        }
    }

    /// Is it as `other`, whatever the credentials of both?
    fn is_alike_but_for_credentials(&self, other: &Self) -> bool {
        let Self { exists, is_out_of_service, is_unpaired, credentials: _, reach } = self;
        (*exists, *is_out_of_service, *is_unpaired, reach)
            == (other.exists, other.is_out_of_service, other.is_unpaired, &other.reach)
    }

    fn of_none(id: &DeviceId) -> Self {
        let reach = DeviceReach::new(id.clone(), &DeviceSettings::default());
        let credentials = Box::default();
        Self { exists: false, is_out_of_service: false, is_unpaired: false, credentials, reach }
    }
}

impl WatchedPlace {
    /// As `twin` has it.
    #[must_use]
    pub fn of(twin: &Twin) -> Self {
        Self { owner: twin.profile.text("owner_id").into(), group: twin.profile.text("group_id").into() }
    }
}

impl HeldCredential {
    fn new(stored: &str) -> Self {
        Self { stored: stored.into(), state: Arc::default() }
    }

    /// The form in which it is stored.
    #[must_use]
    pub fn stored(&self) -> &str {
        &self.stored
    }

    /// It is about to be stored under another `hash`: whoever came by it goes on.
    pub fn renewed_as(&self, hash: &str) {
        let _ = self.state.renewed.set(hash.into()); // the present key makes one hash of a token
    }

    /// Is it the credential with this stored form?
    fn is(&self, stored: &str) -> bool {
        *self.stored == *stored || self.state.renewed.get().is_some_and(|renewed| **renewed == *stored)
    }

    /// Does it count still, and is all else as it was on which the rights of the device's client hang?
    #[must_use]
    pub fn lasts(&self) -> bool {
        !self.state.has_ended.load(Ordering::Acquire)
    }

    fn end(&self) {
        self.state.has_ended.store(true, Ordering::Release);
    }

    fn is_needed(&self) -> bool {
        Arc::strong_count(&self.state) > 1
    }
}

impl KnownDevice {
    /// The device as its twin says, where there is one. Those of its credentials that are `held` go on.
    fn new(id: &DeviceId, twin: Option<&Twin>, held: &[HeldCredential]) -> Self {
        let access = twin.map_or_else(|| DeviceAccess::of_none(id), DeviceAccess::of);
        let place = twin.map_or_else(WatchedPlace::of_none, WatchedPlace::of);
        let go_on = |stored: &str| {
            let held = held.iter().find(|credential| credential.is(stored));
            // A renewed token is known by its present hash from now on.
            held.map_or_else(
                || HeldCredential::new(stored),
                |held| HeldCredential { stored: stored.into(), ..held.clone() },
            )
        };
        let credentials = access.credentials.iter().map(|stored| go_on(stored)).collect();
        let (access_changed, place_changed) = (Arc::default(), AtomicBool::default());
        Self { id: id.clone(), access, place, credentials, access_changed, place_changed }
    }

    /// The same device in another place.
    fn moved_to(&self, place: WatchedPlace) -> Self {
        Self {
            id: self.id.clone(),
            access: self.access.clone(),
            place,
            credentials: self.credentials.clone(),
            access_changed: Arc::clone(&self.access_changed),
            place_changed: AtomicBool::default(),
        }
    }

    /// The one of its tokens that `token` is, and whether it is stored under the present key.
    #[must_use]
    pub fn token(&self, tokens: &Tokens, token: &str) -> Option<(HeldCredential, TokenMatch)> {
        let compared = self.credentials.iter().map(|held| (held, tokens.compare(&held.stored, token)));
        let mut own = compared.filter(|(_, found)| *found != TokenMatch::Other);
        own.next().map(|(held, found)| (held.clone(), found))
    }

    /// The credential that the certificate with this fingerprint is to it: bound, or, where none is bound, one that an
    /// authority issued to its name.
    #[must_use]
    pub fn certificate(&self, fingerprint: &str, is_named: bool) -> Option<HeldCredential> {
        let counts =
            |held: &&HeldCredential| *held.stored == *fingerprint || (is_named && *held.stored == *BY_NAME);
        self.credentials.iter().find(counts).cloned()
    }

    /// Has it credentials of its own, so that a client without one cannot speak for it?
    #[must_use]
    pub fn has_credentials(&self) -> bool {
        self.own_credentials().next().is_some()
    }

    /// The stored forms of those.
    pub fn own_credentials(&self) -> impl Iterator<Item = &str> {
        self.access.credentials.iter().map(|stored| &**stored).filter(|stored| *stored != BY_NAME)
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
                if matches!(slots.devices.get(id), Some(DeviceSlot::Reading { held, .. }) if held.is_empty())
                {
                    slots.devices.remove(id); // whoever else reads it tries again
                }
                return None;
            };
            let known = match slots.devices.get(id) {
                Some(DeviceSlot::Known(known)) => return Some(Arc::clone(known)),
                Some(DeviceSlot::Reading { number: now, held }) if Some(*now) == number => {
                    Arc::new(KnownDevice::new(id, twin.as_deref(), held))
                }
                Some(DeviceSlot::Reading { .. }) | None => continue, // it changed meanwhile
            };
            slots.devices.insert(id.clone(), DeviceSlot::Known(Arc::clone(&known)));
            return Some(known);
        }
        None
    }

    /// The device has changed. `before` and `after` are as its twin had it and has it; a change is not durable yet.
    pub fn changed(
        &self,
        id: &DeviceId,
        before: &(DeviceAccess, WatchedPlace),
        after: &(DeviceAccess, WatchedPlace),
    ) {
        if before == after {
            return;
        }
        let (access, place) = after;
        let mut slots = self.write();
        // The next to ask reads what is durable then. A place has no secrets: where it alone changed it stays known,
        // for the sake of those who hold the access.
        match slots.devices.remove(id) {
            Some(DeviceSlot::Known(known)) => {
                known.place_changed.store(true, Ordering::Release);
                if known.access == *access {
                    let now = DeviceSlot::Known(Arc::new(known.moved_to(place.clone())));
                    slots.devices.insert(id.clone(), now);
                } else {
                    known.access_changed.store(true, Ordering::Release);
                    slots.change_access(id, &known.credentials, &known.access, access);
                }
            }
            // Nobody holds anything of it.
            Some(DeviceSlot::Reading { held, .. }) if held.is_empty() => return,
            Some(DeviceSlot::Reading { held, .. }) => slots.change_access(id, &held, &before.0, access),
            None => return,
        }
        drop(slots);
        self.changes.send_modify(|changes| *changes += 1);
    }

    fn get_known(&self, id: &DeviceId) -> Option<Arc<KnownDevice>> {
        match self.read().devices.get(id) {
            Some(DeviceSlot::Known(known)) => Some(Arc::clone(known)),
            Some(DeviceSlot::Reading { .. }) | None => None,
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

impl WatchedPlace {
    fn of_none() -> Self {
        Self { owner: "".into(), group: "".into() }
    }
}

impl DeviceSlots {
    /// Begins a read, and gives its number; none where the device is known by now.
    fn begin(&mut self, id: &DeviceId) -> Option<u64> {
        if self.devices.len() >= self.sweep_at {
            let is_needed = |slot: &DeviceSlot| match slot {
                // Where none is held somebody reads it; who reads one that is dropped tries again.
                DeviceSlot::Reading { held, .. } => {
                    held.is_empty() || held.iter().any(HeldCredential::is_needed)
                }
                DeviceSlot::Known(known) => {
                    Arc::strong_count(known) > 1
                        || Arc::strong_count(&known.access_changed) > 1
                        || known.credentials.iter().any(HeldCredential::is_needed)
                }
            };
            self.devices.retain(|_, slot| is_needed(slot));
            self.sweep_at = MOST.max(self.devices.len() * 2); // so that a look costs each who comes the same
        }
        let next = &mut self.next_read;
        let slot = self.devices.entry(id.clone()).or_insert_with(|| {
            *next += 1;
            DeviceSlot::Reading { number: *next, held: Box::default() }
        });
        match slot {
            DeviceSlot::Reading { number, .. } => Some(*number),
            DeviceSlot::Known(_) => None,
        }
    }

    /// The access of a device has become `after`: ends what was held of its credentials. Where nothing but credentials
    /// changed, those that still count go on.
    fn change_access(
        &mut self,
        id: &DeviceId,
        held: &[HeldCredential],
        before: &DeviceAccess,
        after: &DeviceAccess,
    ) {
        let is_alike = before.is_alike_but_for_credentials(after);
        let still_counts = |held: &HeldCredential| after.credentials.iter().any(|stored| held.is(stored));
        let goes_on = |held: &HeldCredential| is_alike && still_counts(held);
        let (held, ended): (Vec<_>, Vec<_>) = held.iter().cloned().partition(goes_on);
        ended.iter().for_each(HeldCredential::end);
        if !held.is_empty() {
            self.next_read += 1;
            let reading = DeviceSlot::Reading { number: self.next_read, held: held.into() };
            self.devices.insert(id.clone(), reading);
        }
    }
}

#[cfg(test)]
mod tests;
