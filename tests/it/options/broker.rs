//! Options of the embedded broker.

use crate::support::hub::Installation;
use crate::support::mqtt::BrokerMessage;
use crate::support::{HubProcess, Mosquitto, MqttDevice, eventually, within};

/// A client that has subscribed and gone.
async fn leave(hub: &HubProcess, name: &str) {
    let mut absent = MqttDevice::connect_to_session(hub.mqtt.unwrap(), name).await.unwrap();
    absent.subscribe(&format!("news/{name}")).await.unwrap();
    drop(absent);
    eventually("it is seen to have gone", async || {
        (hub.metric("twinhub_mqtt_connections").await == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_broker_that_runs_elsewhere() {
    let mosquitto = Mosquitto::start().await;
    let hub = Installation::new().with("--mqtt", &format!("mqtt://{}", mosquitto.address)).start().await;
    assert_eq!(hub.mqtt, None, "there is no embedded one then");
    let mut device = MqttDevice::connect(mosquitto.address, "room").await.unwrap();
    device.say("iot/devices/room/data", r#"{"n": 1}"#).await;
    eventually("its reading is stored", async || {
        hub.get("/api/devices/room").await.status().is_success().then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_largest_payload() {
    let hub = Installation::new().with("--mqtt-payload-limit", "100B").start().await;
    let mut device = MqttDevice::connect(hub.mqtt.unwrap(), "room").await.unwrap();
    let reading = |length: usize| format!("{:<length$}", r#"{"n": 1}"#);
    device.say("iot/devices/room/data", &reading(100)).await;
    assert_eq!(hub.metric("twinhub_messages_rejected_total").await, 0);
    device.say("iot/devices/room/data", &reading(101)).await;
    let rejected = hub.json("/api/diagnostics/rejected").await;
    assert_eq!(rejected[0]["reason"], "too_large", "{rejected}");
    assert_eq!(hub.metric("twinhub_inputs_committed_total").await, 1);
}

#[tokio::test]
async fn the_largest_retained_message() {
    let hub = Installation::new().with("--mqtt-retained-limit", "10B").start().await;
    let mut device = MqttDevice::connect(hub.mqtt.unwrap(), "bridge").await.unwrap();
    for (topic, payload, kept) in
        [("a/small", "0123456789", 1), ("a/large", "0123456789x", 1), ("a/b", "0", 2)]
    {
        device.retain(1, topic, payload.as_bytes()).await.unwrap();
        assert_eq!(within("a PUBACK", device.next()).await.unwrap(), BrokerMessage::Acknowledged(1));
        assert_eq!(hub.metric("twinhub_mqtt_retained_messages").await, kept, "{topic}");
    }
    assert_eq!(hub.metric("twinhub_mqtt_retained_refused_total").await, 1);
}

#[tokio::test]
async fn all_retained_messages() {
    let hub = Installation::new().with("--mqtt-retained-total", "20KiB").start().await;
    let mut device = MqttDevice::connect(hub.mqtt.unwrap(), "bridge").await.unwrap();
    for n in 0..5 {
        device.retain(1, &format!("a/{n}"), &[b'x'; 8_000]).await.unwrap();
        assert_eq!(within("a PUBACK", device.next()).await.unwrap(), BrokerMessage::Acknowledged(1));
    }
    assert_eq!(hub.metric("twinhub_mqtt_retained_messages").await, 2);
    assert_eq!(hub.metric("twinhub_mqtt_retained_refused_total").await, 3);
}

#[tokio::test]
async fn how_many_sessions() {
    let hub = Installation::new().with("--mqtt-sessions", "2").start().await;
    for name in ["a", "b", "c", "d"] {
        leave(&hub, name).await;
    }
    eventually("two sessions end", async || {
        (hub.metric("twinhub_mqtt_sessions_ended_total").await == 2).then_some(())
    })
    .await;
    assert_eq!(hub.metric("twinhub_mqtt_sessions").await, 2);
}

#[tokio::test]
async fn what_an_absent_client_may_have_waiting() {
    let hub = Installation::new().with("--mqtt-session-limit", "20KiB").start().await;
    leave(&hub, "a").await;
    let mut other = MqttDevice::connect(hub.mqtt.unwrap(), "other").await.unwrap();
    for _ in 0..5 {
        other.say("news/a", &"x".repeat(8_000)).await;
    }
    eventually("what waits is counted", async || {
        (hub.metric("twinhub_mqtt_session_messages").await == 2).then_some(())
    })
    .await;
    assert_eq!(hub.metric("twinhub_mqtt_session_dropped_total").await, 3);
}

#[tokio::test]
async fn what_all_absent_clients_may_have_waiting() {
    let hub = Installation::new().with("--mqtt-sessions-total", "20KiB").start().await;
    for name in ["a", "b", "c"] {
        leave(&hub, name).await;
    }
    let mut other = MqttDevice::connect(hub.mqtt.unwrap(), "other").await.unwrap();
    for name in ["a", "b", "c"] {
        other.say(&format!("news/{name}"), &"x".repeat(8_000)).await;
    }
    eventually("a session ends", async || {
        (hub.metric("twinhub_mqtt_sessions_ended_total").await > 0).then_some(())
    })
    .await;
    eventually("the others stay", async || {
        let bytes = hub.metric("twinhub_mqtt_session_bytes").await;
        (8_000..=20 * 1_024).contains(&bytes).then_some(())
    })
    .await;
}
