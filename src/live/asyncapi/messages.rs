//! The messages of the document and their schemas: made by utoipa for OpenAPI, and brought into the form of AsyncAPI.

use serde_json::{Map, Value, json};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::examples;

const SCHEMAS: &str = "#/components/schemas/";

/// Messages and schemas so far.
#[derive(Default)]
pub(super) struct Messages {
    schemas: Map<String, Value>,
    messages: Map<String, Value>,
}

impl Messages {
    /// Adds a message for each variant of an enum whose tag is `type`. Returns their names, which are the tags.
    pub fn frames<E: ToSchema>(&mut self) -> Vec<String> {
        let schema = self.schema_of::<E>();
        let variants = schema["oneOf"].as_array().cloned().unwrap_or_default();
        variants.into_iter().filter_map(|variant| self.frame(variant)).collect()
    }

    fn frame(&mut self, variant: Value) -> Option<String> {
        let mut payload = self.merged(variant);
        let name = payload["properties"]["type"]["enum"][0].as_str()?.to_owned();
        let summary = payload.as_object_mut()?.remove("description");
        self.put(&name, summary.as_ref().and_then(Value::as_str).unwrap_or_default(), payload);
        Some(name)
    }

    /// Adds a message called `name` whose payload is a `T`.
    pub fn add<T: ToSchema>(&mut self, name: &str, summary: &str) -> String {
        let schema = self.schema_of::<T>();
        let payload = self.merged(schema);
        self.put(name, summary, payload);
        name.to_owned()
    }

    /// Says of these messages that they have the described members alone.
    pub fn refuse_unknown_members(&mut self, names: &[String]) {
        for name in names {
            self.messages[name]["payload"]["additionalProperties"] = false.into();
        }
    }

    /// The schemas and the messages, by name.
    pub fn finish(self) -> (Map<String, Value>, Map<String, Value>) {
        (self.schemas, self.messages)
    }

    fn put(&mut self, name: &str, summary: &str, payload: Value) {
        let examples: Vec<_> = examples::of(name).map(|payload| json!({ "payload": payload })).collect();
        let message = json!({ "name": name, "summary": summary, "payload": payload, "examples": examples });
        self.messages.insert(name.to_owned(), message);
    }

    /// The schema of `T`; those that it refers to are added.
    fn schema_of<T: ToSchema>(&mut self) -> Value {
        let mut named: Vec<(String, RefOr<Schema>)> = Vec::new();
        T::schemas(&mut named);
        for (name, schema) in named {
            self.schemas.insert(name, converted(&schema));
        }
        converted(&<T as PartialSchema>::schema())
    }

    /// An object of which some members stand in other schemas (`allOf`), as one object.
    fn merged(&self, schema: Value) -> Value {
        let Some(parts) = schema["allOf"].as_array() else { return schema };
        let mut whole = json!({ "type": "object", "properties": {}, "required": [] });
        for part in parts {
            let name = part["$ref"].as_str().and_then(|to| to.strip_prefix(SCHEMAS));
            let part = name.and_then(|name| self.schemas.get(name)).unwrap_or(part);
            let part = self.merged(part.clone());
            if let (Some(members), Some(more)) =
                (whole["properties"].as_object_mut(), part["properties"].as_object())
            {
                members.extend(more.clone());
            }
            if let (Some(required), Some(more)) =
                (whole["required"].as_array_mut(), part["required"].as_array())
            {
                required.extend(more.clone());
            }
        }
        if let Some(description) = schema.get("description") {
            whole["description"] = description.clone();
        }
        whole
    }
}

/// A schema in the dialect of AsyncAPI, JSON Schema draft 7.
fn converted(schema: &RefOr<Schema>) -> Value {
    let mut value = serde_json::to_value(schema).unwrap_or_default(); // texts and numbers
    convert(&mut value);
    value
}

/// Turns `example`, which is OpenAPI's own word, into `examples`.
fn convert(schema: &mut Value) {
    let Some(members) = schema.as_object_mut() else { return };
    if let Some(example) = members.remove("example") {
        members.insert("examples".into(), json!([example]));
    }
    for (word, value) in members {
        match word.as_str() {
            "properties" => value.as_object_mut().into_iter().flat_map(Map::values_mut).for_each(convert),
            "items" | "additionalProperties" | "propertyNames" => convert(value),
            "allOf" | "anyOf" | "oneOf" => value.as_array_mut().into_iter().flatten().for_each(convert),
            _ => {}
        }
    }
}
