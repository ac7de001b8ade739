//! The JSON Schema of rule files, made of the tables by which they are checked.

use serde_json::{Map as Members, Value, json};

use super::check::UNIT_KEYS;
use super::shape::{self, CONDITIONS, FILE, MapShape, STEP, TRIGGERS, ValueKind};
use crate::action::ACTIONS;

/// The JSON Schema of rule files, for editors. One rule alone, as the API takes it, is `#/$defs/rule`.
#[must_use]
pub fn schema() -> Value {
    let mut definitions: Members<String, Value> =
        shape::all().map(|shape| (shape.name.to_owned(), of_shape(shape))).collect();
    for (name, family) in [("trigger", &TRIGGERS[..]), ("action", ACTIONS)] {
        definitions.insert(name.into(), json!({ "anyOf": refs(family) }));
    }
    let mut conditions = vec![json!({
        "type": ["string", "boolean"],
        "description": "An expression such as fan.power == \"on\".",
    })];
    conditions.extend(refs(&CONDITIONS));
    definitions.insert("condition".into(), json!({ "anyOf": conditions }));
    definitions.insert("duration".into(), duration());
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "twinhub rules",
        "$ref": format!("#/$defs/{}", FILE.name),
        "$defs": definitions,
    })
}

/// Everything that is read as a duration, but for numbers that are too large or too fine.
fn duration() -> Value {
    const NUMBER: &str = r"[0-9]+(\.[0-9]+)?";
    const UNIT: &str = "(ms|msec|millis|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?|w|wks?|weeks?)";
    const TIME: &str = r"T([0-9.]+H)?([0-9.]+M)?([0-9.]+S)?";
    const CLOCK: &str = r"[0-9]+:[0-5]?[0-9]:[0-5]?[0-9](\.[0-9]{1,3})?";
    let pattern = format!("^(({NUMBER} *{UNIT} *)+|P([0-9.]+W)?([0-9.]+D)?({TIME})?|{CLOCK}|{NUMBER})$");
    let units: Members<String, Value> = UNIT_KEYS
        .iter()
        .map(|unit| ((*unit).to_owned(), json!({ "type": "number", "minimum": 0 })))
        .collect();
    json!({
        "description": "90s, 1h 30m, PT1H30M (ISO 8601), 00:05:00, a number of seconds, or { minutes: 5 }; 366 days at most.",
        "anyOf": [
            { "type": "string", "pattern": pattern },
            { "type": "number", "minimum": 0 },
            { "type": "object", "properties": units, "minProperties": 1, "additionalProperties": false },
        ],
    })
}

fn of_shape(shape: &MapShape) -> Value {
    let properties: Members<String, Value> = shape
        .fields
        .iter()
        .map(|field| {
            let mut schema = of_kind(field.kind);
            if let Some(members) = schema.as_object_mut() {
                members.insert("description".into(), field.about.into());
            }
            (field.key.to_owned(), schema)
        })
        .collect();
    let needed: Vec<&str> = shape.fields.iter().filter(|field| field.needed).map(|field| field.key).collect();
    let mut schema = json!({
        "type": "object",
        "properties": properties,
        "required": needed,
        "additionalProperties": false,
    });
    if std::ptr::eq(shape, &raw const STEP)
        && let Some(members) = schema.as_object_mut()
    {
        members.insert("patternProperties".into(), json!({ "\\.": {} }));
    }
    schema
}

fn of_kind(kind: ValueKind) -> Value {
    match kind {
        ValueKind::Text | ValueKind::Template => json!({ "type": ["string", "number", "boolean"] }),
        ValueKind::Name => json!({ "type": ["string", "integer"], "pattern": "^[A-Za-z0-9._:-]{1,128}$" }),
        ValueKind::Bool => json!({ "type": "boolean" }),
        ValueKind::Number => json!({ "type": "number" }),
        ValueKind::Whole(from, to) => json!({ "type": "integer", "minimum": from, "maximum": to }),
        ValueKind::Duration | ValueKind::Offset => json!({ "$ref": "#/$defs/duration" }),
        ValueKind::Moment => json!({ "type": "string", "format": "date-time" }),
        ValueKind::TimeOfDay => {
            json!({ "type": "string", "pattern": "^[0-9]{1,2}:[0-9]{1,2}(:[0-9]{1,2})?$" })
        }
        ValueKind::Weekdays => json!({ "anyOf": [{ "type": "string" }, list(json!({ "type": "string" }))] }),
        ValueKind::Zone | ValueKind::Cron => json!({ "type": "string" }),
        ValueKind::Word(words) => json!({ "enum": words }),
        ValueKind::Words(words) => one_or_more(json!({ "enum": words })),
        ValueKind::Json => json!({}),
        ValueKind::Object => json!({ "type": "object" }),
        ValueKind::Selector => {
            json!({ "anyOf": [{ "type": ["string", "integer"] }, { "$ref": "#/$defs/devices" }] })
        }
        ValueKind::Place => json!({
            "anyOf": [{ "type": ["string", "number"], "pattern": "\\." }, { "$ref": "#/$defs/place" }],
        }),
        ValueKind::Headers => {
            json!({ "type": "object", "additionalProperties": of_kind(ValueKind::Template) })
        }
        ValueKind::Triggers => one_or_more(json!({ "$ref": "#/$defs/trigger" })),
        ValueKind::Conditions => one_or_more(json!({ "$ref": "#/$defs/condition" })),
        ValueKind::Condition => json!({ "$ref": "#/$defs/condition" }),
        ValueKind::Actions => one_or_more(json!({ "$ref": "#/$defs/action" })),
        ValueKind::Branches => one_or_more(json!({ "$ref": "#/$defs/branch" })),
        ValueKind::Wait => json!({ "anyOf": [of_kind(ValueKind::Conditions), { "$ref": "#/$defs/until" }] }),
        ValueKind::Rules => json!({
            "type": "object",
            "propertyNames": { "pattern": "^[A-Za-z0-9._:-]{1,128}$" },
            "additionalProperties": { "$ref": "#/$defs/rule" },
        }),
        ValueKind::Tests => one_or_more(json!({ "$ref": "#/$defs/test" })),
        ValueKind::Facts => json!({
            "type": "object",
            "patternProperties": { "\\.": {} },
            "additionalProperties": false,
        }),
        ValueKind::Steps => one_or_more(json!({ "$ref": "#/$defs/step" })),
        ValueKind::Expect => one_or_more(json!({ "type": ["string", "object"] })),
        ValueKind::Map(shape) => json!({ "$ref": format!("#/$defs/{}", shape.name) }),
    }
}

fn refs(shapes: &[&MapShape]) -> Vec<Value> {
    shapes.iter().map(|shape| json!({ "$ref": format!("#/$defs/{}", shape.name) })).collect()
}

fn list(of: Value) -> Value {
    json!({ "type": "array", "items": of })
}

fn one_or_more(of: Value) -> Value {
    json!({ "anyOf": [of.clone(), list(of)] })
}
