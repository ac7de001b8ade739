//! The clients of the IoT Controller: every request of its text, sent by `requests` as its users send it.

use std::path::Path;

use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::http::ask;
use crate::support::hub::Installation;
use crate::support::people::Person;
use crate::support::{HubProcess, eventually, within};

const CLIENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/iot_controller/client.py");
const PAGE: &str = "http://localhost:3000";

#[tokio::test]
async fn every_request_of_its_text_is_answered_as_it_says() {
    let hub = Installation::new().with("--registration", "open").with("--cors", PAGE).start().await;
    let mut client = Command::new("python3");
    client.arg(Path::new(CLIENT)).arg(format!("http://{}", hub.http)).env("PAGE", PAGE).kill_on_drop(true);
    let output = within("the client ends", client.output()).await.unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
}

/// The lines of the README for those who come from it.
#[tokio::test]
async fn the_lines_of_the_readme_run_as_they_stand() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let section = readme.split_once("## Coming from the IoT Controller").unwrap().1;
    assert!(
        section
            .contains("`twinhub --listen 127.0.0.1:5000 --registration open --cors http://localhost:3000`")
    );
    let lines = section.split("```").nth(1).unwrap();
    let hub = Installation::new().with("--registration", "open").with("--cors", PAGE).start().await;
    let folder = tempfile::tempdir().unwrap();
    let curl = "set -euo pipefail\ncurl() { command curl --silent --show-error --fail-with-body --max-time 60 \"$@\"; }\n";
    let text = format!("{curl}{}", lines.replace("127.0.0.1:5000", &hub.http.to_string()));
    let mut shell = Command::new("bash");
    shell.args(["-c", &text]).current_dir(folder.path()).kill_on_drop(true);
    let output = within("the lines end", shell.output()).await.unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    let answers: Vec<Value> =
        serde_json::Deserializer::from_str(&told).into_iter().collect::<Result<_, _>>().unwrap();
    let [registered, caller, device, _, command, rule, listed, status, analytics] = &answers[..] else {
        panic!("{} answers: {told}", answers.len())
    };
    assert_eq!(
        (&registered["user"]["username"], &caller["user"]["device_quota"]),
        (&"ann".into(), &50.into())
    );
    assert!(registered["api_key"].is_string() && device["mqtt"]["port"].is_u64(), "{registered} {device}");
    assert_eq!((&command["status"], &rule["name"]), (&"pending".into(), &"too hot".into()));
    assert_eq!((&listed[0]["temperature"], &status["status"]), (&json!(61.5), &"online".into()));
    assert_eq!(analytics["devices"]["total"], 1, "{analytics}");
}

/// The alarms of a device that are active, by their types.
async fn active(hub: &HubProcess, device: &str) -> Vec<String> {
    let alarms = hub.json(&format!("/api/alarms?device_id={device}&active=true")).await;
    let types = alarms.as_array().unwrap().iter().map(|alarm| alarm["type"].as_str().unwrap().to_owned());
    types.collect()
}

async fn has_active(hub: &HubProcess, device: &str, expected: &[&str]) {
    eventually(&format!("{device} has {expected:?}"), async || {
        let mut types = active(hub, device).await;
        types.sort_unstable();
        (types == expected).then_some(())
    })
    .await;
}

async fn report(hub: &HubProcess, device: &str, readings: Value) {
    let sent = hub.post(&format!("/api/devices/{device}/data"), &readings).await;
    assert!(sent.status().is_success(), "{}", sent.text().await.unwrap());
}

