//! From a payload's bytes to readings. Two forms are read, the flat and the one with `sensor_readings`:
//!
//! ```json
//! {"temperature": 23.5, "motor": {"rpm": 1450}, "timestamp": "2026-01-01T12:00:00Z", "units": {"temperature": "°C"}}
//! {"sensor_readings": [{"sensor_type": "temperature", "value": 23.5, "unit": "°C", "quality_score": 98}],
//!  "timestamp": 1767268800, "device_status": "ok", "message_id": "7f3a"}
//! ```
//! Nested objects and arrays are flattened with dots; nulls say nothing and are passed over.

use super::clock::Timestamp;
use super::json::{Json, JsonError, Object};
use super::reading::{Reading, Scalar, Telemetry};
use super::twin::inside;

/// More readings than this in one message are refused.
pub const MOST_READINGS: usize = 1_000;
/// A reading's name has at most this many bytes.
pub const LONGEST_NAME: usize = 256;
/// A text value has at most this many bytes.
pub const LONGEST_TEXT: usize = 16_384;

/// A unit has at most this many bytes.
pub const LONGEST_UNIT: usize = 64;

/// Why a payload was not read. `reason` is the stable word that rejections are counted by.
#[derive(Debug, thiserror::Error)]
pub enum PayloadError {
    #[error(transparent)]
    Json(#[from] JsonError),
    #[error("expected an object, found {0}")]
    NotAnObject(&'static str),
    #[error("`{name}`: expected {expected}, found {found}")]
    WrongType { name: String, expected: &'static str, found: &'static str },
    #[error("`{name}`: {detail}")]
    BadValue { name: String, detail: String },
    #[error("`timestamp`: `{0}` is neither RFC 3339 nor epoch seconds or milliseconds")]
    Timestamp(String),
    #[error("there are no readings in it")]
    Empty,
    #[error("more than {MOST_READINGS} readings in one message")]
    TooMany,
}

impl PayloadError {
    /// The stable word for this kind of refusal.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Json(JsonError::Syntax(_)) => "not_json",
            Self::Json(JsonError::TooDeep) => "too_deep",
            Self::Json(JsonError::OutOfRange(_)) => "number_out_of_range",
            Self::NotAnObject(_) | Self::WrongType { .. } => "wrong_type",
            Self::BadValue { .. } => "bad_value",
            Self::Timestamp(_) => "bad_timestamp",
            Self::Empty => "no_readings",
            Self::TooMany => "too_many_readings",
        }
    }
}

/// Reads a payload of readings, in either form.
///
/// # Errors
/// Names what was wrong and where; nothing of a refused payload is used.
pub fn telemetry(bytes: &[u8]) -> Result<Telemetry, PayloadError> {
    telemetry_from(object(bytes)?)
}

/// The same for a document already parsed.
///
/// # Errors
/// As [`telemetry`].
pub fn telemetry_from(mut payload: Object) -> Result<Telemetry, PayloadError> {
    let mut telemetry = Telemetry {
        readings: Vec::new(),
        at: payload.remove("timestamp").map_or(Ok(None), |value| timestamp(&value))?,
        message_id: message_id(payload.remove("message_id"))?,
    };
    payload.remove("device_id"); // the topic or the route has said it
    match payload.remove("sensor_readings") {
        Some(Json::Array(items)) => {
            for (index, item) in items.into_iter().enumerate() {
                telemetry.readings.push(sensor_reading(index, item)?);
            }
            if let Some(Json::String(status)) = payload.remove("device_status") {
                push(&mut telemetry.readings, "device_status", Scalar::Text(status), None)?;
            }
        }
        Some(other) => {
            return Err(PayloadError::WrongType {
                name: "sensor_readings".into(),
                expected: "an array",
                found: other.kind(),
            });
        }
        None => {
            let units = match payload.remove("units") {
                Some(units @ Json::Object(_)) => units,
                Some(other) => {
                    payload.insert("units", other); // a reading that happens to be called so
                    Json::Null
                }
                None => Json::Null,
            };
            flatten("", &Json::Object(payload), &units, &mut telemetry.readings)?;
        }
    }
    match telemetry.readings.len() {
        0 => Err(PayloadError::Empty),
        1..=MOST_READINGS => Ok(telemetry),
        _ => Err(PayloadError::TooMany),
    }
}

/// The numbers, booleans and texts in `object` as readings, nested names joined with dots.
///
/// # Errors
/// There are too many, or one has a name or a text that is too long.
pub fn scalars(object: &Object) -> Result<Vec<Reading>, PayloadError> {
    let mut readings = Vec::new();
    flatten("", &Json::Object(object.clone()), &Json::Null, &mut readings)?;
    Ok(readings)
}

/// Reads a payload that must be a JSON object.
///
/// # Errors
/// Not JSON, or something else than an object.
pub fn object(bytes: &[u8]) -> Result<Object, PayloadError> {
    match Json::parse(bytes)? {
        Json::Object(object) => Ok(object),
        other => Err(PayloadError::NotAnObject(other.kind())),
    }
}

