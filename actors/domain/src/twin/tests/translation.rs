//! A dialect in which the twin has to be asked what a message means.

use std::sync::Arc;

use super::scene::{Scene, mqtt};
use super::*;
use crate::event::EventBody;

/// The name of the dialect's notes.
const NOTE: &str = "pidgin";

/// A message in plain words: `change`, `mode`, `reported`, `readings`, `note`, `serial`; `unless` names a mode in
/// which it is refused.
#[derive(Clone, Debug)]
struct Message {
    speaker: Speaker,
    serial: Option<Box<str>>,
    words: Object,
}

impl Translation for Message {
    fn note_name(&self) -> &'static str {
        NOTE
    }

    fn speaker(&self) -> Speaker {
        self.speaker
    }

    fn serial(&self) -> Option<&str> {
        self.serial.as_deref()
    }

    fn translate(&self, twin: &Twin, _: Timestamp) -> Result<Meaning, Refusal> {
        if self.words.get("unless").and_then(Json::as_str) == Some(twin.control.mode.as_str()) {
            return Err(Refusal::ManualMode);
        }
        let section =
            |name: &str| self.words.get(name).and_then(Json::as_object).cloned().unwrap_or_default();
        Ok(Meaning {
            change: Change { patch: section("change") },
            mode: self.words.get("mode").and_then(Json::as_str).and_then(Mode::parse),
            reported: section("reported"),
            readings: payload::scalars(section("readings"), &mut Vec::new()).unwrap_or_default(),
            is_heard: self.speaker == Speaker::Device,
            note: section("note"),
        })
    }
}

pub fn said(speaker: Speaker, text: &str) -> Input {
    let words = object(text);
    let serial = words.get("serial").and_then(Json::as_str).map(Into::into);
    Input::Translate(Arc::new(Message { speaker, serial, words }))
}

/// Any message that may be said.
pub fn any() -> impl Strategy<Value = Input> {
    let speakers = [
        Speaker::Device,
        Speaker::App,
        Speaker::Claim,
        Speaker::Registration { claimed: false },
        Speaker::Registration { claimed: true },
    ];
    let texts = [
        r#"{"reported": {"power": "on"}, "note": {"line": 1, "said": "x", "more": {"a": 1}}}"#,
        r#"{"readings": {"t": 1}, "note": {"line": 2}}"#,
        r#"{"readings": {"t": 2}, "reported": {"power": null}}"#,
        r#"{"change": {"desired": {"power": "off"}, "name": "P"}, "mode": "manual", "serial": "S1"}"#,
        r#"{"change": {"serial_number": "S2"}, "mode": "schedule", "unless": "schedule"}"#,
    ];
    (prop::sample::select(speakers.to_vec()), prop::sample::select(texts.to_vec()))
        .prop_map(|(speaker, text)| said(speaker, text))
}

fn patches(outcome: &Outcome) -> Vec<String> {
    let patches = outcome.events.iter().filter_map(|event| match &event.body {
        EventBody::Twin(change) => {
            Some(format!("{} {}", change.change.as_str(), Json::from(change.patch.to_object())))
        }
        _ => None,
    });
    patches.collect()
}