#[tokio::test]
async fn limits_of_a_template_raise_alarms_that_end_with_the_fault() {
    let installation = Installation::new();
    let hub = installation.start().await;
    let limits = json!({ "t": { "min": 5, "max": 90, "unit": "°C" }, "p": { "max": 3 } });
    let template = json!({ "id": "boiler", "name": "Boiler", "limits": limits });
    assert_eq!(hub.post("/api/templates", &template).await.status(), 201);
    let device = json!({ "name": "b", "device_id": "b", "template_id": "boiler" });
    assert_eq!(hub.post("/api/devices", &device).await.status(), 201);
    report(&hub, "b", json!({ "t": 50, "p": 1, "other": 1_000 })).await;
    has_active(&hub, "b", &[]).await;
    report(&hub, "b", json!({ "t": 95.5, "p": 4 })).await;
    has_active(&hub, "b", &["limit.p", "limit.t"]).await;
    let alarms = hub.json("/api/alarms?device_id=b&active=true&type=limit.t").await;
    assert_eq!(alarms[0]["message"], "t is 95.5 °C, above 90 °C");
    assert_eq!(alarms[0]["severity"], "warning");

    // It is one alarm for as long as it lasts, over a power cut as well.
    report(&hub, "b", json!({ "t": 96 })).await;
    hub.kill().await;
    let hub = installation.start().await;
    report(&hub, "b", json!({ "t": 97 })).await;
    report(&hub, "b", json!({ "p": 2 })).await;
    has_active(&hub, "b", &["limit.t"]).await;
    let alarms = hub.json("/api/alarms?device_id=b").await;
    assert_eq!(alarms.as_array().unwrap().len(), 2, "{alarms}");
    report(&hub, "b", json!({ "t": 4 })).await;
    // One that trembles at the limit is one alarm: it ends with a value that is well within.
    for trembling in [5, 4, 6, 5] {
        report(&hub, "b", json!({ "t": trembling })).await;
        has_active(&hub, "b", &["limit.t"]).await;
    }
    report(&hub, "b", json!({ "t": 7 })).await;
    has_active(&hub, "b", &[]).await;
    let listed = hub.json("/api/alarms?device_id=b&type=limit.t").await;
    assert_eq!(listed.as_array().unwrap().len(), 1, "it was beyond all along: {listed}");
    let alarms = hub.json("/api/alarms?device_id=b&type=limit.t").await;
    assert_eq!(alarms[0]["cleared_by"], "limits", "{alarms}");

    // Other limits are judged at once, and none end the alarm.
    let lower = json!({ "limits": { "t": { "min": 20 } } });
    let changed = hub.request(reqwest::Method::PUT, "/api/devices/b").json(&lower).send().await.unwrap();
    assert_eq!(changed.status(), 200);
    has_active(&hub, "b", &["limit.t"]).await;
    // Also where they go before anything else comes after a start.
    hub.kill().await;
    let hub = installation.start().await;
    let none = json!({ "limits": { "t": null }, "template_id": null });
    let changed = hub.request(reqwest::Method::PUT, "/api/devices/b").json(&none).send().await.unwrap();
    assert_eq!(changed.status(), 200);
    has_active(&hub, "b", &[]).await;
}

#[tokio::test]
async fn a_limit_that_has_a_time_raises_an_alarm_after_it() {
    let hub = Installation::new().start().await;
    let limits = json!({ "t": { "max": 90, "margin": 5, "for": "1s" }, "p": { "max": 3, "for": "1h" } });
    let device = json!({ "name": "b", "device_id": "b", "limits": limits });
    assert_eq!(hub.post("/api/devices", &device).await.status(), 201);
    report(&hub, "b", json!({ "t": 95, "p": 4 })).await;
    // Nothing more comes: the time alone does it.
    has_active(&hub, "b", &["limit.t"]).await;
    report(&hub, "b", json!({ "t": 86 })).await;
    has_active(&hub, "b", &["limit.t"]).await;
    report(&hub, "b", json!({ "t": 85 })).await;
    has_active(&hub, "b", &[]).await;
}

#[tokio::test]
async fn a_page_that_is_named_may_send_its_session_and_others_may_not() {
    let hub = Installation::new().with("--cors", &format!("{PAGE},null")).start().await;
    let ann = Person::first(&hub, "ann").await;
    let (host, cookie) = (format!("Host: {}", hub.http), format!("Cookie: {}", ann.cookie));
    let answer = async |line: &str, more: &[&str]| {
        let line = format!("{line} HTTP/1.1");
        let answer = ask(hub.http, &[&[&*line, &*host], more].concat(), "").await;
        (answer.status, answer.header("access-control-allow-credentials").map(str::to_owned))
    };
    let named = format!("Origin: {PAGE}");
    let allowed = Some("true".to_owned());
    let preflight = [&*named, "Access-Control-Request-Method: PUT"];
    assert_eq!(answer("OPTIONS /api/devices/x", &preflight).await, (200, allowed.clone()));
    assert_eq!(answer("GET /api/devices", &[&named, &cookie]).await, (200, allowed.clone()));
    assert_eq!(answer("DELETE /api/devices/x", &[&named, &cookie]).await, (404, allowed.clone()));
    assert_eq!(answer("GET /api/devices", &[&named]).await, (401, allowed), "it can read why");
    assert_eq!(answer("GET /api/devices", &["Origin: null", &cookie]).await.1, None);
    assert_eq!(answer("GET /api/devices", &["Origin: http://evil.example", &cookie]).await, (403, None));
    let any = Installation::new().with("--cors", "*").start().await;
    let answer =
        ask(any.http, &["GET /api/devices HTTP/1.1", &format!("Host: {}", any.http), &named], "").await;
    assert_eq!((answer.status, answer.header("access-control-allow-credentials")), (200, None));
}

