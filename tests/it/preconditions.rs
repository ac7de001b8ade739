//! What a client makes a change depend on: the version that it has seen.

use reqwest::Method;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::hub::{House, Hub};
use crate::support::{Subscriber, within};

/// Each route whose description promises `If-Match`, with a change that it makes. `{n}` is another number each time.
const CHANGES: [(&str, &str, &str); 6] = [
    ("put", "/api/devices/{id}", r#"{"name": "{n}"}"#),
    ("patch", "/api/devices/{id}", r#"{"name": "{n}"}"#),
    ("patch", "/api/devices/{id}/twin", r#"{"desired": {"n": {n}}}"#),
    ("put", "/api/devices/{id}/schedule", r#"[{"cron": "0 7 * * *", "set": {"n": {n}}}]"#),
    ("put", "/api/templates/{id}", r#"{"name": "T", "configuration": {"n": {n}}}"#),
    ("patch", "/api/templates/{id}", r#"{"configuration": {"n": {n}}}"#),
];

#[tokio::test]
async fn whoever_promises_if_match_changes_nothing_of_another_version() {
    let hub = House::new().start().await;
    hub.post("/api/devices", &json!({ "device_id": "x", "name": "X" })).await;
    hub.post("/api/templates", &json!({ "id": "x", "name": "T" })).await;
    let promised = promised(&hub.json("/api/openapi.json").await);
    let mut tried: Vec<_> = CHANGES.iter().map(|(method, path, _)| format!("{method} {path}")).collect();
    tried.sort();
    assert_eq!(promised, tried, "each route that promises it is tried here");
    for (count, (method, path, body)) in CHANGES.into_iter().enumerate() {
        let path = path.replace("{id}", "x");
        let of = path.split('/').take(4).collect::<Vec<_>>().join("/");
        let now = hub.json(&of).await;
        let version = now["version"].as_u64().unwrap();
        let change = async |tag: String, n: usize| {
            let body = body.replace("{n}", &n.to_string());
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let request = hub.request(method, &path).header("If-Match", tag);
            let request = request.header("Content-Type", "application/json").body(body);
            request.send().await.unwrap()
        };
        let refused = change(format!("\"{}\"", version + 1), 1_000 + count).await;
        assert_eq!(refused.status(), StatusCode::PRECONDITION_FAILED, "{method} {path}");
        let problem: Value = refused.json().await.unwrap();
        assert_eq!(problem["code"], "version_mismatch", "{method} {path}");
        assert_eq!(hub.json(&of).await["version"], version, "{method} {path} has changed something");
        let made = change(format!("\"{version}\""), 2_000 + count).await;
        assert_eq!(made.status(), StatusCode::OK, "{method} {path}: {}", made.text().await.unwrap());
        assert!(hub.json(&of).await["version"].as_u64().unwrap() > version, "{method} {path}");
    }
}

#[tokio::test]
async fn a_change_over_websocket_can_depend_on_the_version_too() {
    let hub = House::new().start().await;
    hub.post("/api/devices", &json!({ "device_id": "x", "name": "X" })).await;
    let mut client = Subscriber::connect(hub.http).await;
    let version = version(&hub).await;
    let mut change = async |n: u64, if_version: u64| {
        let frame = json!({ "type": "desired", "id": format!("c{n}"), "device_id": "x", "patch": { "n": n },
            "if_version": if_version });
        client.send(&frame).await;
        within("an answer", client.next()).await.unwrap()
    };
    let refused = change(1, version + 1).await;
    assert_eq!(
        (&refused["type"], &refused["code"]),
        (&json!("error"), &json!("version_mismatch")),
        "{refused}"
    );
    assert_eq!(hub.json("/api/devices/x/twin").await["desired"], json!({}));
    let made = change(2, version).await;
    assert_ne!(made["type"], "error", "{made}");
    assert_eq!(hub.json("/api/devices/x/twin").await["desired"], json!({ "n": 2 }));
}

async fn version(hub: &Hub) -> u64 {
    hub.json("/api/devices/x/twin").await["version"].as_u64().unwrap()
}

/// The routes whose description has a header `If-Match`, as `patch /api/devices/{id}`.
fn promised(document: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let has = |parameters: &Value| {
                parameters.as_array().is_some_and(|all| all.iter().any(|one| one["name"] == "If-Match"))
            };
            if has(&operation["parameters"]) && method != "get" {
                found.push(format!("{method} {path}"));
            }
        }
    }
    found.sort();
    found
}
