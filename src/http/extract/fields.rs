//! Taking a JSON object apart by its fields, where every field that is wrong, or that nobody asked for,
//! is named. Bodies and WebSocket frames are read with it: serde would lose the digits of numbers on the
//! way, and does not name the field whose type is wrong.

use twinhub_domain::{Json, Object};

/// The fault of one field or query parameter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{field}`: {detail}")]
pub struct FieldError {
    pub field: String,
    pub detail: String,
    /// The stable word: `bad_field`, `unknown_field`, `missing_field`, or the same of parameters.
    pub code: &'static str,
}

/// An object whose fields are being taken, and in which no others are.
#[derive(Debug)]
pub struct Fields(Object);

impl FieldError {
    /// The field has a value that does not fit.
    pub fn bad(field: &str, detail: impl Into<String>) -> Self {
        Self { field: field.to_owned(), detail: detail.into(), code: "bad_field" }
    }

    /// The field must be there.
    #[must_use]
    pub fn missing(field: &str) -> Self {
        Self { field: field.to_owned(), detail: "must be given".into(), code: "missing_field" }
    }

    /// Nobody knows this field.
    #[must_use]
    pub fn unknown(field: &str) -> Self {
        Self { field: field.to_owned(), detail: "there is no such field".into(), code: "unknown_field" }
    }

    /// The field stands within another one; without a name it is that one.
    #[must_use]
    pub fn within(self, outer: &str) -> Self {
        let field = if self.field.is_empty() { outer.into() } else { format!("{outer}.{}", self.field) };
        Self { field, ..self }
    }
}

impl Fields {
    /// The fields of `object`, which may be `known` ones alone. Before anything else is looked at: who
    /// wrote `nam` is told so, and not that `name` is missing.
    ///
    /// # Errors
    /// Names the first field that nobody knows.
    pub fn of(object: Object, known: &[&str]) -> Result<Self, FieldError> {
        Self::any(object).only(known)
    }

    /// The fields of `object`, of which it is not known yet what they may be: [`Fields::only`] says.
    #[must_use]
    pub fn any(object: Object) -> Self {
        Self(object)
    }

    /// The fields that are left may be `known` ones alone.
    ///
    /// # Errors
    /// Names the first field that nobody knows.
    pub fn only(self, known: &[&str]) -> Result<Self, FieldError> {
        if let Some((field, _)) = self.0.iter().find(|(field, _)| !known.contains(field)) {
            return Err(FieldError::unknown(field));
        }
        Ok(self)
    }

    /// The fields that were not taken.
    #[must_use]
    pub fn rest(self) -> Object {
        self.0
    }

    /// The field as it is; null is the same as not there.
    pub fn take(&mut self, field: &str) -> Option<Json> {
        self.0.remove(field).filter(|value| *value != Json::Null)
    }

    /// The field as it is, null and all.
    pub fn take_even_null(&mut self, field: &str) -> Option<Json> {
        self.0.remove(field)
    }

    /// A text.
    ///
    /// # Errors
    /// It is something else.
    pub fn text(&mut self, field: &str) -> Result<Option<Box<str>>, FieldError> {
        match self.take(field) {
            None => Ok(None),
            Some(Json::String(text)) => Ok(Some(text)),
            Some(other) => Err(wrong(field, "a string", &other)),
        }
    }

    /// A text that must be there and not be empty.
    ///
    /// # Errors
    /// It is missing, empty or something else.
    pub fn needed_text(&mut self, field: &str) -> Result<Box<str>, FieldError> {
        match self.text(field)? {
            Some(text) if !text.trim().is_empty() => Ok(text),
            Some(_) => Err(FieldError::bad(field, "must not be empty")),
            None => Err(FieldError::missing(field)),
        }
    }

    /// An object.
    ///
    /// # Errors
    /// It is something else.
    pub fn object(&mut self, field: &str) -> Result<Option<Object>, FieldError> {
        match self.take(field) {
            None => Ok(None),
            Some(Json::Object(object)) => Ok(Some(object)),
            Some(other) => Err(wrong(field, "an object", &other)),
        }
    }

    /// A boolean.
    ///
    /// # Errors
    /// It is something else.
    pub fn flag(&mut self, field: &str) -> Result<Option<bool>, FieldError> {
        match self.take(field) {
            None => Ok(None),
            Some(Json::Bool(flag)) => Ok(Some(flag)),
            Some(other) => Err(wrong(field, "a boolean", &other)),
        }
    }

    /// A whole number that is not negative.
    ///
    /// # Errors
    /// It is something else.
    pub fn count(&mut self, field: &str) -> Result<Option<u64>, FieldError> {
        match self.take(field) {
            None => Ok(None),
            Some(Json::Number(number)) => number.as_str().parse().map(Some).map_err(|_| {
                FieldError::bad(field, format!("expected a whole number, found {}", number.as_str()))
            }),
            Some(other) => Err(wrong(field, "a whole number", &other)),
        }
    }

    /// A list of texts; a single text is a list of one.
    ///
    /// # Errors
    /// It, or something in it, is something else.
    pub fn texts(&mut self, field: &str) -> Result<Option<Vec<Box<str>>>, FieldError> {
        match self.take(field) {
            None => Ok(None),
            Some(Json::String(text)) => Ok(Some(vec![text])),
            Some(Json::Array(items)) => items
                .into_iter()
                .map(|item| match item {
                    Json::String(text) => Ok(text),
                    other => Err(wrong(field, "an array of strings", &other)),
                })
                .collect::<Result<_, _>>()
                .map(Some),
            Some(other) => Err(wrong(field, "an array of strings", &other)),
        }
    }
}

fn wrong(field: &str, expected: &str, found: &Json) -> FieldError {
    FieldError::bad(field, format!("expected {expected}, found {}", found.kind()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &str) -> Fields {
        Fields::any(twinhub_domain::payload::object(text.as_bytes()).unwrap())
    }

    #[test]
    fn names_the_field_that_is_wrong() {
        let mut body = fields(r#"{"name": 5, "since": 1.5, "flag": "yes", "list": ["a", 1], "empty": " "}"#);
        assert_eq!(body.text("name").unwrap_err().to_string(), "`name`: expected a string, found a number");
        assert_eq!(
            body.count("since").unwrap_err().to_string(),
            "`since`: expected a whole number, found 1.5"
        );
        assert_eq!(body.flag("flag").unwrap_err().field, "flag");
        assert_eq!(body.texts("list").unwrap_err().field, "list");
        assert_eq!(body.needed_text("empty").unwrap_err().detail, "must not be empty");
        assert_eq!(body.needed_text("gone").unwrap_err().code, "missing_field");
    }

    #[test]
    fn unknown_fields_are_named() {
        let body = fields(r#"{"name": "Pump", "colour": "red"}"#);
        assert_eq!(body.only(&["name"]).unwrap_err(), FieldError::unknown("colour"));
        let mut body = fields(r#"{"name": "Pump", "colour": "red"}"#).only(&["colour", "name"]).unwrap();
        assert_eq!(body.text("name").unwrap().as_deref(), Some("Pump"));
        assert_eq!(Json::from(body.rest()).to_string(), r#"{"colour":"red"}"#);
    }

    #[test]
    fn null_is_not_there() {
        let mut body = fields(r#"{"a": null, "b": null}"#);
        assert_eq!(body.text("a"), Ok(None));
        assert_eq!(body.take_even_null("b"), Some(Json::Null));
    }
}
