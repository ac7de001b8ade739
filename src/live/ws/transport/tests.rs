//! The WebSocket side of the pump over a real hub with a store in memory.

use actix_http::ws::{OpCode, Parser};
use actix_web::web::BytesMut;
use tokio::sync::watch;
use twinhub_actors::access::{Caller, InputRequest};
use twinhub_actors::messages::supervisor::IfUnknown;
use twinhub_actors::{Hub, Settings};
use twinhub_domain::{DeviceId, Input, Timestamp, payload};
use twinhub_store::MemoryStore;
use twinhub_store::seal::Seal;
use twinhub_testkit::{ManualClock, within};

use super::*;

/// More than all frames that a session sends here before they are read.
const ROOM: usize = 100;

async fn session(last_heard: &LastHeard) -> (impl Future<Output = Result<(), SubscriberGone>>, Peer) {
    let clock = ManualClock::at(Timestamp::from_millis(0));
    let hub = Hub::start(Arc::new(MemoryStore::default()), clock, Settings::default()).await.unwrap();
    let hub = hub.of(Caller::Anonymous, Source::WebSocket);
    let cursors = CallerCursors::new(Arc::new(Seal::new(&[1; 32])), false);
    let subscriptions = LiveSubscriptions::open(&hub).await.unwrap();
    let (outlet, frames) = Outlet::new(ROOM, None);
    let (requests_in, requests) = mpsc::channel(1);
    let (open, closing) = watch::channel(false);
    let socket = WebSocket::new(hub, cursors, requests, last_heard.clone());
    let pump = pump::run(socket, outlet, subscriptions, None, closing, std::future::pending());
    (pump, Peer { frames, _requests: requests_in, _open: open })
}

/// The other ends of a session.
struct Peer {
    frames: mpsc::Receiver<SocketItem>,
    _requests: mpsc::Sender<RequestFrame>,
    _open: watch::Sender<bool>,
}

#[actix_web::test]
async fn silent_client_is_pinged_and_then_disconnected() {
    let last_heard = LastHeard::default();
    let (pump, mut peer) = session(&last_heard).await;
    tokio::time::pause();
    last_heard.now();
    let began = Instant::now();
    let ended = tokio::time::timeout(10 * SILENT_FOR, pump).await;
    assert_eq!(ended.expect("it ends"), Err(SubscriberGone));
    let after = began.elapsed();
    assert!(after > SILENT_FOR && after <= SILENT_FOR + PING_EVERY, "{after:?}");
    let mut pings = 0;
    while let Some(frame) = peer.frames.recv().await {
        pings += usize::from(matches!(frame, SocketItem::Ping));
    }
    assert!(matches!(pings, 4 | 5), "at once, and every quarter of a minute: {pings}");
}

#[actix_web::test]
async fn client_that_answers_now_and_then_stays() {
    let last_heard = LastHeard::default();
    let (pump, _peer) = session(&last_heard).await;
    tokio::time::pause();
    last_heard.now();
    let answers = async {
        for _ in 0..20 {
            tokio::time::sleep(SILENT_FOR / 2).await;
            last_heard.now();
        }
    };
    tokio::select! {
        ended = pump => panic!("it was disconnected: {ended:?}"),
        () = answers => {}
    }
}

/// A session whose client subscribes as `request` says.
struct Subscribed {
    hub: Grant,
    frames: mpsc::Receiver<SocketItem>,
    requests: mpsc::Sender<RequestFrame>,
    _open: watch::Sender<bool>,
}

