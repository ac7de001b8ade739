//! Room: no document of a twin grows without end, whichever door a change comes through.

use super::translation::said;
use super::*;
use crate::json::{LARGEST_DOCUMENT, MOST_MEMBERS};

/// An object of so many members, the last first.
fn wide(members: usize) -> Object {
    (0..members).rev().map(|n| (format!("k{n:06}"), Json::from(1))).collect()
}

fn patch(section: &str, members: Object) -> Object {
    [(section, Json::Object(members))].into_iter().collect()
}

fn large(bytes: usize) -> Object {
    [("text", Json::from("x".repeat(bytes)))].into_iter().collect()
}

fn changed(section: &str, members: Object) -> Input {
    Input::Change(Box::new(Change { patch: patch(section, members) }))
}

fn refused(twin: &mut Twin, input: Input) -> String {
    let before = twin.clone();
    let refusal = twin.apply(input, at(5), &cause()).unwrap_err();
    assert_eq!(*twin, before, "a refusal changes nothing");
    let Refusal::TooLarge { section, .. } = refusal else { panic!("{refusal:?}") };
    section
}

#[test]
fn each_door_refuses_what_is_too_much() {
    let mut twin = twin();
    twin.apply(Input::Appear, at(1), &cause()).unwrap();
    for too_much in [wide(MOST_MEMBERS + 1), large(LARGEST_DOCUMENT)] {
        for section in ["desired", "tags", "configuration"] {
            assert_eq!(refused(&mut twin, changed(section, too_much.clone())), section);
        }
        let registration = Registration { patch: patch("tags", too_much.clone()) };
        assert_eq!(refused(&mut twin, Input::Claim(Box::new(registration))), "tags");
        assert_eq!(refused(&mut twin, Input::Report(too_much.clone())), "reported");
        assert_eq!(refused(&mut twin, Input::DesiredFailed(too_much.clone())), "failed");
        let online = Input::Presence { online: true, details: too_much.clone() };
        assert_eq!(refused(&mut twin, online), "reported");
    }
    let app = said(Speaker::App, &format!(r#"{{"reported": {}}}"#, Json::from(wide(MOST_MEMBERS + 1))));
    assert_eq!(refused(&mut twin, app), "reported");
    // Reported state and readings stand there side by side.
    let both = format!(r#"{{"reported": {{"all": {0}}}, "readings": {0}}}"#, Json::from(wide(600)));
    assert_eq!(refused(&mut twin, said(Speaker::App, &both)), "reported");
    let nested: Object = [("a", Json::Object(wide(MOST_MEMBERS)))].into_iter().collect();
    assert_eq!(refused(&mut twin, changed("desired", nested)), "desired", "all levels together");
}

#[test]
fn what_grows_step_by_step_is_refused_at_the_limit() {
    let mut twin = twin();
    twin.apply(changed("desired", wide(MOST_MEMBERS)), at(1), &cause()).unwrap();
    assert_eq!(refused(&mut twin, changed("desired", object(r#"{"one": 1}"#))), "desired");
    let swap = object(r#"{"k000000": null, "one": 1}"#);
    twin.apply(changed("desired", swap), at(2), &cause()).unwrap();
    assert_eq!(twin.desired.len(), MOST_MEMBERS);
    twin.apply(Input::Report(large(LARGEST_DOCUMENT - 20)), at(3), &cause()).unwrap();
    assert_eq!(refused(&mut twin, Input::Report(object(r#"{"more": 12345678901}"#))), "reported");
}

#[test]
fn a_twin_that_is_too_large_already_can_be_made_smaller() {
    let mut twin = twin();
    twin.apply(Input::Appear, at(1), &cause()).unwrap();
    // As one was stored once.
    twin.desired.merge(&wide(3_000), at(1), None);
    let stored = serde_json::to_string(&twin).unwrap();
    let mut twin: Twin = serde_json::from_str(&stored).unwrap();
    assert_eq!(refused(&mut twin, changed("desired", object(r#"{"one": 1}"#))), "desired");
    twin.apply(changed("desired", object(r#"{"k000001": 2}"#)), at(2), &cause()).unwrap();
    let some: Object = (0..MOST_MEMBERS).map(|n| (format!("k{n:06}"), Json::Null)).collect();
    twin.apply(changed("desired", some), at(3), &cause()).unwrap();
    assert_eq!(twin.desired.len(), 2_000);
}

#[test]
fn readings_without_room_take_none_of_the_others_with_them() {
    let mut twin = twin();
    twin.apply(Input::Report(wide(MOST_MEMBERS - 1)), at(1), &cause()).unwrap();
    let text = r#"{"k000001": 7, "new1": 1, "new2": 2}"#;
    let Input::Telemetry(telemetry) = readings(text) else { unreachable!() };
    let strict = Input::Telemetry(Telemetry { strict: true, ..telemetry });
    assert_eq!(refused(&mut twin, strict), "reported");
    let outcome = twin.apply(readings(text), at(2), &cause()).unwrap();
    let rejected: Vec<_> = outcome.rejected.iter().map(|rejected| &*rejected.name).collect();
    assert_eq!(rejected, ["new2"]);
    assert_eq!(twin.reported.get("k000001").unwrap().value, Json::from(7));
    assert!(twin.reported.get("new1").is_some());
    assert_eq!(refused(&mut twin, readings(r#"{"new2": 2}"#)), "reported");
    let long = format!(r#"{{"new1": "{}"}}"#, "x".repeat(16_000));
    for n in 0..3 {
        twin.apply(readings(&long.replace("new1", &format!("k00000{n}"))), at(3), &cause()).unwrap();
    }
    assert_eq!(refused(&mut twin, readings(&long)), "reported", "a text that outgrows the document");
}

#[test]
fn a_device_that_says_too_much_in_a_dialect_is_heard_all_the_same() {
    let mut twin = twin();
    for turn in 0..3 {
        let readings: Object =
            (turn * 600..turn * 600 + 600).map(|n| (format!("k{n:06}"), Json::from(1))).collect();
        let says = said(Speaker::Device, &format!(r#"{{"readings": {}}}"#, Json::from(readings)));
        let outcome = twin.apply(says, at(1), &cause()).unwrap();
        assert!(twin.reported.size().members <= MOST_MEMBERS, "{turn}");
        assert_eq!(outcome.rejected.len(), [0, 200, 600][turn], "{turn}");
    }
}

#[test]
fn a_property_has_a_name_that_people_can_write() {
    let long = "x".repeat(60_000);
    let said = format!(r#"{{"a\nb": 1, "": 2, "{long}": 3, "t": 4}}"#);
    for online in [true, false] {
        let presence = Input::Presence { online, details: object(&said) };
        for input in [Input::Report(object(&said)), presence] {
            let mut twin = twin();
            twin.apply(Input::Appear, at(1), &cause()).unwrap();
            let before = twin.clone();
            let refusal = twin.apply(input.clone(), at(2), &cause()).unwrap_err();
            assert!(matches!(&refusal, Refusal::Invalid { field, .. } if field == "reported"), "{refusal:?}");
            assert_eq!(twin, before);
            let outcome = twin.apply(input, at(2), &scene::mqtt()).unwrap();
            let names: Vec<_> = outcome.rejected.iter().map(|rejected| &*rejected.name).collect();
            assert_eq!(names, ["", "a\\nb", &long[..64]]);
            assert_eq!(twin.reported.len(), 1);
        }
    }
    let mut twin = twin();
    twin.reported.merge(&object(r#"{"a\nb": 1}"#), at(1), None);
    twin.apply(Input::Report(object(r#"{"a\nb": null}"#)), at(2), &cause()).unwrap();
    assert!(twin.reported.is_empty(), "one of an earlier version can be removed");
}

#[test]
fn a_schedule_that_would_outgrow_the_twin_is_passed_over() {
    let mut twin = twin();
    let plan = r#"{"schedule": [{"cron": "0 * * * * *", "set": {"power": "on"}}]}"#;
    twin.apply(change(plan), at(1), &cause()).unwrap();
    twin.apply(changed("desired", wide(MOST_MEMBERS)), at(2), &cause()).unwrap();
    let wake = Input::Wake {
        hearing: SilenceRule { since: at(0), first_silence_ms: 600_000 },
        first_id: scene::id(1),
    };
    let outcome = twin.apply(wake, at(61), &cause()).unwrap();
    let said = Json::from(outcome.events.last().unwrap().data()).to_string();
    assert!(said.contains("too_large"), "{said}");
    assert!(twin.desired.get("power").is_none());
}
