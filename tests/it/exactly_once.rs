//! QoS 2: a message that its device sends again, because it has not heard the answer, is stored once.

use std::net::SocketAddr;

use serde_json::Value;

use crate::support::hub::Installation;
use crate::support::{HubProcess, Mosquitto, MqttDevice, eventually};

const DATA: &str = "iot/devices/meter/data";

#[tokio::test]
async fn on_the_embedded_broker() {
    let hub = Installation::new().start().await;
    a_message_that_is_sent_again_is_stored_once(&hub, hub.mqtt.unwrap()).await;
}

#[tokio::test]
async fn on_mosquitto() {
    let mosquitto = Mosquitto::start().await;
    let hub = Installation::new().on_broker(mosquitto.address).start().await;
    a_message_that_is_sent_again_is_stored_once(&hub, mosquitto.address).await;
}

/// None of the messages has a time or an id of its own: to the hub two that are equal are two.
async fn a_message_that_is_sent_again_is_stored_once(hub: &HubProcess, broker: SocketAddr) {
    let mut device = MqttDevice::connect_to_session(broker, "meter").await.unwrap();
    device.begin_exactly_once(7, false, DATA, br#"{"n": 1}"#).await;
    device.begin_exactly_once(7, true, DATA, br#"{"n": 1}"#).await;
    device.end_exactly_once(7).await;
    // The id is free: under it comes another message, which only says the same.
    device.begin_exactly_once(7, false, DATA, br#"{"n": 1}"#).await;
    device.end_exactly_once(7).await;

    // The connection is lost before the answer is heard.
    device.begin_exactly_once(8, false, DATA, br#"{"n": 2}"#).await;
    drop(device);
    let mut device = MqttDevice::connect_to_session(broker, "meter").await.unwrap();
    device.begin_exactly_once(8, true, DATA, br#"{"n": 2}"#).await;
    device.end_exactly_once(8).await;
    // That it is over is said again, too.
    device.end_exactly_once(8).await;

    device.begin_exactly_once(9, false, DATA, br#"{"n": 3}"#).await;
    device.end_exactly_once(9).await;
    let stored = eventually("the last message is stored", async || {
        let answer = hub.get("/api/devices/meter/events?kind=telemetry&order=asc").await;
        let events: Vec<Value> = answer.json().await.ok()?;
        let stored: Vec<i64> = events.iter().filter_map(|event| event["data"]["n"].as_i64()).collect();
        (stored.last() == Some(&3)).then_some(stored)
    })
    .await;
    assert_eq!(stored, [1, 1, 2, 3]);
}
