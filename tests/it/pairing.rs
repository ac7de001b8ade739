//! The pairing window: devices that the hub does not know come without a password while it is open, and at no other time.

use reqwest::Method;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::eventually;
use crate::support::hub::{HubProcess, Installation, run};
use crate::support::mqtt::MqttDevice;
use crate::support::people::{Person, told};

const HOME: [u8; 4] = [127, 0, 0, 1];
const ELSEWHERE: [u8; 4] = [127, 0, 0, 2];

async fn hub_of(devices: &str) -> (Installation, HubProcess, Person) {
    let installation = Installation::new().with("--devices", devices);
    let hub = installation.start().await;
    let ann = Person::first(&hub, "ann").await;
    (installation, hub, ann)
}

async fn open(hub: &HubProcess, ann: &Person, body: &Value) -> Value {
    let answer = ann.send(hub, Method::POST, "/api/pairing", body).await;
    assert_eq!(answer.status(), 200);
    answer.json().await.unwrap()
}

async fn close(hub: &HubProcess, ann: &Person) -> Value {
    let answer = ann.request(hub, Method::DELETE, "/api/pairing").send().await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.json().await.unwrap()
}

/// Is the device's reading stored?
async fn is_known(hub: &HubProcess, ann: &Person, device: &str) -> bool {
    ann.request(hub, Method::GET, &format!("/api/devices/{device}")).send().await.unwrap().status() == 200
}

async fn post_reading(hub: &HubProcess, device: &str) -> (u16, String) {
    let asked = hub.request(Method::POST, &format!("/api/devices/{device}/data"));
    told(asked.json(&json!({ "t": 1 })).send().await.unwrap()).await
}

