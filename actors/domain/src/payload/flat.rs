//! The flat form: readings by name, nested names joined with dots.

use super::{LONGEST_NAME, MOST_READINGS, PayloadError, check_name, check_value, shown};
use crate::json::{Json, Object};
use crate::reading::{Reading, Scalar};
use crate::twin::inside;

/// A payload with more values than this is refused, nulls and empty objects too: each costs the join of a name.
const MOST_VALUES: usize = 10 * MOST_READINGS;

/// Reads the readings of an object that is nothing else. `place` is put in front of the names of bad ones.
pub(super) fn read(
    payload: Object,
    units: &Json,
    place: &str,
    readings: &mut Vec<Reading>,
    bad: &mut Vec<PayloadError>,
) -> Result<(), PayloadError> {
    readings.reserve_exact(payload.len().min(MOST_READINGS)); // nearly always one for each member
    let mut flattening = Flattening { units, place, visited: 0, readings, bad };
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
    /// The values looked at so far, null and nested ones too.
    visited: usize,
    readings: &'a mut Vec<Reading>,
    bad: &'a mut Vec<PayloadError>,
}

impl Flattening<'_> {
    fn value(&mut self, name: Box<str>, value: Json) -> Result<(), PayloadError> {
        self.visited += 1;
        if self.visited > MOST_VALUES {
            return Err(PayloadError::TooMany);
        }
        if value == Json::Null {
            return Ok(());
        }
        // Before anything is made of it: each value further in would carry the name once more.
        if name.len() > LONGEST_NAME {
            self.count()?;
            let detail = check_name(&name).err().unwrap_or_default();
            self.refuse(&name, detail);
            return Ok(());
        }
        let join = |key: Box<str>| if name.is_empty() { key } else { format!("{name}.{key}").into() };
        match value {
            Json::Object(entries) => {
                entries.into_iter().try_for_each(|(key, value)| self.value(join(key), value))
            }
            Json::Array(items) => items
                .into_iter()
                .enumerate()
                .try_for_each(|(index, value)| self.value(join(index.to_string().into()), value)),
            scalar => {
                self.count()?;
                if let Some(value) = Scalar::from_json(scalar) {
                    self.scalar(name, value);
                }
                Ok(())
            }
        }
    }

    /// Is there room for one more, good or bad?
    fn count(&self) -> Result<(), PayloadError> {
        let is_full = self.readings.len() + self.bad.len() >= MOST_READINGS;
        if is_full { Err(PayloadError::TooMany) } else { Ok(()) }
    }

    fn scalar(&mut self, name: Box<str>, value: Scalar) {
        if let Err(detail) = check_name(&name) {
            return self.refuse(&name, detail);
        }
        let unit = inside(self.units, &name).and_then(Json::as_str).map(Into::into);
        let reading = Reading { name, value, unit, quality_score: None };
        match check_value(&reading) {
            Ok(()) => self.readings.push(reading),
            Err(detail) => self.refuse(&reading.name, detail),
        }
    }

    fn refuse(&mut self, name: &str, detail: String) {
        let name = format!("{}{}", self.place, shown(name));
        self.bad.push(PayloadError::BadValue { name, detail });
    }
}