fn sensor_reading(index: usize, item: Json) -> Result<Reading, PayloadError> {
    let at = |field: &str| format!("sensor_readings[{index}].{field}");
    let Json::Object(mut item) = item else {
        return Err(PayloadError::WrongType {
            name: format!("sensor_readings[{index}]"),
            expected: "an object",
            found: item.kind(),
        });
    };
    let name = match item.remove("sensor_type") {
        Some(Json::String(name)) => name,
        other => {
            return Err(PayloadError::WrongType {
                name: at("sensor_type"),
                expected: "a string",
                found: other.map_or("nothing", |value| value.kind()),
            });
        }
    };
    let value = item.remove("value").unwrap_or_default();
    let found = value.kind();
    let value = Scalar::from_json(value).ok_or_else(|| PayloadError::WrongType {
        name: at("value"),
        expected: "a number, a boolean or a string",
        found,
    })?;
    let unit = match item.remove("unit") {
        None | Some(Json::Null) => None,
        Some(Json::String(unit)) => Some(unit),
        Some(other) => {
            return Err(PayloadError::WrongType {
                name: at("unit"),
                expected: "a string",
                found: other.kind(),
            });
        }
    };
    let quality_score = match item.remove("quality_score") {
        None | Some(Json::Null) => None,
        Some(score) => Some(quality_score(&score).ok_or_else(|| PayloadError::BadValue {
            name: at("quality_score"),
            detail: format!("{score} is no number from 0 to 100"),
        })?),
    };
    let mut one = Vec::with_capacity(1);
    push(&mut one, &name, value, unit)?;
    // `push` has put exactly one in.
    let mut reading = one.remove(0);
    reading.quality_score = quality_score;
    Ok(reading)
}

fn quality_score(score: &Json) -> Option<u8> {
    let score = score.as_f64()?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within 0 to 100")]
    (0.0..=100.0).contains(&score).then(|| score.round() as u8)
}

fn flatten(prefix: &str, value: &Json, units: &Json, into: &mut Vec<Reading>) -> Result<(), PayloadError> {
    let join = |key: &str| if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") };
    match value {
        Json::Null => Ok(()),
        Json::Object(entries) => {
            entries.iter().try_for_each(|(key, value)| flatten(&join(key), value, units, into))
        }
        Json::Array(items) => items
            .iter()
            .enumerate()
            .try_for_each(|(index, value)| flatten(&join(&index.to_string()), value, units, into)),
        Json::Number(_) | Json::Bool(_) | Json::String(_) => {
            if into.len() >= MOST_READINGS {
                return Err(PayloadError::TooMany);
            }
            let unit = inside(units, prefix).and_then(Json::as_str).map(Into::into);
            match Scalar::from_json(value.clone()) {
                Some(value) => push(into, prefix, value, unit),
                None => Ok(()),
            }
        }
    }
}

fn push(
    into: &mut Vec<Reading>,
    name: &str,
    value: Scalar,
    unit: Option<Box<str>>,
) -> Result<(), PayloadError> {
    let bad = |detail: String| PayloadError::BadValue { name: shown(name), detail };
    check_name(name).map_err(bad)?;
    if let Scalar::Text(text) = &value
        && text.len() > LONGEST_TEXT
    {
        return Err(bad(format!("a text has {LONGEST_TEXT} bytes at most, this one has {}", text.len())));
    }
    if let Some(unit) = &unit
        && unit.len() > LONGEST_UNIT
    {
        return Err(bad(format!("a unit has {LONGEST_UNIT} bytes at most, this one has {}", unit.len())));
    }
    into.push(Reading { name: name.into(), value, unit, quality_score: None });
    Ok(())
}

/// Can a reading be called so? An error says why not. Control characters would be lines of their own in logs and
/// files, and nobody could type them in a filter.
fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > LONGEST_NAME {
        return Err(format!("a reading's name has 1 to {LONGEST_NAME} bytes, this one has {}", name.len()));
    }
    if name.bytes().any(|byte| byte.is_ascii_control())
        || (!name.is_ascii() && name.chars().any(char::is_control))
    {
        return Err("a reading's name has no control characters".into());
    }
    Ok(())
}

/// The beginning of a name, as a message can show it.
fn shown(name: &str) -> String {
    let mut shown = String::new();
    for character in name.chars().take(64) {
        if character.is_control() { shown.extend(character.escape_default()) } else { shown.push(character) }
    }
    shown
}

fn timestamp(value: &Json) -> Result<Option<Timestamp>, PayloadError> {
    let time = match value {
        Json::Null => return Ok(None),
        Json::String(text) => Timestamp::parse(text),
        Json::Number(number) => Timestamp::from_epoch(number.as_f64()),
        _ => None,
    };
    time.map(Some).ok_or_else(|| PayloadError::Timestamp(value.to_string().chars().take(64).collect()))
}

