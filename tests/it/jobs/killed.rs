//! Killed in the middle of a job, several times: it goes on by itself, and each device has its turn once.

use std::time::Duration;

use serde_json::json;
use tokio::time::timeout;

use super::{devices, in_state, make, show, turns, until};
use crate::support::hub::Installation;
use crate::support::{Dice, eventually};

const DEVICES: usize = 400;
const KILLS: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn each_device_has_its_turn_once() {
    let installation = Installation::new();
    let mut hub = installation.start().await;
    let ids = devices(&hub, DEVICES).await;
    let body = |action| json!({ "ids": ids, "action": action, "rate": 100 });
    // Two at once, of which one asks the devices: they are away, so its commands wait.
    let desired = make(&hub, &body(json!({ "desired": { "power": "on" } }))).await;
    let command = make(&hub, &body(json!({ "command": { "command_type": "go" } }))).await;
    let mut dice = Dice::new();
    for kill in 1..=KILLS {
        let enough = kill * DEVICES / (KILLS + 1);
        eventually("some are through", async || {
            (in_state(&hub, &desired, "done").await.len() >= enough).then_some(())
        })
        .await;
        let _ = timeout(Duration::from_micros(dice.below(20_000)), std::future::pending::<()>()).await;
        assert_eq!(show(&hub, &desired).await["status"], "running", "it is killed half way");
        hub.kill().await;
        hub = installation.start().await;
    }
    let done = until(&hub, &desired, "done").await;
    assert_eq!((&done["counts"], &done["round"]), (&json!({ "done": DEVICES }), &json!(1)));
    eventually("all are asked", async || {
        (in_state(&hub, &command, "asked").await.len() == DEVICES).then_some(())
    })
    .await;
    for id in &ids {
        assert_eq!(turns(&hub, &desired, id).await, 1, "{id}");
        let commands = hub.json(&format!("/api/devices/{id}/commands")).await;
        assert_eq!(commands.as_array().unwrap().len(), 1, "{id}: {commands}");
    }
}
