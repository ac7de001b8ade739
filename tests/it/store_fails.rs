//! The store fails: nothing is acknowledged, people are told to come again, and then all is there.

use std::path::Path;
use std::process::Command;

use reqwest::StatusCode;
use rusqlite::Connection;
use serde_json::json;
use tempfile::TempDir;

use crate::support::hub::Installation;
use crate::support::mqtt::BrokerMessage;
use crate::support::{HubProcess, MqttDevice, eventually, within};

const DATA: &str = "/api/devices/pump-1/data";
const TOPIC: &str = "iot/devices/pump-1/data";

#[tokio::test]
async fn locked_by_another_program() {
    let installation = Installation::new();
    let hub = installation.start().await;
    let mut device = MqttDevice::connect(hub.mqtt.unwrap(), "pump-1").await.unwrap();
    device.say("iot/devices/calm/data", r#"{"n": 0}"#).await;
    device.say(TOPIC, r#"{"n": 1}"#).await;

    let other = Connection::open(installation.data.join("twinhub.db")).unwrap();
    eventually("the lock", async || other.execute_batch("BEGIN EXCLUSIVE").ok()).await;
    refuses(&hub, &mut device).await;
    other.execute_batch("ROLLBACK").unwrap();
    recovers(&hub, &mut device).await;
}

#[tokio::test]
async fn full_disk() {
    let disk = SmallDisk::mount();
    let hub = Installation::at(&disk.dir.path().join("data")).start().await;
    let mut device = MqttDevice::connect(hub.mqtt.unwrap(), "pump-1").await.unwrap();
    device.say("iot/devices/calm/data", r#"{"n": 0}"#).await;
    device.say(TOPIC, r#"{"n": 1}"#).await;

    let filler = disk.dir.path().join("filler");
    fill(&filler);
    // The space that is allocated already may hold a few more commits: fill those too.
    let mut n = 1_000_000;
    eventually("the disk is full", async || {
        n += 1;
        let text = "x".repeat(16_000);
        device.publish(n, TOPIC, format!(r#"{{"text":"{text}"}}"#).as_bytes()).await.unwrap();
        hub.is_failing().await.then_some(())
    })
    .await;
    refuses(&hub, &mut device).await;
    std::fs::remove_file(filler).unwrap();
    recovers(&hub, &mut device).await;
}

/// Publishes message 2, which must not be acknowledged, and sees people refused.
async fn refuses(hub: &HubProcess, device: &mut MqttDevice) {
    device.publish(2, TOPIC, br#"{"n": 2, "message_id": "two"}"#).await.unwrap();
    eventually("the hub says that its store fails", async || hub.is_failing().await.then_some(())).await;
    assert_eq!(hub.json("/health").await["status"], "degraded");
    assert_eq!(hub.get("/ready").await.status(), StatusCode::SERVICE_UNAVAILABLE);
    let refused = hub.post(DATA, &json!({ "n": 3 })).await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(refused.headers().contains_key("retry-after"));
    // Everything that is stored can still be read.
    assert_eq!(hub.json("/api/devices/calm/twin").await["reported"]["n"], 0);
    assert_eq!(hub.json("/api/devices/calm/data").await[0]["value"], 0);
    // Also of the device that just now spoke in vain, and by a filter; all as of the last commit.
    assert_eq!(hub.json("/api/devices/pump-1/data?sensor_type=n").await[0]["value"], 1);
    assert_eq!(hub.json("/api/devices/pump-1/twin").await["reported"]["n"], 1);
    assert_eq!(hub.json("/api/devices/pump-1").await["status"], "online");
    assert_eq!(hub.json("/api/devices").await.as_array().unwrap().len(), 2);
    for (filter, id) in [("n+%3D%3D+1", "pump-1"), ("n+%3C+1", "calm")] {
        let found = hub.json(&format!("/api/devices?filter={filter}")).await;
        assert_eq!(found.as_array().unwrap().len(), 1, "{found}");
        assert_eq!(found[0]["id"], id);
    }
    assert!(!hub.json("/api/devices/pump-1/events?kind=telemetry").await.as_array().unwrap().is_empty());
    assert!(device.unacknowledged() > 0);
}

/// Sees message 2 acknowledged, and everything stored once.
async fn recovers(hub: &HubProcess, device: &mut MqttDevice) {
    within("the acknowledgement", async {
        while device.next().await.unwrap() != BrokerMessage::Acknowledged(2) {}
    })
    .await;
    eventually("the hub is well again", async || (!hub.is_failing().await).then_some(())).await;
    assert_eq!(hub.post(DATA, &json!({ "n": 4 })).await.status(), StatusCode::CREATED);
    let history = hub.json(&format!("{DATA}?sensor_type=n&order=asc")).await;
    let stored: Vec<u64> = history.as_array().unwrap().iter().map(|r| r["value"].as_u64().unwrap()).collect();
    assert_eq!(stored.iter().filter(|n| **n == 2).count(), 1, "{stored:?}");
    assert_eq!((stored.first(), stored.last()), (Some(&1), Some(&4)), "{stored:?}");
}

/// A disk of a few megabytes.
struct SmallDisk {
    dir: TempDir,
}

impl SmallDisk {
    /// Where we may not mount, `tests/run` does not run this test, and says so.
    fn mount() -> Self {
        let dir = TempDir::with_prefix("twinhub-disk-").unwrap();
        let mount =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=12m", "tmpfs"]).arg(dir.path()).output();
        let mount = mount.expect("there is a command `mount`");
        assert!(
            mount.status.success(),
            "it takes root to mount a small disk (`--skip full_disk`): {mount:?}"
        );
        Self { dir }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.dir.path()).status(); // a leftover is tiny
    }
}

/// Writes until there is no room.
fn fill(path: &Path) {
    use std::io::Write as _;
    let mut file = std::fs::File::create(path).unwrap();
    while file.write_all(&[0; 4_096]).is_ok() {}
}
