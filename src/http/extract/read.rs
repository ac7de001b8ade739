//! A body as one struct, which is read, and described by `ToSchema`. What is wrong with it is told with the path of the
//! field: `action.command.ttl`, `ids.1`.

use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Error as _};
use serde_path_to_error::{Path, Segment};
use twinhub_domain::duration::{EXAMPLES, GivenDuration};
use twinhub_domain::json::JsonTypeError;
use twinhub_domain::{Json, Object};

use crate::http::extract::fields::FieldError;

/// Reads `json` as a `T`.
///
/// # Errors
/// Names the field that is wrong, that is missing, or that there is not.
pub fn read<T: DeserializeOwned>(json: impl Into<Json>) -> Result<T, FieldError> {
    serde_path_to_error::deserialize(json.into()).map_err(|error| {
        let path = text(error.path());
        match error.into_inner() {
            JsonTypeError::Unknown(field) => FieldError::unknown(&below(path, &field)),
            JsonTypeError::Missing(field) => FieldError::missing(&below(path, field)),
            JsonTypeError::Twice(field) => {
                FieldError::bad(&below(path, field), "is given twice, by two names")
            }
            JsonTypeError::Bad(detail) => FieldError::bad(&path, detail),
        }
    })
}

/// The members that were given, as an object: a merge patch, where null takes away.
pub fn given_members<const N: usize>(members: [(&str, Option<Json>); N]) -> Object {
    members.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// For a field of which null says something: it is `Some` of that. It needs `#[serde(default)]` beside it.
///
/// # Errors
/// It is no `T`.
pub fn even_null<'de, T: Deserialize<'de>, D: Deserializer<'de>>(given: D) -> Result<Option<T>, D::Error> {
    T::deserialize(given).map(Some)
}

/// For a text that null takes away: a patch's member, which is a text or null.
///
/// # Errors
/// It is neither.
pub fn text_or_null<'de, D: Deserializer<'de>>(given: D) -> Result<Option<Json>, D::Error> {
    let text = Option::<Box<str>>::deserialize(given)?;
    Ok(Some(text.map_or(Json::Null, Json::String)))
}

/// For a text that must say something.
///
/// # Errors
/// It is no text, or an empty one.
pub fn filled<'de, D: Deserializer<'de>>(given: D) -> Result<Box<str>, D::Error> {
    let text = Option::<Box<str>>::deserialize(given)?;
    match text {
        None => Err(D::Error::missing_field("")), // null is the same as not there; the path names it
        Some(text) if text.trim().is_empty() => Err(D::Error::custom("must not be empty")),
        Some(text) => Ok(text),
    }
}

/// For a list of texts; a single text is a list of one.
///
/// # Errors
/// It, or something in it, is something else.
pub fn texts<'de, D: Deserializer<'de>>(given: D) -> Result<Option<Vec<Box<str>>>, D::Error> {
    let wrong =
        |found: &Json| D::Error::custom(format!("expected an array of strings, found {}", found.kind()));
    match Json::deserialize(given)? {
        Json::Null => Ok(None),
        Json::String(text) => Ok(Some(vec![text])),
        Json::Array(items) => {
            let text = |item| match item {
                Json::String(text) => Ok(text),
                other => Err(wrong(&other)),
            };
            items.into_iter().map(text).collect::<Result<_, _>>().map(Some)
        }
        other => Err(wrong(&other)),
    }
}

/// For a duration of more than nothing: a text, or a number of seconds.
///
/// # Errors
/// It is none.
pub fn duration<'de, D: Deserializer<'de>>(given: D) -> Result<Option<GivenDuration>, D::Error> {
    match Json::deserialize(given)? {
        Json::Null => Ok(None),
        value => GivenDuration::of(&value).map(Some).map_err(|error| {
            D::Error::custom(format!("expected a duration such as {EXAMPLES}, or seconds: {error}"))
        }),
    }
}

/// The path as errors tell it.
fn text(path: &Path) -> String {
    let part = |segment: &Segment| match segment {
        Segment::Seq { index } => Some(index.to_string()),
        Segment::Map { key } => Some(key.clone()),
        Segment::Enum { variant } => Some(variant.clone()),
        Segment::Unknown => None,
    };
    path.iter().filter_map(part).collect::<Vec<_>>().join(".")
}

/// The path of a field below `path`, which may lead to it already.
fn below(path: String, field: &str) -> String {
    match path.strip_suffix(field) {
        _ if field.is_empty() => path,
        Some(before) if before.is_empty() || before.ends_with('.') => path,
        _ if path.is_empty() => field.to_owned(),
        _ => format!("{path}.{field}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct PumpBody {
        #[serde(deserialize_with = "filled")]
        name: Box<str>,
        #[serde(default, deserialize_with = "texts", alias = "id")]
        ids: Option<Vec<Box<str>>>,
        #[serde(default, deserialize_with = "even_null")]
        any: Option<Json>,
        #[serde(default, deserialize_with = "text_or_null")]
        unit: Option<Json>,
        #[serde(default, deserialize_with = "duration", rename = "for")]
        length: Option<GivenDuration>,
        #[serde(default)]
        part: Option<Box<PumpBody>>,
    }

    fn pump(text: &str) -> Result<PumpBody, FieldError> {
        read(text.parse::<Json>().unwrap())
    }

    #[test]
    fn reads_what_is_given_and_what_is_null() {
        let all = pump(r#"{"name": "p", "ids": "a", "any": null, "unit": null, "for": 90}"#).unwrap();
        assert_eq!((&*all.name, all.ids.unwrap()), ("p", vec!["a".into()]));
        assert_eq!((all.any, all.unit), (Some(Json::Null), Some(Json::Null)));
        assert_eq!(all.length.unwrap().ms(), 90_000);
        let none = pump(r#"{"name": "p", "ids": null, "for": null, "part": null}"#).unwrap();
        assert!(none.ids.is_none() && none.any.is_none() && none.length.is_none() && none.part.is_none());
        let named = pump(r#"{"name": "p", "for": " PT1M "}"#).unwrap();
        assert_eq!(named.length.unwrap().text(), "PT1M");
    }

    #[test]
    fn names_the_path_of_what_is_wrong() {
        let check = |text: &str, field: &str, code: &str, detail: &str| {
            let error = pump(text).unwrap_err();
            assert_eq!((&*error.field, error.code), (field, code), "{text}");
            assert!(error.detail.starts_with(detail), "{text}: {error}");
        };
        check("{}", "name", "missing_field", "must be given");
        check(r#"{"name": null}"#, "name", "missing_field", "must be given");
        check(r#"{"name": " "}"#, "name", "bad_field", "must not be empty");
        check(r#"{"nam": "p"}"#, "nam", "unknown_field", "there is no such field");
        check(
            r#"{"name": "p", "part": {"name": "q", "colour": 1}}"#,
            "part.colour",
            "unknown_field",
            "there",
        );
        check(r#"{"name": "p", "part": {"ids": []}}"#, "part.name", "missing_field", "must be given");
        check(r#"{"name": "p", "part": 5}"#, "part", "bad_field", "expected an object, found a number");
        check(
            r#"{"name": "p", "ids": [1]}"#,
            "ids",
            "bad_field",
            "expected an array of strings, found a num",
        );
        check(r#"{"name": "p", "ids": [], "id": []}"#, "ids", "bad_field", "is given twice");
        check(r#"{"name": "p", "unit": 5}"#, "unit", "bad_field", "expected a string, found a number");
        check(r#"{"name": "p", "for": "soon"}"#, "for", "bad_field", "expected a duration such as");
    }
}
