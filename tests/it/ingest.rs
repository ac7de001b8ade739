//! Messages of devices are taken in whole: every form and time that real ones use, with none lost to another's fault.

use serde_json::{Value, json};

use crate::support::MqttDevice;
use crate::support::hub::{HubProcess, Installation};

async fn history(hub: &HubProcess, device: &str, sensor: &str) -> Vec<Value> {
    let path = format!("/api/devices/{device}/data?sensor_type={sensor}&order=asc");
    hub.json(&path).await.as_array().unwrap().clone()
}

fn values(history: &[Value]) -> Vec<&Value> {
    history.iter().map(|reading| &reading["value"]).collect()
}

async fn rejected(hub: &HubProcess) -> Vec<String> {
    let rejected = hub.json("/api/diagnostics/rejected").await;
    rejected.as_array().unwrap().iter().map(|one| one["detail"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn one_bad_reading_takes_no_good_one_with_it() {
    let hub = Installation::new().start().await;
    let mut device = MqttDevice::connect(hub.mqtt.unwrap(), "esp").await.unwrap();
    let data = "iot/devices/esp/data";
    device
        .say(data, r#"{"sensor_readings":[{"sensor_type":"temperature","value":null},{"sensor_type":"h0","value":40}]}"#)
        .await;
    device.say(data, r#"{"x": 1e999, "y": 1}"#).await;
    device.say(data, "[{\"t\": 1, \"timestamp\": \"soon\"}, {\"t\": 2}]").await;
    let reported = hub.json("/api/devices/esp/twin").await["reported"].clone();
    assert_eq!(reported, json!({"h0": 40, "y": 1, "t": 2}));
    let rejected = rejected(&hub).await;
    assert_eq!(rejected.len(), 3, "{rejected:?}");
    for name in ["`sensor_readings[0].value`", "`x`", "`[0].timestamp`"] {
        assert!(rejected.iter().any(|detail| detail.starts_with(name)), "{name}: {rejected:?}");
    }
    assert_eq!(hub.metric("twinhub_readings_rejected_total").await, 3);
    assert_eq!(hub.metric("twinhub_messages_rejected_total").await, 0);

    let body = json!({"sensor_readings": [
        {"sensor_type": "a", "value": null}, {"sensor_type": "b", "value": 1}, {"sensor_type": "c", "value": []},
    ]});
    let refused = hub.post("/api/devices/esp/data", &body).await;
    assert_eq!(refused.status(), 422);
    let problem: Value = refused.json().await.unwrap();
    assert_eq!(problem["errors"].as_array().unwrap().len(), 2, "{problem}");
    assert!(history(&hub, "esp", "b").await.is_empty());
    let in_part = hub.post("/api/devices/esp/data?partial=true", &body).await;
    assert_eq!(in_part.status(), 207);
    let told: Value = in_part.json().await.unwrap();
    assert_eq!((&told["accepted"], told["rejected"].as_array().unwrap().len()), (&json!(1), 2), "{told}");
    assert_eq!(told["rejected"][0]["field"], "sensor_readings[0].value");
    assert_eq!(values(&history(&hub, "esp", "b").await), [1]);

    let body = json!({"sensor_readings": [{"sensor_type": "a", "value": null}, {"sensor_type": "r", "value": 1}],
        "message_id": "once"});
    for (status, accepted, message) in [(207, 1, "stored in part"), (200, 0, "stored before")] {
        let answer = hub.post("/api/devices/esp/data?partial=true", &body).await;
        assert_eq!(answer.status(), status);
        let told: Value = answer.json().await.unwrap();
        assert_eq!((&told["accepted"], &told["message"]), (&json!(accepted), &json!(message)), "{told}");
        assert_eq!(told["rejected"].as_array().unwrap().len(), 1, "{told}");
    }
}

#[tokio::test]
async fn readings_of_several_moments_come_in_one_message() {
    let hub = Installation::new().start().await;
    let mut device = MqttDevice::connect(hub.mqtt.unwrap(), "logger").await.unwrap();
    let data = "iot/devices/logger/data";
    let batch = r#"[{"t": 1, "timestamp": "2026-01-01T12:00:00Z"}, {"t": 2, "timestamp": "2026-01-01T13:01:00.000+0100"},
        {"t": 3, "timestamp": 1767268920000000}]"#;
    device.say(data, batch).await;
    device.say(data, batch).await;
    let stored = history(&hub, "logger", "t").await;
    assert_eq!(values(&stored), [1, 2, 3], "each once");
    let times: Vec<_> = stored.iter().map(|reading| reading["timestamp"].as_str().unwrap()).collect();
    assert_eq!(times, ["2026-01-01T12:00:00.000Z", "2026-01-01T12:01:00.000Z", "2026-01-01T12:02:00.000Z"]);

    let body = json!({"sensor_readings": [
        {"sensor_type": "u", "value": 1, "timestamp": "2026-01-01T12:00:00Z"}, {"sensor_type": "u", "value": 2},
    ], "timestamp": 1_767_268_860});
    assert_eq!(hub.post("/api/devices/logger/data", &body).await.status(), 201);
    assert_eq!(hub.post("/api/devices/logger/data", &body).await.status(), 200, "stored before");
    let readings =
        json!({"readings": [{"u": 3, "timestamp": 1_767_268_920}, {"u": 4, "timestamp": 1_767_268_980}]});
    assert_eq!(hub.post("/api/devices/logger/data", &readings).await.status(), 201);
    assert_eq!(values(&history(&hub, "logger", "u").await), [1, 2, 3, 4]);

    // A backlog that was sent before, longer than the twin remembers: the store knows.
    let minute = |n: i64| json!({"v": n, "timestamp": 1_767_268_800 + n * 60});
    let backlog: Value = (0..100).map(minute).collect();
    for expected in [201, 200] {
        assert_eq!(hub.post("/api/devices/logger/data", &backlog).await.status(), expected);
    }
    let longer: Value = (50..150).map(minute).collect();
    assert_eq!(hub.post("/api/devices/logger/data", &longer).await.status(), 201);
    assert_eq!(history(&hub, "logger", "v").await.len(), 150);
}

#[tokio::test]
async fn five_pulses_within_a_millisecond_are_five() {
    let hub = Installation::new().start().await;
    let mut device = MqttDevice::connect(hub.mqtt.unwrap(), "meter").await.unwrap();
    for _ in 0..2 {
        for n in 0..5 {
            let pulse = format!(r#"{{"pulse":1,"timestamp":"2026-01-01T12:00:00.0001{n}0Z"}}"#);
            device.say("iot/devices/meter/data", &pulse).await;
        }
    }
    assert_eq!(history(&hub, "meter", "pulse").await.len(), 5);
}

#[tokio::test]
async fn what_stands_around_the_json_is_passed_over() {
    let hub = Installation::new().start().await;
    let mut device = MqttDevice::connect(hub.mqtt.unwrap(), "c").await.unwrap();
    device.say("iot/devices/c/data", "{\"t\": 1}\0").await;
    device.say("iot/devices/c/state", "\u{feff}{\"power\": \"on\"}\0\0 rest of the buffer").await;
    device.say("iot/devices/c/status", "offline\0").await;
    device.say("iot/devices/c/firmware", "{\"state\": \"updated\", \"version\": \"2\"}\r\n\0").await;
    device.say("dispositivos/estado", "\u{feff}{\"serial_number\": \"S1\", \"estado\": \"activo\"}\0").await;
    let twin = hub.json("/api/devices/c/twin").await;
    assert_eq!((&twin["reported"]["t"], &twin["reported"]["power"]), (&json!(1), &json!("on")));
    assert_eq!(hub.json("/api/devices/c/status").await["status"], "online", "it spoke after its last word");
    assert_eq!(hub.json("/api/devices/S1/twin").await["reported"]["power"], "on");
    let body = hub.request(reqwest::Method::POST, "/api/devices/c/data").body("\u{feff}{\"t\": 2}\n\0");
    assert_eq!(body.send().await.unwrap().status(), 201);
    assert_eq!(rejected(&hub).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_clock_that_is_plainly_wrong_does_not_stop_a_twin() {
    let hub = Installation::new().start().await;
    let mut device = MqttDevice::connect(hub.mqtt.unwrap(), "d").await.unwrap();
    let data = "iot/devices/d/data";
    device.say(data, r#"{"temperature":20}"#).await;
    let first = history(&hub, "d", "temperature").await[0]["timestamp"].clone();
    let now = twinhub_domain::Timestamp::parse(first.as_str().unwrap()).unwrap().millis() / 1_000;
    let time = |seconds: i64| now + seconds;
    device.say(data, &format!(r#"{{"temperature":99,"timestamp":{}}}"#, time(10 * 365 * 86_400))).await;
    let twin = hub.json("/api/devices/d/twin").await;
    assert_eq!(twin["clock"]["state"], "wrong");
    assert_eq!(twin["metadata"]["reported"]["temperature"]["quality"], "uncertain");
    device.say(data, &format!(r#"{{"temperature":21.5,"timestamp":{}}}"#, time(0))).await;
    assert_eq!(hub.json("/api/devices/d/twin").await["reported"]["temperature"], 21.5);
    device.say(data, r#"{"temperature":22.0}"#).await;
    for boot in [r#""1970-01-01T00:00:03Z""#, "7"] {
        device.say(data, &format!(r#"{{"uptime":1,"timestamp":{boot}}}"#)).await;
    }
    let twin = hub.json("/api/devices/d/twin").await;
    assert_eq!((&twin["reported"]["temperature"], &twin["reported"]["uptime"]), (&json!(22.0), &json!(1)));
    let stored = history(&hub, "d", "uptime").await;
    assert_eq!(stored.len(), 2);
    assert_eq!(stored[0]["claimed_at"], "1970-01-01T00:00:03.000Z");
    assert!(stored[0]["timestamp"].as_str().unwrap() > "2020");
    let events = hub.json("/api/events?kind=twin&device=d").await;
    let clocks = events.as_array().unwrap().iter().filter(|event| event["data"]["change"] == "device_clock");
    assert_eq!(clocks.count(), 3, "wrong, right, wrong: {events}");
}

#[tokio::test]
async fn a_time_without_a_zone_needs_one() {
    let hub = Installation::new().start().await;
    let mut device = MqttDevice::connect(hub.mqtt.unwrap(), "plc").await.unwrap();
    device.say("iot/devices/plc/data", r#"{"t": 0}"#).await;
    let bare = json!({"t": 1, "timestamp": "2026-01-01 13:00:00"});
    let refused = hub.post("/api/devices/plc/data", &bare).await;
    assert_eq!(refused.status(), 422);
    let problem: Value = refused.json().await.unwrap();
    assert_eq!((&problem["code"], &problem["field"]), (&json!("bad_timestamp"), &json!("timestamp")));
    device.say("iot/devices/plc/data", &bare.to_string()).await;
    assert!(rejected(&hub).await[0].contains("settings.timezone"));
    let set = hub.request(reqwest::Method::PATCH, "/api/devices/plc");
    let set = set.json(&json!({"settings": {"timezone": "Europe/Madrid"}})).send().await.unwrap();
    assert!(set.status().is_success(), "{}", set.text().await.unwrap());
    device.say("iot/devices/plc/data", &bare.to_string()).await;
    let stored = history(&hub, "plc", "t").await;
    assert_eq!(stored[0]["timestamp"], "2026-01-01T12:00:00.000Z");
}

#[tokio::test]
async fn a_document_that_is_too_large_is_refused_on_every_interface() {
    let hub = Installation::new().start().await;
    let mut device = MqttDevice::connect(hub.mqtt.unwrap(), "w").await.unwrap();
    device.say("iot/devices/w/data", r#"{"t": 0}"#).await;
    let members: Vec<_> = (0..60_000).rev().map(|n| format!(r#""z{n:06}":1"#)).collect();
    let wide = format!("{{{}}}", members.join(","));
    let patch = hub.request(reqwest::Method::PATCH, "/api/devices/w/twin");
    let refused =
        patch.body(format!(r#"{{"desired":{}}}"#, &format!("{{{}}}", members[..1_001].join(",")))).send();
    let refused = refused.await.unwrap();
    assert_eq!(refused.status(), 422);
    let problem: Value = refused.json().await.unwrap();
    assert_eq!((&problem["code"], &problem["field"]), (&json!("document_too_large"), &json!("desired")));
    let data = hub.request(reqwest::Method::POST, "/api/devices/w/data").body(wide.clone());
    assert_eq!(data.send().await.unwrap().status(), 422);
    device.say("iot/devices/w/state", &wide[..]).await;
    assert!(rejected(&hub).await[0].starts_with("`reported`: a document has 1000 members at most"));
    let action = json!({"ids": ["w"], "action": {"tags": {"text": "x".repeat(70_000)}}});
    assert_eq!(hub.post("/api/devices/bulk", &action).await.status(), 422);
}
