//! The programs of this system: its page, by axios of npm and the WebSocket of Node.js, and its edge scripts, by paho of
//! PyPI.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use super::ROOT;
use crate::support::hub::Installation;
use crate::support::{HubProcess, within};

/// Has the edge script of a sensor publish these values.
async fn edge(hub: &HubProcess, sensor: &str, values: &[&str]) {
    let mut paho = Command::new(format!("{ROOT}/target/clients/python/bin/python"));
    paho.arg(format!("{ROOT}/tests/it/cloud_backend/edge.py"));
    paho.args([&hub.mqtt.unwrap().port().to_string(), sensor]).args(values).kill_on_drop(true);
    let ended = within("the edge script ends", paho.status()).await;
    assert!(ended.expect("tests/clients/install has installed it").success());
}

#[tokio::test]
async fn the_page_shows_what_the_edge_scripts_publish() {
    let hub = Installation::new().with("--cors", "http://localhost:8080").start().await;
    for (sensor, values) in [("temp-001", ["21.5", "22.5", "48.5"]), ("hum-001", ["55", "56.5", "57"])] {
        edge(&hub, sensor, &values).await;
    }
    let mut page = Command::new("node")
        .arg(format!("{ROOT}/tests/it/cloud_backend/page.cjs"))
        .arg(format!("http://{}", hub.http))
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(page.stdout.take().unwrap()).lines();
    let mut next = async || -> Value {
        let line = within("the page says something", lines.next_line()).await.unwrap();
        serde_json::from_str(&line.expect("has tests/clients/install installed what it needs?")).unwrap()
    };
    for expected in [
        json!(["latest", ["humidity", "temperature"], 2]),
        json!(["history", 3, [48.5, 22.5, 21.5]]),
        json!(["stats", 6, 1]),
        json!(["compare", "London", "temp-001"]),
        json!(["failed", 422, "limit"]),
        json!(["connection", "connected"]),
        json!(["pong"]),
    ] {
        assert_eq!(next().await, expected);
    }
    edge(&hub, "press-001", &["1013.2", "990.5"]).await;
    assert_eq!(next().await, json!(["sensor_data", "pressure", "press-001", 1013.2, "hPa"]));
    assert_eq!(next().await, json!(["sensor_data", "pressure", "press-001", 990.5, "hPa"]));
    let status = within("the page ends", page.wait()).await.unwrap();
    assert!(status.success());
}
