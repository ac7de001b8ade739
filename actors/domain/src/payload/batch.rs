//! Batches: several payloads in one message, `[…]` or `{"readings": […]}`.

use super::{
    MOST_READINGS, ParsedPayload, PayloadError, PayloadMembers, check_value, claim, flat, list, message_id,
    one, shown,
};
use crate::json::{Json, Object};
use crate::reading::{ClaimedTime, Telemetry};
use crate::twin::inside;

/// The members that all payloads of a batch share.
#[derive(Default)]
pub(super) struct BatchEnvelope {
    /// The time of payloads without one of their own.
    at: Option<ClaimedTime>,
    id: Option<Box<str>>,
    /// The units of readings that name none: an object, or null.
    units: Json,
    /// The members beside the payloads.
    beside: Object,
}

/// Reads `{"readings": […], "timestamp"?, "message_id"?, "units"?}`; gives the object back where it is no batch. A
/// device may have a reading of that name: a batch is an array with an object in it.
pub(super) fn of(mut payload: Object) -> Result<Result<ParsedPayload, PayloadError>, Object> {
    if !has_payloads(&payload) {
        return Err(payload);
    }
    match payload.remove("readings") {
        Some(Json::Array(items)) => {
            Ok(BatchEnvelope::read(payload).and_then(|envelope| read(items, "readings", envelope)))
        }
        _ => Err(payload), // it was one a moment ago
    }
}

/// Is a payload a batch?
pub(super) fn is_one(payload: &Json) -> bool {
    match payload {
        Json::Array(_) => true,
        Json::Object(payload) => has_payloads(payload),
        _ => false,
    }
}

fn has_payloads(payload: &Object) -> bool {
    let has_objects = match payload.get("readings") {
        Some(Json::Array(items)) => items.iter().any(|item| matches!(item, Json::Object(_))),
        _ => false,
    };
    has_objects && payload.get("sensor_readings").is_none()
}

impl BatchEnvelope {
    fn read(mut beside: Object) -> Result<Self, PayloadError> {
        let PayloadMembers { timestamp, message_id: id, units, .. } = PayloadMembers::take_from(&mut beside);
        let at = timestamp.map_or(Ok(None), |value| claim(value, || "timestamp".into()))?;
        Ok(Self { at, id: message_id(id, "")?, units, beside })
    }
}

/// Reads the payloads in `items`, each flat, with `sensor_readings`, or a single reading of that form.
pub(super) fn read(
    items: Box<[Json]>,
    place: &str,
    envelope: BatchEnvelope,
) -> Result<ParsedPayload, PayloadError> {
    if items.len() > MOST_READINGS {
        return Err(PayloadError::TooMany);
    }
    let BatchEnvelope { at, id, units, beside } = envelope;
    let mut heard = ParsedPayload::default();
    for (index, item) in items.into_iter().enumerate() {
        let place = format!("{place}[{index}]");
        match read_one(item, &place) {
            Ok(mut part) => {
                heard.samples.append(&mut part.samples);
                heard.bad.append(&mut part.bad);
            }
            Err(PayloadError::TooMany) => return Err(PayloadError::TooMany),
            Err(error) => heard.bad.push(error),
        }
        if heard.count() > MOST_READINGS {
            return Err(PayloadError::TooMany);
        }
    }
    if units != Json::Null {
        name_units(&units, &mut heard);
    }
    let mut sample = Telemetry::default();
    flat::read(beside, &units, "", &mut sample.readings, &mut heard.bad)?;
    if !sample.readings.is_empty() {
        heard.samples.push(sample);
    }
    for (part, sample) in heard.samples.iter_mut().enumerate() {
        if sample.at.is_none() {
            sample.at.clone_from(&at);
        }
        if sample.message_id.is_none() && id.is_some() {
            sample.message_id.clone_from(&id);
            sample.part = u32::try_from(part).unwrap_or(u32::MAX);
        }
    }
    Ok(heard)
}

/// Gives the readings that name no unit that of the envelope.
fn name_units(units: &Json, heard: &mut ParsedPayload) {
    let ParsedPayload { samples, bad } = heard;
    for sample in samples {
        sample.readings.retain_mut(|reading| {
            if reading.unit.is_none() {
                reading.unit = inside(units, &reading.name).and_then(Json::as_str).map(Into::into);
            }
            let wrong = check_value(reading).err();
            let name = || format!("readings.{}", shown(&reading.name));
            let is_good = wrong.is_none();
            bad.extend(wrong.map(|detail| PayloadError::BadValue { name: name(), detail }));
            is_good
        });
    }
}

fn read_one(item: Json, place: &str) -> Result<ParsedPayload, PayloadError> {
    match item {
        Json::Object(item) if list::is_reading(&item) => {
            let mut groups = list::Samples { whole: Telemetry::default(), samples: Vec::new() };
            let (reading, at) = list::reading(Json::Object(item), || place.to_owned())?;
            groups.add(reading, at);
            Ok(ParsedPayload { samples: groups.samples, bad: Vec::new() })
        }
        Json::Object(item) => one(item, &format!("{place}.")),
        other => Err(PayloadError::WrongType {
            name: place.to_owned(),
            expected: "an object",
            found: other.kind(),
        }),
    }
}
