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
use twinhub_store::seal::TokenMatch;

use crate::device_tokens::{Tokens, token_hashes};
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
pub struct WatchedPlace {
    /// Empty where it has none.
    pub owner: Box<str>,
    /// Empty where it is in none.
    pub group: Box<str>,
}

/// A token of a device, for those who came by it. It outlasts changes of the device's other tokens.
#[derive(Clone, Debug)]
pub struct HeldToken {
    hash: Box<str>,
    state: Arc<HeldTokenState>,
}

/// The state of a token, common to all who came by it.
#[derive(Debug, Default)]
struct HeldTokenState {
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
    /// The tokens in `access`, each as its holders have it.
    tokens: Box<[HeldToken]>,
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
        /// The tokens that counted before the last change and count after it.
        held: Box<[HeldToken]>,
    },
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

    /// Is it as `other`, whatever the tokens of both?
    fn is_alike_but_for_tokens(&self, other: &Self) -> bool {
        let Self { exists, is_out_of_service, tokens: _, reach } = self;
        (*exists, *is_out_of_service, reach) == (other.exists, other.is_out_of_service, &other.reach)
    }

    fn of_none(id: &DeviceId) -> Self {
        let reach = DeviceReach::new(id.clone(), &DeviceSettings::default());
        Self { exists: false, is_out_of_service: false, tokens: Box::default(), reach }
    }
}

impl WatchedPlace {
    /// As `twin` has it.
    #[must_use]
    pub fn of(twin: &Twin) -> Self {
        Self { owner: twin.profile.text("owner_id").into(), group: twin.profile.text("group_id").into() }
    }
}

impl HeldToken {
    fn new(hash: &str) -> Self {
        Self { hash: hash.into(), state: Arc::default() }
    }

    /// The hash under which it is stored.
    #[must_use]
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// It is about to be stored under another `hash`: whoever came by it goes on.
    pub fn renewed_as(&self, hash: &str) {
        let _ = self.state.renewed.set(hash.into()); // the present key makes one hash of a token
    }

