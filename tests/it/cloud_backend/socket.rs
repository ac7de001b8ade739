//! `/ws`, by a plain client.

use futures_util::SinkExt as _;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::{PlainSocket, Sensor, ago};
use crate::support::eventually;
use crate::support::hub::Installation;

#[tokio::test]
async fn frames_are_those_of_the_text() {
    let hub = Installation::new().start().await;
    let mut socket = PlainSocket::greeted(hub.http).await;
    let (at, mut sensor) = (ago(60), Sensor::connect(&hub).await);
    let payload = json!({ "value": 24.2, "unit": "°C", "origin": "edge", "ts": at });
    sensor.say("sensors/temperature/temp-001", &payload).await;
    let expected = json!({
        "timestamp": at, "sensor_type": "temperature", "sensor_id": "temp-001", "value": 24.2, "unit": "°C",
        "origin": "edge", "source_protocol": "mqtt", "anomaly": false, "raw_data": payload.to_string(),
    });
    assert_eq!(socket.next().await, ("sensor_data".to_owned(), expected));

    sensor.say("sensors/temperature/temp-001", &json!({ "value": 45.8, "anomaly": true })).await;
    let (kind, data) = socket.next().await;
    assert_eq!((kind.as_str(), &data["anomaly"]), ("sensor_data", &json!(true)));
    let alert = json!({
        "sensor_id": "temp-001", "sensor_type": "temperature", "value": 45.8,
        "message": "Temperature reading exceeds normal range", "severity": "warning",
    });
    assert_eq!(socket.next().await, ("alert".to_owned(), alert));

    sensor.0.say("nodered/status", "flows are up").await;
    let status = json!({ "service": "node-red", "status": "flows are up", "topic": "nodered/status" });
    assert_eq!(socket.next().await, ("system_status".to_owned(), status));

    // What belongs to other systems is no frame here.
    sensor.0.say("iot/devices/pump-1/data", r#"{"temperature": 1}"#).await;
    sensor.say("system/edge", &json!({})).await;
    sensor.say("sensors/humidity/h", &json!({ "value": 1 })).await;
    assert_eq!(socket.next().await.1["sensor_type"], "humidity");
}

#[tokio::test]
async fn words_of_the_client_are_answered() {
    let hub = Installation::new().start().await;
    let mut socket = PlainSocket::greeted(hub.http).await;
    for (said, kind, data) in [
        (r#"{"type":"ping"}"#, "pong", json!({})),
        (
            r#"{"type":"subscribe","topics":["temperature"]}"#,
            "subscribed",
            json!({ "topics": ["temperature"] }),
        ),
        ("{", "error", json!({ "message": "Invalid JSON format" })),
    ] {
        socket.send(r#"{"type":"nobody knows it"}"#).await;
        socket.send(said).await;
        assert_eq!(socket.next().await, (kind.to_owned(), data), "{said}");
    }
    // It filters nothing.
    Sensor::connect(&hub).await.say("sensors/humidity/h", &json!({ "value": 1 })).await;
    assert_eq!(socket.next().await.1["sensor_type"], "humidity");
    assert_eq!(hub.json("/api/status").await["active_websockets"], 1);
    let mut other = PlainSocket::greeted(hub.http).await;
    assert_eq!(hub.json("/api/status").await["active_websockets"], 2);

    other.0.send(Message::binary(vec![1])).await.unwrap();
    assert_eq!(other.closed().await.map(|frame| frame.code.into()), Some(1003_u16));
    let mut third = PlainSocket::greeted(hub.http).await;
    third.send(&"x".repeat(70_000)).await;
    assert_eq!(third.closed().await.map(|frame| frame.code.into()), Some(1009_u16));
    socket.0.close(None).await.unwrap();
    eventually("all have left", async || {
        let left: Value = hub.json("/api/status").await;
        (left["active_websockets"] == 0).then_some(())
    })
    .await;
    assert_eq!(hub.get("/ws").await.status(), 400, "no handshake");
}

#[tokio::test]
async fn sockets_are_told_when_the_hub_shuts_down() {
    let hub = Installation::new().start().await;
    let mut socket = PlainSocket::greeted(hub.http).await;
    hub.signal("TERM").await;
    assert_eq!(socket.closed().await.map(|frame| frame.code.into()), Some(1001_u16));
    assert!(hub.ended().await.0.success());
}
