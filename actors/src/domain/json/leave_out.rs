//! Reading a document although a value in it is none that a twin can hold: that value alone is left out.
//!
//! Only for documents that [`Json::parse`] refused: it is slower.

use serde_json::value::RawValue;

use super::{DEEPEST, Json, JsonError, Object, RawArray, RawObject};

pub(super) fn parse(bytes: &[u8], bad: &mut Vec<(String, JsonError)>) -> Result<Json, JsonError> {
    let raw: &RawValue = serde_json::from_slice(bytes)?;
    match value(raw, "", DEEPEST, bad)? {
        Some(json) => Ok(json),
        None => Err(bad.pop().map_or(JsonError::TooDeep, |(_, error)| error)),
    }
}

/// None where the value itself is bad.
fn value(
    raw: &RawValue,
    path: &str,
    levels: usize,
    bad: &mut Vec<(String, JsonError)>,
) -> Result<Option<Json>, JsonError> {
    let text = raw.get();
    let is_nested = matches!(text.as_bytes().first(), Some(b'{' | b'['));
    let Some(levels) = levels.checked_sub(1).or((!is_nested).then_some(0)) else {
        bad.push((path.to_owned(), JsonError::TooDeep));
        return Ok(None);
    };
    let join = |part: &str| if path.is_empty() { part.to_owned() } else { format!("{path}.{part}") };
    Ok(Some(match text.as_bytes().first() {
        Some(b'{') => {
            let RawObject(entries) = serde_json::from_str(text)?;
            let mut kept = Vec::with_capacity(entries.len());
            for (key, raw) in entries {
                if let Some(json) = value(raw, &join(&key), levels, bad)? {
                    kept.push((key.into_boxed_str(), json));
                }
            }
            Json::Object(Object::of(kept))
        }
        Some(b'[') => {
            let RawArray(items) = serde_json::from_str(text)?;
            let mut kept = Vec::with_capacity(items.len());
            for (index, raw) in items.into_iter().enumerate() {
                // A null in its place: those behind it keep their numbers.
                kept.push(value(raw, &join(&index.to_string()), levels, bad)?.unwrap_or_default());
            }
            Json::Array(kept.into())
        }
        _ => match Json::from_raw(raw, 0) {
            Ok(json) => json,
            Err(error) => {
                bad.push((path.to_owned(), error));
                return Ok(None);
            }
        },
    }))
}
