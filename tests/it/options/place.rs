//! Options of where things lie, what is logged, and what is let in and out.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use crate::support::hub::{Installation, run};
use crate::support::pump::register;
use crate::support::receiver::{WebhookServer, redirecting};
use crate::support::rules::{Rules, report};
use crate::support::{HubProcess, eventually, within};

/// The first line of its log with `part` in it, of a hub that is started with these options, and ended then.
async fn line(args: &[&str], part: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_twinhub"))
        .args(args)
        .args(["--mqtt-listen", "127.0.0.1:0", "--data-dir"])
        .arg(dir.path())
        .current_dir(dir.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    within("a line of the log", async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.contains(part) {
                return line;
            }
        }
        panic!("it ended without {part}")
    })
    .await
}

#[tokio::test]
async fn data_lie_in_the_configured_folder() {
    let dir = tempfile::tempdir().unwrap();
    let (database, key) = (dir.path().join("other.db"), dir.path().join("hub.key"));
    std::fs::write(&key, "0f".repeat(32)).unwrap(); // one that is named is not made
    let url = format!("sqlite://{}?mode=rwc", database.display());
    let installation = Installation::new().with("--database", &url).with("--key-file", key.to_str().unwrap());
    let hub = installation.start().await;
    register(&hub, "a").await;
    report(&hub, "a", &json!({ "n": 1 })).await;
    hub.terminate().await;
    assert!(database.exists());
    assert!(!installation.data.join("twinhub.db").exists() && !installation.data.join("secret.key").exists());
    let again = installation.start().await;
    assert_eq!(again.json("/api/devices/a/data").await[0]["value"], 1);
    again.terminate().await;
    std::fs::write(&key, "f0".repeat(32)).unwrap();
    let args = ["--database", &url, "--key-file", key.to_str().unwrap(), "--listen", "127.0.0.1:0"];
    let other =
        [&args[..], &["--mqtt-listen", "127.0.0.1:0", "--data-dir", installation.data.to_str().unwrap()]];
    let refused = run(&other.concat(), &[]).await;
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(2) && told.contains("key"), "with another key: {told}");
}

#[tokio::test]
async fn the_log_has_the_configured_level() {
    let hub = Installation::new().with("--log", "trace").start().await;
    hub.logs(r#""level":"TRACE""#).await;
    hub.terminate().await;
    let hub = Installation::new().start().await;
    register(&hub, "a").await;
    report(&hub, "a", &json!({ "n": 1 })).await;
    let quiet = |line: &String| !line.contains(r#""level":"TRACE""#) && !line.contains(r#""level":"DEBUG""#);
    assert!(hub.log().iter().all(quiet), "not if it is not asked for");
}

#[tokio::test]
async fn the_log_is_text_or_json() {
    let listen = ["--listen", "127.0.0.1:0", "--log-format"];
    let json = line(&[&listen[..], &["json"]].concat(), "serving").await;
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap()["message"], "serving");
    let text = line(&[&listen[..], &["text"]].concat(), "serving").await;
    assert!(serde_json::from_str::<Value>(&text).is_err(), "{text}");
    let auto = line(&[&listen[..], &["auto"]].concat(), "serving").await;
    assert!(serde_json::from_str::<Value>(&auto).is_ok(), "JSON, where it is no terminal: {auto}");
}

#[tokio::test]
async fn the_largest_body() {
    let hub = Installation::new().with("--body-limit", "100B").start().await;
    let posted = async |length: usize| {
        let body = format!("{:<length$}", r#"{"device_id": "a", "name": "A"}"#);
        hub.request(reqwest::Method::POST, "/api/devices").body(body).send().await.unwrap().status().as_u16()
    };
    assert_eq!((posted(101).await, posted(100).await), (413, 201));
}

#[tokio::test]
async fn other_machines_are_served_where_that_is_allowed() {
    let told =
        line(&["serve", "--listen", "0.0.0.0:0", "--open-to-network", "--log-format", "json"], "serving")
            .await;
    let serving: Value = serde_json::from_str(&told).unwrap();
    assert!(serving["http"].as_str().unwrap().starts_with("0.0.0.0:"), "{told}");
}

async fn deliveries(hub: &HubProcess, status: &str) -> Value {
    eventually("a delivery", async || {
        let deliveries = hub.json("/api/automation/webhooks/deliveries").await;
        (deliveries[0]["status"] == status).then_some(deliveries)
    })
    .await
}

#[tokio::test]
async fn webhooks_are_redirected_inward_where_that_is_allowed() {
    let mut receiver = WebhookServer::start(&[]).await;
    let first = redirecting(format!("http://{}/there", receiver.address)).await;
    let rules = Rules::of(
        "tell.yaml",
        &format!(
            "version: 1\nrules:\n  tell:\n    triggers:\n      - webhook: bell\n    actions:\n      - webhook: \"http://{first}/hook\"\n"
        ),
    );
    let installation =
        || Installation::new().with("--rules", rules.folder()).with("--webhook-allow", "127.0.0.1");
    let ring = async |hub: &HubProcess| {
        assert_eq!(hub.post("/api/automation/webhooks/bell", &json!({})).await.status(), 202);
    };
    let hub = installation().start().await;
    ring(&hub).await;
    let failed = deliveries(&hub, "failed").await;
    assert!(failed.to_string().contains("redirects are not followed there"), "{failed}");
    hub.terminate().await;

    let hub = installation().flag("--webhook-private-redirects").start().await;
    ring(&hub).await;
    let request = receiver.next().await;
    assert_eq!(request.line(), "POST /there");
    deliveries(&hub, "delivered").await;
}
