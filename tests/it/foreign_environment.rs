//! Settings under the names that other systems give them in the environment.

use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use crate::support::hub::run;
use crate::support::within;

/// All that are read, each with a value, the key that it sets, and the value of that.
const SETTINGS: [(&str, &str, &str); 10] = [
    ("PORT", "8000", "listen = \"127.0.0.1:8000\"  # environment: PORT"),
    (
        "MQTT_BROKER",
        "broker.example",
        "mqtt = \"mqtt://broker.example:1884\"  # environment: MQTT_BROKER and MQTT_PORT",
    ),
    ("MQTT_PORT", "1884", "mqtt = "),
    ("MQTT_TOPIC", "plant/data", "sensor-data-topic = \"plant/data\"  # environment: MQTT_TOPIC"),
    (
        "ALLOWED_ORIGINS",
        "http://a, http://b/",
        "cors = [\"http://a\", \"http://b\"]  # environment: ALLOWED_ORIGINS",
    ),
    ("CORS_ORIGINS", "*", "cors = "),
    ("DATABASE_URL", "sqlite:/x.db", "database = \"sqlite:/x.db\"  # environment: DATABASE_URL"),
    ("DB_URL", "sqlite:///data/app.db", "database = "),
    ("OPENWEATHER_API_KEY", "k", "weather-key = \"***\"  # environment: OPENWEATHER_API_KEY"),
    ("DEFAULT_CITY", "Oslo", "weather-city = \"Oslo\"  # environment: DEFAULT_CITY"),
];

async fn printed(args: &[&str], environment: &[(&str, &str)]) -> String {
    let output = run(&[&["config"], args].concat(), environment).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn settings_of_other_systems_are_taken_where_ours_say_nothing() {
    let environment: Vec<(&str, &str)> = SETTINGS.iter().map(|(name, value, _)| (*name, *value)).collect();
    let text = printed(&[], &environment).await;
    for (name, _, line) in SETTINGS {
        assert!(text.contains(line), "{name}: {line}\n{text}");
    }
    for name in twinhub::config::FOREIGN_NAMES {
        let is_tried = SETTINGS.iter().any(|(tried, ..)| *tried == name) || name == "MQTT_HOST";
        assert!(is_tried, "{name}");
    }
    assert!(
        printed(&[], &[("MQTT_HOST", "h")])
            .await
            .contains("mqtt = \"mqtt://h:1883\"  # environment: MQTT_HOST")
    );

    // Whatever is ours wins: a variable, the file, a flag.
    let ours = [("TWINHUB_LISTEN", "127.0.0.1:9000"), ("TWINHUB_CORS", "http://ours")];
    let text = printed(&["--mqtt", "embedded"], &[&environment[..], &ours].concat()).await;
    assert!(text.contains("listen = \"127.0.0.1:9000\"  # environment: TWINHUB_LISTEN"), "{text}");
    assert!(text.contains("cors = [\"http://ours\"]  # environment: TWINHUB_CORS"), "{text}");
    assert!(text.contains("mqtt = \"embedded\"  # flag"), "{text}");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("hub.toml");
    let keys = "listen = '127.0.0.1:1'\nsensor-data-topic = 'ours/data'\nweather-city = 'Kyiv'\nweather-key = 'ours'\n";
    std::fs::write(&file, keys).unwrap();
    let text = printed(&["--config", file.to_str().unwrap()], &environment).await;
    for key in ["listen = \"127.0.0.1:1\"", "sensor-data-topic = \"ours/data\"", "weather-city = \"Kyiv\""] {
        assert!(text.contains(&format!("{key}  # file")), "{key}\n{text}");
    }
}

#[tokio::test]
async fn a_start_says_what_it_took_and_what_it_did_not() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(".env"), "PORT=1\n").unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_twinhub"))
        .args(["--mqtt-listen", "127.0.0.1:0", "--log-format", "json"])
        .current_dir(dir.path())
        .env_clear()
        .envs([("PORT", "0"), ("ALLOWED_ORIGINS", "http://localhost:3000"), ("MQTT_PORT", "1883")])
        .env("DATABASE_URL", "sqlite:///./iot_dashboard.db")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut seen: Vec<Value> = Vec::new();
    within("it says what it does with .env", async {
        while let Some(line) = log.next_line().await.unwrap() {
            seen.push(serde_json::from_str(&line).unwrap_or_default());
            if line.contains(".env") {
                return;
            }
        }
        panic!("it ended: {seen:?}");
    })
    .await;
    let told = |message: &str, option: &str| {
        seen.iter().find(|line| line["message"] == message && line["option"] == option).cloned()
    };
    let taken = "setting taken from the environment of another system";
    assert_eq!(told(taken, "listen").unwrap()["variables"], "PORT", "{seen:?}");
    assert_eq!(told(taken, "cors").unwrap()["variables"], "ALLOWED_ORIGINS");
    let refused = "setting of another system not taken";
    let database = told(refused, "database").unwrap();
    assert!(database["why"].as_str().unwrap().contains("Python"), "{database}");
    assert_eq!(told(refused, "mqtt").unwrap()["variables"], "MQTT_PORT");
    assert!(dir.path().join("data/twinhub.db").exists(), "the hub has a database of its own");
    let serving = seen.iter().find(|line| line["message"] == "serving").unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let page = format!("http://{}/health", serving["http"].as_str().unwrap());
    let answer = client.get(page).header("Origin", "http://localhost:3000").send().await.unwrap();
    assert_eq!(answer.headers()["access-control-allow-origin"], "http://localhost:3000");
    let mut banner = BufReader::new(child.stdout.take().unwrap()).lines();
    within("the banner says so too", async {
        while let Some(line) = banner.next_line().await.unwrap() {
            if line == "  listen: taken from PORT" {
                return;
            }
        }
        panic!("it does not");
    })
    .await;
}
