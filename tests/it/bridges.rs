//! Bridges: programs that speak MQTT on the topics that they were given, and on no other.

use std::net::SocketAddr;

use reqwest::Method;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{LastWill, Packet, PubAckReason, SubscribeReasonCode};
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use serde_json::{Value, json};

use crate::support::hub::{HubProcess, Installation};
use crate::support::mqtt::{BrokerMessage, MqttDevice};
use crate::support::people::{Person, get_with, told};
use crate::support::within;

const HERE: [u8; 4] = [127, 0, 0, 1];

async fn strict_hub() -> (HubProcess, Person, SocketAddr) {
    let hub = Installation::new().with("--devices", "strict").start().await;
    let ann = Person::first(&hub, "ann").await;
    let broker = hub.mqtt.unwrap();
    (hub, ann, broker)
}

async fn put(hub: &HubProcess, ann: &Person, name: &str, body: &Value) -> (u16, Value) {
    let answer = ann.send(hub, Method::PUT, &format!("/api/bridges/{name}"), body).await;
    (answer.status().as_u16(), answer.json().await.unwrap())
}

/// A client of a bridge, in MQTT 5.
fn client(broker: SocketAddr, id: &str, secret: &str) -> MqttOptions {
    let mut options = MqttOptions::new(id, broker.ip().to_string(), broker.port());
    options.set_credentials("anything", secret);
    options
}

async fn until<T>(events: &mut EventLoop, wanted: impl Fn(&Packet) -> Option<T>) -> T {
    within("the broker's answer", async {
        loop {
            if let Event::Incoming(packet) = events.poll().await.unwrap()
                && let Some(found) = wanted(&packet)
            {
                return found;
            }
        }
    })
    .await
}

async fn publish(client: &AsyncClient, events: &mut EventLoop, topic: &str, retain: bool) -> PubAckReason {
    client.try_publish(topic, QoS::AtLeastOnce, retain, "{\"n\": 1}").unwrap();
    until(events, |packet| match packet {
        Packet::PubAck(ack) => Some(ack.reason),
        _ => None,
    })
    .await
}

async fn subscribe(client: &AsyncClient, events: &mut EventLoop, filter: &str) -> bool {
    client.try_subscribe(filter, QoS::AtLeastOnce).unwrap();
    until(events, |packet| match packet {
        Packet::SubAck(ack) => Some(matches!(ack.return_codes[0], SubscribeReasonCode::Success(_))),
        _ => None,
    })
    .await
}

#[tokio::test]
async fn a_bridge_speaks_on_its_topics_alone() {
    let (hub, ann, broker) = strict_hub().await;
    let topics =
        json!({ "publish": ["zigbee2mqtt/#", "iot/devices/z-1/data"], "subscribe": ["zigbee2mqtt/#"] });
    let (status, made) = put(&hub, &ann, "zigbee2mqtt", &topics).await;
    assert_eq!((status, &made["username"]), (201, &json!("bridge@zigbee2mqtt")), "{made}");
    let secret = made["secret"].as_str().unwrap();
    assert!(secret.starts_with("twh_brg_"), "{made}");

    let (z2m, mut events) = AsyncClient::new(client(broker, "z2m", secret), 16);
    for (topic, expected) in [
        ("zigbee2mqtt/bridge/state", PubAckReason::Success),
        ("zigbee2mqtt", PubAckReason::Success),
        ("iot/devices/z-1/data", PubAckReason::Success),
        ("iot/devices/z-2/data", PubAckReason::NotAuthorized),
        ("iot/devices/z-1/commands", PubAckReason::NotAuthorized),
        ("homeassistant/lamp/config", PubAckReason::NotAuthorized),
        ("iot/provision/request", PubAckReason::NotAuthorized),
        ("dispositivos/estado", PubAckReason::NotAuthorized),
    ] {
        assert_eq!(publish(&z2m, &mut events, topic, false).await, expected, "{topic}");
    }
    for (filter, expected) in [
        ("zigbee2mqtt/+/set", true),
        ("zigbee2mqtt/#", true),
        ("$share/g/zigbee2mqtt/#", true),
        ("#", false),
        ("+/+/set", false),
        ("$share/g/#", false),
        ("iot/devices/z-1/data", false),
        ("homeassistant/status", false),
    ] {
        assert_eq!(subscribe(&z2m, &mut events, filter).await, expected, "{filter}");
    }
    // What it has retained is there for whoever of it comes later.
    let retained = publish(&z2m, &mut events, "zigbee2mqtt/bridge/devices", true).await;
    assert_eq!(retained, PubAckReason::Success);
    let mut later =
        MqttDevice::connect_as(broker, HERE, "later", ("bridge@zigbee2mqtt", secret)).await.unwrap();
    later.subscribe("zigbee2mqtt/bridge/devices").await.unwrap();
    let devices = BrokerMessage::Message {
        topic: "zigbee2mqtt/bridge/devices".into(),
        payload: b"{\"n\": 1}".to_vec(),
    };
    assert_eq!(later.next().await.unwrap(), devices);
    let twin = ann.json(&hub, "/api/devices/z-1/data").await;
    assert_eq!(twin[0]["value"], 1, "it speaks as a device where its topics are so: {twin}");

    for (topic, is_let_in) in [("zigbee2mqtt/bridge/state", true), ("iot/devices/z-1/status", false)] {
        let mut options = client(broker, "willing", secret);
        options.set_last_will(LastWill::new(topic, "offline", QoS::AtLeastOnce, true, None));
        let (_client, mut events) = AsyncClient::new(options, 4);
        let came = within("the broker's answer", events.poll()).await.is_ok();
        assert_eq!(came, is_let_in, "a last will on {topic}");
    }
    for path in ["/api/devices", "/api/bridges", "/metrics"] {
        assert_eq!(get_with(&hub, secret, path).await.0, 403, "{path}");
    }
}

