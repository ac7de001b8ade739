//! The history page by page, and what may not come into it.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::HubProcess;
use crate::support::hub::{Installation, run};

/// Follows `Link: rel="next"` from `path` to the end.
async fn pages(hub: &HubProcess, path: &str) -> Vec<Vec<Value>> {
    let (mut pages, mut next) = (Vec::new(), Some(path.to_owned()));
    while let Some(path) = next {
        let response = hub.get(&path).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        let link = response.headers()["Link"].to_str().unwrap().to_owned();
        let link = link.split(", ").find_map(|link| link.strip_suffix("; rel=\"next\""));
        next = link.map(|link| link.trim_matches(['<', '>']).to_owned());
        pages.push(response.json().await.unwrap());
        assert!(pages.len() < 100, "it has no end");
    }
    pages
}

#[tokio::test]
async fn the_history_has_next_pages() {
    let hub = Installation::new().start().await;
    hub.post("/api/devices", &json!({ "device_id": "a", "name": "A" })).await;
    // Three readings a message, two messages a second.
    for n in 0..10 {
        let at = format!("2026-01-01T12:00:0{}.{}00Z", n / 2, n % 2);
        let said = hub.post("/api/devices/a/data", &json!({ "x": n, "y": n, "z": n, "timestamp": at })).await;
        assert_eq!(said.status(), StatusCode::CREATED);
    }
    let told = |pages: &[Vec<Value>]| -> Vec<String> {
        let items = pages.iter().flatten();
        items.map(|item| format!("{}{}", item["sensor_type"].as_str().unwrap(), item["value"])).collect()
    };
    for order in ["asc", "desc"] {
        let all = hub.json(&format!("/api/devices/a/data?order={order}")).await;
        let all = told(&[all.as_array().unwrap().clone()]);
        assert_eq!(all.len(), 30);
        for limit in [1, 4, 7, 30] {
            let path = format!("/api/devices/a/data?order={order}&limit={limit}&start_date=2026-01-01");
            let pages = pages(&hub, &path).await;
            assert_eq!(told(&pages), all, "{order} by {limit}");
            assert!(pages.iter().all(|page| page.len() <= limit));
        }
        let buckets = format!("/api/devices/a/data?order={order}&interval=1s&agg=max");
        let all = hub.json(&buckets).await;
        assert_eq!(all.as_array().unwrap().len(), 15);
        assert_eq!(json!(pages(&hub, &format!("{buckets}&limit=4")).await.concat()), all);
    }
    let second = hub.json("/api/devices/a/data?limit=4&page=2&sensor_type=x").await;
    assert_eq!(told(&[second.as_array().unwrap().clone()]), ["x5", "x4", "x3", "x2"]);
}

#[tokio::test]
async fn the_last_page_of_events_leads_nowhere() {
    let hub = Installation::new().start().await;
    hub.post("/api/devices", &json!({ "device_id": "a", "name": "A" })).await;
    for n in 0..5 {
        hub.post("/api/devices/a/data", &json!({ "x": n })).await;
    }
    let page = async |path: &str| {
        let response = hub.get(path).await;
        let link = response.headers().get("Link").map(|link| link.to_str().unwrap().to_owned());
        (link, response.json::<Vec<Value>>().await.unwrap())
    };
    for order in ["asc", "desc"] {
        let (mut seen, mut sizes) = (Vec::new(), Vec::new());
        let mut next = Some(format!("/api/devices/a/events?kind=telemetry&order={order}&limit=2"));
        while let Some(path) = next {
            let (links, events) = page(&path).await;
            sizes.push(events.len());
            seen.extend(events.iter().map(|event| event["data"]["x"].as_i64().unwrap()));
            if order == "desc" {
                hub.post("/api/devices/a/data", &json!({ "x": 9 })).await; // what comes in meanwhile moves nothing
            }
            let links = links.unwrap();
            let link = links.split(", ").find_map(|link| link.strip_suffix("; rel=\"next\""));
            next = link.map(|link| link.trim_matches(['<', '>']).to_owned());
        }
        let expected = if order == "asc" { [0, 1, 2, 3, 4] } else { [4, 3, 2, 1, 0] };
        assert_eq!((&*sizes, &*seen), (&[2, 2, 1][..], &expected[..]), "{order}");
    }
}

