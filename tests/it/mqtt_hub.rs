//! The hub's side of MQTT, on the embedded broker and on Mosquitto: commands that are over, that nobody listens to,
//! topics that are the hub's alone, and what nobody reads.

use std::net::SocketAddr;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::hub::Installation;
use crate::support::mqtt::BrokerMessage;
use crate::support::pump::register;
use crate::support::{HubProcess, Mosquitto, MqttDevice, eventually, within};

const COMMANDS: &str = "iot/devices/pump-1/commands";

async fn ask(hub: &HubProcess, more: Value) -> Value {
    let mut body = json!({ "command_type": "go" });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let asked = hub.post("/api/devices/pump-1/commands", &body).await;
    assert_eq!(asked.status(), StatusCode::ACCEPTED);
    asked.json().await.unwrap()
}

async fn until(hub: &HubProcess, command: &Value, status: &str) -> Value {
    let path = format!("/api/commands/{}", command["id"].as_str().unwrap());
    eventually(status, async || Some(hub.json(&path).await).filter(|found| found["status"] == status)).await
}

async fn next_command(device: &mut MqttDevice) -> Value {
    within("a command", async {
        loop {
            if let BrokerMessage::Message { payload, .. } = device.next().await.unwrap() {
                return serde_json::from_slice(&payload).unwrap();
            }
        }
    })
    .await
}

/// A broker that a hub uses: its own, or Mosquitto.
struct BrokerUnderTest {
    hub: HubProcess,
    broker: SocketAddr,
    _mosquitto: Option<Mosquitto>,
}

impl BrokerUnderTest {
    async fn embedded() -> Self {
        let hub = Installation::new().start().await;
        let broker = hub.mqtt.unwrap();
        Self { hub, broker, _mosquitto: None }
    }

    async fn mosquitto() -> Self {
        let mosquitto = Mosquitto::start().await;
        let hub = Installation::new().on_broker(mosquitto.address).start().await;
        Self { hub, broker: mosquitto.address, _mosquitto: Some(mosquitto) }
    }
}

#[tokio::test]
async fn a_command_waits_until_somebody_listens() {
    waits_until_somebody_listens(&BrokerUnderTest::embedded().await, "pending").await;
}

/// Mosquitto says so when it gets the command: it was `sent` for that moment.
#[tokio::test]
async fn a_command_waits_until_somebody_listens_on_an_outside_broker() {
    waits_until_somebody_listens(&BrokerUnderTest::mosquitto().await, "sent").await;
}

