//! Mosquitto's own files, kept up to date by the hub: a real Mosquitto lets devices in by their tokens, and each speaks as
//! itself alone.

use std::net::SocketAddr;
use std::path::Path;

use reqwest::Method;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Packet, PubAckReason};
use rumqttc::v5::{AsyncClient, Event, MqttOptions};
use serde_json::{Value, json};

use crate::support::hub::{HubProcess, Installation, run};
use crate::support::mqtt::{BrokerMessage, MqttDevice};
use crate::support::{Mosquitto, eventually, within};

/// Publishes as a device, or as anybody, and gives the broker's answer; an error where it is not let in.
async fn say(broker: SocketAddr, login: (&str, &str), topic: &str) -> Result<PubAckReason, String> {
    let mut options = MqttOptions::new(format!("test-{}", login.0), broker.ip().to_string(), broker.port());
    options.set_credentials(login.0, login.1);
    let (client, mut events) = AsyncClient::new(options, 4);
    client.try_publish(topic, QoS::AtLeastOnce, false, r#"{"n": 1}"#).unwrap();
    within("the broker's answer", async {
        loop {
            match events.poll().await {
                Ok(Event::Incoming(Packet::PubAck(ack))) => return Ok(ack.reason),
                Ok(_) => {}
                Err(error) => return Err(error.to_string()),
            }
        }
    })
    .await
}

async fn register(hub: &HubProcess, device: &str) -> String {
    let made = hub.post("/api/devices", &json!({ "device_id": device, "name": device })).await;
    let made: Value = made.json().await.unwrap();
    made["auth_token"].as_str().unwrap().to_owned()
}

/// Gives the device another token; the one before counts for a day beside it.
async fn rotate(hub: &HubProcess, device: &str) -> String {
    let made = hub.request(Method::POST, &format!("/api/devices/{device}/token?overlap=24h")).send().await;
    let made: Value = made.unwrap().json().await.unwrap();
    made["auth_token"].as_str().unwrap().to_owned()
}

/// Exports, as is done before the first start of a hub whose broker asks for a password.
async fn export(command: &[&str], installation: &Installation, mqtt: &str, folder: &Path) -> String {
    let (data, folder) = (installation.data.to_str().unwrap(), folder.to_str().unwrap());
    let place = ["--mosquitto", folder, "--data-dir", data, "--mqtt", mqtt];
    let output = run(&[command, &place].concat(), &[]).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn devices_come_in_by_their_tokens_and_speak_as_themselves() {
    let dir = tempfile::tempdir().unwrap();
    let (files, pid_file) = (dir.path().join("files"), dir.path().join("pid"));
    std::fs::create_dir(&files).unwrap();
    let installation = Installation::new();
    let told = export(&["mqtt", "export"], &installation, "mqtt://hub:hubs-own-password@h", &files).await;
    assert!(told.contains("for 0 devices"), "{told}");
    let lines = format!(
        "allow_anonymous false\npassword_file {0}/password_file\nacl_file {0}/acl_file\n",
        files.display()
    );
    let mosquitto = Mosquitto::with(&lines).await;
    std::fs::write(&pid_file, mosquitto.pid().to_string()).unwrap();
    let broker = mosquitto.address;
    let mqtt = format!("mqtt://hub:hubs-own-password@{broker}");
    let installation = installation
        .with("--mqtt", &mqtt)
        .with("--mosquitto-files", files.to_str().unwrap())
        .with("--mosquitto-pid-file", pid_file.to_str().unwrap());
    let hub = installation.start().await;
    assert_eq!(hub.json("/health").await["parts"]["mqtt"]["warning"], Value::Null, "nobody else may publish");

    let (pump, oven) = (register(&hub, "pump-1").await, register(&hub, "oven").await);
    let own = "iot/devices/pump-1/data";
    let first =
        eventually("Mosquitto knows it", async || say(broker, ("pump-1", &pump), own).await.ok()).await;
    assert_eq!(first, PubAckReason::Success);
    eventually("the reading is stored", async || {
        let found: Value = hub.get("/api/devices/pump-1/data").await.json().await.ok()?;
        (found[0]["value"] == 1).then_some(())
    })
    .await;
    for foreign in
        ["iot/devices/oven/data", "iot/devices/pump-1/commands", "any/thing", "dispositivos/estado"]
    {
        assert_eq!(
            say(broker, ("pump-1", &pump), foreign).await,
            Ok(PubAckReason::NotAuthorized),
            "{foreign}"
        );
    }
    assert!(say(broker, ("pump-1", &oven), own).await.is_err(), "another's token");
    assert!(say(broker, ("nobody", "x"), own).await.is_err());
    assert_eq!(hub.json("/api/devices/oven/data").await, json!([]));

    // A new token, and the old one is dead.
    assert!(hub.request(Method::DELETE, "/api/devices/pump-1").send().await.unwrap().status().is_success());
    eventually("it is not known any more", async || say(broker, ("pump-1", &pump), own).await.err()).await;
    let again = register(&hub, "pump-1").await;
    eventually("it is known again", async || say(broker, ("pump-1", &again), own).await.ok()).await;
    assert!(say(broker, ("pump-1", &pump), own).await.is_err(), "the token of before");

    // Of two that count at the hub the broker knows the new one. Where all have ended it knows none.
    let first = again;
    let again = rotate(&hub, "pump-1").await;
    eventually("the new one is known", async || say(broker, ("pump-1", &again), own).await.ok()).await;
    assert!(say(broker, ("pump-1", &first), own).await.is_err(), "the overlap is the hub's alone");
    let ended = hub.request(Method::DELETE, "/api/devices/pump-1/token").send().await.unwrap();
    assert!(ended.status().is_success(), "{}", ended.text().await.unwrap());
    eventually("none is known", async || say(broker, ("pump-1", &again), own).await.err()).await;
    let again = rotate(&hub, "pump-1").await;
    eventually("the next one is known", async || say(broker, ("pump-1", &again), own).await.ok()).await;

    // A device that is taken out of service is not let in either.
    let suspend = hub.request(Method::PUT, "/api/devices/oven/lifecycle");
    let suspend = suspend.json(&json!({ "state": "suspended" })).send().await.unwrap();
    assert!(suspend.status().is_success(), "{}", suspend.text().await.unwrap());
    let topic = "iot/devices/oven/data";
    eventually("it is not let in", async || say(broker, ("oven", &oven), topic).await.err()).await;

    // A bridge comes in by its secret, speaks on its topics, and hears what is on its topics.
    let topics = json!({ "publish": ["z2m/#"], "subscribe": ["z2m/#"] });
    let made = hub.request(Method::PUT, "/api/bridges/z2m").json(&topics).send().await.unwrap();
    let made: Value = made.json().await.unwrap();
    let bridge = ("bridge@z2m", made["secret"].as_str().unwrap());
    let known = eventually("the bridge is known", async || say(broker, bridge, "z2m/lamp").await.ok()).await;
    assert_eq!(known, PubAckReason::NoMatchingSubscribers, "it is taken, and nobody listens");
    for foreign in ["homeassistant/lamp", "iot/devices/pump-1/data", "iot/devices/pump-1/commands"] {
        assert_eq!(say(broker, bridge, foreign).await, Ok(PubAckReason::NotAuthorized), "{foreign}");
    }
    let mut hears = MqttDevice::connect_as(broker, [127, 0, 0, 1], "hears", bridge).await.unwrap();
    hears.subscribe("#").await.unwrap();
    assert_eq!(say(broker, ("pump-1", &again), own).await, Ok(PubAckReason::Success));
    assert_eq!(say(broker, bridge, "z2m/heard").await, Ok(PubAckReason::Success));
    let heard = BrokerMessage::Message { topic: "z2m/heard".into(), payload: br#"{"n": 1}"#.to_vec() };
    assert_eq!(hears.next().await.unwrap(), heard);

    // The tokens are in no answer and in no file in clear, and the hashes in no answer.
    let events = hub.json("/api/events?since=0&limit=1000").await.to_string();
    let exported = hub.get("/api/devices/export").await.text().await.unwrap();
    for text in [&events, &exported] {
        assert!(!text.contains("$7$") && !text.contains(&*again), "{text}");
    }
    // The command writes the same, but for the salt of the hub's own line.
    let text = |folder: &Path| std::fs::read_to_string(folder.join("password_file")).unwrap();
    let lines = |text: String| text.lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
    let other = dir.path().join("other");
    std::fs::create_dir(&other).unwrap();
    let told = export(&["mqtt", "export"], &installation, &mqtt, &other).await;
    assert!(told.contains("for 1 device\n"), "{told}");
    assert_eq!(lines(text(&files)), lines(text(&other)));
    let revoked = hub.request(Method::DELETE, "/api/bridges/z2m").send().await.unwrap();
    assert!(revoked.status().is_success(), "{}", revoked.text().await.unwrap());
    eventually("the bridge is known no more", async || say(broker, bridge, "z2m/lamp").await.err()).await;
}

#[tokio::test]
async fn tokens_of_before_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let installation = Installation::new();
    let hub = installation.start().await;
    register(&hub, "pump-1").await;
    let told = export(&["mqtt", "export"], &installation, "embedded", dir.path()).await;
    assert!(told.contains("for 0 devices") && told.contains("the hub itself is not in them"), "{told}");
    assert!(told.contains("1 device is not in them: their tokens were given before"), "{told}");
}
