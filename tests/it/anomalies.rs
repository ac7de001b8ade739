//! Anomalies: found in a device's history with the settings of the request.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::HubProcess;
use crate::support::hub::Installation;

/// 2026-01-01T00:00:00Z
const NEW_YEAR: i64 = 1_767_225_600;
const DAY: i64 = 86_400;
/// Readings of `t`, one a minute, two days of them.
const READINGS: i64 = 2 * 1_440;

/// A saw, with a spike at 2000, the same value for two hours from 2200 on, and half an hour without any from 2600 on.
fn value(n: i64) -> Option<i64> {
    match n {
        2_000 => Some(80),
        2_200..2_320 => Some(20),
        2_600..2_630 => None,
        n => Some(20 + n % 3),
    }
}

async fn filled() -> HubProcess {
    let hub = Installation::new().start().await;
    let body = json!({ "device_id": "boiler", "name": "Boiler", "limits": { "t": { "max": 60 } } });
    assert_eq!(hub.post("/api/devices", &body).await.status(), StatusCode::CREATED);
    let line = |n: i64, name: &str, value: Value| {
        let (device, second) = ("boiler", NEW_YEAR + n * 60);
        json!({ "device_id": device, "timestamp": second, "sensor_type": name, "value": value }).to_string()
    };
    let numbers = (0..READINGS).filter_map(|n| Some(line(n, "t", json!(value(n)?))));
    let others = (0..100).flat_map(|n| [line(n, "on", json!(n % 7 == 0)), line(n, "word", json!("x"))]);
    let lines: Vec<String> = numbers.chain(others).collect();
    let request =
        hub.request(Method::POST, "/api/data/import").header("Content-Type", "application/x-ndjson");
    let report: Value = request.body(lines.join("\n")).send().await.unwrap().json().await.unwrap();
    assert_eq!(report["refused"], 0, "{report}");
    hub
}

fn kinds(told: &Value) -> Vec<(&str, &str)> {
    let found = told["anomalies"].as_array().unwrap().iter();
    found.map(|one| (one["timestamp"].as_str().unwrap(), one["kind"].as_str().unwrap())).collect()
}

#[tokio::test]
async fn anomalies_are_found_in_the_history() {
    let hub = filled().await;
    let (middle, end) = (NEW_YEAR + DAY, NEW_YEAR + 2 * DAY);
    let path = format!("/api/devices/boiler/anomalies?from={middle}&to={end}");
    let told = hub.json(&path).await;
    let spike = "2026-01-02T09:20:00.000Z";
    assert_eq!(kinds(&told), [(spike, "deviation"), (spike, "range")]);
    assert_eq!((&told["found"], &told["numbers"]), (&json!(2), &json!(1_410)));
    assert_eq!(told["kinds"], json!({ "deviation": 1, "range": 1 }));
    assert_eq!((&told["per_day"], &told["from"]), (&json!(2.0), &json!("2026-01-02T00:00:00.000Z")));
    let first = &told["anomalies"][0];
    assert_eq!((&first["sensor_type"], &first["value"]), (&json!("t"), &json!(80)));
    assert!(first["score"].as_f64().unwrap() > 5.0, "{first}");
    let bound = |name: &str| first["expected"][name].as_f64().unwrap();
    assert!(bound("min") < 20.0 && bound("max") > 22.0 && bound("max") < 40.0, "{first}");
    assert_eq!(told["anomalies"][1]["expected"], json!({ "min": null, "max": 60.0 }));

    let all = hub.json(&format!("{path}&stuck=1h&jump=30&rate=0.5/s&silence=10m&deviation=off")).await;
    let back = "2026-01-02T09:21:00.000Z";
    let expected = [
        (spike, "jump"),
        (spike, "rate"),
        (spike, "range"),
        (back, "jump"),
        (back, "rate"),
        ("2026-01-02T13:40:00.000Z", "stuck"),
        ("2026-01-02T19:50:00.000Z", "silence"),
    ];
    assert_eq!(kinds(&all), expected, "{all}");
    let some = hub.json(&format!("{path}&stuck=1h&jump=10&kind=jump,stuck&min_score=2&limit=1")).await;
    assert_eq!((&some["found"], kinds(&some)), (&json!(2), vec![(spike, "jump")]));
    let none = hub.json(&format!("{path}&sensor_type=on,word")).await;
    assert_eq!((&none["found"], &none["numbers"], &none["share"]), (&json!(0), &json!(0), &json!(0.0)));
}

#[tokio::test]
async fn wrong_parameters_are_named() {
    let hub = filled().await;
    for (query, field) in [
        ("from=2026-01-02&to=2026-01-01", "from"),
        ("deviation=0", "deviation"),
        ("stuck=soon", "stuck"),
        ("jump=-1", "jump"),
        ("rate=2", "rate"),
        ("silence=0s", "silence"),
        ("kind=jump,colour", "kind"),
        ("min_score=NaN", "min_score"),
        ("colour=red", "colour"),
    ] {
        let wrong = hub.get(&format!("/api/devices/boiler/anomalies?{query}")).await;
        assert_eq!(wrong.status(), StatusCode::UNPROCESSABLE_ENTITY, "{query}");
        let wrong: Value = wrong.json().await.unwrap();
        assert_eq!(wrong["field"], field, "{wrong}");
    }
    assert_eq!(hub.get("/api/devices/nobody/anomalies").await.status(), StatusCode::NOT_FOUND);
}
