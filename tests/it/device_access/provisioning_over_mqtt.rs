//! Devices register themselves over MQTT: with a provisioning key as the password, or through the pairing window.

use std::net::SocketAddr;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::hub::{HubProcess, Installation};
use crate::support::mqtt::{BrokerMessage, MqttDevice};
use crate::support::people::Person;

const HERE: [u8; 4] = [127, 0, 0, 1];
const REQUEST: &str = "iot/provision/request";

async fn strict_hub() -> (HubProcess, Person, SocketAddr) {
    let hub = Installation::new().with("--devices", "strict").start().await;
    let ann = Person::first(&hub, "ann").await;
    let broker = hub.mqtt.unwrap();
    (hub, ann, broker)
}

async fn key_of(hub: &HubProcess, ann: &Person, wish: &Value) -> (String, String) {
    let made = ann.send(hub, Method::POST, "/api/provisioning/keys", wish).await;
    assert_eq!(made.status(), 201);
    let made: Value = made.json().await.unwrap();
    (made["secret"].as_str().unwrap().to_owned(), made["id"].as_str().unwrap().to_owned())
}

/// Asks for a token, and gives the answer.
async fn ask(device: &mut MqttDevice, client: &str, body: &Value) -> Value {
    device.publish(1, REQUEST, body.to_string().as_bytes()).await.unwrap();
    loop {
        if let BrokerMessage::Message { topic, payload } = device.next().await.unwrap() {
            assert_eq!(topic, format!("iot/provision/response/{client}"));
            return serde_json::from_slice(&payload).unwrap();
        }
    }
}

