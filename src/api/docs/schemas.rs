//! Rules for all schemas of the description, which its sources follow without saying so.
//!
//! 1. An object without described members has any: `{"desired": {"power": "on"}}` fits.
//! 2. A struct that is flattened into another has its members there: one object in place of `allOf`.
//! 3. Of several forms a value has any one that fits it: an empty list is a list of both, so `anyOf`, not `oneOf`.
//! 4. An answer has its members. One that can be null is null where there is nothing to say; one that is left out
//!    instead is declared as `#[schema(nullable = false)]`, and one of which both happens has null as its default.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

const SCHEMAS: &str = "#/components/schemas/";

/// Brings all schemas of the document under the rules.
pub(super) fn complete(document: &mut Value) {
    each_object(document, &mut |schema| {
        open(schema);
        flatten(schema);
        loosen(schema);
    });
    let (sent, read) = (reached(document, "responses"), reached(document, "requestBody"));
    for name in sent.difference(&read) {
        each_object(&mut document["components"]["schemas"][name], &mut require);
    }
}

/// Calls `change` with each JSON object, those within before those around them.
fn each_object(value: &mut Value, change: &mut impl FnMut(&mut Map<String, Value>)) {
    match value {
        Value::Object(members) => {
            // An example is no schema, though it may look like one.
            for (_, member) in
                members.iter_mut().filter(|(name, _)| !matches!(&***name, "example" | "examples"))
            {
                each_object(member, change);
            }
            change(members);
        }
        Value::Array(items) => items.iter_mut().for_each(|item| each_object(item, change)),
        _ => {}
    }
}

/// Rule 1.
fn open(schema: &mut Map<String, Value>) {
    let is_object = allows(schema, "object");
    let described = ["properties", "additionalProperties", "propertyNames"];
    if is_object && described.iter().all(|name| !schema.contains_key(*name)) {
        schema.insert("additionalProperties".into(), true.into());
    }
}

/// Rule 2.
fn flatten(schema: &mut Map<String, Value>) {
    let is_plain = |part: &Value| part["properties"].is_object();
    if !schema.get("allOf").and_then(Value::as_array).is_some_and(|parts| parts.iter().all(is_plain)) {
        return;
    }
    let Some(Value::Array(parts)) = schema.remove("allOf") else { return };
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for mut part in parts {
        if let Value::Object(members) = part["properties"].take() {
            properties.extend(members);
        }
        if let Value::Array(names) = part["required"].take() {
            required.extend(names);
        }
    }
    schema.insert("type".into(), "object".into());
    schema.insert("properties".into(), properties.into());
    if !required.is_empty() {
        schema.insert("required".into(), required.into());
    }
}

/// Rule 3.
fn loosen(schema: &mut Map<String, Value>) {
    if let Some(forms) = schema.remove("oneOf") {
        schema.insert("anyOf".into(), forms);
    }
}

/// Rule 4.
fn require(schema: &mut Map<String, Value>) {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return };
    let null = json!({"type": "null"});
    let is_null_instead = |property: &Value| {
        let is_null = |form: &Value| form == &null;
        let can_be = property.as_object().is_some_and(|property| allows(property, "null"))
            || property["anyOf"].as_array().is_some_and(|forms| forms.iter().any(is_null));
        can_be && property.get("default").is_none()
    };
    let nullable =
        properties.iter().filter(|(_, property)| is_null_instead(property)).map(|(name, _)| name.clone());
    let listed = schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
    let listed = listed.iter().filter_map(Value::as_str).map(str::to_owned);
    let required: BTreeSet<String> = listed.chain(nullable).collect();
    if !required.is_empty() {
        schema.insert("required".into(), json!(required));
    }
}

/// Is a value of this type described?
fn allows(schema: &Map<String, Value>, kind: &str) -> bool {
    match schema.get("type") {
        Some(Value::String(only)) => only == kind,
        Some(Value::Array(kinds)) => kinds.iter().any(|one| one == kind),
        _ => false,
    }
}

/// The names of all schemas that this part of the operations refers to, by others too.
fn reached(document: &Value, part: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let paths = document["paths"].as_object().into_iter().flatten();
    for (_, operation) in paths.flat_map(|(_, path)| path.as_object().into_iter().flatten()) {
        follow(&operation[part], document, &mut found);
    }
    found
}

fn follow(value: &Value, document: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let referred =
                    member.as_str().filter(|_| name == "$ref").and_then(|at| at.strip_prefix(SCHEMAS));
                match referred {
                    Some(name) if found.insert(name.to_owned()) => {
                        follow(&document["components"]["schemas"][name], document, found);
                    }
                    Some(_) => {}
                    None => follow(member, document, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| follow(item, document, found)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A document with this one schema, which an operation answers with.
    fn completed(schema: Value) -> Value {
        let mut document = json!({
            "paths": {"/a": {"get": {"responses": {"200": {"$ref": "#/components/schemas/A"}}}}},
            "components": {"schemas": {"A": schema}},
        });
        complete(&mut document);
        document["components"]["schemas"]["A"].take()
    }

    #[test]
    fn free_objects_have_any_members() {
        assert_eq!(
            completed(json!({"type": "object"})),
            json!({"type": "object", "additionalProperties": true})
        );
        let typed = json!({"type": "object", "additionalProperties": {"type": "integer"}});
        assert_eq!(completed(typed.clone()), typed);
        let example = json!({"type": "string", "example": {"type": "object"}});
        assert_eq!(completed(example.clone()), example);
    }

    #[test]
    fn what_is_flattened_is_one_object() {
        let (text, number) = (json!({"type": "string"}), json!({"type": "integer"}));
        let parts = json!([
            {"type": "object", "properties": {"a": text}, "required": ["a"]},
            {"type": "object", "properties": {"b": number}},
        ]);
        let flat = json!({"type": "object", "properties": {"a": text, "b": number}, "required": ["a"]});
        assert_eq!(completed(json!({ "allOf": parts })), flat);
    }

    #[test]
    fn members_of_answers_are_there() {
        let one = json!({"anyOf": [{"type": "null"}, {"$ref": "#/components/schemas/A"}]});
        let properties = json!({"a": {"type": ["string", "null"]}, "b": one, "c": {"type": "string"}, "d": {},
            "e": {"type": ["string", "null"], "default": null}});
        let done = completed(json!({"type": "object", "properties": properties}));
        assert_eq!(done["required"], json!(["a", "b"]));
    }
}
