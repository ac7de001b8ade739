//! From a payload's bytes to readings. Three forms are read, the flat, the one with `sensor_readings`, and batches:
//!
//! ```json
//! {"temperature": 23.5, "motor": {"rpm": 1450}, "timestamp": "2026-01-01T12:00:00Z", "units": {"temperature": "°C"}}
//! {"sensor_readings": [{"sensor_type": "temperature", "value": 23.5, "unit": "°C", "quality_score": 98,
//!                       "timestamp": 1767268799}],
//!  "timestamp": 1767268800, "device_status": "ok", "message_id": "7f3a"}
//! {"sensor_readings": {"temperature": 23.5, "humidity": {"value": 40, "unit": "%"}}, "device_status": "ok"}
//! [{"temperature": 23.5, "timestamp": 1767268800}, {"temperature": 23.6, "timestamp": 1767268860}]
//! {"readings": [{"temperature": 23.5, "timestamp": 1767268800}]}
//! ```
//! The members beside `readings` in the last form are a sample like them, and its `units` are those of readings that
//! name none. Nested objects and arrays are flattened with dots; nulls are ignored. A reading that makes no sense is
//! named and left out, and takes none of the others with it.

mod batch;
mod flat;
mod list;

use std::collections::{HashMap, HashSet};

use super::clock::WrittenTime;
use super::json::{Json, JsonError, Object, Replacement, bare};
use super::reading::{ClaimedTime, Reading, Scalar, Telemetry};

pub use flat::scalars;

/// More readings than this in one message are refused.
pub const MOST_READINGS: usize = 1_000;
/// A reading's name has at most this many bytes.
pub const LONGEST_NAME: usize = 256;
/// A text value has at most this many bytes.
pub const LONGEST_TEXT: usize = 16_384;
/// A unit has at most this many bytes.
pub const LONGEST_UNIT: usize = 64;
/// A payload of at most this many bytes is kept with its readings as it came: they wait in memory for slow subscribers.
const LONGEST_KEPT: usize = 16_384;
/// The number of characters of a value that an error quotes.
const SHOWN: usize = 64;

/// The reason why a payload, or a reading in it, was not read. `reason` is the stable word that rejections are counted by.
#[derive(Debug, thiserror::Error)]
pub enum PayloadError {
    #[error(transparent)]
    Json(#[from] JsonError),
    /// One value of a document that was read otherwise.
    #[error("`{name}`: {error}")]
    Value { name: String, error: JsonError },
    #[error("expected an object, found {0}")]
    NotAnObject(&'static str),
    #[error("`{name}`: expected {expected}, found {found}")]
    WrongType { name: String, expected: &'static str, found: &'static str },
    #[error("`{name}`: {detail}")]
    BadValue { name: String, detail: String },
    #[error("`{name}`: `{text}` is no time: RFC 3339, or epoch seconds, ms, µs or ns")]
    Timestamp { name: String, text: String },
    #[error("there are no readings in it")]
    Empty,
    #[error("more than {MOST_READINGS} readings in one message")]
    TooMany,
}

/// A parsed payload of readings.
#[derive(Debug, Default)]
pub struct ParsedPayload {
    /// The readings by the moment that they are of, in the order of the message: nearly always one.
    pub samples: Vec<Telemetry>,
    /// The readings, or parts of a batch, that make no sense.
    pub bad: Vec<PayloadError>,
}

impl PayloadError {
    /// The stable word for this kind of refusal.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Json(error) | Self::Value { error, .. } => match error {
                JsonError::Syntax(_) => "not_json",
                JsonError::TooDeep => "too_deep",
                JsonError::OutOfRange(_) => "number_out_of_range",
            },
            Self::NotAnObject(_) | Self::WrongType { .. } => "wrong_type",
            Self::BadValue { .. } => "bad_value",
            Self::Timestamp { .. } => "bad_timestamp",
            Self::Empty => "no_readings",
            Self::TooMany => "too_many_readings",
        }
    }

    fn of_left_out((name, error): (String, JsonError)) -> Self {
        Self::Value { name: shown(&name), error }
    }

    /// The field that is wrong, where it is one.
    #[must_use]
    pub fn field(&self) -> Option<&str> {
        match self {
            Self::Value { name, .. }
            | Self::WrongType { name, .. }
            | Self::BadValue { name, .. }
            | Self::Timestamp { name, .. } => Some(name),
            Self::Json(_) | Self::NotAnObject(_) | Self::Empty | Self::TooMany => None,
        }
    }
}