#[tokio::test]
async fn new_devices_come_while_the_window_is_open_and_need_a_token_after_it() {
    for policy in ["strict", "known"] {
        let (_installation, hub, ann) = hub_of(policy).await;
        let broker = hub.mqtt.unwrap();
        for body in [json!({ "device_id": "old", "name": "Old" })] {
            assert_eq!(ann.send(&hub, Method::POST, "/api/devices", &body).await.status(), 201);
        }
        let shut = MqttDevice::connect_from(broker, HOME, "pump-1").await;
        if policy == "strict" {
            assert_eq!(shut.err(), Some(5), "nobody is let in before");
        } else {
            shut.unwrap().say("iot/devices/pump-1/data", r#"{"t": 1}"#).await;
            assert!(!is_known(&hub, &ann, "pump-1").await);
        }

        let mut early = MqttDevice::connect_from(broker, HOME, "early").await;
        let opened = open(&hub, &ann, &json!({ "for": "5m" })).await;
        if let Ok(early) = &mut early {
            early.say("iot/devices/early/data", r#"{"t": 1}"#).await;
            assert!(is_known(&hub, &ann, "early").await, "it was connected before the window was opened");
        }
        assert_eq!((&opened["open"], &opened["opened_by"]), (&json!(true), &json!("user:ann")), "{opened}");
        let mut pump = MqttDevice::connect_from(broker, HOME, "pump-1").await.unwrap();
        pump.subscribe("iot/devices/pump-1/commands").await.unwrap();
        pump.say("iot/devices/pump-1/data", r#"{"t": 1}"#).await;
        let twin = ann.json(&hub, "/api/devices/pump-1").await;
        assert_eq!(twin["claimed"], false, "{twin}");
        // A device that is known needs its token, and one that came is the address's from which it came.
        pump.say("iot/devices/old/data", r#"{"t": 1}"#).await;
        let mut thief = MqttDevice::connect_from(broker, ELSEWHERE, "thief").await.unwrap();
        thief.say("iot/devices/pump-1/data", r#"{"t": 2}"#).await;
        assert!(thief.subscribe("iot/devices/pump-1/#").await.is_err());
        assert!(thief.subscribe("iot/devices/old/#").await.is_err());
        let readings = ann.json(&hub, "/api/devices/pump-1/data").await;
        assert_eq!(readings.as_array().unwrap().len(), 1, "{readings}");
        assert_eq!(ann.json(&hub, "/api/devices/old/data").await, json!([]));
        let state = ann.json(&hub, "/api/pairing").await;
        let devices = state["devices"].as_array().unwrap();
        let device = devices.iter().find(|device| device["device_id"] == "pump-1").unwrap();
        assert_eq!(
            (&device["device_id"], &device["address"], &device["paired"]),
            (&json!("pump-1"), &json!("127.0.0.1"), &json!(false)),
            "{state}"
        );
        let joined = ann.json(&hub, "/api/audit?action=pairing.joined").await;
        assert_eq!(joined[0]["target"], "device:pump-1", "{joined}");

        assert_eq!(close(&hub, &ann).await["open"], false);
        pump.until_ended().await;
        if let Ok(mut early) = early {
            early.until_ended().await;
        }
        match MqttDevice::connect_from(broker, HOME, "pump-1").await {
            Err(code) => assert_eq!((policy, code), ("strict", 5)),
            Ok(mut again) => {
                again.say("iot/devices/pump-1/data", r#"{"t": 3}"#).await;
                assert!(again.subscribe("iot/devices/pump-1/commands").await.is_err(), "{policy}");
            }
        }
        let readings = ann.json(&hub, "/api/devices/pump-1/data").await;
        assert_eq!(readings.as_array().unwrap().len(), 1, "it needs a token now: {readings}");

        let made = ann.request(&hub, Method::POST, "/api/devices/pump-1/token").send().await.unwrap();
        let made: Value = made.json().await.unwrap();
        let token = made["auth_token"].as_str().unwrap();
        let mut paired = MqttDevice::connect_as(broker, HOME, "pump-1", ("pump-1", token)).await.unwrap();
        paired.say("iot/devices/pump-1/data", r#"{"t": 4}"#).await;
        assert_eq!(ann.json(&hub, "/api/devices/pump-1/data").await.as_array().unwrap().len(), 2);
        let state = ann.json(&hub, "/api/pairing").await;
        let is_pump = |device: &&Value| device["device_id"] == "pump-1";
        let paired = state["devices"].as_array().unwrap().iter().find(is_pump).unwrap();
        assert_eq!(paired["paired"], true, "{state}");
    }
}

#[tokio::test]
async fn a_token_ends_the_session_without_one_and_an_unpaired_device_may_come_again() {
    let (_installation, hub, ann) = hub_of("strict").await;
    open(&hub, &ann, &json!({})).await;
    let mut pump = MqttDevice::connect_from(hub.mqtt.unwrap(), HOME, "esp").await.unwrap();
    pump.say("iot/devices/pump-1/data", r#"{"t": 1}"#).await;
    close(&hub, &ann).await;
    pump.until_ended().await;

    open(&hub, &ann, &json!({ "for": 60 })).await;
    let mut pump = MqttDevice::connect_from(hub.mqtt.unwrap(), ELSEWHERE, "esp").await.unwrap();
    pump.say("iot/devices/pump-1/data", r#"{"t": 2}"#).await;
    assert_eq!(ann.json(&hub, "/api/devices/pump-1/data").await.as_array().unwrap().len(), 2);
    let made = ann.request(&hub, Method::POST, "/api/devices/pump-1/token").send().await.unwrap();
    assert_eq!(made.status(), 200);
    pump.until_ended().await;
    let mut bare = MqttDevice::connect_from(hub.mqtt.unwrap(), ELSEWHERE, "esp").await.unwrap();
    bare.say("iot/devices/pump-1/data", r#"{"t": 3}"#).await;
    assert_eq!(ann.json(&hub, "/api/devices/pump-1/data").await.as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn readings_come_over_http_without_a_password_while_it_is_open() {
    let (installation, hub, ann) = hub_of("strict").await;
    assert_eq!(post_reading(&hub, "cellar").await, (401, "sign_in_needed".into()));
    open(&hub, &ann, &json!({})).await;
    assert_eq!(post_reading(&hub, "cellar").await.0, 201);
    assert_eq!(post_reading(&hub, "cellar").await.0, 201);
    // Readings, its token, and nothing else.
    for (method, path) in [
        (Method::GET, "/api/devices/cellar"),
        (Method::GET, "/api/devices/cellar/twin"),
        (Method::GET, "/api/devices/cellar/commands?status=pending"),
        (Method::GET, "/api/pairing"),
        (Method::DELETE, "/api/devices/cellar"),
    ] {
        let answer = hub.request(method.clone(), path).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{method} {path}");
    }
    let made =
        ann.send(&hub, Method::POST, "/api/devices", &json!({ "device_id": "old", "name": "O" })).await;
    assert_eq!(made.status(), 201);
    assert_eq!(post_reading(&hub, "old").await, (401, "sign_in_needed".into()), "it has a token");
    let provision = async |device: &str| {
        let asked = hub.request(Method::POST, "/api/provision").json(&json!({ "device_id": device }));
        let answer = asked.send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    let (status, refused) = provision("old").await;
    assert_eq!((status, &refused["code"]), (403, &json!("not_for_pairing")), "{refused}");
    let (status, made) = provision("cellar").await;
    assert_eq!(status, 201, "{made}");
    assert_eq!(post_reading(&hub, "cellar").await.0, 401, "it has a token now");
    let token = made["auth_token"].as_str().unwrap();
    let reading = hub.request(Method::POST, "/api/devices/cellar/data").bearer_auth(token);
    assert_eq!(reading.json(&json!({ "t": 2 })).send().await.unwrap().status(), 201);
    assert_eq!(close(&hub, &ann).await["open"], false);
    assert_eq!(provision("attic").await.0, 401);
    open(&hub, &ann, &json!({})).await;
    assert_eq!(post_reading(&hub, "attic").await.0, 201);
    hub.kill().await;

    let hub = installation.start().await;
    assert_eq!(post_reading(&hub, "attic").await, (401, "sign_in_needed".into()), "a restart closes it");
    let ann = Person::sign_in(&hub, "ann").await;
    let state = ann.json(&hub, "/api/pairing").await;
    assert_eq!((&state["open"], &state["until"]), (&json!(false), &Value::Null), "{state}");
}

#[tokio::test]
async fn the_window_is_admins_to_open_and_no_longer_than_an_hour() {
    let (_installation, hub, ann) = hub_of("strict").await;
    let bob = ann.add(&hub, "bob", "operator").await;
    let refused = bob.send(&hub, Method::POST, "/api/pairing", &json!({})).await;
    assert_eq!(told(refused).await, (403, "forbidden".into()));
    for body in [json!({ "for": "61m" }), json!({ "for": "soon" }), json!({ "for": 0 }), json!({ "four": 1 })]
    {
        let answer = ann.send(&hub, Method::POST, "/api/pairing", &body).await;
        let (status, problem) = (answer.status(), answer.json::<Value>().await.unwrap());
        assert_eq!(status, 422, "{body}");
        let field = body.as_object().unwrap().keys().next().unwrap();
        assert_eq!(&problem["field"], field, "{problem}");
    }
    assert_eq!(ann.json(&hub, "/api/pairing").await["open"], false);
    // It ends by itself.
    open(&hub, &ann, &json!({ "for": "300ms" })).await;
    let ended = async || (ann.json(&hub, "/api/pairing").await["open"] == false).then_some(());
    eventually("the window ends", ended).await;
    assert_eq!(MqttDevice::connect_from(hub.mqtt.unwrap(), HOME, "late").await.err(), Some(5));
}

#[tokio::test]
async fn the_window_is_opened_and_closed_on_the_command_line() {
    let (installation, hub, ann) = hub_of("strict").await;
    let (data, url) = (installation.data.to_str().unwrap(), format!("http://{}", hub.http));
    let pair = async |args: &[&str]| {
        let words = [&["pair", "--url", &url], args].concat();
        let output = run(&words, &[("TWINHUB_DATA_DIR", data)]).await;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
    };
    let (code, told, error) = pair(&["--for", "20m"]).await;
    assert!(code == 0 && told.starts_with("new devices may come without a password until "), "{told}{error}");
    assert_eq!(ann.json(&hub, "/api/pairing").await["opened_by"], "program");
    let mut pump = MqttDevice::connect_from(hub.mqtt.unwrap(), HOME, "pump-1").await.unwrap();
    pump.say("iot/devices/pump-1/data", r#"{"t": 1}"#).await;
    let (code, told, error) = pair(&["--stop"]).await;
    assert_eq!(code, 0, "{error}");
    assert!(
        told.contains("pump-1 came from 127.0.0.1, and needs a token: twinhub devices token pump-1"),
        "{told}"
    );
    let (code, _, error) = pair(&["--for", "2h"]).await;
    assert!(code == 1 && error.contains("an hour at most"), "{error}");
}

#[tokio::test]
async fn a_provisioning_key_takes_no_device_that_was_paired() {
    let (_installation, hub, ann) = hub_of("strict").await;
    open(&hub, &ann, &json!({})).await;
    let provision = async |key: Option<&str>| {
        let asked = hub.request(Method::POST, "/api/provision").json(&json!({ "device_id": "pump-1" }));
        let asked = key.into_iter().fold(asked, reqwest_middleware::RequestBuilder::bearer_auth);
        let answer = asked.send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    let (status, paired) = provision(None).await;
    assert_eq!(status, 201, "{paired}");
    let made = json!({ "name": "pumps", "uses": 1, "ids": ["pump-*"], "until": "2999-12-31" });
    let made = ann.send(&hub, Method::POST, "/api/provisioning/keys", &made).await;
    let made: Value = made.json().await.unwrap();
    let (status, refused) = provision(made["secret"].as_str()).await;
    assert_eq!((status, &refused["code"]), (409, &json!("device_exists")), "{refused}");
    let token = paired["auth_token"].as_str().unwrap();
    let reading = hub.request(Method::POST, "/api/devices/pump-1/data").bearer_auth(token);
    assert_eq!(
        reading.json(&json!({ "t": 1 })).send().await.unwrap().status(),
        201,
        "its token counts still"
    );
    assert_eq!(ann.json(&hub, "/api/provisioning/keys").await[0]["used"], 0, "the use was given back");
}
