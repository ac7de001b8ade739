//! The bytes that a twin takes while it is in memory, with all that is kept for it beside it: counted by the allocator,
//! so that no other program and no rest of an earlier moment is in the figure.

use std::alloc::System;
use std::sync::Arc;

use cap::Cap;
use futures_util::future::join_all;
use twinhub_actors::hub::{Hub, Settings};
use twinhub_actors::messages::supervisor::IfUnknown;
use twinhub_domain::cause::Source;
use twinhub_domain::{Cause, DeviceId, Input, Timestamp, payload};
use twinhub_store::{SqlOptions, SqlStore, Store};
use twinhub_testkit::ManualClock;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

const TWINS: usize = 2_000;
/// Bytes of a twin with three readings. It was 1,900 by the resident memory of a hub.
const MOST_BYTES: usize = 1_400;

/// Messages of `TWINS` devices more, all stored and in order.
async fn hear(hub: &Hub, store: &SqlStore, first: usize) {
    let heard = (first..first + TWINS).map(|number| {
        let device = DeviceId::parse(&format!("device-{number:07}")).unwrap();
        let said = br#"{"temperature": 23.5, "humidity": 55.0, "pressure": 1013.25}"#;
        let input = Input::of_readings(payload::readings(said).unwrap().samples).unwrap();
        let cause = Cause::new(Source::Mqtt, "iot/devices/data");
        hub.deliver(device, input, cause, IfUnknown::Appear, false)
    });
    for taken in join_all(heard).await {
        taken.unwrap();
    }
    store.maintain(Timestamp::from_millis(START)).await.unwrap();
}

/// 2026-03-01T06:00:00Z
const START: i64 = 1_772_344_800_000;

#[actix::test]
async fn a_twin_takes_few_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("twins.db").display());
    let store = SqlStore::open(&url, SqlOptions::default()).await.unwrap();
    let clock = ManualClock::at(Timestamp::from_millis(START));
    let hub = Hub::start(store.clone(), clock, Settings::default()).await.unwrap();
    // The first come with all that is made once, and leave tables with room for more.
    hear(&hub, &store, 0).await;
    let mut each = Vec::new();
    for round in 1..=4 {
        let before = ALLOCATOR.allocated();
        hear(&hub, &store, round * TWINS).await;
        each.push(ALLOCATOR.allocated().saturating_sub(before) / TWINS);
    }
    println!("bytes a twin: {each:?}");
    let mean = each.iter().sum::<usize>() / each.len();
    assert!(mean <= MOST_BYTES, "{mean} bytes a twin: {each:?}");
    hub.close().await;
    drop(Arc::clone(&store));
}