#[tokio::test]
async fn names_with_control_characters_are_refused() {
    let hub = Installation::new().start().await;
    hub.post("/api/devices", &json!({ "device_id": "a", "name": "A" })).await;
    let said = hub.post("/api/devices/a/data", &json!({ "te\nmp": 1 })).await;
    assert_eq!(said.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let problem: Value = said.json().await.unwrap();
    assert_eq!(problem["detail"], "`te\\nmp`: a reading's name has no control characters");
    let change_a = async |change: &Value| {
        hub.request(reqwest::Method::PATCH, "/api/devices/a").json(change).send().await.unwrap()
    };
    for (change, field) in [
        (json!({ "name": "A\u{0}B" }), "name"),
        (json!({ "model": "m\u{0}" }), "model"),
        (json!({ "type": "\u{85}" }), "type"),
        (json!({ "tags": { "ro\tom": "hall" } }), "tags"),
    ] {
        let said = change_a(&change).await;
        assert_eq!(said.status(), StatusCode::UNPROCESSABLE_ENTITY, "{change}");
        assert_eq!(said.json::<Value>().await.unwrap()["field"], field, "{change}");
    }
    let described = change_a(&json!({ "name": "A\nB", "description": "two\nlines" })).await;
    assert_eq!(described.status(), StatusCode::OK);
}

#[tokio::test]
async fn addresses_and_tokens_are_checked() {
    let hub = Installation::new().start().await;
    let register = async |body: Value| {
        let response = hub.post("/api/devices", &body).await;
        (response.status(), response.json::<Value>().await.unwrap())
    };
    let (status, problem) =
        register(json!({ "device_id": "a", "name": "A", "ip_address": "999.1.1.1" })).await;
    assert_eq!((status, &problem["field"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("ip_address")));
    let with_token = |id: &str| json!({ "device_id": id, "name": id, "auth_token": "a secret long enough" });
    assert_eq!(register(with_token("a")).await.0, StatusCode::CREATED);
    let (status, problem) = register(with_token("b")).await;
    assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("auth_token_taken")));
    assert!(!problem["detail"].as_str().unwrap().contains("secret"));
    // At the same moment, and in one file.
    let other = |id: &str| json!({ "device_id": id, "name": id, "auth_token": "another secret of 16" });
    let (c, d) = tokio::join!(register(other("c")), register(other("d")));
    let mut told = [c.0, d.0];
    told.sort();
    assert_eq!(told, [StatusCode::CREATED, StatusCode::CONFLICT]);
    let file = "device_id,name,auth_token\ne,E,a third secret of 16\nf,F,a third secret of 16\ng,G,a secret long enough\nh,H,\n";
    let request =
        hub.request(reqwest::Method::POST, "/api/devices/import").header("Content-Type", "text/csv");
    let report: Value = request.body(file).send().await.unwrap().json().await.unwrap();
    let refused: Vec<_> = report["refusals"].as_array().unwrap().iter().map(|line| &line["line"]).collect();
    assert_eq!(refused, [&json!(3), &json!(4)], "{report}");
    assert!(!report.to_string().contains("secret"), "{report}");
}