    /// Is it the token with this hash?
    fn is(&self, hash: &str) -> bool {
        *self.hash == *hash || self.state.renewed.get().is_some_and(|renewed| **renewed == *hash)
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
    /// The device as its twin says, where there is one. Those of its tokens that are `held` go on.
    fn new(id: &DeviceId, twin: Option<&Twin>, held: &[HeldToken]) -> Self {
        let access = twin.map_or_else(|| DeviceAccess::of_none(id), DeviceAccess::of);
        let place = twin.map_or_else(WatchedPlace::of_none, WatchedPlace::of);
        let go_on = |hash: &str| {
            let held = held.iter().find(|token| token.is(hash));
            // A renewed one is known by its present hash from now on.
            held.map_or_else(|| HeldToken::new(hash), |held| HeldToken { hash: hash.into(), ..held.clone() })
        };
        let tokens = access.tokens.iter().map(|hash| go_on(hash)).collect();
        let (access_changed, place_changed) = (Arc::default(), AtomicBool::default());
        Self { id: id.clone(), access, place, tokens, access_changed, place_changed }
    }

    /// The same device in another place.
    fn moved_to(&self, place: WatchedPlace) -> Self {
        Self {
            id: self.id.clone(),
            access: self.access.clone(),
            place,
            tokens: self.tokens.clone(),
            access_changed: Arc::clone(&self.access_changed),
            place_changed: AtomicBool::default(),
        }
    }

    /// The one of its tokens that `token` is, and whether it is stored under the present key.
    #[must_use]
    pub fn token(&self, tokens: &Tokens, token: &str) -> Option<(HeldToken, TokenMatch)> {
        let compared = self.tokens.iter().map(|held| (held, tokens.compare(&held.hash, token)));
        let mut own = compared.filter(|(_, found)| *found != TokenMatch::Other);
        own.next().map(|(held, found)| (held.clone(), found))
    }

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
                    slots.change_access(id, &known.tokens, &known.access, access);
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
                DeviceSlot::Reading { held, .. } => held.is_empty() || held.iter().any(HeldToken::is_needed),
                DeviceSlot::Known(known) => {
                    Arc::strong_count(known) > 1
                        || Arc::strong_count(&known.access_changed) > 1
                        || known.tokens.iter().any(HeldToken::is_needed)
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

    /// The access of a device has become `after`: ends what was held of its tokens. Where nothing but tokens changed,
    /// those that still count go on.
    fn change_access(
        &mut self,
        id: &DeviceId,
        held: &[HeldToken],
        before: &DeviceAccess,
        after: &DeviceAccess,
    ) {
        let is_alike = before.is_alike_but_for_tokens(after);
        let goes_on = |token: &HeldToken| is_alike && after.tokens.iter().any(|hash| token.is(hash));
        let (held, ended): (Vec<_>, Vec<_>) = held.iter().cloned().partition(goes_on);
        ended.iter().for_each(HeldToken::end);
        if !held.is_empty() {
            self.next_read += 1;
            let reading = DeviceSlot::Reading { number: self.next_read, held: held.into() };
            self.devices.insert(id.clone(), reading);
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

    fn place(group: &str) -> WatchedPlace {
        WatchedPlace { owner: "".into(), group: group.into() }
    }

    fn pump() -> DeviceId {
        DeviceId::parse("pump").unwrap()
    }

    /// The pump in a group, as it is written down once its twin was read with these tokens.
    fn come(devices: &KnownDevices, tokens: &[&str]) -> Arc<KnownDevice> {
        let mut slots = devices.write();
        slots.begin(&pump());
        let Some(DeviceSlot::Reading { held, .. }) = slots.devices.remove(&pump()) else {
            panic!("it is known already")
        };
        let mut twin = Twin::new(pump(), DeviceNumber(1), Timestamp::default());
        for (field, token) in ["token_hash", "old_token_hash"].into_iter().zip(tokens) {
            twin.profile.more.insert(field, (*token).into());
        }
        let mut known = KnownDevice::new(&pump(), Some(&twin), &held);
        (known.access, known.place) = (access(tokens), place("hall"));
        let known = Arc::new(known);
        slots.devices.insert(pump(), DeviceSlot::Known(Arc::clone(&known)));
        known
    }

    /// One that knows the pump by a token, in a group.
    fn knowing() -> (KnownDevices, Arc<KnownDevice>) {
        let devices = KnownDevices::default();
        let known = come(&devices, &["a"]);
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

    /// The stored forms are those of a hub without a key.
    #[test]
    fn who_came_by_a_token_stays_as_long_as_that_counts() {
        let (devices, tokens) = (KnownDevices::default(), Tokens::default());
        let hashes = ["one", "two", "three"].map(|token| tokens.hash(token));
        let [one, two, three] = hashes.each_ref().map(|hash| &**hash);
        let changes = |before: &[&str], after: &[&str]| {
            devices.changed(&pump(), &(access(before), place("hall")), &(access(after), place("hall")));
        };
        let first = come(&devices, &[one]);
        let by_one = first.token(&tokens, "one").unwrap().0;
        assert!(first.token(&tokens, "two").is_none());

        changes(&[one], &[two, one]);
        assert!(by_one.lasts() && !first.has_same_access(), "the overlap has begun");
        assert!(devices.get_known(&pump()).is_none(), "the next one reads what is durable");
        let second = come(&devices, &[two, one]);
        let by_two = second.token(&tokens, "two").unwrap().0;
        assert!(second.token(&tokens, "one").unwrap().0.lasts(), "the old one lets in, too");
        drop((first, second));
        let told = devices.changes();
        changes(&[two, one], &[two]);
        assert!(told.has_changed().unwrap());
        assert!(!by_one.lasts() && by_two.lasts(), "the overlap has ended");
        assert!(come(&devices, &[two]).token(&tokens, "one").is_none());

        // Twice, before anybody comes.
        changes(&[two], &[three, two]);
        assert!(by_two.lasts());
        changes(&[three, two], &[three]);
        assert!(!by_two.lasts(), "nobody has looked it up since");
        let by_three = come(&devices, &[three]).token(&tokens, "three").unwrap().0;
        let before = (access(&[three]), place("hall"));
        let suspended = DeviceAccess { is_out_of_service: true, ..access(&[three]) };
        devices.changed(&pump(), &before, &(suspended, place("hall")));
        assert!(!by_three.lasts(), "the token counts, but the device is out of service");
    }

    #[test]
    fn who_came_by_a_token_stays_when_it_is_stored_anew() {
        let (devices, tokens) = (KnownDevices::default(), Tokens::default());
        let (hash, other) = (tokens.hash("one"), tokens.hash("two"));
        let changes = |before: &[&str], after: &[&str]| {
            devices.changed(&pump(), &(access(before), place("hall")), &(access(after), place("hall")));
        };
        let (held, _) = come(&devices, &[&hash]).token(&tokens, "one").unwrap();
        held.renewed_as("the same under another key");
        changes(&[&hash], &["the same under another key"]);
        assert!(held.lasts(), "nobody has looked it up since");
        let again = come(&devices, &["the same under another key"]);
        changes(&["the same under another key"], &["the same under another key", &other]);
        assert!(held.lasts() && !again.has_same_access());
        changes(&["the same under another key", &other], &[&other]);
        assert!(!held.lasts(), "it has ended under the new name");
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
            let unneeded = KnownDevice::new(&id, Some(&twin), &[]);
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
