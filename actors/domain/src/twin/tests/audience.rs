//! Messages that wait because nobody listens, and go out when somebody does.

use super::firmware::task;
use super::scene::{Scene, mqtt, published, told};
use super::*;
use crate::command::{CommandId, CommandStatus as S};

const NOBODY_LISTENS: Option<&str> = Some("no client subscribes to the device's commands");

/// A device that is there, and listens to nothing.
fn deaf() -> Scene {
    let mut scene = Scene::new();
    scene.audience = Audience::Nobody;
    scene.say(true);
    scene
}

fn listens(scene: &mut Scene, audience: Audience, ear: Downlink) -> Outcome {
    scene.audience = audience;
    scene.input(Input::Subscribed(ear), &Cause::hub())
}

fn unheard(scene: &mut Scene, id: CommandId, attempt: u8) -> Outcome {
    scene.input(Input::CommandUndelivered { id, attempt }, &Cause::hub())
}

#[test]
fn a_command_that_nobody_listens_to_stays_pending_and_says_why() {
    let mut scene = deaf();
    let asked = scene.try_ask("{}", None).unwrap();
    let id = asked.commands[0].id;
    assert_eq!((published(&asked).len(), asked.commands[0].status), (0, S::Pending));
    assert_eq!(asked.commands[0].reason.as_deref(), NOBODY_LISTENS);
    // It says so once, however often the device is heard.
    for _ in 0..3 {
        assert!(published(&scene.report(r#"{"power": "on"}"#)).is_empty());
    }
    assert_eq!(scene.way(id), "pending pending");
    let second = scene.ask("{}");
    assert_eq!(scene.command(second).reason.as_deref(), NOBODY_LISTENS);
    assert_eq!(published(&listens(&mut scene, Audience::Somebody, Downlink::Commands)), [id]);
    assert_eq!((scene.command(id).attempts, scene.command(id).reason.as_deref()), (1, None));
    assert_eq!(published(&scene.answer(id, "executed")), [second]);
}

#[test]
fn a_command_that_nobody_listens_to_expires() {
    let mut scene = deaf();
    let id = scene.ask(r#"{"ttl": "5s"}"#);
    scene.wait(10);
    assert_eq!((scene.status(id), scene.way(id).as_str()), (S::Expired, "pending pending expired"));
}

#[test]
fn a_device_that_subscribes_is_there_unless_it_said_goodbye() {
    let mut scene = Scene::new();
    scene.audience = Audience::Somebody;
    let never_heard = scene.ask("{}");
    assert_eq!(scene.status(never_heard), S::Pending, "a program listens, and no device was ever heard");
    assert_eq!(published(&listens(&mut scene, Audience::Itself, Downlink::Commands)), [never_heard]);
    scene.answer(never_heard, "executed");
    scene.say(false);
    let gone = scene.ask("{}");
    assert_eq!(scene.status(gone), S::Pending, "it said that it goes, connected or not");
    assert_eq!(published(&scene.say(true)), [gone]);
    scene.answer(gone, "executed");
    scene.wait(2 * 3_600);
    assert_eq!(scene.twin.presence.status, Status::Offline);
    let silent = scene.ask("{}");
    assert_eq!(scene.status(silent), S::Sent, "it is silent, and still connected");
}

#[test]
fn a_publish_that_nobody_got_costs_no_attempt() {
    let mut scene = Scene::online();
    let id = scene.ask(r#"{"max_attempts": 1, "ttl": "10m"}"#);
    unheard(&mut scene, id, 2);
    assert_eq!(scene.status(id), S::Sent, "this is another attempt");
    let mut waits = Vec::new();
    for _ in 0..7 {
        unheard(&mut scene, id, 1);
        let command = scene.command(id);
        assert_eq!((command.status, command.attempts), (S::Pending, 0));
        assert_eq!(command.reason.as_deref(), NOBODY_LISTENS);
        let from = scene.now;
        while scene.status(id) != S::Sent {
            scene.wait(1);
            scene.report("{}");
        }
        waits.push(scene.now - from);
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
    scene.answer(id, "executed");
    unheard(&mut scene, id, 1);
    assert_eq!(scene.status(id), S::Executed);
}

#[test]
fn a_command_is_handed_over_no_longer_than_it_lives() {
    let mut scene = Scene::online();
    let asked = scene.try_ask(r#"{"ttl": "2s", "timeout": "30s"}"#, None).unwrap();
    let Publish::Command { until, .. } = &asked.publishes[0] else { panic!("{asked:?}") };
    assert_eq!(*until, at(2));
}

#[test]
fn what_is_desired_is_pending_until_somebody_listens() {
    let mut scene = deaf();
    let sync = |scene: &Scene| scene.twin.sync("power", at(scene.now)).unwrap();
    assert_eq!(told(&scene.desire(r#"{"power": "on"}"#)), None);
    assert_eq!(sync(&scene), SyncState::Pending);
    assert_eq!(told(&scene.input(Input::GetDesired, &mqtt())), None, "it asks before it listens");
    let heard = listens(&mut scene, Audience::Itself, Downlink::Desired);
    assert_eq!(told(&heard).as_deref(), Some(r#"{"power":"on"}"#));
    assert_eq!(sync(&scene), SyncState::Sent);
    assert_eq!(listens(&mut scene, Audience::Itself, Downlink::Desired), Outcome::default(), "it knows");
    // A broker that tells afterwards.
    scene.audience = Audience::Unknown;
    scene.input(Input::Undelivered(Downlink::Desired), &Cause::hub());
    assert_eq!(sync(&scene), SyncState::Pending);
    assert_eq!(scene.input(Input::Undelivered(Downlink::Desired), &Cause::hub()), Outcome::default());
    scene.say(false);
    assert!(told(&scene.say(true)).is_some());
    assert_eq!(sync(&scene), SyncState::Sent);
}

#[test]
fn firmware_stays_queued_until_somebody_listens() {
    let mut scene = deaf();
    let state = |scene: &Scene| scene.twin.firmware().unwrap().state.as_str();
    scene.input(Input::Update(Box::new(task(1, "2"))), &cause());
    assert_eq!(state(&scene), "queued");
    let heard = listens(&mut scene, Audience::Somebody, Downlink::Firmware);
    assert!(heard.publishes.iter().any(|publish| matches!(publish, Publish::Firmware(_))), "{heard:?}");
    assert_eq!(state(&scene), "notified");
    scene.audience = Audience::Unknown;
    scene.input(Input::Undelivered(Downlink::Firmware), &Cause::hub());
    assert_eq!(state(&scene), "queued");
}