#[tokio::test]
async fn a_file_from_excel_says_how_it_was_read() {
    let hub = Installation::new().start().await;
    let file = "sep=;\r\ndevice_id;name;desired.setpoint;tags.room\r\na;A;21,50;hall\r\nb;B;7;1,5\r\n";
    let request =
        hub.request(reqwest::Method::POST, "/api/devices/import").header("Content-Type", "text/csv");
    let report: Value = request.body(file).send().await.unwrap().json().await.unwrap();
    assert_eq!(report["created"], 2, "{report}");
    let read = json!([{ "column": "desired.setpoint", "cells": 1, "example": "21,50", "read_as": "21.50" }]);
    assert_eq!(report["decimal_commas"], read);
    let text = hub.get("/api/devices/a/twin").await.text().await.unwrap();
    assert!(text.contains(r#""desired":{"setpoint":21.50}"#), "{text}");
    assert_eq!(hub.json("/api/devices/b").await["tags"]["room"], "1,5");
}

#[tokio::test]
async fn days_are_those_of_the_clocks_and_counters_grow_over_resets() {
    let hub = Installation::new().start().await;
    hub.post("/api/devices", &json!({ "device_id": "meter", "name": "Meter" })).await;
    // A reading an hour over the night in which clocks in Berlin are put back, and a counter that is replaced in it.
    let begin = "2026-10-24T21:30:00Z".parse::<chrono::DateTime<chrono::Utc>>().unwrap();
    let readings: Vec<Value> = (0..30)
        .map(|hour| {
            let kwh = if hour < 10 { 100 + hour } else { hour - 10 };
            json!({ "kwh": kwh, "timestamp": (begin + chrono::Duration::hours(hour)).to_rfc3339() })
        })
        .collect();
    let said = hub.post("/api/devices/meter/data", &json!({ "readings": readings })).await;
    assert_eq!(said.status(), StatusCode::CREATED);
    let ask = async |query: &str| hub.json(&format!("/api/devices/meter/data?order=asc&{query}")).await;
    let days = ask("interval=1d&timezone=Europe/Berlin&agg=increase").await;
    let day = |start: &str, end: &str, value: u64, count: u64| {
        json!([format!("2026-10-{start}:00:00.000Z"), format!("2026-10-{end}:00:00.000Z"), value, count])
    };
    let told = |buckets: &Value| -> Vec<Value> {
        let buckets = buckets.as_array().unwrap().iter();
        buckets.map(|b| json!([b["timestamp"], b["end"], b["value"], b["count"]])).collect()
    };
    // 25 hours on the 25th; the step at midnight is of the day that it ends in, and the new counter began at 0.
    let expected =
        [day("23T22", "24T22", 0, 1), day("24T22", "25T23", 9 + 15, 25), day("25T23", "26T23", 4, 4)];
    assert_eq!(told(&days), expected, "{days}");
    // A page or a range that begins in the middle counts the step from before it as well.
    let later = ask("interval=1d&timezone=Europe/Berlin&agg=increase&from=2026-10-25T23:00:00Z").await;
    assert_eq!(told(&later), expected[2..]);
    let first =
        hub.get("/api/devices/meter/data?interval=1d&timezone=Europe/Berlin&agg=increase&limit=1").await;
    let first: Value = first.json().await.unwrap();
    assert_eq!(told(&first), expected[2..], "the newest alone");
    let rate = ask("interval=1w&timezone=Europe/Berlin&agg=rate").await;
    // A week ends between: 24 steps in 25 hours, and 4 in 4.
    let rates: Vec<f64> =
        rate.as_array().unwrap().iter().map(|b| b["value"].as_f64().unwrap() * 3_600.0).collect();
    assert!((rates[0] - 24.0 / 25.0).abs() < 1e-9 && (rates[1] - 1.0).abs() < 1e-9, "{rates:?}");
    let month = ask("interval=1mo&timezone=Europe/Berlin&agg=count").await;
    assert_eq!(
        told(&month),
        [day("30", "31", 30, 30)].map(|_| json!([
            "2026-09-30T22:00:00.000Z",
            "2026-10-31T23:00:00.000Z",
            30,
            30
        ]))
    );
}

#[tokio::test]
async fn all_readings_are_exported_as_they_came() {
    let hub = Installation::new().start().await;
    for device in ["a", "b"] {
        hub.post("/api/devices", &json!({ "device_id": device, "name": "D", "type": device })).await;
    }
    // More than are read at once, several of one moment among them, and what comes late.
    let mut expected = Vec::new();
    for batch in 0..30_i64 {
        let at = |n: i64| 1_767_268_800_000 + (if batch == 17 { -1_000_000 } else { batch * 1_000 }) + n / 3;
        let readings: Vec<Value> =
            (0..250).map(|n| json!({ "t": format!("x{n}"), "n": n, "timestamp": at(n) })).collect();
        let said = hub.post("/api/devices/a/data", &json!({ "readings": readings })).await;
        assert_eq!(said.status(), StatusCode::CREATED, "{}", said.text().await.unwrap());
        expected.extend((0..250).map(|n| (at(n), batch, n)));
    }
    expected.sort_unstable();
    let exact = r#"{"v": 23.500, "timestamp": "2026-01-02T00:00:00.000000001Z", "units": {"v": "°C"}}"#;
    let body =
        hub.request(reqwest::Method::POST, "/api/devices/b/data").header("Content-Type", "application/json");
    assert_eq!(body.body(exact).send().await.unwrap().status(), StatusCode::CREATED);

    let text = hub.get("/api/data/export").await.text().await.unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let numbers: Vec<i64> = lines.iter().filter_map(|line| line["value"].as_i64()).collect();
    assert_eq!(numbers, expected.iter().map(|(.., n)| *n).collect::<Vec<_>>(), "each once, by time");
    assert_eq!(lines.len(), 2 * 7_500 + 1);
    let last = text.lines().next_back().unwrap();
    assert_eq!(
        last,
        r#"{"device_id":"b","timestamp":"2026-01-02T00:00:00.000000001Z","sensor_type":"v","value":23.500,"unit":"°C"}"#
    );
    let csv = hub.request(reqwest::Method::GET, "/api/data/export?type=b").header("Accept", "text/csv");
    let csv = csv.send().await.unwrap();
    assert_eq!(csv.headers()["content-type"], "text/csv; charset=utf-8");
    let head = "device_id,timestamp,sensor_type,value,unit,quality_score,claimed_at\n";
    let row = "b,2026-01-02T00:00:00.000000001Z,v,23.500,°C,,\n";
    assert_eq!(csv.text().await.unwrap(), format!("{head}{row}"));
    for (query, count) in [
        ("sensor_type=n&to=2026-01-01T11:59:00Z", 250),
        ("from=2027-01-01", 0),
        ("sensor_type=v,n&type=a", 7_500),
    ] {
        let text = hub.get(&format!("/api/data/export?{query}")).await.text().await.unwrap();
        assert_eq!(text.lines().count(), count, "{query}");
    }
    let wrong = hub.get("/api/data/export?format=xls").await;
    assert_eq!(wrong.status(), StatusCode::UNPROCESSABLE_ENTITY);

    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("readings.csv");
    let url = format!("http://{}", hub.http);
    let args = [
        "data",
        "export",
        file.to_str().unwrap(),
        "--property",
        "v",
        "--from",
        "2026-01-02",
        "--query",
        "type=b",
        "--url",
        &url,
    ];
    let output = run(&args, &[]).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), format!("{head}{row}"));
}

