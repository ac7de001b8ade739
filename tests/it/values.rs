//! Values: equal numbers meet, counters of 64 bits keep their digits, nested and flat are one place, declared words
//! mean the same, and units are kept.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::hub::Installation;
use crate::support::{HubProcess, MqttDevice, eventually};

async fn patch(hub: &HubProcess, id: &str, body: &str) {
    let request = hub.request(Method::PATCH, &format!("/api/devices/{id}"));
    let response =
        request.header("Content-Type", "application/json").body(body.to_owned()).send().await.unwrap();
    let status = response.status();
    assert_eq!(status, StatusCode::OK, "{body}: {}", response.text().await.unwrap());
}

async fn twin(hub: &HubProcess, id: &str) -> Value {
    hub.json(&format!("/api/devices/{id}/twin")).await
}

async fn text(hub: &HubProcess, path: &str) -> String {
    hub.get(path).await.text().await.unwrap()
}

/// Waits until all that is desired of the device is reached.
async fn converged(hub: &HubProcess, id: &str) {
    eventually(&format!("{id} has converged"), async || {
        (twin(hub, id).await["delta"] == json!({})).then_some(())
    })
    .await;
}

#[tokio::test]
async fn equal_values_converge_however_they_are_written() {
    let installation = Installation::new();
    let hub = installation.start().await;
    for (id, desired, topic, reported) in [
        ("zeros", r#"{"t":21.5}"#, "state", r#"{"t":21.500000000000000}"#),
        ("double", r#"{"t":0.1}"#, "data", r#"{"t":0.10000000000000001}"#),
        ("long", r#"{"t":100}"#, "state", r#"{"t":100.00000000000000000}"#),
        ("nested", r#"{"motor":{"rpm":1450}}"#, "data", r#"{"motor":{"rpm":1450}}"#),
        ("flat", r#"{"motor.rpm":1450}"#, "state", r#"{"motor":{"rpm":1450}}"#),
    ] {
        let mut device = MqttDevice::connect(hub.mqtt.unwrap(), id).await.unwrap();
        device.say(&format!("iot/devices/{id}/data"), r#"{"seen":1}"#).await;
        patch(&hub, id, &format!(r#"{{"desired":{desired}}}"#)).await;
        assert_eq!(twin(&hub, id).await["delta"], serde_json::from_str::<Value>(desired).unwrap(), "{id}");
        device.say(&format!("iot/devices/{id}/{topic}"), reported).await;
        converged(&hub, id).await;
    }
    // Documents stay as they were written.
    assert_eq!(twin(&hub, "nested").await["reported"]["motor.rpm"], 1450);
    assert_eq!(twin(&hub, "flat").await["desired"], json!({ "motor.rpm": 1450 }));
    let shown = text(&hub, "/api/devices/zeros/twin").await;
    assert!(shown.contains(r#""t":21.500000000000000"#), "{shown}");
    // A filter finds both by the path.
    let found = text(&hub, "/api/devices?filter=motor.rpm%20%3D%3D%201450&sort=id").await;
    let found: Vec<Value> = serde_json::from_str(&found).unwrap();
    let ids: Vec<&str> = found.iter().map(|device| device["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["flat", "nested"]);
}

#[tokio::test]
async fn declared_words_converge_after_the_declaration() {
    let installation = Installation::new();
    let hub = installation.start().await;
    let mut device = MqttDevice::connect(hub.mqtt.unwrap(), "plug").await.unwrap();
    device.say("iot/devices/plug/state", r#"{"power":"on"}"#).await;
    patch(&hub, "plug", r#"{"desired":{"power":true}}"#).await;
    assert_eq!(twin(&hub, "plug").await["delta"], json!({ "power": true }), "undeclared words stay exact");
    let template = json!({ "id": "plug", "words": ["OFF", "ON"] });
    assert_eq!(hub.post("/api/templates", &template).await.status(), StatusCode::CREATED);
    patch(&hub, "plug", r#"{"template":"plug"}"#).await;
    converged(&hub, "plug").await;
    assert_eq!(twin(&hub, "plug").await["settings"]["words"], json!(["OFF", "ON"]));
    device.say("iot/devices/plug/state", r#"{"power":"OFF"}"#).await;
    eventually("it was switched off", async || {
        (twin(&hub, "plug").await["delta"] == json!({ "power": true })).then_some(())
    })
    .await;
    let wrong = json!({ "id": "wrong", "words": ["ON", "on"] });
    let refused = hub.post("/api/templates", &wrong).await;
    assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(refused.json::<Value>().await.unwrap()["field"], "words");
}

#[tokio::test]
async fn counters_of_64_bits_keep_their_digits() {
    let installation = Installation::new();
    let mut hub = installation.start().await;
    for (id, counters) in [
        ("a", ["9007199254740992", "9007199254740993"]),
        ("b", ["18446744073709551614", "18446744073709551615"]),
        ("c", ["9007199254740991", "9007199254740992"]),
    ] {
        let mut device = MqttDevice::connect(hub.mqtt.unwrap(), id).await.unwrap();
        for (minute, counter) in counters.iter().enumerate() {
            let said = format!(r#"{{"n":{counter},"timestamp":"2026-01-01T12:00:0{minute}Z"}}"#);
            device.say(&format!("iot/devices/{id}/data"), &said).await;
        }
    }
    eventually("all have come", async || {
        (twin(&hub, "c").await["reported"]["n"] == json!(9_007_199_254_740_992_u64)).then_some(())
    })
    .await;
    for restarted in [false, true] {
        for (agg, expected) in [
            ("max", "9007199254740993"),
            ("min", "9007199254740992"),
            ("last", "9007199254740993"),
            ("sum", "18014398509481985"),
            ("avg", "9007199254740992.5"),
        ] {
            let buckets = text(&hub, &format!("/api/devices/a/data?interval=5m&agg={agg}")).await;
            assert!(buckets.contains(&format!(r#""value":{expected},"#)), "{agg}: {buckets}");
        }
        let buckets = text(&hub, "/api/devices/b/data?interval=5m&agg=max").await;
        assert!(buckets.contains(r#""value":18446744073709551615,"#), "{buckets}");
        let raw = text(&hub, "/api/devices/b/data").await;
        assert!(raw.contains("18446744073709551614") && raw.contains("18446744073709551615"), "{raw}");
        let ids = async |query: &str| {
            let found: Vec<Value> =
                serde_json::from_str(&text(&hub, &format!("/api/devices?{query}")).await).unwrap();
            found.iter().map(|device| device["id"].as_str().unwrap()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(ids("sort=n").await, "c a b");
        assert_eq!(ids("sort=-n").await, "b a c");
        assert_eq!(ids("sort=id&filter=n%20%3E%209007199254740992").await, "a b");
        assert_eq!(ids("sort=id&filter=n%20%3D%3D%2018446744073709551615").await, "b");
        if !restarted {
            assert!(hub.terminate().await.success());
            hub = installation.start().await;
        }
    }
}

#[tokio::test]
async fn units_are_in_metadata_lists_and_events_and_last() {
    let installation = Installation::new();
    let mut hub = installation.start().await;
    let mut device = MqttDevice::connect(hub.mqtt.unwrap(), "meter").await.unwrap();
    device.say("iot/devices/meter/data", r#"{"flow":12.4,"units":{"flow":"l/min"}}"#).await;
    device.say("iot/devices/meter/state", r#"{"level":3,"units":{"level":"m"}}"#).await;
    eventually("both have come", async || {
        (twin(&hub, "meter").await["reported"] == json!({ "flow": 12.4, "level": 3 })).then_some(())
    })
    .await;
    let events = text(&hub, "/api/devices/meter/events?kind=telemetry").await;
    assert!(events.contains(r#""data":{"flow":12.4},"units":{"flow":"l/min"},"#), "{events}");
    for restarted in [false, true] {
        let metadata = twin(&hub, "meter").await["metadata"]["reported"].clone();
        assert_eq!((&metadata["flow"]["unit"], &metadata["level"]["unit"]), (&json!("l/min"), &json!("m")));
        let listed = hub.json("/api/devices").await[0]["readings"].clone();
        assert_eq!((&listed["flow"]["unit"], &listed["level"]["unit"]), (&json!("l/min"), &json!("m")));
        if !restarted {
            hub.kill().await;
            hub = installation.start().await;
        }
    }
}
