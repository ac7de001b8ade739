//! The document describes the frames that are read and written.

use std::collections::BTreeSet;

use super::examples::EXAMPLES;
use super::*;
use crate::live::ws;

fn messages() -> Map<String, Value> {
    asyncapi()["components"]["messages"].as_object().unwrap().clone()
}

/// The schema of a message, with all that it refers to.
fn validator(payload: &Value) -> jsonschema::Validator {
    let mut schema = payload.clone();
    schema["$schema"] = "http://json-schema.org/draft-07/schema#".into();
    schema["components"] = asyncapi()["components"].clone();
    jsonschema::validator_for(&schema).unwrap()
}

#[test]
fn each_message_has_examples_that_fit_it() {
    let messages = messages();
    for (name, text) in EXAMPLES {
        let example: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let message = messages.get(*name).unwrap_or_else(|| panic!("there is no message {name}"));
        if let Err(error) = validator(&message["payload"]).validate(&example) {
            panic!("{name}: {error} at {}", error.instance_path());
        }
    }
    for (name, message) in messages {
        assert!(EXAMPLES.iter().any(|(of, _)| *of == name), "{name} has no example");
        assert!(message["summary"].as_str().is_some_and(|summary| summary.ends_with('.')), "{message}");
    }
}

#[test]
fn each_frame_that_is_read_is_described_with_all_its_members() {
    let messages = messages();
    let described: BTreeSet<_> =
        asyncapi()["operations"]["request"]["messages"].as_array().unwrap().iter().map(name_of).collect();
    assert_eq!(described, ClientFrame::members().iter().map(|(name, _)| (*name).to_owned()).collect());
    for (name, members) in ClientFrame::members() {
        let of_message = messages[name]["payload"]["properties"].as_object().unwrap();
        let described: BTreeSet<_> = of_message.keys().map(String::as_str).collect();
        let read: BTreeSet<_> = members.into_iter().chain(["type"]).collect();
        assert_eq!(described, read, "{name}");
        assert_eq!(messages[name]["payload"]["additionalProperties"], false);
    }
    for (name, text) in EXAMPLES {
        if ClientFrame::members().iter().any(|(request, _)| *request == *name) {
            assert!(ws::is_read(text), "{text}");
        }
    }
}

fn name_of(reference: &Value) -> String {
    reference["$ref"].as_str().unwrap().rsplit('/').next().unwrap().to_owned()
}

#[test]
fn each_reference_leads_somewhere() {
    fn check(document: &Value, value: &Value) {
        match value {
            Value::Object(members) => {
                if let Some(to) = members.get("$ref").and_then(Value::as_str) {
                    assert!(document.pointer(to.trim_start_matches('#')).is_some(), "{to}");
                }
                members.values().for_each(|value| check(document, value));
            }
            Value::Array(items) => items.iter().for_each(|item| check(document, item)),
            _ => {}
        }
    }
    let document = asyncapi();
    check(&document, &document);
}
