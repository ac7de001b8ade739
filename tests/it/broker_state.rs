//! The state that the embedded broker keeps over restarts, by power cut and by order, and its word on its limits.

use std::collections::BTreeSet;

use reqwest::Method;

use crate::support::hub::Installation;
use crate::support::mqtt::BrokerMessage;
use crate::support::{HubProcess, MqttDevice, eventually, within};

const MESSAGES: u64 = 400;
const WINDOW: usize = 50;

fn topic(number: u64) -> String {
    format!("announce/{number}/config")
}

/// The retained messages below `announce`, until a message that is published now.
async fn announced(hub: &HubProcess) -> BTreeSet<String> {
    let mut app = MqttDevice::connect(hub.mqtt.unwrap(), "app").await.unwrap();
    app.subscribe("announce/#").await.unwrap();
    let mut other = MqttDevice::connect(hub.mqtt.unwrap(), "other").await.unwrap();
    let mut found = BTreeSet::new();
    let retained = hub.metric("twinhub_mqtt_retained_messages").await;
    while (found.len() as u64) < retained {
        if let BrokerMessage::Message { topic, .. } = within("a retained message", app.next()).await.unwrap()
        {
            found.insert(topic);
        }
    }
    other.say("announce/end", "now").await;
    let last = within("the end", app.next()).await.unwrap();
    assert_eq!(last, BrokerMessage::Message { topic: "announce/end".into(), payload: b"now".to_vec() });
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_retained_messages_last_over_kills_and_restarts() {
    let installation = Installation::new();
    let hub = installation.start().await;
    let mut device = MqttDevice::connect(hub.mqtt.unwrap(), "bridge").await.unwrap();
    let mut acknowledged = BTreeSet::new();
    for number in 0..MESSAGES {
        while device.unacknowledged() >= WINDOW {
            if let BrokerMessage::Acknowledged(number) = within("a PUBACK", device.next()).await.unwrap() {
                acknowledged.insert(topic(number));
            }
        }
        device.retain(number, &topic(number), b"{}").await.unwrap();
    }
    assert!(!acknowledged.is_empty());
    hub.kill().await; // with a window full of others on their way
    let hub = installation.start().await;
    let found = announced(&hub).await;
    assert!(found.is_superset(&acknowledged), "lost: {:?}", acknowledged.difference(&found));
    hub.terminate().await;
    let hub = installation.start().await;
    assert_eq!(announced(&hub).await, found);
    hub.terminate().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn retained_messages_of_a_deleted_device_are_gone() {
    let installation = Installation::new();
    let hub = installation.start().await;
    let mut device = MqttDevice::connect(hub.mqtt.unwrap(), "pump-1").await.unwrap();
    device.retain(1, "iot/devices/pump-1/status", b"online").await.unwrap();
    within("a PUBACK", device.next()).await.unwrap();
    assert_eq!(hub.metric("twinhub_mqtt_retained_messages").await, 1);
    let deleted = hub.request(Method::DELETE, "/api/devices/pump-1").send().await.unwrap();
    assert!(deleted.status().is_success());
    eventually("it is cleared", async || {
        (hub.metric("twinhub_mqtt_retained_messages").await == 0).then_some(())
    })
    .await;
    hub.kill().await;
    let hub = installation.start().await;
    assert_eq!(hub.metric("twinhub_mqtt_retained_messages").await, 0);
    hub.terminate().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn health_says_that_the_broker_is_full() {
    let installation = Installation::new().with("--mqtt-connections", "1");
    let hub = installation.start().await;
    assert_eq!(hub.json("/health").await["status"], "healthy");
    let first = MqttDevice::connect(hub.mqtt.unwrap(), "first").await.unwrap();
    let refused = MqttDevice::connect(hub.mqtt.unwrap(), "second").await.err().unwrap().to_string();
    assert!(refused.contains("[0, 3]"), "CONNACK, server unavailable: {refused}");
    let health = hub.json("/health").await;
    assert_eq!((&health["status"], &health["parts"]["mqtt"]["status"]), (&"degraded".into(), &"full".into()));
    let broker = &health["parts"]["mqtt"]["broker"];
    assert_eq!((&broker["most_connections"], &broker["connections_refused"]), (&1.into(), &1.into()));
    assert_eq!(hub.metric("twinhub_mqtt_connections_refused_total").await, 1);
    drop(first);
    eventually("there is room again", async || {
        (hub.json("/health").await["status"] == "healthy").then_some(())
    })
    .await;
    hub.terminate().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_full_sessions_drop_are_counted() {
    let installation = Installation::new().with("--mqtt-session-messages", "10");
    let hub = installation.start().await;
    let mut absent = MqttDevice::connect_to_session(hub.mqtt.unwrap(), "absent").await.unwrap();
    absent.subscribe("news/#").await.unwrap();
    drop(absent);
    eventually("it is seen to have gone", async || {
        (hub.metric("twinhub_mqtt_connections").await == 0).then_some(())
    })
    .await;
    let mut other = MqttDevice::connect(hub.mqtt.unwrap(), "other").await.unwrap();
    for _ in 0..30 {
        other.say("news/x", "1").await;
    }
    assert_eq!(hub.metric("twinhub_mqtt_session_dropped_total").await, 20);
    eventually("what waits is counted", async || {
        (hub.metric("twinhub_mqtt_session_messages").await == 10).then_some(())
    })
    .await;
    hub.terminate().await;
}
