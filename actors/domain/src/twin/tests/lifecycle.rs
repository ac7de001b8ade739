//! A device's life: who is out of service is neither heard nor driven.

use super::scene::{Scene, id, mqtt};
use super::translation::said;
use super::*;
use crate::CommandResult;
use crate::command::CommandStatus;
use crate::fleet::Lifecycle;
use crate::twin::Speaker;

fn set(scene: &mut Scene, state: Lifecycle, reason: &str) -> Result<Outcome, Refusal> {
    scene.try_input(Input::SetLifecycle { state, reason: reason.into() }, &cause())
}

fn registered() -> Scene {
    let mut scene = Scene::new();
    let patch = object(r#"{"name": "Pump", "token_hash": "5e884898", "broker_hash": "$7$101$a$b"}"#);
    scene.input(Input::Register(Box::new(Registration { patch })), &cause());
    scene
}

fn told(outcome: &Outcome) -> Vec<String> {
    outcome.events.iter().map(|event| Json::from(event.data()).to_string()).collect()
}

#[test]
fn a_registered_device_is_active_once_it_is_heard() {
    let mut scene = registered();
    assert_eq!(scene.twin.lifecycle(), Lifecycle::Provisioned);
    scene.input(Input::Presence { online: false, details: Object::default() }, &mqtt());
    assert_eq!(scene.twin.lifecycle(), Lifecycle::Provisioned, "its will speaks, it does not");
    scene.report(r#"{"power": "on"}"#);
    assert_eq!(scene.twin.lifecycle(), Lifecycle::Active);
    assert_eq!(scene.twin.document(at(9)).get("lifecycle"), Some(&"active".into()));
}

#[test]
fn a_device_that_registers_itself_is_active_at_once_and_provisioned_as_soon_as_it_is_claimed_unheard() {
    let mut scene = Scene::new();
    scene.input(Input::Appear, &mqtt());
    assert_eq!(scene.twin.lifecycle(), Lifecycle::Active);
    scene.input(Input::Claim(Box::default()), &cause());
    assert_eq!(scene.twin.lifecycle(), Lifecycle::Provisioned);
    set(&mut scene, Lifecycle::Active, "").unwrap();
    assert_eq!(scene.twin.lifecycle(), Lifecycle::Active, "somebody says so");
}

#[test]
fn what_an_old_row_says_comes_out_right() {
    let mut scene = registered();
    let old = |twin: &Twin| serde_json::to_string(twin).unwrap();
    assert!(!old(&scene.twin).contains("standing"));
    assert_eq!(serde_json::from_str::<Twin>(&old(&scene.twin)).unwrap().lifecycle(), Lifecycle::Provisioned);
    scene.say(true);
    assert_eq!(serde_json::from_str::<Twin>(&old(&scene.twin)).unwrap().lifecycle(), Lifecycle::Active);
}

/// The inputs that are refused in this state, and those that are not.
#[test]
fn who_is_out_of_service_is_neither_heard_nor_driven() {
    let request = || Box::new(crate::CommandRequest::new("go", Object::default()));
    let answer = CommandResult::read(b"executed").unwrap();
    let inputs: [(&str, Input, Source, [bool; 2]); 21] = [
        ("telemetry", readings(r#"{"t": 1}"#), Source::Mqtt, [false, false]),
        ("telemetry over HTTP", readings(r#"{"t": 1}"#), Source::Rest, [false, false]),
        ("a report", Input::Report(object("{}")), Source::Mqtt, [false, false]),
        ("what it could not", Input::DesiredFailed(object("{}")), Source::Mqtt, [false, false]),
        (
            "a status",
            Input::Presence { online: true, details: Object::default() },
            Source::Mqtt,
            [false, false],
        ),
        (
            "its will",
            Input::Presence { online: false, details: Object::default() },
            Source::Mqtt,
            [false, false],
        ),
        ("a question", Input::GetDesired, Source::Mqtt, [false, false]),
        ("a poll", Input::Poll, Source::Rest, [false, false]),
        (
            "an answer",
            Input::CommandResult { id: id(7), answer: Box::new(answer), known: None },
            Source::Mqtt,
            [false, false],
        ),
        (
            "a command",
            Input::Command { id: id(8), request: request(), known: None, is_new: false },
            Source::Rest,
            [false, false],
        ),
        ("desired", change(r#"{"desired": {"a": 1}}"#), Source::Rest, [false, false]),
        ("a rule's change", change(r#"{"tags": {"a": 1}}"#), Source::Rule, [false, false]),
        (
            "a person's change",
            change(r#"{"tags": {"a": 1}, "configuration": {"a": 1}}"#),
            Source::Rest,
            [true, true],
        ),
        ("a rule's mode", Input::SetMode { mode: Mode::Manual, until: None }, Source::Rule, [false, false]),
        ("a person's mode", Input::SetMode { mode: Mode::Manual, until: None }, Source::Rest, [true, false]),
        ("a claim", Input::Claim(Box::default()), Source::Rest, [true, false]),
        ("what it says in a dialect", said(Speaker::Device, "{}"), Source::Mqtt, [false, false]),
        ("what its app says", said(Speaker::App, "{}"), Source::Rest, [false, false]),
        ("its app's claim", said(Speaker::Claim, "{}"), Source::Rest, [false, false]),
        (
            "that it wakes",
            Input::Wake { hearing: SilenceRule { since: at(0), first_silence_ms: 600_000 }, first_id: id(9) },
            Source::Hub,
            [true, true],
        ),
        ("its removal", Input::Delete, Source::Rest, [true, true]),
    ];
    for (name, input, source, expected) in inputs {
        for (state, refusal, expected) in [
            (Lifecycle::Suspended, Refusal::Suspended, expected[0]),
            (Lifecycle::Retired, Refusal::Retired, expected[1]),
        ] {
            let mut scene = Scene::online();
            set(&mut scene, state, "").unwrap();
            let before = scene.twin.clone();
            match scene.twin.apply(input.clone(), at(5), &Cause::new(source, "x")) {
                Ok(outcome) => {
                    assert!(expected, "{name} while {state:?}");
                    // Its removal clears what the broker has retained.
                    let told = outcome.publishes.iter().filter(|told| **told != Publish::NoConfiguration);
                    assert_eq!(told.count(), 0, "{name}: nothing is published to it");
                }
                Err(error) => {
                    assert_eq!((expected, &error), (false, &refusal), "{name} while {state:?}");
                    assert_eq!(scene.twin, before);
                }
            }
        }
    }
}

#[test]
fn a_suspended_device_is_offline_and_is_told_all_when_it_is_back() {
    let mut scene = Scene::online();
    let command = scene.ask("{}");
    assert_eq!(scene.status(command), CommandStatus::Sent);
    let suspended = set(&mut scene, Lifecycle::Suspended, "it floods us").unwrap();
    let told = told(&suspended);
    assert_eq!(told.len(), 3, "it goes, its command waits, and why: {told:?}");
    assert_eq!(told[0], r#"{"reason":"suspended","status":"offline"}"#);
    assert_eq!(
        told[2],
        r#"{"change":"lifecycle","lifecycle":{"reason":"it floods us","state":"suspended","was":"active"}}"#
    );
    assert_eq!(scene.status(command), CommandStatus::Pending, "it waits");
    assert_eq!(
        (scene.twin.presence.status, scene.twin.disconnect_reason()),
        (Status::Offline, Some("suspended"))
    );
    assert_eq!(set(&mut scene, Lifecycle::Suspended, "").unwrap(), Outcome::default(), "it was so before");
    set(&mut scene, Lifecycle::Active, "").unwrap();
    assert_eq!(scene.status(command), CommandStatus::Pending, "it has not been heard yet");
    scene.report(r#"{"power": "on"}"#);
    assert_eq!((scene.twin.presence.status, scene.status(command)), (Status::Online, CommandStatus::Sent));
    assert!(!serde_json::to_string(&scene.twin).unwrap().contains("standing"), "nothing need be kept of it");
}

#[test]
fn a_retired_device_loses_its_credentials_and_what_waits_for_it() {
    let mut scene = registered();
    let command = scene.ask("{}");
    let retired = set(&mut scene, Lifecycle::Retired, "scrapped").unwrap();
    assert_eq!(
        told(&retired).last().unwrap(),
        r#"{"change":"lifecycle","lifecycle":{"credentials":"removed","reason":"scrapped","state":"retired","was":"provisioned"}}"#
    );
    assert_eq!(scene.status(command), CommandStatus::Canceled);
    assert_eq!(["token_hash", "broker_hash"].map(|field| scene.twin.profile.text(field)), [""; 2]);
    assert_eq!(scene.twin.disconnect_reason(), Some("retired"));
    for state in [Lifecycle::Active, Lifecycle::Suspended] {
        assert_eq!(set(&mut scene, state, ""), Err(Refusal::Retired));
    }
    assert_eq!(set(&mut scene, Lifecycle::Retired, "").unwrap(), Outcome::default());
    let refused = set(&mut scene, Lifecycle::Provisioned, "");
    assert!(matches!(refused, Err(Refusal::Invalid { ref field, .. }) if field == "state"), "{refused:?}");
}

#[test]
fn a_schedule_passes_over_a_suspended_device_and_ends_with_a_retired_one() {
    let mut scene = registered();
    scene.set(r#"{"schedule": [{"cron": "0 * * * *", "set": {"power": "on"}}]}"#);
    set(&mut scene, Lifecycle::Suspended, "").unwrap();
    let passed = scene.wait(3_600);
    assert!(told(&passed[0])[0].contains(r#""reason":"suspended""#), "{passed:?}");
    assert!(scene.twin.desired.is_empty());
    set(&mut scene, Lifecycle::Retired, "").unwrap();
    assert_eq!(scene.deadline(), None);
    scene.now += 9_000;
    assert_eq!(scene.wake().events, []);
}

/// The broker keeps it, and would tell it to whoever has the id next.
#[test]
fn the_configuration_goes_with_the_device() {
    for state in [Lifecycle::Active, Lifecycle::Suspended, Lifecycle::Retired] {
        let mut scene = registered();
        scene.set(r#"{"configuration": {"interval": 5}}"#);
        set(&mut scene, state, "").unwrap();
        assert_eq!(scene.input(Input::Delete, &cause()).publishes, [Publish::NoConfiguration], "{state:?}");
    }
    let without = registered().input(Input::Delete, &cause()).publishes;
    assert_eq!(without, [Publish::NoConfiguration], "the device may have retained something itself");
}
