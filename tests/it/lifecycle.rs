//! A device's life: registered, heard, suspended, in service again, retired; and what is left when it is removed.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::hub::Installation;
use crate::support::mqtt::BrokerMessage;
use crate::support::pump::register;
use crate::support::{HubProcess, MqttDevice, eventually, within};

async fn live(hub: &HubProcess, state: &str, status: StatusCode) -> Value {
    let body = json!({ "state": state, "reason": "the story says so" });
    let answer = hub.request(Method::PUT, "/api/devices/pump-1/lifecycle").json(&body).send().await.unwrap();
    assert_eq!(answer.status(), status, "{state}");
    answer.json().await.unwrap()
}

async fn listed(hub: &HubProcess, state: &str) -> Value {
    let devices = hub.json(&format!("/api/devices?lifecycle={state}")).await;
    devices.as_array().unwrap().iter().map(|device| device["id"].clone()).collect()
}

#[tokio::test]
async fn a_suspended_device_is_refused_and_counted_until_it_is_active_again() {
    let hub = Installation::new().start().await;
    register(&hub, "pump-1").await;
    assert_eq!(hub.json("/api/devices/pump-1").await["lifecycle"], "provisioned");
    assert_eq!(listed(&hub, "provisioned").await, json!(["pump-1"]));
    let mut mqtt = MqttDevice::connect(hub.mqtt.unwrap(), "pump-1").await.unwrap();
    mqtt.say("iot/devices/pump-1/status", "online").await;
    mqtt.say("iot/devices/pump-1/data", r#"{"t": 1}"#).await;
    assert_eq!(hub.json("/api/devices/pump-1/lifecycle").await["lifecycle"], "active");
    assert_eq!(
        (listed(&hub, "provisioned").await, listed(&hub, "active").await),
        (json!([]), json!(["pump-1"]))
    );

    let suspended = live(&hub, "suspended", StatusCode::OK).await;
    assert_eq!((&suspended["device_id"], &suspended["lifecycle"]), (&json!("pump-1"), &json!("suspended")));
    for (leaf, payload) in
        [("data", r#"{"t": 2}"#), ("state", r#"{"power": "on"}"#), ("status", "online"), ("get", "")]
    {
        mqtt.say(&format!("iot/devices/pump-1/{leaf}"), payload).await;
    }
    let over_http = hub.post("/api/devices/pump-1/data", &json!({ "t": 3 })).await;
    assert_eq!(over_http.status(), StatusCode::CONFLICT);
    assert_eq!(over_http.json::<Value>().await.unwrap()["code"], "suspended");
    let poll = hub.get("/api/devices/pump-1/commands?status=pending&wait=1s").await;
    assert_eq!(poll.status(), StatusCode::CONFLICT);

    let status = hub.json("/api/devices/pump-1/status").await;
    assert_eq!((&status["lifecycle"], &status["refused_messages"]), (&json!("suspended"), &json!(6)));
    assert_eq!(
        (&status["status"], &status["connection"]["disconnect_reason"]),
        (&json!("offline"), &json!("suspended"))
    );
    assert_eq!(hub.json("/api/devices/pump-1/twin").await["reported"], json!({ "t": 1 }));
    assert_eq!(hub.metric("twinhub_messages_out_of_service_total").await, 6);
    let rejected = hub.json("/api/diagnostics/rejected").await;
    assert_eq!((rejected.as_array().unwrap().len(), &rejected[0]["reason"]), (4, &json!("suspended")));

    let command = hub.post("/api/devices/pump-1/commands", &json!({ "command_type": "go" })).await;
    let code = async |answer: reqwest::Response| {
        (answer.status(), answer.json::<Value>().await.unwrap()["code"].clone())
    };
    assert_eq!(code(command).await, (StatusCode::CONFLICT, json!("suspended")));
    let patch = |body: Value| hub.request(Method::PATCH, "/api/devices/pump-1/twin").json(&body).send();
    assert_eq!(code(patch(json!({ "desired": { "power": "on" } })).await.unwrap()).await.1, "suspended");
    assert_eq!(patch(json!({ "tags": { "broken": true } })).await.unwrap().status(), StatusCode::OK);
    let events = hub.json("/api/devices/pump-1/events?kind=twin").await;
    let change =
        events.as_array().unwrap().iter().find(|event| event["data"]["change"] == "lifecycle").unwrap();
    let told = json!({ "state": "suspended", "was": "active", "reason": "the story says so" });
    assert_eq!(change["data"]["lifecycle"], told);

    live(&hub, "active", StatusCode::OK).await;
    assert_eq!(hub.json("/api/devices/pump-1/status").await["refused_messages"], 0);
    mqtt.say("iot/devices/pump-1/data", r#"{"t": 4}"#).await;
    let device = hub.json("/api/devices/pump-1").await;
    assert_eq!((&device["status"], &device["reported"]["t"]), (&json!("online"), &json!(4)));
}

#[tokio::test]
async fn a_retired_device_keeps_its_history_and_a_removed_one_says_how_much_it_had() {
    let installation = Installation::new();
    let hub = installation.start().await;
    register(&hub, "pump-1").await;
    for n in 0..10 {
        let stored = hub.post("/api/devices/pump-1/data", &json!({ "t": n, "u": n })).await;
        assert_eq!(stored.status(), StatusCode::CREATED);
    }
    let asked = hub.post("/api/devices/pump-1/commands", &json!({ "command_type": "go" })).await;
    let command = asked.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned();
    live(&hub, "retired", StatusCode::OK).await;
    assert_eq!(hub.json(&format!("/api/commands/{command}")).await["status"], "canceled");
    hub.kill().await;

    let hub = installation.start().await;
    let device = hub.json("/api/devices/pump-1").await;
    assert_eq!((&device["lifecycle"], &device["status"]), (&json!("retired"), &json!("offline")));
    assert_eq!(hub.json("/api/devices/pump-1/data").await.as_array().unwrap().len(), 20);
    for state in ["active", "suspended"] {
        assert_eq!(live(&hub, state, StatusCode::CONFLICT).await["code"], "retired");
    }
    live(&hub, "retired", StatusCode::OK).await;
    let refused = hub.post("/api/devices/pump-1/data", &json!({ "t": 1 })).await;
    assert_eq!(refused.json::<Value>().await.unwrap()["code"], "retired");
    for (body, field) in [(json!({ "state": "provisioned" }), "state"), (json!({ "stat": "active" }), "stat")]
    {
        let wrong =
            hub.request(Method::PUT, "/api/devices/pump-1/lifecycle").json(&body).send().await.unwrap();
        assert_eq!(wrong.status(), StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(wrong.json::<Value>().await.unwrap()["field"], field);
    }

    let log = hub.json("/api/devices/pump-1/events?kind=twin,presence,command,alarm&limit=1000").await;
    let removed = hub.request(Method::DELETE, "/api/devices/pump-1").send().await.unwrap();
    let removed = removed.json::<Value>().await.unwrap();
    let expected =
        json!({ "readings": 20, "events": log.as_array().unwrap().len(), "commands": 1, "alarms": 0 });
    assert_eq!(removed["removed"], expected);
    eventually("it is gone", async || {
        (hub.get("/api/devices/pump-1").await.status() == StatusCode::NOT_FOUND).then_some(())
    })
    .await;
    let again = hub.request(Method::DELETE, "/api/devices/pump-1").send().await.unwrap();
    assert_eq!(again.status(), StatusCode::NOT_FOUND);
    register(&hub, "pump-1").await;
    assert_eq!(hub.json("/api/devices/pump-1").await["lifecycle"], "provisioned");
}

/// A command that the broker has handed over goes with its device: nothing of it reaches who has the id next.
#[tokio::test]
async fn a_device_is_not_given_the_commands_of_a_removed_one_with_its_id() {
    let hub = Installation::new().start().await;
    register(&hub, "pump-1").await;
    let topic = "iot/devices/pump-1/commands";
    let mut old = MqttDevice::connect_to_session(hub.mqtt.unwrap(), "pump-1").await.unwrap();
    old.subscribe(topic).await.unwrap();
    old.say("iot/devices/pump-1/status", "online").await;
    let go = json!({ "command_type": "go", "ttl": "10m", "timeout": "10m" });
    assert_eq!(hub.post("/api/devices/pump-1/commands", &go).await.status(), StatusCode::ACCEPTED);
    old.take_unacknowledged(topic).await;
    drop(old); // without an acknowledgement: its session has the command
    register(&hub, "other").await;
    let mut other = MqttDevice::connect(hub.mqtt.unwrap(), "other").await.unwrap();
    other.subscribe("iot/devices/other/commands").await.unwrap();
    other.say("iot/devices/other/status", "online").await;
    let removed = hub.request(Method::DELETE, "/api/devices/pump-1").send().await.unwrap();
    assert!(removed.status().is_success());
    // Messages that go out come after those that are taken back, in order.
    assert_eq!(hub.post("/api/devices/other/commands", &go).await.status(), StatusCode::ACCEPTED);
    other.take_unacknowledged("iot/devices/other/commands").await;

    let mut new = MqttDevice::connect_to_session(hub.mqtt.unwrap(), "pump-1").await.unwrap();
    new.subscribe("iot/end").await.unwrap();
    other.say("iot/end", "now").await;
    let first = within("a message", new.next()).await.unwrap();
    assert_eq!(first, BrokerMessage::Message { topic: "iot/end".into(), payload: b"now".to_vec() });
    assert_eq!(hub.get("/api/devices/pump-1").await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_device_is_not_told_the_configuration_of_a_removed_one_with_its_id() {
    let hub = Installation::new().start().await;
    let topic = "iot/devices/pump-1/configuration";
    let configure = async |interval: u32| {
        let body = json!({ "configuration": { "interval": interval } });
        let changed = hub.request(Method::PATCH, "/api/devices/pump-1").json(&body).send().await.unwrap();
        assert_eq!(changed.status(), StatusCode::OK);
    };
    register(&hub, "pump-1").await;
    let mut old = MqttDevice::connect(hub.mqtt.unwrap(), "old").await.unwrap();
    old.subscribe(topic).await.unwrap();
    configure(5).await;
    assert_eq!(told(&mut old).await, r#"{"interval":5}"#);
    live(&hub, "suspended", StatusCode::OK).await;
    hub.request(Method::DELETE, "/api/devices/pump-1").send().await.unwrap();
    assert_eq!(told(&mut old).await, "");

    register(&hub, "pump-1").await;
    let mut new = MqttDevice::connect(hub.mqtt.unwrap(), "new").await.unwrap();
    new.subscribe(topic).await.unwrap();
    configure(7).await;
    assert_eq!(told(&mut new).await, r#"{"interval":7}"#, "and nothing before");
}

/// The next message, as text.
async fn told(device: &mut MqttDevice) -> String {
    within("a message", async {
        loop {
            if let BrokerMessage::Message { payload, .. } = device.next().await.unwrap() {
                return String::from_utf8(payload).unwrap();
            }
        }
    })
    .await
}
