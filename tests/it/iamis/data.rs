//! Readings that are posted, listed and counted.

use reqwest::header::{HeaderMap, LOCATION};
use serde_json::{Value, json};

use super::{listed, reading};
use crate::support::hub::Installation;

/// The body in the seed's text.
const BODY: &str = r#"{
    "sensor_type": "temperature",
    "value": 22.5,
    "unit": "°C"
  }"#;

#[tokio::test]
async fn a_reading_is_posted_and_listed_as_the_text_has_it() {
    let hub = Installation::new().start().await;
    let post = hub.request(reqwest::Method::POST, "/sensor-data/");
    let answer = post.header("Content-Type", "application/json").body(BODY).send().await.unwrap();
    assert_eq!(answer.status(), 201);
    let posted: Value = answer.json().await.unwrap();
    let timestamp = posted["timestamp"].as_str().unwrap();
    assert!(timestamp.ends_with('Z'), "{posted}");
    let expected = json!({
        "id": 1, "sensor_type": "temperature", "value": 22.5, "unit": "°C", "timestamp": timestamp,
    });
    assert_eq!(posted, expected);
    assert_eq!(hub.json("/sensor-data/temperature/").await, json!([expected]));
    assert_eq!(hub.json("/sensor-data/humidity/").await, json!([]), "nothing is no error");
    assert_eq!(hub.json("/health-check/").await, json!({ "status": "Healthy", "mqtt_connected": true }));
    // It is a twin, with the type as its property.
    let twin = hub.json("/api/devices/sensor-data").await;
    assert_eq!(twin["readings"]["temperature"]["value"], 22.5);
    assert_eq!(twin["readings"]["temperature"]["unit"], "°C");
}

#[tokio::test]
async fn ids_count_from_1_over_all_types_and_go_on_after_a_power_cut() {
    let installation = Installation::new();
    let hub = installation.start().await;
    for (n, sensor_type) in ["temperature", "humidity", "temperature", "co2"].into_iter().enumerate() {
        // The id and the time are the hub's, whatever the body says.
        let mut body = reading(sensor_type, 20.0);
        body["id"] = 77.into();
        body["timestamp"] = "2020-01-01T00:00:00Z".into();
        let posted: Value = hub.post("/sensor-data/", &body).await.json().await.unwrap();
        assert_eq!(posted["id"], n + 1, "{posted}");
        assert!(posted["timestamp"].as_str().unwrap() > "2025", "{posted}");
    }
    hub.kill().await;
    let hub = installation.start().await;
    let posted: Value = hub.post("/sensor-data/", &reading("humidity", 41.5)).await.json().await.unwrap();
    assert_eq!(posted["id"], 5);
    assert_eq!(listed(&hub, "/sensor-data/temperature/", "id").await, [3, 1]);
    assert_eq!(listed(&hub, "/sensor-data/humidity/", "id").await, [5, 2]);
    assert!(hub.terminate().await.success());
    let hub = installation.start().await;
    assert_eq!(listed(&hub, "/sensor-data/humidity/", "value").await, [json!(41.5), json!(20.0)]);
}

#[tokio::test]
async fn pages_have_as_many_readings_as_are_asked_for() {
    let hub = Installation::new().start().await;
    let posts = (0..45).map(|n| {
        let hub = &hub;
        async move {
            let sensor_type = if n % 3 == 0 { "rare" } else { "temperature" };
            assert_eq!(hub.post("/sensor-data/", &reading(sensor_type, f64::from(n))).await.status(), 201);
        }
    });
    for post in posts {
        post.await;
    }
    let ids = |path: &'static str| listed(&hub, path, "id");
    let all = ids("/sensor-data/temperature/?limit=1000000").await;
    assert_eq!(all.len(), 30);
    assert!(all.is_sorted_by(|one, other| one.as_i64() > other.as_i64()), "the newest first: {all:?}");
    assert_eq!(ids("/sensor-data/temperature/").await, all[..20], "20 when nothing is said");
    assert_eq!(ids("/sensor-data/temperature/?page=2").await, all[20..]);
    assert_eq!(ids("/sensor-data/temperature/?page=3&limit=7").await, all[14..21]);
    assert!(ids("/sensor-data/temperature/?page=4&limit=10").await.is_empty(), "beyond the last");
    assert!(
        ids("/sensor-data/temperature/?page=9223372036854775807&limit=9223372036854775807").await.is_empty()
    );
    assert_eq!(ids("/sensor-data/rare/?limit=100").await.len(), 15);
    assert_eq!(ids("/sensor-data/rare/?limit=2&sort=up").await, [43, 40], "others are nobody's business");
}

