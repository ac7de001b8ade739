//! Answers: JSON text made straight from the domain's values, whose numbers keep their digits.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, HttpResponseBuilder};
use serde::Serialize;
use twinhub_domain::twin::add_units;
use twinhub_domain::{Json, Object, Timestamp, Twin};

/// A JSON document being written.
#[derive(Debug)]
pub struct Document(String);

impl Document {
    /// Begins with the members of `object`.
    #[must_use]
    pub fn of(object: &Object) -> Self {
        let mut text = String::with_capacity(1024);
        object.write(&mut text);
        Self(text)
    }

    /// Adds a member. `name` is one of ours.
    #[must_use]
    pub fn with(mut self, name: &str, value: &impl Serialize) -> Self {
        self.0.pop(); // the closing brace
        if self.0.len() > 1 {
            self.0.push(',');
        }
        self.0.push('"');
        self.0.push_str(name);
        self.0.push_str("\":");
        self.0.push_str(&text_of(value));
        self.0.push('}');
        self
    }

    /// The answer.
    #[must_use]
    pub fn send(self, mut response: HttpResponseBuilder) -> HttpResponse {
        response.content_type("application/json").body(self.0)
    }
}

/// Answers with `value`.
pub fn json(status: StatusCode, value: &impl Serialize) -> HttpResponse {
    json_with(HttpResponse::build(status), value)
}

/// The same, of a response that has headers already.
pub fn json_with(mut response: HttpResponseBuilder, value: &impl Serialize) -> HttpResponse {
    response.content_type("application/json").body(text_of(value))
}

/// Answers with an array, each item written by `write`.
pub fn array<T>(
    mut response: HttpResponseBuilder,
    items: &[T],
    mut write: impl FnMut(&T, &mut String),
) -> HttpResponse {
    let mut text = String::with_capacity(2 + items.len() * 512);
    text.push('[');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        write(item, &mut text);
    }
    text.push(']');
    response.content_type("application/json").body(text)
}

/// A twin as lists show it: its head, its latest readings with their times, and the three readings that
/// dashboards look for by name.
#[must_use]
pub fn summary(twin: &Twin, now: Timestamp) -> Object {
    let mut item = twin.head(now);
    add_readings(&mut item, twin);
    item
}

/// Adds `device_id`, `readings`, and `temperature`, `humidity`, `pressure`, null where the twin has none.
pub fn add_readings(item: &mut Object, twin: &Twin) {
    item.insert("device_id", twin.id.as_str().into());
    let reading = |property: &twinhub_domain::twin::Property| {
        let members = [
            ("value", property.value.clone()),
            ("timestamp", property.at().to_string().into()),
            ("quality", property.quality().as_str().into()),
        ];
        let mut reading: Object = members.into_iter().collect();
        add_units(&mut reading, property);
        Json::from(reading)
    };
    let readings: Object = twin.reported.iter().map(|p| (&*p.name, reading(p))).collect();
    item.insert("readings", readings.into());
    for name in ["temperature", "humidity", "pressure"] {
        let value = twin.reported.get(name).map(|property| property.value.clone());
        item.insert(name, value.unwrap_or_default());
    }
}

/// The text of one of our answers.
#[must_use]
pub fn text_of(value: &impl Serialize) -> String {
    // Our answers are structs, lists and texts: nothing that JSON cannot write.
    serde_json::to_string(value).unwrap_or_else(|_| "null".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_added() {
        let object: Object = [("t", "23.50".parse::<Json>().unwrap())].into_iter().collect();
        assert_eq!(Document::of(&object).with("n", &1).0, r#"{"t":23.50,"n":1}"#);
        assert_eq!(Document::of(&Object::default()).with("a", &["x"]).0, r#"{"a":["x"]}"#);
    }
}
