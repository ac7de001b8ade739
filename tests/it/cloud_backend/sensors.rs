//! `/v1/sensors/…`, from messages on the sensors' topics.

use serde_json::{Value, json};

use super::{Sensor, ago};
use crate::support::hub::Installation;
use crate::support::{HubProcess, eventually};

/// The members of readings, in a list.
fn all<'a>(readings: &'a Value, member: &str) -> Vec<&'a Value> {
    readings.as_array().unwrap().iter().map(|reading| &reading[member]).collect()
}

async fn refused(hub: &HubProcess, path: &str) -> (u16, Value) {
    let answer = hub.get(path).await;
    (answer.status().as_u16(), answer.json().await.unwrap())
}

#[tokio::test]
async fn readings_are_answered_as_the_text_shows_them() {
    let installation = Installation::new();
    let hub = installation.start().await;
    let nothing = hub.json("/v1/sensors/latest").await;
    assert_eq!(nothing, json!({ "sensors": {}, "total_count": 0, "last_updated": null }));
    let mut sensor = Sensor::connect(&hub).await;
    let (first, second) = (ago(120), ago(60));
    let payload = json!({
        "value": 23, "unit": "°C", "origin": "edge", "source_protocol": "modbus", "ts": first, "type": "temperature",
        "sensor_id": "temp-001",
    });
    sensor.say("sensors/temperature/temp-001", &payload).await;
    sensor.say("sensors/humidity/hum-001", &json!({ "value": "55.50", "timestamp": second })).await;

    let latest = hub.json("/v1/sensors/latest").await;
    let temperature = latest["sensors"]["temperature"][0].clone();
    let id = temperature["id"].as_u64().expect("a number");
    assert_eq!(
        temperature,
        json!({
            "id": id, "timestamp": first, "sensor_type": "temperature", "sensor_id": "temp-001", "value": 23.0,
            "unit": "°C", "origin": "edge", "source_protocol": "modbus", "anomaly": false,
        })
    );
    let humidity = &latest["sensors"]["humidity"][0];
    assert_eq!(
        (&humidity["value"], &humidity["unit"], &humidity["origin"], &humidity["source_protocol"]),
        (&json!(55.5), &json!(""), &json!("unknown"), &json!("mqtt"))
    );
    assert_eq!((&latest["total_count"], &latest["last_updated"]), (&json!(2), &json!(second)));
    let text = hub.get("/v1/sensors/latest?limit=1").await.text().await.unwrap();
    assert!(text.starts_with(r#"{"sensors":{"humidity":[{"#) && text.contains(r#""value":55.50"#), "{text}");
    assert!(!text.contains("temperature"), "the newest alone: {text}");

    let history = hub.json("/v1/sensors/history?sensor_id=temp-001&limit=50&hours=24").await;
    assert_eq!(history, json!({ "readings": [temperature], "sensor_id": "temp-001", "count": 1 }));
    let live = hub.json("/v1/sensors/live").await;
    let reading = &live["live_readings"]["temperature_temp-001"];
    let raw: Value = serde_json::from_str(reading["raw_data"].as_str().unwrap()).unwrap();
    assert_eq!((raw, &reading["value"], &live["count"]), (payload, &json!(23.0), &json!(2)));
    assert!(reading.get("id").is_none() && live["timestamp"].is_string(), "{live}");
    let status = hub.json("/api/status").await;
    let expected = json!({
        "api_version": "1.0.0", "mqtt_connected": true, "active_websockets": 0, "latest_readings_count": 2,
        "uptime": "System running",
    });
    assert_eq!(status, expected);

    // It is a twin, by its id.
    let twin = hub.json("/api/devices/temp-001").await;
    assert_eq!(
        (&twin["type"], &twin["readings"]["temperature"]["value"]),
        (&json!("temperature"), &json!(23))
    );
    assert_eq!(twin["readings"]["temperature"]["unit"], "°C");

    // All of it is durable.
    hub.kill().await;
    let hub = installation.start().await;
    assert_eq!(hub.json("/v1/sensors/latest").await, latest);
    assert_eq!(hub.json("/v1/sensors/live").await["live_readings"], live["live_readings"]);
    assert_eq!(hub.json("/v1/sensors/stats").await["total_readings"], 2);
}

#[tokio::test]
async fn a_reading_that_comes_late_is_history_only() {
    let hub = Installation::new().start().await;
    assert_eq!(hub.json("/v1/sensors/latest").await["total_count"], 0, "the index is made before");
    let mut sensor = Sensor::connect(&hub).await;
    for (value, at) in [(1, ago(300)), (2, ago(60)), (3, ago(600)), (4, ago(7_200)), (5, ago(25 * 3_600))] {
        sensor.say("sensors/level/tank", &json!({ "value": value, "ts": at })).await;
    }
    let latest = hub.json("/v1/sensors/latest").await;
    assert_eq!(all(&latest["sensors"]["level"], "value"), [&json!(2.0)]);
    let live = hub.json("/v1/sensors/live").await;
    assert_eq!(live["live_readings"]["level_tank"]["value"], 5.0, "the last to arrive");
    let history = async |query: &str| hub.json(&format!("/v1/sensors/history?sensor_id=tank{query}")).await;
    let day = history("").await;
    assert_eq!(
        all(&day["readings"], "value"),
        [2.0, 1.0, 3.0, 4.0].map(|value| json!(value)).iter().collect::<Vec<_>>()
    );
    assert_eq!(history("&hours=1").await["count"], 3);
    assert_eq!(history("&hours=168").await["count"], 5);
    let two = history("&limit=2").await;
    assert_eq!((&two["count"], all(&two["readings"], "value")), (&json!(2), vec![&json!(2.0), &json!(1.0)]));
    assert_eq!(hub.json("/v1/sensors/stats?hours=1").await["total_readings"], 3);
    assert_eq!(hub.json("/v1/sensors/stats?hours=168").await["total_readings"], 5);
    let ids: Vec<u64> = all(&day["readings"], "id").iter().map(|id| id.as_u64().unwrap()).collect();
    assert!(
        ids[3] > ids[2] && ids[2] > ids[0] && ids[0] > ids[1],
        "by the order in which they came: {ids:?}"
    );
}

#[tokio::test]
async fn one_id_with_two_types_is_two_sensors_and_the_payload_goes_before_the_topic() {
    let hub = Installation::new().start().await;
    let mut sensor = Sensor::connect(&hub).await;
    for (topic, payload) in [
        ("sensors/temperature/room", json!({ "value": 20, "ts": ago(30) })),
        ("sensors/humidity/room", json!({ "value": 50, "ts": ago(20), "anomaly": true })),
        ("sensors/a/b", json!({ "value": 7, "type": "co2", "sensor_id": "hall 7/2", "ts": ago(10) })),
    ] {
        sensor.say(topic, &payload).await;
    }
    let latest = hub.json("/v1/sensors/latest").await;
    let shown = |sensor_type: &str| {
        let first = &latest["sensors"][sensor_type][0];
        (first["sensor_id"].clone(), first["value"].clone(), first["anomaly"].clone())
    };
    assert_eq!(shown("temperature"), (json!("room"), json!(20.0), json!(false)));
    assert_eq!(shown("humidity"), (json!("room"), json!(50.0), json!(true)));
    assert_eq!(shown("co2"), (json!("hall 7/2"), json!(7.0), json!(false)));
    let room = hub.json("/v1/sensors/history?sensor_id=room").await;
    assert_eq!(all(&room["readings"], "sensor_type"), [&json!("humidity"), &json!("temperature")]);
    let hall = hub.json("/v1/sensors/history?sensor_id=hall%207%2F2").await;
    assert_eq!((&hall["count"], &hall["sensor_id"]), (&json!(1), &json!("hall 7/2")));
    let live = hub.json("/v1/sensors/live").await;
    let keys: Vec<&String> = live["live_readings"].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["a_b", "humidity_room", "temperature_room"], "the key is of the topic");
    assert_eq!(live["live_readings"]["a_b"]["sensor_id"], "hall 7/2");
}

#[tokio::test]
async fn anomalies_and_counts_are_of_the_hours_that_are_asked_for() {
    let installation = Installation::new();
    let hub = installation.start().await;
    let mut sensor = Sensor::connect(&hub).await;
    for (topic, value, minutes, origin, anomaly) in [
        ("sensors/temperature/t1", 20, 1, "edge", false),
        ("sensors/temperature/t1", 45, 2, "edge", true),
        ("sensors/temperature/t2", 21, 90, "cloud", false),
        ("sensors/humidity/h1", 99, 26 * 60, "edge", true),
    ] {
        let payload = json!({ "value": value, "ts": ago(minutes * 60), "origin": origin, "anomaly": anomaly,
            "source_protocol": if origin == "edge" { "modbus" } else { "http" } });
        sensor.say(topic, &payload).await;
    }
    let expected = json!({
        "total_readings": 3, "anomaly_count": 1, "anomaly_rate": 33.33,
        "by_sensor_type": [{ "type": "temperature", "count": 3, "anomalies": 1 }],
        "by_origin": [{ "origin": "cloud", "count": 1 }, { "origin": "edge", "count": 2 }],
        "by_protocol": [{ "protocol": "http", "count": 1 }, { "protocol": "modbus", "count": 2 }],
    });
    let counted = async |hub: &HubProcess| {
        let mut day = hub.json("/v1/sensors/stats?hours=24").await;
        let range = day["time_range"].take();
        assert_eq!(range["hours"], 24);
        assert!(range["start"].as_str() < range["end"].as_str(), "{range}");
        day.as_object_mut().unwrap().remove("time_range");
        assert_eq!(day, expected);
        let types = hub.json("/v1/sensors/stats?hours=48").await["by_sensor_type"].clone();
        assert_eq!(all(&types, "type"), [&json!("humidity"), &json!("temperature")]);
        let day = hub.json("/v1/sensors/anomalies").await;
        assert_eq!((&day["count"], all(&day["anomalies"], "sensor_id")), (&json!(1), vec![&json!("t1")]));
        assert_eq!(day["time_range"]["hours"], 24);
        let week = hub.json("/v1/sensors/anomalies?hours=168&limit=500").await;
        assert_eq!(all(&week["anomalies"], "value"), [&json!(45.0), &json!(99.0)]);
        assert_eq!(hub.json("/v1/sensors/anomalies?hours=168&limit=1").await["count"], 1);
    };
    counted(&hub).await;
    hub.terminate().await;
    counted(&installation.start().await).await; // read from the store this time
}

#[tokio::test]
async fn a_device_that_is_removed_is_in_no_answer_any_more() {
    let hub = Installation::new().start().await;
    let mut sensor = Sensor::connect(&hub).await;
    sensor.say("sensors/temperature/t1", &json!({ "value": 1 })).await;
    assert_eq!(hub.json("/v1/sensors/latest").await["total_count"], 1);
    let removed = hub.request(reqwest::Method::DELETE, "/api/devices/t1").send().await.unwrap();
    assert!(removed.status().is_success());
    assert_eq!(hub.json("/v1/sensors/latest").await["total_count"], 0);
    assert_eq!(refused(&hub, "/v1/sensors/history?sensor_id=t1").await.0, 404);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_in_the_words_of_the_original() {
    let hub = Installation::new().start().await;
    for path in [
        "/v1/sensors/latest?limit=0",
        "/v1/sensors/latest?limit=1001",
        "/v1/sensors/history?sensor_id=x&limit=1001",
        "/v1/sensors/history?sensor_id=x&hours=0",
        "/v1/sensors/history?sensor_id=x&hours=169",
        "/v1/sensors/anomalies?limit=501",
        "/v1/sensors/anomalies?hours=169",
        "/v1/sensors/stats?hours=many",
    ] {
        let (status, answer) = refused(&hub, path).await;
        let place = &answer["detail"][0]["loc"];
        let name = path.rsplit(['?', '&']).next().unwrap().split('=').next().unwrap();
        assert_eq!((status, place), (422, &json!(["query", name])), "{path}: {answer}");
    }
    let (status, answer) = refused(&hub, "/v1/sensors/history").await;
    assert_eq!((status, &answer["detail"][0]["type"]), (422, &json!("missing")), "{answer}");
    for id in ["never-heard", "%20", ""] {
        let (status, answer) = refused(&hub, &format!("/v1/sensors/history?sensor_id={id}")).await;
        let said = id.replace("%20", " ");
        assert_eq!(
            (status, answer),
            (404, json!({ "detail": format!("No readings found for sensor {said}") }))
        );
    }
    // A message without a value is dropped, and named.
    let mut sensor = Sensor::connect(&hub).await;
    sensor.say("sensors/temperature/t1", &json!({ "unit": "°C" })).await;
    sensor.say("system/edge", &json!({ "anything": true })).await;
    assert_eq!(hub.json("/v1/sensors/latest").await["total_count"], 0);
    let rejected = hub.json("/api/diagnostics/rejected").await;
    assert_eq!(rejected.as_array().unwrap().len(), 1, "{rejected}");
    assert!(rejected[0]["detail"].as_str().unwrap().contains("`value`"), "{rejected}");
}

/// The store is behind while it makes order; the answers are not.
#[tokio::test]
async fn answers_are_true_to_the_last_commit() {
    let hub = Installation::new().start().await;
    let mut sensor = Sensor::connect(&hub).await;
    for n in 0..200 {
        sensor.say("sensors/temperature/t1", &json!({ "value": n })).await;
        if n % 20 == 0 {
            let latest = hub.json("/v1/sensors/latest").await;
            assert_eq!(latest["sensors"]["temperature"][0]["value"], json!(f64::from(n)));
        }
    }
    assert_eq!(hub.json("/v1/sensors/stats").await["total_readings"], 200);
    eventually("the whole history is there", async || {
        let history = hub.json("/v1/sensors/history?sensor_id=t1&limit=1000").await;
        (history["count"] == 200).then_some(())
    })
    .await;
}

/// A device that speaks two dialects has readings of the other between its own.
#[tokio::test]
async fn readings_of_another_dialect_between_hide_none() {
    let hub = Installation::new().start().await;
    let mut sensor = Sensor::connect(&hub).await;
    let first = json!({ "value": 1, "ts": ago(2_950) });
    sensor.say("sensors/temperature/t1", &first).await;
    for part in 0..5 {
        let between = |n: i64| json!({ "temperature": n, "timestamp": ago(2_900 - part * 500 - n) });
        let batch: Vec<Value> = (0..500).map(between).collect();
        sensor.say("iot/devices/t1/data", &json!(batch)).await;
    }
    sensor.say("sensors/temperature/t1", &json!({ "value": 2, "ts": ago(10) })).await;
    let data = hub.json("/api/devices/t1/data?sensor_type=temperature&limit=1000").await;
    assert!(data.to_string().len() > 50_000, "the others are there");
    let history = hub.json("/v1/sensors/history?sensor_id=t1&limit=2").await;
    assert_eq!(all(&history["readings"], "value"), [&json!(2.0), &json!(1.0)]);
}

/// A gateway that was cut off for days sends what it has kept: each reading counts once, and is in its place.
#[tokio::test]
async fn many_late_readings_are_taken_in() {
    const LATE: i64 = 3_000;
    let hub = Installation::new().start().await;
    assert_eq!(hub.json("/v1/sensors/latest").await["total_count"], 0, "the index is made before");
    let mut sensor = Sensor::connect(&hub).await;
    sensor.say("sensors/level/tank", &json!({ "value": -1 })).await;
    for n in 0..LATE {
        let at = ago(5 * 86_400 - n * 60);
        sensor.say("sensors/level/tank", &json!({ "value": n, "ts": at, "anomaly": n % 10 == 0 })).await;
    }
    let week = hub.json("/v1/sensors/stats?hours=168").await;
    assert_eq!((&week["total_readings"], &week["anomaly_count"]), (&json!(LATE + 1), &json!(LATE / 10)));
    let latest = hub.json("/v1/sensors/latest").await;
    assert_eq!(all(&latest["sensors"]["level"], "value"), [&json!(-1.0)]);
    assert_eq!(hub.json("/v1/sensors/anomalies?hours=168&limit=500").await["count"], LATE / 10);
}
