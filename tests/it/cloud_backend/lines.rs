//! The lines that the text of the original gives its users to try, word for word but the ports.

use serde_json::{Value, json};
use tokio::process::Command;

use super::{Sensor, ago};
use crate::support::hub::{HubProcess, Installation};
use crate::support::within;

const LOGIN: &str = r#"curl -X POST "http://localhost:8000/v1/auth/login" \
  -H "Content-Type: application/json" \
  -d '{"username": "admin", "password": "admin123"}'"#;
const WITH_TOKEN: &str = r#"curl -H "Authorization: Bearer <token>" \
  "http://localhost:8000/v1/sensors/latest""#;
const LATEST: &str = r#"curl "http://localhost:8000/v1/sensors/latest""#;
const HISTORY: &str =
    r#"curl "http://localhost:8000/v1/sensors/history?sensor_id=temp-001&limit=50&hours=24""#;
const COMPARE: &str = r#"curl "http://localhost:8000/v1/sensors/compare/weather?city=London""#;
const HEALTH: &str = "curl http://localhost:8000/health";

/// Runs a line with our port in it; what it prints is JSON.
async fn shell(hub: &HubProcess, line: &str) -> Value {
    let line = line.replace("localhost:8000", &format!("localhost:{}", hub.http.port()));
    let output = within("it ends", Command::new("sh").args(["-c", &line]).output()).await.unwrap();
    assert!(output.status.success(), "{line}: {output:?}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{line}: {error} {output:?}"))
}

#[tokio::test]
async fn each_line_of_the_text_does_what_it_says() {
    let hub = Installation::new()
        .in_environment("DEMO_USER", "admin")
        .in_environment("DEMO_PASS", "admin123")
        .in_environment("JWT_SECRET", "your-secret-key")
        .with("--dialect-access", "002=viewer")
        .start()
        .await;
    let payload = json!({ "value": 23.5, "unit": "°C", "origin": "edge", "ts": ago(120) });
    Sensor::connect(&hub).await.say("sensors/temperature/temp-001", &payload).await;

    let signed_in = shell(&hub, LOGIN).await;
    assert_eq!((&signed_in["token_type"], &signed_in["expires_in"]), (&json!("bearer"), &json!(86_400)));
    let token = signed_in["access_token"].as_str().unwrap();
    let latest = shell(&hub, &WITH_TOKEN.replace("<token>", token)).await;
    assert_eq!(shell(&hub, LATEST).await, latest);
    assert_eq!(latest["sensors"]["temperature"][0]["value"], 23.5);
    assert_eq!(latest["total_count"], 1);
    let history = shell(&hub, HISTORY).await;
    assert_eq!((&history["sensor_id"], &history["count"]), (&json!("temp-001"), &json!(1)));
    let compared = shell(&hub, COMPARE).await;
    assert_eq!(compared["weather_data"]["city"], "London");
    assert_eq!(compared["sensor_data"]["temperature"]["sensor_id"], "temp-001");
    let health = shell(&hub, HEALTH).await;
    assert_eq!(health["status"], "healthy");
    let services = json!({ "mqtt": "connected", "database": "available", "weather": "available" });
    assert_eq!(health["services"], services);
}

#[tokio::test]
async fn its_description_is_where_it_was() {
    let hub = Installation::new().start().await;
    let document = hub.json("/openapi.json").await;
    let paths = document["paths"].as_object().unwrap();
    for path in
        ["/v1/auth/login", "/v1/sensors/history", "/v1/sensors/compare/weather", "/health", "/api/status"]
    {
        assert!(paths.contains_key(path), "{path}");
    }
    for path in ["/docs", "/redoc"] {
        let page = hub.get(path).await;
        assert_eq!(page.status(), 200, "{path}");
        assert!(page.headers()["content-type"].to_str().unwrap().starts_with("text/html"));
    }
    assert!(hub.get("/redoc").await.text().await.unwrap().contains("/v1/sensors/latest"));
    let settings = hub.get("/docs/swagger-initializer.js").await.text().await.unwrap();
    assert!(settings.contains("/openapi.json") && settings.contains("/api/openapi.json"), "{settings}");
}
