//! Options of how long things are kept and believed.

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::hub::Installation;
use crate::support::mqtt::BrokerMessage;
use crate::support::pump::register;
use crate::support::rules::{Rules, report};
use crate::support::{HubProcess, MqttDevice, WebSocketSession, eventually, within};

/// The time by a device's clock, which is right.
#[expect(clippy::disallowed_methods, reason = "devices ask their own clocks")]
fn now() -> DateTime<Utc> {
    Utc::now()
}

/// Has a device of its own say something at a time so far from now; the time that it is stored under, as far from now.
async fn stored(hub: &HubProcess, device: &str, days: i64) -> i64 {
    let at = now() + TimeDelta::days(days);
    register(hub, device).await;
    report(hub, device, &json!({ "n": 1, "timestamp": at.to_rfc3339() })).await;
    let readings = hub.json(&format!("/api/devices/{device}/data")).await;
    let stored: DateTime<Utc> = readings[0]["timestamp"].as_str().unwrap().parse().unwrap();
    // A few seconds have gone by.
    ((stored - now()).num_minutes() + 12 * 60).div_euclid(24 * 60)
}

#[tokio::test]
async fn times_of_devices_are_believed_within_a_window() {
    let narrow = Installation::new().with("--device-clock-ahead", "3d").with("--device-clock-behind", "30d");
    let hub = narrow.start().await;
    assert_eq!(stored(&hub, "a-little-ahead", 2).await, 2);
    assert_eq!(stored(&hub, "far-ahead", 5).await, 0, "the time of arrival");
    assert_eq!(stored(&hub, "a-little-behind", -20).await, -20);
    assert_eq!(stored(&hub, "far-behind", -60).await, 0);
    hub.terminate().await;
    let wide =
        Installation::new().with("--device-clock-ahead", "never").with("--device-clock-behind", "never");
    let hub = wide.start().await;
    assert_eq!(stored(&hub, "far-ahead", 5).await, 5);
    assert_eq!(stored(&hub, "far-behind", -6_000).await, -6_000, "before the ten years that are usual");
}

#[tokio::test]
async fn idle_twins_leave_memory() {
    let (soon, never) =
        (Installation::new().with("--idle-after", "1ms"), Installation::new().with("--idle-after", "never"));
    let (soon, never) = (soon.start().await, never.start().await);
    for hub in [&soon, &never] {
        for device in ["a", "b", "c"] {
            register(hub, device).await;
            report(hub, device, &json!({ "n": 1 })).await;
        }
    }
    let in_memory =
        async |hub: &HubProcess| hub.json("/health").await["parts"]["twins"]["in_memory"].as_u64().unwrap();
    eventually("they leave", async || (in_memory(&soon).await == 0).then_some(())).await;
    assert_eq!(in_memory(&never).await, 3);
    assert_eq!(soon.json("/api/devices/a/twin").await["reported"]["n"], 1, "and come back");
}

#[tokio::test]
async fn a_device_that_spoke_once_is_offline_after_a_silence() {
    let hub = Installation::new().with("--first-silence", "1s").start().await;
    register(&hub, "a").await;
    report(&hub, "a", &json!({ "n": 1 })).await;
    eventually("it is offline", async || {
        (hub.json("/api/devices/a").await["status"] == "offline").then_some(())
    })
    .await;
}