impl ParsedPayload {
    fn count(&self) -> usize {
        self.samples.iter().map(|sample| sample.readings.len()).sum::<usize>() + self.bad.len()
    }

    /// Puts the values that were left out of the document in front of the other errors, each place named once.
    fn name_left_out(&mut self, left_out: Vec<(String, JsonError)>) {
        // `[3].sensor_readings[0].value` is `3.sensor_readings.0.value`.
        let path = |name: &str| name.replace('[', ".").replace(']', "").trim_start_matches('.').to_owned();
        let mut named: HashMap<String, bool> = HashMap::new();
        for error in &self.bad {
            let is_time = matches!(error, PayloadError::Timestamp { .. });
            named.insert(error.field().map(path).unwrap_or_default(), is_time);
        }
        let left_out: Vec<_> =
            left_out.into_iter().filter(|(name, _)| named.get(name) != Some(&true)).collect();
        let known: HashSet<&str> = left_out.iter().map(|(name, _)| &**name).collect();
        self.bad.retain(|error| !error.field().is_some_and(|name| known.contains(&*path(name))));
        self.bad.splice(0..0, left_out.into_iter().map(PayloadError::of_left_out));
    }

    /// The same with the text that it was read from, where that is one short object of one moment.
    fn of(mut self, bytes: &[u8]) -> Self {
        let text = bare(bytes);
        if let [sample] = &mut self.samples[..]
            && text.len() <= LONGEST_KEPT
            && text.starts_with(b"{")
        {
            sample.payload = str::from_utf8(text).ok().map(Into::into);
        }
        self
    }

    /// As it is given away: not more than may be, and not nothing.
    fn finish(mut self) -> Result<Self, PayloadError> {
        self.samples.retain(|sample| !sample.readings.is_empty());
        match self.count() {
            0 => Err(PayloadError::Empty),
            1..=MOST_READINGS => Ok(self),
            _ => Err(PayloadError::TooMany),
        }
    }
}

/// Reads a payload of readings, in any form.
///
/// # Errors
/// No part of the payload can be used. Errors of single readings are in [`ParsedPayload::bad`].
pub fn readings(bytes: &[u8]) -> Result<ParsedPayload, PayloadError> {
    let mut left_out = Vec::new();
    let payload = parse(bytes, in_readings, &mut left_out)?;
    let is_batch = batch::is_one(&payload);
    let heard = read(payload);
    if left_out.is_empty() {
        // The text of a batch is not that of its readings, and other programs stumble over values that are left out.
        return if is_batch { heard } else { heard.map(|heard| heard.of(bytes)) };
    }
    let mut heard = match heard {
        Err(PayloadError::Empty) => ParsedPayload::default(), // what was in it is named
        heard => heard?,
    };
    heard.name_left_out(left_out);
    Ok(heard)
}

/// The replacement for a value that was left out of readings: null, so that the reading it belongs to is none; for a
/// time its text, which is no time.
fn in_readings(path: &str, text: &str) -> Option<Json> {
    let names: Vec<&str> = path.split('.').filter(|part| part.parse::<usize>().is_err()).collect();
    Some(match names[..] {
        ["timestamp"]
        | ["readings" | "sensor_readings", "timestamp"]
        | ["readings", "sensor_readings", "timestamp"] => Json::String(shown(text).into()),
        _ => Json::Null,
    })
}

/// The same for a document already parsed.
///
/// # Errors
/// As [`readings`].
pub fn readings_from(payload: Json) -> Result<ParsedPayload, PayloadError> {
    if batch::is_one(&payload) {
        return read(payload);
    }
    let text = if let Json::Object(_) = payload { payload.to_string() } else { String::new() };
    Ok(read(payload)?.of(text.as_bytes()))
}

