//! Frames of the socket: `{"type", "data", "timestamp"}` as JSON text.

use actix_http::ws::Message;
use serde::Serialize;
use twinhub_domain::alarm::{AlarmChange, AlarmStep};
use twinhub_domain::{Json, Object, Recorded, Timestamp};
use twinhub_mqtt::dialects::cloud_backend::{CloudReading, NODE_RED_STATUS, node_red_status};

use crate::dialects::cloud_backend::view::LiveReading;

/// A frame of the hub.
#[derive(Serialize)]
struct CloudFrame<'a, T: Serialize> {
    r#type: &'a str,
    data: T,
    timestamp: Timestamp,
}

/// The data of an `alert`.
#[derive(Serialize)]
struct AlertData<'a> {
    sensor_id: &'a str,
    /// Null where it is of no reading.
    sensor_type: Option<&'a str>,
    value: Option<f64>,
    message: &'a str,
    severity: &'a str,
}

/// The data of a `system_status`.
#[derive(Serialize)]
struct SystemData<'a> {
    service: &'a str,
    status: &'a str,
    topic: &'a str,
}

/// The first frame.
pub(super) fn connection(now: Timestamp) -> Message {
    frame("connection", object([("status", "connected".into())]), now)
}

/// The answer to a text of the client; none where it needs none.
pub(super) fn answer(text: &[u8], now: Timestamp) -> Option<String> {
    let Ok(Json::Object(said)) = Json::parse(text) else {
        return Some(written("error", object([("message", "Invalid JSON format".into())]), now));
    };
    match said.get("type").and_then(Json::as_str) {
        Some("ping") => Some(written("pong", Object::default(), now)),
        Some("subscribe") => {
            let topics = said.get("topics").cloned().unwrap_or_else(|| Json::Array([].into()));
            Some(written("subscribed", object([("topics", topics)]), now))
        }
        _ => None,
    }
}

/// Writes the frames of an event; there may be none.
pub(super) fn write_event(recorded: &Recorded, out: &mut Vec<Message>) {
    use twinhub_domain::EventBody::{Alarm, Telemetry};
    let (event, came) = (&recorded.event, recorded.event.received_at);
    if event.cause.is_of_the_past() {
        return; // its clients show what is heard now
    }
    match &event.body {
        Telemetry { .. } => {
            if let Some(reading) = CloudReading::of_event(&event.device, &event.body) {
                out.push(frame("sensor_data", LiveReading::of(event.at.floor(), &reading), came));
                out.extend(anomaly(&reading, came));
            } else if let Some(status) = node_red_status(&event.device, &event.body) {
                let data = SystemData { service: "node-red", status, topic: NODE_RED_STATUS };
                out.push(frame("system_status", data, came));
            }
        }
        Alarm(change) => out.extend(alarm(change, came)),
        _ => {}
    }
}

/// An alert of a reading that its device calls an anomaly.
fn anomaly(reading: &CloudReading, came: Timestamp) -> Option<Message> {
    if !reading.anomaly {
        return None;
    }
    let message = format!("{} reading exceeds normal range", capitalised(&reading.sensor_type));
    let data = AlertData {
        sensor_id: &reading.sensor_id,
        sensor_type: Some(&reading.sensor_type),
        value: Some(reading.value.as_f64()),
        message: &message,
        severity: "warning",
    };
    Some(frame("alert", data, came))
}

/// An alert of an alarm of the hub that was raised on a device.
fn alarm(AlarmChange { step, alarm }: &AlarmChange, came: Timestamp) -> Option<Message> {
    let device = alarm.originator.device().filter(|_| *step == AlarmStep::Raised)?;
    let data = AlertData {
        sensor_id: device.as_str(),
        sensor_type: None,
        value: None,
        message: &alarm.message,
        severity: alarm.severity.as_str(),
    };
    Some(frame("alert", data, came))
}

fn frame(kind: &str, data: impl Serialize, timestamp: Timestamp) -> Message {
    Message::Text(written(kind, data, timestamp).into())
}

fn written(kind: &str, data: impl Serialize, timestamp: Timestamp) -> String {
    // Texts, numbers and JSON itself: nothing that JSON cannot write.
    serde_json::to_string(&CloudFrame { r#type: kind, data, timestamp }).unwrap_or_default()
}

fn object<const N: usize>(members: [(&str, Json); N]) -> Object {
    members.into_iter().collect()
}

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_the_client_are_answered() {
        let now = Timestamp::parse("2026-01-01T12:00:00Z").unwrap();
        let check = |text: &str, expected: &str| {
            let answer = answer(text.as_bytes(), now).unwrap_or_default();
            assert_eq!(answer.replace(r#","timestamp":"2026-01-01T12:00:00.000Z""#, ""), expected, "{text}");
        };
        check(r#"{"type": "ping"}"#, r#"{"type":"pong","data":{}}"#);
        let subscribed = r#"{"type":"subscribed","data":{"topics":["a",2]}}"#;
        check(r#"{"type": "subscribe", "topics": ["a", 2]}"#, subscribed);
        check(r#"{"type": "subscribe"}"#, r#"{"type":"subscribed","data":{"topics":[]}}"#);
        let broken = r#"{"type":"error","data":{"message":"Invalid JSON format"}}"#;
        for text in ["{", "", "[]", "5"] {
            check(text, broken);
        }
        for unknown in [r#"{"type": "hello"}"#, "{}", r#"{"type": 5}"#] {
            check(unknown, "");
        }
    }

    #[test]
    fn words_begin_with_a_capital() {
        assert_eq!(
            [capitalised("temperature"), capitalised("öl"), capitalised("")],
            ["Temperature", "Öl", ""]
        );
    }
}