#[tokio::test]
async fn readings_of_little_worth_can_be_left_out() {
    let hub = Installation::new().start().await;
    hub.post("/api/devices", &json!({ "device_id": "a", "name": "A" })).await;
    let readings = [(10, Some(20)), (20, Some(60)), (30, Some(100)), (40, None)].map(|(value, score)| {
        json!({ "sensor_type": "t", "value": value, "quality_score": score, "timestamp": 1_767_268_800 + value })
    });
    let said = hub.post("/api/devices/a/data", &json!({ "sensor_readings": readings })).await;
    assert_eq!(said.status(), StatusCode::CREATED);
    let values = async |query: &str| -> Vec<i64> {
        let found = hub.json(&format!("/api/devices/a/data?order=asc&from=2026-01-01&{query}")).await;
        found.as_array().unwrap().iter().map(|reading| reading["value"].as_i64().unwrap()).collect()
    };
    assert_eq!(values("").await, [10, 20, 30, 40]);
    assert_eq!(values("min_quality=60").await, [20, 30, 40]);
    assert_eq!(values("min_quality=61").await, [30, 40]);
    assert_eq!(values("min_quality=60&interval=1d&agg=count").await, [3]);
    let statistics = hub.json("/api/devices/a/statistics?from=2026-01-01&min_quality=60").await;
    assert_eq!(statistics["period"]["properties"][0]["mean"], 30.0);
    let text = hub.get("/api/data/export?min_quality=100").await.text().await.unwrap();
    assert_eq!(text.lines().count(), 2);
}
