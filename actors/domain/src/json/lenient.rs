//! Reading a document although a value in it is none that a twin can hold: that value alone is left out.
//!
//! Only for documents that [`Json::parse`] refused: it is slower.

use serde_json::value::RawValue;

use super::{DEEPEST, Json, JsonError, Object, RawArray, RawObject};

/// The length to which the path of a bad value is kept, in bytes: keys have no limit, and each bad value keeps its own
/// path.
const LONGEST_PATH: usize = 256;

/// The replacement in an object for a bad value with this path and text.
pub type Replacement = fn(path: &str, text: &str) -> Option<Json>;

/// None where more than `most` are bad: the rest is not looked at then.
pub(super) fn parse(
    bytes: &[u8],
    stand_in: Replacement,
    most: usize,
    bad: &mut Vec<(String, JsonError)>,
) -> Result<Option<Json>, JsonError> {
    let raw: &RawValue = serde_json::from_slice(bytes)?;
    let mut walk = LenientVisitor { path: String::new(), stand_in, most, bad };
    let found = walk.value(raw, DEEPEST)?;
    match found {
        _ if bad.len() > most => Ok(None),
        Some(json) => Ok(Some(json)),
        None => Err(bad.pop().map_or(JsonError::TooDeep, |(_, error)| error)),
    }
}

struct LenientVisitor<'a> {
    /// The path, as far as it is kept.
    path: String,
    stand_in: Replacement,
    most: usize,
    bad: &'a mut Vec<(String, JsonError)>,
}

impl LenientVisitor<'_> {
    /// None where the value itself is bad.
    fn value(&mut self, raw: &RawValue, levels: usize) -> Result<Option<Json>, JsonError> {
        let text = raw.get();
        let is_nested = matches!(text.as_bytes().first(), Some(b'{' | b'['));
        let Some(levels) = levels.checked_sub(1).or((!is_nested).then_some(0)) else {
            self.bad.push((self.path.clone(), JsonError::TooDeep));
            return Ok(None);
        };
        Ok(Some(match text.as_bytes().first() {
            Some(b'{') => {
                let RawObject(entries) = serde_json::from_str(text)?;
                let mut kept = Vec::with_capacity(entries.len());
                for (key, raw) in entries {
                    let above = self.enter(&key);
                    let found = self.value(raw, levels)?;
                    if let Some(json) = found.or_else(|| (self.stand_in)(&self.path, raw.get())) {
                        kept.push((key.into_boxed_str(), json));
                    }
                    self.path.truncate(above);
                    if self.is_full() {
                        return Ok(None);
                    }
                }
                Json::Object(Object::of(kept))
            }
            Some(b'[') => {
                let RawArray(items) = serde_json::from_str(text)?;
                let mut kept = Vec::with_capacity(items.len());
                for (index, raw) in items.into_iter().enumerate() {
                    let above = self.enter(&index.to_string());
                    // A null in its place: those behind it keep their numbers.
                    kept.push(self.value(raw, levels)?.unwrap_or_default());
                    self.path.truncate(above);
                    if self.is_full() {
                        return Ok(None);
                    }
                }
                Json::Array(kept.into())
            }
            _ => match Json::from_raw(raw, 0) {
                Ok(json) => json,
                Err(error) => {
                    self.bad.push((self.path.clone(), error));
                    return Ok(None);
                }
            },
        }))
    }

    /// Appends a part to the path; gives the length to go back to.
    fn enter(&mut self, part: &str) -> usize {
        let above = self.path.len();
        if above > 0 && above < LONGEST_PATH {
            self.path.push('.');
        }
        let room = part.floor_char_boundary(LONGEST_PATH.saturating_sub(self.path.len()));
        self.path.push_str(&part[..room]);
        above
    }

    fn is_full(&self) -> bool {
        self.bad.len() > self.most
    }
}
