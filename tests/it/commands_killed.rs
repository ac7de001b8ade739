//! Killed while commands are on their way: what was promised is kept, in every state that is not final, and
//! in the middle of two hundred of them.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::support::hub::Installation;
use crate::support::pump::register;
use crate::support::{Dice, HubProcess, PumpDevice, eventually};

const COMMANDS: u64 = 200;
const KILLS: u64 = 5;

#[tokio::test]
async fn in_every_state_that_is_not_final() {
    let installation = Installation::new();
    let hub = installation.start().await;
    register(&hub, "pending").await;
    let pending = ask(&hub, "pending", &json!({ "command_type": "go" })).await;
    let short = json!({ "command_type": "go", "timeout": "500ms", "max_attempts": 20 });
    let mut pumps = Vec::new();
    for id in ["sent", "delivered", "backing-off"] {
        pumps.push(PumpDevice::join(&hub, id).await);
    }
    let backing_off = ask(&hub, "backing-off", &short).await;
    pumps[2].next_command().await;
    until(&hub, &backing_off, "pending").await;
    let sent = ask(&hub, "sent", &short).await;
    pumps[0].next_command().await;
    let long = json!({ "command_type": "go", "timeout": "1h" });
    let delivered = ask(&hub, "delivered", &long).await;
    let in_hand = pumps[1].next_command().await;
    pumps[1].answer(&in_hand, &json!({ "status": "delivered" })).await;
    hub.kill().await;

    let hub = installation.start().await;
    // Never heard, or not answered in time: it comes, and says which attempt it is.
    for (device, id, attempts) in
        [("pending", &pending, 1), ("sent", &sent, 2), ("backing-off", &backing_off, 2)]
    {
        let mut pump = PumpDevice::connect(&hub, device).await;
        let command = pump.next_command().await;
        assert_eq!(command["id"], **id, "{device}");
        assert!(command["attempt"].as_u64().unwrap() >= attempts, "{device}: {command}");
        pump.answer(&command, &json!({ "status": "executed" })).await;
        until(&hub, id, "executed").await;
    }
    // With the device: it does not come again, and its answer is still waited for.
    let mut pump = PumpDevice::connect(&hub, "delivered").await;
    assert_eq!(command(&hub, &delivered).await["status"], "delivered");
    pump.answer(&in_hand, &json!({ "status": "executed", "response": 7 })).await;
    let done = until(&hub, &delivered, "executed").await;
    assert_eq!((&done["response"], &done["attempts"]), (&json!(7), &json!(1)));
    assert_eq!(hub.json("/api/commands?status=pending,sent,delivered").await, json!([]));
}

/// Every command that was accepted is carried out and told so, however often the hub dies meanwhile; and
/// the same key never makes two of one.
#[tokio::test(flavor = "multi_thread")]
async fn in_the_middle_of_two_hundred() {
    let installation = Installation::new();
    let mut hub = installation.start().await;
    register(&hub, "pump-1").await;
    let mut device = obey(&hub).await;
    let mut dice = Dice::new();
    let (mut accepted, mut next, mut kills) = (BTreeMap::new(), 0, 0);
    while next < COMMANDS {
        if next >= (kills + 1) * COMMANDS / (KILLS + 1) {
            kills += 1;
            let _ = timeout(Duration::from_micros(dice.below(20_000)), std::future::pending::<()>()).await;
            hub.kill().await;
            device.abort();
            hub = installation.start().await;
            device = obey(&hub).await;
        }
        let asked = hub
            .request(Method::POST, "/api/devices/pump-1/commands")
            .header("Idempotency-Key", format!("k{next}"))
            .json(&json!({ "command_type": "count", "parameters": { "n": next }, "timeout": "1s",
                           "max_attempts": 20 }))
            .send()
            .await
            .unwrap();
        assert!(matches!(asked.status(), StatusCode::ACCEPTED | StatusCode::OK), "{asked:?}");
        let asked: Value = asked.json().await.unwrap();
        accepted.insert(asked["id"].as_str().unwrap().to_owned(), next);
        next += 1;
    }
    assert_eq!((accepted.len() as u64, kills), (COMMANDS, KILLS));
    let all = eventually("all are executed", async || {
        let done = hub.json("/api/commands?status=executed&limit=1000").await;
        (done.as_array().unwrap().len() as u64 == COMMANDS).then_some(done)
    });
    for done in all.await.as_array().unwrap() {
        let n = accepted[done["id"].as_str().unwrap()];
        assert_eq!((&done["parameters"]["n"], &done["response"]), (&json!(n), &json!(n)));
    }
    device.abort();
}

/// A device that carries out whatever comes and says so.
async fn obey(hub: &HubProcess) -> JoinHandle<()> {
    let mut pump = PumpDevice::connect(hub, "pump-1").await;
    tokio::spawn(async move {
        loop {
            let command = pump.next_command().await;
            let answer = json!({ "status": "executed", "response": command["parameters"]["n"] });
            pump.answer(&command, &answer).await;
        }
    })
}

async fn ask(hub: &HubProcess, device: &str, body: &Value) -> String {
    let asked = hub.post(&format!("/api/devices/{device}/commands"), body).await;
    assert_eq!(asked.status(), StatusCode::ACCEPTED);
    asked.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned()
}

async fn command(hub: &HubProcess, id: &str) -> Value {
    hub.json(&format!("/api/commands/{id}")).await
}

async fn until(hub: &HubProcess, id: &str, status: &str) -> Value {
    eventually(status, async || Some(command(hub, id).await).filter(|found| found["status"] == status)).await
}
