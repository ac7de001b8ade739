//! The flat form: readings by name, nested names joined with dots.

use super::{MOST_READINGS, PayloadError, check, shown};
use crate::domain::json::{Json, Object};
use crate::domain::reading::{Reading, Scalar};
use crate::domain::twin::inside;

/// Takes the readings of an object that is nothing else. `place` stands in front of the names of bad ones.
pub(super) fn read(
    payload: Object,
    units: &Json,
    place: &str,
    readings: &mut Vec<Reading>,
    bad: &mut Vec<PayloadError>,
) -> Result<(), PayloadError> {
    readings.reserve_exact(payload.len().min(MOST_READINGS)); // nearly always one for each member
    let mut flattening = Flattening { units, place, readings, bad };
    payload.into_iter().try_for_each(|(name, value)| flattening.value(name, value))
}

/// The numbers, booleans and texts in `object` as readings, nested names joined with dots. Those whose name or text
/// is too long go to `bad`.
///
/// # Errors
/// There are too many.
pub fn scalars(object: Object, bad: &mut Vec<PayloadError>) -> Result<Vec<Reading>, PayloadError> {
    let mut readings = Vec::new();
    read(object, &Json::Null, "", &mut readings, bad)?;
    Ok(readings)
}

struct Flattening<'a> {
    units: &'a Json,
    place: &'a str,
    readings: &'a mut Vec<Reading>,
    bad: &'a mut Vec<PayloadError>,
}

impl Flattening<'_> {
    fn value(&mut self, name: Box<str>, value: Json) -> Result<(), PayloadError> {
        let join = |key: Box<str>| if name.is_empty() { key } else { format!("{name}.{key}").into() };
        match value {
            Json::Null => Ok(()),
            Json::Object(entries) => {
                entries.into_iter().try_for_each(|(key, value)| self.value(join(key), value))
            }
            Json::Array(items) => items
                .into_iter()
                .enumerate()
                .try_for_each(|(index, value)| self.value(join(index.to_string().into()), value)),
            Json::Number(_) | Json::Bool(_) | Json::String(_) => {
                if self.readings.len() + self.bad.len() >= MOST_READINGS {
                    return Err(PayloadError::TooMany);
                }
                if let Some(value) = Scalar::from_json(value) {
                    self.scalar(name, value);
                }
                Ok(())
            }
        }
    }

    fn scalar(&mut self, name: Box<str>, value: Scalar) {
        let unit = inside(self.units, &name).and_then(Json::as_str).map(Into::into);
        let reading = Reading { name, value, unit, quality_score: None };
        match check(&reading) {
            Ok(()) => self.readings.push(reading),
            Err(detail) => {
                let name = format!("{}{}", self.place, shown(&reading.name));
                self.bad.push(PayloadError::BadValue { name, detail });
            }
        }
    }
}
