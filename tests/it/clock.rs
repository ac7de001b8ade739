//! The hub's own clock is set while it runs, and while it is down: a Pi without a battery for its clock begins in 1970
//! or ahead, and is put right by the first answer of a time server.

use std::path::{Path, PathBuf};

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::hub::Installation;
use crate::support::{HubProcess, PumpDevice, eventually};

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

/// The clock on the wall of one program: `libfaketime` reads from a file by how much it is wrong.
struct FakeWallClock(PathBuf);

impl FakeWallClock {
    fn of(installation: &Path) -> Self {
        let wall = Self(installation.with_extension("faketimerc"));
        wall.is_wrong_by(0);
        wall
    }

    fn is_wrong_by(&self, seconds: i64) {
        // In one piece: half a number would be a time too.
        let fresh = self.0.with_extension("new");
        std::fs::write(&fresh, format!("{seconds:+}\n")).unwrap();
        std::fs::rename(fresh, &self.0).unwrap();
    }

    fn installation(&self, installation: Installation) -> Installation {
        installation
            .in_environment("LD_PRELOAD", &library().display().to_string())
            .in_environment("FAKETIME_TIMESTAMP_FILE", &self.0.display().to_string())
            .in_environment("FAKETIME_NO_CACHE", "1")
            .in_environment("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .in_environment("DONT_FAKE_MONOTONIC", "1")
    }
}

fn library() -> PathBuf {
    let places = std::fs::read_dir("/usr/lib").unwrap().map(|place| place.unwrap().path());
    let found = places.map(|place| place.join("faketime/libfaketimeMT.so.1")).find(|path| path.exists());
    found.expect("faketime is installed")
}

/// The last event of a kind that fits: its place and its time, in ms since 1970.
async fn last(hub: &HubProcess, kind: &str, fits: impl Fn(&Value) -> bool) -> Option<(u64, String)> {
    let events = hub.json(&format!("/api/events?kind={kind}&limit=200")).await;
    let event = events.as_array().unwrap().iter().find(|event| fits(event))?;
    Some((event["seq"].as_u64().unwrap(), event["at"].as_str().unwrap().to_owned()))
}

fn scheduled(event: &Value) -> bool {
    event["data"]["change"] == "scheduled"
}

fn ran(event: &Value) -> bool {
    event["data"]["outcome"] == "done"
}

fn moved(event: &Value) -> bool {
    event["data"]["signal"] == "clock_moved"
}

/// The clock was set: all that goes by it goes on, by the new time.
async fn goes_on(hub: &HubProcess, pump: &mut PumpDevice, after: u64, reading: u32) -> u64 {
    let (seq, at) = eventually("an event says so", async || {
        last(hub, "hub", moved).await.filter(|(seq, _)| *seq > after)
    })
    .await;
    // RFC 3339 in UTC sorts as the times do.
    let is_new = |found: Option<(u64, String)>| found.filter(|(at_seq, time)| *at_seq > seq && *time >= at);
    eventually("the schedule runs", async || is_new(last(hub, "twin", scheduled).await)).await;
    eventually("the rule runs", async || is_new(last(hub, "rule", ran).await)).await;
    pump.say("data", &format!(r#"{{"t": {reading}}}"#)).await;
    let twin = hub.json("/api/devices/pump-1/twin").await;
    assert_eq!(twin["reported"]["t"], json!(reading), "what came last is the state");
    let device = hub.json("/api/devices/pump-1").await;
    assert_eq!(device["status"], "online");
    let (_, now) = last(hub, "telemetry", |_| true).await.unwrap();
    assert!(device["last_seen"].as_str().unwrap() <= now.as_str(), "{device} {now}");
    assert!(now >= at, "{now} {at}");
    seq
}

#[tokio::test]
async fn a_clock_that_is_set_stops_nothing() {
    let installation = Installation::new();
    let wall = FakeWallClock::of(&installation.data);
    let installation = wall.installation(installation);
    let hub = installation.start().await;
    let mut pump = PumpDevice::join(&hub, "pump-1").await;
    let schedule = json!({ "schedule": [{ "cron": "* * * * * *", "set": { "n": 1 } }] });
    let set =
        hub.request(reqwest::Method::PATCH, "/api/devices/pump-1").json(&schedule).send().await.unwrap();
    assert_eq!(set.status(), StatusCode::OK, "{}", set.text().await.unwrap());
    let rule = json!({ "id": "tick", "triggers": [{ "every": "1s" }], "actions": [{ "log": "tick" }] });
    assert_eq!(hub.post("/api/automation/rules", &rule).await.status(), StatusCode::CREATED);
    eventually("the rule runs", async || last(&hub, "rule", ran).await).await;
    pump.say("data", r#"{"t": 1}"#).await;
    let waiting = json!({ "command_type": "later", "ttl": "1h" });
    let other = json!({ "device_id": "away", "name": "away" });
    assert_eq!(hub.post("/api/devices", &other).await.status(), StatusCode::CREATED);
    let asked: Value = hub.post("/api/devices/away/commands", &waiting).await.json().await.unwrap();
    let command = format!("/api/commands/{}", asked["command_id"].as_str().or(asked["id"].as_str()).unwrap());

    let mut seq = 0;
    let wrong = [-2 * HOUR, -2 * HOUR - DAY, -400 * DAY, -20_000 * DAY, 0, 20_000 * DAY, 0];
    for (reading, by) in (2u32..).zip(wrong) {
        wall.is_wrong_by(by);
        seq = goes_on(&hub, &mut pump, seq, reading).await;
        assert_eq!(hub.json(&command).await["status"], "pending", "its hour is not over: {by}");
    }

    // While it is down.
    drop(pump);
    assert!(hub.terminate().await.success());
    wall.is_wrong_by(-400 * DAY);
    let hub = installation.start().await;
    let mut pump = PumpDevice::connect(&hub, "pump-1").await;
    goes_on(&hub, &mut pump, seq, 100).await;
    assert_eq!(hub.json(&command).await["status"], "pending");
    let readings =
        hub.json("/api/devices/pump-1/data?limit=100&start_date=1970-01-01&end_date=2200-01-01").await;
    assert!(readings.as_array().unwrap().len() >= 9, "history keeps all of them: {readings}");
    assert!(hub.terminate().await.success());
}
