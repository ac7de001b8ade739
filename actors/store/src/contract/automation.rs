//! Automation's stored data, in every store.

use super::samples::*;
use super::support::*;
use crate::{AutomationChanges, AutomationState, DeliveryRecord, DeliveryStatus, EngineProgress, RunQuery};
use twinhub_domain::alarm::{Alarm, AlarmId};
use twinhub_domain::run::{RunEntry, RunOutcome};

fn progress(seq: u64) -> Option<EngineProgress> {
    Some(EngineProgress { seq, time: after_noon(9) })
}

#[tokio::test]
async fn what_is_committed_is_there_and_stays() {
    for mut fixture in Fixture::both().await {
        let empty = fixture.store.automation().await.unwrap();
        assert!(empty.progress.is_none() && empty.kept.is_empty() && empty.rules.is_empty());
        let mut world = TestFleet::new();
        world.register("pump", "{}");
        let pump = world.number("pump");
        world.automation = AutomationChanges {
            progress: progress(2),
            kept: vec![
                kept("cool", pump, Some(r#"{"latch": [true, 23.50], "n": null}"#)),
                kept("cool", NOBODY, Some("null")),
                kept("heat", pump, Some("1")),
            ],
            runs: vec![run(1, "cool", Some(("pump", pump))), dull(2, "heat", None)],
            alarms: vec![alarm(1, "hot", ("pump", pump))],
            rules: vec![
                record("cool", Some(r#"{"id": "cool", "max": 28.50}"#), None),
                record("heat", None, Some(false)),
            ],
            deliveries: vec![delivery(1, run_id(1))],
        };
        let first = world.automation.clone();
        fixture.commit(&mut world.batch()).await;
        for _ in 0..2 {
            let AutomationState { progress, kept, rules } = sorted(fixture.store.automation().await.unwrap());
            assert_eq!(progress, first.progress);
            assert_eq!(
                format!("{kept:?}"),
                format!("{:?}", [&first.kept[1], &first.kept[0], &first.kept[2]])
            );
            assert_eq!(format!("{rules:?}"), format!("{:?}", first.rules), "with their digits");
            for entry in &first.runs {
                assert_eq!(fixture.store.run(entry.id).await.unwrap().as_ref(), Some(entry));
            }
            assert_eq!(fixture.store.alarm(first.alarms[0].id).await.unwrap().as_ref(), first.alarms.first());
            assert_eq!(fixture.store.deliveries(&deliveries()).await.unwrap().deliveries, first.deliveries);
            assert_eq!(fixture.store.run(run_id(77)).await.unwrap(), None);
            assert_eq!(fixture.store.alarm(AlarmId(uuid::Uuid::nil())).await.unwrap(), None);
            fixture.reopen().await;
        }
        // Nothing happened, and automation came further all the same.
        world.automation = AutomationChanges {
            progress: progress(3),
            kept: vec![kept("cool", pump, None), kept("heat", pump, Some("2")), kept("gone", pump, None)],
            rules: vec![record("cool", None, None), record("heat", Some("{}"), Some(true))],
            ..AutomationChanges::default()
        };
        fixture.commit(&mut world.batch()).await;
        for _ in 0..2 {
            let AutomationState { progress: now, kept: left, rules } =
                sorted(fixture.store.automation().await.unwrap());
            assert_eq!(now, progress(3));
            assert_eq!(left, [kept("cool", NOBODY, Some("null")), kept("heat", pump, Some("2"))]);
            assert_eq!(rules, [record("heat", Some("{}"), Some(true))]);
            fixture.reopen().await;
        }
    }
}

#[tokio::test]
async fn the_last_write_counts_and_a_repeat_does_nothing() {
    for fixture in Fixture::both().await {
        let mut world = TestFleet::new();
        let done = run(1, "cool", None);
        let running = || RunEntry { outcome: RunOutcome::Running, ended_at: None, ..run(1, "cool", None) };
        let over = Alarm { active: false, count: 3, ..rule_alarm(1, "cool") };
        let sent = DeliveryRecord { status: DeliveryStatus::Delivered, ..delivery(1, run_id(1)) };
        let mut said = AutomationChanges {
            kept: vec![kept("cool", NOBODY, Some("1")), kept("cool", NOBODY, None)],
            runs: vec![running()],
            alarms: vec![rule_alarm(1, "cool")],
            deliveries: vec![delivery(1, run_id(1))],
            rules: vec![record("cool", None, Some(true)), record("cool", None, None)],
            ..AutomationChanges::default()
        };
        said.absorb(AutomationChanges {
            kept: vec![kept("cool", NOBODY, Some("2"))],
            runs: vec![done.clone()],
            alarms: vec![over.clone()],
            deliveries: vec![sent.clone()],
            rules: vec![record("cool", None, Some(false))],
            progress: progress(1),
        });
        world.automation = said;
        let alone = world.batch();
        assert!(alone.events.is_empty());
        world.tell("a", r#"{"t": 1}"#);
        world.automation.kept = vec![kept("cool", NOBODY, Some("3"))];
        let mut batches = [alone, world.batch()];
        for (batch, left) in [(0, "2"), (0, "2"), (1, "3"), (1, "3")] {
            fixture.commit(&mut batches[batch]).await;
            let state = fixture.store.automation().await.unwrap();
            assert_eq!(state.kept, [kept("cool", NOBODY, Some(left))]);
            assert_eq!(state.rules, [record("cool", None, Some(false))]);
            assert_eq!(state.progress, progress(1), "it stays until more is said");
            assert_eq!(fixture.store.runs(&runs()).await.unwrap().runs, std::slice::from_ref(&done));
            assert_eq!(fixture.store.alarms(&alarms()).await.unwrap().alarms, std::slice::from_ref(&over));
            assert_eq!(
                fixture.store.deliveries(&deliveries()).await.unwrap().deliveries,
                std::slice::from_ref(&sent)
            );
        }
        // A run that fails after it was done is no case, but one that counts is.
        let mut again = dull(5, "cool", None);
        for count in 1..4 {
            (again.count, again.last_at) = (count, after_noon(i64::from(count) * 100));
            world.automation.runs = vec![again.clone()];
            fixture.commit(&mut world.batch()).await;
        }
        assert_eq!(fixture.store.run(again.id).await.unwrap(), Some(again));
    }
}

#[tokio::test]
async fn the_last_run_of_each_rule_is_one_that_ran() {
    for mut fixture in Fixture::both().await {
        let mut world = TestFleet::new();
        world.automation.runs =
            vec![run(1, "cool", None), run(3, "cool", None), dull(4, "cool", None), dull(5, "dull", None)];
        fixture.commit(&mut world.batch()).await;
        world.automation.runs = vec![run(2, "heat", None)];
        fixture.commit(&mut world.batch()).await;
        for _ in 0..2 {
            let rules: Vec<_> = ["cool", "dull", "heat", "none"].into_iter().map(rule).collect();
            let mut last = fixture.store.last_runs(&rules).await.unwrap();
            last.sort_by_key(|entry| entry.id);
            assert_eq!(last, [run(2, "heat", None), run(3, "cool", None)]);
            assert_eq!(fixture.store.last_runs(&[]).await.unwrap(), []);
            let many: Vec<_> = (0..700).map(|n| rule(&format!("r{n}"))).chain(rules).collect();
            assert_eq!(fixture.store.last_runs(&many).await.unwrap().len(), 2);
            fixture.reopen().await;
        }
    }
}

#[tokio::test]
async fn a_removed_device_loses_its_alarms_and_its_runs_lose_their_device() {
    for mut fixture in Fixture::both().await {
        let mut world = TestFleet::new();
        world.register("a", "{}");
        world.register("b", "{}");
        let (a, b) = (("a", world.number("a")), ("b", world.number("b")));
        let of = |a, b| AutomationChanges {
            kept: vec![kept("cool", a, Some("1")), kept("cool", b, Some("1"))],
            alarms: vec![alarm(1, "hot", ("a", a)), alarm(2, "hot", ("b", b))],
            runs: vec![run(1, "cool", Some(("a", a))), run(2, "cool", Some(("b", b)))],
            ..AutomationChanges::default()
        };
        world.automation = of(a.1, b.1);
        fixture.commit(&mut world.batch()).await;
        world.remove("a");
        world.automation.runs = vec![run(3, "cool", Some(a))];
        world.automation.alarms = vec![alarm(3, "hot", a)];
        fixture.commit(&mut world.batch()).await;
        // Entries that were on their way when it went.
        world.automation = of(a.1, b.1);
        fixture.commit(&mut world.batch()).await;
        fixture.reopen().await;
        world.automation.alarms = vec![alarm(4, "hot", a)];
        world.automation.kept = vec![kept("heat", a.1, Some("1"))];
        world.automation.runs = vec![run(4, "cool", Some(a))];
        fixture.commit(&mut world.batch()).await;
        for _ in 0..2 {
            let state = fixture.store.automation().await.unwrap();
            assert_eq!(state.kept, [kept("cool", b.1, Some("1"))]);
            assert_eq!(fixture.store.alarms(&alarms()).await.unwrap().alarms, [alarm(2, "hot", b)]);
            let by = async |device| {
                let page = fixture.store.runs(&RunQuery { device: Some(device), ..runs() }).await.unwrap();
                page.runs.into_iter().map(|entry| (entry.id, entry.device, entry.number)).collect::<Vec<_>>()
            };
            assert_eq!(by(a.1).await, []);
            assert_eq!(by(b.1).await.len(), 1);
            let left: Vec<_> = fixture.store.runs(&runs()).await.unwrap().runs;
            assert_eq!(left.len(), 4);
            let device = left[0].device.as_ref().map(ToString::to_string);
            assert_eq!((device.as_deref(), left[0].number), (Some("a"), NOBODY), "it is told whose it was");
            fixture.store.maintain(world.now).await.unwrap();
            fixture.reopen().await;
        }
    }
}
