//! Shutdown under load: exit 0 within five seconds, sessions told why, nothing acknowledged lost.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::support::hub::Installation;
use crate::support::mqtt::BrokerMessage;
use crate::support::{Mosquitto, MqttDevice, WebSocketSession, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn under_load_on_the_embedded_broker() {
    let installation = Installation::new();
    let hub = installation.start().await;
    let live = WebSocketSession::of_readings(hub.http, None).await;
    let load: Vec<_> = (0..4).map(|lane| tokio::spawn(push(hub.mqtt.unwrap(), lane))).collect();
    eventually("the load is on", async || {
        (hub.metric("twinhub_inputs_committed_total").await > 1_000).then_some(())
    })
    .await;

    let began = Instant::now();
    let closing = tokio::spawn(live.closed());
    let status = hub.terminate().await;
    assert_eq!(status.code(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(5), "it took {:?}", began.elapsed());
    let farewell = closing.await.unwrap().expect("a close frame");
    assert_eq!(u16::from(farewell.code), 1001);
    assert!(!farewell.reason.is_empty(), "with a reason");

    let hub = installation.start().await;
    for (lane, load) in load.into_iter().enumerate() {
        let acknowledged = load.await.unwrap();
        assert!(!acknowledged.is_empty());
        let stored = stored(&hub, lane).await;
        assert!(acknowledged.is_subset(&stored), "lost: {:?}", acknowledged.difference(&stored).count());
    }
}

#[tokio::test]
async fn on_an_outside_broker() {
    let mosquitto = Mosquitto::start().await;
    let installation = Installation::new().on_broker(mosquitto.address);
    let hub = installation.start().await;
    let mut device = MqttDevice::connect(mosquitto.address, "lane-0").await.unwrap();
    device.say("iot/devices/lane-0/data", r#"{"n": 1}"#).await;
    let began = Instant::now();
    assert_eq!(hub.terminate().await.code(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(5), "it took {:?}", began.elapsed());
    let hub = installation.start().await;
    eventually("what the broker acknowledged is stored", async || {
        let response = hub.get("/api/devices/lane-0/data").await;
        let history: serde_json::Value = response.json().await.ok()?;
        (history[0]["value"] == 1).then_some(())
    })
    .await;
}

/// Publishes flat out until the hub goes; what was acknowledged.
async fn push(broker: SocketAddr, lane: usize) -> BTreeSet<u64> {
    let mut acknowledged = BTreeSet::new();
    let mut device = MqttDevice::connect(broker, &format!("lane-{lane}")).await.unwrap();
    let topic = format!("iot/devices/lane-{lane}/data");
    for n in 0.. {
        while device.unacknowledged() >= 100 {
            match device.next().await {
                Ok(BrokerMessage::Acknowledged(n)) => _ = acknowledged.insert(n),
                Ok(BrokerMessage::Message { .. }) => {}
                Err(_) => return acknowledged,
            }
        }
        let payload = format!(r#"{{"n":{n}}}"#);
        if device.publish(n, &topic, payload.as_bytes()).await.is_err() {
            break;
        }
    }
    // The broker's last words are still to be read.
    while let Ok(said) = device.next().await {
        if let BrokerMessage::Acknowledged(n) = said {
            acknowledged.insert(n);
        }
    }
    acknowledged
}

/// Everything that is stored of a lane, page by page.
async fn stored(hub: &crate::support::HubProcess, lane: usize) -> BTreeSet<u64> {
    let mut stored = BTreeSet::new();
    let mut since = 0;
    loop {
        let path =
            format!("/api/devices/lane-{lane}/events?kind=telemetry&order=asc&limit=1000&since={since}");
        let page = hub.json(&path).await;
        let Some(last) = page.as_array().unwrap().last() else { return stored };
        since = last["seq"].as_u64().unwrap();
        stored.extend(page.as_array().unwrap().iter().map(|event| event["data"]["n"].as_u64().unwrap()));
    }
}
