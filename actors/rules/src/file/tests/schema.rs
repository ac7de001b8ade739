//! The schema and the checker are one.

use serde_json::Value;

use super::{SHIPPED, rules};
use crate::action::ACTIONS;
use crate::file::schema;
use crate::file::shape::{self, CONDITIONS, TRIGGERS, ValueKind};
use crate::file::yaml;
use twinhub_domain::Json;

/// The part of JSON Schema that ours uses. The error has the place.
fn validate(root: &Value, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    let Some(schema) = schema.as_object() else { return Ok(()) };
    let fail = |what: &str| Err(format!("{at}: {what}: {value}"));
    for (keyword, said) in schema {
        match keyword.as_str() {
            "$ref" => {
                let target = root.pointer(&said.as_str().unwrap()[1..]).expect("a definition");
                validate(root, target, value, at)?;
            }
            "anyOf" => {
                let tried: Vec<_> =
                    said.as_array().unwrap().iter().map(|one| validate(root, one, value, at)).collect();
                if tried.iter().all(Result::is_err) {
                    return Err(tried.into_iter().map(|one| one.unwrap_err()).collect::<Vec<_>>().join("\n"));
                }
            }
            "type" => {
                let is = |name: &Value| match name.as_str().unwrap() {
                    "object" => value.is_object(),
                    "array" => value.is_array(),
                    "string" => value.is_string(),
                    "boolean" => value.is_boolean(),
                    "number" => value.is_number(),
                    "integer" => value.is_i64() || value.is_u64(),
                    other => panic!("{other}"),
                };
                let fits = said.as_array().map_or_else(|| is(said), |names| names.iter().any(is));
                if !fits {
                    return fail(&format!("is no {said}"));
                }
            }
            "enum" if !said.as_array().unwrap().contains(value) => return fail("is no such word"),
            "const" if said != value => return fail("is another"),
            "minimum" if value.as_f64() < said.as_f64() => return fail("is too small"),
            "maximum" if value.as_i64() > said.as_i64() => return fail("is too large"),
            "minProperties" => {
                if value
                    .as_object()
                    .is_some_and(|map| map.len() < usize::try_from(said.as_u64().unwrap()).unwrap())
                {
                    return fail("has too few keys");
                }
            }
            "required" => {
                for key in said.as_array().unwrap() {
                    if value.is_object() && value.get(key.as_str().unwrap()).is_none() {
                        return fail(&format!("lacks {key}"));
                    }
                }
            }
            "properties" => {
                for (key, inner) in value.as_object().into_iter().flatten() {
                    if let Some(schema) = said.get(key) {
                        validate(root, schema, inner, &format!("{at}/{key}"))?;
                    }
                }
            }
            "additionalProperties" => {
                for (key, inner) in value.as_object().into_iter().flatten() {
                    let known = schema.get("properties").is_some_and(|known| known.get(key).is_some());
                    let patterned = schema.contains_key("patternProperties") && key.contains('.');
                    match said {
                        Value::Bool(false) if !known && !patterned => return fail(&format!("has {key}")),
                        Value::Object(_) if !known => validate(root, said, inner, &format!("{at}/{key}"))?,
                        _ => {}
                    }
                }
            }
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    validate(root, said, item, &format!("{at}/{index}"))?;
                }
            }
            "enum" | "const" | "minimum" | "maximum" | "pattern" | "format" | "description" | "title"
            | "$schema" | "$defs" | "patternProperties" | "propertyNames" => {}
            other => panic!("{other} is not in this validator"),
        }
    }
    Ok(())
}

fn as_value(text: &str) -> Value {
    let json: Json = yaml::read(text).unwrap().root.unwrap().to_json();
    serde_json::from_str(&json.to_string()).unwrap()
}

#[test]
fn the_shipped_rules_fit_the_schema() {
    let schema = schema();
    for (name, text) in SHIPPED {
        validate(&schema, &schema, &as_value(text), name).unwrap();
        for rule in rules(text) {
            let source = serde_json::from_str(&Json::from(rule.source.object()).to_string()).unwrap();
            validate(&schema, &schema["$defs"]["rule"], &source, name).unwrap();
        }
    }
}

#[test]
fn the_schema_refuses_what_the_checker_refuses() {
    let schema = schema();
    for text in [
        "rules: { r: { actions: { log: x }, mode: singel } }",
        "rules: { r: { actions: { log: x }, trigers: { every: 5m } } }",
        "rules: { r: { actions: { loge: x } } }",
        "rules: { r: { triggers: { every: 5m } } }",
        "rules: { r: { actions: { command: fan } } }",
        "rules: { r: { actions: { log: x }, mode: queued, max: 101 } }",
        "version: 2",
    ] {
        assert!(validate(&schema, &schema, &as_value(text), "").is_err(), "{text}");
        assert!(super::parse(text).is_err(), "{text}");
    }
}

#[test]
fn the_schema_reads_durations_as_the_checker_does() {
    let schema = schema();
    let duration = &schema["$defs"]["duration"];
    let pattern = regex::Regex::new(duration["anyOf"][0]["pattern"].as_str().unwrap()).unwrap();
    let check = |written: &str, is_good: bool| {
        let text = format!("rules: {{ r: {{ actions: {{ log: x }}, cooldown: {written} }} }}");
        assert_eq!(super::parse(&text).is_ok(), is_good, "{written}");
        let value = &as_value(&text)["rules"]["r"]["cooldown"];
        let fits = match value.as_str() {
            Some(text) => pattern.is_match(text),
            None => validate(&schema, duration, value, "").is_ok(),
        };
        assert_eq!(fits, is_good, "{written}");
    };
    for good in [
        "500ms",
        "90s",
        "1h 30m",
        "1h30m",
        "5 minutes",
        "2min 1sec",
        "1.5h",
        "2w",
        "PT1H30M",
        "P1DT2H",
        "P2W",
        "PT0.5S",
        "00:05:00",
        "0:00:01.500",
        "\"300\"",
        "300",
        "1.5",
        "0",
        "0s",
        "{ minutes: 5 }",
        "{ hours: 1, seconds: 0.5 }",
    ] {
        check(good, true);
    }
    for wrong in [
        "soon",
        "5x",
        "5M",
        "-5m",
        "-5",
        "1h 30",
        "5us",
        "P1M",
        "P1H",
        "1e3m",
        "\"\"",
        "00:60:00",
        "00:05",
        "[5m]",
        "true",
        "{}",
        "{ minute: 5 }",
        "{ minutes: -5 }",
        "{ minutes: [5] }",
    ] {
        check(wrong, false);
    }
}

#[test]
fn every_key_of_the_tables_is_in_the_schema() {
    let schema = schema();
    for shape in shape::all() {
        let properties = &schema["$defs"][shape.name]["properties"];
        for field in shape.fields {
            assert!(properties.get(field.key).is_some(), "{}: {}", shape.name, field.key);
            if let ValueKind::Map(inner) = field.kind {
                assert!(shape::all().any(|shape| std::ptr::eq(shape, inner)), "{}", inner.name);
            }
        }
        let text = schema.to_string();
        assert!(text.contains(&format!("#/$defs/{}\"", shape.name)), "nothing leads to {}", shape.name);
    }
}

#[test]
fn key_words_are_no_other_keys() {
    for family in [&TRIGGERS[..], ACTIONS, &CONDITIONS[..]] {
        for shape in family {
            for other in family {
                let is_taken = other.fields[1..].iter().any(|field| field.key == shape.word());
                assert!(!is_taken, "{} is a key of {}", shape.word(), other.what);
            }
        }
    }
}