async fn waits_until_somebody_listens(place: &BrokerUnderTest, at_first: &str) {
    let hub = &place.hub;
    let mut device = MqttDevice::connect(place.broker, "pump-1").await.unwrap();
    device.say("iot/devices/pump-1/status", "online").await;
    eventually("it is online", async || {
        let response = hub.get("/api/devices/pump-1").await;
        let found: Value = response.json().await.unwrap();
        (found["status"] == "online").then_some(())
    })
    .await;
    let asked = ask(hub, json!({})).await;
    assert_eq!(asked["status"], at_first);
    let waits = until(hub, &asked, "pending").await;
    assert_eq!(
        (&waits["reason"], &waits["attempts"]),
        (&json!("no client subscribes to the device's commands"), &json!(0))
    );
    device.subscribe("$share/pool/iot/devices/+/commands").await.unwrap();
    let command = next_command(&mut device).await;
    assert_eq!((&command["id"], &command["attempt"]), (&asked["id"], &json!(1)));
    device.say(&format!("{COMMANDS}/{}", asked["id"].as_str().unwrap()), r#"{"status": "executed"}"#).await;
    until(hub, &asked, "executed").await;
}

/// A program that keeps its session and one that listens are both there: the command goes into the session.
#[tokio::test]
async fn a_command_that_was_called_back_does_not_reach_a_session() {
    let place = BrokerUnderTest::embedded().await;
    let hub = &place.hub;
    let mut device = MqttDevice::connect_to_session(place.broker, "pump-1").await.unwrap();
    device.subscribe(COMMANDS).await.unwrap();
    device.say("iot/devices/pump-1/status", "online").await;
    let mut logger = MqttDevice::connect(place.broker, "logger").await.unwrap();
    logger.subscribe("#").await.unwrap();
    drop(device);
    let delete = async |command: &Value| {
        let path = format!("/api/commands/{}", command["id"].as_str().unwrap());
        assert_eq!(hub.request(Method::DELETE, &path).send().await.unwrap().status(), StatusCode::OK);
    };
    // In the queue of its session, or unacknowledged on the broken connection.
    let over = ask(hub, json!({})).await;
    assert_eq!(next_command(&mut logger).await["id"], over["id"]);
    delete(&over).await;
    let expired = ask(hub, json!({ "ttl": "1s", "timeout": "1s", "max_attempts": 1 })).await;
    until(hub, &expired, "failed").await;
    let lives = ask(hub, json!({})).await;
    let mut device = MqttDevice::connect_to_session(place.broker, "pump-1").await.unwrap();
    assert_eq!(next_command(&mut device).await["id"], lives["id"], "neither of those that are over");
    // A word that comes too late is recorded.
    let answer = format!("{COMMANDS}/{}", over["id"].as_str().unwrap());
    device.say(&answer, r#"{"status": "executed"}"#).await;
    let found = until(hub, &over, "canceled").await;
    let last = found["history"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((&last["late"], &last["status"]), (&json!(true), &json!("executed")));
}

/// An outside broker keeps it no longer than the command lives.
#[tokio::test]
async fn a_command_that_expired_does_not_reach_a_session_of_an_outside_broker() {
    let place = BrokerUnderTest::mosquitto().await;
    let hub = &place.hub;
    let mut device = MqttDevice::connect_to_session(place.broker, "pump-1").await.unwrap();
    device.subscribe(COMMANDS).await.unwrap();
    device.say("iot/devices/pump-1/status", "online").await;
    drop(device);
    // Mosquitto acknowledges before the hub has heard of it.
    let path = "/api/devices/pump-1/status";
    eventually("it is online", async || {
        let status = hub.get(path).await.json::<Value>().await.ok()?;
        (status["status"] == "online").then_some(())
    })
    .await;
    let expired = ask(hub, json!({ "ttl": "1s", "timeout": "30s", "max_attempts": 1 })).await;
    eventually("its time to live is over", async || {
        let found = hub.json(&format!("/api/commands/{}", expired["id"].as_str().unwrap())).await;
        let expires: String = found["expires_at"].as_str().unwrap().to_owned();
        let now = hub.json("/health").await;
        let ran = now["uptime_seconds"].as_f64().unwrap();
        let started = now["started_at"].as_str().unwrap().to_owned();
        (millis(&started) + ran * 1_000.0 > millis(&expires) + 1_500.0).then_some(())
    })
    .await;
    let lives = ask(hub, json!({ "priority": 9 })).await;
    let mut device = MqttDevice::connect_to_session(place.broker, "pump-1").await.unwrap();
    device.say("iot/devices/pump-1/status", "offline").await;
    device.say("iot/devices/pump-1/status", "online").await;
    assert_eq!(next_command(&mut device).await["id"], lives["id"]);
}

/// Milliseconds of the day of a time of day: enough for a test of seconds.
fn millis(text: &str) -> f64 {
    let time: Vec<f64> = text[11..23].split(':').map(|part| part.parse().unwrap()).collect();
    (time[0] * 3_600.0 + time[1] * 60.0 + time[2]) * 1_000.0
}

#[tokio::test]
async fn desired_state_waits_until_somebody_listens() {
    let place = BrokerUnderTest::embedded().await;
    let hub = &place.hub;
    let mut device = MqttDevice::connect(place.broker, "pump-1").await.unwrap();
    device.say("iot/devices/pump-1/status", "online").await;
    let patch = json!({ "desired": { "power": "on" } });
    let changed = hub.request(Method::PATCH, "/api/devices/pump-1/twin").json(&patch).send().await.unwrap();
    assert!(changed.status().is_success());
    let sync =
        async || hub.json("/api/devices/pump-1/twin").await["metadata"]["desired"]["power"]["sync"].clone();
    assert_eq!(sync().await, "pending");
    device.subscribe("iot/devices/pump-1/desired").await.unwrap();
    assert_eq!(next_command(&mut device).await["desired"], json!({ "power": "on" }));
    eventually("it is told", async || (sync().await == "sent").then_some(())).await;
}

#[tokio::test]
async fn the_hub_alone_speaks_on_its_topics() {
    let place = BrokerUnderTest::embedded().await;
    let hub = &place.hub;
    register(hub, "pump-1").await;
    let mut forger = MqttDevice::connect(place.broker, "forger").await.unwrap();
    forger.say("iot/devices/pump-1/firmware/update", r#"{"url": "http://evil"}"#).await;
    let rejected = hub.json("/api/diagnostics/rejected").await;
    assert_eq!(
        (&rejected[0]["reason"], &rejected[0]["topic"]),
        (&json!("hub_only_topic"), &json!("iot/devices/pump-1/firmware/update"))
    );
    assert!(rejected[0]["detail"].as_str().unwrap().contains("`forger`"), "{rejected}");
    assert_eq!(hub.metric("twinhub_messages_rejected_total").await, 1);
}

#[tokio::test]
async fn unread_topics_are_shown() {
    let place = BrokerUnderTest::embedded().await;
    let hub = &place.hub;
    let mut device = MqttDevice::connect(place.broker, "esp").await.unwrap();
    device.say("iot/devices/esp/temperature", "23.5").await;
    device.say("tele/plug/SENSOR", "{}").await;
    device.say("tele/plug/STATE", "{}").await;
    let unread = hub.json("/api/diagnostics/unread").await;
    assert_eq!((&unread[0]["first_level"], &unread[0]["count"]), (&json!("tele"), &json!(2)));
    assert_eq!((&unread[0]["last_topic"], &unread[0]["hint"]), (&json!("tele/plug/STATE"), &Value::Null));
    assert_eq!(unread[1]["close_topic"], "iot/devices/esp/temperature");
    assert!(unread[1]["hint"].as_str().unwrap().contains("`iot/devices/esp/data`"), "{unread}");
    assert_eq!(hub.metric(r#"twinhub_messages_unread_total{first_level="tele"}"#).await, 2);
    assert_eq!(hub.json("/health").await["parts"]["mqtt"]["messages_unread"], 3);
}

/// Mosquitto as it is installed keeps 1,000 messages for a session that is away.
#[tokio::test]
async fn a_broker_that_drops_messages_is_shown() {
    let mosquitto = Mosquitto::as_installed().await;
    let installation = Installation::new().on_broker(mosquitto.address);
    assert!(installation.start().await.terminate().await.success());
    let mut device = MqttDevice::connect(mosquitto.address, "pump-1").await.unwrap();
    for n in 0..1_200 {
        device.say("iot/devices/pump-1/data", &format!(r#"{{"n": {n}}}"#)).await;
    }
    let hub = installation.start().await;
    let warning = eventually("it warns", async || {
        let warning = hub.json("/health").await["parts"]["mqtt"]["warning"].as_str()?.to_owned();
        warning.contains("dropped").then_some(warning)
    })
    .await;
    assert!(warning.starts_with("the broker has dropped 2"), "{warning}");
    assert!(warning.contains("max_queued_messages 0"), "{warning}");
}