#[tokio::test]
async fn a_bridge_is_changed_listed_and_revoked() {
    let (hub, ann, broker) = strict_hub().await;
    let (status, made) = put(&hub, &ann, "ha", &json!({ "publish": "ha/#" })).await;
    assert_eq!(status, 201);
    let secret = made["secret"].as_str().unwrap();
    let mut first = MqttDevice::connect_as(broker, HERE, "ha", ("ha", secret)).await.unwrap();
    assert!(first.subscribe("ha/#").await.is_err());
    let (status, changed) =
        put(&hub, &ann, "ha", &json!({ "publish": ["ha/#"], "subscribe": ["ha/#"] })).await;
    assert_eq!((status, &changed["secret"]), (200, &Value::Null), "{changed}");
    first.until_ended().await;
    let mut second = MqttDevice::connect_as(broker, HERE, "ha", ("ha", secret)).await.unwrap();
    second.subscribe("ha/#").await.unwrap();
    let listed = ann.json(&hub, "/api/bridges").await;
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert_eq!(listed[0]["subscribe"], json!(["ha/#"]), "{listed}");
    assert!(!listed.to_string().contains(secret));

    let revoked = ann.request(&hub, Method::DELETE, "/api/bridges/ha").send().await.unwrap();
    assert_eq!(revoked.status(), 200);
    second.until_ended().await;
    assert_eq!(MqttDevice::connect_as(broker, HERE, "ha", ("ha", secret)).await.err(), Some(4));
    let again = ann.request(&hub, Method::DELETE, "/api/bridges/ha").send().await.unwrap();
    assert_eq!(told(again).await.0, 404);
    let audit = ann.json(&hub, "/api/audit?target=bridge:ha").await;
    let actions: Vec<_> = audit.as_array().unwrap().iter().map(|entry| entry["action"].clone()).collect();
    assert_eq!(actions, ["bridge.revoked", "bridge.changed", "bridge.created"], "{audit}");
    assert_eq!(audit[1]["detail"]["subscribe"], json!(["ha/#"]), "{audit}");
}

#[tokio::test]
async fn topics_of_the_hub_are_given_where_it_is_said_alone() {
    let (hub, ann, broker) = strict_hub().await;
    let bob = ann.add(&hub, "bob", "operator").await;
    let refused = bob.send(&hub, Method::PUT, "/api/bridges/b", &json!({ "publish": ["b/#"] })).await;
    assert_eq!(told(refused).await, (403, "forbidden".into()));
    for (name, body, field) in [
        ("other", json!({ "subscribe": ["#"] }), "subscribe"),
        ("other", json!({ "publish": ["iot/devices/+/commands"] }), "publish"),
        ("other", json!({ "publish": ["a/#/b"] }), "publish"),
        ("other", json!({ "publish": ["$SYS/#"] }), "publish"),
        ("other", json!({ "topics": [] }), "topics"),
        ("a%20b", json!({}), "name"),
    ] {
        let (status, problem) = put(&hub, &ann, name, &body).await;
        assert_eq!((status, &problem["field"]), (422, &json!(field)), "{body}: {problem}");
    }
    let all = json!({ "publish": ["iot/devices/+/commands"], "subscribe": ["#"], "hub_topics": true });
    let (status, made) = put(&hub, &ann, "other", &all).await;
    assert_eq!(status, 201, "{made}");
    let secret = made["secret"].as_str().unwrap();
    let (other, mut events) = AsyncClient::new(client(broker, "other", secret), 16);
    assert!(subscribe(&other, &mut events, "#").await);
    assert_eq!(publish(&other, &mut events, "iot/devices/p/commands", false).await, PubAckReason::Success);
    assert_eq!(
        publish(&other, &mut events, "iot/devices/p/desired", false).await,
        PubAckReason::NotAuthorized
    );
}
