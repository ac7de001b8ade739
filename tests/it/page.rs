//! The page, in a real browser.

use crate::support::hub::Installation;
use crate::support::pump::register;
use crate::support::rules::{Rules, done, not_run, report};
use crate::support::{Browser, HubProcess};

#[tokio::test]
async fn it_shows_what_to_try_and_then_the_devices_that_came() {
    let hub = Installation::new().start().await;
    let port = hub.mqtt.unwrap().port();
    let mut page = open(&hub, "/").await;
    // The line to try names the port.
    page.shows(&["No devices yet", &format!("-p {port}"), "live"]).await;

    // The open page follows.
    let body = serde_json::json!({ "device_id": "pump-1", "name": "Garden <b>pump</b>" });
    assert_eq!(hub.post("/api/devices", &body).await.status(), 201);
    let readings = serde_json::json!({ "flow": 12.25, "door": "open" });
    assert_eq!(hub.post("/api/devices/pump-1/data", &readings).await.status(), 201);
    // A name is text, not markup.
    page.shows(&["Garden <b>pump</b>", "pump-1", "online", "flow", "12.25", "open", "1 device", "live"])
        .await;
    // One that is opened now shows the same.
    open(&hub, "/")
        .await
        .shows(&["Garden <b>pump</b>", "pump-1", "online", "12.25", "1 device", "live"])
        .await;
}

#[tokio::test]
async fn it_shows_what_is_wrong_and_what_rules_did_and_did_not() {
    let text = "version: 1\nrules:\n  hot:\n    alias: Oven <i>hot</i>\n    triggers:\n      - numeric: oven.temperature\n        \
                above: 100\n    actions:\n      - alarm: oven-hot\n        severity: major\n        message: it is {{ trigger.value }} °C\n  \
                guarded:\n    triggers: [ { numeric: oven.temperature, above: 100 } ]\n    conditions: [ oven.temperature > 500 ]\n    \
                actions: [ { log: x } ]\n";
    let rules = Rules::of("oven.yaml", text);
    rules.write("broken.yaml", "version: 1\nruls: {}\n");
    let hub = Installation::new().with("--rules", rules.folder()).start().await;
    register(&hub, "oven").await;
    report(&hub, "oven", &serde_json::json!({ "temperature": 120.5 })).await;
    done(&hub, "hot").await;
    not_run(&hub, "guarded", "condition").await;
    let mut page = open(&hub, "/").await;
    page.shows(&["Oven <i>hot</i>", "it is 120.5 °C", "major", "Acknowledge", "running"]).await;
    page.shows(&["not run: condition", "broken.yaml:2:1"]).await;
}

#[tokio::test]
async fn the_docs_show_every_route_although_they_may_load_nothing_else() {
    let hub = Installation::new().start().await;
    let mut docs = open(&hub, "/docs/").await;
    docs.shows(&["A live digital twin of every IoT device", "/api/devices/{id}/twin", "PATCH"]).await;
}

async fn open(hub: &HubProcess, path: &str) -> Browser {
    Browser::open(&format!("http://{}{path}", hub.http)).await
}
