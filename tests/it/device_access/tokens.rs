//! Devices over HTTP: each speaks for itself with its token, for as long as that counts.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::hub::{HubProcess, Installation, run as run_program};
use crate::support::people::{Person, get_with, told};
use crate::support::within;

async fn register(person: &Person, hub: &HubProcess, device: &Value) -> String {
    let made = person.send(hub, Method::POST, "/api/devices", device).await;
    let (status, text) = (made.status(), made.text().await.unwrap());
    assert_eq!(status, 201, "{text}");
    let made: Value = serde_json::from_str(&text).unwrap();
    made["auth_token"].as_str().unwrap().to_owned()
}

async fn send(hub: &HubProcess, token: &str, method: Method, path: &str, body: &Value) -> (u16, String) {
    told(hub.request(method, path).bearer_auth(token).json(body).send().await.unwrap()).await
}

/// Reports a reading: the status and the code.
async fn report(hub: &HubProcess, token: &str, device: &str) -> (u16, String) {
    send(hub, token, Method::POST, &format!("/api/devices/{device}/data"), &json!({ "t": 1 })).await
}

async fn rotate(person: &Person, hub: &HubProcess, device: &str, query: &str) -> (String, Value) {
    let path = format!("/api/devices/{device}/token{query}");
    let made = person.request(hub, Method::POST, &path).send().await.unwrap();
    let (status, text) = (made.status(), made.text().await.unwrap());
    assert_eq!(status, 200, "{text}");
    let made: Value = serde_json::from_str(&text).unwrap();
    (made["auth_token"].as_str().unwrap().to_owned(), made["old_token_until"].clone())
}

/// Every caller on every route of a device, cell by cell.
#[tokio::test]
async fn a_device_speaks_for_itself_and_a_gateway_for_its_own() {
    let hub = Installation::new().start().await;
    let ann = Person::first(&hub, "ann").await;
    let pump = register(&ann, &hub, &json!({ "device_id": "pump", "name": "Pump" })).await;
    register(&ann, &hub, &json!({ "device_id": "gw-lamp", "name": "Lamp" })).await;
    let chosen = "a-token-as-long-as-this";
    register(&ann, &hub, &json!({ "device_id": "old", "name": "Old", "auth_token": chosen })).await;
    let gateway =
        json!({ "device_id": "gw", "name": "Gateway", "settings": { "gateway": { "ids": ["gw-*"] } } });
    let gateway = register(&ann, &hub, &gateway).await;
    let mut commands = Vec::new();
    for device in ["pump", "gw-lamp", "old", "gw"] {
        let made = ann
            .send(
                &hub,
                Method::POST,
                &format!("/api/devices/{device}/commands"),
                &json!({ "command_type": "x" }),
            )
            .await;
        let command: Value = made.json().await.unwrap();
        commands.push((device, command["id"].as_str().unwrap().to_owned()));
    }
    for (caller, token, own) in
        [("pump", &*pump, &["pump"][..]), ("old", chosen, &["old"]), ("gw", &gateway, &["gw", "gw-lamp"])]
    {
        for (device, command) in &commands {
            let is_own = own.contains(device);
            let path = |rest: &str| format!("/api/devices/{device}{rest}");
            let answer = json!({ "status": "executed" });
            for (method, path, body, expected) in [
                (Method::GET, path("/twin"), &Value::Null, 200),
                (Method::POST, path("/data"), &json!({ "t": 1 }), 201),
                (Method::GET, path("/commands?status=pending&wait=0"), &Value::Null, 200),
                (Method::POST, path(&format!("/commands/{command}")), &answer, 200),
            ] {
                let (status, code) = send(&hub, token, method.clone(), &path, body).await;
                let what = format!("{method} {path} by {caller}: {status} {code}");
                match is_own {
                    true => assert_eq!(status, expected, "{what}"),
                    // As of a device that there is not.
                    false => assert_eq!((status, &*code), (404, "device_not_found"), "{what}"),
                }
            }
            // A device never does these, not even to itself.
            for (method, path) in [
                (Method::GET, path("")),
                (Method::GET, path("/data")),
                (Method::GET, path("/events")),
                (Method::GET, path("/commands")),
                (Method::GET, path("/status")),
                (Method::PATCH, path("/twin")),
                (Method::PUT, path("")),
                (Method::DELETE, path("")),
                (Method::POST, path("/token")),
                (Method::DELETE, path("/token")),
                (Method::PUT, path("/lifecycle")),
                (Method::POST, path("/commands")),
            ] {
                let (status, code) = send(&hub, token, method.clone(), &path, &json!({})).await;
                let fits = (status, &*code) == (403, "forbidden")
                    // Listed or not, whose commands these are it is not told.
                    || path.ends_with("/commands") && method == Method::GET && !is_own && status == 404;
                assert!(fits, "{method} {path} by {caller}: {status} {code}");
            }
        }
        for path in [
            "/api/devices",
            "/api/events",
            "/api/users",
            "/api/auth/user",
            "/metrics",
            "/docs",
            "/dispositivos",
        ] {
            assert_eq!(get_with(&hub, token, path).await.0, 403, "{path} by {caller}");
        }
        assert_eq!(get_with(&hub, token, "/health").await.0, 200);
    }
    let events = ann.json(&hub, "/api/devices/gw-lamp/events?limit=1&order=desc").await;
    assert_eq!(events[0]["cause"]["by"], "device:gw", "who spoke for it is on record: {events}");
}

