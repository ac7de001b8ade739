//! Stored patches are read into their types, written as they were, and never become something else unseen.

use super::*;
use crate::cause::Cause;
use crate::event::{ChangeKind, Event, EventBody, TwinChange};
use crate::id::{DeviceId, DeviceNumber};
use crate::payload::object;
use crate::twin::Twin;

fn read(text: &str) -> Patch {
    Patch::read(object(text.as_bytes()).unwrap())
}

/// Patches in the journal of earlier versions, a member each.
const STORED: [&str; 33] = [
    r#"{"name":"Pump"}"#,
    r#"{"group_id":null}"#,
    r#"{"firmware_version":"1.2.0"}"#,
    r#"{"owner_id":"ann"}"#,
    r#"{"token_hash":"5e884898"}"#,
    r#"{"broker_hash":"$7$101$a$b"}"#,
    r#"{"claimed":true}"#,
    r#"{"mode":"manual"}"#,
    r#"{"mode_until":"2026-01-01T12:00:00.000Z"}"#,
    r#"{"mode_until":null}"#,
    r#"{"lifecycle":{"state":"suspended","was":"active"}}"#,
    r#"{"lifecycle":{"credentials":"removed","reason":"broken","state":"retired","was":"active"}}"#,
    r#"{"reported":{"power":"on","rpm":1.50}}"#,
    r#"{"desired":{"power":null}}"#,
    r#"{"tags":{"floor":"2"}}"#,
    r#"{"configuration":{"net":{"ssid":null}}}"#,
    r#"{"settings":{"heartbeat":"90s","in_flight":null}}"#,
    r#"{"limits":{"t":{"max":40.0,"min":null}}}"#,
    r#"{"schedule":[{"cron":"0 0 7 * * *","enabled":true,"missed":"skip","set":{"power":"on"},"timezone":"UTC"}]}"#,
    r#"{"schedule":[]}"#,
    r#"{"schedule":null}"#,
    r#"{"schedule_done":"2026-01-01T12:00:00.000Z"}"#,
    r#"{"skipped":[{"at":"2026-01-01T12:00:00.000Z","entry":0,"reason":"manual_mode"}]}"#,
    r#"{"template":null}"#,
    r#"{"template":{"id":"pump","version":3}}"#,
    r#"{"told":false}"#,
    r#"{"failed":{"speed":"the belt is off"}}"#,
    r#"{"units":{"flow":"l/min","rpm":null}}"#,
    r#"{"device_clock":{"at":"2026-01-01T12:00:00.000Z","claimed_at":"1970-01-01T00:00:00.000Z"}}"#,
    r#"{"clock_moved":-3600000}"#,
    r#"{"firmware":{"job":null,"percent":40,"state":"downloading","version":"1.3.0"}}"#,
    r#"{"firmware":{"job":null,"reason":"","state":"withdrawn","version":"1.3.0"}}"#,
    r#"{"firmware":{"image":"i","job":null,"models":["P"],"sha256":"ab","size":7,"state":"queued","timeout":"1s","url":"u","version":"2"}}"#,
];

#[test]
fn what_is_stored_is_typed_and_written_as_it_was() {
    for text in STORED {
        let patch = read(text);
        assert!(!patch.parts().any(|part| matches!(part, Part::Note(..))), "{text} is not understood");
        assert_eq!(Json::from(patch.to_object()).to_string(), text);
        assert_eq!(Patch::read(patch.to_object()), patch, "{text}");
    }
}

