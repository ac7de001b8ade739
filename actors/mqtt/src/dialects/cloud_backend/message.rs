//! From a message on a sensor's topic to the inputs of its twin.

use super::id_of_sensor;
use super::reading::{CloudReading, topic_key};
use crate::dialects::{DecodeError, Decoded};
use twinhub_domain::clock::WrittenTime;
use twinhub_domain::json::Number;
use twinhub_domain::payload::{self, LONGEST_TEXT, LONGEST_UNIT, PayloadError};
use twinhub_domain::reading::{ClaimedTime, DeviceType, Telemetry};
use twinhub_domain::{Input, Json, Object};

/// Bytes of a sensor's id, an origin or a protocol at most. The original's columns have 100 and 20 characters.
const LONGEST_WORD: usize = 256;
/// Bytes of a topic's name that is kept.
const LONGEST_KEY: usize = 512;

/// Reads the payload, whose own words win over those of the topic.
pub(super) fn decode(topic_type: &str, topic_id: &str, payload: &[u8]) -> Result<Decoded, DecodeError> {
    let mut bad = Vec::new();
    let sent = payload::object_leaving_out(payload, &mut bad)?;
    let sensor_type = text(&sent, "type", topic_type)?;
    payload::check_property(&sensor_type)
        .map_err(|detail| PayloadError::BadValue { name: "type".into(), detail })?;
    let sensor_id = bounded(text(&sent, "sensor_id", topic_id)?, "sensor_id", LONGEST_WORD)?;
    let device = id_of_sensor(&sensor_id)?;
    let key = topic_key(topic_type, topic_id);
    let has_own_key = key.len() <= LONGEST_KEY && key != topic_key(&sensor_type, &sensor_id);
    let at = time(&sent);
    let reading = CloudReading {
        value: value(&sent)?,
        unit: bounded(text(&sent, "unit", "")?, "unit", LONGEST_UNIT)?,
        origin: bounded(text(&sent, "origin", "unknown")?, "origin", LONGEST_WORD)?,
        source_protocol: bounded(text(&sent, "source_protocol", "mqtt")?, "source_protocol", LONGEST_WORD)?,
        anomaly: sent.get("anomaly").is_some_and(is_true),
        raw: raw(payload, &mut bad),
        topic: has_own_key.then(|| key.into()),
        sensor_type: sensor_type.clone(),
        sensor_id,
    };
    let readings = reading.into_readings(&device);
    let telemetry = Telemetry {
        readings,
        at,
        device_type: Some(Box::new(DeviceType(sensor_type))),
        ..Telemetry::default()
    };
    Ok(Decoded::one(device, Input::Telemetry(telemetry), bad))
}

/// A float there: a number in a text counts, too, and a boolean is one or nothing.
fn value(sent: &Object) -> Result<Number, PayloadError> {
    let value = sent.get("value").unwrap_or(&Json::Null);
    let bad = |detail: &str| PayloadError::BadValue { name: "value".into(), detail: detail.into() };
    match value {
        Json::Number(number) => Ok(number.clone()),
        Json::Bool(value) => Ok(Number::whole(i128::from(*value))),
        Json::String(text) => {
            let text = text.trim();
            let parsed = || Number::from_f64(text.parse().ok()?);
            Number::parse(text)
                .or_else(parsed)
                .ok_or_else(|| bad(&format!("expected a number, found the text `{}`", payload::shown(text))))
        }
        Json::Null => Err(PayloadError::WrongType {
            name: "value".into(),
            expected: "a number",
            found: if sent.get("value").is_some() { "null" } else { "nothing" },
        }),
        other => {
            Err(PayloadError::WrongType { name: "value".into(), expected: "a number", found: other.kind() })
        }
    }
}

/// A text, for which a number or a boolean counts as well; `otherwise` where there is none.
fn text(sent: &Object, name: &'static str, otherwise: &str) -> Result<Box<str>, PayloadError> {
    match sent.get(name) {
        None | Some(Json::Null) => Ok(otherwise.into()),
        Some(Json::String(text)) => Ok(text.clone()),
        Some(Json::Number(number)) => Ok(number.as_str().into()),
        Some(Json::Bool(value)) => Ok(value.to_string().into()),
        Some(other) => {
            Err(PayloadError::WrongType { name: name.into(), expected: "a text", found: other.kind() })
        }
    }
}

fn bounded(text: Box<str>, name: &'static str, most: usize) -> Result<Box<str>, PayloadError> {
    if text.len() <= most {
        return Ok(text);
    }
    let detail = format!("has {most} bytes at most, this one has {}", text.len());
    Err(PayloadError::BadValue { name: name.into(), detail })
}

/// The reading's own time, in UTC where it names no zone. One that cannot be read is none, as there.
fn time(sent: &Object) -> Option<ClaimedTime> {
    let said = ["ts", "timestamp"].into_iter().find_map(|name| match sent.get(name) {
        Some(Json::String(text)) => Some(&**text),
        Some(Json::Number(number)) => Some(number.as_str()),
        _ => None,
    })?;
    let written = WrittenTime::parse(said)?;
    let as_sent = written.is_finer.then(|| said.into());
    Some(ClaimedTime { written: WrittenTime { has_zone: true, ..written }, as_sent })
}

fn is_true(value: &Json) -> bool {
    match value {
        Json::Bool(value) => *value,
        Json::Number(number) => *number != Number::from(0),
        Json::String(text) => !matches!(text.trim().to_lowercase().as_str(), "" | "false" | "0" | "no"),
        Json::Null | Json::Array(_) | Json::Object(_) => false,
    }
}

/// The payload as it came. One that no reading can hold is left out and named; the value counts all the same.
fn raw(payload: &[u8], bad: &mut Vec<PayloadError>) -> Option<Box<str>> {
    let text = String::from_utf8_lossy(payload);
    if text.len() <= LONGEST_TEXT {
        return Some(text.into());
    }
    let detail =
        format!("a payload that is kept has {LONGEST_TEXT} bytes at most, this one has {}", text.len());
    bad.push(PayloadError::BadValue { name: "raw_data".into(), detail });
    None
}
