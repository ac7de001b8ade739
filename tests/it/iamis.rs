//! The clients of seed 001, iamis-backend: its page, its sensors and its scripts, as they are.

mod data;
mod errors;
mod layout;
mod mqtt;
mod page;

use serde_json::{Value, json};

use crate::support::HubProcess;

/// The place of this repository.
const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A reading, as a program posts it.
fn reading(sensor_type: &str, value: f64) -> Value {
    json!({ "sensor_type": sensor_type, "value": value, "unit": "x" })
}

/// The members of the readings at `path`.
async fn listed(hub: &HubProcess, path: &str, member: &str) -> Vec<Value> {
    let page = hub.json(path).await;
    page.as_array().unwrap().iter().map(|reading| reading[member].clone()).collect()
}
