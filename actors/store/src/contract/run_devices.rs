//! The devices of a run: the one that fired it, and those that it acted upon, in every store.

use super::samples::*;
use super::support::*;
use crate::RunQuery;
use twinhub_domain::run::{RunEntry, RunOutcome};
use twinhub_domain::{DeviceId, DeviceNumber};

fn acting(entry: RunEntry, on: &[&str]) -> RunEntry {
    RunEntry { actions: on.iter().map(|device| action(device)).collect(), ..entry }
}

async fn check(fixture: &Fixture, query: RunQuery, expected: &[u32], total: u64) {
    let page = fixture.store.runs(&query).await.unwrap();
    let ids: Vec<_> = page.runs.iter().map(|entry| entry.id).collect();
    let expected: Vec<_> = expected.iter().map(|n| run_id(u128::from(*n))).collect();
    assert_eq!((ids, page.total), (expected, total), "{query:?}");
}

fn of(device: DeviceNumber) -> RunQuery {
    RunQuery { device: Some(device), ..runs() }
}

#[tokio::test]
async fn a_run_belongs_to_its_firing_device_and_to_those_it_acted_upon() {
    for mut fixture in Fixture::both().await {
        let mut world = TestFleet::new();
        world.register("greenhouse", "{}");
        world.register("fan", "{}");
        let greenhouse = ("greenhouse", world.number("greenhouse"));
        let fan = ("fan", world.number("fan"));
        let failed = RunOutcome::Failed { reason: "manual_mode".into() };
        world.automation.runs = vec![
            acting(run(1, "cool", Some(greenhouse)), &["fan", "fan", "greenhouse"]),
            run(2, "echo", Some(fan)),
            acting(run(3, "night", None), &["fan", "lamp"]),
            RunEntry { outcome: failed, ..acting(run(4, "cool", Some(greenhouse)), &["fan"]) },
            dull(5, "cool", Some(greenhouse)),
            acting(run(6, "late", Some(fan)), &["fan"]),
        ];
        // A device that comes with its first word in the same commit, by what acted on it.
        world.tell("pump", r#"{"t": 1}"#);
        world.automation.runs.push(acting(run(7, "pumped", None), &["pump"]));
        fixture.commit(&mut world.batch()).await;
        for _ in 0..2 {
            check(&fixture, of(fan.1), &[1, 2, 3, 4, 6], 5).await;
            check(&fixture, of(greenhouse.1), &[1, 4, 5], 3).await;
            check(&fixture, of(world.number("pump")), &[7], 1).await;
            check(&fixture, of(NOBODY), &[], 0).await;
            let newest = || RunQuery { newest_first: true, limit: 2, ..of(fan.1) };
            check(&fixture, newest(), &[6, 4], 5).await;
            check(&fixture, RunQuery { offset: 2, ..newest() }, &[3, 2], 5).await;
            check(&fixture, RunQuery { offset: 4, ..newest() }, &[1], 5).await;
            check(&fixture, RunQuery { offset: 5, ..newest() }, &[], 5).await;
            let (from, to) = (Some(after_noon(2)), Some(after_noon(4)));
            check(&fixture, RunQuery { from, to, ..of(fan.1) }, &[2, 3], 2).await;
            check(&fixture, RunQuery { rule: Some(rule("cool")), ..of(fan.1) }, &[1, 4], 2).await;
            let outcomes = vec!["failed".to_owned()];
            check(&fixture, RunQuery { outcomes, to, ..of(fan.1) }, &[], 0).await;
            let outcomes = vec!["failed".to_owned(), "not_run".to_owned()];
            check(&fixture, RunQuery { outcomes, ..of(fan.1) }, &[4], 1).await;
            check(&fixture, RunQuery { parent: Some(run_id(1)), ..of(fan.1) }, &[], 0).await;
            fixture.reopen().await;
        }
    }
}

#[tokio::test]
async fn a_run_belongs_to_the_devices_it_skipped_too() {
    for mut fixture in Fixture::both().await {
        let mut world = TestFleet::new();
        world.register("sensor", "{}");
        world.register("fan", "{}");
        let (sensor, fan) = (("sensor", world.number("sensor")), world.number("fan"));
        let targets = ["fan", "nobody"].map(|id| DeviceId::parse(id).unwrap()).to_vec();
        world.automation.runs = vec![RunEntry { targets, ..dull(1, "cool", Some(sensor)) }];
        fixture.commit(&mut world.batch()).await;
        // The same again, counted.
        world.automation.runs = vec![RunEntry { count: 2, ..dull(1, "cool", Some(sensor)) }];
        fixture.commit(&mut world.batch()).await;
        for _ in 0..2 {
            check(&fixture, of(fan), &[1], 1).await;
            check(&fixture, of(sensor.1), &[1], 1).await;
            fixture.reopen().await;
        }
    }
}

#[tokio::test]
async fn a_run_is_of_a_device_as_soon_as_it_has_acted_upon_it() {
    for fixture in Fixture::both().await {
        let mut world = TestFleet::new();
        world.register("a", "{}");
        world.register("b", "{}");
        let (a, b) = (world.number("a"), world.number("b"));
        let running = || RunEntry { outcome: RunOutcome::Running, ended_at: None, ..run(1, "cool", None) };
        for (entry, of_a, of_b) in [
            (running(), 0, 0),
            (acting(running(), &["a"]), 1, 0),
            (acting(running(), &["a", "b"]), 1, 1),
            (acting(run(1, "cool", None), &["a", "b"]), 1, 1),
        ] {
            world.automation.runs = vec![entry.clone()];
            fixture.commit(&mut world.batch()).await;
            for (device, total) in [(a, of_a), (b, of_b)] {
                let page = fixture.store.runs(&of(device)).await.unwrap();
                assert_eq!((page.runs.len(), page.total), (usize::from(total > 0), total));
                assert!(page.runs.iter().all(|found| *found == entry), "as far as it has come");
            }
        }
    }
}

#[tokio::test]
async fn what_is_no_device_has_no_part_and_who_comes_later_has_none_in_what_was() {
    for mut fixture in Fixture::both().await {
        let mut world = TestFleet::new();
        world.automation.runs = vec![acting(run(1, "cool", None), &["fan"])];
        fixture.commit(&mut world.batch()).await;
        world.register("fan", "{}");
        let first = world.number("fan");
        fixture.commit(&mut world.batch()).await;
        check(&fixture, of(first), &[], 0).await;
        world.automation.runs = vec![acting(run(2, "cool", None), &["fan"])];
        fixture.commit(&mut world.batch()).await;
        check(&fixture, of(first), &[2], 1).await;

        // It goes, and what acted upon it in its last moment comes with the word of that.
        world.remove("fan");
        world.automation.runs = vec![acting(run(3, "cool", Some(("fan", first))), &["fan"])];
        fixture.commit(&mut world.batch()).await;
        world.register("fan", "{}");
        let second = world.number("fan");
        assert_ne!(first, second);
        world.automation.runs = vec![acting(run(4, "cool", None), &["fan"])];
        fixture.commit(&mut world.batch()).await;
        for _ in 0..2 {
            check(&fixture, of(first), &[], 0).await;
            check(&fixture, of(second), &[4], 1).await;
            check(&fixture, runs(), &[1, 2, 3, 4], 4).await;
            fixture.reopen().await;
        }
    }
}