#[test]
fn all_that_it_means_is_one_change() {
    let mut scene = Scene::new();
    let text = r#"{"serial": "S1", "mode": "manual", "change": {"desired": {"power": "on"}, "serial_number": "S1"},
        "reported": {"power": "off"}, "readings": {"t": 1}, "note": {"line": 1}}"#;
    let outcome = scene.input(said(Speaker::Device, text), &mqtt());
    assert_eq!(
        patches(&outcome),
        [
            r#"reported {"desired":{"power":"on"},"mode":"manual","mode_until":null,"pidgin":{"line":1,"readings":true},"reported":{"power":"off"},"serial_number":"S1"}"#
        ]
    );
    let kinds: Vec<_> = outcome.events.iter().map(|event| event.kind().as_str()).collect();
    assert_eq!(kinds, ["presence", "telemetry", "twin"]);
    assert_eq!(
        (scene.twin.intake.messages, scene.twin.control.mode, scene.twin.control.claimed),
        (1, Mode::Manual, false)
    );
    assert!(matches!(outcome.publishes[..], [Publish::Desired(_)]), "{:?}", outcome.publishes);

    scene.input(said(Speaker::Device, r#"{"reported": {"power": "off"}}"#), &mqtt());
    assert_eq!(scene.twin.intake.messages, 2, "without readings the change is the message");
    let same = scene.input(said(Speaker::App, r#"{"mode": "manual"}"#), &cause());
    assert_eq!(patches(&same), [] as [&str; 0], "it is so");
}

#[test]
fn the_twin_is_asked_in_its_turn() {
    let mut scene = Scene::new();
    let input = || said(Speaker::App, r#"{"unless": "manual", "change": {"name": "P"}}"#);
    scene.input(input(), &cause());
    scene.input(Input::SetMode { mode: Mode::Manual, until: None }, &cause());
    assert_eq!(scene.try_input(input(), &cause()), Err(Refusal::ManualMode));
}

#[test]
fn what_it_means_is_checked_as_any_other_change() {
    let mut scene = Scene::online();
    for (text, place) in [
        (r#"{"change": {"colour": "red"}}"#, "colour"),
        (r#"{"change": {"claimed": true}}"#, "claimed"),
        (r#"{"change": {"schedule": [{"cron": "never"}]}}"#, "schedule[0].cron"),
    ] {
        let refused = scene.try_input(said(Speaker::App, text), &cause());
        assert!(matches!(&refused, Err(Refusal::Invalid { field, .. }) if field == place), "{refused:?}");
    }
}

#[test]
fn who_speaks_must_be_in_a_position_to() {
    let id = twin().id;
    let mut scene = Scene::new();
    scene.input(
        said(Speaker::Registration { claimed: false }, r#"{"change": {"serial_number": "S1"}}"#),
        &cause(),
    );
    assert!(!scene.twin.control.claimed);
    let again = said(Speaker::Registration { claimed: true }, "{}");
    assert_eq!(scene.try_input(again, &cause()), Err(Refusal::Registered(id.clone())));
    let other = scene.try_input(said(Speaker::Device, r#"{"serial": "S2"}"#), &mqtt()).unwrap_err();
    assert_eq!(other.to_string(), "`serial_number`: device `pump-1` has the serial number `S1`, not `S2`");
    scene.input(said(Speaker::Claim, r#"{"serial": "S1"}"#), &cause());
    assert!(scene.twin.control.claimed);
    assert_eq!(scene.try_input(said(Speaker::Claim, "{}"), &cause()), Err(Refusal::Claimed(id)));
    let mut scene = Scene::new();
    scene.input(said(Speaker::Registration { claimed: true }, "{}"), &cause());
    assert!(scene.twin.control.claimed);
}

#[test]
fn a_device_alone_goes_by_its_serial_number() {
    let serial = |speaker| said(speaker, r#"{"serial": "S1"}"#).serial().map(str::to_owned);
    assert_eq!(serial(Speaker::Device).as_deref(), Some("S1"));
    assert_eq!((serial(Speaker::Claim), readings(r#"{"t": 1}"#).serial()), (None, None));
}

#[test]
fn a_note_is_remembered_and_stands_until_power_is_reported() {
    let mut scene = Scene::new();
    assert_eq!(
        (scene.twin.profile.note(NOTE), scene.twin.profile.note_stands(NOTE, &scene.twin.reported)),
        (None, false)
    );
    let text = r#"{"note": {"line": 7, "said": "on", "seen": true, "all": {"a": 1}}}"#;
    let outcome = scene.input(said(Speaker::App, text), &cause());
    let EventBody::Twin(change) = &outcome.events[0].body else { panic!("{outcome:?}") };
    assert_eq!(
        change.note(NOTE),
        Some(&object(r#"{"line": 7, "said": "on", "seen": true, "all": {"a": 1}}"#))
    );
    assert_eq!((change.note("reported"), change.note("other")), (None, None));
    assert_eq!(
        scene.twin.profile.note(NOTE),
        Some(&object(r#"{"line": 7, "said": "on"}"#)),
        "texts and numbers"
    );
    assert!(scene.twin.profile.note_stands(NOTE, &scene.twin.reported));

    scene.now += 1;
    scene.report(r#"{"other": 1}"#);
    assert!(scene.twin.profile.note_stands(NOTE, &scene.twin.reported));
    scene.report(r#"{"power": "on"}"#);
    assert!(!scene.twin.profile.note_stands(NOTE, &scene.twin.reported));
    scene.input(said(Speaker::App, r#"{"note": {"said": "off"}}"#), &cause());
    assert!(scene.twin.profile.note_stands(NOTE, &scene.twin.reported));
    let kept = scene.twin.profile.note(NOTE).unwrap();
    assert_eq!(Json::from(kept.clone()).to_string(), r#"{"at":1000,"line":7,"said":"off"}"#);
    scene.now += 1;
    scene.report(r#"{"power": "on"}"#);
    assert!(!scene.twin.profile.note_stands(NOTE, &scene.twin.reported), "the same again is a report, too");
}

/// Every member of a patch that is an object, and none of a twin's own, is a dialect's.
#[test]
fn no_section_is_taken_for_a_note() {
    let mut scene = Scene::online();
    scene.report(r#"{"power": {"readings": 1}, "units": {"power": "W"}}"#);
    scene.set(
        r#"{"desired": {"a": 1}, "tags": {"a": 1}, "configuration": {"a": 1}, "limits": {"t": {"min": 1}},
        "settings": {"heartbeat": "90s"}}"#,
    );
    scene.input(Input::DesiredFailed(object(r#"{"a": "no"}"#)), &mqtt());
    scene.input(readings(r#"{"t": 1, "timestamp": "2036-11-29T12:00:00Z"}"#), &mqtt());
    scene.input(Input::Update(Box::new(firmware::task(1, "2"))), &cause());
    scene.input(Input::SetLifecycle { state: Lifecycle::Suspended, reason: "".into() }, &cause());
    let patches = scene.events.iter().filter_map(|event| match &event.body {
        EventBody::Twin(change) => Some(&change.patch),
        _ => None,
    });
    let notes: Vec<Vec<&str>> = patches.map(|patch| patch.notes().map(|(name, _)| name).collect()).collect();
    assert!(notes.len() > 5 && notes.concat().is_empty(), "{notes:?}");
}

/// Devices of this dialect look for their mode in the configuration.
struct Echoes;

impl Listeners for Echoes {
    fn audience(&self, _: &DeviceId, _: Downlink, _: Audience) -> Audience {
        Audience::Unknown
    }

    fn echo(&self, _: &Twin, patch: &Patch) -> Object {
        patch.mode().map(|mode| ("way", Json::from(mode.as_str()))).into_iter().collect()
    }
}

#[test]
fn a_native_change_is_said_in_the_words_of_dialects_too() {
    let mut twin = twin();
    let mut apply = |input, now| {
        twin.apply_before(&Echoes, &NoTemplates, input, at(now), &cause()).unwrap();
        twin.setup.configuration.get("way").and_then(Json::as_str).map(str::to_owned)
    };
    assert_eq!(apply(change(r#"{"tags": {"a": 1}}"#), 1), None);
    let until = Some(at(10));
    assert_eq!(apply(Input::SetMode { mode: Mode::Manual, until }, 2).as_deref(), Some("manual"));
    let hearing = SilenceRule { since: at(0), first_silence_ms: 600_000 };
    let wake = Input::Wake { hearing, first_id: scene::id(1) };
    assert_eq!(apply(wake, 10).as_deref(), Some("schedule"), "by itself");
    assert_eq!(
        apply(said(Speaker::App, r#"{"mode": "manual"}"#), 11).as_deref(),
        Some("schedule"),
        "its own words"
    );
}
