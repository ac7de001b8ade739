//! The condition that a client puts on a change: the version that it has seen.

use futures_util::future::join_all;
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::support::hub::{HubProcess, Installation};
use crate::support::{WebSocketSession, within};

/// Each route whose description promises `If-Match`, with a change that it makes, in the order in which they go.
/// `{n}` is another number each time.
const CHANGES: [(&str, &str, &str); 23] = [
    ("put", "/api/devices/{id}", r#"{"name": "{n}"}"#),
    ("patch", "/api/devices/{id}", r#"{"name": "{n}"}"#),
    ("patch", "/api/devices/{id}/twin", r#"{"desired": {"n": {n}}}"#),
    ("put", "/api/devices/{id}/schedule", r#"[{"cron": "0 7 * * *", "set": {"n": {n}}}]"#),
    ("put", "/api/devices/{id}/mode", r#"{"mode": "manual", "for": "{n}h"}"#),
    ("post", "/api/devices/{id}/token", ""),
    ("delete", "/api/devices/{id}/token", ""),
    (
        "put",
        "/api/devices/{id}/certificate",
        r#"{"fingerprint": "000000000000000000000000000000000000000000000000000000000000{n}"}"#,
    ),
    ("delete", "/api/devices/{id}/certificate", ""),
    ("put", "/api/devices/{id}/lifecycle", r#"{"state": "suspended", "reason": "{n}"}"#),
    ("delete", "/api/devices/{id}", ""),
    ("put", "/api/templates/{id}", r#"{"name": "T", "configuration": {"n": {n}}}"#),
    ("patch", "/api/templates/{id}", r#"{"configuration": {"n": {n}}}"#),
    ("delete", "/api/templates/{id}", ""),
    ("put", "/api/groups/{id}", r#"{"name": "{n}"}"#),
    ("patch", "/api/groups/{id}", r#"{"tags": {"n": {n}}}"#),
    ("delete", "/api/groups/{id}", ""),
    (
        "put",
        "/api/automation/rules/{id}",
        r#"{"alias": "{n}", "triggers": [{"every": "1h"}], "actions": [{"desired": "x", "set": {"n": {n}}}]}"#,
    ),
    ("patch", "/api/automation/rules/{id}", r#"{"enabled": false}"#),
    ("post", "/api/automation/rules/{id}/enable", ""),
    ("post", "/api/automation/rules/{id}/disable", ""),
    ("delete", "/api/automation/rules/{id}", ""),
    ("delete", "/api/firmware/{id}", ""),
];

/// Routes that change something and take no `If-Match`, and why. A POST that is an action needs no reason.
const WITHOUT: [(&str, &str); 19] = [
    ("delete /api/auth/keys/{id}", "a key is revoked, whatever was seen of it"),
    ("delete /api/auth/sessions", "sessions end, whatever was seen of them"),
    ("delete /api/auth/sessions/{id}", "a session ends, whatever was seen of it"),
    ("delete /api/auth/shares/{id}", "a share link is revoked, whatever was seen of it"),
    ("delete /api/auth/totp", "it takes the password"),
    ("delete /api/automation/webhooks/{name}/keys/{id}", "a key is revoked, whatever was seen of it"),
    ("delete /api/bridges/{name}", "a bridge is revoked, whatever was seen of it"),
    (
        "delete /api/commands/{id}",
        "it is called back or not by how far it has come, which it answers with 409",
    ),
    ("delete /api/jobs/{id}", "only one that has come to its end is forgotten, and that never changes again"),
    ("delete /api/pairing", "the window is closed, whoever has opened it"),
    ("delete /api/provisioning/keys/{id}", "a key is revoked, whatever was seen of it"),
    ("delete /api/users/invitations/{id}", "an invitation is revoked, whatever was seen of it"),
    ("delete /api/users/{name}", "a user goes, whatever was seen of them"),
    ("delete /api/users/{name}/totp", "an admin's word counts as it comes"),
    ("patch /api/users/{name}", "an admin's word counts as it comes: a member that is left out stays"),
    ("put /api/auth/password", "it takes the present one"),
    ("put /api/auth/totp", "it takes a code"),
    ("put /api/bridges/{name}", "an admin's word counts as it comes"),
    ("put /api/users/{name}/password", "an admin's word counts as it comes"),
];

/// Malformed values, answered with 400.
const MALFORMED: [&str; 3] = ["\"3", "abc", "*, \"3\""];

#[tokio::test]
async fn if_match_of_another_version_changes_nothing() {
    let hub = Installation::new().start().await;
    let image = make_one_of_each(&hub).await;
    for (count, (method, path, body)) in CHANGES.into_iter().enumerate() {
        let id = if path.starts_with("/api/firmware/") { &*image } else { "x" };
        let (of, _) = path.split_once("{id}").unwrap();
        let of = format!("{of}{id}");
        let path = path.replace("{id}", id);
        let before = tag(&hub, &of).await;
        let change = async |path: &str, tag: &str, n: usize| {
            send(&hub, method, path, tag, &body.replace("{n}", &n.to_string())).await
        };
        for (nth, malformed) in MALFORMED.into_iter().enumerate() {
            let refused = change(&path, malformed, 1_000 + 10 * count + nth).await;
            assert_refused(refused, StatusCode::BAD_REQUEST, "bad_if_match", &format!("{method} {path}"))
                .await;
        }
        for (nth, stale) in ["\"0\"".to_owned(), format!("W/{before}")].iter().enumerate() {
            let refused = change(&path, stale, 2_000 + 10 * count + nth).await;
            let (status, code) = (StatusCode::PRECONDITION_FAILED, "version_mismatch");
            assert_refused(refused, status, code, &format!("{method} {path} {stale}")).await;
        }
        assert_eq!(tag(&hub, &of).await, before, "{method} {path} has changed something");
        let nobody = change(&path.replace(&format!("/{id}"), "/nobody"), "*", 3_000 + count).await;
        assert_eq!(nobody.status(), StatusCode::NOT_FOUND, "{method} {path} of nobody");

        let made = change(&path, &format!("\"0\", {before}"), 4_000 + count).await;
        let after = made.headers().get("etag").cloned();
        assert_eq!(made.status(), StatusCode::OK, "{method} {path}: {}", made.text().await.unwrap());
        let is_whole = !["/token", "/certificate"].iter().any(|part| path.ends_with(part));
        if method == "delete" && is_whole {
            assert_eq!(hub.get(&of).await.status(), StatusCode::NOT_FOUND, "{method} {path}");
            continue;
        }
        assert_eq!(after.unwrap().to_str().unwrap(), tag(&hub, &of).await, "{method} {path}");
        let late = change(&path, &before, 5_000 + count).await;
        assert_eq!(late.status(), StatusCode::PRECONDITION_FAILED, "{method} {path} is another now");
    }
}

#[tokio::test]
async fn whatever_changes_something_promises_if_match() {
    let hub = Installation::new().start().await;
    let document = hub.json("/api/openapi.json").await;
    let (mut promised, mut without) = (Vec::new(), Vec::new());
    for (name, operation) in operations(&document) {
        let Some((method, path)) = name.split_once(' ') else { continue };
        if method == "get" {
            continue;
        }
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        if !parameters.iter().any(|one| one["name"] == "If-Match") {
            without.extend((method != "post").then_some(name));
            continue;
        }
        let answers = &operation["responses"];
        assert!(answers["400"].is_object() && answers["412"].is_object(), "{name} describes no refusal");
        assert!(method == "delete" || answers["200"]["headers"]["ETag"].is_object(), "{name} has no ETag");
        let (of, _) = path.split_once("{id}").unwrap();
        let shown = &document["paths"][format!("{of}{{id}}")]["get"];
        assert!(shown["responses"]["200"]["headers"]["ETag"].is_object(), "GET {of}{{id}} has no ETag");
        promised.push(name);
    }
    let mut tried: Vec<_> = CHANGES.iter().map(|(method, path, _)| format!("{method} {path}")).collect();
    tried.sort();
    promised.sort();
    assert_eq!(promised, tried, "each route that promises it is tried here");
    without.sort();
    let excepted: Vec<_> = WITHOUT.iter().map(|(route, _)| (*route).to_owned()).collect();
    assert_eq!(without, excepted, "a route that changes something takes `If-Match`, or says here why not");
}

#[tokio::test]
async fn of_writers_who_saw_the_same_one_is_taken() {
    let hub = Installation::new().start().await;
    make_one_of_each(&hub).await;
    let of_these = ["/api/devices/{id}/mode", "/api/groups/{id}", "/api/automation/rules/{id}"];
    for (_, path, body) in
        CHANGES.into_iter().filter(|(method, path, _)| *method == "put" && of_these.contains(path))
    {
        let (of, _) = path.split_once("{id}").unwrap();
        let (of, path) = (format!("{of}x"), path.replace("{id}", "x"));
        for round in 0..10 {
            let seen = tag(&hub, &of).await;
            let writes = (0..4).map(|n| {
                let body = body.replace("{n}", &(100 + round * 10 + n).to_string());
                let (hub, path, seen) = (&hub, &path, &seen);
                async move { send(hub, "put", path, seen, &body).await.status() }
            });
            let mut told = join_all(writes).await;
            told.sort();
            let late = StatusCode::PRECONDITION_FAILED;
            assert_eq!(told, [StatusCode::OK, late, late, late], "{path}, round {round}");
        }
    }
}

#[tokio::test]
async fn a_change_over_websocket_can_depend_on_the_version_too() {
    let hub = Installation::new().start().await;
    hub.post("/api/devices", &json!({ "device_id": "x", "name": "X" })).await;
    let mut client = WebSocketSession::connect(hub.http).await;
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

async fn version(hub: &HubProcess) -> u64 {
    hub.json("/api/devices/x/twin").await["version"].as_u64().unwrap()
}

/// A device, a template, a group and a rule, all called `x`, and an image, whose id this is.
async fn make_one_of_each(hub: &HubProcess) -> String {
    let rule = json!({ "id": "x", "triggers": [{ "every": "1h" }], "actions": [{ "desired": "x", "set": { "n": 0 } }] });
    let image = json!({ "version": "1.0", "model": "P1", "url": "http://files/1.bin", "sha256": "0a".repeat(32), "size": 1 });
    let mut made = Value::Null;
    for (path, body) in [
        ("/api/devices", json!({ "device_id": "x", "name": "X" })),
        ("/api/templates", json!({ "id": "x", "name": "T" })),
        ("/api/groups", json!({ "id": "x", "name": "X" })),
        ("/api/automation/rules", rule),
        ("/api/firmware", image),
    ] {
        let answer = hub.post(path, &body).await;
        let status = answer.status();
        made = answer.json().await.unwrap();
        assert_eq!(status, StatusCode::CREATED, "{path}: {made}");
    }
    made["id"].as_str().unwrap().to_owned()
}

/// The tag of what is there.
async fn tag(hub: &HubProcess, path: &str) -> String {
    let answer = hub.get(path).await;
    assert_eq!(answer.status(), StatusCode::OK, "{path}");
    answer.headers()["etag"].to_str().unwrap().to_owned()
}

async fn send(hub: &HubProcess, method: &str, path: &str, if_match: &str, body: &str) -> Response {
    let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
    let mut request = hub.request(method, path).header("If-Match", if_match);
    if !body.is_empty() {
        request = request.header("Content-Type", "application/json").body(body.to_owned());
    }
    request.send().await.unwrap()
}

async fn assert_refused(refused: Response, status: StatusCode, code: &str, what: &str) {
    assert_eq!(refused.status(), status, "{what}");
    let problem: Value = refused.json().await.unwrap();
    assert_eq!(problem["code"], code, "{what}");
}

/// All that can be asked for, as `patch /api/devices/{id}`.
fn operations(document: &Value) -> impl Iterator<Item = (String, &Value)> {
    document["paths"].as_object().unwrap().iter().flat_map(|(path, operations)| {
        let operations = operations.as_object().unwrap().iter();
        operations.map(move |(method, operation)| (format!("{method} {path}"), operation))
    })
}