/// As its page does, of which each tile asks once a second.
#[tokio::test]
async fn a_page_that_asks_again_and_again_misses_nothing() {
    let hub = Installation::new().start().await;
    let mut expected = [Vec::new(), Vec::new()];
    for n in 1..=40 {
        let turn = usize::from(n % 4 == 0);
        let sensor_type = ["temperature", "rare"][turn];
        assert_eq!(hub.post("/sensor-data/", &reading(sensor_type, 1.0)).await.status(), 201);
        expected[turn].insert(0, n);
        if n % 3 == 0 {
            assert_eq!(
                listed(&hub, "/sensor-data/temperature/?limit=5", "id").await,
                expected[0][..expected[0].len().min(5)]
            );
            assert_eq!(listed(&hub, "/sensor-data/rare/?page=1&limit=100", "id").await, expected[1]);
        }
    }
    assert_eq!(listed(&hub, "/sensor-data/temperature/?limit=100", "id").await, expected[0]);
    // Another device of this name has another history.
    let removed = hub.request(reqwest::Method::DELETE, "/api/devices/sensor-data").send().await.unwrap();
    assert!(removed.status().is_success());
    assert_eq!(hub.json("/sensor-data/temperature/").await, json!([]));
    assert_eq!(hub.post("/sensor-data/", &reading("temperature", 1.0)).await.status(), 201);
    assert_eq!(listed(&hub, "/sensor-data/temperature/", "id").await, [1]);
}

#[tokio::test]
async fn more_than_are_read_at_once_come_as_one_array() {
    let hub = Installation::new().start().await;
    let device = json!({ "device_id": "sensor-data", "name": "Sensor data" });
    assert_eq!(hub.post("/api/devices", &device).await.status(), 201);
    // As an import has them, with what leads from one to the other and without.
    let mut last = 1_767_268_800_000_i64;
    for part in 0..10 {
        let rows: Vec<Value> = (0..250)
            .map(|n| {
                last += 1_000;
                let id = 1 + part * 250 + n;
                let mut row = json!({ "t": id, "t#id": id, "timestamp": last, "units": { "t": "x" } });
                if part % 2 == 0 {
                    row["t#gap"] = 1_000.into();
                }
                row
            })
            .collect();
        let taken = hub.post("/api/devices/sensor-data/data", &json!({ "readings": rows })).await;
        assert!(taken.status().is_success(), "{}", taken.text().await.unwrap());
    }
    assert_eq!(hub.post("/sensor-data/", &reading("t", 0.0)).await.status(), 201);
    let ids = listed(&hub, "/sensor-data/t/?limit=99999", "id").await;
    assert_eq!(ids, (1..=2_501).rev().collect::<Vec<i64>>());
    assert_eq!(listed(&hub, "/sensor-data/t/?page=3&limit=1000", "id").await, ids[2_000..]);
}

#[tokio::test]
async fn a_path_without_its_slash_leads_to_the_one_with_it() {
    let hub = Installation::new().start().await;
    let client =
        reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let place = |headers: &HeaderMap| headers[LOCATION].to_str().unwrap().to_owned();
    for (method, path, other) in [
        (reqwest::Method::POST, "/sensor-data", "/sensor-data/"),
        (reqwest::Method::GET, "/sensor-data/a%20b?page=1&limit=5", "/sensor-data/a%20b/?page=1&limit=5"),
        (reqwest::Method::GET, "/health-check", "/health-check/"),
        (reqwest::Method::GET, "/api/layout/", "/api/layout"),
        (reqwest::Method::POST, "/api/layout/", "/api/layout"),
    ] {
        let asked = client.request(method.clone(), format!("http://{}{path}", hub.http)).body("{}");
        let answer = asked.send().await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), place(answer.headers())),
            (307, other.into()),
            "{method} {path}"
        );
    }
    // A POST keeps its body.
    let posted = hub.post("/sensor-data", &reading("a b", 1.0)).await;
    assert_eq!(posted.status(), 201);
    assert_eq!(listed(&hub, "/sensor-data/a%20b", "id").await, [1]);
}
