//! Batches: several payloads in one message, `[…]` or `{"readings": […]}`.

use super::{Heard, MOST_READINGS, PayloadError, claim, list, message_id, one};
use crate::domain::json::{Json, Object};
use crate::domain::reading::{Claim, Telemetry};

/// Reads `{"readings": […], "timestamp"?, "message_id"?}`; gives the object back where it is no batch. A device may
/// have a reading of that name: a batch is an array whose first item is an object.
pub(super) fn of(mut payload: Object) -> Result<Result<Heard, PayloadError>, Object> {
    let is_batch = match payload.get("readings") {
        Some(Json::Array(items)) => matches!(items.first(), Some(Json::Object(_))),
        _ => false,
    };
    if !is_batch || payload.get("sensor_readings").is_some() {
        return Err(payload);
    }
    match payload.remove("readings") {
        Some(Json::Array(items)) => Ok(envelope(items, payload)),
        _ => Err(payload), // it was one a moment ago
    }
}

fn envelope(items: Box<[Json]>, mut payload: Object) -> Result<Heard, PayloadError> {
    let at = payload.remove("timestamp").map_or(Ok(None), |value| claim(value, || "timestamp".into()))?;
    let id = message_id(payload.remove("message_id"), "")?;
    read(items, "readings", at.as_ref(), &id)
}

/// Reads the payloads in `items`, each flat, with `sensor_readings`, or a single reading of that form. One that says
/// no time of its own is of the time `at`.
pub(super) fn read(
    items: Box<[Json]>,
    place: &str,
    at: Option<&Claim>,
    id: &Option<Box<str>>,
) -> Result<Heard, PayloadError> {
    if items.len() > MOST_READINGS {
        return Err(PayloadError::TooMany);
    }
    let mut heard = Heard::default();
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
    for (part, sample) in heard.samples.iter_mut().enumerate() {
        if sample.at.is_none() {
            sample.at = at.cloned();
        }
        if sample.message_id.is_none() && id.is_some() {
            sample.message_id.clone_from(id);
            sample.part = u32::try_from(part).unwrap_or(u32::MAX);
        }
    }
    Ok(heard)
}

fn read_one(item: Json, place: &str) -> Result<Heard, PayloadError> {
    match item {
        Json::Object(item) if list::is_reading(&item) => {
            let mut groups = list::Groups { whole: Telemetry::default(), samples: Vec::new() };
            let (reading, at) = list::reading(Json::Object(item), || place.to_owned())?;
            groups.add(reading, at);
            Ok(Heard { samples: groups.samples, bad: Vec::new() })
        }
        Json::Object(item) => one(item, &format!("{place}.")),
        other => Err(PayloadError::WrongType {
            name: place.to_owned(),
            expected: "an object",
            found: other.kind(),
        }),
    }
}
