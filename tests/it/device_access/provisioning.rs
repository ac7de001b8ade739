//! Provisioning: devices register themselves with a key that many of them have.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::hub::{HubProcess, Installation};
use crate::support::people::{Person, get_with, told};

async fn make(person: &Person, hub: &HubProcess, key: &Value) -> Value {
    let made = person.send(hub, Method::POST, "/api/provisioning/keys", key).await;
    let (status, text) = (made.status(), made.text().await.unwrap());
    assert_eq!(status, 201, "{text}");
    serde_json::from_str(&text).unwrap()
}

async fn provision(hub: &HubProcess, secret: &str, body: &Value) -> (u16, Value) {
    let asked = hub.request(Method::POST, "/api/provision").bearer_auth(secret).json(body);
    let answer = asked.send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

fn refused(answer: &(u16, Value)) -> (u16, &str) {
    (answer.0, answer.1["code"].as_str().unwrap_or_default())
}

#[tokio::test]
async fn devices_register_themselves_within_the_bounds_of_a_key() {
    let installation = Installation::new();
    let hub = installation.start().await;
    let ann = Person::first(&hub, "ann").await;
    for (path, body) in [
        ("/api/groups", json!({ "id": "hall", "name": "Hall" })),
        ("/api/templates", json!({ "id": "pump", "name": "Pump", "tags": { "kind": "pump" } })),
    ] {
        assert_eq!(ann.send(&hub, Method::POST, path, &body).await.status(), 201, "{path}");
    }
    let wish = json!({ "name": "line 3", "template_id": "pump", "group_id": "hall", "uses": 2, "ids": ["line3-*"],
        "until": "2999-12-31" });
    let key = make(&ann, &hub, &wish).await;
    let (secret, id) = (key["secret"].as_str().unwrap(), key["id"].as_str().unwrap());
    assert!(secret.starts_with("twh_dvp_"), "{secret}");

    let (status, made) =
        provision(&hub, secret, &json!({ "device_id": "line3-1", "serial_number": "S-1", "model": "P" }))
            .await;
    assert_eq!(status, 201, "{made}");
    let token = made["auth_token"].as_str().unwrap();
    assert!(token.starts_with("twh_dev_"), "{made}");
    let twin = ann.json(&hub, "/api/devices/line3-1").await;
    assert_eq!(
        (&twin["group_id"], &twin["template"]["id"], &twin["claimed"], &twin["serial_number"]),
        (&json!("hall"), &json!("pump"), &json!(true), &json!("S-1")),
        "{twin}"
    );
    assert_eq!(twin["tags"]["kind"], "pump");

    // What it may not have costs no use.
    let other = provision(&hub, secret, &json!({ "device_id": "line4-1" })).await;
    assert_eq!(refused(&other), (403, "key_unusable"));
    let taken = provision(&hub, secret, &json!({ "device_id": "line3-2", "serial_number": "S-1" })).await;
    assert_eq!(refused(&taken), (409, "serial_number_taken"));
    let bad =
        provision(&hub, secret, &json!({ "device_id": "line3-2", "settings": { "gateway": {} } })).await;
    assert_eq!(refused(&bad), (422, "unknown_field"));
    // A device whose answer was lost gets another token, and takes no other's place.
    let (status, again) =
        provision(&hub, secret, &json!({ "device_id": "line3-1", "serial_number": "S-1" })).await;
    assert_eq!(status, 201, "{again}");
    assert_ne!(again["auth_token"], token);
    let used = || async { ann.json(&hub, "/api/provisioning/keys").await[0]["used"].clone() };
    assert_eq!(used().await, 1);

    hub.kill().await;
    let hub = installation.start().await;
    let ann = Person::sign_in(&hub, "ann").await;
    assert_eq!(
        provision(&hub, secret, &json!({ "device_id": "line3-2" })).await.0,
        201,
        "the count is stored"
    );
    let third = provision(&hub, secret, &json!({ "device_id": "line3-3" })).await;
    assert_eq!(refused(&third), (403, "key_unusable"));
    assert_eq!(ann.json(&hub, "/api/provisioning/keys").await[0]["used"], 2);

    let path = format!("/api/provisioning/keys/{id}");
    assert_eq!(ann.request(&hub, Method::DELETE, &path).send().await.unwrap().status(), 200);
    let revoked = provision(&hub, secret, &json!({ "device_id": "line3-4" })).await;
    assert_eq!(refused(&revoked), (401, "bad_credential"));
    let audit = ann.json(&hub, "/api/audit?action=provisioning_key.used").await;
    assert!(audit[0]["target"].as_str().unwrap().starts_with("device:line3-"), "{audit}");
    let text = format!("{} {}", ann.json(&hub, "/api/audit").await, hub.log().join("\n"));
    assert!(!text.contains(secret) && !text.contains(token), "nobody is told a secret");
}

#[tokio::test]
async fn a_device_asks_again_though_it_had_the_last_use() {
    let hub = Installation::new().start().await;
    let ann = Person::first(&hub, "ann").await;
    let key = make(&ann, &hub, &json!({ "name": "one", "uses": 1 })).await;
    let secret = key["secret"].as_str().unwrap();
    let device = json!({ "device_id": "d-1" });
    let (status, first) = provision(&hub, secret, &device).await;
    assert_eq!(status, 201, "{first}");
    let (status, again) = provision(&hub, secret, &device).await;
    assert_eq!(status, 201, "{again}");
    assert_ne!(again["auth_token"], first["auth_token"]);
    let other = provision(&hub, secret, &json!({ "device_id": "d-2" })).await;
    assert_eq!(refused(&other), (403, "key_unusable"));
    assert_eq!(ann.json(&hub, "/api/provisioning/keys").await[0]["used"], 1);

    // Once it was heard it has its token.
    let token = again["auth_token"].as_str().unwrap();
    let data = hub.request(Method::POST, "/api/devices/d-1/data").bearer_auth(token);
    assert!(data.json(&json!({ "t": 1 })).send().await.unwrap().status().is_success());
    assert_eq!(refused(&provision(&hub, secret, &device).await), (403, "key_unusable"));
}

#[tokio::test]
async fn a_provisioning_key_opens_nothing_else_and_lasts_as_long_as_its_maker_may() {
    let hub = Installation::new().start().await;
    let ann = Person::first(&hub, "ann").await;
    let bob = ann.add(&hub, "bob", "operator").await;
    let eve = ann.add(&hub, "eve", "viewer").await;
    let wish = json!({ "name": "k" });
    let refused_to = |answer| told(answer);
    let asked = eve.send(&hub, Method::POST, "/api/provisioning/keys", &wish).await;
    assert_eq!(refused_to(asked).await, (403, "forbidden".into()));
    let key = make(&bob, &hub, &wish).await;
    let secret = key["secret"].as_str().unwrap();
    for path in ["/api/devices", "/api/provisioning/keys", "/api/users", "/api/openapi.json", "/metrics"] {
        assert_eq!(get_with(&hub, secret, path).await.0, 403, "{path}");
    }
    assert_eq!(provision(&hub, secret, &json!({ "device_id": "d-1" })).await.0, 201);
    let ours = bob.json(&hub, "/api/provisioning/keys").await;
    assert_eq!(ours.as_array().unwrap().len(), 1);
    assert!(!ours.to_string().contains(secret), "{ours}");

    let demote = ann.send(&hub, Method::PATCH, "/api/users/bob", &json!({ "role": "viewer" })).await;
    assert_eq!(demote.status(), 200);
    assert_eq!(refused(&provision(&hub, secret, &json!({ "device_id": "d-2" })).await), (403, "forbidden"));
    assert_eq!(ann.request(&hub, Method::DELETE, "/api/users/bob").send().await.unwrap().status(), 200);
    assert_eq!(
        refused(&provision(&hub, secret, &json!({ "device_id": "d-2" })).await),
        (401, "bad_credential")
    );
    assert_eq!(ann.json(&hub, "/api/provisioning/keys").await, json!([]));
}

#[tokio::test]
async fn a_key_makes_no_provisioning_key_that_is_wider_than_itself() {
    let hub = Installation::new().start().await;
    let ann = Person::first(&hub, "ann").await;
    let ask = async |secret: &str| {
        let asked = hub.request(Method::POST, "/api/provisioning/keys").bearer_auth(secret);
        told(asked.json(&json!({ "name": "k" })).send().await.unwrap()).await
    };
    let (own, _) = ann.make_key(&hub, "operator").await;
    assert_eq!(ask(&own).await, (401, "sign_in_needed".into()), "its maker has more rights than it has");
    for (role, scope, expected) in [
        ("operator", json!("all"), (403, "forbidden".to_owned())),
        ("admin", json!({ "devices": ["pump"] }), (403, "forbidden".to_owned())),
        ("admin", json!("all"), (201, String::new())),
    ] {
        let wish = json!({ "name": "ci", "role": role, "service": true, "scope": scope });
        let made = ann.send(&hub, Method::POST, "/api/auth/keys", &wish).await;
        let service: Value = made.json().await.unwrap();
        assert_eq!(ask(service["secret"].as_str().unwrap()).await, expected, "{role} for {scope}");
    }
}

#[tokio::test]
async fn wishes_for_keys_that_make_no_sense_are_named() {
    let hub = Installation::new().start().await;
    for (wish, field) in [
        (json!({}), "name"),
        (json!({ "name": "k", "template_id": "none" }), "template_id"),
        (json!({ "name": "k", "group_id": "none" }), "group_id"),
        (json!({ "name": "k", "ids": ["a/b"] }), "ids"),
        (json!({ "name": "k", "until": "soon" }), "until"),
        (json!({ "name": "k", "uses": "many" }), "uses"),
        (json!({ "name": "k", "colour": "red" }), "colour"),
    ] {
        let answer = hub.post("/api/provisioning/keys", &wish).await;
        assert_eq!(answer.status(), 422, "{wish}");
        let problem: Value = answer.json().await.unwrap();
        assert_eq!(problem["field"], field, "{problem}");
    }
    for wish in [json!({ "name": "k", "until": "2001-01-01" }), json!({ "name": "k", "uses": 0 })] {
        let answer = hub.post("/api/provisioning/keys", &wish).await;
        assert_eq!(told(answer).await, (422, "bad_key".into()), "{wish}");
    }
}
