//! Nine digits in, nine digits out: the time of a reading is given back as its device said it.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::hub::{HubProcess, Installation};
use crate::support::{MqttDevice, WebSocketSession};

const DATA: &str = "/api/devices/d/data?sensor_type=t";

/// Each time as it is sent, and as it is given back.
const TIMES: [(&str, &str); 6] = [
    (r#""2026-01-01T12:00:00.5Z""#, "2026-01-01T12:00:00.500Z"),
    (r#""2026-01-01T12:00:00.500000001Z""#, "2026-01-01T12:00:00.500000001Z"),
    (r#""2026-01-01T13:00:00.500001+01:00""#, "2026-01-01T12:00:00.500001Z"),
    ("1767268800500001002", "2026-01-01T12:00:00.500001002Z"),
    ("1767268800500002", "2026-01-01T12:00:00.500002Z"),
    ("1767268800.987654321", "2026-01-01T12:00:00.987654321Z"),
];

async fn history(hub: &HubProcess, more: &str) -> Vec<Value> {
    hub.json(&format!("{DATA}{more}")).await.as_array().unwrap().clone()
}

fn times(items: &[Value]) -> Vec<&str> {
    items.iter().map(|item| item["timestamp"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_time_is_given_back_as_it_was_sent() {
    let installation = Installation::new();
    let hub = installation.start().await;
    let mut device = MqttDevice::connect(hub.mqtt.unwrap(), "d").await.unwrap();
    let mut live = WebSocketSession::of_readings(hub.http, None).await;
    let shown: Vec<&str> = TIMES.iter().map(|(_, shown)| *shown).collect();
    // Out of order, and each twice: the second is known for what it is.
    for n in [3, 0, 5, 1, 4, 2, 3, 5, 0] {
        device.say("iot/devices/d/data", &format!(r#"{{"t": {n}, "timestamp": {}}}"#, TIMES[n].0)).await;
    }
    for n in [3, 0, 5, 1, 4, 2] {
        let frame = live.next().await.unwrap();
        assert_eq!((&frame["at"], &frame["data"]["t"]), (&json!(shown[n]), &json!(n)), "{frame}");
    }
    let stored = history(&hub, "&order=asc").await;
    assert_eq!(times(&stored), shown);
    assert_eq!(
        stored.iter().map(|item| item["value"].as_u64().unwrap()).collect::<Vec<_>>(),
        [0, 1, 2, 3, 4, 5]
    );
    let twin = hub.json("/api/devices/d/twin").await;
    assert_eq!(twin["reported"]["t"], 5);
    assert_eq!(twin["metadata"]["reported"]["t"]["reported_at"], shown[5]);
    let events =
        hub.json("/api/devices/d/events?kind=telemetry&from=2026-01-01T12:00:00.500001Z&order=asc").await;
    assert_eq!(events.as_array().unwrap().len(), 4, "{events}");

    // Bounds and pages go by the nanosecond.
    let within =
        history(&hub, "&order=asc&from=2026-01-01T12:00:00.500000001Z&to=2026-01-01T12:00:00.500002Z").await;
    assert_eq!(times(&within), shown[1..4]);
    for (order, expected) in [("asc", shown.clone()), ("desc", shown.iter().rev().copied().collect())] {
        let (mut told, mut next) = (Vec::new(), Some(format!("{DATA}&limit=2&order={order}")));
        while let Some(path) = next {
            let response = hub.get(&path).await;
            let link = response.headers()["Link"].to_str().unwrap().to_owned();
            let link = link.split(", ").find_map(|link| link.strip_suffix("; rel=\"next\""));
            next = link.map(|link| link.trim_matches(['<', '>']).to_owned());
            told.extend(response.json::<Vec<Value>>().await.unwrap());
        }
        assert_eq!(times(&told), expected, "{order}");
    }

    // The answer of one hub is taken by another, and by the same after a start: it has it all.
    let again = json!({ "sensor_readings": stored });
    drop(device);
    drop(live);
    hub.terminate().await;
    let hub = installation.start().await;
    assert_eq!(history(&hub, "&order=asc").await, stored);
    assert_eq!(hub.post("/api/devices/d/data", &again).await.status(), StatusCode::OK, "stored before");
    let other = Installation::new().start().await;
    other.post("/api/devices", &json!({ "device_id": "d", "name": "D" })).await;
    assert_eq!(other.post("/api/devices/d/data", &again).await.status(), StatusCode::CREATED);
    let given = history(&other, "&order=asc").await;
    assert_eq!(times(&given), shown);
}

#[tokio::test]
async fn the_hubs_own_times_have_three_digits() {
    let hub = Installation::new().start().await;
    let mut device = MqttDevice::connect(hub.mqtt.unwrap(), "d").await.unwrap();
    device.say("iot/devices/d/data", r#"{"t": 1}"#).await;
    let stored = history(&hub, "").await;
    assert_eq!(times(&stored)[0].len(), "2026-01-01T12:00:00.000Z".len(), "{stored:?}");
}
