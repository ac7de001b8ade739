//! One hub at a time on one set of data: the second is told which process has it, and touches nothing.

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use serde_json::json;

use crate::support::hub::{Installation, run};
use crate::support::{MqttDevice, eventually};

const FREE_PORTS: [&str; 6] = ["--listen", "127.0.0.1:0", "--mqtt-listen", "127.0.0.1:0", "--log", "error"];

/// Starts a second hub, which must end with 2 and one line that says `parts`.
async fn is_refused(args: &[&str], parts: &[&str]) {
    let output = run(args, &[]).await;
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{args:?}: {told}");
    assert_eq!(told.lines().count(), 1, "{told}");
    for part in parts {
        assert!(told.contains(part), "`{part}` is not in: {told}");
    }
}

fn with<'a>(more: &[&'a str]) -> Vec<&'a str> {
    FREE_PORTS.iter().copied().chain(more.iter().copied()).collect()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test]
async fn a_second_hub_on_one_folder_is_refused() {
    let installation = Installation::new();
    let hub = installation.start().await;
    let mut device = MqttDevice::connect(hub.mqtt.unwrap(), "pump-1").await.unwrap();
    device.say("iot/devices/pump-1/data", r#"{"n": 1}"#).await;
    let holder = format!("process {}", hub.pid());
    is_refused(
        &with(&["--data-dir", text(&installation.data)]),
        &["the data folder", text(&installation.data), &holder],
    )
    .await;
    // The first goes on as if nothing had been.
    device.say("iot/devices/pump-1/data", r#"{"n": 2}"#).await;
    assert_eq!(hub.json("/health").await["status"], "healthy");
}

#[tokio::test]
async fn two_folders_with_one_database_are_refused_too() {
    let installation = Installation::new();
    let hub = installation.start().await;
    let other = tempfile::tempdir().unwrap();
    let database = installation.data.join("twinhub.db");
    let url = format!("sqlite://{}?mode=rwc", database.display());
    let holder = format!("process {}", hub.pid());
    let args = with(&["--data-dir", text(other.path()), "--database", &url]);
    is_refused(&args, &["the database", text(&database), &holder]).await;
}

#[tokio::test]
async fn tables_are_not_changed_under_a_hub_that_runs() {
    let installation = Installation::new();
    let hub = installation.start().await;
    let data = ["--data-dir", text(&installation.data)];
    let holder = format!("process {}", hub.pid());
    is_refused(&["migrate", "up", data[0], data[1]], &["the database", &holder]).await;
    // Looking is allowed.
    assert!(run(&["migrate", "status", data[0], data[1]], &[]).await.status.success());
    hub.terminate().await;
    assert!(run(&["migrate", "up", data[0], data[1]], &[]).await.status.success());
}

#[tokio::test]
async fn a_killed_hub_does_not_block_the_next_start() {
    let installation = Installation::new();
    let hub = installation.start().await;
    hub.kill().await;
    assert!(installation.data.join("lock").exists(), "it had no chance to remove it");
    installation.start().await.terminate().await;
}

/// Somebody without a lock (an older version, a restored copy) writes to the database all the same.
#[tokio::test]
async fn a_hub_whose_sequence_is_taken_stops_instead_of_trying_for_ever() {
    let installation = Installation::new();
    let hub = installation.start().await;
    let mut device = MqttDevice::connect(hub.mqtt.unwrap(), "pump-1").await.unwrap();
    device.say("iot/devices/pump-1/data", r#"{"n": 1}"#).await;
    let other = Connection::open(installation.data.join("twinhub.db")).unwrap();
    other.busy_timeout(Duration::from_secs(5)).unwrap();
    let copy = "INSERT INTO journal (first_seq, last_seq, at, first_at, last_at, body) \
                SELECT last_seq + 1, last_seq + 1 + last_seq - first_seq, at, first_at, last_at, body FROM journal \
                ORDER BY first_seq DESC LIMIT 1";
    other.execute(copy, []).unwrap();
    device.publish(2, "iot/devices/pump-1/data", br#"{"n": 2}"#).await.unwrap();
    let (status, log) = hub.ended().await;
    assert_eq!(status.code(), Some(1), "{log}");
    let told: Vec<_> = log.lines().filter(|line| line.contains("another program writes")).collect();
    assert_eq!(told.len(), 2, "a line of the log, and one as the program ends: {log}");
    assert!(told[0].contains("other events are stored from"), "{log}");
    let commits_failed = log.lines().filter(|line| line.contains("commit failed")).count();
    assert_eq!(commits_failed, 0, "{log}");

    // The message that was acknowledged is there, and with the stranger's row gone the hub goes on.
    other.execute("DELETE FROM journal WHERE first_seq = (SELECT max(first_seq) FROM journal)", []).unwrap();
    let hub = installation.start().await;
    let answer = hub.post("/api/devices/pump-1/data", &json!({ "n": 3 })).await;
    assert!(answer.status().is_success());
    eventually("it is stored", async || {
        (hub.json("/api/devices/pump-1/twin").await["reported"]["n"] == 3).then_some(())
    })
    .await;
}
