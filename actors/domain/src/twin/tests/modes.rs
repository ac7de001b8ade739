//! Modes, schedules and rules as tables: who drives a twin.

use super::scene::{Scene, id, told};
use super::*;
use crate::command::CommandStatus;

/// 1970-01-01 was a Thursday; scenes begin at its midnight, UTC.
const HOUR: i64 = 3_600;

fn set_mode(scene: &mut Scene, mode: Mode, until: Option<i64>) -> Result<Outcome, Refusal> {
    scene.try_input(Input::SetMode { mode, until: until.map(at) }, &cause())
}

fn changes(outcomes: &[Outcome]) -> Vec<String> {
    let events = outcomes.iter().flat_map(|outcome| &outcome.events);
    let told = events.filter_map(|event| match &event.body {
        EventBody::Twin(TwinChange { change, patch }) => {
            Some(format!("{} {} by {}", change.as_str(), Json::from(patch.to_object()), event.cause.by))
        }
        _ => None,
    });
    told.collect()
}

#[test]
fn manual_can_end_by_itself() {
    let mut scene = Scene::new();
    set_mode(&mut scene, Mode::Manual, Some(HOUR)).unwrap();
    assert_eq!((scene.twin.control.mode, scene.twin.control.mode_until()), (Mode::Manual, Some(at(HOUR))));
    scene.wait(HOUR - 1);
    assert_eq!(scene.twin.control.mode, Mode::Manual);
    let ended = scene.wait(1);
    assert_eq!(changes(&ended), [r#"updated {"mode":"schedule","mode_until":null} by mode_until"#]);
    assert_eq!(
        (scene.twin.control.mode, scene.twin.control.mode_until(), scene.deadline()),
        (Mode::Schedule, None, None)
    );
}

#[test]
fn what_makes_no_sense_is_refused() {
    let mut scene = Scene::new();
    scene.now = 10;
    let field = |result: Result<Outcome, Refusal>| match result {
        Err(Refusal::Invalid { field, detail }) => format!("{field}: {detail}"),
        other => panic!("{other:?}"),
    };
    assert_eq!(field(set_mode(&mut scene, Mode::Manual, Some(10))), "until: lies in the past");
    assert_eq!(
        field(set_mode(&mut scene, Mode::Schedule, Some(20))),
        "until: only manual mode has an end: schedule mode goes on"
    );
    set_mode(&mut scene, Mode::Manual, None).unwrap();
    assert_eq!(set_mode(&mut scene, Mode::Manual, None).unwrap().events, [], "it was so before");
}

/// The changes that each mode allows, and to whom.
#[test]
fn a_persons_word_rules() {
    let check = |mode: Mode, source: Source, expected: bool| {
        let mut scene = Scene::online();
        set_mode(&mut scene, mode, None).unwrap();
        let cause = Cause::new(source, "x");
        let desired = change(r#"{"desired": {"power": "on"}}"#);
        assert_eq!(scene.try_input(desired, &cause).is_ok(), expected, "{mode:?} {source:?}");
        let request = Box::new(crate::CommandRequest::new("go", Object::default()));
        let command = Input::Command { id: id(900), request, known: None, is_new: false };
        let asked = scene.try_input(command, &cause);
        assert_eq!(asked.is_ok(), expected, "{mode:?} {source:?}");
        if !expected {
            assert_eq!(asked, Err(Refusal::ManualMode));
        }
    };
    for mode in [Mode::Manual, Mode::Schedule] {
        check(mode, Source::Rest, true);
        check(mode, Source::WebSocket, true);
        check(mode, Source::Rule, mode == Mode::Schedule);
    }
}

const EVENING: &str = r#"{"schedule": [{"cron": "0 18 * * *", "set": {"power": "on"}},
    {"cron": "0 22 * * *", "command": {"command_type": "reboot", "ttl": "1h"}}]}"#;

#[test]
fn a_schedule_sets_and_commands() {
    let mut scene = Scene::online();
    scene.set(r#"{"settings": {"heartbeat": "never"}}"#);
    scene.set(EVENING);
    assert_eq!(scene.deadline(), Some(at(18 * HOUR)));
    let evening = scene.wait(18 * HOUR);
    assert_eq!(
        changes(&evening),
        [
            r#"scheduled {"desired":{"power":"on"},"schedule_done":"1970-01-01T18:00:00.000Z"} by entry 0: 0 0 18 * * *"#
        ]
    );
    assert_eq!(told(&evening[0]).as_deref(), Some(r#"{"power":"on"}"#));
    let night = scene.wait(4 * HOUR);
    let command = &night[0].commands[0];
    assert_eq!((command.status, &*command.cause.by), (CommandStatus::Sent, "entry 1: 0 0 22 * * *"));
    assert_eq!((&*command.request.command_type, command.request.ttl.ms()), ("reboot", 3_600_000));
    scene.answer(command.id, "executed");
    assert_eq!(scene.deadline(), Some(at(42 * HOUR)));
}

#[test]
fn in_manual_mode_entries_are_skipped_and_said_so() {
    let mut scene = Scene::new();
    scene.set(EVENING);
    set_mode(&mut scene, Mode::Manual, Some(20 * HOUR)).unwrap();
    let skipped = scene.wait(21 * HOUR);
    assert_eq!(
        changes(&skipped),
        [
            r#"skipped {"schedule_done":"1970-01-01T18:00:00.000Z","skipped":[{"at":"1970-01-01T18:00:00.000Z","entry":0,"reason":"manual_mode"}]} by "#,
            r#"updated {"mode":"schedule","mode_until":null} by mode_until"#,
        ]
    );
    assert_eq!(changes(&scene.wait(2 * HOUR)).len(), 1, "at 22:00 it is in schedule mode again");
}

/// Manual mode until seven does not hold at seven any more.
#[test]
fn an_entry_at_the_moment_at_which_manual_mode_ends_runs() {
    let check = |until: i64, runs: bool| {
        let mut scene = Scene::new();
        scene.set(r#"{"schedule": [{"cron": "0 7 * * *", "set": {"power": "on"}}]}"#);
        set_mode(&mut scene, Mode::Manual, Some(until)).unwrap();
        let told = changes(&scene.wait(8 * HOUR));
        assert_eq!(!scene.twin.desired.is_empty(), runs, "until {until}: {told:?}");
        assert_eq!(told.iter().any(|line| line.contains("manual_mode")), !runs, "until {until}: {told:?}");
    };
    check(7 * HOUR - 1, true);
    check(7 * HOUR, true);
    check(7 * HOUR + 1, false);
}

/// The hub was down over the entry and over the end of manual mode: the entry was skipped all the same.
#[test]
fn an_entry_within_a_mode_that_has_ended_since_is_skipped() {
    let mut scene = Scene::new();
    scene.set(r#"{"schedule": [{"cron": "0 18 * * *", "set": {"power": "on"}, "missed": "run_once"}]}"#);
    set_mode(&mut scene, Mode::Manual, Some(20 * HOUR)).unwrap();
    scene.now = 23 * HOUR;
    let woken = scene.wake();
    assert_eq!(scene.twin.control.mode, Mode::Schedule);
    assert!(scene.twin.desired.is_empty(), "{woken:?}");
    assert!(changes(&[woken]).iter().any(|change| change.contains("manual_mode")));
}

#[test]
fn what_was_missed_runs_once_or_not() {
    let check = |missed: &str, expected: bool| {
        let mut scene = Scene::new();
        scene.set(&format!(
            r#"{{"schedule": [{{"cron": "0 * * * *", "set": {{"power": "on"}}, "missed": "{missed}"}}]}}"#
        ));
        scene.now = 10 * HOUR + 1_800; // down for ten hours and a half
        let woken = changes(&[scene.wake()]);
        assert_eq!(woken.len(), 1, "{woken:?}");
        assert_eq!(woken[0].starts_with("scheduled"), expected, "{woken:?}");
        assert_eq!(scene.deadline(), Some(at(11 * HOUR)));
    };
    check("run_once", true);
    check("skip", false);
}

#[test]
fn a_clock_that_jumps_fires_nothing_twice() {
    let mut scene = Scene::new();
    scene.set(r#"{"schedule": [{"cron": "0 7 * * *", "set": {"power": "on"}}]}"#);
    scene.now = 7 * HOUR;
    assert_eq!(changes(&[scene.wake()]).len(), 1);
    scene.now = 6 * HOUR; // put back by an hour
    let told = changes(&[scene.wake()]);
    assert_eq!(told, [r#"skipped {"schedule_done":"1970-01-01T06:00:00.000Z"} by "#], "it goes on from six");
    scene.now = 7 * HOUR;
    assert_eq!(changes(&[scene.wake()]), [] as [&str; 0], "seven o'clock has been");
    scene.now = 31 * HOUR;
    assert_eq!(changes(&[scene.wake()]).len(), 1, "and comes again tomorrow");
}

#[test]
fn a_bad_schedule_names_its_place() {
    let mut scene = Scene::new();
    let refused =
        scene.try_input(change(r#"{"schedule": [{"cron": "0 0 30 2 *", "set": {"a": 1}}]}"#), &cause());
    let Err(Refusal::Invalid { field, .. }) = refused else { panic!("{refused:?}") };
    assert_eq!(field, "schedule[0].cron");
    let timetable = r#"{"schedule": {"lunes": [["07:00", true], ["22:30", false]]}}"#;
    scene.set(timetable);
    assert_eq!(scene.twin.document(at(0)).get("schedule").unwrap().to_string().matches("cron").count(), 2);
    scene.set(r#"{"schedule": []}"#);
    assert_eq!(scene.twin.plan(), None);
}
