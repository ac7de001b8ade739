//! Commands in every store.

use super::support::*;
use crate::{CommandQuery, CommandRecord, EventQuery};
use twinhub_domain::{CommandId, CommandStatus, DeviceNumber, EventBody, EventKind, Timestamp};

use CommandStatus as S;

type FleetAction<'a> = &'a dyn Fn(&mut TestFleet);

const REBOOT: &str = r#"{"command_type": "reboot"}"#;
const SPEED: &str = r#"{"command_type": "set_speed", "parameters": {"rpm": 1200.50}, "max_attempts": 1}"#;

/// Asked, and nothing else: the ids of a page, and how many there are on all.
async fn ids(fixture: &Fixture, query: CommandQuery) -> (Vec<CommandId>, u64) {
    let page = fixture.store.commands(&query).await.unwrap();
    (page.commands.iter().map(|record| record.command.id).collect(), page.total)
}

/// A record after all its steps, in a few words.
fn described(record: &CommandRecord) -> String {
    let statuses: Vec<&str> = record.command.history.iter().map(|line| line.status.as_str()).collect();
    format!("{} {}: {}", record.device, record.command.request.command_type, statuses.join(" "))
}

#[tokio::test]
async fn a_command_is_kept_with_every_step() {
    for mut fixture in Fixture::both().await {
        let mut world = TestFleet::new();
        world.presence("pump", false);
        let command = world.command("pump", &asked(SPEED));
        fixture.commit(&mut world.batch()).await;
        let steps: [(&str, FleetAction<'_>); 4] = [
            ("pending", &|_| {}),
            ("pending sent", &|world| world.presence("pump", true)),
            ("pending sent delivered", &|world| world.answer(command, "delivered")),
            ("pending sent delivered failed", &|world| {
                world
                    .answer(command, r#"{"status": "failed", "reason": "jammed", "response": {"at": 3.10}}"#);
            }),
        ];
        for (statuses, step) in steps {
            world.wait(1_000);
            step(&mut world);
            let mut batch = world.batch();
            for _ in 0..2 {
                fixture.commit(&mut batch).await; // a second time does nothing
                let found = fixture.store.command(command).await.unwrap().unwrap();
                assert_eq!(found, world.commands[&command]);
                assert_eq!(described(&found), format!("pump set_speed: {statuses}"));
                fixture.reopen().await;
            }
            let page = fixture.store.commands(&commands()).await.unwrap();
            assert_eq!((page.commands, page.total), (vec![world.commands[&command].clone()], 1));
        }
        // After all was said, more is said; and the digits are those that the device sent.
        world.answer(command, r#"{"status": "executed", "response": 1e3}"#);
        fixture.commit(&mut world.batch()).await;
        fixture.reopen().await;
        let found = fixture.store.command(command).await.unwrap().unwrap();
        assert_eq!(described(&found), "pump set_speed: pending sent delivered failed executed");
        assert_eq!((found.command.status, found.command.history[4].late), (S::Failed, true));
        assert_eq!(found.command.response.unwrap().to_string(), r#"{"at":3.10}"#);
        assert_eq!(found.command.history[4].response.as_ref().unwrap().to_string(), "1e3");
        assert_eq!(found.command.request.parameters.get("rpm").unwrap().to_string(), "1200.50");
        assert_eq!(fixture.store.command(CommandId(uuid::Uuid::nil())).await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_twin_comes_back_with_its_queue() {
    for mut fixture in Fixture::both().await {
        let mut world = TestFleet::new();
        world.presence("a", false);
        for request in [REBOOT, SPEED] {
            world.command("a", &asked(request));
        }
        world.tell("a", r#"{"t": 1}"#); // it is there after all: the first is sent
        fixture.commit(&mut world.batch()).await;
        fixture.reopen().await;
        let twins = fixture.store.load(&[world.twins["a"].id.clone()]).await.unwrap();
        assert_eq!(twins, [world.twins["a"].clone()]);
        let statuses: Vec<_> = twins[0].commands().iter().map(|command| command.status).collect();
        assert_eq!(statuses, [S::Sent, S::Pending]);
    }
}

#[tokio::test]
async fn lists_are_filtered_ordered_and_paged() {
    for mut fixture in Fixture::both().await {
        let mut world = TestFleet::new();
        let asked_of = |world: &mut TestFleet, device: &str, request: &str| {
            world.wait(1_000);
            world.command(device, &asked(request))
        };
        for device in ["a", "b"] {
            world.presence(device, true);
        }
        // a1 is with the device, a2 and a3 wait behind it; b1 was never answered; b2 was called back.
        let a1 = asked_of(&mut world, "a", REBOOT);
        let b1 = asked_of(&mut world, "b", SPEED);
        world.wait(30_000);
        world.wake("b");
        let a2 = asked_of(&mut world, "a", SPEED);
        fixture.commit(&mut world.batch()).await;
        let b2 = asked_of(&mut world, "b", REBOOT);
        world.cancel(b2);
        let a3 = asked_of(&mut world, "a", REBOOT);
        fixture.commit(&mut world.batch()).await;
        let statuses = |world: &TestFleet| -> Vec<S> {
            [a1, a2, a3, b1, b2].iter().map(|id| world.commands[id].command.status).collect()
        };
        assert_eq!(statuses(&world), [S::Sent, S::Pending, S::Pending, S::Failed, S::Canceled]);

        for _ in 0..2 {
            let all = [a1, b1, a2, b2, a3];
            let backwards: Vec<_> = all.into_iter().rev().collect();
            assert_eq!(ids(&fixture, commands()).await, (all.to_vec(), 5));
            let newest = CommandQuery { newest_first: true, ..commands() };
            assert_eq!(ids(&fixture, newest.clone()).await, (backwards.clone(), 5));
            for offset in 0..7 {
                for limit in [0, 1, 2, 1_000, u64::MAX] {
                    let page = CommandQuery { offset: offset as u64, limit, ..newest.clone() };
                    let expected = backwards.iter().skip(offset).take(limit.min(10) as usize).copied();
                    assert_eq!(ids(&fixture, page).await, (expected.collect(), 5), "{offset} {limit}");
                }
            }
            let of_b = CommandQuery { device: Some(world.number("b")), ..commands() };
            assert_eq!(ids(&fixture, of_b.clone()).await, (vec![b1, b2], 2));
            assert_eq!(ids(&fixture, CommandQuery { offset: u64::MAX, ..of_b.clone() }).await, (vec![], 2));
            let status = |status: &[S]| CommandQuery { status: status.to_vec(), ..newest.clone() };
            assert_eq!(ids(&fixture, status(&[S::Failed])).await, (vec![b1], 1));
            assert_eq!(ids(&fixture, status(&[S::Sent, S::Pending])).await, (vec![a3, a2, a1], 3));
            assert_eq!(ids(&fixture, status(&[S::Executed])).await, (vec![], 0));
            let failed_of_a = CommandQuery { device: Some(world.number("a")), ..status(&[S::Failed]) };
            assert_eq!(ids(&fixture, failed_of_a).await, (vec![], 0));
            let reboots = CommandQuery { command_type: Some("reboot".into()), ..commands() };
            assert_eq!(ids(&fixture, reboots.clone()).await, (vec![a1, b2, a3], 3));
            let of_b = CommandQuery { command_type: Some("reboot".into()), ..of_b };
            assert_eq!(ids(&fixture, of_b).await, (vec![b2], 1));
            let at = |id: CommandId| Some(world.commands[&id].command.created_at);
            let part = CommandQuery { from: at(b1), to: at(b2), ..commands() };
            assert_eq!(ids(&fixture, part).await, (vec![b1, a2], 2));
            let part = CommandQuery { from: at(b1), limit: 2, ..reboots };
            assert_eq!(ids(&fixture, part).await, (vec![b2, a3], 2));
            let nobody = CommandQuery { device: Some(DeviceNumber(99)), ..commands() };
            assert_eq!(ids(&fixture, nobody).await, (vec![], 0));
            fixture.reopen().await;
        }
    }
}

#[tokio::test]
async fn commands_of_one_moment_have_one_order() {
    for mut fixture in Fixture::both().await {
        let mut world = TestFleet::new();
        let mut asked_for: Vec<CommandId> = (0..9).map(|_| world.command("a", &asked(REBOOT))).collect();
        let as_asked = asked_for.clone();
        fixture.commit(&mut world.batch()).await;
        asked_for.sort();
        assert_ne!(asked_for, as_asked, "the ids are to be mixed");
        for _ in 0..2 {
            let mut paged = Vec::new();
            for offset in [0, 4, 8] {
                paged.extend(ids(&fixture, CommandQuery { offset, limit: 4, ..commands() }).await.0);
            }
            assert_eq!(paged, asked_for);
            fixture.reopen().await;
        }
    }
}

#[tokio::test]
async fn the_latest_with_a_key_is_found() {
    for mut fixture in Fixture::both().await {
        let mut world = TestFleet::new();
        let long = "k".repeat(255);
        let alike = format!("{}x", &long[1..]);
        let find = async |fixture: &Fixture, device: DeviceNumber, key: &str| {
            fixture.store.command_with_key(device, key).await.unwrap().map(|record| record.command.id)
        };
        let first = world.command("a", &asked_once(REBOOT, "k"));
        assert_eq!(world.command("a", &asked_once(REBOOT, "k")), first, "a repeat");
        let by_long = world.command("a", &asked_once(REBOOT, &long));
        let by_alike = world.command("a", &asked_once(SPEED, &alike));
        let of_b = world.command("b", &asked_once(SPEED, "k"));
        world.command("a", &asked(SPEED));
        fixture.commit(&mut world.batch()).await;
        let (a, b) = (world.number("a"), world.number("b"));
        for _ in 0..2 {
            assert_eq!(find(&fixture, a, "k").await, Some(first));
            assert_eq!(find(&fixture, b, "k").await, Some(of_b));
            assert_eq!(find(&fixture, a, &long).await, Some(by_long));
            assert_eq!(find(&fixture, a, &alike).await, Some(by_alike));
            for unknown in ["", "K", "k ", &long[1..]] {
                assert_eq!(find(&fixture, a, unknown).await, None, "{unknown}");
            }
            fixture.reopen().await;
        }
        // By other hands than the twin's a key may come twice: the latest counts.
        world.wait(1_000);
        world.command("a", &asked(REBOOT));
        let mut batch = world.batch();
        let later = batch.commands[0].command.id;
        batch.commands[0].command.request.idempotency_key = Some("k".into());
        fixture.commit(&mut batch).await;
        assert_eq!(find(&fixture, a, "k").await, Some(later));
    }
}

#[tokio::test]
async fn a_removed_device_takes_its_commands_along() {
    for mut fixture in Fixture::both().await {
        let mut world = TestFleet::new();
        let old = world.command("a", &asked_once(REBOOT, "k"));
        let stays = world.command("b", &asked_once(REBOOT, "k"));
        fixture.commit(&mut world.batch()).await;
        let gone = world.number("a");
        // Asked for in the very batch in which the device goes, and asked anew of the one after it.
        let new = world.command("a", &asked(SPEED));
        world.remove("a");
        let again = world.command("a", &asked(REBOOT));
        let mut batch = world.batch();
        for _ in 0..2 {
            fixture.commit(&mut batch).await;
            fixture.store.maintain(world.now).await.unwrap();
            assert_eq!(ids(&fixture, commands()).await.1, 2);
            let of_gone = CommandQuery { device: Some(gone), ..commands() };
            assert_eq!(ids(&fixture, of_gone).await, (vec![], 0));
            assert_eq!(fixture.store.command_with_key(gone, "k").await.unwrap(), None);
            for (id, there) in [(old, false), (new, false), (stays, true), (again, true)] {
                assert_eq!(fixture.store.command(id).await.unwrap().is_some(), there);
            }
            fixture.reopen().await;
        }
    }
}

#[tokio::test]
async fn the_steps_are_in_the_log_and_in_replays() {
    for mut fixture in Fixture::both().await {
        let mut world = TestFleet::new();
        world.presence("a", true);
        let command = world.command("a", &asked(SPEED));
        fixture.commit(&mut world.batch()).await;
        fixture.store.maintain(world.now).await.unwrap();
        world.presence("a", false);
        world.presence("a", true);
        world.answer(command, r#"{"status": "executed", "response": {"rpm": 1200.50}}"#);
        world.answer(command, r#"{"status": "failed", "reason": "späť"}"#);
        let superseded = asked(r#"{"command_type": "a", "supersedes": "s", "ttl": "1s"}"#);
        world.presence("a", false);
        for _ in 0..2 {
            world.command("a", &superseded);
        }
        world.wait(2_000);
        world.wake("a");
        fixture.commit(&mut world.batch()).await;
        let query = EventQuery { device: Some(world.number("a")), kinds: vec![EventKind::Command], ..log() };
        let mut before: Option<Vec<String>> = None;
        for _ in 0..3 {
            let events = fixture.store.events(&query).await.unwrap();
            let steps: Vec<String> = events
                .iter()
                .map(|recorded| match &recorded.event.body {
                    EventBody::Command(change) => format!("{:?}", change.step),
                    other => panic!("{other:?} is no step"),
                })
                .collect();
            let names: Vec<&str> =
                steps.iter().map(|step| step.split(['(', ' ']).next().unwrap_or_default()).collect();
            let expected = [
                "Queued", "Sent", "Returned", "Sent", "Answered", "Late", "Queued", "Ended", "Queued",
                "Ended",
            ];
            assert_eq!(names, expected);
            assert_eq!(*before.get_or_insert_with(|| steps.clone()), steps);
            let replayed = fixture.store.replay(0, u64::MAX, 999).await.unwrap().events;
            let of_replay: Vec<u64> = replayed
                .iter()
                .filter(|recorded| recorded.event.kind() == EventKind::Command)
                .map(|recorded| recorded.seq)
                .collect();
            assert_eq!(of_replay, seqs(&events));
            fixture.store.maintain(world.now).await.unwrap();
            fixture.reopen().await;
        }
    }
}

#[tokio::test]
async fn what_is_not_wanted_any_more_after_a_time_keeps_that_time() {
    for mut fixture in Fixture::both().await {
        let mut world = TestFleet::new();
        let until = Some(Timestamp::from_millis(NOON + 1_234));
        world.send_until("commands", until);
        world.send("desired");
        fixture.commit(&mut world.batch()).await;
        for _ in 0..2 {
            let kept = fixture.store.outgoing().await.unwrap();
            let told: Vec<_> = kept.iter().map(|message| (&*message.topic, message.until)).collect();
            assert_eq!(told, [("commands", until), ("desired", None)]);
            fixture.reopen().await;
        }
    }
}
