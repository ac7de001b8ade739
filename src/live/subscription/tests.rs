//! The engine over a real hub with a store in memory.

use twinhub_actors::access::{Caller, InputRequest};
use twinhub_actors::messages::supervisor::IfUnknown;
use twinhub_actors::{Hub, Settings};
use twinhub_domain::cause::Source;
use twinhub_domain::{DeviceId, Input, Timestamp, payload};
use twinhub_store::MemoryStore;
use twinhub_testkit::{ManualClock, within};

use super::*;

/// Batches that the live feed holds for a subscriber here: few, so that it overflows soon.
const DEPTH: usize = 4;

async fn hub() -> Grant {
    let clock = ManualClock::at(Timestamp::from_millis(0));
    let settings = Settings { feed_depth: DEPTH, arbiters: 1, ..Settings::default() };
    let hub = Hub::start(Arc::new(MemoryStore::default()), clock, settings).await.unwrap();
    hub.of(Caller::Program, Source::Rest)
}

/// Stores `count` readings, one a commit, and returns the place of the last.
async fn publish_events(hub: &Grant, count: u64) -> u64 {
    let mut seq = 0;
    for _ in 0..count {
        let reading = payload::telemetry(br#"{"t": 1}"#).unwrap();
        let reading = InputRequest::new(DeviceId::parse("pump-1").unwrap(), Input::Telemetry(reading));
        let taken = hub.deliver(reading.if_unknown(IfUnknown::Appear)).await;
        seq = taken.unwrap().seq.unwrap();
    }
    // The feed gets events before the receipts are settled, so its answer now comes after all of them.
    within("the feed's answer", hub.subscribe()).await.unwrap();
    seq
}

/// Takes events until `last`, and returns their places.
async fn hear(subscriptions: &mut LiveSubscriptions, last: u64) -> Vec<u64> {
    let mut heard = Vec::new();
    while heard.last() != Some(&last) {
        for notification in within("a notification", subscriptions.next()).await.unwrap() {
            match notification {
                Notification::Event { event, .. } => heard.push(event.seq),
                other => panic!("{other:?}"),
            }
        }
    }
    heard
}

fn all(after: u64, last: u64) -> Vec<u64> {
    (after + 1..=last).collect()
}

#[actix_web::test]
async fn the_past_and_then_the_present_without_a_gap_or_a_repeat() {
    let hub = hub().await;
    let past = publish_events(&hub, 10).await;
    let mut subscriptions = LiveSubscriptions::open(&hub).await.unwrap();
    assert_eq!(subscriptions.seq(), past);
    subscriptions.subscribe("s", EventFilter::default(), Some(3), false).unwrap();
    assert_eq!(hear(&mut subscriptions, past).await, all(3, past));
    let present = publish_events(&hub, 3).await;
    assert_eq!(hear(&mut subscriptions, present).await, all(past, present));
}

#[actix_web::test]
async fn catching_up_causes_no_lag() {
    let hub = hub().await;
    let past = publish_events(&hub, 5).await;
    let mut subscriptions = LiveSubscriptions::open(&hub).await.unwrap();
    subscriptions.subscribe("s", EventFilter::default(), Some(0), false).unwrap();
    assert_eq!(hear(&mut subscriptions, past).await, all(0, past));
    let last = publish_events(&hub, 10 * DEPTH as u64).await; // the feed has overflowed meanwhile
    assert_eq!(hear(&mut subscriptions, last).await, all(past, last));
}

#[actix_web::test]
async fn slow_session_gets_the_place_to_resume() {
    let hub = hub().await;
    let mut subscriptions = LiveSubscriptions::open(&hub).await.unwrap();
    subscriptions.subscribe("s", EventFilter::default(), None, false).unwrap();
    let first = publish_events(&hub, 1).await;
    assert_eq!(hear(&mut subscriptions, first).await, all(0, first));
    let last = publish_events(&hub, 10 * DEPTH as u64).await;
    let notifications = within("a notification", subscriptions.next()).await.unwrap();
    let Some(&Notification::Lagged { missed, resume }) = notifications.first() else {
        panic!("{notifications:?}")
    };
    assert_eq!((resume, missed), (first, last - first - DEPTH as u64));
    subscriptions.subscribe("again", EventFilter::default(), Some(resume), false).unwrap();
    let mut again = Vec::new();
    while again.last() != Some(&last) {
        for notification in within("a notification", subscriptions.next()).await.unwrap() {
            let Notification::Event { slots, event } = notification else { panic!("{notification:?}") };
            if subscriptions.ids(slots).any(|id| id == "again") {
                again.push(event.seq);
            }
        }
    }
    assert_eq!(again, all(resume, last));
}

#[actix_web::test]
async fn resuming_session_reads_missed_events_from_the_store() {
    let hub = hub().await;
    let mut subscriptions = LiveSubscriptions::open(&hub).await.unwrap().resuming();
    subscriptions.subscribe("s", EventFilter::default(), None, false).unwrap();
    let first = publish_events(&hub, 1).await;
    assert_eq!(hear(&mut subscriptions, first).await, all(0, first));
    let last = publish_events(&hub, 10 * DEPTH as u64).await;
    assert_eq!(hear(&mut subscriptions, last).await, all(first, last));
    assert_eq!(get(&hub.counters().subscribers_lagged), 1);
}

#[actix_web::test]
async fn place_beyond_the_last_commit_is_another_past() {
    let hub = hub().await;
    let last = publish_events(&hub, 2).await;
    let mut subscriptions = LiveSubscriptions::open(&hub).await.unwrap();
    let (seq, first) = subscriptions.subscribe("s", EventFilter::default(), Some(last + 9), false).unwrap();
    assert_eq!(seq, last);
    assert!(matches!(first, Some(Notification::Resync { seq, .. }) if seq == last), "{first:?}");
    let (seq, first) = subscriptions.subscribe("here", EventFilter::default(), Some(last), false).unwrap();
    assert!(seq == last && first.is_none(), "nothing is missing: {first:?}");
}

/// The session is behind the client, which had another one before.
#[actix_web::test]
async fn events_before_since_are_not_sent_again() {
    let hub = hub().await;
    let mut subscriptions = LiveSubscriptions::open(&hub).await.unwrap();
    let past = publish_events(&hub, DEPTH as u64 - 1).await;
    subscriptions.subscribe("s", EventFilter::default(), Some(past - 1), false).unwrap();
    assert_eq!(hear(&mut subscriptions, past).await, [past]);
}

#[actix_web::test]
async fn pruned_past_resyncs_only_subscriptions_that_miss_some_of_it() {
    let hub = hub().await;
    let last = publish_events(&hub, 10).await;
    let mut subscriptions = LiveSubscriptions::open(&hub).await.unwrap();
    for (id, since) in [("lacks", last - 4), ("has", last - 3)] {
        subscriptions.subscribe(id, EventFilter::default(), Some(since), false).unwrap();
    }
    let page = Replay { after: last - 3, up_to: last, limit: PAGE };
    let page = hub.ask(page).await.unwrap().unwrap();
    let notifications = subscriptions.catch_up(ReplayPage { pruned: true, ..page });
    let resync = |notification: &Notification| match notification {
        Notification::Resync { slots, seq } => Some((*slots, *seq)),
        _ => None,
    };
    assert_eq!(
        notifications.first().and_then(resync),
        Some((SubscriptionSlots::one(0), last)),
        "{notifications:?}"
    );
    let has = notifications.iter().filter_map(|notification| match notification {
        Notification::Event { slots, event } if *slots == SubscriptionSlots::one(1) => Some(event.seq),
        _ => None,
    });
    assert_eq!(has.collect::<Vec<_>>(), all(last - 3, last));
}

#[actix_web::test]
async fn one_event_for_several_subscriptions_is_sent_once() {
    let hub = hub().await;
    let mut subscriptions = LiveSubscriptions::open(&hub).await.unwrap();
    for id in ["a", "b"] {
        subscriptions.subscribe(id, EventFilter::default(), None, false).unwrap();
    }
    let none = [Box::from("fan-*")];
    subscriptions.subscribe("c", EventFilter::new(Some(&none), None).unwrap(), None, false).unwrap();
    assert_eq!(
        subscriptions.subscribe("a", EventFilter::default(), None, false).unwrap_err(),
        NotSubscribed::Taken
    );
    publish_events(&hub, 1).await;
    let notifications = within("a notification", subscriptions.next()).await.unwrap();
    let Some(Notification::Event { slots, .. }) = notifications.first() else { panic!("{notifications:?}") };
    assert_eq!(subscriptions.ids(*slots).collect::<Vec<_>>(), ["a", "b"]);
    assert!(subscriptions.unsubscribe("a") && !subscriptions.unsubscribe("a"));
}

#[actix_web::test]
async fn a_snapshot_comes_before_the_events() {
    let hub = hub().await;
    let last = publish_events(&hub, 2).await;
    let mut subscriptions = LiveSubscriptions::open(&hub).await.unwrap();
    subscriptions.subscribe("s", EventFilter::default(), Some(0), true).unwrap();
    let notifications = within("a notification", subscriptions.next()).await.unwrap();
    let Some(Notification::Snapshot { slot: 0, twins, last: true }) = notifications.first() else {
        panic!("{notifications:?}")
    };
    assert_eq!(twins.iter().map(|twin| twin.id.as_str()).collect::<Vec<_>>(), ["pump-1"]);
    assert_eq!(hear(&mut subscriptions, last).await, all(0, last));
}

#[actix_web::test]
async fn all_subscriptions_of_a_session_share_its_patterns() {
    let hub = hub().await;
    let mut subscriptions = LiveSubscriptions::open(&hub).await.unwrap();
    let patterns = |count: usize| -> EventFilter {
        let texts: Vec<Box<str>> = (0..count).map(|n| format!("*-{n}").into()).collect();
        EventFilter::new(Some(&texts), None).unwrap()
    };
    let mut subscribe = |id, filter| subscriptions.subscribe(id, filter, None, false).map(|_| ());
    assert_eq!(subscribe("a", patterns(200)), Ok(()));
    assert_eq!(subscribe("b", patterns(57)), Err(NotSubscribed::TooManyPatterns));
    assert_eq!(subscribe("b", patterns(56)), Ok(()));
    assert_eq!(
        subscribe("c", EventFilter::new(Some(&["pump-1".into()]), None).unwrap()),
        Ok(()),
        "an id is none"
    );
    assert!(subscriptions.unsubscribe("a"));
    assert_eq!(subscriptions.subscribe("d", patterns(200), None, false).map(|_| ()), Ok(()));
}
