//! Tests of what is known of devices, and for how long.

use twinhub_domain::{DeviceNumber, Timestamp};

use super::*;

fn access(tokens: &[&str]) -> DeviceAccess {
    let id = DeviceId::parse("pump").unwrap();
    let tokens = tokens.iter().map(|token| (*token).into()).collect();
    DeviceAccess { exists: true, credentials: tokens, ..DeviceAccess::of_none(&id) }
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
