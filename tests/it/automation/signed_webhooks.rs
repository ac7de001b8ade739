//! Webhooks that come in signed, from senders that have no key of the hub.

use reqwest::Method;
use serde_json::{Value, json};
use twinhub_actors::SystemClock;
use twinhub_domain::Clock as _;

use crate::support::eventually;
use crate::support::hub::{HubProcess, Installation};
use crate::support::people::{PASSWORD, Person};
use crate::support::receiver::hmac;

const SECRET: &str = "correct horse battery";
const PATH: &str = "/api/automation/webhooks/deploy";

/// A rule with the webhook `deploy`.
fn rule(id: &str, secret: &Value) -> Value {
    let trigger = json!({ "webhook": "deploy", "secret": secret });
    json!({ "id": id, "triggers": [trigger], "actions": [{ "log": "deployed" }] })
}

/// The status, the stable word of a problem or the `seq`, and the sentence.
async fn post(hub: &HubProcess, headers: &[(&str, &str)], body: &str) -> (u16, Value, String) {
    let mut request = hub.request(Method::POST, PATH).body(body.to_owned());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    let told: Value = answer.json().await.unwrap();
    let word = if status == 202 { told["seq"].clone() } else { told["code"].clone() };
    (status, word, told["detail"].as_str().unwrap_or_default().to_owned())
}

async fn post_signed(hub: &HubProcess, secret: &str, body: &str) -> (u16, Value) {
    let signature = format!("sha256={}", hmac(secret.as_bytes(), body.as_bytes()));
    let (status, word, _) = post(hub, &[("X-Hub-Signature-256", &signature)], body).await;
    (status, word)
}

async fn make(hub: &HubProcess, person: &Person, rule: &Value) {
    let made = person.send(hub, Method::POST, "/api/automation/rules", rule).await;
    assert_eq!(made.status(), 201, "{}", made.text().await.unwrap());
}

fn bad() -> (u16, Value) {
    (401, json!("bad_signature"))
}

