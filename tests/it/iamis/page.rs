//! The system's own page, which asks by axios of npm.

use serde_json::{Value, json};
use tokio::process::Command;

use super::ROOT;
use crate::support::hub::Installation;
use crate::support::within;

#[tokio::test]
async fn the_page_shows_what_it_saved_and_what_sensors_said() {
    let hub = Installation::new().start().await;
    let mut page = Command::new("node");
    page.arg(format!("{ROOT}/tests/it/iamis/page.cjs"))
        .arg(format!("http://{}", hub.http))
        .kill_on_drop(true);
    let output = within("the page ends", page.output()).await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "has tests/clients/install installed what it needs? {said}");
    let said: Vec<Value> = output
        .stdout
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect();
    let expected = [
        json!({ "on": "health", "data": { "status": "Healthy", "mqtt_connected": true } }),
        json!({ "on": "layout", "data": { "tiles": [] } }),
        json!({ "on": "saved", "data": { "status": "ok", "savedTiles": 2 } }),
        json!({ "on": "temperature", "data": [[1, true], [2, true], [3, true]] }),
        json!({ "on": "humidity", "data": [] }),
        json!({ "on": "moved", "data": [201, 4] }),
        json!({ "on": "failed", "data": [422, ["body.value", "body.unit"]] }),
    ];
    assert_eq!(said, expected);
}

/// Its page comes from another origin.
#[tokio::test]
async fn a_page_of_another_origin_may_ask() {
    let hub = Installation::new().with("--cors", "http://localhost:3000").start().await;
    let preflight = hub
        .request(reqwest::Method::OPTIONS, "/sensor-data/")
        .header("Origin", "http://localhost:3000")
        .header("Access-Control-Request-Method", "POST")
        .header("Access-Control-Request-Headers", "content-type");
    let answer = preflight.send().await.unwrap();
    assert_eq!(answer.status(), 200);
    for path in
        ["/sensor-data/t/", "/sensor-data/t", "/sensor-data/t/?page=x", "/api/layout", "/health-check/"]
    {
        let asked = hub.request(reqwest::Method::GET, path).header("Origin", "http://localhost:3000");
        let answer = asked.send().await.unwrap();
        let allowed =
            answer.headers().get("Access-Control-Allow-Origin").map(|origin| origin.to_str().unwrap());
        assert_eq!(allowed, Some("http://localhost:3000"), "{path}");
    }
}
