//! Waits survive: `for` over a kill -9, both ways.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::eventually;
use crate::support::hub::Installation;
use crate::support::rules::{Rules, done, report, run_of};

fn rule(across: &str) -> String {
    format!(
        "version: 1\nrules:\n  hot:\n    triggers:\n      - numeric: oven.temperature\n        above: 100\n        \
         for: 4s\n        across_downtime: {across}\n    actions:\n      - alarm: oven-hot\n        severity: major\n"
    )
}

#[tokio::test]
async fn what_must_stay_so_goes_on_over_a_kill() {
    let rules = Rules::of("oven.yaml", &rule("hold"));
    let installation = Installation::new().with("--rules", rules.folder());
    let hub = installation.start().await;
    hub.post("/api/devices", &json!({ "device_id": "oven", "name": "Oven" })).await;
    let reported = hub.post("/api/devices/oven/data", &json!({ "temperature": 120 })).await;
    assert_eq!(reported.status(), 201);
    settled(&hub).await;
    hub.kill().await;
    let hub = installation.start().await;
    let entry = done(&hub, "hot").await;
    let held = millis(&entry["at"]) - millis(&first_reading(&hub).await);
    assert!(
        (3_900..=4_500).contains(&held),
        "four seconds from when it became hot, and not from the start: {held}"
    );
    let alarm = &hub.json("/api/alarms").await[0];
    assert_eq!(
        (&alarm["type"], &alarm["device_id"], &alarm["count"]),
        (&json!("oven-hot"), &json!("oven"), &json!(1))
    );

    // The alarm that it asked for once it does not ask for again.
    hub.kill().await;
    let hub = installation.start().await;
    assert_eq!(hub.json("/api/alarms").await[0]["count"], 1);
    assert_eq!(hub.json("/api/automation/rules/hot/runs?outcome=done").await.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn what_must_stay_so_begins_again_after_a_kill_where_it_says_so() {
    let rules = Rules::of("oven.yaml", &rule("restart"));
    let installation = Installation::new().with("--rules", rules.folder());
    let hub = installation.start().await;
    hub.post("/api/devices", &json!({ "device_id": "oven", "name": "Oven" })).await;
    report(&hub, "oven", &json!({ "temperature": 120 })).await;
    settled(&hub).await;
    hub.kill().await;
    // The hub is down, which is what it is about; ten seconds and less are a quick restart.
    tokio::time::sleep(Duration::from_secs(11)).await;
    let began = Instant::now();
    let hub = installation.start().await;
    let entry = done(&hub, "hot").await;
    assert!(began.elapsed() >= Duration::from_secs(4), "after {:?}", began.elapsed());
    let held = millis(&entry["at"]) - millis(&first_reading(&hub).await);
    assert!(held >= 15_000, "{held}");
}

#[tokio::test]
async fn a_reload_leaves_what_waits_in_rules_that_do_not_change() {
    let rules = Rules::of("oven.yaml", &rule("hold"));
    let hub = Installation::new().with("--rules", rules.folder()).start().await;
    hub.post("/api/devices", &json!({ "device_id": "oven", "name": "Oven" })).await;
    report(&hub, "oven", &json!({ "temperature": 120 })).await;
    rules.write(
        "other.yaml",
        "version: 1\nrules:\n  other:\n    triggers: [ { every: 1h } ]\n    actions: [ { log: x } ]\n",
    );
    rules.write("oven.yaml", &rule("hold").replace("  hot:\n", "  hot:\n    alias: Hot\n"));
    let entry = done(&hub, "hot").await;
    let held = millis(&entry["at"]) - millis(&first_reading(&hub).await);
    assert!((3_900..=4_500).contains(&held), "{held}");
    assert_eq!(hub.json("/api/automation/rules/hot").await["alias"], "Hot", "the file was read meanwhile");

    // Changed in what it does, what waits in it is given up.
    report(&hub, "oven", &json!({ "temperature": 20 })).await;
    report(&hub, "oven", &json!({ "temperature": 130 })).await;
    rules.write("oven.yaml", &rule("hold").replace("for: 4s", "for: 1s").replace("oven-hot", "oven-too-hot"));
    eventually("it is read", async || {
        let rule = hub.json("/api/automation/rules/hot").await;
        rule.to_string().contains("oven-too-hot").then_some(())
    })
    .await;
    report(&hub, "oven", &json!({ "temperature": 140 })).await;
    let entry = run_of(&hub, "hot", |run| run.to_string().contains("oven-too-hot")).await;
    assert_eq!(entry["device_id"], "oven");
}

/// The engine keeps its state a moment after the commit that it is about.
async fn settled(hub: &crate::support::HubProcess) {
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(hub.json("/api/automation/rules/hot").await["enabled"].as_bool().unwrap());
}

async fn first_reading(hub: &crate::support::HubProcess) -> serde_json::Value {
    hub.json("/api/devices/oven/data?order=asc&limit=1").await[0]["timestamp"].clone()
}

fn millis(at: &serde_json::Value) -> i64 {
    twinhub_domain::Timestamp::parse(at.as_str().unwrap()).unwrap().millis()
}
