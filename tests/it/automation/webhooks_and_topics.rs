//! Beyond the devices: webhooks out and in, foreign topics.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::certificates::{authority, certificate};
use crate::support::hub::Installation;
use crate::support::mqtt::BrokerMessage;
use crate::support::people::Person;
use crate::support::pump::register;
use crate::support::receiver::{WebhookServer, hmac, redirecting_over_tls};
use crate::support::rules::{Rules, done, report};
use crate::support::{HubProcess, Mosquitto, MqttDevice, eventually, within};

#[tokio::test]
async fn a_webhook_goes_out_signed_and_again_until_it_is_taken() {
    let mut receiver = WebhookServer::start(&[503]).await;
    let text = format!(
        "version: 1\nrules:\n  tell:\n    triggers:\n      - numeric: oven.temperature\n        above: 100\n    \
         actions:\n      - webhook: \"http://{}/hook\"\n        secret: s3cret\n        headers: {{ X-Room: kitchen }}\n        \
         body: {{ temperature: \"{{{{ trigger.value }}}}\", text: \"it is {{{{ trigger.value }}}} °C\" }}\n",
        receiver.address
    );
    let rules = Rules::of("tell.yaml", &text);
    let installation =
        Installation::new().with("--rules", rules.folder()).with("--webhook-allow", "127.0.0.1");
    let hub = installation.start().await;
    register(&hub, "oven").await;
    report(&hub, "oven", &json!({ "temperature": 120.5 })).await;

    let first = receiver.next().await;
    let request = receiver.next().await;
    assert_eq!((request.line(), request.header("x-room")), ("POST /hook", Some("kitchen")));
    let body: Value = serde_json::from_str(&request.body).unwrap();
    assert_eq!(body, json!({ "temperature": 120.5, "text": "it is 120.5 °C" }));
    let delivery = request.header("x-twinhub-delivery").unwrap();
    assert_eq!(first.header("x-twinhub-delivery"), Some(delivery), "a repeat can be known");
    let signed = format!("{}.{}", request.header("x-twinhub-timestamp").unwrap(), request.body);
    let signature = format!("sha256={}", hmac(b"s3cret", signed.as_bytes()));
    assert_eq!(request.header("x-twinhub-signature"), Some(&*signature));

    let entry = done(&hub, "tell").await;
    let run = eventually("it is delivered", async || {
        let run = hub.json(&format!("/api/automation/runs/{}", entry["id"].as_str().unwrap())).await;
        (run["deliveries"][0]["status"] == "delivered").then_some(run)
    })
    .await;
    let sent = &run["deliveries"][0];
    // Where it went, with what and what came back, is for admins.
    let ann = Person::first(&hub, "ann").await;
    let path = format!("/api/automation/runs/{}", entry["id"].as_str().unwrap());
    assert!(ann.json(&hub, &path).await["deliveries"].is_array());
    let bob = ann.add(&hub, "bob", "operator").await;
    assert!(bob.json(&hub, &path).await.get("deliveries").is_none());
    assert_eq!((&sent["id"], &sent["attempts"]), (&json!(delivery), &json!(2)));
    assert!(!run.to_string().contains("s3cret"), "the journal tells no keys: {run}");
}

/// What was to go over TLS would be sent in the clear, and with it what its rule says.
#[tokio::test]
async fn a_webhook_is_not_led_from_https_to_http() {
    let folder = TempDir::with_prefix("twinhub-tls-").unwrap();
    let by = folder.path().join("by");
    authority(&by).await;
    certificate(&by, folder.path()).await;
    let mut receiver = WebhookServer::start(&[]).await;
    let first = redirecting_over_tls(folder.path(), format!("http://{}/there", receiver.address)).await;
    let text = format!(
        "version: 1\nrules:\n  tell:\n    triggers:\n      - webhook: bell\n    actions:\n      \
         - webhook: \"https://{first}/hook\"\n        headers: {{ Authorization: Bearer s3cret }}\n"
    );
    let rules = Rules::of("tell.yaml", &text);
    let installation = || {
        Installation::new()
            .with("--rules", rules.folder())
            .with("--webhook-allow", "127.0.0.1")
            .in_environment("SSL_CERT_FILE", by.join("authority.pem").to_str().unwrap())
    };
    let rung = async |hub: &HubProcess, status: &str| {
        assert_eq!(hub.post("/api/automation/webhooks/bell", &json!({})).await.status(), 202);
        eventually("what became of it", async || {
            let deliveries = hub.json("/api/automation/webhooks/deliveries").await;
            (deliveries[0]["status"] == status).then(|| deliveries[0].clone())
        })
        .await
    };
    let hub = installation().start().await;
    let failed = rung(&hub, "failed").await;
    assert_eq!(failed["detail"], "redirected from https to http, which is not followed", "{failed}");
    assert_eq!(failed["attempts"], 1, "another try would go the same way");
    assert!(receiver.is_quiet());
    hub.terminate().await;

    let hub = installation().flag("--webhook-private-redirects").start().await;
    rung(&hub, "delivered").await;
    let request = receiver.next().await;
    assert_eq!((request.line(), request.header("authorization")), ("POST /there", None), "without the key");
}

