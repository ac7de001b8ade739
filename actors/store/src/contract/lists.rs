//! Lists of automation's data, filtered and by pages, in every store.

use super::samples::*;
use super::support::*;
use crate::{AlarmQuery, DeliveryQuery, DeliveryRecord, DeliveryStatus, RunPlace, RunQuery};
use twinhub_domain::alarm::{Alarm, Severity};
use twinhub_domain::run::{RunEntry, RunOutcome};
use twinhub_domain::{DeviceNumber, Timestamp};

#[tokio::test]
async fn runs_are_filtered_and_paged() {
    for mut fixture in Fixture::both().await {
        let mut world = TestFleet::new();
        world.register("a", "{}");
        world.register("b", "{}");
        let (a, b) = (("a", world.number("a")), ("b", world.number("b")));
        let failed = RunOutcome::Failed { reason: "timeout".into() };
        let parent = Some(run_id(1));
        world.automation.runs = vec![
            run(1, "cool", Some(a)),
            dull(2, "cool", Some(a)),
            RunEntry { outcome: failed, ..run(3, "heat", Some(a)) },
            RunEntry { parent, ..run(4, "heat", Some(b)) },
            RunEntry { parent, ..dull(5, "cool", Some(b)) },
            RunEntry { outcome: RunOutcome::Running, ended_at: None, ..run(6, "cool", None) },
        ];
        fixture.commit(&mut world.batch()).await;
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
            let behind = |n: u32| Some(RunPlace { at: after_noon(n.into()), seq: n.into() });
            check(RunQuery { after: behind(4), ..runs() }, &[5, 6], 6).await;
            check(RunQuery { after: behind(4), newest_first: true, limit: 2, ..runs() }, &[3, 2], 6).await;
            check(RunQuery { after: behind(6), ..runs() }, &[], 6).await;
            let cool = || RunQuery { rule: Some(rule("cool")), ..runs() };
            check(cool(), &[1, 2, 5, 6], 4).await;
            check(RunQuery { newest_first: true, ..cool() }, &[6, 5, 2, 1], 4).await;
            check(RunQuery { rule: Some(rule("none")), ..runs() }, &[], 0).await;
            let of = |device: DeviceNumber| RunQuery { device: Some(device), ..runs() };
            check(of(a.1), &[1, 2, 3], 3).await;
            check(RunQuery { after: behind(2), ..of(a.1) }, &[3], 3).await;
            check(RunQuery { after: behind(2), newest_first: true, ..of(a.1) }, &[1], 3).await;
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

/// Runs of one moment have an order too, and of those that come between two pages none is given twice or left out.
#[tokio::test]
async fn pages_of_runs_go_on_where_they_ended() {
    for fixture in Fixture::both().await {
        let mut world = TestFleet::new();
        world.register("a", "{}");
        let a = ("a", world.number("a"));
        let at_once = |n| RunEntry { at: after_noon(1), last_at: after_noon(1), ..run(n, "cool", Some(a)) };
        world.automation.runs = (1..=7).map(at_once).chain([run(8, "cool", Some(a))]).collect();
        fixture.commit(&mut world.batch()).await;
        for device in [None, Some(a.1)] {
            for newest_first in [false, true] {
                let (mut found, mut after) = (Vec::new(), None);
                loop {
                    let query = RunQuery { device, newest_first, after, limit: 3, ..runs() };
                    let page = fixture.store.runs(&query).await.unwrap();
                    assert!(page.runs.len() == 3 || page.next.is_none());
                    assert_eq!(page.total, 8);
                    found.extend(page.runs.iter().map(|entry| entry.id));
                    after = page.next;
                    if after.is_none() {
                        break;
                    }
                }
                if newest_first {
                    found.reverse();
                }
                assert_eq!(found, (1..=8).map(run_id).collect::<Vec<_>>());
            }
        }
        // Newer ones do not move what is behind a place.
        let query = |after| RunQuery { newest_first: true, after, limit: 4, ..runs() };
        let first = fixture.store.runs(&query(None)).await.unwrap();
        world.automation.runs = vec![run(9, "cool", Some(a)), run(10, "cool", None)];
        fixture.commit(&mut world.batch()).await;
        let second = fixture.store.runs(&query(first.next)).await.unwrap();
        let ids: Vec<_> = second.runs.iter().map(|entry| entry.id).collect();
        assert_eq!((ids, second.total, second.next), ([4, 3, 2, 1].map(run_id).into(), 10, None));
    }
}

/// A reader goes through the list while rules run on: of a run that comes in the same millisecond as the last of a page,
/// with whatever id, the next page begins.
#[tokio::test]
async fn a_run_that_comes_later_in_the_same_millisecond_stands_behind_the_page() {
    for mut fixture in Fixture::both().await {
        let mut world = TestFleet::new();
        world.register("a", "{}");
        let a = ("a", world.number("a"));
        let at_once = |n| RunEntry { at: after_noon(1), last_at: after_noon(1), ..run(n, "cool", Some(a)) };
        let mut commit = async |fixture: &Fixture, runs: Vec<RunEntry>| {
            world.automation.runs = runs;
            fixture.commit(&mut world.batch()).await;
        };
        commit(&fixture, vec![at_once(50), at_once(60), at_once(70)]).await;
        let mut pages = Vec::new();
        for device in [None, Some(a.1)] {
            let query = RunQuery { device, limit: 2, ..runs() };
            let page = fixture.store.runs(&query).await.unwrap();
            pages.push((query, page.next));
        }
        // One goes on, which moves it nowhere; and one with a smaller id comes.
        let further = RunEntry { count: 2, ..at_once(50) };
        commit(&fixture, vec![further, at_once(10)]).await;
        for _ in 0..2 {
            for (query, after) in &pages {
                let ids = async |query: RunQuery| {
                    let page = fixture.store.runs(&query).await.unwrap();
                    page.runs.iter().map(|entry| entry.id).collect::<Vec<_>>()
                };
                assert!(after.is_some());
                let behind = ids(RunQuery { after: *after, ..query.clone() }).await;
                assert_eq!(behind, [70, 10].map(run_id), "{query:?}");
                let newest = ids(RunQuery { newest_first: true, limit: 9, ..query.clone() }).await;
                assert_eq!(newest, [10, 70, 60, 50].map(run_id), "{query:?}");
            }
            let last = fixture.store.last_runs(&[rule("cool")]).await.unwrap();
            assert_eq!(last[0].id, run_id(10), "the last to come is the last run");
            fixture.reopen().await;
        }
    }
}

#[tokio::test]
async fn alarms_are_filtered_and_the_newest_come_first() {
    for mut fixture in Fixture::both().await {
        let mut world = TestFleet::new();
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
        fixture.commit(&mut world.batch()).await;
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
        fixture.commit(&mut world.batch()).await;
        let worse = AlarmQuery { rule: Some(rule("heat")), at_least: Some(Severity::Critical), ..alarms() };
        assert_eq!(fixture.store.alarms(&worse).await.unwrap().alarms[0].count, 2);
    }
}

#[tokio::test]
async fn deliveries_are_filtered_and_the_newest_come_first() {
    for mut fixture in Fixture::both().await {
        let mut world = TestFleet::new();
        let with = |status, record| DeliveryRecord { status, ..record };
        world.automation.deliveries = vec![
            delivery(1, run_id(1)),
            with(DeliveryStatus::Failed, delivery(2, run_id(1))),
            with(DeliveryStatus::Delivered, delivery(3, run_id(2))),
            delivery(4, run_id(2)),
        ];
        fixture.commit(&mut world.batch()).await;
        world.automation.deliveries = vec![with(DeliveryStatus::Delivered, delivery(1, run_id(1)))];
        fixture.commit(&mut world.batch()).await;
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
