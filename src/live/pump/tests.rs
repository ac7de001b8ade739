//! The pump over a real hub with a store in memory, and a transport that writes numbers.

use std::sync::Arc;

use tokio::sync::mpsc;
use twinhub_actors::access::{Caller, Grant, InputRequest};
use twinhub_actors::counters::get;
use twinhub_actors::messages::supervisor::IfUnknown;
use twinhub_actors::{Hub, Settings};
use twinhub_domain::cause::Source;
use twinhub_domain::{DeviceId, Input, Timestamp, payload};
use twinhub_store::MemoryStore;
use twinhub_testkit::{ManualClock, within};

use super::*;
use crate::live::subscription::EventFilter;

const LONG: Duration = Duration::from_secs(3_600);

/// Writes the places of events, without the unlucky one.
struct PlaceWriter {
    heartbeat: PingSchedule,
    unlucky: u64,
    /// It never gets done with writing.
    is_stuck: bool,
}

impl Transport for PlaceWriter {
    type Item = String;
    type Request = Infallible;

    const BUNDLE: usize = 2;

    fn heartbeat(&self) -> PingSchedule {
        self.heartbeat
    }

    fn greeting(&mut self, _: &LiveSubscriptions) -> Option<CountedFrames<String>> {
        Some(CountedFrames { count: 0, item: "hello".into() })
    }

    fn wants(&mut self, notification: &Notification) -> bool {
        matches!(notification, Notification::Event { event, .. } if event.seq != self.unlucky)
    }

    async fn write(
        &mut self,
        notifications: impl Iterator<Item = Notification>,
        _: &LiveSubscriptions,
    ) -> Result<Option<CountedFrames<String>>, FeedEnded> {
        if self.is_stuck {
            std::future::pending::<()>().await;
        }
        let places: Vec<_> =
            notifications.filter_map(Notification::into_event).map(|event| event.seq.to_string()).collect();
        Ok(Some(CountedFrames { count: places.len() as u64, item: places.join(" ") }))
    }

    fn ping(&mut self) -> Option<String> {
        Some("ping".into())
    }

    fn goodbye(&self) -> Option<String> {
        Some("goodbye".into())
    }

    fn dismissal(&self, lost: RightsLost) -> Option<String> {
        Some(format!("{lost:?}"))
    }

    async fn answer(&mut self, request: Infallible, _: &mut LiveSubscriptions) -> TransportReply<String> {
        match request {}
    }
}

