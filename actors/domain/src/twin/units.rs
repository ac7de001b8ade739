//! Units in a report of state: `{"temperature": 21.5, "units": {"temperature": "°C"}}`, as telemetry names them.

use super::Properties;
use super::path::inside;
use crate::json::{Json, Object};
use crate::payload::{LONGEST_NAME, LONGEST_UNIT};

/// The member of a report that names units.
const UNITS: &str = "units";

/// Takes the units out of what is `reported`, for a device of which `known` and `desired` are known. They are a table of
/// units if each is a short text or null, and one of them at least is of something that the device reports; those of
/// what it does not report yet are passed over. A member that is called so and is no such table, or is desired, is a
/// property by itself and stays one. A table that was kept as a property, by earlier versions, is one no more.
pub(super) fn take_units(reported: &mut Object, known: &Properties, desired: &Properties) -> Option<Object> {
    if desired.get(UNITS).is_some() {
        return None;
    }
    let member = reported.remove(UNITS)?;
    let kept = known.get(UNITS).map(|property| &property.value);
    let units = table(&member, reported, known);
    let before = kept.and_then(|kept| table(kept, reported, known));
    let Some(units) = units.filter(|_| kept.is_none() || before.is_some()) else {
        reported.insert(UNITS, member);
        return None;
    };
    let Some(mut all) = before else { return Some(units) };
    reported.insert(UNITS, Json::Null);
    for (path, unit) in units {
        all.insert(path, unit);
    }
    Some(all)
}

/// The units in `member` of what is reported, by path; none where it is no table of units.
fn table(member: &Json, reported: &Object, known: &Properties) -> Option<Object> {
    let mut units = Vec::new();
    collect(member.as_object()?, "", &mut units)?;
    let is_reported = |path: &str| in_object(reported, path).is_some() || known.at_path(path).is_some();
    units.retain(|(path, _)| is_reported(path));
    (!units.is_empty()).then(|| units.into_iter().collect())
}

/// The members by path, nested ones joined with dots; none where one is no unit. A path longer than any name of a
/// reading is passed over.
fn collect(members: &Object, prefix: &str, into: &mut Vec<(String, Json)>) -> Option<()> {
    for (name, value) in members.iter() {
        if prefix.len() + name.len() >= LONGEST_NAME {
            continue;
        }
        let path = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") };
        match value {
            Json::Object(inner) => collect(inner, &path, into)?,
            Json::String(unit) if !unit.is_empty() && unit.len() <= LONGEST_UNIT => {
                into.push((path, value.clone()));
            }
            Json::Null => into.push((path, Json::Null)),
            _ => return None,
        }
    }
    Some(())
}

/// The value at `path` in an object, nested before flat.
fn in_object<'a>(object: &'a Object, path: &str) -> Option<&'a Json> {
    super::path::heads(path).find_map(|(head, rest)| {
        let found = object.get(head)?;
        rest.map_or(Some(found), |rest| inside(found, rest))
    })
}