#[tokio::test]
async fn whoever_brings_no_token_that_counts_is_not_let_in() {
    let hub = Installation::new().start().await;
    let ann = Person::first(&hub, "ann").await;
    let token = register(&ann, &hub, &json!({ "device_id": "pump", "name": "Pump" })).await;
    let nobody = hub.post("/api/devices/pump/data", &json!({ "t": 1 })).await;
    assert_eq!(told(nobody).await, (401, "sign_in_needed".into()));
    let cut = &token[..token.len() - 1];
    let other = format!("twh_dev_{}", "0".repeat(59));
    for wrong in [cut, &*other, "a-token-as-long-as-this", &"0".repeat(48), "short"] {
        assert_eq!(report(&hub, wrong, "pump").await, (401, "bad_credential".into()), "{wrong}");
    }
    assert_eq!(report(&hub, &token, "pump").await.0, 201);
    assert_eq!(report(&hub, &token, "pump").await.0, 201, "also from memory");
}

#[tokio::test]
async fn a_token_before_counts_for_the_overlap_and_none_after_its_end() {
    let installation = Installation::new();
    let hub = installation.start().await;
    let ann = Person::first(&hub, "ann").await;
    let first = register(&ann, &hub, &json!({ "device_id": "pump", "name": "Pump" })).await;
    assert_eq!(report(&hub, &first, "pump").await.0, 201);
    let (second, until) = rotate(&ann, &hub, "pump", "?overlap=24h").await;
    assert!(second.starts_with("twh_dev_") && until.is_string(), "{until}");
    for token in [&first, &second] {
        assert_eq!(report(&hub, token, "pump").await.0, 201);
    }
    hub.kill().await;
    let hub = installation.start().await;
    let ann = Person::sign_in(&hub, "ann").await;
    for token in [&first, &second] {
        assert_eq!(report(&hub, token, "pump").await.0, 201, "both outlast a crash");
    }
    let (third, until) = rotate(&ann, &hub, "pump", "?overlap=1s").await;
    assert!(until.is_string());
    assert_eq!(report(&hub, &first, "pump").await.0, 401, "two count at most");
    assert_eq!(report(&hub, &third, "pump").await.0, 201);
    within("the overlap ends", async {
        while report(&hub, &second, "pump").await.0 != 401 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let (fourth, until) = rotate(&ann, &hub, "pump", "").await;
    assert_eq!((report(&hub, &third, "pump").await.0, until), (401, Value::Null));
    let ended = ann.request(&hub, Method::DELETE, "/api/devices/pump/token").send().await.unwrap();
    let ended: Value = ended.json().await.unwrap();
    assert_eq!(ended["ended"], 1, "{ended}");
    assert_eq!(report(&hub, &fourth, "pump").await.0, 401);

    let told: Vec<Value> = {
        let events = ann.json(&hub, "/api/devices/pump/events?kind=twin&limit=100").await;
        let events = events.as_array().unwrap().clone();
        events
            .into_iter()
            .map(|event| event["data"].clone())
            .filter(|data| data["change"] == "token")
            .collect()
    };
    assert_eq!(told.len(), 5, "each that was made or has ended: {told:?}");
    let text = format!("{told:?} {} {}", ann.json(&hub, "/api/audit").await, hub.log().join("\n"));
    for token in [&first, &second, &third, &fourth] {
        assert!(!text.contains(&token[8..]), "nobody is told a token");
    }
    let long = ann.request(&hub, Method::POST, "/api/devices/pump/token?overlap=31d").send().await.unwrap();
    assert_eq!(long.status(), StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn a_poll_ends_with_the_token_and_with_the_device() {
    let hub = Installation::new().start().await;
    let ann = Person::first(&hub, "ann").await;
    for end in ["token", "suspended", "retired", "deleted"] {
        let token = register(&ann, &hub, &json!({ "device_id": end, "name": end })).await;
        let path = format!("/api/devices/{end}/commands?status=pending&wait=60s");
        let poll = hub.request(Method::GET, &path).bearer_auth(&token);
        let begun = std::time::Instant::now();
        let poll = tokio::spawn(async move { told(poll.send().await.unwrap()).await });
        within("it waits", async {
            while ann.json(&hub, &format!("/api/devices/{end}")).await["status"] != "online" {
                tokio::task::yield_now().await;
            }
        })
        .await;
        let answer = match end {
            "token" => ann.request(&hub, Method::DELETE, "/api/devices/token/token").send().await.unwrap(),
            "deleted" => ann.request(&hub, Method::DELETE, "/api/devices/deleted").send().await.unwrap(),
            state => {
                let path = format!("/api/devices/{end}/lifecycle");
                ann.send(&hub, Method::PUT, &path, &json!({ "state": state })).await
            }
        };
        assert_eq!(answer.status(), 200, "{end}");
        let (status, code) = within("it ends", poll).await.unwrap();
        assert_eq!((status, &*code), (401, "rights_lost"), "{end}");
        assert!(begun.elapsed().as_secs() < 30, "{end}: not at the end of its wait");
        let expected = if end == "suspended" { (409, "suspended") } else { (401, "bad_credential") };
        let refused = report(&hub, &token, end).await;
        assert_eq!((refused.0, &*refused.1), expected, "{end}");
    }
}

#[tokio::test]
async fn tokens_are_made_on_the_command_line() {
    let installation = Installation::new();
    let hub = installation.start().await;
    let ann = Person::first(&hub, "ann").await;
    let first = register(&ann, &hub, &json!({ "device_id": "pump", "name": "Pump" })).await;
    let url = format!("http://{}", hub.http);
    let (key, _) = ann.make_key(&hub, "operator").await;
    let run = async |args: &[&str]| {
        let all = [&["devices", "token", "pump", "--url", &url][..], args].concat();
        let output = run_program(&all, &[("TWINHUB_TOKEN", &key)]).await;
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let (code, second, said) = run(&["--overlap", "24h"]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("the token before counts until"), "{said}");
    for token in [&*first, second.trim()] {
        assert_eq!(report(&hub, token, "pump").await.0, 201);
    }
    let (code, said, _) = run(&["--end"]).await;
    assert_eq!((code, &*said), (Some(0), "pump has none of its 2 tokens any more\n"));
    assert_eq!(report(&hub, second.trim(), "pump").await.0, 401);
    assert_eq!(run(&["--overlap", "soon"]).await.0, Some(1));
}
