//! Dialects whose clients bring no credential: each may be given an account, with a role and a scope as everybody's.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::http::ask;
use crate::support::hub::{Installation, run};
use crate::support::people::{Person, told};

/// The status of a GET without a credential.
async fn read(hub: &crate::support::HubProcess, path: &str) -> u16 {
    hub.get(path).await.status().as_u16()
}

#[tokio::test]
async fn a_dialect_with_access_lets_callers_in_without_a_credential() {
    let installation = Installation::new().with("--dialect-access", "003=operator,004=viewer");
    let hub = installation.start().await;
    assert!(hub.banner.contains("  003 (dispositivos) as operator\n"), "{}", hub.banner);
    hub.logs("callers of a dialect need no credential").await;
    let made = hub.post("/api/devices", &json!({ "name": "x", "device_id": "first" })).await;
    assert_eq!(made.status(), 201, "a hub without users asks nobody");
    let first: Value = hub.json("/api/devices/first/events").await;
    assert!(!first.to_string().contains("dialect:"), "{first}");

    let ann = Person::first(&hub, "ann").await;
    for (path, status) in [
        ("/dispositivos", 200),
        ("/api/devices", 200),
        ("/api/devices/first", 200),
        // Routes of no dialect, and of one that has no access.
        ("/api/devices/first/twin", 401),
        ("/api/jobs", 401),
        ("/v1/auth/me", 403),
        ("/api/users", 401),
    ] {
        assert_eq!(read(&hub, path).await, status, "{path}");
    }
    let added = json!({ "serial_number": "TMP1", "nombre": "Sensor" });
    let made = hub.post("/dispositivos", &added).await;
    assert_eq!(made.status(), 201, "{}", made.text().await.unwrap());
    let refused = hub.post("/api/devices", &json!({ "name": "y" })).await;
    assert_eq!(told(refused).await, (401, "sign_in_needed".into()), "a viewer's account has no part in it");

    let events = ann.json(&hub, "/api/devices/TMP1/events").await;
    assert_eq!(events[0]["cause"]["by"], "dialect:003", "{events}");
    let configured = ann.json(&hub, "/api/audit?action=hub.configured").await;
    assert_eq!(configured[0]["detail"]["dialect_access"], json!(["003=operator", "004=viewer"]));

    let (line, host) = ("GET /dispositivos HTTP/1.1", format!("Host: {}", hub.http));
    let wrong = ask(hub.http, &[line, &host, "Authorization: Bearer twh_pat_x"], "").await;
    assert_eq!(wrong.status, 401, "a credential that counts for nothing is no missing one");
    let session = format!("Cookie: {}", ann.cookie.replace('=', "=x"));
    let ended = ask(hub.http, &[line, &host, &session, "Sec-Fetch-Site: same-origin"], "").await;
    assert_eq!(ended.status, 401);
    let foreign = ask(hub.http, &[line, &host, "Origin: http://evil.example"], "").await;
    assert_eq!(foreign.status, 403, "pages of other sites are asked for as before");
}

#[tokio::test]
async fn the_account_of_a_dialect_ends_at_its_scope() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("hub.toml");
    std::fs::write(&file, "[dialects.iot-controller]\naccess = 'operator'\nscope = 'hall'\n").unwrap();
    let installation = Installation::new().with("--config", file.to_str().unwrap());
    let hub = installation.start().await;
    hub.logs("there is no such group").await;
    for (group, device) in [("hall", "inside"), ("yard", "outside")] {
        hub.post("/api/groups", &json!({ "name": group, "id": group })).await;
        let made = hub.post("/api/devices", &json!({ "name": device, "device_id": device })).await;
        assert_eq!(made.status(), 201);
        let moved = json!({ "group_id": group });
        let moved = hub.request(Method::PUT, &format!("/api/devices/{device}")).json(&moved).send().await;
        assert_eq!(moved.unwrap().status(), 200);
    }
    let ann = Person::first(&hub, "ann").await;
    let listed: Value = hub.json("/api/devices").await;
    let ids: Vec<&str> =
        listed.as_array().unwrap().iter().filter_map(|item| item["device_id"].as_str()).collect();
    assert_eq!(ids, ["inside"]);
    assert_eq!(read(&hub, "/api/devices/outside").await, 404);
    let command = json!({ "command_type": "beep" });
    assert_eq!(hub.post("/api/devices/inside/commands", &command).await.status(), 202);
    assert_eq!(hub.post("/api/devices/outside/commands", &command).await.status(), 404);

    let rule = |device: &str| {
        let trigger = json!({ "device_id": device, "property": "t", "operator": ">", "value": 1 });
        json!({ "name": "hot", "trigger_conditions": trigger,
            "actions": [{ "type": "command", "device_id": device, "command_type": "beep" }] })
    };
    let beyond = hub.post("/api/automation/rules", &rule("outside")).await;
    assert!(matches!(beyond.status().as_u16(), 403 | 404), "{}", beyond.text().await.unwrap());
    let made = hub.post("/api/automation/rules", &rule("inside")).await;
    assert_eq!(made.status(), 201, "{}", made.text().await.unwrap());
    let report = json!({ "sensor_readings": { "t": 5 } });
    assert!(hub.post("/api/devices/inside/data", &report).await.status().is_success());
    let sent = crate::support::eventually("the rule acts with that account's rights", async || {
        let listed = ann.json(&hub, "/api/devices/inside/commands").await;
        let by_rule = |item: &&Value| item["cause"]["source"] == "rule";
        listed.as_array().unwrap().iter().find(by_rule).cloned()
    })
    .await;
    assert_eq!(sent["command_type"], "beep");
}

#[tokio::test]
async fn access_that_makes_no_sense_is_refused_at_the_start() {
    for (given, expected) in [
        ("005=viewer", "`005` is no dialect"),
        ("002=admin", "`admin` is no role of callers without a credential"),
        ("002=viewer,cloud-backend=operator", "is given twice"),
    ] {
        let refused = run(&["--dialect-access", given], &[]).await;
        let text = String::from_utf8_lossy(&refused.stderr);
        assert!(refused.status.code() == Some(2) && text.contains(expected), "{text}");
    }
    let environment = [("TWINHUB_DIALECT_ACCESS", "002=viewer,004=operator@hall")];
    let shown = run(&["config"], &environment).await;
    let shown = String::from_utf8(shown.stdout).unwrap();
    let line =
        "dialect-access = [\"002=viewer\", \"004=operator@hall\"]  # environment: TWINHUB_DIALECT_ACCESS";
    assert!(shown.contains(line), "{shown}");
}
