//! The layout of the dashboard.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::hub::Installation;

#[tokio::test]
async fn a_layout_is_kept_as_it_was_saved_and_over_a_power_cut() {
    let installation = Installation::new();
    let hub = installation.start().await;
    assert_eq!(hub.json("/api/layout").await, json!({ "tiles": [] }), "before anybody has saved one");

    // Members that it does not know are dropped; those of the layout itself keep their order.
    let body = r#"{"tiles":[{"id":"tile-1","title":"Temperature Sensor","sensorType":"temperature",
        "colour":"red","layout":{"i":"tile-1","x":0,"y":0,"w":4,"h":3}}],"version":2}"#;
    let post = hub.request(Method::POST, "/api/layout").header("Content-Type", "application/json").body(body);
    let saved: Value = post.send().await.unwrap().json().await.unwrap();
    assert_eq!(saved, json!({ "status": "ok", "savedTiles": 1 }));
    let kept = concat!(
        r#"{"tiles":[{"id":"tile-1","title":"Temperature Sensor","sensorType":"temperature","#,
        r#""layout":{"i":"tile-1","x":0,"y":0,"w":4,"h":3}}]}"#
    );
    assert_eq!(hub.get("/api/layout").await.text().await.unwrap(), kept);

    // One that is refused leaves it as it was.
    assert_eq!(hub.post("/api/layout", &json!({ "tiles": [{ "id": "x" }] })).await.status(), 422);
    hub.kill().await;
    let hub = installation.start().await;
    assert_eq!(hub.get("/api/layout").await.text().await.unwrap(), kept);

    let emptied: Value = hub.post("/api/layout", &json!({ "tiles": [] })).await.json().await.unwrap();
    assert_eq!(emptied, json!({ "status": "ok", "savedTiles": 0 }));
    assert_eq!(hub.json("/api/layout").await, json!({ "tiles": [] }), "it is replaced as a whole");
}
