//! Times of readings that are finer than milliseconds.

use super::support::*;
use crate::EventQuery;
use twinhub_domain::series::{Aggregate, HistoryQuery, Interval};
use twinhub_domain::{ReadingTime, Timestamp};

/// Within a millisecond the order, the bounds and the repeats go by the nanosecond, in the memtable and in the chunks.
#[tokio::test]
async fn nanoseconds_are_kept_and_told_apart() {
    let at = |nanos: u32| ReadingTime::new(Timestamp::from_millis(NOON - 60_000), nanos);
    for mut fixture in Fixture::both().await {
        let mut world = TestFleet::new();
        let order = [7, 0, 999_999, 3, 1_000, 5, 2, 123_456, 1, 6, 4];
        for nanos in order {
            world.tell("a", &format!(r#"{{"t": {nanos}, "timestamp": "{}"}}"#, at(nanos)));
            fixture.commit(&mut world.batch()).await;
            if nanos % 2 == 1 {
                fixture.store.maintain(world.now).await.unwrap();
            }
        }
        let (device, mut sorted) = (world.number("a"), order);
        sorted.sort_unstable();
        for _ in 0..2 {
            let times = async |query: HistoryQuery| -> Vec<ReadingTime> {
                let found = fixture.store.raw_history(&query).await.unwrap();
                assert!(
                    found.iter().all(|one| one.value.to_string() == one.timestamp.nanos_behind().to_string())
                );
                found.into_iter().map(|reading| reading.timestamp).collect()
            };
            assert_eq!(times(history(device)).await, sorted.map(at));
            for limit in 1..=sorted.len() {
                let newest = times(HistoryQuery { newest_first: true, limit, ..history(device) }).await;
                assert!(newest.iter().copied().eq(sorted.into_iter().rev().take(limit).map(at)), "{limit}");
            }
            let part = HistoryQuery { from: Some(at(2)), to: Some(at(1_000)), ..history(device) };
            assert_eq!(times(part).await, [2, 3, 4, 5, 6, 7].map(at));
            let last = HistoryQuery {
                aggregate: Aggregate::Last,
                interval: Some(Interval::Fixed(1_000)),
                ..history(device)
            };
            let buckets = fixture.store.bucket_history(&last).await.unwrap();
            assert_eq!((buckets.len(), buckets[0].value.as_str()), (1, "999999"));
            let log = EventQuery { device: Some(device), from: Some(at(1_000)), ..log() };
            assert_eq!(
                fixture
                    .store
                    .events(&EventQuery { to: Some(at(999_999)), ..log.clone() })
                    .await
                    .unwrap()
                    .len(),
                2
            );
            fixture.store.maintain(world.now).await.unwrap();
            fixture.reopen().await;
        }
    }
}
