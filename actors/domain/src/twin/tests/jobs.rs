//! The notes of a twin for the jobs behind its inputs.

use uuid::Uuid;

use super::scene::{Scene, id};
use super::*;
use crate::command::{CommandId, CommandRequest};
use crate::fleet::{JobAction, JobId};

const JOB: JobId = JobId(Uuid::from_u128(7));
const OTHER: JobId = JobId(Uuid::from_u128(8));

fn turn(scene: &mut Scene, job: JobId, action: &str, command: CommandId) -> Outcome {
    let action: JobAction = serde_json::from_str(action).unwrap();
    let input = action.input(job, 1, command, at(scene.now));
    scene.input(input, &Cause::of_job(job))
}

fn reboot(more: &str) -> String {
    let mut fields = object(more);
    fields.insert("command_type", "reboot".into());
    let request = CommandRequest::parse(fields).unwrap();
    format!(r#"{{"command":{}}}"#, serde_json::to_string(&request).unwrap())
}

/// The steps of an outcome, as words: job, state, detail, and which command.
fn told(outcome: &Outcome) -> Vec<String> {
    let told = outcome.steps.iter().map(|step| {
        let command = step.command.map_or(String::new(), |id| format!(" #{}", id.0.as_u128() >> 16));
        format!("{} {}{command} {}", step.job.0.as_u128(), step.state.as_str(), step.detail)
    });
    told.map(|text| text.trim_end().to_owned()).collect()
}

#[test]
fn what_is_done_at_once_is_done_with_the_input() {
    let mut scene = Scene::online();
    for action in [
        r#"{"desired":{"power":"on"}}"#,
        r#"{"desired":{"power":"on"}}"#,
        r#"{"desired":{}}"#,
        r#"{"tags":{"floor":"2"}}"#,
        r#"{"configuration":{"a":null}}"#,
        r#"{"group":"hall"}"#,
        r#"{"mode":{"mode":"manual"}}"#,
        r#"{"mode":{"mode":"manual"}}"#,
        r#"{"delete":true}"#,
    ] {
        assert_eq!(told(&turn(&mut scene, JOB, action, id(90))), ["7 done"], "{action}");
    }
}

#[test]
fn what_people_do_is_no_jobs() {
    let mut scene = Scene::online();
    let command = scene.ask("{}");
    assert!(scene.answer(command, "executed").steps.is_empty());
    assert!(scene.input(Input::Delete, &cause()).steps.is_empty());
}

#[test]
fn a_command_is_done_when_the_device_says_so() {
    let mut scene = Scene::online();
    let asked = turn(&mut scene, JOB, &reboot("{}"), id(90));
    assert_eq!(told(&asked), ["7 asked #90"]);
    assert_eq!(asked.publishes.len(), 1);
    assert!(scene.answer(id(90), "delivered").steps.is_empty());
    assert_eq!(told(&scene.answer(id(90), "executed")), ["7 done #90"]);
    assert!(scene.answer(id(90), "failed").steps.is_empty(), "what comes late changes nothing");
    // The same turn again is the same command.
    let again = turn(&mut scene, JOB, &reboot("{}"), id(91));
    assert!(again.repeated && again.events.is_empty());
    assert_eq!(told(&again), ["7 done #90"]);
}

#[test]
fn a_command_that_comes_to_nothing_says_why() {
    let check = |more: &str, end: fn(&mut Scene) -> Vec<Outcome>, expected: &str| {
        let mut scene = Scene::online();
        turn(&mut scene, JOB, &reboot(more), id(90));
        let steps: Vec<_> = end(&mut scene).iter().flat_map(told).collect();
        assert_eq!(steps, [expected], "{more}");
    };
    check("{}", |scene| vec![scene.answer(id(90), "rejected")], "7 failed #90 rejected");
    check(
        r#"{"max_attempts": 1}"#,
        |scene| scene.wait(60),
        "7 failed #90 failed: no answer to the only attempt",
    );
    let cancel = |scene: &mut Scene| vec![scene.input(Input::Cancel { id: id(90), known: None }, &cause())];
    let why = "7 failed #90 canceled: called back after it was sent: the device may do it all the same";
    check("{}", cancel, why);
    let away = |scene: &mut Scene| {
        scene.say(false);
        scene.wait(60)
    };
    let why = "7 failed #90 expired: its time to live was over before the device took it";
    check(r#"{"ttl": "30s"}"#, away, why);
}

#[test]
fn one_jobs_command_supersedes_another_jobs() {
    let mut scene = Scene::new();
    turn(&mut scene, JOB, &reboot(r#"{"supersedes": "s"}"#), id(90));
    let newer = turn(&mut scene, OTHER, &reboot(r#"{"supersedes": "s"}"#), id(91));
    assert_eq!(told(&newer), ["8 asked #91", "7 failed #90 superseded: a newer one came"]);
}

#[test]
fn with_the_device_go_the_turns_that_wait_for_it() {
    let mut scene = Scene::new();
    turn(&mut scene, JOB, &reboot("{}"), id(90));
    let deleted = turn(&mut scene, OTHER, r#"{"delete":true}"#, id(91));
    assert_eq!(told(&deleted), ["8 done", "7 failed #90 canceled: the device was removed"]);
}
