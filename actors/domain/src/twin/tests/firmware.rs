//! New firmware for a device, told as it goes.

use super::scene::{Scene, mqtt};
use super::*;
use crate::fleet::{FirmwareReport, FirmwareState, FirmwareTask, JobId, StepState};

const HOUR: i64 = 3_600;

pub fn job(number: u128) -> JobId {
    JobId(uuid::Uuid::from_u128(number))
}

pub fn task(number: u128, version: &str) -> FirmwareTask {
    FirmwareTask {
        job: Some(job(number)),
        image: version.into(),
        version: version.into(),
        models: Vec::new(),
        url: "http://hub/f".into(),
        sha256: "00".into(),
        size: 9,
        state: FirmwareState::Queued,
        percent: None,
        at: at(0),
        furthest: None,
        reason: "".into(),
        timeout_ms: HOUR * 1_000,
        expires: Some(at(24 * HOUR)),
        down: false,
    }
}

fn give(scene: &mut Scene, number: u128, version: &str) -> Outcome {
    try_give(scene, number, version).unwrap()
}

fn try_give(scene: &mut Scene, number: u128, version: &str) -> Result<Outcome, Refusal> {
    let cause = Cause::of_job(job(number));
    scene.try_input(Input::Update(Box::new(task(number, version))), &cause)
}

pub fn report(text: &str) -> Input {
    Input::Firmware(Box::new(FirmwareReport::read(text.as_bytes()).unwrap()))
}

fn says(scene: &mut Scene, text: &str) -> Outcome {
    scene.input(report(text), &mqtt())
}

