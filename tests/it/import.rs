//! Devices, groups and templates come in from a file, line by line, and go out into one that can be taken in again.

mod command_line;
mod lines;
mod round_trip;

use std::path::PathBuf;

use reqwest::{Method, Response};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::HubProcess;
use crate::support::hub::run;

async fn make_group(hub: &HubProcess, id: &str) {
    let made = hub.post("/api/groups", &json!({ "id": id, "name": id })).await;
    assert_eq!(made.status(), 201);
}

/// Twins as they should be the same in two hubs.
async fn documents(hub: &HubProcess) -> Vec<Value> {
    let mut documents = Vec::new();
    for device in hub.json("/api/devices?sort=id").await.as_array().unwrap() {
        let mut twin = hub.json(&format!("/api/devices/{}/twin", device["id"].as_str().unwrap())).await;
        for name in ["number", "version", "created_at", "updated_at", "metadata"] {
            twin.as_object_mut().unwrap().remove(name);
        }
        documents.push(twin);
    }
    documents
}

/// `17 name missing_field`
fn said(refused: &Value) -> String {
    let text = |name: &str| refused[name].as_str().unwrap_or("-").to_owned();
    format!("{} {} {}", refused["line"], text("field"), text("code"))
}

async fn send(hub: &HubProcess, query: &str, body: Vec<u8>) -> Response {
    let request = hub.request(Method::POST, &format!("/api/devices/import?{query}"));
    request.body(body).send().await.unwrap()
}

async fn import(hub: &HubProcess, query: &str, body: &str) -> Value {
    import_to(hub, "devices", query, body).await
}

async fn import_to(hub: &HubProcess, what: &str, query: &str, body: &str) -> Value {
    let request = hub.request(Method::POST, &format!("/api/{what}/import?{query}"));
    let response = request.body(body.to_owned()).send().await.unwrap();
    let status = response.status();
    let text = response.text().await.unwrap();
    assert_eq!(status, 200, "{text}");
    serde_json::from_str(&text).unwrap()
}

/// The output of the program when it ends with this status.
async fn command(args: &[&str], status: i32) -> String {
    let output = run(args, &[]).await;
    let told = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(status), "{told}{}", String::from_utf8_lossy(&output.stderr));
    told
}

/// A folder for files.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(TempDir::with_prefix("twinhub-test-").unwrap())
    }

    fn path(&self, name: &str) -> String {
        let path: PathBuf = self.0.path().join(name);
        path.to_str().unwrap().to_owned()
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}
