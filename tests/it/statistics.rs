//! Statistics: of one device, and of all that match.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::HubProcess;
use crate::support::hub::Installation;

/// 2026-01-01T00:00:00Z
const NEW_YEAR: i64 = 1_767_225_600;
const HOUR: i64 = 3_600;

async fn import(hub: &HubProcess, lines: impl Iterator<Item = String>) {
    let request =
        hub.request(Method::POST, "/api/data/import").header("Content-Type", "application/x-ndjson");
    let answer = request.body(lines.collect::<Vec<_>>().join("\n")).send().await.unwrap();
    let report: Value = answer.json().await.unwrap();
    assert_eq!(report["refused"], 0, "{report}");
}

fn line(device: &str, name: &str, second: i64, value: &Value) -> String {
    json!({ "device_id": device, "timestamp": second, "sensor_type": name, "value": value }).to_string()
}

async fn register(hub: &HubProcess, device: &str, kind: &str) {
    let body = json!({ "device_id": device, "name": device, "type": kind });
    assert_eq!(hub.post("/api/devices", &body).await.status(), StatusCode::CREATED);
}

fn near(found: &Value, expected: f64) {
    let found = found.as_f64().unwrap();
    assert!((found - expected).abs() < 1e-6 * expected.abs().max(1.0), "{found} and {expected}");
}

#[tokio::test]
async fn a_device_is_summed_up() {
    let hub = Installation::new().start().await;
    register(&hub, "boiler", "boiler").await;
    // Three days of a line with a saw on it, a reading every ten minutes, and half a day without any; the last ones first.
    let at = |n: i32| NEW_YEAR + i64::from(n) * 600;
    let value = |n: i32| 20.0 + f64::from(n) * 0.01 + f64::from(n % 3);
    let numbers: Vec<i32> = (0..432).filter(|n| !(200..272).contains(n)).collect();
    import(&hub, numbers.iter().rev().map(|n| line("boiler", "t", at(*n), &json!(value(*n))))).await;
    import(&hub, (0..4).map(|n| line("boiler", "word", at(n), &json!("x")))).await;
    import(&hub, (0..4).map(|n| line("boiler", "on", at(n), &json!(n == 0)))).await;

    let (from, to) = (NEW_YEAR, NEW_YEAR + 72 * HOUR);
    let path = format!("/api/devices/boiler/statistics?from={from}&to={to}");
    let told = hub.json(&path).await;
    let of = |name: &str| {
        let properties = told["period"]["properties"].as_array().unwrap().iter();
        properties.clone().find(|figures| figures["sensor_type"] == name).unwrap().clone()
    };
    let t = of("t");
    let all: Vec<f64> = numbers.iter().map(|n| value(*n)).collect();
    let count = 360.0;
    let mean = all.iter().sum::<f64>() / count;
    assert_eq!((&t["readings"], &t["numbers"], &t["texts"]), (&json!(360), &json!(360), &json!(0)));
    near(&t["mean"], mean);
    near(&t["stddev"], (all.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / count).sqrt());
    near(&t["min"], 20.0);
    near(&t["max"], all.iter().copied().fold(0.0, f64::max));
    near(&t["per_hour"], 5.0);
    let mut sorted = all.clone();
    sorted.sort_unstable_by(f64::total_cmp);
    near(&t["p50"], f64::midpoint(sorted[179], sorted[180]));
    assert_eq!(t["first"]["timestamp"], "2026-01-01T00:00:00.000Z");
    near(&t["last"]["value"], value(431));
    let hours: Vec<f64> = numbers.iter().map(|n| f64::from(*n) / 6.0).collect();
    let middle = hours.iter().sum::<f64>() / count;
    let over: f64 = hours.iter().zip(&all).map(|(h, v)| (h - middle) * (v - mean)).sum();
    let under: f64 = hours.iter().map(|h| (h - middle).powi(2)).sum();
    near(&t["trend"]["per_hour"], over / under);
    assert_eq!(t["trend"]["significant"], true, "{t}");
    let gaps = json!({ "usual_interval_ms": 600_000, "count": 1, "total_ms": 72 * 600_000, "longest_ms": 72 * 600_000 });
    assert_eq!(t["gaps"], gaps);
    assert_eq!((&of("word")["texts"], &of("word")["mean"]), (&json!(4), &Value::Null));
    near(&of("on")["mean"], 0.25);

    // Local days: the first of Madrid has 23 hours of the year, and one before it.
    let days = hub.json(&format!("{path}&interval=1d&timezone=Europe/Madrid&sensor_type=t")).await;
    let counts: Vec<u64> = days["intervals"].as_array().unwrap().iter().map(readings).collect();
    assert_eq!(counts, [138, 62 + 10, 144, 6]);
    assert_eq!(days["intervals"][1]["from"], "2026-01-01T23:00:00.000Z");
    assert_eq!(days["period"]["properties"].as_array().unwrap().len(), 1);
    let (middle, end) = (NEW_YEAR + 24 * HOUR, NEW_YEAR + 48 * HOUR);
    let beside =
        format!("/api/devices/boiler/statistics?from={middle}&to={end}&compare=previous&sensor_type=t");
    let beside = hub.json(&beside).await;
    assert_eq!((readings(&beside["period"]), readings(&beside["previous"])), (72, 144));
    assert_eq!(beside["previous"]["from"], "2026-01-01T00:00:00.000Z");

    for (query, field) in [
        ("from=2026-01-02&to=2026-01-01", "from"),
        ("interval=1ms", "interval"),
        ("compare=next", "compare"),
        ("timezone=Europe/Madrid", "timezone"),
        ("colour=red", "colour"),
    ] {
        let wrong = hub.get(&format!("/api/devices/boiler/statistics?{query}")).await;
        assert_eq!(wrong.status(), StatusCode::UNPROCESSABLE_ENTITY, "{query}");
        let wrong: Value = wrong.json().await.unwrap();
        assert_eq!(wrong["field"], field, "{wrong}");
    }
    assert_eq!(hub.get("/api/devices/nobody/statistics").await.status(), StatusCode::NOT_FOUND);
}

