//! Commands on a twin: what arrives, in which order, and what becomes of the rest.

use super::scene::{Scene, id, published};
use super::*;
use crate::command::{CommandId, CommandStatus as S};

#[test]
fn an_online_device_gets_it_at_once() {
    let mut scene = Scene::online();
    let asked =
        scene.try_ask(r#"{"command_type": "set_speed", "parameters": {"rpm": 1450.0}}"#, None).unwrap();
    let Publish::Command { body, until, .. } = &asked.publishes[0] else { panic!("{asked:?}") };
    let id = asked.commands[0].id;
    assert_eq!(*until, at(30));
    assert_eq!(
        body.to_string(),
        format!(
            r#"{{"attempt":1,"expires_at":"1970-01-02T00:00:00.000Z","id":"{id}","parameters":{{"rpm":1450.0}},"priority":5,"type":"set_speed"}}"#
        )
    );
    scene.answer(id, "delivered");
    scene.now = 5;
    scene.answer(id, "executed");
    assert_eq!(scene.way(id), "pending sent delivered executed");
    assert_eq!(scene.twin.presence.last_seen, Some(at(5)), "who answers is heard");
    assert!(scene.twin.commands().is_empty());
}

/// Ten commands while the device is away: exactly the right ones arrive, in the right order.
#[test]
fn a_device_that_returns_gets_its_own_in_order() {
    let mut scene = Scene::online();
    scene.say(false);
    let ask = |scene: &mut Scene, more: &str| scene.ask(more);
    let a = ask(&mut scene, r#"{"priority": 3}"#);
    let b = ask(&mut scene, "{}");
    let gone = ask(&mut scene, r#"{"ttl": "60s", "priority": 9}"#);
    let c = ask(&mut scene, r#"{"priority": 9}"#);
    let old = ask(&mut scene, r#"{"supersedes": "speed", "priority": 9}"#);
    let d = ask(&mut scene, "{}");
    let older = ask(&mut scene, r#"{"supersedes": "speed"}"#);
    let e = ask(&mut scene, r#"{"priority": 0}"#);
    let back = ask(&mut scene, r#"{"priority": 9}"#);
    let new = ask(&mut scene, r#"{"supersedes": "speed", "priority": 3}"#);
    scene.input(Input::Cancel { id: back, known: None }, &cause());
    scene.wait(3_600);
    assert_eq!(
        [gone, old, older, back].map(|id| scene.status(id)),
        [S::Expired, S::Superseded, S::Superseded, S::Canceled]
    );
    let mut arrived = Vec::new();
    let mut outcome = scene.say(true);
    while let [next] = published(&outcome)[..] {
        arrived.push(next);
        outcome = scene.answer(next, "executed");
    }
    assert_eq!(arrived, [c, b, d, a, new, e]);
    assert!(arrived.iter().all(|id| scene.status(*id) == S::Executed));
}

#[test]
fn one_is_in_flight_unless_more_are_allowed() {
    let mut scene = Scene::online();
    let (first, second, third) = (scene.ask("{}"), scene.ask("{}"), scene.ask("{}"));
    assert_eq!([first, second, third].map(|id| scene.status(id)), [S::Sent, S::Pending, S::Pending]);
    let more = scene.set(r#"{"settings": {"in_flight": 2}}"#);
    assert_eq!(published(&more), [second]);
    scene.answer(first, "delivered");
    assert_eq!(scene.status(third), S::Pending, "what was delivered is still with the device");
    assert_eq!(published(&scene.answer(second, "failed")), [third]);
}

#[test]
fn attempts_back_off_up_to_a_dead_letter() {
    let mut scene = Scene::online();
    scene.set(r#"{"settings": {"heartbeat": "never"}}"#);
    let id = scene.ask(r#"{"timeout": "10s", "max_attempts": 3}"#);
    let sent: Vec<_> = scene.wait(1_000).iter().flat_map(published).collect();
    assert_eq!(sent, [id, id]);
    assert_eq!(scene.way(id), "pending sent pending sent pending sent failed");
    let times: Vec<_> = scene.command(id).history.iter().map(|line| line.at.millis() / 1_000).collect();
    assert_eq!(times, [0, 0, 10, 11, 21, 23, 33]);
    assert_eq!(scene.command(id).reason.as_deref(), Some("no answer to 3 attempts"));
    // Late: recorded, and nothing else.
    scene.answer(id, "executed");
    assert_eq!(scene.way(id), "pending sent pending sent pending sent failed late:executed");
    assert_eq!(scene.status(id), S::Failed);
    assert!(scene.answer(id, "executed").repeated, "said before");
}

#[test]
fn what_was_delivered_is_not_sent_again() {
    let mut scene = Scene::online();
    scene.set(r#"{"settings": {"heartbeat": "never"}}"#);
    let id = scene.ask(r#"{"timeout": "10s"}"#);
    scene.answer(id, "delivered");
    assert!(scene.answer(id, "delivered").repeated);
    scene.say(false);
    scene.say(true);
    assert_eq!(scene.status(id), S::Delivered, "it went away with it, and may be at it still");
    assert!(scene.wait(100).iter().all(|outcome| published(outcome).is_empty()));
    assert_eq!(scene.way(id), "pending sent delivered timed_out");
    scene.answer(id, "executed");
    assert_eq!(scene.way(id), "pending sent delivered timed_out late:executed");
}

#[test]
fn an_answer_during_the_back_off_counts() {
    let mut scene = Scene::online();
    let id = scene.ask(r#"{"timeout": "10s"}"#);
    scene.wait(10);
    assert_eq!(scene.status(id), S::Pending);
    scene.answer(id, "executed");
    assert_eq!(scene.way(id), "pending sent pending executed");
    assert!(scene.answer(id, "executed").repeated);
    assert_eq!(scene.answer(id, "failed").events.len(), 1, "another word is recorded");
    assert_eq!(scene.status(id), S::Executed, "and the first one stays");
}

#[test]
fn going_away_costs_no_attempt() {
    let mut scene = Scene::online();
    let id = scene.ask(r#"{"max_attempts": 1}"#);
    for _ in 0..5 {
        scene.say(false);
        assert_eq!((scene.status(id), scene.command(id).attempts), (S::Pending, 0));
        assert_eq!(published(&scene.say(true)), [id]);
    }
    scene.answer(id, "executed");
    assert_eq!(scene.status(id), S::Executed);
}

#[test]
fn the_same_key_is_the_same_command() {
    let mut scene = Scene::online();
    let first = scene.try_ask(r#"{"priority": 1}"#, Some("k")).unwrap().commands[0].id;
    let again = scene.try_ask(r#"{"priority": 1}"#, Some("k")).unwrap();
    assert_eq!((again.repeated, again.commands[0].id, again.events.len()), (true, first, 0));
    let other = scene.try_ask(r#"{"priority": 2}"#, Some("k"));
    assert_eq!(other, Err(Refusal::KeyTaken { key: "k".into(), id: first }));
    scene.answer(first, "executed");
    let later = scene.try_ask(r#"{"priority": 1}"#, Some("k")).unwrap();
    assert_eq!((later.repeated, later.commands[0].status), (true, S::Executed));
    assert_eq!(scene.try_ask(r#"{"priority": 1}"#, Some("l")).unwrap().events.len(), 2);
}

#[test]
fn what_nobody_asked_for_is_refused() {
    let mut scene = Scene::online();
    let nobody: CommandId = id(99);
    assert_eq!(scene.try_answer(nobody, "executed"), Err(Refusal::NoCommand(nobody)));
    let mut offline = Scene::new();
    assert_eq!(offline.try_answer(nobody, "executed"), Err(Refusal::NoCommand(nobody)));
    assert_eq!(offline.twin.presence, Presence::default(), "nobody would hear that it came online");
    let cancel = |scene: &mut Scene, id| scene.try_input(Input::Cancel { id, known: None }, &cause());
    assert_eq!(cancel(&mut scene, nobody), Err(Refusal::NoCommand(nobody)));
    let done = scene.ask("{}");
    scene.answer(done, "rejected");
    assert_eq!(cancel(&mut scene, done), Err(Refusal::CommandFinal { id: done, status: S::Rejected }));
}

#[test]
fn a_queue_has_an_end() {
    let mut scene = Scene::new();
    for _ in 0..999 {
        // Without the scene's own check of the whole fold, which would take a thousand times a thousand.
        let request = Box::new(crate::CommandRequest::new("go", Object::default()));
        let number = u32::try_from(scene.twin.commands().len()).unwrap();
        scene
            .twin
            .apply(Input::Command { id: id(number), request, known: None, is_new: false }, at(0), &cause())
            .unwrap();
    }
    let mut ask = |number: u32, supersedes: Option<&str>| {
        let mut request = Box::new(crate::CommandRequest::new("go", Object::default()));
        request.supersedes = supersedes.map(Into::into);
        let input = Input::Command { id: id(number), request, known: None, is_new: false };
        scene.twin.apply(input, at(0), &cause()).map(drop)
    };
    assert_eq!(ask(5_000, Some("speed")), Ok(()));
    assert_eq!(ask(5_001, None), Err(Refusal::QueueFull(1_000)));
    assert_eq!(ask(5_002, Some("light")), Err(Refusal::QueueFull(1_000)));
    assert_eq!(ask(5_003, Some("speed")), Ok(()), "it takes the place of the one before");
    assert_eq!(scene.twin.commands().len(), 1_000);
}

/// Where the device comes back at the very moment, before the hub's own timer has looked.
#[test]
fn a_command_is_not_sent_when_its_time_to_live_is_over() {
    let check = |comes_back: i64, expected: usize| {
        let mut scene = Scene::online();
        scene.say(false);
        scene.ask(r#"{"ttl": "60s"}"#);
        scene.now = comes_back;
        assert_eq!(published(&scene.say(true)).len(), expected, "{comes_back}");
    };
    check(59, 1);
    check(60, 0);
}

/// QoS 1 messages can come in another order where a device has several connections.
#[test]
fn an_acknowledgement_behind_its_own_answer_says_nothing() {
    let mut scene = Scene::online();
    let id = scene.ask("{}");
    scene.answer(id, "executed");
    let behind = scene.answer(id, "delivered");
    assert_eq!((behind.repeated, behind.commands[0].id, behind.events.len()), (true, id, 0));
    assert_eq!(scene.way(id), "pending sent executed");
}

/// A device without MQTT asks for what it is to do, and may ask again when an answer got lost.
#[test]
fn a_device_that_polls_is_told_until_it_acknowledges() {
    let mut scene = Scene::new();
    let (first, second) = (scene.ask("{}"), scene.ask("{}"));
    let poll = |scene: &mut Scene| {
        let outcome = scene.input(Input::Poll, &cause());
        assert!(published(&outcome).is_empty(), "it is not told over MQTT");
        outcome.commands.iter().map(|command| command.id).collect::<Vec<_>>()
    };
    assert_eq!(poll(&mut scene), [first]);
    assert_eq!(scene.twin.presence.status, Status::Online);
    assert_eq!(poll(&mut scene), [first], "its answer got lost");
    scene.answer_over_http(first, "executed");
    assert_eq!(poll(&mut scene), [second]);
    scene.answer_over_http(second, "delivered");
    assert_eq!(poll(&mut scene), []);
    let third = scene.ask("{}");
    assert_eq!(scene.status(third), S::Pending);
    let spoke = scene.report(r#"{"power": "on"}"#);
    assert!(published(&spoke).is_empty(), "one is in flight");
    scene.answer(second, "executed");
    assert_eq!(scene.status(third), S::Sent, "it speaks MQTT now, and is told there");
}

impl Scene {
    fn answer_over_http(&mut self, id: CommandId, status: &str) {
        let status = crate::CommandResultStatus::parse(status).unwrap();
        let answer = Box::new(crate::CommandResult { status, response: None, reason: None });
        self.input(Input::CommandResult { id, answer, known: None }, &cause());
    }
}
