//! Units in a report of state: `{"temperature": 21.5, "units": {"temperature": "°C"}}`, as telemetry names them.

use super::Twin;
use super::path::inside;
use crate::domain::json::{Json, Object};
use crate::domain::payload::LONGEST_UNIT;

/// The member of a report that names units, and the section of an event that carries them.
pub(super) const UNITS: &str = "units";

impl Twin {
    /// Takes the units out of what is reported. A member that is called so and is a property by itself stays: one that
    /// is desired or was reported before, or that names what the device does not report.
    pub(super) fn take_units(&self, reported: &mut Object) -> Option<Object> {
        let is_property = self.desired.get(UNITS).is_some() || self.reported.get(UNITS).is_some();
        let mut units = Object::default();
        if !is_property && let Some(Json::Object(said)) = reported.get(UNITS) {
            collect(said, "", &mut units);
        }
        if units.is_empty() {
            return None;
        }
        let said = reported.remove(UNITS)?;
        let whole = Json::Object(std::mem::take(reported));
        let fits = units.iter().all(|(path, unit)| {
            let is_unit = match unit {
                Json::String(unit) => !unit.is_empty() && unit.len() <= LONGEST_UNIT,
                unit => *unit == Json::Null,
            };
            is_unit && (inside(&whole, path).is_some() || self.reported.at_path(path).is_some())
        });
        if let Json::Object(members) = whole {
            *reported = members;
        }
        if !fits {
            reported.insert(UNITS, said);
            return None;
        }
        Some(units)
    }

    pub(super) fn say_units(&mut self, units: &Object) {
        for (path, unit) in units.iter() {
            self.reported.set_unit(path, unit.as_str());
        }
    }
}

/// The members by path, nested ones joined with dots.
fn collect(said: &Object, prefix: &str, into: &mut Object) {
    for (name, value) in said.iter() {
        let path = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") };
        match value {
            Json::Object(inner) => collect(inner, &path, into),
            value => {
                into.insert(path, value.clone());
            }
        }
    }
}