#[test]
fn words_of_earlier_versions_are_read() {
    for (earlier, now) in [
        (
            r#"{"device_clock":{"claimed_at":"1970-01-01T00:00:00.000Z","since":"2026-01-01T12:00:00.000Z"}}"#,
            r#"{"device_clock":{"at":"2026-01-01T12:00:00.000Z","claimed_at":"1970-01-01T00:00:00.000Z"}}"#,
        ),
        (
            r#"{"firmware":{"image":"i","job":null,"sha256":"ab","size":7,"state":"queued","timeout_ms":1000,"url":"u","version":"2"}}"#,
            r#"{"firmware":{"image":"i","job":null,"sha256":"ab","size":7,"state":"queued","timeout":"1s","url":"u","version":"2"}}"#,
        ),
    ] {
        assert_eq!(read(earlier), read(now), "{earlier}");
    }
}

/// An unknown mode must not become the default, nor a bad time none: it is shown, and the twin is as it was.
#[test]
fn what_makes_no_sense_is_shown_and_changes_nothing() {
    let before = {
        let mut twin = Twin::new(DeviceId::parse("pump-1").unwrap(), DeviceNumber(1), Timestamp::default());
        let begun = r#"{"mode": "manual", "mode_until": "2026-01-01T12:00:00Z", "name": "Pump", "claimed": true,
            "settings": {"heartbeat": "90s"}, "limits": {"t": {"max": 40}}, "lifecycle": {"state": "suspended"},
            "schedule": [{"cron": "0 7 * * *", "set": {"power": "on"}}]}"#;
        redo(&mut twin, read(begun));
        twin
    };
    assert_eq!(
        (before.control.mode, before.control.mode_until().is_some(), before.plan().is_some()),
        (Mode::Manual, true, true)
    );
    for text in [
        r#"{"mode":"auto"}"#,
        r#"{"mode":7}"#,
        r#"{"mode_until":"tomorrow"}"#,
        r#"{"schedule_done":"never"}"#,
        r#"{"schedule":[{"cron":"whenever"}]}"#,
        r#"{"claimed":"yes"}"#,
        r#"{"lifecycle":{"state":"asleep"}}"#,
        r#"{"settings":{"heartbeat":"soon"}}"#,
        r#"{"limits":{"t":{"max":"hot"}}}"#,
        r#"{"name":7}"#,
        r#"{"desired":"on"}"#,
        r#"{"told":1}"#,
        r#"{"template":{"version":3}}"#,
        r#"{"clock_moved":"back"}"#,
        r#"{"device_clock":{"since":"2026"}}"#,
        r#"{"firmware":{"state":"thinking"}}"#,
        r#"{"colour":"red"}"#,
    ] {
        let patch = read(text);
        assert!(patch.parts().all(|part| matches!(part, Part::Note(..))), "{text}: {patch:?}");
        assert_eq!(Json::from(patch.to_object()).to_string(), text);
        let mut twin = before.clone();
        redo(&mut twin, patch);
        let expected = Twin { version: before.version + 1, ..before.clone() };
        assert_eq!(twin, expected, "{text}");
    }
}

fn redo(twin: &mut Twin, patch: Patch) {
    let (device, number, at) = (twin.id.clone(), twin.number, Timestamp::default());
    let body = EventBody::Twin(TwinChange { change: ChangeKind::Updated, patch });
    twin.redo(&Event { device, number, at: at.into(), received_at: at, body, cause: Cause::hub() });
}

#[test]
fn each_part_stands_once_in_the_order_of_the_names() {
    let mut patch: Patch = [Part::Told(true), Part::Claimed(true)].into_iter().collect();
    patch.set(Part::Told(false));
    patch.set_note("mode", "auto".into());
    assert_eq!((patch.mode(), patch.says("mode"), patch.note("mode").is_some()), (None, false, true));
    patch.set(Part::Mode(Mode::Manual));
    let names: Vec<_> = patch.parts().map(Part::name).collect();
    assert_eq!((names, patch.mode()), (vec!["claimed", "mode", "told"], Some(Mode::Manual)));
    assert_eq!(patch.note("mode"), None);
}

/// The tail holds events by the hundred thousand, most of them with one part.
#[test]
fn a_part_is_small() {
    assert!(size_of::<Part>() <= 48, "{}", size_of::<Part>());
}
