//! First device in thirty seconds: start it, do what it says, and see the device.

use tokio::process::Command;

use crate::support::hub::Installation;
use crate::support::{WebSocketSession, within};

#[tokio::test]
async fn what_it_prints_at_the_start_is_all_one_needs() {
    let installation = Installation::new();
    let hub = installation.start().await;
    let mut live = WebSocketSession::of_readings(hub.http, None).await;

    shell(line(&hub.banner, "mosquitto_pub ")).await;
    let event = within("the reading, live", live.next()).await.unwrap();
    assert_eq!((&event["device_id"], &event["data"]["temperature"]), (&"test".into(), &23.5.into()));

    let shown = shell(line(&hub.banner, "curl ")).await;
    let device: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!((&device["id"], &device["status"]), (&"test".into(), &"online".into()));
    assert_eq!(device["reported"]["temperature"], 23.5);

    let unclaimed = hub.json("/api/devices/unclaimed").await;
    assert_eq!(unclaimed[0]["id"], "test");

    // A message that was acknowledged outlives the program.
    assert!(hub.terminate().await.success());
    let hub = installation.start().await;
    let history = hub.json("/api/devices/test/data").await;
    assert_eq!(history[0]["value"], 23.5);
}

#[tokio::test]
async fn the_page_the_documentation_and_the_descriptions_are_there() {
    let hub = Installation::new().start().await;
    for (name, kind) in [("page ", "text/html"), ("API ", "text/html")] {
        let url = hub.banner.lines().find_map(|line| line.trim().strip_prefix(name)).unwrap().trim();
        let response = within("an answer", reqwest::get(url)).await.unwrap();
        assert!(response.status().is_success(), "{url}: {}", response.status());
        assert!(response.headers()["content-type"].to_str().unwrap().starts_with(kind), "{url}");
    }
    let described = hub.json("/api/openapi.json").await;
    assert!(described["paths"]["/api/devices/{id}/twin"]["patch"].is_object());
    let printed = crate::support::hub::run(&["openapi"], &[]).await;
    let printed: serde_json::Value = serde_json::from_slice(&printed.stdout).unwrap();
    assert_eq!(printed, described);
    let described = hub.json("/api/asyncapi.json").await;
    assert_eq!(described["channels"]["session"]["address"], "/api/ws");
    let printed = crate::support::hub::run(&["asyncapi"], &[]).await;
    let printed: serde_json::Value = serde_json::from_slice(&printed.stdout).unwrap();
    assert_eq!(printed, described);
}

fn line<'a>(banner: &'a str, beginning: &str) -> &'a str {
    banner.lines().map(str::trim).find(|line| line.starts_with(beginning)).unwrap()
}

async fn shell(line: &str) -> String {
    let output = within("the command ends", Command::new("sh").args(["-c", line]).output()).await.unwrap();
    assert!(output.status.success(), "{line}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}
