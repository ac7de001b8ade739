//! Events that are no device's, and events about a device that change nothing of it, in every store.

use super::samples::*;
use super::support::*;
use crate::{EventQuery, Store};
use twinhub_domain::{DeviceId, DeviceNumber, EventKind};

#[tokio::test]
async fn an_event_without_a_device_makes_none() {
    for mut fixture in Fixture::both().await {
        let mut world = TestFleet::new();
        let first = world.happen(None, signal("plant/door"));
        fixture.commit(&mut world.batch()).await;
        world.tell("a", r#"{"t": 1}"#);
        let a = ("a", world.number("a"));
        let rest = [
            world.happen(None, told_run(run(1, "cool", None))),
            world.happen(None, told_alarm(rule_alarm(2, "cool"))),
            world.happen(Some(a), told_alarm(alarm(3, "hot", a))),
            world.happen(Some(a), told_run(run(4, "cool", Some(a)))),
        ];
        fixture.commit(&mut world.batch()).await;
        let [ran, stopped, hot, ran_for_a] = rest;
        for round in 0..4 {
            let store: &dyn Store = &*fixture.store;
            let page = store.devices(&list()).await.unwrap();
            assert_eq!((page.total, &page.twins[..]), (1, &[world.twins["a"].clone()][..]), "round {round}");
            assert_eq!(store.load(&[DeviceId::none()]).await.unwrap(), []);
            assert_eq!(store.deadlines(DeviceNumber(-1), 9).await.unwrap().len(), 1);
            let head = store.head().await.unwrap();
            assert_eq!((head.seq, head.number), (world.seq, 1));
            let replayed = store.replay(0, u64::MAX, 99).await.unwrap().events;
            assert_eq!(seqs(&replayed), (1..=world.seq).collect::<Vec<_>>());
            assert!(replayed[0].event.device.is_none());
            assert_eq!(store.raw_history(&history(NOBODY)).await.unwrap(), []);

            let find = async |query: EventQuery| seqs(&store.events(&query).await.unwrap());
            let kinds = |kinds: &[EventKind]| EventQuery { kinds: kinds.to_vec(), ..log() };
            assert_eq!(find(log()).await, (1..=world.seq).collect::<Vec<_>>());
            assert_eq!(find(kinds(&[EventKind::Alarm])).await, [stopped, hot]);
            assert_eq!(find(kinds(&[EventKind::Rule])).await, [first, ran, ran_for_a]);
            let both = kinds(&[EventKind::Alarm, EventKind::Rule]);
            assert_eq!(find(both.clone()).await, [first, ran, stopped, hot, ran_for_a]);
            let newest = EventQuery { newest_first: true, limit: 2, ..both.clone() };
            assert_eq!(find(newest.clone()).await, [ran_for_a, hot]);
            assert_eq!(find(EventQuery { offset: 2, ..newest }).await, [stopped, ran]);
            assert_eq!(find(EventQuery { since: Some(first), limit: 1, ..both.clone() }).await, [ran]);
            let of_a = |query: EventQuery| EventQuery { device: Some(a.1), ..query };
            assert_eq!(find(of_a(both)).await, [hot, ran_for_a]);
            assert_eq!(find(of_a(kinds(&[EventKind::Alarm]))).await, [hot]);
            assert_eq!(find(of_a(log())).await, [2, 3, 4, hot, ran_for_a]);
            let nobodys = EventQuery { device: Some(NOBODY), ..kinds(&[EventKind::Rule]) };
            assert_eq!(find(nobodys.clone()).await, [first, ran]);
            assert_eq!(find(EventQuery { kinds: vec![], ..nobodys }).await, [first, ran, stopped]);
            if round % 2 == 0 {
                store.maintain(world.now).await.unwrap();
            } else {
                fixture.reopen().await;
            }
        }
    }
}

#[tokio::test]
async fn a_removed_device_takes_its_events_along() {
    for mut fixture in Fixture::both().await {
        let mut world = TestFleet::new();
        world.tell("a", r#"{"t": 1}"#);
        world.tell("b", r#"{"t": 1}"#);
        let (a, b) = (("a", world.number("a")), ("b", world.number("b")));
        world.happen(Some(a), told_alarm(alarm(1, "hot", a)));
        let of_b = world.happen(Some(b), told_alarm(alarm(2, "hot", b)));
        fixture.commit(&mut world.batch()).await;
        fixture.store.maintain(world.now).await.unwrap();
        world.happen(Some(a), told_run(run(3, "cool", Some(a))));
        world.remove("a");
        let removal = world.seq;
        let after = world.happen(Some(a), told_run(run(4, "cool", Some(a))));
        fixture.commit(&mut world.batch()).await;
        let late = world.happen(Some(a), told_run(run(5, "cool", Some(a))));
        fixture.commit(&mut world.batch()).await;
        for _ in 0..3 {
            let find = async |query: EventQuery| seqs(&fixture.store.events(&query).await.unwrap());
            let told = EventQuery { kinds: vec![EventKind::Alarm, EventKind::Rule], ..log() };
            assert_eq!(find(told).await, [of_b, after, late], "what was told of it later stays");
            assert_eq!(find(EventQuery { device: Some(a.1), ..log() }).await, [removal, after, late]);
            assert_eq!(fixture.store.devices(&list()).await.unwrap().total, 1, "and it stays away");
            fixture.store.maintain(world.now).await.unwrap();
            fixture.reopen().await;
        }
    }
}
