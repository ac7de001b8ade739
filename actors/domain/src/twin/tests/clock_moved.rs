//! The hub's clock is set.

use super::scene::Scene;
use super::*;
use crate::CommandStatus;

const DAY: i64 = 86_400;
/// In seconds.
const MOVES: [i64; 6] = [-7_200, -DAY, -400 * DAY, 7_200, 400 * DAY, 20_000 * DAY];

impl Scene {
    fn set_clock(&mut self, by: i64) -> Outcome {
        let from = at(self.now);
        self.now += by;
        self.heard_since = self.now;
        self.input(Input::ClockMoved { from, to: at(self.now) }, &Cause::hub())
    }
}

/// A scene far enough from the beginning of time to go back from.
fn scene() -> Scene {
    let mut scene = Scene::new();
    scene.now = 20_000 * DAY;
    scene.say(true);
    scene
}

#[test]
fn a_command_lives_for_its_time_to_live() {
    for by in MOVES {
        let mut scene = scene();
        scene.say(false);
        let id = scene.ask(r#"{"ttl": "10m"}"#);
        scene.now += 60;
        let told = scene.set_clock(by);
        assert_eq!(told.events.len(), 1, "{by}");
        assert_eq!(scene.command(id).expires_at, at(scene.now + 540), "{by}: the store knows it");
        scene.wake();
        scene.wait(539);
        assert_eq!(scene.status(id), CommandStatus::Pending, "{by}");
        scene.wait(1);
        assert_eq!(scene.status(id), CommandStatus::Expired, "{by}");
    }
}

#[test]
fn an_answer_is_waited_for_as_long_as_ever() {
    for by in MOVES {
        let mut scene = scene();
        let id = scene.ask(r#"{"timeout": "30s"}"#);
        assert_eq!(scene.status(id), CommandStatus::Sent);
        scene.now += 10;
        scene.set_clock(by);
        scene.wait(19);
        assert_eq!(scene.status(id), CommandStatus::Sent, "{by}");
        scene.wait(1);
        assert_eq!(scene.status(id), CommandStatus::Pending, "{by}");
    }
}

#[test]
fn nobody_goes_offline_or_stays_online_for_it() {
    for by in MOVES {
        let mut scene = scene();
        scene.set(r#"{"settings": {"heartbeat": "90s"}}"#);
        scene.now += 60;
        scene.set_clock(by);
        scene.wait(89);
        assert_eq!(scene.twin.presence.status, Status::Online, "{by}");
        scene.wait(1);
        assert_eq!(scene.twin.presence.status, Status::Offline, "{by}: silent since the clock was set");
        assert!(scene.twin.presence.last_seen <= Some(at(scene.now)), "{by}");
    }
}

#[test]
fn what_comes_last_is_the_state_although_the_clock_went_back() {
    for by in MOVES {
        let mut scene = scene();
        let say = |scene: &mut Scene, text: &str| scene.input(readings(text), &scene::mqtt());
        say(&mut scene, r#"{"t": 1}"#);
        scene.now += 60;
        scene.set_clock(by);
        say(&mut scene, r#"{"t": 2}"#);
        let value = |scene: &Scene| scene.twin.reported.get("t").unwrap().value.to_string();
        assert_eq!((value(&scene), scene.twin.presence.last_seen), ("2".into(), Some(at(scene.now))), "{by}");
        assert_eq!(scene.twin.reported.get("t").unwrap().at(), at(scene.now), "{by}");
        // A device that tells the time is right about it.
        let now = scene.now + 1;
        scene.now = now;
        say(&mut scene, &format!(r#"{{"t": 3, "timestamp": {now}}}"#));
        assert_eq!(value(&scene), "3", "{by}");
        say(&mut scene, &format!(r#"{{"t": 4, "timestamp": {}}}"#, now - 30));
        assert_eq!(value(&scene), "3", "{by}: late is late");
    }
}

/// Time services turn a clock back by some milliseconds.
#[test]
fn of_what_carries_no_time_the_last_wins_by_a_slewed_clock_too() {
    let mut scene = scene();
    scene.input(readings(r#"{"t": 1}"#), &scene::mqtt());
    scene.now -= 3;
    scene.input(readings(r#"{"t": 2}"#), &scene::mqtt());
    assert_eq!(scene.twin.reported.get("t").unwrap().value.to_string(), "2");
}

#[test]
fn a_mode_for_an_hour_ends_after_an_hour() {
    for by in MOVES {
        let mut scene = scene();
        let until = Some(at(scene.now + 3_600));
        scene.input(Input::SetMode { mode: Mode::Manual, until }, &cause());
        scene.set_clock(by);
        scene.wait(3_599);
        assert_eq!(scene.twin.control.mode, Mode::Manual, "{by}");
        scene.wait(1);
        assert_eq!(scene.twin.control.mode, Mode::Schedule, "{by}");
    }
    // A time of the day, far away by a clock that was wrong, is near by the right one.
    let mut scene = Scene::new();
    let until = Some(at(20_000 * DAY + 60));
    scene.input(Input::SetMode { mode: Mode::Manual, until }, &cause());
    scene.set_clock(20_000 * DAY);
    assert_eq!(scene.twin.control.mode_until(), until);
}

#[test]
fn who_waits_for_nothing_hears_nothing_of_it() {
    let mut scene = scene();
    assert_eq!(scene.set_clock(-7_200), Outcome::default());
}

/// It is no pause of the device, by which its silence would be judged.
#[test]
fn the_step_of_a_clock_is_no_beat() {
    let beats = |scene: &mut Scene, count: i64| {
        for _ in 0..count {
            scene.now += 100;
            scene.report("{}");
        }
    };
    // Begun in 1970.
    let mut scene = Scene::new();
    beats(&mut scene, 2);
    scene.set_clock(20_000 * DAY);
    beats(&mut scene, 1);
    assert_eq!(scene.twin.silence_ms(600_000), Some(600_000), "one interval is known");
    beats(&mut scene, 1);
    assert_eq!(scene.twin.silence_ms(600_000), Some(300_000));
    for known in [2, 3, 6] {
        let mut scene = self::scene();
        beats(&mut scene, known);
        scene.set_clock(7_200);
        beats(&mut scene, 2);
        assert_eq!(scene.twin.silence_ms(600_000), Some(300_000), "{known}");
    }
    // A device of which it is set how long it may be silent has intervals of any length.
    let mut scene = self::scene();
    beats(&mut scene, 5);
    scene.set(r#"{"settings": {"heartbeat": "never"}}"#);
    for _ in 0..5 {
        scene.now += 3_600;
        scene.report("{}");
    }
    scene.set(r#"{"settings": {"heartbeat": null}}"#);
    assert_eq!(scene.twin.silence_ms(600_000), Some(3 * 3_600_000));
}

#[test]
fn a_schedule_goes_on_by_the_new_time() {
    for by in MOVES {
        let mut scene = scene();
        scene.set(r#"{"schedule": [{"cron": "* * * * *", "set": {"power": "on"}}], "settings": {"heartbeat": "never"}}"#);
        scene.wait(300);
        scene.set_clock(by);
        scene.wake();
        let outcomes = scene.wait(300);
        let ran = outcomes.iter().flat_map(|outcome| &outcome.events).filter(
            |event| matches!(&event.body, EventBody::Twin(change) if change.change == ChangeKind::Scheduled),
        );
        assert_eq!(ran.count(), 5, "{by}: each of five minutes once");
    }
}
