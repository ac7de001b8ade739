//! Devices, people and programs with a password at the embedded broker.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::hub::Installation;
use crate::support::mqtt::BrokerMessage;
use crate::support::people::Person;
use crate::support::{HubProcess, MqttDevice, eventually};

/// The return codes of MQTT 3.1.1.
const BAD_CLIENT_ID: u8 = 2;
const UNAVAILABLE: u8 = 3;
const BAD_CREDENTIALS: u8 = 4;
const NOT_AUTHORIZED: u8 = 5;

const HOME: [u8; 4] = [127, 0, 0, 1];

/// Registers a device, and gives its token.
async fn register(hub: &HubProcess, id: &str, more: Value) -> String {
    let mut body = json!({ "device_id": id, "name": id });
    body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    let made = hub.post("/api/devices", &body).await;
    assert_eq!(made.status(), 201);
    let made: Value = made.json().await.unwrap();
    made["auth_token"].as_str().unwrap().to_owned()
}

async fn connect(hub: &HubProcess, client: &str, user: &str, password: &str) -> Result<MqttDevice, u8> {
    MqttDevice::connect_as(hub.mqtt.unwrap(), HOME, client, (user, password)).await
}

async fn refused(hub: &HubProcess, client: &str, user: &str, password: &str) -> u8 {
    connect(hub, client, user, password).await.err().unwrap()
}

/// The return code for a client without a password; 0 where it is let in.
async fn anonymous(hub: &HubProcess) -> u8 {
    let connected = MqttDevice::connect(hub.mqtt.unwrap(), "anybody").await;
    connected.err().map_or(0, |error| {
        let text = error.to_string();
        text.trim_end_matches(']').rsplit(", ").next().unwrap().parse().unwrap()
    })
}

/// The number of readings of a device; none where there is no such device.
async fn readings(hub: &HubProcess, device: &str) -> Option<usize> {
    let answer = hub.get(&format!("/api/devices/{device}/data")).await;
    let found = answer.status().is_success();
    let page: Value = answer.json().await.unwrap();
    found.then(|| page.as_array().unwrap_or_else(|| panic!("{page}")).len())
}

async fn last_rejected(hub: &HubProcess) -> Value {
    hub.json("/api/diagnostics/rejected").await[0].clone()
}

