//! A job of more devices than one page has.

use std::sync::atomic::Ordering;

use super::*;

/// Devices are read by pages of 1,000: none has two turns where one page ends, and none is passed over.
#[actix::test]
async fn every_device_of_many_pages_has_its_turn_once() {
    const MANY: usize = 3_200; // more pages than there are passes over those that are left
    let mut fixture = JobsFixture::new().await;
    let names: Vec<String> = (0..MANY).map(|n| format!("d{n}")).collect();
    let devices = futures_util::future::join_all(names.iter().map(|name| fixture.register(name))).await;
    fixture.live = fixture.live.resubscribe(); // it has fallen behind
    let job = fixture.make(&reboot(), &devices, None).await;
    fixture.until_turns(job, MANY).await;
    let turns = fixture.turns(job).await;
    let more: Vec<_> = turns.iter().filter(|(_, turns)| **turns != 1).collect();
    assert!(turns.len() == MANY && more.is_empty(), "{} had turns, {more:?}", turns.len());
    // A second turn in one round is known for a repeat, and does nothing: it is seen only where it is counted.
    assert_eq!(fixture.hub.counters.inputs_repeated.load(Ordering::Relaxed), 0);
    assert_eq!(fixture.show(job).await.unwrap().progress.total, MANY as u64);
}