async fn hub_with_readings(count: u64) -> (Grant, Vec<u64>) {
    let clock = ManualClock::at(Timestamp::from_millis(0));
    let hub = Hub::start(Arc::new(MemoryStore::default()), clock, Settings::default()).await.unwrap();
    let hub = hub.of(Caller::Program, Source::Rest);
    let mut places = Vec::new();
    for _ in 0..count {
        let reading = payload::telemetry(br#"{"t": 1}"#).unwrap();
        let order = InputRequest::new(DeviceId::parse("pump-1").unwrap(), Input::Telemetry(reading));
        places.extend(hub.deliver(order.if_unknown(IfUnknown::Appear)).await.unwrap().seq);
    }
    (hub, places)
}

/// Runs a pump over all readings of the hub.
async fn begin(
    hub: &Grant,
    transport: PlaceWriter,
) -> (impl Future<Output = Result<(), SubscriberGone>> + use<>, mpsc::Receiver<String>, watch::Sender<bool>) {
    let mut subscriptions = LiveSubscriptions::open(hub).await.unwrap();
    let filter = EventFilter::new(None, Some(&["telemetry".into()])).unwrap();
    subscriptions.subscribe("s", filter, Some(0), false).unwrap();
    let (outlet, items) = Outlet::new(8, None);
    let (close, closing) = watch::channel(false);
    (run(transport, outlet, subscriptions, None, closing, std::future::pending()), items, close)
}

async fn next(items: &mut mpsc::Receiver<String>) -> String {
    within("an item", items.recv()).await.unwrap()
}

#[actix_web::test]
async fn wanted_notifications_go_out_in_bundles_and_goodbye_is_last() {
    let (hub, places) = hub_with_readings(5).await;
    let heartbeat = PingSchedule::AfterSilence(LONG);
    let transport = PlaceWriter { heartbeat, unlucky: places[2], is_stuck: false };
    let (pump, mut items, close) = begin(&hub, transport).await;
    let pump = actix_rt::spawn(pump);
    assert_eq!(next(&mut items).await, "hello");
    for pair in [[0, 1], [3, 4]] {
        assert_eq!(next(&mut items).await, pair.map(|index| places[index].to_string()).join(" "));
    }
    assert_eq!(get(&hub.counters().frames_out), 4);
    close.send_replace(true);
    assert_eq!(next(&mut items).await, "goodbye");
    assert_eq!(within("the pump ends", pump).await.unwrap(), Ok(()));
}

#[actix_web::test]
async fn stuck_write_holds_up_neither_leaving_nor_shutting_down() {
    let (hub, _) = hub_with_readings(1).await;
    let stuck = || PlaceWriter { heartbeat: PingSchedule::AfterSilence(LONG), unlucky: 0, is_stuck: true };
    let (pump, mut items, close) = begin(&hub, stuck()).await;
    let pump = actix_rt::spawn(pump);
    assert_eq!(next(&mut items).await, "hello");
    close.send_replace(true);
    assert_eq!(next(&mut items).await, "goodbye");
    assert_eq!(within("the pump ends", pump).await.unwrap(), Ok(()));

    let (pump, mut items, _close) = begin(&hub, stuck()).await;
    let pump = actix_rt::spawn(pump);
    assert_eq!(next(&mut items).await, "hello");
    drop(items);
    assert_eq!(within("the pump ends", pump).await.unwrap(), Err(SubscriberGone));
}

#[actix_web::test]
async fn client_that_loses_its_rights_is_told_even_while_a_write_is_stuck() {
    let (hub, _) = hub_with_readings(1).await;
    for is_stuck in [false, true] {
        let transport = PlaceWriter { heartbeat: PingSchedule::AfterSilence(LONG), unlucky: 0, is_stuck };
        let subscriptions = LiveSubscriptions::open(&hub).await.unwrap();
        let (outlet, mut items) = Outlet::new(8, None);
        let (_close, closing) = watch::channel(false);
        let (lose, lost) = tokio::sync::oneshot::channel();
        let lost = async { lost.await.unwrap() };
        let pump = actix_rt::spawn(run(transport, outlet, subscriptions, None, closing, lost));
        assert_eq!(next(&mut items).await, "hello");
        lose.send(RightsLost::Narrowed).unwrap();
        assert_eq!(next(&mut items).await, "Narrowed");
        assert_eq!(within("the pump ends", pump).await.unwrap(), Ok(()));
    }
}

#[actix_web::test]
async fn client_that_reads_nothing_and_loses_its_rights_is_disconnected() {
    let (hub, _) = hub_with_readings(0).await;
    let transport = PlaceWriter { heartbeat: PingSchedule::AfterSilence(LONG), unlucky: 0, is_stuck: false };
    let subscriptions = LiveSubscriptions::open(&hub).await.unwrap();
    let (outlet, _items) = Outlet::new(1, None);
    assert!(outlet.offer("it waits to be read".into()));
    let (_close, closing) = watch::channel(false);
    let lost = std::future::ready(RightsLost::SignedOut);
    assert_eq!(run(transport, outlet, subscriptions, None, closing, lost).await, Err(SubscriberGone));
}

#[actix_web::test]
async fn steady_ping_comes_at_once_and_one_after_silence_does_not() {
    let (hub, _) = hub_with_readings(0).await;
    let wait = Duration::from_secs(10);
    for (heartbeat, first) in [(PingSchedule::Every(wait), 0), (PingSchedule::AfterSilence(wait), 10)] {
        let (pump, mut items, _close) =
            begin(&hub, PlaceWriter { heartbeat, unlucky: 0, is_stuck: false }).await;
        tokio::time::pause();
        let began = Instant::now();
        let pump = actix_rt::spawn(pump);
        assert_eq!(items.recv().await.unwrap(), "hello");
        for index in 0..3 {
            assert_eq!(items.recv().await.unwrap(), "ping");
            assert_eq!(began.elapsed().as_secs(), first + index * 10, "{heartbeat:?}");
        }
        tokio::time::resume();
        pump.abort();
    }
}