#[tokio::test]
async fn a_webhook_comes_in() {
    let text = "version: 1\nrules:\n  bell:\n    triggers:\n      - webhook: door-bell\n    conditions:\n      \
                - trigger.payload.button == 1\n    actions:\n      - alarm: bell\n        severity: info\n        message: \"{{ trigger.payload.who }}\"\n";
    let rules = Rules::of("bell.yaml", text);
    let hub = Installation::new().with("--rules", rules.folder()).start().await;
    let path = "/api/automation/webhooks/door-bell";
    let taken = hub.post(path, &json!({ "button": 1, "who": "Ann" })).await;
    assert_eq!(taken.status(), 202);
    let seq = taken.json::<Value>().await.unwrap()["seq"].clone();
    let entry = done(&hub, "bell").await;
    assert_eq!((&entry["trigger"]["seq"], &entry["device_id"]), (&seq, &Value::Null));
    let alarm = &hub.json("/api/alarms").await[0];
    assert_eq!(
        (&alarm["message"], &alarm["rule_id"], &alarm["device_id"]),
        (&json!("Ann"), &json!("bell"), &Value::Null)
    );
    let empty = hub.request(reqwest::Method::POST, path).send().await.unwrap();
    assert_eq!(empty.status(), 202, "a body is not needed");
    assert_eq!(hub.post("/api/automation/webhooks/nobody", &json!({})).await.status(), 404);
    let broken = hub.request(reqwest::Method::POST, path).body("{").send().await.unwrap();
    assert_eq!(broken.status(), 400);
}

const FOREIGN: &str = r#"version: 1
rules:
  bridge:
    triggers:
      - mqtt: zigbee2mqtt/+/action
    actions:
      - publish: "lamp/{{ trigger.payload.lamp }}/set"
        payload: { state: "ON", topic: "{{ trigger.topic }}" }
"#;

#[tokio::test]
async fn foreign_topics_are_heard_and_answered_on_the_embedded_broker() {
    let rules = Rules::of("bridge.yaml", FOREIGN);
    let hub = Installation::new().with("--rules", rules.folder()).start().await;
    let broker = hub.mqtt.unwrap();
    bridged(&hub, broker).await;
}

#[tokio::test]
async fn foreign_topics_are_heard_and_answered_on_an_outside_broker() {
    let rules = Rules::of("bridge.yaml", FOREIGN);
    let mosquitto = Mosquitto::start().await;
    let hub = Installation::new().with("--rules", rules.folder()).on_broker(mosquitto.address).start().await;
    bridged(&hub, mosquitto.address).await;

    // A topic that is listened to later is heard as well.
    let later = FOREIGN.replace("zigbee2mqtt/+/action", "shelly/#").replace("  bridge:", "  later:");
    rules.write("later.yaml", &later);
    eventually("it is read", async || {
        hub.get("/api/automation/rules/later").await.status().is_success().then_some(())
    })
    .await;
    let mut button = MqttDevice::connect(mosquitto.address, "button-2").await.unwrap();
    eventually("it is heard", async || {
        button.say("shelly/1/2", r#"{"lamp": "hall"}"#).await;
        let runs = hub.json("/api/automation/rules/later/runs").await;
        runs.get(0).map(|run| assert_eq!(run["trigger"]["data"]["topic"], "shelly/1/2", "{run}"))
    })
    .await;
}

async fn bridged(hub: &HubProcess, broker: std::net::SocketAddr) {
    let mut lamp = MqttDevice::connect(broker, "lamp").await.unwrap();
    lamp.subscribe("lamp/+/set").await.unwrap();
    let mut button = MqttDevice::connect(broker, "button").await.unwrap();
    button.say("zigbee2mqtt/button/action", r#"{"lamp": "kitchen"}"#).await;
    let said = within("the lamp is told", async {
        loop {
            if let BrokerMessage::Message { topic, payload } = lamp.next().await.unwrap() {
                return (topic, serde_json::from_slice::<Value>(&payload).unwrap());
            }
        }
    })
    .await;
    let payload = json!({ "state": "ON", "topic": "zigbee2mqtt/button/action" });
    assert_eq!(said, ("lamp/kitchen/set".into(), payload));
    let entry = done(hub, "bridge").await;
    assert_eq!(entry["trigger"]["kind"], "mqtt");
    let devices = hub.json("/api/devices").await;
    assert_eq!(devices, json!([]), "a foreign topic makes no device");
}
