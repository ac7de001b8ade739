//! Paths: where `motor.rpm` leads. A device says `{"motor": {"rpm": 1450}}` or `{"motor.rpm": 1450}` (telemetry is
//! stored so), and both are one place. Documents stay as they were written, so both can stand side by side: then
//! the nested one is meant.

use super::{Properties, Property};
use crate::json::Json;

impl Properties {
    /// The value that `path` leads to and the property that it lies in, nested before flat.
    #[must_use]
    pub fn at_path<'a>(&'a self, path: &str) -> Option<(&'a Property, &'a Json)> {
        self.spellings(path).next()
    }

    /// Every value that `path` leads to, nested before flat.
    pub(super) fn spellings<'a, 'p>(
        &'a self,
        path: &'p str,
    ) -> impl Iterator<Item = (&'a Property, &'a Json)> + use<'a, 'p> {
        heads(path).filter_map(move |(head, rest)| {
            let property = self.get(head)?;
            let value = match rest {
                None => &property.value,
                Some(rest) => inside(&property.value, rest)?,
            };
            Some((property, value))
        })
    }

    /// The unit of what `path` leads to.
    #[must_use]
    pub fn unit_at(&self, path: &str) -> Option<&str> {
        heads(path).find_map(|(head, rest)| self.get(head)?.unit_of(rest.unwrap_or_default()))
    }
}

/// The value at `path` in another, nested before flat; items of arrays by their place from 0.
#[must_use]
pub fn inside<'a>(value: &'a Json, path: &str) -> Option<&'a Json> {
    match value {
        Json::Object(object) => heads(path).find_map(|(head, rest)| {
            let found = object.get(head)?;
            rest.map_or(Some(found), |rest| inside(found, rest))
        }),
        Json::Array(items) => {
            let (index, rest) =
                path.split_once('.').map_or((path, None), |(index, rest)| (index, Some(rest)));
            let found = items.get(index.parse::<usize>().ok()?)?;
            rest.map_or(Some(found), |rest| inside(found, rest))
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => None,
    }
}

/// The ways to divide a path into a name and the path within it, the shortest name first.
pub(super) fn heads(path: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    let divided = path.match_indices('.').map(|(dot, _)| (&path[..dot], Some(&path[dot + 1..])));
    divided.chain([(path, None)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::payload::object;

    fn check(reported: &str, path: &str, expected: &str) {
        let mut properties = Properties::default();
        properties.merge(&object(reported.as_bytes()).unwrap(), Timestamp::default(), None);
        let found = properties.at_path(path).map_or("nothing".into(), |(_, value)| value.to_string());
        assert_eq!(found, expected, "{path} in {reported}");
    }

    #[test]
    fn a_path_leads_to_nested_and_to_flat_values() {
        check(r#"{"motor": {"rpm": 1450}}"#, "motor.rpm", "1450");
        check(r#"{"motor.rpm": 1450}"#, "motor.rpm", "1450");
        check(r#"{"motor.rpm": 1, "motor": {"rpm": 2}}"#, "motor.rpm", "2");
        check(r#"{"motor.rpm": 1, "motor": {"mode": "eco"}}"#, "motor.rpm", "1");
        check(r#"{"motor.rpm": 1, "motor": 5}"#, "motor.rpm", "1");
        check(r#"{"a": {"b.c": 1}}"#, "a.b.c", "1");
        check(r#"{"a.b": {"c": 1}}"#, "a.b.c", "1");
        check(r#"{"gps": [1.5, {"x": 2}]}"#, "gps.1.x", "2");
        check(r#"{"gps": [1.5]}"#, "gps.1", "nothing");
        check(r#"{"motor": {"rpm": 1}}"#, "motor", r#"{"rpm":1}"#);
        check(r#"{"motor": {"rpm": 1}}"#, "motor.rpm.x", "nothing");
        check("{}", "motor.rpm", "nothing");
    }
}