#[tokio::test]
async fn a_device_asks_for_its_token_with_a_key_as_its_password() {
    let (hub, ann, broker) = strict_hub().await;
    for (path, body) in [
        ("/api/groups", json!({ "id": "hall", "name": "Hall" })),
        ("/api/templates", json!({ "id": "pump", "name": "Pump", "tags": { "kind": "pump" } })),
    ] {
        assert_eq!(ann.send(&hub, Method::POST, path, &body).await.status(), 201, "{path}");
    }
    let wish =
        json!({ "name": "line 3", "template_id": "pump", "group_id": "hall", "uses": 2, "ids": ["line3-*"] });
    let (key, id) = key_of(&hub, &ann, &wish).await;

    // The user name is the id that it wants.
    let mut device = MqttDevice::connect_as(broker, HERE, "esp", ("line3-1", &key)).await.unwrap();
    device.subscribe("iot/provision/response/+").await.unwrap();
    let made = ask(&mut device, "esp", &json!({ "serial_number": "S-1", "model": "P" })).await;
    assert_eq!((&made["status"], &made["device_id"]), (&json!(201), &json!("line3-1")), "{made}");
    let token = made["auth_token"].as_str().unwrap();
    let twin = ann.json(&hub, "/api/devices/line3-1").await;
    assert_eq!(
        (&twin["group_id"], &twin["template"]["id"], &twin["tags"]["kind"], &twin["serial_number"]),
        (&json!("hall"), &json!("pump"), &json!("pump"), &json!("S-1")),
        "{twin}"
    );

    // By the bounds of the key, in the words of the API; a refusal costs no use.
    for (body, status, code) in [
        (json!({ "device_id": "line4-1" }), 403, "key_unusable"),
        (json!({ "device_id": "line3-2", "serial_number": "S-1" }), 409, "serial_number_taken"),
        (json!({ "device_id": "a b" }), 422, "bad_field"),
        (json!({ "colour": "red" }), 422, "unknown_field"),
        (json!([1]), 422, "wrong_type"),
    ] {
        let refused = ask(&mut device, "esp", &body).await;
        assert_eq!((&refused["status"], &refused["code"]), (&json!(status), &json!(code)), "{refused}");
    }
    // A device whose answer was lost asks again, under its own name too.
    let mut again = MqttDevice::connect_as(broker, HERE, "line3-1", ("provision", &key)).await.unwrap();
    let renewed = ask(&mut again, "line3-1", &json!({ "device_id": "line3-1" })).await;
    assert_ne!(renewed["auth_token"], made["auth_token"], "{renewed}");
    assert_eq!(ann.json(&hub, "/api/provisioning/keys").await[0]["used"], 1);
    assert_eq!(MqttDevice::connect_as(broker, HERE, "x", ("line3-1", token)).await.err(), Some(4));
    let token = renewed["auth_token"].as_str().unwrap();
    let mut paired = MqttDevice::connect_as(broker, HERE, "line3-1", ("line3-1", token)).await.unwrap();
    paired.say("iot/devices/line3-1/data", r#"{"t": 1}"#).await;
    assert_eq!(ann.json(&hub, "/api/devices/line3-1/data").await[0]["value"], 1);
    let used = ann.json(&hub, "/api/audit?action=provisioning_key.used&target=device:line3-1").await;
    assert_eq!(
        (&used[0]["who"], &used[0]["target"], &used[0]["address"]),
        (&json!("key:provisioning/line 3"), &json!("device:line3-1"), &json!("127.0.0.1")),
        "{used}"
    );

    let path = format!("/api/provisioning/keys/{id}");
    assert_eq!(ann.request(&hub, Method::DELETE, &path).send().await.unwrap().status(), 200);
    device.until_ended().await;
    assert_eq!(MqttDevice::connect_as(broker, HERE, "esp", ("line3-9", &key)).await.err(), Some(4));
    let text = format!("{} {}", ann.json(&hub, "/api/audit").await, hub.log().join("\n"));
    assert!(!text.contains(&key) && !text.contains(token), "nobody is told a secret");
}

#[tokio::test]
async fn a_key_opens_nothing_else_and_nobody_overhears_an_answer() {
    let hub = Installation::new().with("--devices", "open").start().await;
    let ann = Person::first(&hub, "ann").await;
    let broker = hub.mqtt.unwrap();
    let (key, _) = key_of(&hub, &ann, &json!({ "name": "k" })).await;
    // On an open hub anybody listens to everything.
    let mut spy = MqttDevice::connect_from(broker, HERE, "spy").await.unwrap();
    spy.subscribe("#").await.unwrap();
    let mut device = MqttDevice::connect_as(broker, HERE, "esp", ("pump-1", &key)).await.unwrap();
    for filter in ["#", "iot/devices/pump-1/#", "iot/provision/request", "iot/provision/#"] {
        assert!(device.subscribe(filter).await.is_err(), "{filter}");
    }
    device.say("iot/devices/pump-1/data", r#"{"t": 1}"#).await;
    device.say("iot/provision/response/spy", "{}").await;
    spy.say(REQUEST, r#"{"device_id": "spy"}"#).await;
    spy.say("iot/provision/response/esp", r#"{"auth_token": "forged"}"#).await;
    let made = ask(&mut device, "esp", &json!({})).await;
    assert_eq!(made["status"], 201, "{made}");
    spy.publish(7, "the/last", b"word").await.unwrap();
    loop {
        match spy.next().await.unwrap() {
            BrokerMessage::Message { topic, .. } if topic == "the/last" => break,
            BrokerMessage::Message { topic, .. } => panic!("heard {topic}"),
            BrokerMessage::Acknowledged(_) => {}
        }
    }
    assert_eq!(ann.json(&hub, "/api/devices/pump-1/data").await, json!([]));
    let rejected = ann.json(&hub, "/api/diagnostics/rejected").await.to_string();
    assert!(rejected.contains("it takes a provisioning key, or an open pairing window"), "{rejected}");
    assert!(rejected.contains("hub_only_topic"), "{rejected}");
}

#[tokio::test]
async fn a_new_device_asks_for_its_token_while_the_pairing_window_is_open() {
    let (hub, ann, broker) = strict_hub().await;
    assert_eq!(ann.send(&hub, Method::POST, "/api/pairing", &json!({})).await.status(), 200);
    let old = json!({ "device_id": "old", "name": "Old" });
    assert_eq!(ann.send(&hub, Method::POST, "/api/devices", &old).await.status(), 201);

    let mut pump = MqttDevice::connect_from(broker, HERE, "pump-1").await.unwrap();
    pump.subscribe("iot/provision/response/pump-1").await.unwrap();
    pump.subscribe("iot/devices/pump-1/desired").await.unwrap();
    pump.say("iot/devices/pump-1/data", r#"{"t": 1}"#).await;
    let refused = ask(&mut pump, "pump-1", &json!({ "device_id": "old" })).await;
    assert_eq!((&refused["status"], &refused["code"]), (&json!(403), &json!("not_for_pairing")), "{refused}");
    let first = ask(&mut pump, "pump-1", &json!({ "device_id": "pump-1", "model": "P" })).await;
    assert_eq!(first["status"], 201, "{first}");
    let second = ask(&mut pump, "pump-1", &json!({ "device_id": "pump-1" })).await;
    assert_eq!(second["status"], 201, "the answer may have been lost: {second}");
    let mut thief = MqttDevice::connect_from(broker, [127, 0, 0, 2], "thief").await.unwrap();
    let refused = ask(&mut thief, "thief", &json!({ "device_id": "pump-1" })).await;
    assert_eq!(refused["code"], "not_for_pairing", "{refused}");

    let token = second["auth_token"].as_str().unwrap();
    let mut paired = MqttDevice::connect_as(broker, HERE, "pump-1", ("pump-1", token)).await.unwrap();
    paired.say("iot/devices/pump-1/data", r#"{"t": 2}"#).await;
    let twin = ann.json(&hub, "/api/devices/pump-1").await;
    assert_eq!((&twin["claimed"], &twin["model"]), (&json!(false), &json!("P")), "{twin}");
    assert_eq!(ann.request(&hub, Method::DELETE, "/api/pairing").send().await.unwrap().status(), 200);
    thief.until_ended().await;
    paired.say("iot/devices/pump-1/data", r#"{"t": 3}"#).await;
    assert_eq!(ann.json(&hub, "/api/devices/pump-1/data").await.as_array().unwrap().len(), 3);

    // A token that a person has given is not replaced.
    assert_eq!(ann.send(&hub, Method::POST, "/api/pairing", &json!({})).await.status(), 200);
    let mut again = MqttDevice::connect_from(broker, HERE, "late").await.unwrap();
    let refused = ask(&mut again, "late", &json!({ "device_id": "pump-1" })).await;
    assert_eq!(refused["code"], "not_for_pairing", "{refused}");
}