fn comes_with(scene: &mut Scene, version: &str) -> Outcome {
    let details = object(&format!(r#"{{"firmware_version": "{version}"}}"#));
    scene.input(Input::Presence { online: true, details }, &mqtt())
}

fn steps(outcome: &Outcome) -> Vec<String> {
    let told = outcome.steps.iter().map(|step| {
        let percent = step.percent.map_or_else(String::new, |percent| format!(" {percent}%"));
        format!("{}{percent} {}", step.state.as_str(), step.detail).trim().to_owned()
    });
    told.collect()
}

fn told(outcome: &Outcome) -> Vec<String> {
    let bodies = outcome.publishes.iter().filter_map(|publish| match publish {
        Publish::Firmware(body) => Some(body.to_string()),
        _ => None,
    });
    bodies.collect()
}

fn state(scene: &Scene) -> &'static str {
    scene.twin.firmware().unwrap().state.as_str()
}

#[test]
fn a_device_goes_through_all_of_it() {
    let mut scene = Scene::new();
    comes_with(&mut scene, "1.0.0");
    let given = give(&mut scene, 1, "2.0.0");
    assert_eq!(steps(&given), ["notified"]);
    assert_eq!(
        told(&given),
        [
            r#"{"deadline":"1970-01-02T00:00:00.000Z","job":"00000000-0000-0000-0000-000000000001","sha256":"00","size":9,"url":"http://hub/f","version":"2.0.0"}"#
        ]
    );
    for (report, expected) in [
        (r#"{"state": "downloading", "percent": 40}"#, vec!["downloading 40%"]),
        (r#"{"state": "downloading", "percent": 40}"#, vec![]),
        (r#"{"state": "downloading", "percent": 90}"#, vec!["downloading 90%"]),
        (r#"{"state": "notified"}"#, vec![]),
        (r#"{"state": "downloaded"}"#, vec!["downloaded"]),
        (r#"{"state": "verified"}"#, vec!["verified"]),
        (r#"{"state": "updating", "job": "00000000-0000-0000-0000-000000000009"}"#, vec![]),
        (r#"{"state": "updating"}"#, vec!["updating"]),
    ] {
        assert_eq!(steps(&says(&mut scene, report)), expected, "{report}");
    }
    assert_eq!(told(&comes_with(&mut scene, "1.0.0")), [""; 0], "it installs it: it is told no more");
    scene.say(false);
    assert_eq!(state(&scene), "updating");
    assert_eq!(steps(&comes_with(&mut scene, "v2.0")), ["done"]);
    assert_eq!(
        Json::from(scene.twin.firmware_shown()).to_string(),
        r#"{"at":"1970-01-01T00:00:00.000Z","image_id":"2.0.0","job_id":"00000000-0000-0000-0000-000000000001","percent":null,"reason":null,"state":"updated","target":"2.0.0","version":"v2.0"}"#
    );
    assert_eq!(scene.twin.wake_at(at(0)), None);
}

#[test]
fn a_device_that_is_away_is_told_when_it_comes_and_whenever_it_comes_until_it_installs_it() {
    let mut scene = Scene::new();
    let given = give(&mut scene, 1, "2.0.0");
    assert_eq!((steps(&given), told(&given).len()), (vec!["queued".to_owned()], 0));
    assert_eq!(state(&scene), "queued");
    scene.wait(2 * HOUR);
    assert_eq!(state(&scene), "queued", "who was never told has not failed");
    let come = comes_with(&mut scene, "1.0.0");
    assert_eq!((steps(&come), told(&come).len()), (vec!["notified".to_owned()], 1));
    assert_eq!(told(&scene.say(true)).len(), 1, "it may have connected anew unnoticed");
    assert_eq!(told(&scene.input(Input::GetDesired, &mqtt())).len(), 1);
    assert_eq!(told(&scene.report("{}")).len(), 0, "but not with every message");
    assert_eq!(steps(&scene.say(false)), ["queued"], "it went before it had begun");
    scene.wait(2 * HOUR);
    assert_eq!(told(&scene.input(Input::GetDesired, &mqtt())).len(), 1);
    assert_eq!(state(&scene), "notified");
    for state in ["downloading", "downloaded", "verified"] {
        assert_eq!(told(&says(&mut scene, &format!(r#"{{"state": "{state}"}}"#))).len(), 0);
        scene.say(false); // it lost its power
        let come = scene.say(true);
        assert_eq!((told(&come).len(), steps(&come)), (1, vec![]), "{state}");
    }
    assert_eq!(state(&scene), "verified", "to begin anew is its own business");
    assert_eq!(steps(&says(&mut scene, r#"{"state": "downloading"}"#)), ["downloading"]);
    says(&mut scene, r#"{"state": "updating"}"#);
    assert_eq!(told(&scene.say(true)).len(), 0);
}

#[test]
fn who_stalls_has_failed_and_who_never_comes_is_away() {
    let check = |prepare: &dyn Fn(&mut Scene), wait: i64, expected: &str| {
        let mut scene = Scene::new();
        scene.set(r#"{"settings": {"heartbeat": "never"}}"#);
        prepare(&mut scene);
        scene.wait(wait - 1);
        assert_ne!(state(&scene), "failed");
        let outcomes = scene.wait(1);
        assert_eq!(steps(outcomes.last().unwrap()), [format!("failed {expected}")]);
        assert_eq!(&*scene.twin.firmware().unwrap().reason, expected);
    };
    let away = |scene: &mut Scene| drop(give(scene, 1, "2"));
    let online = |scene: &mut Scene| {
        scene.say(true);
        give(scene, 1, "2");
    };
    check(&away, 24 * HOUR, "away: it was not there in time");
    check(&online, HOUR, "it was notified, and has not begun for 1h");
    let updating = |scene: &mut Scene| {
        online(scene);
        says(scene, r#"{"state": "updating"}"#);
        scene.wait(HOUR / 2);
        comes_with(scene, "1"); // which is no progress
    };
    check(&updating, HOUR / 2, "no progress for 1h: the last was `updating`");
    let progress = |scene: &mut Scene| {
        online(scene);
        says(scene, r#"{"state": "downloading", "percent": 1}"#);
        scene.wait(HOUR / 2);
        says(scene, r#"{"state": "downloading", "percent": 2}"#);
    };
    check(&progress, HOUR, "no progress for 1h: the last was `downloading`");
    let again_and_again = |scene: &mut Scene| {
        online(scene);
        says(scene, r#"{"state": "downloading", "percent": 30}"#);
        for _ in 0..3 {
            scene.wait(HOUR / 4);
            scene.say(false); // it breaks at 30 %
            scene.say(true);
            says(scene, r#"{"state": "downloading", "percent": 0}"#);
            says(scene, r#"{"state": "downloading", "percent": 30}"#);
        }
    };
    check(&again_and_again, HOUR / 4, "no progress for 1h: the last was `downloading`");
}

#[test]
fn nobody_is_told_of_what_is_over() {
    let mut scene = Scene::online();
    scene.now = 24 * HOUR; // a commit may come so late
    let given = give(&mut scene, 1, "2.0.0");
    let late = "failed the roll-out's time was over before its turn came";
    assert_eq!((steps(&given), told(&given).len()), (vec![late.to_owned()], 0));
    let mut scene = Scene::new();
    give(&mut scene, 1, "2.0.0");
    scene.now = 24 * HOUR;
    let come = comes_with(&mut scene, "1.0.0");
    assert_eq!(
        (steps(&come), told(&come).len()),
        (vec!["failed away: it was not there in time".to_owned()], 0)
    );
}

#[test]
fn it_says_that_it_failed_and_comes_back_with_the_new_version_all_the_same() {
    let mut scene = Scene::online();
    give(&mut scene, 1, "2.0.0");
    assert_eq!(steps(&says(&mut scene, r#"{"state": "failed", "reason": "no room"}"#)), ["failed no room"]);
    assert_eq!(steps(&says(&mut scene, r#"{"state": "downloading"}"#)), [""; 0], "it is over");
    scene.say(false);
    assert_eq!(steps(&comes_with(&mut scene, "1.0.0")), [""; 0]);
    assert_eq!(steps(&comes_with(&mut scene, "2.0.0")), ["done"]);
    assert_eq!(steps(&comes_with(&mut scene, "2.0.0")), [""; 0], "once");
    assert_eq!((state(&scene), &*scene.twin.firmware().unwrap().reason), ("updated", ""));
}

#[test]
fn every_way_of_saying_what_it_runs_counts() {
    type Say = fn(&mut Scene) -> Outcome;
    let ways: [(&str, Say); 4] = [
        ("status", |scene| comes_with(scene, "2.0.0")),
        ("state", |scene| scene.report(r#"{"firmware_version": "2.0.0"}"#)),
        ("firmware", |scene| says(scene, r#"{"state": "updated", "version": "2.0.0"}"#)),
        ("whatever it says of it", |scene| says(scene, r#"{"state": "failed", "version": "2.0.0"}"#)),
    ];
    for (way, say) in ways {
        let mut scene = Scene::online();
        give(&mut scene, 1, "2.0.0");
        assert_eq!(steps(&say(&mut scene)), ["done"], "{way}");
        assert_eq!(scene.twin.profile.text("firmware_version"), "2.0.0", "{way}");
    }
    let mut scene = Scene::online();
    give(&mut scene, 1, "2.0.0");
    assert_eq!(
        steps(&says(&mut scene, r#"{"state": "updated"}"#)),
        ["done"],
        "its word: nobody knows better"
    );
    let mut scene = Scene::online();
    give(&mut scene, 1, "2.0.0");
    let other = says(&mut scene, r#"{"state": "updated", "version": "1.9"}"#);
    assert_eq!(steps(&other), ["failed it says that it is updated, and runs 1.9"]);
}

#[test]
fn who_says_its_versions_is_done_when_it_says_the_new_one() {
    let updated = |scene: &mut Scene| {
        comes_with(scene, "1.0.0");
        give(scene, 1, "2.0.0");
        assert_eq!(steps(&says(scene, r#"{"state": "updated"}"#)), ["updating"]);
        assert_eq!(steps(&says(scene, r#"{"state": "updated"}"#)), [""; 0]);
    };
    let mut scene = Scene::new();
    updated(&mut scene);
    assert_eq!(steps(&comes_with(&mut scene, "2.0.0")), ["done"]);
    let mut scene = Scene::new();
    scene.set(r#"{"settings": {"heartbeat": "never"}}"#);
    updated(&mut scene);
    comes_with(&mut scene, "1.0.0"); // its bootloader has gone back
    let outcomes = scene.wait(HOUR);
    let failed = "failed no progress for 1h: the last was `updating`";
    assert_eq!(steps(outcomes.last().unwrap()), [failed]);
}

#[test]
fn who_runs_it_already_is_done_at_once() {
    let mut scene = Scene::new();
    comes_with(&mut scene, "2.0.0");
    assert_eq!(steps(&give(&mut scene, 1, "2.0.0")).last().unwrap(), "done");
}

#[test]
fn given_again_it_goes_on_and_another_waits_its_turn() {
    let mut scene = Scene::online();
    give(&mut scene, 1, "2.0.0");
    let again = give(&mut scene, 1, "2.0.0");
    assert_eq!((again.repeated, again.events.len(), steps(&again)), (true, 0, vec!["notified".to_owned()]));
    let other = give(&mut scene, 2, "3.0.0");
    assert_eq!(steps(&other), ["canceled another update took its place", "notified"]);
    assert_eq!((other.steps[0].job, other.steps[1].job), (job(1), job(2)));
    assert_eq!(try_give(&mut scene, 3, "2.5.0"), Err(Refusal::UpdateUnderWay("3.0.0".into())), "it is older");
    let down = FirmwareTask { down: true, ..task(3, "2.5.0") };
    scene.input(Input::Update(Box::new(down)), &cause());
    assert_eq!(scene.twin.firmware().unwrap().job, Some(job(3)), "somebody has said so");
    give(&mut scene, 2, "3.0.0");
    says(&mut scene, r#"{"state": "downloading"}"#);
    assert_eq!(try_give(&mut scene, 3, "4.0.0"), Err(Refusal::UpdateUnderWay("3.0.0".into())));
    says(&mut scene, r#"{"state": "failed"}"#);
    assert_eq!(steps(&give(&mut scene, 2, "3.0.0")), ["notified"], "what failed is tried again");
}

#[test]
fn what_has_not_begun_is_called_back() {
    let withdraw = |scene: &mut Scene, number: u128| {
        scene.input(
            Input::WithdrawUpdate {
                job: Some(job(number)),
                to: StepState::Canceled,
                reason: "too many failed".into(),
            },
            &cause(),
        )
    };
    let mut scene = Scene::new();
    give(&mut scene, 1, "2");
    assert_eq!(withdraw(&mut scene, 2), Outcome::default(), "another one's");
    let away = withdraw(&mut scene, 1);
    assert_eq!((steps(&away), told(&away).len()), (vec!["canceled too many failed".to_owned()], 0));
    assert_eq!(scene.twin.firmware(), None);
    scene.say(true);
    give(&mut scene, 1, "2");
    let online = withdraw(&mut scene, 1);
    assert_eq!(
        told(&online),
        [r#"{"cancel":true,"job":"00000000-0000-0000-0000-000000000001","version":"2"}"#]
    );
    give(&mut scene, 1, "2");
    says(&mut scene, r#"{"state": "downloading"}"#);
    assert_eq!(withdraw(&mut scene, 1), Outcome::default(), "what has begun goes on");
}

#[test]
fn nothing_comes_of_it_for_who_is_retired_or_removed() {
    let mut scene = Scene::online();
    give(&mut scene, 1, "2");
    let retire = Input::SetLifecycle { state: Lifecycle::Retired, reason: "".into() };
    assert_eq!(steps(&scene.input(retire, &cause())).last().unwrap(), "skipped the device was retired");
    assert_eq!(scene.twin.firmware(), None);
    assert_eq!(try_give(&mut scene, 2, "3"), Err(Refusal::Retired));
    let mut scene = Scene::online();
    give(&mut scene, 1, "2");
    says(&mut scene, r#"{"state": "downloading"}"#);
    let removed = scene.input(Input::Delete, &cause());
    assert_eq!(
        (removed.steps[0].state, &*removed.steps[0].detail),
        (StepState::Skipped, "the device was removed")
    );
}

#[test]
fn a_device_that_updates_by_itself_is_heard() {
    let mut scene = Scene::new();
    scene.now = 5;
    let said = says(&mut scene, r#"{"state": "updated", "version": "7"}"#);
    assert_eq!((said.steps, scene.twin.profile.text("firmware_version")), (vec![], "7"));
    assert_eq!((scene.twin.presence.status, scene.twin.presence.last_seen), (Status::Online, Some(at(5))));
}

#[test]
fn who_comes_with_something_newer_is_left_alone() {
    let mut scene = Scene::new();
    give(&mut scene, 1, "2.0.0");
    let come = comes_with(&mut scene, "2.0.1");
    assert_eq!(steps(&come), ["skipped it runs 2.0.1, which is newer than 2.0.0"]);
    assert_eq!((told(&come).len(), scene.twin.firmware()), (0, None));
    let down = FirmwareTask { down: true, ..task(1, "2.0.0") };
    scene.input(Input::Update(Box::new(down)), &cause());
    assert_eq!(state(&scene), "notified", "somebody has said so");
    let mut scene = Scene::online();
    give(&mut scene, 1, "2.0.0");
    let newer = scene.report(r#"{"firmware_version": "3"}"#);
    assert_eq!(
        told(&newer),
        [r#"{"cancel":true,"job":"00000000-0000-0000-0000-000000000001","version":"2.0.0"}"#]
    );
}

#[test]
fn hardware_of_another_model_in_its_place_is_left_alone() {
    let mut scene = Scene::new();
    let of_p = FirmwareTask { models: vec!["P*".into()], ..task(1, "2.0.0") };
    scene.set(r#"{"model": "P1"}"#);
    scene.input(Input::Update(Box::new(of_p)), &cause());
    let details = object(r#"{"model": "Q", "firmware_version": "1.0.0"}"#);
    let come = scene.input(Input::Presence { online: true, details }, &mqtt());
    assert_eq!(steps(&come), ["skipped its model is `Q`, and the image is for P*"]);
    assert_eq!((told(&come).len(), scene.twin.firmware()), (0, None));
}

#[test]
fn a_version_that_cannot_be_compared_is_left_alone() {
    let mut scene = Scene::new();
    give(&mut scene, 1, "2.0.0");
    let come = comes_with(&mut scene, "spring");
    assert_eq!(steps(&come), ["skipped its version `spring` cannot be compared to 2.0.0"]);
    assert_eq!((told(&come).len(), scene.twin.firmware()), (0, None));
}

#[test]
fn who_comes_with_the_version_is_told_nothing() {
    let mut scene = Scene::new();
    give(&mut scene, 1, "2.0.0");
    let come = comes_with(&mut scene, "2.0.0");
    assert_eq!((steps(&come), told(&come).len()), (vec!["done".to_owned()], 0));
}
