//! The lines that the guide of an older system gives its users to try, word for word but the ports.

use tokio::process::Command;

use crate::support::hub::Installation;
use crate::support::within;

const PUBLISH: &str = r#"mosquitto_pub -p MQTT -t "iot/devices/test_device/data" -m '{
    "temperature": 23.5,
    "humidity": 55,
    "pressure": 1013.25
}'"#;

const LIST: &str = "curl http://localhost:5000/api/devices";

const ADD: &str = r#"curl -X POST http://localhost:5000/api/devices \
  -H "Content-Type: application/json" \
  -d '{"device_id": "test_device", "name": "Test Sensor"}'"#;

#[tokio::test]
async fn publish_then_list_then_add() {
    let hub = Installation::new().start().await;
    let ports = (hub.mqtt.unwrap().port(), hub.http.port());
    shell(PUBLISH, ports).await;
    let listed = crate::support::eventually("the device is listed", async || {
        let listed = shell(LIST, ports).await;
        listed.as_array().unwrap().first().cloned()
    })
    .await;
    assert_eq!(listed["device_id"], "test_device");
    assert_eq!(listed["status"], "online");
    assert!(listed["last_seen"].is_string());
    assert_eq!((&listed["temperature"], &listed["humidity"]), (&23.5.into(), &55.into()));
    assert_eq!(listed["pressure"], 1013.25);

    let added = shell(ADD, ports).await;
    assert_eq!(added["device_id"], "test_device", "{added}");
    assert_eq!(added["message"], "Device added successfully", "{added}");
    let listed = shell(LIST, ports).await;
    assert_eq!((&listed[0]["name"], &listed[0]["claimed"]), (&"Test Sensor".into(), &true.into()));
    assert_eq!(listed[0]["temperature"], 23.5);

    let taken = shell(ADD, ports).await;
    assert_eq!(taken["error"], "Device ID already exists", "an id is taken once: {taken}");
    assert_eq!(taken["status"], 409);
}

#[tokio::test]
async fn add_then_list_then_publish() {
    let hub = Installation::new().start().await;
    let ports = (hub.mqtt.unwrap().port(), hub.http.port());
    assert_eq!(shell(ADD, ports).await["device_id"], "test_device");
    let listed = shell(LIST, ports).await;
    assert_eq!(
        (&listed[0]["name"], listed[0].get("temperature"), &listed[0]["status"]),
        (&"Test Sensor".into(), Some(&serde_json::Value::Null), &"offline".into())
    );
    shell(PUBLISH, ports).await;
    crate::support::eventually("the reading is listed", async || {
        (shell(LIST, ports).await[0]["temperature"] == 23.5).then_some(())
    })
    .await;
}

/// Runs a line with our ports in it; what it prints is JSON, or nothing.
async fn shell(line: &str, (mqtt, http): (u16, u16)) -> serde_json::Value {
    let line =
        line.replace("MQTT", &mqtt.to_string()).replace("localhost:5000", &format!("localhost:{http}"));
    let output = within("it ends", Command::new("sh").args(["-c", &line]).output()).await.unwrap();
    assert!(output.status.success(), "{line}: {output:?}");
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}