/// The readings of the first property.
fn readings(period: &Value) -> u64 {
    period["properties"][0]["readings"].as_u64().unwrap_or_default()
}

#[tokio::test]
async fn what_a_device_did_is_counted() {
    let hub = Installation::new().start().await;
    register(&hub, "pump", "pump").await;
    let before = hub.json("/api/devices/pump/statistics").await["period"].clone();
    assert_eq!((&before["uptime"], &before["commands"]), (&json!(0.0), &json!({})));
    hub.post("/api/devices/pump/data", &json!({ "t": 1 })).await;
    for _ in 0..3 {
        hub.post("/api/devices/pump/commands", &json!({ "command_type": "x" })).await;
    }
    let asked = hub.json("/api/devices/pump/commands").await;
    let path = format!("/api/commands/{}", asked[0]["id"].as_str().unwrap());
    assert!(hub.request(Method::DELETE, &path).send().await.unwrap().status().is_success());
    let after = hub.json("/api/devices/pump/statistics").await["period"].clone();
    let uptime = after["uptime"].as_f64().unwrap();
    assert!(uptime > 0.0 && uptime < 1.0, "{after}");
    assert_eq!(after["commands"], json!({ "pending": 2, "canceled": 1 }));
    assert_eq!(after["properties"][0]["trend"], Value::Null);
}

#[tokio::test]
async fn devices_are_summed_up_together_and_apart() {
    let hub = Installation::new().start().await;
    for (device, kind) in [("a", "pump"), ("b", "pump"), ("c", "fan")] {
        register(&hub, device, kind).await;
    }
    let lines = (0..30_i64).flat_map(|n| {
        ["a", "b", "c"]
            .map(|device| line(device, "t", NEW_YEAR + n * 60, &json!(n + i64::from(device == "c") * 100)))
    });
    import(&hub, lines).await;
    let range = format!("from={NEW_YEAR}&to={}", NEW_YEAR + HOUR);
    let told = async |query: &str| hub.json(&format!("/api/statistics?{range}&{query}")).await;
    let all = told("").await;
    let part = &all["parts"][0];
    assert_eq!((&part["name"], &part["devices"], readings(part)), (&json!(""), &json!(3), 90));
    near(&part["properties"][0]["mean"], 14.5 + 100.0 / 3.0);
    near(&part["properties"][0]["p95"], 124.55);
    assert_eq!(part["properties"][0]["gaps"], Value::Null);
    let by = told("by=type").await;
    let names: Vec<_> = by["parts"].as_array().unwrap().iter().map(|part| part["name"].clone()).collect();
    assert_eq!(names, ["fan", "pump"]);
    near(&by["parts"][1]["properties"][0]["mean"], 14.5);
    let pumps = told("type=pump&by=device&interval=10m&compare=previous").await;
    let pumps = pumps["parts"].as_array().unwrap();
    assert_eq!(pumps.iter().map(|part| part["name"].as_str().unwrap()).collect::<Vec<_>>(), ["a", "b"]);
    let counts: Vec<u64> = pumps[0]["intervals"].as_array().unwrap().iter().map(readings).collect();
    assert_eq!(counts, [10, 10, 10, 0, 0, 0]);
    assert_eq!(pumps[0]["previous"]["properties"], json!([]));
    let none = told("type=lamp").await;
    assert_eq!((&none["parts"][0]["devices"], &none["parts"][0]["properties"]), (&json!(0), &json!([])));
    // A thousand minutes of each of eleven devices are too much for one answer, and of one they are not.
    for number in 0..8 {
        register(&hub, &format!("more-{number}"), "lamp").await;
    }
    let minutes = format!("from={NEW_YEAR}&to={}&interval=1m&by=device", NEW_YEAR + 60_000);
    let one = hub.json(&format!("/api/statistics?{minutes}&type=fan")).await;
    assert_eq!(one["parts"][0]["intervals"].as_array().unwrap().len(), 1_000);
    for (query, field) in [("by=colour", "by"), (&minutes, "interval")] {
        let wrong = hub.get(&format!("/api/statistics?{query}")).await;
        assert_eq!(wrong.status(), StatusCode::UNPROCESSABLE_ENTITY, "{query}");
        let wrong: Value = wrong.json().await.unwrap();
        assert_eq!(wrong["field"], field, "{wrong}");
    }
}