#[tokio::test]
async fn slow_messages_are_logged_from_the_configured_time_on() {
    let [all, none] = ["0s", "never"].map(|time| Installation::new().with("--slow-log", time));
    let (all, none) = (all.start().await, none.start().await);
    for hub in [&all, &none] {
        let mut device = MqttDevice::connect(hub.mqtt.unwrap(), "slow").await.unwrap();
        device.publish(1, "iot/devices/slow/data", br#"{"n": 1}"#).await.unwrap();
        assert!(matches!(device.next().await.unwrap(), BrokerMessage::Acknowledged(1)));
    }
    let line: Value = serde_json::from_str(&all.logs("a slow message").await).unwrap();
    assert_eq!((&line["level"], &line["device_id"]), (&json!("WARN"), &json!("slow")), "{line}");
    for stage in ["took_ms", "to_twin_ms", "to_journal_ms", "group_ms", "commit_ms", "acknowledge_ms"] {
        assert!(line[stage].is_u64(), "{stage}: {line}");
    }
    assert_eq!(none.metric("twinhub_message_commit_seconds_count").await, 1, "it is counted all the same");
    assert!(!none.log().iter().any(|line| line.contains("a slow message")));
}

/// The first message to a subscriber that wants all since the first event.
async fn first_told(hub: &HubProcess) -> Value {
    let mut subscriber = WebSocketSession::connect(hub.http).await;
    subscriber.send(&json!({ "type": "subscribe", "id": "s", "since": 1 })).await;
    let subscribed = within("an answer", subscriber.next()).await.unwrap();
    assert_eq!(subscribed["type"], "subscribed");
    within("what was", subscriber.next()).await.unwrap()
}

#[tokio::test]
async fn old_events_go() {
    let (short, usual) =
        (Installation::new().with("--retention", "1s").start().await, Installation::new().start().await);
    for hub in [&short, &usual] {
        register(hub, "a").await;
        report(hub, "a", &json!({ "n": 1 })).await;
    }
    eventually("nobody can resume from there", async || {
        (first_told(&short).await["type"] == "resync").then_some(())
    })
    .await;
    assert_eq!(first_told(&usual).await["seq"], 2);
    assert_eq!(short.json("/api/devices/a/data").await[0]["value"], 1, "readings stay");
    let events = short.json("/api/devices/a/events?kind=twin").await;
    assert_eq!(events[0]["data"]["change"], "registered", "and so does what a device's list of events shows");
}

#[tokio::test]
async fn old_readings_go() {
    let installation = Installation::new();
    let hub = installation.start().await;
    register(&hub, "a").await;
    let old = (now() - TimeDelta::days(90)).to_rfc3339();
    report(&hub, "a", &json!({ "n": 1, "timestamp": old })).await;
    report(&hub, "a", &json!({ "n": 2 })).await;
    hub.terminate().await;
    let readings = async |hub: &HubProcess| {
        let readings: Value = hub.json("/api/devices/a/data?sensor_type=n&start_date=2000-01-01").await;
        readings
            .as_array()
            .unwrap()
            .iter()
            .map(|reading| reading["value"].as_u64().unwrap())
            .collect::<Vec<_>>()
    };
    let hub = Installation::at(&installation.data).with("--keep-readings", "never").start().await;
    assert_eq!(readings(&hub).await, [2, 1]);
    hub.terminate().await;
    let hub = Installation::at(&installation.data).with("--keep-readings", "30d").start().await;
    eventually("the old one goes", async || (readings(&hub).await == [2]).then_some(())).await;
}

#[tokio::test]
async fn old_runs_go() {
    let text = "version: 1\nrules:\n  bell:\n    triggers:\n      - webhook: bell\n    actions:\n      - log: rings\n";
    let rules = Rules::of("bell.yaml", text);
    let installation = Installation::new().with("--rules", rules.folder());
    let hub = installation.start().await;
    assert_eq!(hub.post("/api/automation/webhooks/bell", &json!({})).await.status(), 202);
    crate::support::rules::done(&hub, "bell").await;
    hub.terminate().await;
    let count = async |hub: &HubProcess| {
        let runs: Value = hub.json("/api/automation/rules/bell/runs").await;
        runs.as_array().unwrap().len()
    };
    let kept = Installation::at(&installation.data).with("--rules", rules.folder()).start().await;
    assert_eq!(count(&kept).await, 1);
    kept.terminate().await;
    let hub = Installation::at(&installation.data)
        .with("--rules", rules.folder())
        .with("--keep-runs", "1s")
        .start()
        .await;
    eventually("it goes", async || (count(&hub).await == 0).then_some(())).await;
}

#[tokio::test]
async fn what_is_over_goes_and_what_goes_on_stays() {
    let installation = Installation::new();
    let hub = installation.start().await;
    let mut asked_for = Vec::new();
    for device in ["over", "goes-on"] {
        let limits = json!({ "t": { "max": 30 } });
        let body = json!({ "device_id": device, "name": device, "limits": limits });
        assert_eq!(hub.post("/api/devices", &body).await.status(), 201);
        report(&hub, device, &json!({ "t": 40 })).await;
        let asked =
            hub.post(&format!("/api/devices/{device}/commands"), &json!({ "command_type": "x" })).await;
        let asked: Value = asked.json().await.unwrap();
        let path = format!("/api/commands/{}", asked["id"].as_str().unwrap());
        if device == "over" {
            let ended = hub.request(Method::DELETE, &path).send().await.unwrap();
            assert!(ended.status().is_success());
        }
        asked_for.push(path);
    }
    let whose = async |hub: &HubProcess, list: &str| -> Vec<String> {
        let list = hub.json(list).await;
        let whose = list.as_array().unwrap().iter().map(|one| one["device_id"].as_str().unwrap().to_owned());
        let mut whose: Vec<_> = whose.collect();
        whose.sort_unstable();
        whose
    };
    let both = ["goes-on", "over"];
    eventually("both alarms", async || (whose(&hub, "/api/alarms").await == both).then_some(())).await;
    report(&hub, "over", &json!({ "t": 20 })).await;
    let cleared = "/api/alarms?active=false";
    eventually("it clears", async || (whose(&hub, cleared).await == ["over"]).then_some(())).await;
    assert_eq!(whose(&hub, "/api/commands").await, both);
    let events = "/api/devices/over/events?kind=twin,presence,command,alarm";
    assert!(!hub.json(events).await.as_array().unwrap().is_empty());
    hub.terminate().await;

    let hub = Installation::at(&installation.data)
        .with("--keep-commands", "1s")
        .with("--keep-alarms", "1s")
        .with("--keep-events", "1s")
        .start()
        .await;
    eventually("the command goes", async || {
        (whose(&hub, "/api/commands").await == ["goes-on"]).then_some(())
    })
    .await;
    for (path, status) in asked_for.iter().zip([404, 200]) {
        assert_eq!(hub.get(path).await.status(), status, "{path}");
    }
    eventually("the alarm goes", async || (whose(&hub, "/api/alarms").await == ["goes-on"]).then_some(()))
        .await;
    let is_empty = async || hub.json(events).await.as_array().unwrap().is_empty();
    eventually("the events go", async || is_empty().await.then_some(())).await;
    assert_eq!(hub.json("/api/devices/over/data").await.as_array().unwrap().len(), 2, "readings stay");
    let twin = hub.json("/api/devices/over/twin").await;
    assert_eq!(twin["reported"]["t"], 20);
    // Its coming is deleted, and it has not gone since.
    let comings = hub.json("/api/devices/over/events?kind=presence").await;
    assert_eq!(comings, json!([]));
    let statistics = hub.json("/api/devices/over/statistics").await;
    assert!(statistics["period"]["uptime"].as_f64().unwrap() > 0.0, "{statistics}");
}
