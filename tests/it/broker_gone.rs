//! The broker goes for a while and comes back: the hub says so, keeps what is for the devices, and goes on.

use serde_json::json;

use crate::support::hub::Installation;
use crate::support::mqtt::BrokerMessage;
use crate::support::{Mosquitto, MqttDevice, WebSocketSession, eventually, within};

#[tokio::test]
async fn gone_for_a_while_and_back() {
    let mut mosquitto = Mosquitto::start().await;
    let hub = Installation::new().on_broker(mosquitto.address).start().await;
    let mut live = WebSocketSession::of_readings(hub.http, None).await;
    let mut device = MqttDevice::connect(mosquitto.address, "pump-1").await.unwrap();
    device.say("iot/devices/pump-1/data", r#"{"n": 1}"#).await;
    assert_eq!(within("a reading", live.next()).await.unwrap()["data"]["n"], 1);

    mosquitto.stop().await;
    eventually("the hub notices", async || (!hub.is_connected().await).then_some(())).await;
    assert_eq!(hub.json("/health").await["status"], "degraded");
    // People work on. What is for the device waits in the outbox, durably.
    let patch = json!({ "desired": { "power": "on" } });
    let changed =
        hub.request(reqwest::Method::PATCH, "/api/devices/pump-1/twin").json(&patch).send().await.unwrap();
    assert!(changed.status().is_success());

    mosquitto.start_again().await;
    let mut device = MqttDevice::connect(mosquitto.address, "pump-1").await.unwrap();
    device.subscribe("iot/devices/pump-1/desired").await.unwrap();
    eventually("the hub is back", async || hub.is_connected().await.then_some(())).await;
    device.say("iot/devices/pump-1/data", r#"{"n": 2}"#).await;
    assert_eq!(within("a reading", live.next()).await.unwrap()["data"]["n"], 2);
    // Published as the link came back; asked for, in case that was before this device subscribed.
    device.publish(0, "iot/devices/pump-1/get", b"").await.unwrap();
    let desired = within("what is desired", async {
        loop {
            if let BrokerMessage::Message { payload, .. } = device.next().await.unwrap() {
                return serde_json::from_slice::<serde_json::Value>(&payload).unwrap();
            }
        }
    })
    .await;
    assert_eq!(desired["desired"], json!({ "power": "on" }));
    eventually("nothing waits any more", async || {
        (hub.metric("twinhub_outbox_waiting").await == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_was_published_while_the_hub_was_away_is_not_lost() {
    let mosquitto = Mosquitto::start().await;
    let installation = Installation::new().on_broker(mosquitto.address);
    assert!(installation.start().await.terminate().await.success());
    let mut device = MqttDevice::connect(mosquitto.address, "pump-1").await.unwrap();
    for n in 0..500 {
        device.say("iot/devices/pump-1/data", &format!(r#"{{"n": {n}}}"#)).await;
    }
    let hub = installation.start().await;
    eventually("all of it is stored", async || {
        let response = hub.get("/api/devices/pump-1/data?limit=10000").await;
        let stored: serde_json::Value = response.json().await.unwrap();
        (stored.as_array().is_some_and(|readings| readings.len() == 500)).then_some(())
    })
    .await;
}
