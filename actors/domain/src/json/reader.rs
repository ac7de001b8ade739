//! Rust types read out of JSON that is parsed already: as `serde_json` reads them out of its text, but the kinds of
//! errors stay apart, and a free member ([`Json`], [`Object`](super::Object)) keeps the digits of its numbers.

use std::fmt::Display;
use std::iter;

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{self, Expected, IntoDeserializer, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, forward_to_deserialize_any};

use super::{Json, Number};

/// The name by which `serde_json` asks for a value as its text, which is how [`Json`] is read.
const AS_TEXT: &str = "$serde_json::private::";

/// The reason why a value is not what a type wants. Where it stands, whoever reads it knows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonTypeError {
    #[error("there is no such field")]
    Unknown(Box<str>),
    #[error("must be given")]
    Missing(&'static str),
    /// Two names of one field are given.
    #[error("is given twice, by two names")]
    Twice(&'static str),
    #[error("{0}")]
    Bad(String),
}

impl de::Error for JsonTypeError {
    fn custom<T: Display>(detail: T) -> Self {
        Self::Bad(detail.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let expected = plain(&expected.to_string());
        Self::Bad(format!("expected {expected}, found {}", shown(&expected, found)))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn unknown_field(field: &str, _: &'static [&'static str]) -> Self {
        Self::Unknown(field.into())
    }

    fn missing_field(field: &'static str) -> Self {
        Self::Missing(field)
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::Twice(field)
    }
}

/// The type in the words of JSON.
fn plain(expected: &str) -> String {
    const WHOLE: [&str; 10] = ["u8", "u16", "u32", "u64", "usize", "i8", "i16", "i32", "i64", "isize"];
    match expected {
        whole if WHOLE.contains(&whole) => "a whole number".into(),
        "f32" | "f64" => "a number".into(),
        "a sequence" => "an array".into(),
        object if object == "a map" || object.starts_with("struct ") => "an object".into(),
        other => other.to_owned(),
    }
}

/// The value found: a number by its digits where another number is expected.
fn shown(expected: &str, found: Unexpected<'_>) -> String {
    let is_number = expected.contains("number");
    match found {
        Unexpected::Bool(_) => "a boolean".into(),
        Unexpected::Unsigned(number) if is_number => number.to_string(),
        Unexpected::Signed(number) if is_number => number.to_string(),
        Unexpected::Float(number) if is_number => number.to_string(),
        Unexpected::Unsigned(_) | Unexpected::Signed(_) | Unexpected::Float(_) => "a number".into(),
        Unexpected::Str(_) | Unexpected::Char(_) => "a string".into(),
        Unexpected::Unit | Unexpected::Option => "null".into(),
        Unexpected::Seq => "an array".into(),
        Unexpected::Map => "an object".into(),
        other => other.to_string(),
    }
}

impl<'de> Deserializer<'de> for Json {
    type Error = JsonTypeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonTypeError> {
        match self {
            Self::Null => visitor.visit_unit(),
            Self::Bool(value) => visitor.visit_bool(value),
            Self::Number(number) => visit_number(&number, visitor),
            Self::String(text) => visitor.visit_string(text.into()),
            Self::Array(items) => visitor.visit_seq(SeqDeserializer::new(items.into_vec().into_iter())),
            Self::Object(object) => {
                let entries = object.into_iter().map(|(key, value)| (String::from(key), value));
                visitor.visit_map(MapDeserializer::new(entries))
            }
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonTypeError> {
        match self {
            Self::Null => visitor.visit_none(),
            some => visitor.visit_some(some),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, JsonTypeError> {
        if name.starts_with(AS_TEXT) {
            // Handed over as `serde_json` hands over its own values.
            return visitor.visit_map(MapDeserializer::new(iter::once((name, self.to_string()))));
        }
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, JsonTypeError> {
        match self {
            Self::String(word) => visitor.visit_enum(String::from(word).into_deserializer()),
            other => Err(JsonTypeError::Bad(format!("expected a string, found {}", other.kind()))),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

impl IntoDeserializer<'_, JsonTypeError> for Json {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

fn visit_number<'de, V: Visitor<'de>>(number: &Number, visitor: V) -> Result<V::Value, JsonTypeError> {
    if let Ok(whole) = number.as_str().parse::<u64>() {
        return visitor.visit_u64(whole);
    }
    match number.as_str().parse::<i64>() {
        Ok(whole) => visitor.visit_i64(whole),
        Err(_) => visitor.visit_f64(number.as_f64()),
    }
}

/// The names by which the struct `T` knows its fields, those of earlier versions too; none where it is no struct.
#[must_use]
pub fn fields_of<'de, T: Deserialize<'de>>() -> &'static [&'static str] {
    match T::deserialize(FieldProbe) {
        Err(FieldProbeResult::Fields(fields)) => fields,
        _ => &[],
    }
}

/// A deserializer that only asks a type for its fields.
struct FieldProbe;

#[derive(Debug, thiserror::Error)]
enum FieldProbeResult {
    #[error("{0:?}")]
    Fields(&'static [&'static str]),
    #[error("it is no struct")]
    NoStruct,
}

impl de::Error for FieldProbeResult {
    fn custom<T: Display>(_: T) -> Self {
        Self::NoStruct
    }
}

impl<'de> Deserializer<'de> for FieldProbe {
    type Error = FieldProbeResult;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, FieldProbeResult> {
        Err(FieldProbeResult::NoStruct)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, FieldProbeResult> {
        Err(FieldProbeResult::Fields(fields))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::super::Object;
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct TestPump {
        name: Box<str>,
        #[serde(alias = "speed")]
        rpm: Option<u8>,
        share: Option<f64>,
        tags: Option<Object>,
        any: Option<Json>,
        #[serde(default)]
        parts: Vec<TestPump>,
    }

    fn read(text: &str) -> Result<TestPump, JsonTypeError> {
        TestPump::deserialize(text.parse::<Json>().unwrap())
    }

    #[test]
    fn free_members_keep_their_digits() {
        let text =
            r#"{"name": "p", "tags": {"n": 1.50}, "any": [12345678901234567890123, null], "share": 1}"#;
        let TestPump { name, tags, any, share, .. } = read(text).unwrap();
        assert_eq!((&*name, share), ("p", Some(1.0)));
        assert_eq!(Json::from(tags.unwrap()).to_string(), r#"{"n":1.50}"#);
        assert_eq!(any.unwrap().to_string(), "[12345678901234567890123,null]");
        let nested = read(r#"{"name": "p", "parts": [{"name": "q", "rpm": 255}], "any": null}"#).unwrap();
        assert_eq!((nested.parts[0].rpm, nested.any), (Some(255), None));
    }

    #[test]
    fn a_struct_is_asked_for_its_fields() {
        assert_eq!(fields_of::<TestPump>(), ["name", "rpm", "speed", "share", "tags", "any", "parts"]);
        assert!(fields_of::<Vec<TestPump>>().is_empty());
    }

    #[test]
    fn says_what_is_wrong() {
        let bad = |detail: &str| JsonTypeError::Bad(detail.into());
        let check =
            |text: &str, expected: JsonTypeError| assert_eq!(read(text).unwrap_err(), expected, "{text}");
        check("{}", JsonTypeError::Missing("name"));
        check(r#"{"nam": "p"}"#, JsonTypeError::Unknown("nam".into()));
        check(r#"{"name": "p", "rpm": 1, "speed": 1}"#, JsonTypeError::Twice("rpm"));
        check(r#"{"name": 5}"#, bad("expected a string, found a number"));
        check(r#"{"name": null}"#, bad("expected a string, found null"));
        check(r#"{"name": "p", "rpm": 1.5}"#, bad("expected a whole number, found 1.5"));
        check(r#"{"name": "p", "rpm": 256}"#, bad("expected a whole number, found 256"));
        check(r#"{"name": "p", "rpm": -1}"#, bad("expected a whole number, found -1"));
        check(r#"{"name": "p", "rpm": "1"}"#, bad("expected a whole number, found a string"));
        check(r#"{"name": "p", "tags": []}"#, bad("expected an object, found an array"));
        check(r#"{"name": "p", "parts": {}}"#, bad("expected an array, found an object"));
        check(r#"{"name": "p", "parts": [5]}"#, bad("expected an object, found a number"));
    }
}