#[tokio::test]
async fn clients_without_a_password_are_treated_by_the_option() {
    let installation = Installation::new();
    let hub = installation.start().await;
    let token = register(&hub, "pump-1", json!({})).await;
    let mut anybody = MqttDevice::connect(hub.mqtt.unwrap(), "anybody").await.unwrap();
    for device in ["pump-1", "free"] {
        anybody.say(&format!("iot/devices/{device}/data"), r#"{"t": 1}"#).await;
        assert_eq!(readings(&hub, device).await, Some(1), "an open hub takes what is said of {device}");
    }
    for wrong in ["wrong", "", &token[1..]] {
        assert_eq!(refused(&hub, "pump-1", "pump-1", wrong).await, BAD_CREDENTIALS, "`{wrong}`");
    }
    assert_eq!(refused(&hub, "x", "nobody", &token).await, BAD_CREDENTIALS);
    connect(&hub, "pump-1", "pump-1", &token).await.unwrap();
    hub.terminate().await;

    let installation = installation.with("--devices", "known");
    let hub = installation.start().await;
    let mut anybody = MqttDevice::connect(hub.mqtt.unwrap(), "anybody").await.unwrap();
    for (device, expected) in [("pump-1", Some(1)), ("new", None), ("free", Some(2))] {
        anybody.say(&format!("iot/devices/{device}/data"), r#"{"t": 2}"#).await;
        assert_eq!(readings(&hub, device).await, expected, "{device}");
    }
    anybody.say("home/lamp", "1").await;
    assert_eq!(last_rejected(&hub).await["reason"], "not_authorized");
    anybody.subscribe("iot/devices/free/commands").await.unwrap();
    assert!(anybody.subscribe("iot/devices/pump-1/commands").await.is_err());
    connect(&hub, "pump-1", "pump-1", &token).await.unwrap();
    hub.terminate().await;

    let installation = installation.without_last().with("--devices", "strict");
    let hub = installation.start().await;
    assert_eq!(anonymous(&hub).await, NOT_AUTHORIZED);
    let mut pump = connect(&hub, "pump-1", "pump-1", &token).await.unwrap();
    pump.say("iot/devices/pump-1/data", r#"{"t": 3}"#).await;
    assert_eq!(readings(&hub, "pump-1").await, Some(2));
    assert_eq!(hub.metric(r#"twinhub_mqtt_clients_refused_total{reason="no_credentials"}"#).await, 1);
}

#[tokio::test]
async fn a_device_speaks_for_itself_and_hears_what_is_for_it() {
    let hub = Installation::new().with("--devices", "strict").start().await;
    let pump_token = register(&hub, "pump-1", json!({})).await;
    let fan_token = register(&hub, "fan", json!({})).await;
    let mut pump = connect(&hub, "mosq-1", "pump-1", &pump_token).await.unwrap();
    pump.subscribe("iot/devices/pump-1/commands").await.unwrap();
    let mut fan = connect(&hub, "mosq-2", "fan", &fan_token).await.unwrap();
    for filter in ["iot/devices/pump-1/commands", "#", "iot/devices/+/commands", "$share/g/iot/devices/#"] {
        assert!(fan.subscribe(filter).await.is_err(), "{filter}");
        let rejected = last_rejected(&hub).await;
        assert_eq!((&rejected["topic"], &rejected["reason"]), (&json!(filter), &json!("not_authorized")));
    }
    fan.say("iot/devices/pump-1/data", r#"{"t": 1}"#).await;
    fan.say("dispositivos/estado", r#"{"serial_number": "pump-1", "parametros": {"t": 1}}"#).await;
    assert_eq!(readings(&hub, "pump-1").await, Some(0));
    let detail = last_rejected(&hub).await["detail"].clone();
    assert_eq!(detail, "`device:fan` may not publish for `pump-1`");
    let command = hub.post("/api/devices/pump-1/commands", &json!({ "command_type": "go" })).await;
    assert!(command.status().is_success(), "{}", command.text().await.unwrap());
    loop {
        let BrokerMessage::Message { topic, .. } = pump.next().await.unwrap() else { continue };
        assert_eq!(topic, "iot/devices/pump-1/commands");
        break;
    }
    assert_eq!(refused(&hub, "pump-1", "fan", &fan_token).await, BAD_CLIENT_ID);
    assert_eq!(refused(&hub, "mosq-1", "fan", &fan_token).await, BAD_CLIENT_ID);
}

#[tokio::test]
async fn a_device_that_is_registered_under_another_id_speaks_by_its_serial_number() {
    let hub = Installation::new().with("--devices", "strict").start().await;
    let token = register(&hub, "pump-1", json!({ "serial_number": "TMP06" })).await;
    let other = register(&hub, "fan", json!({ "serial_number": "FAN07" })).await;
    let message = |serial: &str| format!(r#"{{"serial_number": "{serial}", "parametros": {{"t": 1}}}}"#);
    let mut pump = connect(&hub, "a", "pump-1", &token).await.unwrap();
    pump.say("dispositivos/estado", &message("TMP06")).await;
    assert_eq!(readings(&hub, "pump-1").await, Some(1));
    pump.say("dispositivos/estado", &message("FAN07")).await;
    assert_eq!(readings(&hub, "fan").await, Some(0));

    // To call itself as the other does not make it the other.
    let mut fan = connect(&hub, "b", "fan", &other).await.unwrap();
    fan.say("iot/devices/fan/status", r#"{"status": "online", "serial_number": "TMP06"}"#).await;
    fan.say("dispositivos/estado", &message("TMP06")).await;
    assert_eq!(readings(&hub, "pump-1").await, Some(1));
    assert_eq!(last_rejected(&hub).await["reason"], "not_authorized");
}

#[tokio::test]
async fn a_gateway_speaks_for_the_devices_in_its_settings() {
    let hub = Installation::new().with("--devices", "strict").start().await;
    let token = register(&hub, "gw1", json!({})).await;
    let mut gateway = connect(&hub, "gw1", "gw1", &token).await.unwrap();
    gateway.say("iot/devices/gw1-a/data", r#"{"t": 1}"#).await;
    assert_eq!(readings(&hub, "gw1-a").await, None);

    let set = json!({ "settings": { "gateway": { "ids": ["gw1-*"] } } });
    let patched = hub.request(Method::PATCH, "/api/devices/gw1").json(&set).send().await.unwrap();
    assert!(patched.status().is_success(), "{}", patched.text().await.unwrap());
    gateway.until_ended().await; // its rights are others now
    let mut gateway = connect(&hub, "gw1", "gw1", &token).await.unwrap();
    for (device, expected) in [("gw1-a", Some(1)), ("gw2-a", None)] {
        gateway.say(&format!("iot/devices/{device}/data"), r#"{"t": 1}"#).await;
        assert_eq!(readings(&hub, device).await, expected, "{device}");
    }
    gateway.subscribe("iot/devices/gw1-a/#").await.unwrap();
    assert!(gateway.subscribe("iot/devices/gw2-a/#").await.is_err());
    assert!(gateway.subscribe("iot/devices/+/commands").await.is_err());
}

#[tokio::test]
async fn rights_that_end_close_the_connection() {
    let hub = Installation::new().with("--devices", "known").start().await;
    let token = register(&hub, "pump-1", json!({})).await;
    let mut pump = connect(&hub, "pump-1", "pump-1", &token).await.unwrap();
    let live = async |state: &str| {
        let body = json!({ "state": state, "reason": "the story says so" });
        let answer =
            hub.request(Method::PUT, "/api/devices/pump-1/lifecycle").json(&body).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    };
    live("suspended").await;
    pump.until_ended().await;
    assert_eq!(refused(&hub, "pump-1", "pump-1", &token).await, NOT_AUTHORIZED);
    live("active").await;
    let mut pump = connect(&hub, "pump-1", "pump-1", &token).await.unwrap();
    // What concerns no right leaves it there.
    let named = hub.request(Method::PATCH, "/api/devices/pump-1").json(&json!({ "name": "Pump" }));
    assert!(named.send().await.unwrap().status().is_success());
    pump.say("iot/devices/pump-1/data", r#"{"t": 1}"#).await;
    let deleted = hub.request(Method::DELETE, "/api/devices/pump-1").send().await.unwrap();
    assert!(deleted.status().is_success());
    pump.until_ended().await;
    assert_eq!(refused(&hub, "pump-1", "pump-1", &token).await, BAD_CREDENTIALS);

    // A client without a password hears a device while that has none.
    let line = r#"{"device_id": "free", "name": "free"}"#;
    let imported = hub.request(Method::POST, "/api/devices/import").body(line).send().await.unwrap();
    assert!(imported.status().is_success(), "{}", imported.text().await.unwrap());
    let mut anybody = MqttDevice::connect(hub.mqtt.unwrap(), "anybody").await.unwrap();
    anybody.subscribe("iot/devices/free/commands").await.unwrap();
    let removed = hub.request(Method::DELETE, "/api/devices/free").send().await.unwrap();
    assert!(removed.status().is_success());
    anybody.until_ended().await;
}

/// A token that is made beside the one by which a client came leaves it there.
#[tokio::test]
async fn a_connection_ends_with_the_token_by_which_it_came() {
    let hub = Installation::new().with("--devices", "strict").start().await;
    let first = register(&hub, "pump-1", json!({})).await;
    let rotate = async |overlap: &str| {
        let path = format!("/api/devices/pump-1/token?overlap={overlap}");
        let made: Value = hub.request(Method::POST, &path).send().await.unwrap().json().await.unwrap();
        made["auth_token"].as_str().unwrap().to_owned()
    };
    let data = "iot/devices/pump-1/data";
    let mut by_first = connect(&hub, "a", "pump-1", &first).await.unwrap();
    let second = rotate("24h").await;
    by_first.say(data, r#"{"t": 1}"#).await;
    drop(connect(&hub, "b", "pump-1", &first).await.unwrap());
    let mut by_second = connect(&hub, "c", "pump-1", &second).await.unwrap();
    let third = rotate("1s").await;
    by_first.until_ended().await; // two count at most
    assert_eq!(refused(&hub, "a", "pump-1", &first).await, BAD_CREDENTIALS);
    let mut by_third = connect(&hub, "d", "pump-1", &third).await.unwrap();
    by_second.until_ended().await;
    assert_eq!(refused(&hub, "c", "pump-1", &second).await, BAD_CREDENTIALS);
    by_third.say(data, r#"{"t": 2}"#).await;
}

#[tokio::test]
async fn keys_hear_what_their_owners_may_see() {
    let hub = Installation::new().with("--devices", "strict").start().await;
    let token = register(&hub, "pump-1", json!({})).await;
    let ann = Person::first(&hub, "ann").await;
    let (key, id) = ann.make_key(&hub, "viewer").await;
    let mut viewer = connect(&hub, "dashboard", "user", &key).await.unwrap();
    viewer.subscribe("iot/devices/+/data").await.unwrap();
    for filter in ["iot/devices/+/commands", "#", "iot/devices/pump-1/#"] {
        assert!(viewer.subscribe(filter).await.is_err(), "{filter}");
    }
    let mut pump = connect(&hub, "pump-1", "pump-1", &token).await.unwrap();
    pump.say("iot/devices/pump-1/data", r#"{"t": 1}"#).await;
    let BrokerMessage::Message { topic, .. } = viewer.next().await.unwrap() else { panic!("a message") };
    assert_eq!(topic, "iot/devices/pump-1/data");
    viewer.say("iot/devices/pump-1/data", r#"{"t": 2}"#).await;
    let told = ann.json(&hub, "/api/diagnostics/rejected").await;
    assert_eq!(told[0]["detail"], "`key:ann/k` may not publish anything");
    let path = format!("/api/auth/keys/{id}");
    assert_eq!(ann.request(&hub, Method::DELETE, &path).send().await.unwrap().status(), 200);
    viewer.until_ended().await;
    assert_eq!(refused(&hub, "dashboard", "user", &key).await, BAD_CREDENTIALS);
}

#[tokio::test]
async fn whoever_guesses_waits_and_others_do_not() {
    let hub = Installation::new().with("--devices", "strict").start().await;
    let token = register(&hub, "pump-1", json!({})).await;
    let broker = hub.mqtt.unwrap();
    let (mut wrong, mut limited) = (0, 0);
    for guess in 0..1_000 {
        let guess = format!("guess-{guess:020}");
        match MqttDevice::connect_as(broker, [127, 0, 0, 2], "x", ("pump-1", &guess)).await.err() {
            Some(BAD_CREDENTIALS) => wrong += 1,
            Some(UNAVAILABLE) => limited += 1,
            other => panic!("{other:?}"),
        }
    }
    // Ten in each minute that it took.
    assert!(wrong >= 10 && wrong % 10 == 0 && wrong + limited == 1_000, "{wrong} {limited}");
    let right = ("pump-1", &*token);
    assert_eq!(MqttDevice::connect_as(broker, [127, 0, 0, 2], "x", right).await.err(), Some(UNAVAILABLE));
    assert!(MqttDevice::connect_as(broker, [127, 0, 0, 3], "x", right).await.is_ok());
    eventually("it is counted", async || {
        let count = hub.metric(r#"twinhub_mqtt_clients_refused_total{reason="too_many_failures"}"#).await;
        (count == limited + 1).then_some(())
    })
    .await;
}