#[tokio::test]
async fn a_request_is_taken_by_its_signature() {
    let hub = Installation::new().start().await;
    let ann = Person::first(&hub, "ann").await;
    make(&hub, &ann, &rule("deploy", &json!(SECRET))).await;
    let body = r#"{"ref": "main"}"#;
    let signature = format!("sha256={}", hmac(SECRET.as_bytes(), body.as_bytes()));

    let (status, seq, _) = post(&hub, &[("X-Hub-Signature-256", &signature)], body).await;
    assert_eq!(status, 202);
    let runs = eventually("the rule has run", async || {
        let runs = ann.json(&hub, "/api/automation/rules/deploy/runs").await;
        (runs.as_array()?.len() == 1).then_some(runs)
    })
    .await;
    assert_eq!(
        (&runs[0]["trigger"]["seq"], &runs[0]["trigger"]["data"]["payload"]["ref"]),
        (&seq, &json!("main"))
    );

    let other = format!("sha256={}", hmac(b"another secret altogether", body.as_bytes()));
    for (headers, sent, expected) in [
        (&[("X-Hub-Signature-256", &*other)][..], body, "is not the signature of the body"),
        (&[("X-Hub-Signature-256", &signature)], r#"{"ref":"main"}"#, "is not the signature of the body"),
        (&[("X-Hub-Signature-256", &signature[7..])], body, "64 hexadecimal digits"),
        (&[("X-Twinhub-Signature", &signature)], body, "Unix seconds"),
    ] {
        let (status, word, detail) = post(&hub, headers, sent).await;
        assert_eq!((status, word), bad(), "{headers:?}");
        assert!(detail.contains(expected), "{headers:?}: {detail}");
    }
    let (status, word, _) = post(&hub, &[], body).await;
    assert_eq!((status, word), (401, json!("sign_in_needed")));
    // A key goes before a signature.
    let (key, _) = ann.make_key(&hub, "operator").await;
    let bearer = format!("Bearer {key}");
    let (status, _, _) =
        post(&hub, &[("Authorization", &bearer), ("X-Hub-Signature-256", &other)], body).await;
    assert_eq!(status, 202);
    let refused = ann.json(&hub, "/api/audit?action=access.refused").await;
    assert_eq!(
        (&refused[0]["target"], &refused[0]["detail"]["code"]),
        (&json!("POST /api/automation/webhooks/{name}"), &json!("bad_signature"))
    );

    // Of strangers only what is signed may be large.
    let large = json!({ "text": "x".repeat(100_000) }).to_string();
    assert_eq!(post_signed(&hub, SECRET, &large).await.0, 202);
    assert_eq!(post_signed(&hub, "another secret altogether", &large).await, bad());
}

#[tokio::test]
async fn a_delivery_that_comes_again_sets_off_nothing() {
    let hub = Installation::new().start().await;
    let ann = Person::first(&hub, "ann").await;
    make(&hub, &ann, &rule("deploy", &json!(SECRET))).await;
    let signature = format!("sha256={}", hmac(SECRET.as_bytes(), b"{}"));
    let deliver = async |id: &str| {
        let (status, seq, _) =
            post(&hub, &[("X-Hub-Signature-256", &signature), ("X-GitHub-Delivery", id)], "{}").await;
        assert_eq!(status, 202, "{seq}");
        seq
    };
    let first = deliver("d-1").await;
    let second = deliver("d-2").await;
    assert_ne!(first, second);
    let again = futures_util::future::join_all((0..8).map(|_| deliver("d-1"))).await;
    assert!(again.iter().all(|seq| *seq == first), "{again:?}");
    let at_once = futures_util::future::join_all((0..8).map(|_| deliver("d-3"))).await;
    assert!(at_once.iter().all(|seq| *seq == at_once[0]), "{at_once:?}");
    let last = deliver("d-4").await;
    let runs = eventually("the last one has run", async || {
        let runs = ann.json(&hub, "/api/automation/rules/deploy/runs").await;
        (runs[0]["trigger"]["seq"] == last).then_some(runs)
    })
    .await;
    assert_eq!(runs.as_array().map_or(0, Vec::len), 4, "{runs}");
}

#[tokio::test]
async fn a_time_that_is_signed_with_it_must_be_near() {
    let hub = Installation::new().start().await;
    let ann = Person::first(&hub, "ann").await;
    make(&hub, &ann, &rule("deploy", &json!(SECRET))).await;
    let now = SystemClock.now().millis() / 1_000;
    for (at, expected) in [(now, 202), (now - 400, 401), (now + 400, 401)] {
        let at = at.to_string();
        let signature = format!("sha256={}", hmac(SECRET.as_bytes(), format!("{at}.{{}}").as_bytes()));
        let headers = [("X-Twinhub-Signature", &*signature), ("X-Twinhub-Timestamp", &at)];
        let (status, word, detail) = post(&hub, &headers, "{}").await;
        assert_eq!(status, expected, "{word} {detail}");
        assert_eq!(status == 401, detail.contains("five minutes"), "{detail}");
        // The body alone is not what was signed.
        let (status, _, _) = post(&hub, &[("X-Hub-Signature-256", &signature)], "{}").await;
        assert_eq!(status, 401);
    }
}

#[tokio::test]
async fn a_signature_of_a_time_sets_off_its_rule_once() {
    let hub = Installation::new().start().await;
    let ann = Person::first(&hub, "ann").await;
    make(&hub, &ann, &rule("deploy", &json!(SECRET))).await;
    let now = SystemClock.now().millis() / 1_000;
    let deliver = async |at: i64, id: &str| {
        let at = at.to_string();
        let signature = format!("sha256={}", hmac(SECRET.as_bytes(), format!("{at}.{{}}").as_bytes()));
        let headers =
            [("X-Twinhub-Signature", &*signature), ("X-Twinhub-Timestamp", &at), ("X-Twinhub-Delivery", id)];
        let (status, seq, detail) = post(&hub, &headers, "{}").await;
        assert_eq!(status, 202, "{seq} {detail}");
        seq
    };
    let first = deliver(now, "d-1").await;
    assert_eq!(deliver(now, "d-2").await, first, "it was overheard");
    assert_eq!(deliver(now - 1, "d-1").await, first, "its sender asks again");
    assert_eq!(deliver(now - 1, "d-3").await, first, "that was overheard");
    assert_ne!(deliver(now - 2, "d-4").await, first);
}

#[tokio::test]
async fn a_signature_counts_as_long_and_as_far_as_its_rule() {
    let hub =
        Installation::new().in_environment("TWINHUB_SECRET_DOOR", "the secret of the door").start().await;
    let ann = Person::first(&hub, "ann").await;
    assert_eq!(post_signed(&hub, SECRET, "{}").await, bad(), "no rule has it");
    make(&hub, &ann, &rule("deploy", &json!(SECRET))).await;
    assert_eq!(post_signed(&hub, SECRET, "{}").await.0, 202);

    // The rule as it is shown keeps its secret when it is sent back.
    let path = "/api/automation/rules/deploy";
    let shown = ann.json(&hub, path).await;
    assert!(!shown.to_string().contains(SECRET), "{shown}");
    let veiled = rule("deploy", &json!({ "set": true }));
    let put = ann.send(&hub, Method::PUT, path, &veiled).await;
    assert_eq!(put.status(), 200, "{}", put.text().await.unwrap());
    assert_eq!(post_signed(&hub, SECRET, "{}").await.0, 202);

    // Somebody with a scope lets nobody in to rules that they do not see.
    let device = json!({ "device_id": "lamp", "name": "Lamp" });
    assert_eq!(ann.send(&hub, Method::POST, "/api/devices", &device).await.status(), 201);
    let bob =
        json!({ "name": "bob", "role": "operator", "password": PASSWORD, "scope": { "devices": ["lamp"] } });
    assert_eq!(ann.send(&hub, Method::POST, "/api/users", &bob).await.status(), 201);
    let bob = Person::sign_in(&hub, "bob").await;
    let of_ann = json!({ "id": "deploy", "triggers": [{ "webhook": "deploy", "secret": SECRET }],
        "actions": [{ "desired": "heater", "set": { "on": true } }] });
    assert_eq!(ann.send(&hub, Method::PUT, path, &of_ann).await.status(), 200);
    let of_bob = "the secret that bob knows";
    let rule_of_bob = json!({ "id": "own", "triggers": [{ "webhook": "deploy", "secret": of_bob }],
        "actions": [{ "desired": "lamp", "set": { "on": true } }] });
    make(&hub, &bob, &rule_of_bob).await;
    assert_eq!(post_signed(&hub, of_bob, "{}").await, bad());
    assert_eq!(post_signed(&hub, SECRET, "{}").await.0, 202);

    assert_eq!(ann.send(&hub, Method::POST, &format!("{path}/disable"), &json!({})).await.status(), 200);
    assert_eq!(post_signed(&hub, SECRET, "{}").await, bad(), "it does not run");

    let by_variable = json!({ "id": "door", "triggers": [{ "webhook": "deploy", "secret_env": "TWINHUB_SECRET_DOOR" }],
        "actions": [{ "log": "ding" }] });
    make(&hub, &ann, &by_variable).await;
    assert_eq!(post_signed(&hub, "the secret of the door", "{}").await.0, 202);
}
