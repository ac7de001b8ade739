//! Deadlines and drift, in every store.

use super::support::*;
use crate::{Deadline, DeviceQuery, DeviceSort};
use twinhub_domain::{DeviceNumber, Mode, Status, Timestamp};

const HOUR: i64 = 60 * 60_000;

fn after_noon(millis: i64) -> Timestamp {
    Timestamp::from_millis(NOON + millis)
}

/// Each as `a wakes 5000, silent 0+3600000`, in ms after noon.
fn described(deadlines: &[Deadline]) -> Vec<String> {
    let tell = |Deadline { device, wake_at, silence, .. }: &Deadline| {
        let wakes = wake_at.map(|at| format!(" wakes {}", at.millis() - NOON)).unwrap_or_default();
        let silent = silence
            .map(|(seen, millis)| format!(" silent {}+{millis}", seen.millis() - NOON))
            .unwrap_or_default();
        format!("{device}{wakes}{silent}")
    };
    deadlines.iter().map(tell).collect()
}

#[tokio::test]
async fn deadlines_are_those_of_the_twins() {
    for mut fixture in Fixture::both().await {
        let mut world = TestFleet::new();
        world.register("never-heard", "{}");
        world.presence("online", true);
        world.presence("gone", false);
        world.register("manual", "{}");
        world.set_mode("manual", Mode::Manual, Some(after_noon(5_000)));
        world.register("asked", "{}");
        world.command("asked", &asked(r#"{"command_type": "a", "ttl": "90s"}"#));
        world.presence("patient", true);
        world.change("patient", r#"{"settings": {"heartbeat": "never"}}"#);
        world.presence("hasty", true);
        world.change("hasty", r#"{"settings": {"heartbeat": "90s"}}"#);
        world.command("hasty", &asked(r#"{"command_type": "a", "timeout": "7s"}"#));
        world.presence("removed", true);
        fixture.commit(&mut world.batch()).await;
        world.remove("removed");
        fixture.commit(&mut world.batch()).await;
        let expected = [
            "online silent 0+60000", // at the earliest: how long it may be silent is set with the hub
            "manual wakes 5000",
            "asked wakes 90000",
            "hasty wakes 7000 silent 0+90000",
        ];
        for _ in 0..2 {
            for limit in [1, 2, 3, 100, u64::MAX] {
                let mut paged = Vec::new();
                let mut after = DeviceNumber(0);
                loop {
                    let page = fixture.store.deadlines(after, limit).await.unwrap();
                    assert!(page.len() as u64 <= limit);
                    let Some(last) = page.last() else { break };
                    after = last.number;
                    paged.extend(page);
                }
                assert_eq!(described(&paged), expected, "{limit}");
            }
            assert_eq!(fixture.store.deadlines(DeviceNumber(i64::MAX), 9).await.unwrap(), []);
            assert_eq!(fixture.store.deadlines(DeviceNumber(0), 0).await.unwrap(), []);
            fixture.reopen().await;
        }
        // All that waited is over, and has left nothing.
        world.set_mode("manual", Mode::Schedule, None);
        world.wait(90_000);
        for id in ["asked", "hasty"] {
            world.wake(id);
        }
        world.presence("online", false);
        fixture.commit(&mut world.batch()).await;
        let left = fixture.store.deadlines(DeviceNumber(0), 9).await.unwrap();
        assert_eq!(
            described(&left),
            [&*format!("hasty wakes {}", 24 * HOUR)],
            "its command waits for its return"
        );
    }
}

#[tokio::test]
async fn compaction_moves_the_deadline_of_a_silence() {
    for mut fixture in Fixture::both().await {
        let mut world = TestFleet::new();
        for seconds in [0, 30, 30, 30] {
            world.wait(seconds * 1_000);
            world.tell("a", r#"{"t": 1}"#);
            fixture.commit(&mut world.batch()).await;
        }
        fixture.store.maintain(world.now).await.unwrap();
        for _ in 0..2 {
            let deadlines = fixture.store.deadlines(DeviceNumber(0), 9).await.unwrap();
            assert_eq!(described(&deadlines), ["a silent 90000+90000"], "three of its intervals");
            fixture.reopen().await;
        }
    }
}

#[tokio::test]
async fn lists_who_drifts_since_when() {
    for mut fixture in Fixture::both().await {
        let mut world = TestFleet::new();
        for (id, patch) in [
            ("early", r#"{"type": "pump", "desired": {"power": "on"}}"#),
            ("late", r#"{"desired": {"power": "on", "speed": 3}}"#),
            ("obeyed", r#"{"desired": {"power": "on"}}"#),
            ("told", r#"{"desired": {"speed": 3}}"#),
            ("free", "{}"),
        ] {
            world.register(id, "{}");
            world.wait(1_000);
            world.change(id, patch);
        }
        fixture.commit(&mut world.batch()).await;
        world.wait(1_000);
        world.presence("early", true);
        world.tell("obeyed", r#"{"power": "on"}"#); // as a reading
        fixture.commit(&mut world.batch()).await;
        world.tell("told", r#"{"speed": 2}"#);
        fixture.commit(&mut world.batch()).await;
        fixture.store.maintain(world.now).await.unwrap();

        for _ in 0..2 {
            let check = async |query: DeviceQuery, expected: &[&str], total: u64| {
                let page = fixture.store.devices(&query).await.unwrap();
                let ids: Vec<&str> = page.twins.iter().map(|twin| twin.id.as_str()).collect();
                assert_eq!((&ids[..], page.total), (expected, total), "{query:?}");
            };
            let since = |millis: i64| DeviceQuery { drifting_since: Some(after_noon(millis)), ..list() };
            check(since(999), &[], 0).await;
            check(since(1_000), &["early"], 1).await;
            check(since(2_000), &["early", "late"], 2).await;
            check(since(9_000), &["early", "late", "told"], 3).await;
            check(DeviceQuery { limit: 1, offset: 1, ..since(9_000) }, &["late"], 3).await;
            let backwards = DeviceQuery { sort: DeviceSort::Id, descending: true, ..since(9_000) };
            check(backwards, &["told", "late", "early"], 3).await;
            check(DeviceQuery { device_type: Some("pump".into()), ..since(9_000) }, &["early"], 1).await;
            check(DeviceQuery { status: vec![Status::Online], ..since(9_000) }, &["early", "told"], 2).await;
            fixture.reopen().await;
        }
        world.change("late", r#"{"desired": {"power": null, "speed": null}}"#);
        world.tell("told", r#"{"speed": 3}"#);
        fixture.commit(&mut world.batch()).await;
        fixture.store.maintain(world.now).await.unwrap();
        let now = DeviceQuery { drifting_since: Some(world.now), ..list() };
        assert_eq!(fixture.store.devices(&now).await.unwrap().total, 1, "what is reached drifts no more");
    }
}

#[tokio::test]
async fn lists_of_several_statuses() {
    for fixture in Fixture::both().await {
        let mut world = TestFleet::new();
        world.register("silent", "{}");
        world.presence("online", true);
        world.presence("offline", false);
        fixture.commit(&mut world.batch()).await;
        for (status, expected) in [
            (vec![], vec!["silent", "online", "offline"]),
            (vec![Status::Offline], vec!["silent", "offline"]),
            (vec![Status::Online, Status::Online], vec!["online"]),
            (vec![Status::Offline, Status::Online], vec!["silent", "online", "offline"]),
        ] {
            let page = fixture.store.devices(&DeviceQuery { status, ..list() }).await.unwrap();
            let ids: Vec<&str> = page.twins.iter().map(|twin| twin.id.as_str()).collect();
            assert_eq!((ids.len() as u64, ids), (page.total, expected));
        }
    }
}
