//! `twinhub key rotate-secret`: another key of the hub, and nothing is lost.

use std::process::Output;

use futures_util::StreamExt as _;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::hub::{HubProcess, Installation, run};
use crate::support::{MqttDevice, within};

const RULES: &str = "/api/automation/rules";
const TOKEN: &str = "correct horse battery";
const HERE: [u8; 4] = [127, 0, 0, 1];

const ROTATE: [&str; 2] = ["key", "rotate-secret"];

async fn rotate(installation: &Installation, words: &[&str]) -> (Option<i32>, String) {
    let place = ["--data-dir", installation.data.to_str().unwrap()];
    let Output { status, stdout, stderr } = run(&[words, &place].concat(), &[]).await;
    (status.code(), [stdout, stderr].map(|text| String::from_utf8(text).unwrap()).concat())
}

fn key_file(installation: &Installation) -> String {
    std::fs::read_to_string(installation.data.join("secret.key")).unwrap()
}

/// Does the hub know the token of the device, which it has under whichever key?
async fn knows_token(hub: &HubProcess) -> bool {
    let line = json!({ "device_id": "pump", "name": "Pump", "auth_token": TOKEN }).to_string();
    let sent = hub.request(Method::POST, "/api/devices/import?existing=update&dry_run=true").body(line);
    let report: Value = sent.send().await.unwrap().json().await.unwrap();
    report["refused"] == 0
}

#[tokio::test]
async fn a_new_key_seals_all_and_the_old_one_goes_once_nothing_needs_it() {
    let installation = Installation::new();
    let hub = installation.start().await;
    let rule = json!({ "id": "tell", "triggers": [{ "every": "1h" }],
        "actions": [{ "webhook": "https://hooks.example/1", "secret": "s3cret-of-the-rule" }] });
    assert!(hub.post(RULES, &rule).await.status().is_success());
    let device = json!({ "device_id": "pump", "name": "Pump", "auth_token": TOKEN });
    assert!(hub.post("/api/devices", &device).await.status().is_success());
    assert!(knows_token(&hub).await);
    let (code, told) = rotate(&installation, &ROTATE).await;
    assert!(code == Some(2) && told.contains("in use by another twinhub"), "{told}");
    hub.terminate().await;
    let first = key_file(&installation);

    let (code, told) = rotate(&installation, &ROTATE).await;
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("the older key stays in it for the tokens and claim codes of 1 device,"), "{told}");
    let second = key_file(&installation);
    assert!(second.ends_with(&first) && second.lines().count() == 3, "{second}");
    let hub = installation.start().await;
    assert_eq!(hub.json(RULES).await[0]["id"], "tell");
    assert!(knows_token(&hub).await, "under the older key");
    hub.terminate().await;

    // The older key alone, which a thief may have, opens nothing more.
    std::fs::write(installation.data.join("secret.key"), &first).unwrap();
    let (code, told) = rotate(&installation, &ROTATE).await;
    assert!(code == Some(1) && told.contains("sealed with another key"), "{told}");
    std::fs::write(installation.data.join("secret.key"), &second).unwrap();

    let (code, told) = rotate(&installation, &["key", "rotate-secret", "--forget-old"]).await;
    assert!(
        code == Some(0) && told.contains("1 device with tokens or claim codes of before need new ones"),
        "{told}"
    );
    assert_eq!(key_file(&installation).lines().count(), 1);
    let hub = installation.start().await;
    assert_eq!(hub.json(RULES).await[0]["id"], "tell");
    assert!(!knows_token(&hub).await, "its key is gone");
}

/// A device that shows its token has it stored under the new key, and its connection stays.
#[tokio::test]
async fn a_token_comes_under_the_new_key_as_its_device_signs_in() {
    let installation = Installation::new();
    let hub = installation.start().await;
    let devices = [("pump", "correct-horse-battery"), ("fan", "staple of another horse")];
    for (id, token) in devices {
        let device = json!({ "device_id": id, "name": id, "auth_token": token });
        assert!(hub.post("/api/devices", &device).await.status().is_success());
    }
    hub.terminate().await;
    let first = key_file(&installation);
    assert_eq!(rotate(&installation, &ROTATE).await.0, Some(0));

    let hub = installation.start().await;
    let events = hub.request(Method::GET, "/api/events?since=0").header("Accept", "text/event-stream");
    let mut events = events.send().await.unwrap().bytes_stream();
    let reported = hub.request(Method::POST, "/api/devices/pump/data").bearer_auth(devices[0].1);
    assert_eq!(reported.json(&json!({ "t": 1 })).send().await.unwrap().status(), 201);
    let mut fan = MqttDevice::connect_as(hub.mqtt.unwrap(), HERE, "fan", devices[1]).await.unwrap();
    let mut seen = String::new();
    within("both are stored anew", async {
        while seen.matches(r#""token":"renewed""#).count() < 2 {
            seen.push_str(&String::from_utf8_lossy(&events.next().await.unwrap().unwrap()));
        }
    })
    .await;
    fan.say("iot/devices/fan/data", r#"{"t": 1}"#).await;
    let again = hub.request(Method::POST, "/api/devices/pump/data").bearer_auth(devices[0].1);
    assert_eq!(again.json(&json!({ "t": 2 })).send().await.unwrap().status(), 201);
    hub.terminate().await;

    let (code, told) = rotate(&installation, &ROTATE).await;
    assert_eq!(code, Some(0), "{told}");
    let keys = key_file(&installation);
    assert!(keys.lines().count() == 3 && !keys.contains(first.trim()), "nothing needs the first key: {told}");
    let hub = installation.start().await;
    let again = hub.request(Method::POST, "/api/devices/pump/data").bearer_auth(devices[0].1);
    assert_eq!(again.json(&json!({ "t": 3 })).send().await.unwrap().status(), 201);
    MqttDevice::connect_as(hub.mqtt.unwrap(), HERE, "fan", devices[1]).await.unwrap();
}

#[tokio::test]
async fn a_change_of_keys_that_was_broken_off_is_ended_by_the_next_start() {
    let installation = Installation::new();
    let hub = installation.start().await;
    let rule = json!({ "id": "tell", "triggers": [{ "every": "1h" }], "actions": [{ "log": "hm" }] });
    assert!(hub.post(RULES, &rule).await.status().is_success());
    hub.terminate().await;
    // As it is left between the two steps: the new key is in the file, and nothing is sealed with it.
    let both = format!("{}\n{}", "ab".repeat(32), key_file(&installation));
    std::fs::write(installation.data.join("secret.key"), both).unwrap();
    let hub = installation.start().await;
    hub.logs("sealed rows with the hub's newest key").await;
    assert_eq!(hub.json(RULES).await[0]["id"], "tell");
    hub.terminate().await;
    std::fs::write(installation.data.join("secret.key"), "ab".repeat(32)).unwrap();
    let hub = installation.start().await;
    assert_eq!(hub.json(RULES).await[0]["id"], "tell");
}

#[tokio::test]
async fn there_must_be_a_key_to_be_replaced() {
    let (code, told) = rotate(&Installation::new(), &ROTATE).await;
    assert!(code == Some(2) && told.contains("there is no key file"), "{told}");
}
