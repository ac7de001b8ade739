//! Frames as the AsyncAPI document describes them.

use std::collections::HashMap;
use std::sync::LazyLock;

use jsonschema::Validator;
use serde_json::Value;

/// The checks of both directions, made once.
static FRAMES: LazyLock<FrameSchemas> = LazyLock::new(|| {
    let document = twinhub::live::asyncapi();
    FrameSchemas { requests: validators(&document, "request"), of_hub: validators(&document, "notify") }
});

struct FrameSchemas {
    requests: HashMap<String, Validator>,
    of_hub: HashMap<String, Validator>,
}

/// The difference between a frame of the hub and the document, where there is one.
pub fn difference(frame: &Value) -> Option<String> {
    difference_to(&FRAMES.of_hub, frame)
}

/// The difference between a request frame and the document, where there is one.
pub fn difference_of_request(frame: &Value) -> Option<String> {
    difference_to(&FRAMES.requests, frame)
}

fn difference_to(described: &HashMap<String, Validator>, frame: &Value) -> Option<String> {
    let Some(described) = frame["type"].as_str().and_then(|name| described.get(name)) else {
        return Some(format!("no message of this type: {frame}"));
    };
    let error = described.validate(frame).err()?;
    Some(format!("{error} at {}: {frame}", error.instance_path()))
}

/// By type, the check of each message of an operation.
fn validators(document: &Value, operation: &str) -> HashMap<String, Validator> {
    let messages = document["operations"][operation]["messages"].as_array().unwrap();
    let names = messages.iter().map(|message| message["$ref"].as_str().unwrap().rsplit('/').next().unwrap());
    names
        .map(|name| {
            let mut schema = document["components"]["messages"][name]["payload"].clone();
            schema["$schema"] = "http://json-schema.org/draft-07/schema#".into();
            schema["components"] = document["components"].clone();
            (name.to_owned(), jsonschema::validator_for(&schema).unwrap())
        })
        .collect()
}
