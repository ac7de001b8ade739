//! The knowledge that the census needs before it follows, read from the store however often that takes.

use std::sync::Arc;

use tokio::sync::broadcast;

use super::super::FleetDeps;
use crate::backoff::until_answered;
use crate::counters::get;
use crate::messages::feed::{EventBatch, LiveFeed, SubscribeFeed};
use twinhub_domain::fleet::GroupStatistics;
use twinhub_domain::{DeviceId, DeviceNumber, Recorded, Twin};
use twinhub_store::{DeviceQuery, DeviceSort};

/// Devices are looked through so many at a time, by their numbers.
const STRETCH: i64 = 1_000;
/// Events read at once.
const EVENTS: usize = 5_000;

/// The census at a place in the sequence or somewhat later, and what comes after.
pub struct CensusStart {
    pub seq: u64,
    pub live: broadcast::Receiver<EventBatch>,
    pub census: GroupStatistics,
    /// The largest number that a device had.
    pub highest: DeviceNumber,
}

/// Counts all devices that stand in groups. None: the hub is shutting down.
pub async fn everything(deps: &FleetDeps) -> Option<CensusStart> {
    // Heard first, read then: what is read may be ahead of what is heard, and does no harm.
    let LiveFeed { seq, events } = deps.feed.send(SubscribeFeed).await.ok()?;
    let highest = until_answered("the largest device number", || deps.store.head()).await.number;
    let mut census = GroupStatistics::default();
    let mut first = 1;
    while first <= highest {
        let last = first.saturating_add(STRETCH - 1);
        let query = DeviceQuery {
            numbers: Some((DeviceNumber(first), DeviceNumber(last))),
            grouped: Some(true),
            sort: DeviceSort::Number,
            limit: u64::MAX,
            ..DeviceQuery::default()
        };
        let page = until_answered("the devices of groups", || deps.store.devices(&query)).await;
        page.twins.iter().for_each(|twin| census.count_device(twin));
        first = last + 1;
    }
    Some(CensusStart { seq, live: events, census, highest: DeviceNumber(highest) })
}

/// The twins of these ids.
pub async fn twins(deps: &FleetDeps, ids: Vec<DeviceId>) -> Vec<Twin> {
    until_answered("devices that came into groups", || deps.store.load(&ids)).await
}

/// The events after this place, as far as there are any now. None where the past is gone.
pub async fn missed(deps: &FleetDeps, mut after: u64) -> Option<Vec<Arc<Recorded>>> {
    let up_to = get(&deps.counters.seq);
    let mut missed = Vec::new();
    while after < up_to {
        let replayed =
            until_answered("what groups have missed", || deps.store.replay(after, up_to, EVENTS)).await;
        if replayed.pruned {
            return None;
        }
        match replayed.events.last() {
            Some(last) => after = last.seq,
            None => break,
        }
        missed.extend(replayed.events);
    }
    Some(missed)
}
