//! Two writers, one twin: who read an older version is told so, and overwrites nothing.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::HubProcess;
use crate::support::hub::Installation;

const TWIN: &str = "/api/devices/pump-1/twin";
const ROUNDS: u64 = 50;

#[tokio::test]
async fn one_of_two_wins_each_round() {
    let hub = Installation::new().start().await;
    let created = hub.post("/api/devices", &json!({ "device_id": "pump-1", "name": "Pump" })).await;
    assert_eq!(created.status(), StatusCode::CREATED);
    let start = hub.json(TWIN).await["version"].as_u64().unwrap();
    for round in 1..=ROUNDS {
        let version = hub.json(TWIN).await["version"].as_u64().unwrap();
        let (ann, bob) = tokio::join!(write(&hub, version, "ann", round), write(&hub, version, "bob", round));
        let mut told = [ann, bob];
        told.sort();
        assert_eq!(told, [StatusCode::OK, StatusCode::PRECONDITION_FAILED], "round {round}");
    }
    let twin = hub.json(TWIN).await;
    assert_eq!(twin["version"], start + ROUNDS);
    assert_eq!(twin["desired"]["round"], ROUNDS);
}

#[tokio::test]
async fn writers_that_read_again_lose_nothing() {
    let hub = Installation::new().start().await;
    hub.post("/api/devices", &json!({ "device_id": "pump-1", "name": "Pump" })).await;
    let count = async |who: &str| {
        for round in 1..=ROUNDS {
            loop {
                let twin: Value = hub.json(TWIN).await;
                let sum = twin["desired"]["sum"].as_u64().unwrap_or_default() + 1;
                let version = twin["version"].as_u64().unwrap();
                if patch(&hub, version, &json!({ "desired": { "sum": sum, who: round } })).await
                    == StatusCode::OK
                {
                    break;
                }
            }
        }
    };
    tokio::join!(count("ann"), count("bob"));
    assert_eq!(hub.json(TWIN).await["desired"], json!({ "ann": ROUNDS, "bob": ROUNDS, "sum": 2 * ROUNDS }));
}

#[tokio::test]
async fn if_match_takes_a_list_of_versions() {
    let hub = Installation::new().start().await;
    hub.post("/api/devices", &json!({ "device_id": "pump-1", "name": "Pump" })).await;
    let version = hub.json(TWIN).await["version"].as_u64().unwrap();
    let [among, nowhere] = [format!("\"999\", \"{version}\""), "\"998\", W/\"999\"".to_owned()];
    for path in ["/api/devices/pump-1", TWIN, "/api/devices/pump-1/schedule"] {
        let (method, body) = match path.ends_with("schedule") {
            true => (Method::PUT, json!([])),
            false => (Method::PATCH, json!({ "tags": { "path": path } })),
        };
        let change = async |tags: &str| {
            let request = hub.request(method.clone(), path).header("If-Match", tags).json(&body);
            let answer = request.send().await.unwrap();
            (answer.status(), answer.json::<Value>().await.unwrap())
        };
        let (status, problem) = change(&nowhere).await;
        assert_eq!((status, &problem["code"]), (StatusCode::PRECONDITION_FAILED, &json!("version_mismatch")));
        for malformed in ["\"999\" \"1\"", "abc", "*, \"1\"", ""] {
            let (status, problem) = change(malformed).await;
            assert_eq!(
                (status, &problem["code"]),
                (StatusCode::BAD_REQUEST, &json!("bad_if_match")),
                "{malformed}"
            );
        }
        if path.ends_with("pump-1") {
            assert_eq!(change(&among).await.0, StatusCode::OK);
        } else {
            assert_eq!(change(&among).await.0, StatusCode::PRECONDITION_FAILED, "it has gone on meanwhile");
            let now = hub.json(TWIN).await["version"].as_u64().unwrap();
            assert_eq!(change(&format!("\"999\" ,\"{now}\"")).await.0, StatusCode::OK, "{path}");
        }
    }
}

async fn write(hub: &HubProcess, version: u64, who: &str, round: u64) -> StatusCode {
    patch(hub, version, &json!({ "desired": { "by": who, "round": round } })).await
}

async fn patch(hub: &HubProcess, version: u64, patch: &Value) -> StatusCode {
    let request = hub.request(Method::PATCH, TWIN).header("If-Match", format!("\"{version}\"")).json(patch);
    request.send().await.unwrap().status()
}
