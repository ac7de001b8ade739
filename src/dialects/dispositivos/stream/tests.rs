//! The stream over a real hub with a store in memory.

use tokio::sync::mpsc;
use twinhub_actors::access::{Caller, InputRequest};
use twinhub_actors::counters::get;
use twinhub_actors::messages::supervisor::IfUnknown;
use twinhub_actors::{Hub, Settings};
use twinhub_domain::cause::Source;
use twinhub_domain::twin::Speaker;
use twinhub_domain::{Input, Timestamp, payload};
use twinhub_mqtt::dialects::dispositivos::Dispositivo;
use twinhub_store::MemoryStore;
use twinhub_testkit::{ManualClock, within};

use super::*;

/// Batches that the live feed holds for a subscriber here: few, so that it overflows soon.
const DEPTH: usize = 2;

async fn hub() -> Grant {
    let clock = ManualClock::at(Timestamp::from_millis(0));
    let settings = Settings { feed_depth: DEPTH, arbiters: 1, ..Settings::default() };
    let hub = Hub::start(Arc::new(MemoryStore::default()), clock, settings).await.unwrap();
    hub.of(Caller::Program, Source::Mqtt)
}

async fn publish(hub: &Grant, serial: &str, text: &str) {
    let mut document = payload::object(text.as_bytes()).unwrap();
    document.insert("serial_number", serial.into());
    let said = Dispositivo::read(document, Speaker::Device).unwrap();
    let (device, input) = (DeviceId::parse(serial).unwrap(), Input::Translate(Arc::new(said)));
    hub.deliver(
        InputRequest::new(device, input).because("dispositivos/estado").if_unknown(IfUnknown::Appear),
    )
    .await
    .unwrap();
}

async fn open(
    hub: &Grant,
    serial: Option<&str>,
    claimed: Option<&str>,
    ping_after: Duration,
) -> mpsc::Receiver<Bytes> {
    let subscriptions = subscribe(hub).await.unwrap();
    let watch = ClientFilter::new(hub, serial.map(Into::into), claimed.map(Into::into)).await.unwrap();
    let (outlet, chunks) = Outlet::new(1, None);
    let (open, closing) = tokio::sync::watch::channel(false);
    let stream = DeviceStream { hub: hub.clone(), watch, ping_after };
    actix_rt::spawn(async move {
        let _ = pump::run(stream, outlet, subscriptions, None, closing, std::future::pending()).await;
        drop(open);
    });
    chunks
}

/// The next thing said.
async fn next(chunks: &mut mpsc::Receiver<Bytes>) -> String {
    let chunk = within("the next thing said", chunks.recv()).await.unwrap();
    String::from_utf8(chunk.to_vec()).unwrap()
}

const LONG: Duration = Duration::from_secs(3_600);

#[actix_web::test]
async fn it_says_hello_and_then_pings_into_the_silence() {
    let hub = hub().await;
    let mut chunks = open(&hub, None, None, Duration::from_millis(1)).await;
    assert_eq!(next(&mut chunks).await, "event: hello\ndata: {}\n\n");
    for _ in 0..3 {
        assert_eq!(next(&mut chunks).await, "event: ping\ndata: {}\n\n");
    }
}

#[actix_web::test]
async fn each_message_is_a_device_as_it_was_then() {
    let hub = hub().await;
    let mut chunks = open(&hub, None, None, LONG).await;
    publish(&hub, "S1", r#"{"estado": "activo", "parametros": {"n": 1, "text": "a\u2028b\n"}}"#).await;
    publish(&hub, "S1", r#"{"estado": "inactivo", "parametros": {"n": 2}}"#).await;
    next(&mut chunks).await; // hello
    let mut told = String::new();
    while told.lines().filter(|line| line.starts_with("data: ")).count() < 2 {
        told += &next(&mut chunks).await;
    }
    let line = |state: &str| {
        format!(
            r#"data: {{"id":1,"serial_number":"S1","nombre":"No definido","tipo":"generico","modelo":"desconocido","descripcion":"",{state},"configuracion":{{}},"reclamado":false,"event":"device_update"}}"#
        )
    };
    let first = line(r#""estado":"activo","parametros":{"n":1,"text":"a\u2028b\n"}"#);
    let second = line(r#""estado":"inactivo","parametros":{"n":2}"#);
    assert_eq!(told, format!("{first}\n\n{second}\n\n"));
}

#[actix_web::test]
async fn filters_hold_and_who_is_slow_misses_nothing() {
    let hub = hub().await;
    publish(&hub, "S1", r#"{"estado": "activo"}"#).await;
    let mut one = open(&hub, Some("S2"), None, LONG).await;
    let mut claimed = open(&hub, None, Some("true"), LONG).await;
    let mut unclaimed = open(&hub, None, Some("false"), LONG).await;
    for n in 0..50 {
        publish(&hub, "S1", &format!(r#"{{"parametros": {{"n": {n}}}}}"#)).await;
        publish(&hub, "S2", &format!(r#"{{"parametros": {{"n": {n}}}}}"#)).await;
    }
    assert_eq!(next(&mut one).await, "event: hello\ndata: {}\n\n");
    assert_eq!(counted(&mut one, 50).await, (0..50).map(|n| ("S2".to_owned(), n)).collect::<Vec<_>>());
    next(&mut unclaimed).await;
    let all = counted(&mut unclaimed, 100).await;
    let expected = (0..50).flat_map(|n| [("S1".to_owned(), n), ("S2".to_owned(), n)]);
    assert_eq!(all, expected.collect::<Vec<_>>());
    assert_eq!(next(&mut claimed).await, "event: hello\ndata: {}\n\n");
    assert!(claimed.try_recv().is_err(), "nobody is claimed");
    assert!(get(&hub.counters().subscribers_lagged) > 0, "they fell behind the feed on the way");
}

/// The next `count` devices with their number.
async fn counted(chunks: &mut mpsc::Receiver<Bytes>, count: usize) -> Vec<(String, i64)> {
    let mut counted = Vec::new();
    while counted.len() < count {
        for line in next(chunks).await.lines().filter(|line| !line.is_empty()) {
            let device: serde_json::Value =
                serde_json::from_str(line.strip_prefix("data: ").unwrap()).unwrap();
            let serial = device["serial_number"].as_str().unwrap().to_owned();
            counted.push((serial, device["parametros"]["n"].as_i64().unwrap()));
        }
    }
    counted
}
