//! The form with `sensor_readings`: each names its quantity, and perhaps its time.

use super::{MOST_READINGS, ParsedPayload, PayloadError, check, claim};
use crate::json::{Json, Object};
use crate::reading::{ClaimedTime, Reading, Scalar, Telemetry};
use crate::twin::inside;

/// The readings of an object by their names, as items that name them: each is its value, or an object of it and what
/// else is known of it. Its unit may stand in `units`. Nulls are no readings.
pub(super) fn named(readings: Object, units: &Json) -> (Vec<Box<str>>, Box<[Json]>) {
    let mut names = Vec::with_capacity(readings.len());
    let mut items = Vec::with_capacity(readings.len());
    for (name, value) in readings.into_iter().filter(|(_, value)| *value != Json::Null) {
        let mut item = match value {
            Json::Object(item) => item,
            value => [("value", value)].into_iter().collect(),
        };
        item.insert("sensor_type", Json::String(name.clone()));
        if let (None, Some(unit)) = (item.get("unit"), inside(units, &name)) {
            item.insert("unit", unit.clone());
        }
        names.push(name);
        items.push(item.into());
    }
    (names, items.into())
}

/// Reads `items`, each called by its place as `name` has it, and `device_status` of the members beside them. A reading
/// without a time has `whole`'s.
pub(super) fn read(
    items: Box<[Json]>,
    name: impl Fn(usize) -> String,
    mut beside: Object,
    whole: Telemetry,
    place: &str,
    heard: &mut ParsedPayload,
) -> Result<(), PayloadError> {
    if items.len() > MOST_READINGS {
        return Err(PayloadError::TooMany);
    }
    let mut groups = Samples { whole, samples: Vec::new() };
    for (index, item) in items.into_iter().enumerate() {
        match reading(item, || name(index)) {
            Ok((reading, at)) => groups.add(reading, at),
            Err(error) => heard.bad.push(error),
        }
    }
    if let Some(Json::String(status)) = beside.remove("device_status") {
        let status = Scalar::Text(status);
        let reading =
            Reading { name: "device_status".into(), value: status, unit: None, quality_score: None };
        match check(&reading) {
            Ok(()) => groups.add(reading, None),
            Err(detail) => {
                heard.bad.push(PayloadError::BadValue { name: format!("{place}device_status"), detail });
            }
        }
    }
    heard.samples.append(&mut groups.samples);
    Ok(())
}

/// Is it one reading that names its quantity?
pub(super) fn is_reading(item: &Object) -> bool {
    item.get("sensor_type").is_some() && item.get("value").is_some()
}

/// Readings by the moment that they are of.
pub(super) struct Samples {
    pub whole: Telemetry,
    pub samples: Vec<Telemetry>,
}

impl Samples {
    /// Samples of one moment that do not follow each other stay apart: it is seldom, and their order is kept.
    pub fn add(&mut self, reading: Reading, at: Option<ClaimedTime>) {
        let at = at.or_else(|| self.whole.at.clone());
        if let Some(last) = self.samples.last_mut()
            && last.at == at
        {
            last.readings.push(reading);
            return;
        }
        let part = u32::try_from(self.samples.len()).unwrap_or(u32::MAX);
        let message_id = self.whole.message_id.clone();
        self.samples.push(Telemetry {
            readings: vec![reading],
            at,
            message_id,
            part,
            ..Telemetry::default()
        });
    }
}

/// One reading, and its own time.
pub(super) fn reading(
    item: Json,
    place: impl Fn() -> String,
) -> Result<(Reading, Option<ClaimedTime>), PayloadError> {
    let at = |field: &str| match place() {
        place if place.is_empty() => field.to_owned(),
        place => format!("{place}.{field}"),
    };
    let Json::Object(mut item) = item else {
        return Err(PayloadError::WrongType { name: place(), expected: "an object", found: item.kind() });
    };
    let wrong = |field: &str, expected, found| PayloadError::WrongType { name: at(field), expected, found };
    let name = match item.remove("sensor_type") {
        Some(Json::String(name)) => name,
        other => {
            let found = other.map_or("nothing", |value| value.kind());
            return Err(wrong("sensor_type", "a string", found));
        }
    };
    let value = item.remove("value").unwrap_or_default();
    let found = value.kind();
    let value =
        Scalar::from_json(value).ok_or_else(|| wrong("value", "a number, a boolean or a string", found))?;
    let unit = match item.remove("unit") {
        None | Some(Json::Null) => None,
        Some(Json::String(unit)) => Some(unit),
        Some(other) => return Err(wrong("unit", "a string", other.kind())),
    };
    let quality_score = match item.remove("quality_score") {
        None | Some(Json::Null) => None,
        Some(score) => Some(quality_score(&score).ok_or_else(|| PayloadError::BadValue {
            name: at("quality_score"),
            detail: format!("{score} is no number from 0 to 100"),
        })?),
    };
    let time = item.remove("timestamp").map_or(Ok(None), |value| claim(value, || at("timestamp")))?;
    let reading = Reading { name, value, unit, quality_score };
    match check(&reading) {
        Ok(()) => Ok((reading, time)),
        Err(detail) => Err(PayloadError::BadValue { name: at("sensor_type"), detail }),
    }
}

fn quality_score(score: &Json) -> Option<u8> {
    let score = score.as_f64()?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within 0 to 100")]
    (0.0..=100.0).contains(&score).then(|| score.round() as u8)
}