impl Subscribed {
    async fn begin(request: &str, is_confined: bool) -> Self {
        let clock = ManualClock::at(Timestamp::from_millis(0));
        let hub = Hub::start(Arc::new(MemoryStore::default()), clock, Settings::default()).await.unwrap();
        let hub = hub.of(Caller::Program, Source::WebSocket);
        let cursors = CallerCursors::new(Arc::new(Seal::new(&[1; 32])), is_confined);
        let subscriptions = LiveSubscriptions::open(&hub).await.unwrap();
        let (outlet, frames) = Outlet::new(ROOM, None);
        let (requests, incoming) = mpsc::channel(1);
        let (open, closing) = watch::channel(false);
        let socket = WebSocket::new(hub.clone(), cursors, incoming, LastHeard::default());
        actix_rt::spawn(pump::run(socket, outlet, subscriptions, None, closing, std::future::pending()));
        let mut session = Self { hub, frames, requests, _open: open };
        session.send(request).await;
        assert!(session.item().await[0].starts_with(r#"{"type":"hello","#));
        assert!(session.item().await[0].starts_with(r#"{"type":"subscribed","#));
        session
    }

    async fn send(&self, request: &str) {
        let frame = super::super::request::parse(request.as_bytes()).unwrap();
        assert!(self.requests.send(frame).await.is_ok());
    }

    /// Stores `count` readings in one commit; the values are their numbers from 0.
    async fn store(&self, device: &str, count: usize) {
        let reading = |n| payload::telemetry(format!(r#"{{"n": {n}}}"#).as_bytes()).unwrap();
        let input = Input::of_readings((0..count).map(reading).collect()).unwrap();
        let request =
            InputRequest::new(DeviceId::parse(device).unwrap(), input).if_unknown(IfUnknown::Appear);
        self.hub.deliver(request).await.unwrap();
    }

    /// The texts of the next item.
    async fn item(&mut self) -> Vec<String> {
        loop {
            match within("an item", self.frames.recv()).await.unwrap() {
                SocketItem::Ping => {}
                SocketItem::Frames(bytes) => return texts(&bytes),
                other => panic!("{other:?}"),
            }
        }
    }
}

fn texts(bytes: &[u8]) -> Vec<String> {
    let (mut bytes, mut texts) = (BytesMut::from(bytes), Vec::new());
    while let Some((_, kind, text)) = Parser::parse(&mut bytes, false, usize::MAX).unwrap() {
        assert_eq!(kind, OpCode::Text);
        texts.push(String::from_utf8(text.unwrap().to_vec()).unwrap());
    }
    texts
}

const READINGS: &str = r#"{"type":"subscribe","id":"s","kinds":["telemetry"]}"#;

#[actix_web::test]
async fn events_of_a_commit_are_one_item_and_a_frame_each() {
    let mut session = Subscribed::begin(READINGS, false).await;
    session.store("a", 50).await;
    let texts = session.item().await;
    assert_eq!(texts.len(), 50);
    for (n, text) in texts.iter().enumerate() {
        assert!(text.starts_with(r#"{"type":"event","sub":["s"],"cursor":"A"#), "{text}");
        assert!(text.contains(r#","seq":"#) && text.contains(&format!(r#""data":{{"n":{n}}}"#)), "{text}");
    }
}

#[actix_web::test]
async fn item_ends_where_it_is_long() {
    let mut session = Subscribed::begin(READINGS, false).await;
    let long = |n: usize| {
        let text = format!(r#"{{"n": {n}, "text": "{}"}}"#, "x".repeat(MOST_BYTES / 4));
        payload::telemetry(text.as_bytes()).unwrap()
    };
    let input = Input::of_readings((0..10).map(long).collect()).unwrap();
    let request = InputRequest::new(DeviceId::parse("a").unwrap(), input).if_unknown(IfUnknown::Appear);
    session.hub.deliver(request).await.unwrap();
    let counts = [session.item().await.len(), session.item().await.len(), session.item().await.len()];
    assert_eq!(counts, [4, 4, 2]);
}

#[actix_web::test]
async fn whoever_sees_a_part_gets_events_without_numbers() {
    let mut session = Subscribed::begin(READINGS, true).await;
    session.store("a", 2).await;
    for text in session.item().await {
        assert!(text.contains(r#""cursor":"A"#) && !text.contains("seq"), "{text}");
    }
}

#[actix_web::test]
async fn bundles_come_one_in_a_time_with_the_newest_readings() {
    let request = r#"{"type":"subscribe","id":"s","kinds":["telemetry"],"every":"60s","latest":true}"#;
    let mut session = Subscribed::begin(request, false).await;
    session.store("a", 50).await;
    let first = session.item().await;
    assert_eq!(first.len(), 1, "the first goes at once");
    assert!(first[0].starts_with(r#"{"type":"events","sub":["s"],"cursor":"A"#), "{}", first[0]);
    assert_eq!(first[0].matches(r#""kind":"telemetry""#).count(), 1, "of 50 the newest: {}", first[0]);
    assert!(first[0].contains(r#""data":{"n":49}"#), "{}", first[0]);
    session.send(r#"{"type":"subscribe","id":"each","kinds":["telemetry"]}"#).await;
    assert!(session.item().await[0].starts_with(r#"{"type":"subscribed","id":"each","#));
    for device in ["a", "b", "a"] {
        session.store(device, 3).await;
    }
    let mut heard = 0;
    while heard < 9 {
        let texts = session.item().await;
        assert!(texts.iter().all(|text| text.contains(r#""sub":["each"]"#)), "no bundle before its time");
        heard += texts.len();
    }
    session.send(r#"{"type":"unsubscribe","id":"s"}"#).await;
    let last = session.item().await;
    assert_eq!((last.len(), &*last[1]), (2, r#"{"type":"unsubscribed","id":"s"}"#));
    assert_eq!(last[0].matches(r#""kind":"telemetry""#).count(), 2, "one of each device: {}", last[0]);
}

#[actix_web::test]
async fn subscriptions_with_and_without_bundles_stand_side_by_side() {
    let request = r#"{"type":"subscribe","id":"s","kinds":["telemetry"],"every":"20ms"}"#;
    let mut session = Subscribed::begin(request, false).await;
    session.send(r#"{"type":"subscribe","id":"each","devices":["a"],"kinds":["telemetry"]}"#).await;
    assert!(session.item().await[0].starts_with(r#"{"type":"subscribed","id":"each","#));
    session.store("a", 2).await;
    session.store("b", 2).await;
    let (mut bundled, mut single) = (0, 0);
    while bundled < 4 {
        for text in session.item().await {
            if text.starts_with(r#"{"type":"events","sub":["s"],"#) {
                bundled += text.matches(r#""kind":"telemetry""#).count();
            } else {
                assert!(text.starts_with(r#"{"type":"event","sub":["each"],"#), "{text}");
                single += 1;
            }
        }
    }
    assert_eq!((bundled, single), (4, 2));
}
