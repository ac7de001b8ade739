//! The twin as tables, and as a property: it is the fold of its events.

mod audience;
mod certificate;
mod clock_moved;
mod clocks;
mod commands;
mod convergence;
mod delta;
mod firmware;
mod jobs;
mod layers;
mod lifecycle;
mod modes;
mod presence;
mod room;
mod scene;
mod stored;
mod tokens;
mod translation;
mod units;

use proptest::prelude::*;

use super::*;
use crate::cause::Source;
use crate::event::{ChangeKind, Event, EventBody, TwinChange};
use crate::fleet::{FirmwareState, StepState};
use crate::json::Json;
use crate::payload;
use crate::reading::DeviceType;
use crate::status::{Mode, Status};

fn twin() -> Twin {
    Twin::new(DeviceId::parse("pump-1").unwrap(), DeviceNumber(1), at(0))
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

fn cause() -> Cause {
    Cause::new(Source::Rest, "user:ann")
}

fn object(text: &str) -> Object {
    payload::object(text.as_bytes()).unwrap()
}

fn readings(text: &str) -> Input {
    Input::Telemetry(payload::telemetry(text.as_bytes()).unwrap())
}

fn change(text: &str) -> Input {
    Input::Change(Box::new(Change { patch: object(text) }))
}

#[test]
fn a_device_appears_speaks_and_is_claimed() {
    let mut twin = twin();
    twin.apply(Input::Appear, at(1), &cause()).unwrap();
    let heard = twin.apply(readings(r#"{"temperature": 23.5}"#), at(2), &cause()).unwrap();
    assert_eq!(
        heard.events.iter().map(|event| event.kind().as_str()).collect::<Vec<_>>(),
        ["presence", "telemetry"]
    );
    assert_eq!(
        (twin.presence.status, twin.presence.last_seen, twin.control.claimed),
        (Status::Online, Some(at(2)), false)
    );
    let claim = Registration { patch: object(r#"{"name": "Pump", "type": "pump"}"#) };
    twin.apply(Input::Claim(Box::new(claim.clone())), at(3), &cause()).unwrap();
    assert_eq!(twin.display_name(), "Pump");
    assert_eq!(
        twin.apply(Input::Claim(Box::new(claim.clone())), at(4), &cause()),
        Err(Refusal::Claimed(twin.id.clone()))
    );
    assert_eq!(
        twin.apply(Input::Register(Box::new(claim)), at(4), &cause()),
        Err(Refusal::Registered(twin.id.clone()))
    );
}

#[test]
fn nobody_is_told_what_the_token_hashes_to() {
    let patch = object(r#"{"name": "Pump", "token_hash": "5e884898", "broker_hash": "$7$101$a$b"}"#);
    let registered =
        twin().apply(Input::Register(Box::new(Registration { patch })), at(1), &cause()).unwrap();
    assert_eq!(
        Json::from(registered.events[0].data()).to_string(),
        r#"{"change":"registered","claimed":true,"name":"Pump"}"#
    );
}

#[test]
fn reported_at_and_changed_at_are_kept_apart() {
    let mut twin = twin();
    for (second, value) in [(10, "20"), (20, "20"), (30, "21"), (40, "21.0")] {
        twin.apply(readings(&format!(r#"{{"t": {value}}}"#)), at(second), &cause()).unwrap();
    }
    let t = twin.reported.get("t").unwrap();
    assert_eq!((t.at(), t.changed_at()), (at(40).into(), at(30).into()));
}

#[test]
fn the_same_value_again_is_no_new_version() {
    let mut twin = twin();
    twin.apply(readings(r#"{"t": 20}"#), at(1), &cause()).unwrap();
    let version = twin.version;
    twin.apply(readings(r#"{"t": 20}"#), at(2), &cause()).unwrap();
    assert_eq!(twin.version, version);
    twin.apply(readings(r#"{"t": 21}"#), at(3), &cause()).unwrap();
    assert_eq!(twin.version, version + 1);
}

#[test]
fn a_late_reading_does_not_turn_the_twin_back() {
    let mut twin = twin();
    twin.apply(readings(r#"{"t": 20, "timestamp": 2000}"#), at(1), &cause()).unwrap();
    let late = twin.apply(readings(r#"{"t": 10, "timestamp": 1000}"#), at(2), &cause()).unwrap();
    assert_eq!(late.events.len(), 1, "history has it");
    assert_eq!(twin.reported.get("t").unwrap().value, Json::from(20));
}

#[test]
fn repeats_are_known_by_their_own_time_or_id_and_by_nothing_else() {
    let mut twin = twin();
    let mut outcome = |text: &str| {
        let input = readings(text);
        let Input::Telemetry(telemetry) = &input else { unreachable!() };
        let repeat = twin.repeat(telemetry, at(1));
        if repeat != Repeat::AskStore {
            twin.apply(input, at(1), &cause()).unwrap();
        }
        repeat
    };
    assert_eq!(outcome(r#"{"t": 1}"#), Repeat::No);
    assert_eq!(outcome(r#"{"t": 1}"#), Repeat::No, "two in one millisecond are two");
    assert_eq!(outcome(r#"{"t": 1, "timestamp": 1000}"#), Repeat::No);
    assert_eq!(outcome(r#"{"t": 1, "timestamp": 1000}"#), Repeat::Yes);
    assert_eq!(outcome(r#"{"t": 1, "timestamp": 1001}"#), Repeat::No);
    assert_eq!(outcome(r#"{"u": 1, "timestamp": 1000}"#), Repeat::No, "late, and another one");
    assert_eq!(outcome(r#"{"t": 1, "message_id": "a"}"#), Repeat::No);
    assert_eq!(outcome(r#"{"t": 1, "message_id": "a"}"#), Repeat::Yes);
}

#[test]
fn ids_without_a_time_are_remembered_for_as_long_as_a_broker_may_send_again() {
    let mut twin = twin();
    let message = |n: usize| readings(&format!(r#"{{"t": {n}, "message_id": "m{n}"}}"#));
    for n in 0..1_500 {
        assert!(!twin.apply(message(n), at(1), &cause()).unwrap().repeated);
    }
    for n in 1_500 - 1_024..1_500 {
        assert!(twin.apply(message(n), at(2), &cause()).unwrap().repeated, "{n}");
    }
}

#[test]
fn a_message_with_id_and_time_is_looked_up_when_it_is_old() {
    let mut twin = twin();
    let message = |n: usize| {
        payload::telemetry(format!(r#"{{"t": 1, "message_id": "m{n}", "timestamp": {n}}}"#).as_bytes())
    };
    for n in 0..100 {
        twin.apply(Input::Telemetry(message(n).unwrap()), at(1), &cause()).unwrap();
    }
    assert_eq!(twin.repeat(&message(99).unwrap(), at(1)), Repeat::Yes);
    assert_eq!(twin.repeat(&message(3).unwrap(), at(1)), Repeat::AskStore);
    assert_eq!(twin.repeat(&message(100).unwrap(), at(1)), Repeat::No);
}

#[test]
fn a_twin_is_at_one_of_the_versions_that_are_named() {
    let mut twin = twin();
    twin.apply(Input::Appear, at(1), &cause()).unwrap();
    assert_eq!(twin.check_version(None), Ok(()));
    assert_eq!(twin.check_version(Some(&[7, 1].into_iter().collect())), Ok(()));
    let missed = twin.check_version(Some(&7.into()));
    assert_eq!(missed, Err(Refusal::Version { current: 1, expected: 7.into() }));
}

#[test]
fn a_refused_change_changes_nothing() {
    let mut twin = twin();
    twin.apply(Input::Appear, at(1), &cause()).unwrap();
    let before = twin.clone();
    let bad = twin.apply(change(r#"{"desired": 5}"#), at(2), &cause());
    assert!(matches!(bad, Err(Refusal::Invalid { .. })), "{bad:?}");
    assert_eq!(twin, before);
    let done = twin.apply(change(r#"{"desired": {"power": "on"}}"#), at(3), &cause()).unwrap();
    let Some(Publish::Desired(message)) = done.publishes.first() else { panic!("{done:?}") };
    assert_eq!(message.to_string(), r#"{"delta":{"power":"on"},"desired":{"power":"on"},"version":2}"#);
}

#[test]
fn status_details_find_their_places() {
    let mut twin = twin();
    let details = object(r#"{"firmware_version": "1.2", "battery": 80}"#);
    twin.apply(Input::Presence { online: true, details }, at(1), &cause()).unwrap();
    assert_eq!(twin.profile.text("firmware_version"), "1.2");
    assert_eq!(twin.reported.get("battery").unwrap().value, Json::from(80));
    twin.apply(Input::Presence { online: false, details: Object::default() }, at(2), &cause()).unwrap();
    assert_eq!((twin.presence.status, twin.presence.last_seen), (Status::Offline, Some(at(1))));
}

#[test]
fn readings_name_the_type_of_a_device_that_has_none() {
    let mut twin = twin();
    let of_type = |device_type: &str| {
        let telemetry = payload::telemetry(br#"{"t": 1}"#).unwrap();
        Input::Telemetry(Telemetry {
            device_type: Some(Box::new(DeviceType(device_type.into()))),
            ..telemetry
        })
    };
    let first = twin.apply(of_type("sensor"), at(1), &cause()).unwrap();
    assert_eq!(
        (first.events.len(), twin.profile.text("type")),
        (3, "sensor"),
        "it came, has a type, and measured"
    );
    let second = twin.apply(of_type("lamp"), at(2), &cause()).unwrap();
    assert_eq!((second.events.len(), twin.profile.text("type")), (1, "sensor"));
}

#[test]
fn a_device_that_comes_back_is_told_what_it_missed() {
    let mut twin = twin();
    let missed = r#"{"desired": {"power": "on"}, "configuration": {"interval": 5}}"#;
    twin.apply(change(missed), at(1), &cause()).unwrap();
    let come = |twin: &mut Twin, input: Input| twin.apply(input, at(2), &cause()).unwrap().publishes.len();
    let online = || Input::Presence { online: true, details: Object::default() };
    assert_eq!(come(&mut twin, online()), 2, "the delta and the configuration");
    assert_eq!(come(&mut twin, online()), 2, "again: it may have connected anew unnoticed");
    assert_eq!(come(&mut twin, readings(r#"{"t": 1}"#)), 0, "but not with every message");
    assert_eq!(come(&mut twin, Input::GetDesired), 2);
    twin.apply(Input::Report(object(r#"{"power": "on"}"#)), at(3), &cause()).unwrap();
    assert_eq!(come(&mut twin, online()), 1, "it has what was desired");
}

fn any_input() -> impl Strategy<Value = Input> {
    let document = prop_oneof![
        Just(r#"{"power": "on"}"#),
        Just(r#"{"power": null}"#),
        Just(r#"{"power": {"level": 3}}"#),
        Just(r#"{"t": 20.50, "power": "off"}"#),
    ];
    prop_oneof![
        Just(Input::Appear),
        (-9_000..9_000i64).prop_map(|by| Input::ClockMoved { from: at(0), to: at(by) }),
        (0..40i64, 0..5u8).prop_map(|(v, t)| readings(&format!(r#"{{"t": {v}, "timestamp": {t}}}"#))),
        (0..40i64).prop_map(|v| readings(&format!(r#"{{"t": {v}, "power": true}}"#))),
        (0..40i64, 0..3usize).prop_map(|(v, n)| {
            let time = ["2026-11-29T12:00:00Z", "2036-11-29T12:00:00Z", "1970-01-01T00:00:03Z"][n];
            readings(&format!(r#"{{"t": {v}, "timestamp": "{time}"}}"#))
        }),
        (0..3i64, 0..3i64).prop_map(|(v, t)| {
            let batch =
                format!(r#"[{{"t": {v}, "timestamp": {t}}}, {{"t": 1}}, {{"t": 2, "timestamp": 9e9}}]"#);
            Input::of_readings(payload::readings(batch.as_bytes()).unwrap().samples).unwrap()
        }),
        document.clone().prop_map(|text| Input::Report(object(text))),
        any::<bool>().prop_map(|online| Input::Presence { online, details: object(r#"{"battery": 1}"#) }),
        document.prop_map(|text| change(&format!(r#"{{"desired": {text}, "tags": {text}}}"#))),
        Just(Input::Claim(Box::new(Registration { patch: object(r#"{"name": "Pump", "model": "P"}"#) }))),
        (0..3usize).prop_map(|n| Input::SetLifecycle { state: Lifecycle::ALL[n + 1], reason: "".into() }),
        (0..2u128, 0..8usize).prop_map(|(job, n)| match n {
            0 | 1 => Input::Update(Box::new(firmware::task(job, "2"))),
            2 => Input::WithdrawUpdate {
                job: Some(firmware::job(job)),
                to: StepState::Canceled,
                reason: "".into()
            },
            n => firmware::report(&format!(r#"{{"state": "{}"}}"#, FirmwareState::ALL[n].as_str())),
        }),
        translation::any(),
    ]
}

proptest! {
    #[test]
    fn a_twin_is_the_fold_of_its_events(
        inputs in prop::collection::vec(any_input(), 0..30),
        began in prop_oneof![Just(0i64), Just(1_795_953_600)],
    ) {
        let (mut live, mut redone) = (twin(), twin());
        for (second, input) in inputs.into_iter().enumerate() {
            let second = began + i64::try_from(second).unwrap();
            let before = live.clone();
            match live.apply(input, at(second), &cause()) {
                Ok(outcome) => outcome.events.iter().for_each(|event| redone.redo(event)),
                Err(_) => prop_assert_eq!(&live, &before, "a refusal changes nothing"),
            }
            prop_assert!(live.version >= before.version);
        }
        prop_assert_eq!(&live, &redone);
        let stored = serde_json::to_string(&live).unwrap();
        prop_assert_eq!(serde_json::from_str::<Twin>(&stored).unwrap(), live);
    }
}
