//! One thing done to many devices: online and away, paused, canceled, tried again, killed half way and resumed.

mod api;
mod command_line;
mod killed;

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::pump::register;
use crate::support::{HubProcess, eventually};

/// Registers `d0`, `d1`, … and gives their ids.
async fn devices(hub: &HubProcess, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for n in 0..count {
        let id = format!("d{n}");
        register(hub, &id).await;
        ids.push(id);
    }
    ids
}

/// Makes a job, and gives its id.
async fn make(hub: &HubProcess, body: &Value) -> String {
    let made = hub.post("/api/devices/bulk", body).await;
    let (status, location) = (made.status(), made.headers().get("Location").cloned());
    let job: Value = made.json().await.unwrap();
    assert_eq!(status, StatusCode::ACCEPTED, "{job}");
    let id = job["id"].as_str().unwrap().to_owned();
    assert_eq!(location.unwrap(), format!("/api/jobs/{id}"));
    id
}

async fn show(hub: &HubProcess, job: &str) -> Value {
    hub.json(&format!("/api/jobs/{job}")).await
}

/// Waits until the job stands so.
async fn until(hub: &HubProcess, job: &str, status: &str) -> Value {
    eventually(status, async || Some(show(hub, job).await).filter(|job| job["status"] == status)).await
}

/// A word to a job, and what it says.
async fn steer(hub: &HubProcess, job: &str, how: &str) -> (StatusCode, Value) {
    let said = hub.post(&format!("/api/jobs/{job}/{how}"), &json!({})).await;
    (said.status(), said.json().await.unwrap())
}

/// The devices of a job in this state, with the reasons.
async fn in_state(hub: &HubProcess, job: &str, state: &str) -> Vec<(String, Value)> {
    let devices = hub.json(&format!("/api/jobs/{job}/devices?state={state}&limit=1000")).await;
    let of = |device: &Value| (device["device_id"].as_str().unwrap().to_owned(), device["reason"].clone());
    devices.as_array().unwrap().iter().map(of).collect()
}

/// The number of changes of this device that the job has brought about.
async fn turns(hub: &HubProcess, job: &str, device: &str) -> usize {
    let events = hub.json(&format!("/api/devices/{device}/events?kind=twin&limit=1000")).await;
    let is_turn = |event: &&Value| event["cause"] == json!({ "source": "job", "by": job });
    events.as_array().unwrap().iter().filter(is_turn).count()
}