#[tokio::test]
async fn a_rule_of_either_form_comes_back_as_it_was_shown() {
    let hub = Installation::new().start().await;
    for device in ["a", "fan"] {
        hub.post("/api/devices", &json!({ "name": device, "device_id": device })).await;
    }
    let action = json!([{ "type": "command", "device_id": "fan", "command_type": "stop" }]);
    let condition = json!({ "device_id": "a", "sensor_type": "t", "operator": ">", "value": 5 });
    let ours = json!({
        "id": "ours", "alias": "Ours", "mode": "queued", "triggers": [{ "numeric": "a.t", "above": 5, "for": "1m" }],
        "conditions": ["fan.mode != \"manual\""], "actions": [{ "command": "fan", "type": "stop" }],
    });
    for rule in [
        json!({ "id": "timed", "name": "timed", "schedule": { "cron": "0 7 * * *", "timezone": "Europe/Berlin" }, "actions": action }),
        json!({ "id": "empty", "name": "empty", "trigger_conditions": {}, "schedule": "0 7 * * *", "actions": action }),
        json!({ "id": "hot", "name": "hot", "trigger_conditions": condition, "actions": action }),
        ours.clone(),
    ] {
        let made = hub.post("/api/automation/rules", &rule).await;
        assert_eq!(made.status(), 201, "{}", made.text().await.unwrap());
        let made: Value = made.json().await.unwrap();
        let kept = ["name", "description", "trigger_conditions", "actions", "schedule", "is_enabled"];
        let shown: Value = kept.iter().map(|name| ((*name).to_owned(), made[name].clone())).collect();
        let path = format!("/api/automation/rules/{}", rule["id"].as_str().unwrap());
        let sent = hub.request(reqwest::Method::PUT, &path).json(&shown).send().await.unwrap();
        assert_eq!(sent.status(), 200, "{shown}: {}", sent.text().await.unwrap());
        let again: Value = hub.json(&path).await;
        for name in kept {
            assert_eq!(again[name], made[name], "{rule}");
        }
        assert_eq!(again["mode"], made["mode"], "what the other form does not show stays");
        // A page sends back all that it was shown, with what was changed on it.
        let listed: Value = hub.json("/api/automation/rules").await;
        let mut listed =
            listed.as_array().unwrap().iter().find(|shown| shown["id"] == rule["id"]).unwrap().clone();
        for mut shown in [again.clone(), listed.take()] {
            shown["description"] = json!("changed");
            shown["is_enabled"] = json!(false);
            let sent = hub.request(reqwest::Method::PUT, &path).json(&shown).send().await.unwrap();
            assert_eq!(sent.status(), 200, "{shown}: {}", sent.text().await.unwrap());
            let changed: Value = hub.json(&path).await;
            assert_eq!((&changed["description"], &changed["enabled"]), (&json!("changed"), &json!(false)));
            for name in ["name", "trigger_conditions", "actions", "schedule", "mode"] {
                assert_eq!(changed[name], made[name], "{rule}");
            }
            assert_eq!(hub.post(&format!("{path}/enable"), &json!({})).await.status(), 200);
        }
        let mut wrong = again;
        wrong["origin"] = json!("file");
        let refused = hub.request(reqwest::Method::PUT, &path).json(&wrong).send().await.unwrap();
        let (status, told) = (refused.status(), refused.text().await.unwrap());
        assert!(status == 422 && told.contains("origin"), "{status} {told}");
    }
    let nothing = json!({ "name": "never", "trigger_conditions": {}, "actions": action });
    let refused = hub.post("/api/automation/rules", &nothing).await;
    let (status, told) = (refused.status(), refused.text().await.unwrap());
    assert!(status == 422 && told.contains("trigger_conditions"), "{told}");
}

#[tokio::test]
async fn analytics_tell_of_sensors_alone_and_hour_by_hour() {
    let hub = Installation::new().start().await;
    for value in [20, 23] {
        let reading = json!({ "sensor_type": "temperature", "value": value, "unit": "°C" });
        assert_eq!(hub.post("/sensor-data/", &reading).await.status(), 201);
    }
    let device = json!({ "name": "b", "device_id": "b" });
    assert_eq!(hub.post("/api/devices", &device).await.status(), 201);
    report(&hub, "b", json!({ "temperature": 17 })).await;
    // Its clients know the route, and the hub's own description does not have it.
    let get = async |hours: u32| {
        let line = format!("GET /api/analytics?hours={hours} HTTP/1.1");
        ask(hub.http, &[&line, "Host: localhost"], "").await
    };
    let answer = get(2).await;
    let told: Value = serde_json::from_str(&answer.body).unwrap();
    let names = |list: &Value| -> Vec<String> {
        let names =
            list.as_array().unwrap().iter().map(|one| one["sensor_type"].as_str().unwrap().to_owned());
        names.collect()
    };
    assert_eq!(names(&told["sensors"]), ["temperature"], "{told}");
    let trends = &told["trends"];
    assert_eq!((names(&trends["sensors"]), &trends["devices"]), (vec!["temperature".to_owned()], &json!(2)));
    let points = trends["sensors"][0]["points"].as_array().unwrap();
    let sum = |member: &str| points.iter().map(|point| point[member].as_f64().unwrap()).sum::<f64>();
    assert!((sum("readings") - 3.0).abs() < 0.1, "{trends}");
    let least = points.iter().map(|point| point["minimum"].as_f64().unwrap()).fold(f64::MAX, f64::min);
    assert!((least - 17.0).abs() < 0.1, "{trends}");
    assert_eq!(get(169).await.status, 422);
}