fn read(payload: Json) -> Result<ParsedPayload, PayloadError> {
    match payload {
        Json::Object(payload) => match batch::of(payload) {
            Ok(heard) => heard?.finish(),
            Err(payload) => one(payload, "")?.finish(),
        },
        Json::Array(items) => batch::read(items, "", batch::BatchEnvelope::default())?.finish(),
        other => Err(PayloadError::NotAnObject(other.kind())),
    }
}

/// Reads a payload of which all readings must be good, and of one moment.
///
/// # Errors
/// Names the first that is not.
pub fn telemetry(bytes: &[u8]) -> Result<Telemetry, PayloadError> {
    let ParsedPayload { mut samples, bad } = readings(bytes)?;
    match (samples.pop().filter(|_| samples.is_empty()), bad.into_iter().next()) {
        (_, Some(error)) => Err(error),
        (Some(telemetry), None) => Ok(telemetry),
        (None, None) => Err(PayloadError::TooMany),
    }
}

/// Reads one reading, and its own time: `{"sensor_type": "temperature", "value": 23.5, "unit": "°C", "timestamp": …}`.
///
/// # Errors
/// Names the member that makes no sense.
pub fn reading(item: Object) -> Result<(Reading, Option<ClaimedTime>), PayloadError> {
    list::reading(item.into(), String::new)
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

/// The same, but values that no twin can hold are left out and named.
///
/// # Errors
/// As [`object`].
pub fn object_leaving_out(bytes: &[u8], bad: &mut Vec<PayloadError>) -> Result<Object, PayloadError> {
    let mut left_out = Vec::new();
    let parsed = parse(bytes, |_, _| None, &mut left_out)?;
    bad.extend(left_out.into_iter().map(PayloadError::of_left_out));
    match parsed {
        Json::Object(object) => Ok(object),
        other => Err(PayloadError::NotAnObject(other.kind())),
    }
}

/// Reads a payload that is a single word, quoted or not, without the bytes that microcontrollers send around it.
#[must_use]
pub fn word(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bare(bytes)).trim_matches('"').to_owned()
}

fn parse(
    bytes: &[u8],
    stand_in: Replacement,
    left_out: &mut Vec<(String, JsonError)>,
) -> Result<Json, PayloadError> {
    let error = match Json::parse(bytes) {
        Ok(json) => return Ok(json),
        Err(error @ JsonError::Syntax(_)) => return Err(error.into()),
        Err(error) => error,
    };
    let json = Json::parse_leaving_out(bytes, stand_in, MOST_READINGS, left_out)?;
    if left_out.is_empty() {
        return Err(error.into());
    }
    json.ok_or(PayloadError::TooMany)
}

/// The readings of an object that is no batch. `place` is its place in a batch: `[3].`.
fn one(mut payload: Object, place: &str) -> Result<ParsedPayload, PayloadError> {
    let mut heard = ParsedPayload::default();
    let PayloadMembers { timestamp, message_id: id, sensor_readings, units } =
        PayloadMembers::take_from(&mut payload);
    let at = timestamp.map_or(Ok(None), |value| claim(value, || format!("{place}timestamp")))?;
    let message_id = message_id(id, place)?;
    let whole = Telemetry { at, message_id, ..Telemetry::default() };
    match sensor_readings {
        Some(Json::Array(items)) => {
            let name = |index: usize| format!("{place}sensor_readings[{index}]");
            list::read(items, name, payload, whole, place, &mut heard)?;
        }
        Some(Json::Object(named)) => {
            let (names, items) = list::named(named, &units);
            let name = |index: usize| format!("{place}sensor_readings.{}", shown(&names[index]));
            list::read(items, name, payload, whole, place, &mut heard)?;
        }
        Some(other) => {
            return Err(PayloadError::WrongType {
                name: format!("{place}sensor_readings"),
                expected: "an array or an object",
                found: other.kind(),
            });
        }
        None => {
            let mut sample = whole;
            flat::read(payload, &units, place, &mut sample.readings, &mut heard.bad)?;
            heard.samples.reserve_exact(1); // nearly always the only one
            heard.samples.push(sample);
        }
    }
    Ok(heard)
}