fn message_id(value: Option<Json>) -> Result<Option<Box<str>>, PayloadError> {
    match value {
        None | Some(Json::Null) => Ok(None),
        Some(Json::String(id)) if id.len() <= LONGEST_NAME => Ok(Some(id)),
        Some(Json::Number(id)) => Ok(Some(id.as_str().into())),
        Some(other) => Err(PayloadError::WrongType {
            name: "message_id".into(),
            expected: "a short string or a number",
            found: other.kind(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(payload: &str, expected: &str) {
        let told = match telemetry(payload.as_bytes()) {
            Ok(t) => t
                .readings
                .iter()
                .map(|r| {
                    let unit = r.unit.as_deref().unwrap_or_default();
                    format!("{}={}{unit}", r.name, r.value)
                })
                .chain(t.at.map(|at| at.to_string()))
                .collect::<Vec<_>>()
                .join(" "),
            Err(error) => format!("{}: {error}", error.reason()),
        };
        assert_eq!(told, expected, "{payload}");
    }

    #[test]
    fn reads_both_forms() {
        check(r#"{"temperature": 23.50, "ok": true, "door": "open"}"#, "door=open ok=true temperature=23.50");
        check(r#"{"a": {"b": {"c": 1}}, "gps": [1.5, 2]}"#, "a.b.c=1 gps.0=1.5 gps.1=2");
        check(r#"{"t": 1, "x": null, "timestamp": 1767268800}"#, "t=1 2026-01-01T12:00:00.000Z");
        check(r#"{"t": 1, "units": {"t": "°C"}, "device_id": "x"}"#, "t=1°C");
        check(
            r#"{"motor": {"rpm": 5, "u": 6}, "units": {"motor": {"rpm": "1/min"}, "motor.u": "V"}}"#,
            "motor.rpm=51/min motor.u=6V",
        );
        check(
            r#"{"sensor_readings": [{"sensor_type": "t", "value": 1, "unit": "°C", "quality_score": 98}],
                "timestamp": "2026-01-01T12:00:00Z", "device_status": "ok"}"#,
            "t=1°C device_status=ok 2026-01-01T12:00:00.000Z",
        );
    }

    #[test]
    fn says_what_is_wrong_and_where() {
        check("[1]", "wrong_type: expected an object, found an array");
        check("{}", "no_readings: there are no readings in it");
        check(r#"{"t": 1e999}"#, "number_out_of_range: the number 1e999 is out of range");
        check(
            r#"{"t": 1, "timestamp": "soon"}"#,
            "bad_timestamp: `timestamp`: `\"soon\"` is neither RFC 3339 nor epoch seconds or milliseconds",
        );
        check(
            r#"{"sensor_readings": [{"sensor_type": "t", "value": []}]}"#,
            "wrong_type: `sensor_readings[0].value`: expected a number, a boolean or a string, found an array",
        );
        check(
            r#"{"sensor_readings": [{"value": 1}]}"#,
            "wrong_type: `sensor_readings[0].sensor_type`: expected a string, found nothing",
        );
        check(
            r#"{"sensor_readings": [{"sensor_type": "t", "value": 1, "quality_score": 101}]}"#,
            "bad_value: `sensor_readings[0].quality_score`: 101 is no number from 0 to 100",
        );
        for name in [r"a\u0000b", r"a\nb", r"\u007f", r"\u0085"] {
            for payload in [
                format!("{{\"{name}\": 1}}"),
                format!("{{\"motor\": {{\"{name}\": 1}}}}"),
                format!("{{\"sensor_readings\": [{{\"sensor_type\": \"{name}\", \"value\": 1}}]}}"),
            ] {
                let error = telemetry(payload.as_bytes()).expect_err(&payload);
                let told = error.to_string();
                assert!(told.ends_with("a reading's name has no control characters"), "{payload}: {told}");
                assert!(!told.contains(char::is_control), "{payload}: {told:?}");
            }
        }
        check("{\"t\": NaN}", "not_json: not JSON: expected value at line 1 column 7");
    }

    #[test]
    fn identity_is_of_the_message_not_of_the_moment() {
        let of = |payload: &str| telemetry(payload.as_bytes()).unwrap().identity();
        assert_eq!(of(r#"{"t": 1}"#), None);
        assert_eq!(of(r#"{"t": 1, "timestamp": 5}"#), of(r#"{"timestamp": 5, "t": 1}"#));
        assert_ne!(of(r#"{"t": 1, "timestamp": 5}"#), of(r#"{"t": 2, "timestamp": 5}"#));
        assert_ne!(of(r#"{"t": 1, "timestamp": 5}"#), of(r#"{"t": 1, "timestamp": 6}"#));
        assert_eq!(of(r#"{"t": 1, "message_id": "a"}"#), of(r#"{"t": 2, "message_id": "a"}"#));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = telemetry(&bytes);
        }
    }
}
