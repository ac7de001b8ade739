//! Sensors that publish by MQTT, with paho of PyPI as the system's own scripts do.

use serde_json::{Value, json};
use tokio::process::Command;

use super::{ROOT, listed};
use crate::support::hub::Installation;
use crate::support::{HubProcess, MqttDevice, eventually, within};

/// Publishes these payloads on `topic`, and waits until the broker has acknowledged each.
async fn publish(hub: &HubProcess, topic: &str, payloads: &[&str]) {
    let mut paho = Command::new(format!("{ROOT}/target/clients/python/bin/python"));
    paho.arg(format!("{ROOT}/tests/it/iamis/publisher.py"));
    paho.args([&hub.mqtt.unwrap().port().to_string(), topic]).args(payloads).kill_on_drop(true);
    let ended = within("paho has published", paho.status()).await;
    assert!(ended.expect("tests/clients/install has installed it").success());
}

#[tokio::test]
async fn what_validates_is_stored_and_the_rest_is_named_among_the_rejected() {
    let hub = Installation::new().start().await;
    let payloads = [
        r#"{"sensor_type": "temperature", "value": 22.5, "unit": "°C"}"#,
        r#"{"sensor_type": "temperature", "value": "23.25", "unit": "°C", "room": "cellar"}"#,
        r#"{"sensor_type": "temperature", "unit": "°C"}"#,
        "not json",
        r#"{"sensor_type": "humidity", "value": 40, "unit": "%"}"#,
    ];
    publish(&hub, "sensor/data", &payloads).await;
    // Acknowledged means stored.
    assert_eq!(listed(&hub, "/sensor-data/temperature/", "value").await, [json!(23.25), json!(22.5)]);
    assert_eq!(listed(&hub, "/sensor-data/humidity/", "id").await, [3]);
    let rejected = hub.json("/api/diagnostics/rejected").await;
    let reasons: Vec<&Value> = rejected.as_array().unwrap().iter().map(|entry| &entry["reason"]).collect();
    assert!(reasons.contains(&&json!("wrong_type")) && reasons.contains(&&json!("not_json")), "{rejected}");
}

#[tokio::test]
async fn the_topic_and_the_device_are_set_by_options() {
    let installation =
        Installation::new().with("--sensor-data-topic", "plant/+/data").with("--sensor-data-device", "plant");
    let hub = installation.start().await;
    let payload = r#"{"sensor_type": "flow", "value": 3, "unit": "l/min"}"#;
    publish(&hub, "plant/1/data", &[payload]).await;
    publish(&hub, "sensor/data", &[payload]).await;
    assert_eq!(listed(&hub, "/sensor-data/flow/", "id").await, [1]);
    assert_eq!(hub.json("/api/devices/plant").await["readings"]["flow"]["value"], 3);
    assert_eq!(hub.get("/api/devices/sensor-data").await.status(), 404);
}

/// Where clients have passwords, the topic is the device's own.
#[tokio::test]
async fn its_own_device_alone_publishes_where_devices_have_passwords() {
    let hub = Installation::new().with("--devices", "strict").start().await;
    let register = async |id: &str| {
        let registered = hub.post("/api/devices", &json!({ "device_id": id, "name": id })).await;
        registered.json::<Value>().await.unwrap()["auth_token"].as_str().unwrap().to_owned()
    };
    let (own, other) = (register("sensor-data").await, register("other").await);
    let payload = r#"{"sensor_type": "t", "value": 1, "unit": "x"}"#;
    for (id, token) in [("other", &other), ("sensor-data", &own)] {
        let mut device =
            MqttDevice::connect_as(hub.mqtt.unwrap(), [127, 0, 0, 1], id, (id, token)).await.unwrap();
        device.say("sensor/data", payload).await;
    }
    eventually("the device's reading is stored", async || {
        (listed(&hub, "/sensor-data/t/", "id").await == [1]).then_some(())
    })
    .await;
    let rejected = hub.json("/api/diagnostics/rejected").await;
    assert_eq!(rejected[0]["reason"], "not_authorized", "{rejected}");
}
