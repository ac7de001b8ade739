//! What automation keeps, in every store.

use super::made::*;
use super::support::*;
use crate::domain::alarm::{Alarm, AlarmId, Severity};
use crate::domain::rules::RunOutcome;
use crate::domain::{DeviceNumber, Timestamp};
use crate::store::{
    AlarmQuery, Automation, AutomationState, DeliveryQuery, DeliveryRecord, DeliveryStatus, Progress,
    RunQuery,
};

fn progress(seq: u64) -> Option<Progress> {
    Some(Progress { seq, time: after_noon(9) })
}

#[tokio::test]
async fn what_is_committed_is_there_and_stays() {
    for mut fixture in Fixture::both().await {
        let empty = fixture.store.automation().await.unwrap();
        assert!(empty.progress.is_none() && empty.kept.is_empty() && empty.rules.is_empty());
        let mut world = World::new();
        world.register("pump", "{}");
        let pump = world.number("pump");
        world.automation = Automation {
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
        fixture.commit(&world.batch()).await;
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
        world.automation = Automation {
            progress: progress(3),
            kept: vec![kept("cool", pump, None), kept("heat", pump, Some("2")), kept("gone", pump, None)],
            rules: vec![record("cool", None, None), record("heat", Some("{}"), Some(true))],
            ..Automation::default()
        };
        fixture.commit(&world.batch()).await;
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
async fn what_is_said_last_counts_and_what_comes_again_does_nothing() {
    for fixture in Fixture::both().await {
        let mut world = World::new();
        let done = run(1, "cool", None);
        let running = || crate::domain::rules::RunEntry {
            outcome: RunOutcome::Running,
            ended_at: None,
            ..run(1, "cool", None)
        };
        let over = Alarm { active: false, count: 3, ..rule_alarm(1, "cool") };
        let sent = DeliveryRecord { status: DeliveryStatus::Delivered, ..delivery(1, run_id(1)) };
        let mut said = Automation {
            kept: vec![kept("cool", NOBODY, Some("1")), kept("cool", NOBODY, None)],
            runs: vec![running()],
            alarms: vec![rule_alarm(1, "cool")],
            deliveries: vec![delivery(1, run_id(1))],
            rules: vec![record("cool", None, Some(true)), record("cool", None, None)],
            ..Automation::default()
        };
        said.absorb(Automation {
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
        let with_events = world.batch();
        for (batch, left) in [(&alone, "2"), (&alone, "2"), (&with_events, "3"), (&with_events, "3")] {
            fixture.commit(batch).await;
            let state = fixture.store.automation().await.unwrap();
            assert_eq!(state.kept, [kept("cool", NOBODY, Some(left))]);
            assert_eq!(state.rules, [record("cool", None, Some(false))]);
            assert_eq!(state.progress, progress(1), "it stays until more is said");
            assert_eq!(fixture.store.runs(&runs()).await.unwrap().runs, [done.clone()]);
            assert_eq!(fixture.store.alarms(&alarms()).await.unwrap().alarms, [over.clone()]);
            assert_eq!(fixture.store.deliveries(&deliveries()).await.unwrap().deliveries, [sent.clone()]);
        }
        // A run that fails after it was done is no case, but one that counts is.
        let mut again = dull(5, "cool", None);
        for count in 1..4 {
            (again.count, again.last_at) = (count, after_noon(i64::from(count) * 100));
            world.automation.runs = vec![again.clone()];
            fixture.commit(&world.batch()).await;
        }
        assert_eq!(fixture.store.run(again.id).await.unwrap(), Some(again));
    }
}

#[tokio::test]
async fn runs_are_filtered_and_paged() {
    for mut fixture in Fixture::both().await {
        let mut world = World::new();
        world.register("a", "{}");
        world.register("b", "{}");
        let (a, b) = (("a", world.number("a")), ("b", world.number("b")));
        let failed = RunOutcome::Failed { reason: "timeout".into() };
        let parent = Some(run_id(1));
        world.automation.runs = vec![
            run(1, "cool", Some(a)),
            dull(2, "cool", Some(a)),
            crate::domain::rules::RunEntry { outcome: failed, ..run(3, "heat", Some(a)) },
            crate::domain::rules::RunEntry { parent, ..run(4, "heat", Some(b)) },
            crate::domain::rules::RunEntry { parent, ..dull(5, "cool", Some(b)) },
            crate::domain::rules::RunEntry {
                outcome: RunOutcome::Running,
                ended_at: None,
                ..run(6, "cool", None)
            },
        ];
        fixture.commit(&world.batch()).await;
        for _ in 0..2 {
            let check = async |query: RunQuery, expected: &[u32], total: u64| {
                let page = fixture.store.runs(&query).await.unwrap();
                let ids: Vec<_> = page.runs.iter().map(|entry| entry.id).collect();
                let expected: Vec<_> = expected.iter().map(|n| run_id(u128::from(*n))).collect();
                assert_eq!((ids, page.total), (expected, total), "{query:?}");
            };
            check(runs(), &[1, 2, 3, 4, 5, 6], 6).await;
            check(RunQuery { newest_first: true, limit: 2, ..runs() }, &[6, 5], 6).await;
            check(RunQuery { newest_first: true, limit: 2, offset: 4, ..runs() }, &[2, 1], 6).await;
            check(RunQuery { offset: 9, ..runs() }, &[], 6).await;
            check(RunQuery { offset: u64::MAX, limit: u64::MAX, ..runs() }, &[], 6).await;
            check(RunQuery { limit: 0, ..runs() }, &[], 6).await;
            let cool = || RunQuery { rule: Some(rule("cool")), ..runs() };
            check(cool(), &[1, 2, 5, 6], 4).await;
            check(RunQuery { newest_first: true, ..cool() }, &[6, 5, 2, 1], 4).await;
            check(RunQuery { rule: Some(rule("none")), ..runs() }, &[], 0).await;
            let of = |device: DeviceNumber| RunQuery { device: Some(device), ..runs() };
            check(of(a.1), &[1, 2, 3], 3).await;
            check(RunQuery { rule: Some(rule("cool")), ..of(b.1) }, &[5], 1).await;
            check(RunQuery { parent, ..runs() }, &[4, 5], 2).await;
            let came_to = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
            check(RunQuery { outcomes: came_to(&["not_run"]), ..runs() }, &[2, 5], 2).await;
            check(RunQuery { outcomes: came_to(&["failed", "running"]), ..runs() }, &[3, 6], 2).await;
            check(RunQuery { outcomes: came_to(&["done", "failed"]), ..of(a.1) }, &[1, 3], 2).await;
            check(RunQuery { outcomes: came_to(&["nonsense"]), ..cool() }, &[], 0).await;
            let (from, to) = (Some(after_noon(2)), Some(after_noon(5)));
            check(RunQuery { from, to, ..runs() }, &[2, 3, 4], 3).await;
            check(RunQuery { from, to, ..cool() }, &[2], 1).await;
            check(RunQuery { from, to: None, ..of(a.1) }, &[2, 3], 2).await;
            fixture.reopen().await;
        }
    }
}

#[tokio::test]
async fn the_last_run_of_each_rule_is_one_that_ran() {
    for mut fixture in Fixture::both().await {
        let mut world = World::new();
        world.automation.runs =
            vec![run(1, "cool", None), run(3, "cool", None), dull(4, "cool", None), dull(5, "dull", None)];
        fixture.commit(&world.batch()).await;
        world.automation.runs = vec![run(2, "heat", None)];
        fixture.commit(&world.batch()).await;
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
async fn alarms_are_filtered_and_the_newest_come_first() {
    for mut fixture in Fixture::both().await {
        let mut world = World::new();
        world.register("a", "{}");
        world.register("b", "{}");
        let (a, b) = (("a", world.number("a")), ("b", world.number("b")));
        let over = |n: u32| Alarm { active: false, cleared_at: Some(after_noon(50)), ..alarm(n, "hot", a) };
        world.automation.alarms = vec![
            over(1),
            Alarm { severity: Severity::Info, rule: Some(rule("cool")), ..alarm(2, "hot", b) },
            Alarm { severity: Severity::Critical, acknowledged: true, ..alarm(3, "cold", a) },
            Alarm { rule: Some(rule("cool")), ..over(4) },
            rule_alarm(5, "cool"),
        ];
        fixture.commit(&world.batch()).await;
        for _ in 0..2 {
            let check = async |query: AlarmQuery, expected: &[u32], total: u64| {
                let page = fixture.store.alarms(&query).await.unwrap();
                let raised: Vec<Timestamp> = page.alarms.iter().map(|alarm| alarm.raised_at).collect();
                let expected: Vec<_> = expected.iter().map(|n| after_noon(i64::from(*n))).collect();
                assert_eq!((raised, page.total), (expected, total), "{query:?}");
            };
            check(alarms(), &[5, 4, 3, 2, 1], 5).await;
            check(AlarmQuery { limit: 2, offset: 1, ..alarms() }, &[4, 3], 5).await;
            check(AlarmQuery { offset: 5, ..alarms() }, &[], 5).await;
            check(AlarmQuery { limit: 0, ..alarms() }, &[], 5).await;
            check(AlarmQuery { active: Some(true), ..alarms() }, &[5, 3, 2], 3).await;
            check(AlarmQuery { active: Some(false), ..alarms() }, &[4, 1], 2).await;
            check(AlarmQuery { acknowledged: Some(true), ..alarms() }, &[3], 1).await;
            let unseen = AlarmQuery { active: Some(true), acknowledged: Some(false), ..alarms() };
            check(unseen, &[5, 2], 2).await;
            check(AlarmQuery { at_least: Some(Severity::Major), ..alarms() }, &[5, 4, 3, 1], 4).await;
            check(AlarmQuery { at_least: Some(Severity::Critical), ..alarms() }, &[3], 1).await;
            check(AlarmQuery { at_least: Some(Severity::Info), ..alarms() }, &[5, 4, 3, 2, 1], 5).await;
            check(AlarmQuery { device: Some(a.1), ..alarms() }, &[4, 3, 1], 3).await;
            check(AlarmQuery { rule: Some(rule("cool")), ..alarms() }, &[5, 4, 2], 3).await;
            check(AlarmQuery { alarm_type: Some("cold".into()), ..alarms() }, &[3], 1).await;
            let (from, to) = (Some(after_noon(2)), Some(after_noon(4)));
            check(AlarmQuery { from, to, ..alarms() }, &[3, 2], 2).await;
            check(AlarmQuery { from, to, device: Some(b.1), active: Some(true), ..alarms() }, &[2], 1).await;
            fixture.reopen().await;
        }
        // Raised again by another rule, and worse.
        world.automation.alarms = vec![Alarm {
            severity: Severity::Critical,
            rule: Some(rule("heat")),
            count: 2,
            ..alarm(2, "hot", b)
        }];
        fixture.commit(&world.batch()).await;
        let worse = AlarmQuery { rule: Some(rule("heat")), at_least: Some(Severity::Critical), ..alarms() };
        assert_eq!(fixture.store.alarms(&worse).await.unwrap().alarms[0].count, 2);
    }
}

#[tokio::test]
async fn deliveries_are_filtered_and_the_newest_come_first() {
    for mut fixture in Fixture::both().await {
        let mut world = World::new();
        let with = |status, record| DeliveryRecord { status, ..record };
        world.automation.deliveries = vec![
            delivery(1, run_id(1)),
            with(DeliveryStatus::Failed, delivery(2, run_id(1))),
            with(DeliveryStatus::Delivered, delivery(3, run_id(2))),
            delivery(4, run_id(2)),
        ];
        fixture.commit(&world.batch()).await;
        world.automation.deliveries = vec![with(DeliveryStatus::Delivered, delivery(1, run_id(1)))];
        fixture.commit(&world.batch()).await;
        for _ in 0..2 {
            let check = async |query: DeliveryQuery, expected: &[u128], total: u64| {
                let page = fixture.store.deliveries(&query).await.unwrap();
                let ids: Vec<u128> = page.deliveries.iter().map(|record| record.id.as_u128()).collect();
                assert_eq!((&ids[..], page.total), (expected, total), "{query:?}");
            };
            check(deliveries(), &[4, 3, 2, 1], 4).await;
            check(DeliveryQuery { limit: 1, offset: 2, ..deliveries() }, &[2], 4).await;
            check(DeliveryQuery { status: Some(DeliveryStatus::Waiting), ..deliveries() }, &[4], 1).await;
            check(DeliveryQuery { status: Some(DeliveryStatus::Delivered), ..deliveries() }, &[3, 1], 2)
                .await;
            let run = Some(run_id(1));
            check(DeliveryQuery { run, ..deliveries() }, &[2, 1], 2).await;
            check(DeliveryQuery { run, status: Some(DeliveryStatus::Failed), ..deliveries() }, &[2], 1).await;
            fixture.reopen().await;
        }
    }
}

#[tokio::test]
async fn a_removed_device_takes_its_alarms_along_and_leaves_its_runs_to_nobody() {
    for mut fixture in Fixture::both().await {
        let mut world = World::new();
        world.register("a", "{}");
        world.register("b", "{}");
        let (a, b) = (("a", world.number("a")), ("b", world.number("b")));
        let of = |a, b| Automation {
            kept: vec![kept("cool", a, Some("1")), kept("cool", b, Some("1"))],
            alarms: vec![alarm(1, "hot", ("a", a)), alarm(2, "hot", ("b", b))],
            runs: vec![run(1, "cool", Some(("a", a))), run(2, "cool", Some(("b", b)))],
            ..Automation::default()
        };
        world.automation = of(a.1, b.1);
        fixture.commit(&world.batch()).await;
        world.remove("a");
        world.automation.runs = vec![run(3, "cool", Some(a))];
        world.automation.alarms = vec![alarm(3, "hot", a)];
        fixture.commit(&world.batch()).await;
        // What was on its way when it went.
        world.automation = of(a.1, b.1);
        fixture.commit(&world.batch()).await;
        fixture.reopen().await;
        world.automation.alarms = vec![alarm(4, "hot", a)];
        world.automation.kept = vec![kept("heat", a.1, Some("1"))];
        world.automation.runs = vec![run(4, "cool", Some(a))];
        fixture.commit(&world.batch()).await;
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
