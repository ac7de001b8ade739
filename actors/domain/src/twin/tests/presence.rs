//! Connected, last heard, and why it went.

use super::scene::{Scene, mqtt, published, told};
use super::*;

#[test]
fn a_device_is_silent_after_three_of_its_intervals() {
    let check = |interval: i64, messages: i64, silent_after: i64| {
        let mut scene = Scene::new();
        for message in 0..messages {
            scene.now = message * interval;
            scene.report(&format!(r#"{{"n": {message}}}"#));
        }
        let last = scene.now;
        scene.wait(silent_after - 1);
        assert_eq!(scene.twin.presence.status, Status::Online, "{interval} {messages}");
        scene.wait(1);
        assert_eq!(scene.twin.presence.status, Status::Offline, "{interval} {messages}");
        assert_eq!(scene.twin.presence.last_seen, Some(at(last)), "when it was heard is another fact");
        assert_eq!(&*scene.twin.presence.line().unwrap().disconnect_reason, "silent");
    };
    check(100, 6, 300);
    check(1, 6, 60); // at least a minute
    check(100, 2, 600); // too few to know its rhythm
    check(100, 1, 600);
    check(40_000, 4, 120_000);
}

#[test]
fn one_long_pause_does_not_change_the_rhythm() {
    let mut scene = Scene::new();
    for pause in [0, 100, 100, 100, 250, 100] {
        scene.now += pause;
        scene.report("{}");
    }
    assert_eq!(scene.twin.silence_ms(0), Some(300_000));
}

/// Of an even number of intervals the longer of the two in the middle counts.
#[test]
fn of_two_rhythms_the_slower_one_is_waited_for() {
    let check = |pauses: &[i64], expected: i64| {
        let mut scene = Scene::new();
        scene.report("{}");
        for pause in pauses {
            scene.now += pause;
            scene.report("{}");
        }
        assert_eq!(scene.twin.silence_ms(0), Some(expected * 1_000), "{pauses:?}");
    };
    check(&[100, 200], 600);
    check(&[200, 100], 600);
    check(&[100, 100, 200, 200], 600);
    check(&[200, 100, 100], 300);
    check(&[100, 200, 200, 100, 100], 300);
}

/// After one interval, of which ten minutes are the least that is called a silence.
#[test]
fn a_pause_of_which_nobody_knows_whose_it_was_is_no_interval() {
    let check = |pauses: [i64; 2], expected: i64| {
        let mut scene = Scene::new();
        scene.report("{}");
        for pause in pauses {
            scene.now += pause;
            scene.report("{}");
        }
        assert_eq!(scene.twin.silence_ms(7_000), Some(expected * 1_000), "{pauses:?}");
    };
    check([100, 600], 1_800);
    check([100, 601], 7); // it knows one interval alone
    check([300, 900], 2_700);
    check([300, 901], 7);
}

/// A machine without a clock of its own begins in 1970, until it is told the time.
#[test]
fn the_first_setting_of_the_hubs_clock_is_no_interval() {
    /// The start of the year 2000, in seconds.
    const SET: i64 = 946_684_800;
    let check = |first: i64, pause: i64, expected: i64| {
        let mut scene = Scene::new();
        scene.now = first;
        scene.report("{}");
        for pause in [pause, 100] {
            scene.now += pause;
            scene.report("{}");
        }
        assert_eq!(scene.twin.silence_ms(7_000), Some(expected * 1_000), "{first} and {pause} s later");
    };
    check(5, 1_767_225_600, 7); // one interval alone is known
    check(SET - 100, 100, 7);
    check(SET - 201, 100, 300);
    check(SET, 100, 300);
}

/// The hub's clock is corrected by a few seconds now and then, which nobody is told of.
#[test]
fn when_it_was_heard_does_not_go_back_with_the_clock() {
    type Word = fn(&mut Scene);
    let words: [(&str, Word); 4] = [
        ("readings", |scene| drop(scene.input(readings(r#"{"t": 1}"#), &mqtt()))),
        ("a report", |scene| drop(scene.report("{}"))),
        ("a poll", |scene| drop(scene.input(Input::Poll, &cause()))),
        ("online", |scene| drop(scene.say(true))),
    ];
    for (what, word) in words {
        for is_gone in [false, true] {
            let mut scene = Scene::online();
            scene.now = 100;
            scene.report("{}");
            for (now, expected) in [(97, 100), (200, 200)] {
                scene.now = now;
                if is_gone {
                    scene.say(false);
                }
                word(&mut scene);
                assert_eq!(
                    scene.twin.presence.last_seen,
                    Some(at(expected)),
                    "{what} at {now}, gone: {is_gone}"
                );
            }
        }
    }
}

#[test]
fn a_device_that_was_never_heard_is_offline_and_says_so_once() {
    let mut scene = Scene::new();
    assert_eq!((scene.twin.presence.status, scene.twin.presence.last_seen), (Status::Offline, None));
    scene.say(false);
    let status = |status| EventBody::Presence { status, reason: "reported".into() };
    assert_eq!(
        scene.events.iter().map(|event| event.body.clone()).collect::<Vec<_>>(),
        [status(Status::Offline)]
    );
    scene.say(false);
    assert_eq!(scene.events.len(), 1, "offline again says nothing new");
    scene.say(true);
    assert_eq!(scene.events.last().map(|event| event.body.clone()), Some(status(Status::Online)));
}

#[test]
fn how_long_a_new_device_may_be_silent_can_be_set() {
    let mut scene = Scene::online();
    let hearing = SilenceRule { since: at(0), first_silence_ms: 120_000 };
    assert_eq!(scene.twin.silent_at(hearing, at(0)), Some(at(120)));
    scene.set(r#"{"settings": {"heartbeat": "90s"}}"#);
    assert_eq!(scene.twin.silent_at(hearing, at(0)), Some(at(90)));
}

#[test]
fn a_heartbeat_can_be_set() {
    let mut scene = Scene::online();
    scene.set(r#"{"settings": {"heartbeat": "90s"}}"#);
    scene.wait(89);
    assert_eq!(scene.twin.presence.status, Status::Online);
    scene.wait(1);
    assert_eq!(scene.twin.presence.status, Status::Offline);
    let mut scene = Scene::online();
    scene.set(r#"{"settings": {"heartbeat": "never"}}"#);
    assert_eq!(scene.deadline(), None);
    scene.say(false);
    assert_eq!(&*scene.twin.presence.line().unwrap().disconnect_reason, "reported");
}

#[test]
fn a_device_says_what_it_is_where_nobody_else_did() {
    let mut scene = Scene::new();
    let says = |scene: &mut Scene, details: &str| {
        scene.input(Input::Presence { online: true, details: object(details) }, &mqtt());
        let reported = scene.twin.reported.get("type").map(|property| property.value.to_string());
        (scene.twin.profile.device_type.to_string(), reported)
    };
    assert_eq!(says(&mut scene, r#"{"type": "pump", "model": "P-1"}"#), ("pump".into(), None));
    assert_eq!(scene.twin.profile.text("model"), "P-1");
    scene.set(r#"{"type": "fan"}"#);
    assert_eq!(says(&mut scene, r#"{"type": "pump"}"#), ("fan".into(), Some(r#""pump""#.into())));
}

/// After a restart, or a jump of the clock, nobody is called offline who could not have spoken.
#[test]
fn nobody_is_silent_who_could_not_speak() {
    let mut scene = Scene::online();
    scene.set(r#"{"settings": {"heartbeat": "90s"}}"#);
    scene.now = 10_000;
    scene.heard_since = 10_000;
    assert_eq!(scene.wake().events, []);
    scene.wait(89);
    assert_eq!(scene.twin.presence.status, Status::Online);
    scene.wait(1);
    assert_eq!(scene.twin.presence.status, Status::Offline);
}

#[test]
fn flapping_is_counted() {
    let mut scene = Scene::new();
    for _ in 0..3 {
        scene.wait(60);
        scene.say(true);
        scene.wait(60);
        scene.say(false);
    }
    let line = scene.twin.presence.line().unwrap().clone();
    assert_eq!((line.disconnects, line.changed_at), (3, at(360)));
    assert!(line.is_flapping(at(360)) && line.is_flapping(at(120 + 599)));
    assert!(!line.is_flapping(at(120 + 600)), "it went for the first time ten minutes ago");
    assert!(!line.is_flapping(at(360 + 600)), "it has been quiet since");
    scene.say(false);
    assert_eq!(scene.twin.presence.line(), Some(&line), "offline again says nothing new");
    scene.now = 400;
    scene.say(true);
    let line = scene.twin.presence.line().unwrap();
    assert_eq!((line.changed_at, line.disconnects), (at(400), 3));
}

/// Its first word over MQTT tells a device that polled so far what it was not told there, once.
#[test]
fn a_device_that_polled_is_published_to_once_it_speaks_mqtt() {
    let polled = || {
        let mut scene = Scene::new();
        scene.input(Input::Poll, &cause());
        scene.desire(r#"{"power": "on"}"#);
        let id = scene.ask("{}");
        assert!(scene.twin.presence.polls());
        (scene, id)
    };
    for word in [
        Input::Presence { online: true, details: Object::default() },
        Input::Report(object(r#"{"n": 1}"#)),
        Input::GetDesired,
    ] {
        let (mut scene, id) = polled();
        let outcome = scene.input(word.clone(), &mqtt());
        assert!(!scene.twin.presence.polls(), "{word:?}");
        assert_eq!(published(&outcome), [id], "{word:?}");
        assert_eq!(told(&outcome).as_deref(), Some(r#"{"power":"on"}"#), "{word:?}");
        assert_eq!(outcome.publishes.len(), 2, "each is told once: {word:?}");
    }
}

/// A device that sends no readings, and says every minute that it is there.
#[test]
fn a_device_that_says_again_that_it_is_online_was_heard() {
    let mut scene = Scene::online();
    scene.set(r#"{"settings": {"heartbeat": "90s"}}"#);
    let version = scene.twin.version;
    for now in [60, 120, 180] {
        scene.now = now;
        scene.wake();
        scene.say(true);
        let presence = &scene.twin.presence;
        assert_eq!((presence.status, presence.last_seen), (Status::Online, Some(at(now))));
        assert_eq!(presence.line(), None, "it never went");
    }
    assert_eq!(scene.twin.version, version, "its document is as it was");
    let events = scene.events.len();
    scene.say(true);
    assert_eq!(scene.events.len(), events, "in the same moment it says nothing new");
    // With news of itself it is heard by these, once, and they are a beat of its rhythm.
    scene.now = 240;
    let details = object(r#"{"battery": 80}"#);
    let outcome = scene.input(Input::Presence { online: true, details }, &mqtt());
    assert_eq!((outcome.events.len(), scene.twin.presence.last_seen), (1, Some(at(240))));
    // What its broker has kept of it, when the hub subscribes anew, is no word of now.
    scene.now = 300;
    let kept = Cause { retained: true, ..mqtt() };
    let outcome = scene.input(Input::Presence { online: true, details: Object::default() }, &kept);
    assert_eq!((outcome.events.len(), scene.twin.presence.last_seen), (0, Some(at(240))));
}

#[test]
fn to_be_heard_again_is_no_coming() {
    let mut scene = Scene::online();
    scene.say(false);
    scene.now = 100;
    scene.input(Input::Poll, &cause());
    assert_eq!(scene.twin.presence.line().unwrap().changed_at, at(100));
    scene.now = 200;
    scene.input(Input::Poll, &cause());
    assert_eq!(
        (scene.twin.presence.line().unwrap().changed_at, scene.twin.presence.last_seen),
        (at(100), Some(at(200)))
    );
}

/// One poll in fifteen seconds is an event: a device may ask every second.
#[test]
fn a_device_that_polls_often_is_not_recorded_each_time() {
    let mut scene = Scene::new();
    for (now, is_event) in
        [(0, true), (0, false), (1, false), (14, false), (15, true), (29, false), (30, true), (90, true)]
    {
        scene.now = now;
        let before = scene.twin.presence.last_seen;
        let outcome = scene.input(Input::Poll, &cause());
        assert_eq!(outcome.events.len(), usize::from(is_event), "at {now}");
        let seen = if is_event { Some(at(now)) } else { before };
        assert_eq!(scene.twin.presence.last_seen, seen, "at {now}");
    }
}