/// The members of a payload beside its readings.
#[derive(Default)]
struct PayloadMembers {
    timestamp: Option<Json>,
    message_id: Option<Json>,
    sensor_readings: Option<Json>,
    /// An object, or null.
    units: Json,
}

impl PayloadMembers {
    fn take_from(payload: &mut Object) -> Self {
        let mut beside = Self::default();
        payload.retain(|key, value| {
            let place = match key {
                "timestamp" => &mut beside.timestamp,
                "message_id" => &mut beside.message_id,
                "sensor_readings" => &mut beside.sensor_readings,
                "device_id" => return false, // the topic or the route has said it
                "units" if matches!(value, Json::Object(_)) => {
                    beside.units = std::mem::take(value);
                    return false;
                }
                _ => return true, // `units` of another kind, too: a reading that happens to be called so
            };
            *place = Some(std::mem::take(value));
            false
        });
        beside
    }
}

/// The time in a value; none where it is null. `name` is called only where it is no time.
fn claim(value: Json, name: impl Fn() -> String) -> Result<Option<ClaimedTime>, PayloadError> {
    let written = match &value {
        Json::Null => return Ok(None),
        Json::String(text) => WrittenTime::parse(text),
        Json::Number(number) => WrittenTime::epoch(number.as_str()),
        _ => None,
    };
    let Some(written) = written else {
        return Err(PayloadError::Timestamp { name: name(), text: shown(&value.to_string()) });
    };
    let as_sent = match value {
        _ if !written.is_finer => None,
        Json::String(text) => Some(text),
        other => Some(other.to_string().into()),
    };
    Ok(Some(ClaimedTime { written, as_sent }))
}

fn message_id(value: Option<Json>, place: &str) -> Result<Option<Box<str>>, PayloadError> {
    match value {
        None | Some(Json::Null) => Ok(None),
        Some(Json::String(id)) if id.len() <= LONGEST_NAME => Ok(Some(id)),
        Some(Json::Number(id)) => Ok(Some(id.as_str().into())),
        Some(other) => Err(PayloadError::WrongType {
            name: format!("{place}message_id"),
            expected: "a short string or a number",
            found: other.kind(),
        }),
    }
}

/// Checks a reading's name, value and unit.
fn check(reading: &Reading) -> Result<(), String> {
    check_name(&reading.name)?;
    check_value(reading)
}

/// Checks a reading's value and unit.
fn check_value(reading: &Reading) -> Result<(), String> {
    match &reading.value {
        Scalar::Text(text) if text.len() > LONGEST_TEXT => {
            return Err(format!("a text has {LONGEST_TEXT} bytes at most, this one has {}", text.len()));
        }
        _ => {}
    }
    match &reading.unit {
        Some(unit) if unit.len() > LONGEST_UNIT => {
            Err(format!("a unit has {LONGEST_UNIT} bytes at most, this one has {}", unit.len()))
        }
        _ => Ok(()),
    }
}

/// Checks the name of a reading. An error gives the reason.
fn check_name(name: &str) -> Result<(), String> {
    check_name_of("a reading", name)
}

/// Can a property be called so? As a reading.
///
/// # Errors
/// The reason against it.
pub fn check_property(name: &str) -> Result<(), String> {
    check_name_of("a property", name)
}

/// Control characters would be lines of their own in logs and files, and cannot be typed in a filter.
fn check_name_of(what: &str, name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > LONGEST_NAME {
        return Err(format!("{what}'s name has 1 to {LONGEST_NAME} bytes, this one has {}", name.len()));
    }
    if name.bytes().any(|byte| byte.is_ascii_control())
        || (!name.is_ascii() && name.chars().any(char::is_control))
    {
        return Err(format!("{what}'s name has no control characters"));
    }
    Ok(())
}

/// The beginning of a text, as a message can show it.
#[must_use]
pub fn shown(text: &str) -> String {
    let mut shown = String::new();
    for character in text.chars().take(SHOWN) {
        if character.is_control() { shown.extend(character.escape_default()) } else { shown.push(character) }
    }
    shown
}

#[cfg(test)]
mod tests;
