//! Devices over MQTT that are brought to an image, each in its own way.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::images::{bytes, hash, upload};
use crate::support::hub::Installation;
use crate::support::mqtt::BrokerMessage;
use crate::support::{HubProcess, MqttDevice, eventually, within};

/// A device that takes firmware.
struct Board {
    id: String,
    mqtt: MqttDevice,
}

impl Board {
    /// Connects a device of model P, and has it say what it runs.
    async fn join(hub: &HubProcess, id: &str, version: &str) -> Self {
        let mut mqtt = MqttDevice::connect(hub.mqtt.unwrap(), id).await.unwrap();
        mqtt.subscribe(&format!("iot/devices/{id}/firmware/update")).await.unwrap();
        let mut board = Self { id: id.into(), mqtt };
        let status = json!({ "status": "online", "firmware_version": version, "model": "P" });
        board.say("status", &status).await;
        board
    }

    async fn say(&mut self, leaf: &str, payload: &Value) {
        self.mqtt.say(&format!("iot/devices/{}/{leaf}", self.id), &payload.to_string()).await;
    }

    async fn report(&mut self, state: &str) {
        self.say("firmware", &json!({ "state": state })).await;
    }

    /// The next message to it on its firmware.
    async fn told(&mut self) -> Value {
        within("it is told", async {
            loop {
                if let BrokerMessage::Message { payload, .. } = self.mqtt.next().await.unwrap() {
                    return serde_json::from_slice(&payload).unwrap();
                }
            }
        })
        .await
    }
}

async fn image(hub: &HubProcess, version: &str) -> String {
    let (status, image) = upload(hub, &format!("version={version}&model=P"), bytes(70_000)).await;
    assert_eq!(status, StatusCode::CREATED);
    image["id"].as_str().unwrap().to_owned()
}

async fn roll_out(hub: &HubProcess, image: &str, how: Value) -> String {
    let answer = hub.post(&format!("/api/firmware/{image}/rollouts"), &how).await;
    let status = answer.status();
    let job: Value = answer.json().await.unwrap();
    assert_eq!((status, &job["kind"]), (StatusCode::ACCEPTED, &json!("firmware")), "{job}");
    job["id"].as_str().unwrap().to_owned()
}

async fn until(hub: &HubProcess, job: &str, status: &str) -> Value {
    eventually(&format!("the job is {status}"), async || {
        let told = hub.json(&format!("/api/jobs/{job}")).await;
        (told["status"] == status).then_some(told)
    })
    .await
}

async fn states(hub: &HubProcess, job: &str) -> Vec<String> {
    let devices = hub.json(&format!("/api/jobs/{job}/devices?limit=100")).await;
    let told = devices.as_array().unwrap().iter().map(|device| {
        format!("{} {}", device["device_id"].as_str().unwrap(), device["state"].as_str().unwrap())
    });
    told.collect()
}

#[tokio::test]
async fn a_device_downloads_an_image_and_comes_back_with_it() {
    let hub = Installation::new().start().await;
    let mut board = Board::join(&hub, "board-1", "1.0.0").await;
    let id = image(&hub, "1.1.0").await;
    let job = roll_out(&hub, &id, json!({ "ids": ["board-1"] })).await;
    let told = board.told().await;
    assert_eq!(
        (&told["job"], &told["version"], &told["size"]),
        (&json!(job), &json!("1.1.0"), &json!(70_000))
    );
    let in_use = hub.request(Method::DELETE, &format!("/api/firmware/{id}")).send().await.unwrap();
    assert_eq!(in_use.status(), StatusCode::CONFLICT);
    assert_eq!(in_use.json::<Value>().await.unwrap()["code"], "firmware_in_use");

    // As a device does that has little memory: piece by piece.
    let (client, mut content) = (reqwest::Client::new(), Vec::new());
    while content.len() < 70_000 {
        let range = format!("bytes={}-{}", content.len(), content.len() + 19_999);
        let piece = client.get(told["url"].as_str().unwrap()).header("Range", range).send().await.unwrap();
        assert_eq!(piece.status(), StatusCode::PARTIAL_CONTENT);
        content.extend(piece.bytes().await.unwrap());
        let percent = content.len() * 100 / 70_000;
        board.say("firmware", &json!({ "state": "downloading", "percent": percent })).await;
    }
    assert_eq!(told["sha256"], hash(&content));
    let firmware = hub.json("/api/devices/board-1/twin").await["firmware"].clone();
    assert_eq!((&firmware["version"], &firmware["target"]), (&json!("1.0.0"), &json!("1.1.0")));
    assert_eq!((&firmware["state"], &firmware["percent"]), (&json!("downloading"), &json!(100)));
    let device = hub.json(&format!("/api/jobs/{job}/devices")).await[0].clone();
    assert_eq!((&device["state"], &device["percent"]), (&json!("downloading"), &json!(100)));
    for state in ["downloaded", "verified", "updating"] {
        board.report(state).await;
        assert_eq!(states(&hub, &job).await, [format!("board-1 {state}")]);
    }
    drop(board); // it restarts
    let _board = Board::join(&hub, "board-1", "1.1.0").await;
    let done = until(&hub, &job, "done").await;
    assert_eq!(
        (&done["counts"], &done["stage"]),
        (&json!({ "done": 1 }), &json!(1)),
        "nobody is left for a further stage"
    );
    assert_eq!(states(&hub, &job).await, ["board-1 updated"]);
    let firmware = hub.json("/api/devices/board-1").await["firmware"].clone();
    assert_eq!((&firmware["version"], &firmware["state"]), (&json!("1.1.0"), &json!("updated")));
    let events = hub.json("/api/devices/board-1/events?kind=twin&limit=1").await;
    assert_eq!(events[0]["data"]["firmware"]["state"], "updated");
    let removed = hub.request(Method::DELETE, &format!("/api/firmware/{id}")).send().await.unwrap();
    assert_eq!(removed.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_device_that_failed_is_done_when_it_comes_back_with_the_version() {
    let installation = Installation::new();
    let hub = installation.start().await;
    let mut board = Board::join(&hub, "board-1", "1.0.0").await;
    let id = image(&hub, "1.1.0").await;
    let job = roll_out(&hub, &id, json!({ "ids": ["board-1"], "abort": null })).await;
    board.told().await;
    board.say("firmware", &json!({ "state": "failed", "reason": "the flash is worn" })).await;
    let told = until(&hub, &job, "done").await;
    assert_eq!(told["counts"], json!({ "failed": 1 }));
    let device = hub.json(&format!("/api/jobs/{job}/devices")).await[0].clone();
    assert_eq!((&device["state"], &device["reason"]), (&json!("failed"), &json!("the flash is worn")));
    drop(board);
    hub.kill().await;
    let hub = installation.start().await;
    let _board = Board::join(&hub, "board-1", "1.1.0").await;
    assert_eq!(states(&hub, &job).await, ["board-1 updated"]);
}

#[tokio::test]
async fn only_the_right_models_with_older_versions_get_it() {
    let hub = Installation::new().start().await;
    let mut boards = Vec::new();
    for (device, version) in [("old", "1.0.0"), ("same", "v1.1"), ("newer", "1.2.0-rc.1"), ("odd", "spring")]
    {
        boards.push(Board::join(&hub, device, version).await);
    }
    boards[0].say("data", &json!({ "t": 1 })).await;
    hub.post("/api/devices", &json!({ "device_id": "other", "name": "Other", "model": "Q" })).await;
    hub.post("/api/devices", &json!({ "device_id": "silent", "name": "Silent", "model": "P" })).await;
    let id = image(&hub, "1.1.0").await;
    let ids = ["newer", "odd", "old", "same", "other", "silent", "nobody"];
    let path = format!("/api/firmware/{id}/rollouts");
    let dry: Value = hub.post(&path, &json!({ "ids": ids, "dry_run": true })).await.json().await.unwrap();
    assert_eq!((&dry["total"], &dry["skipped"]), (&json!(1), &json!(6)));
    assert_eq!(
        (&dry["first"][0]["id"], &dry["first"][0]["firmware_version"]),
        (&json!("old"), &json!("1.0.0"))
    );
    assert_eq!(dry["stages"][0], json!({ "percent": 5, "devices": 1 }));
    let why = |skipped: &Value| -> Vec<String> {
        let skipped = skipped.as_array().unwrap().iter();
        skipped
            .map(|one| format!("{} {}", one["device_id"].as_str().unwrap(), one["reason"].as_str().unwrap()))
            .collect()
    };
    let reasons = [
        "newer it runs 1.2.0-rc.1, which is newer than 1.1.0",
        "odd its version `spring` cannot be compared to 1.1.0",
        "same it runs v1.1 already",
        "other its model is `Q`, and the image is for P",
        "silent the device reports no version, so it is unknown whether 1.1.0 is newer",
        "nobody there is no device `nobody`",
    ];
    assert_eq!(why(&dry["first_skipped"]), reasons);
    assert_eq!(hub.json("/api/jobs").await, json!([]));
    let job = roll_out(&hub, &id, json!({ "ids": ids })).await;
    boards[0].told().await;
    assert_eq!(why(&hub.json(&format!("/api/jobs/{job}/devices?state=skipped")).await), reasons);
    boards[0].say("status", &json!({ "status": "online", "firmware_version": "1.1.0" })).await;
    assert_eq!(until(&hub, &job, "done").await["counts"], json!({ "done": 1, "skipped": 6 }));
    // Down only when told.
    let down = roll_out(&hub, &id, json!({ "ids": ["newer"], "allow_downgrade": true })).await;
    assert_eq!(boards[2].told().await["version"], "1.1.0");
    boards[2].say("status", &json!({ "status": "online", "firmware_version": "1.1.0" })).await;
    until(&hub, &down, "done").await;
    let wrong = hub.post(&path, &json!({ "ids": ids, "stages": [5, 25] })).await;
    assert_eq!(wrong.json::<Value>().await.unwrap()["field"], "stages");
}

#[tokio::test]
async fn a_rollout_stops_at_its_failure_rate_and_calls_back_what_has_not_begun() {
    let hub = Installation::new().start().await;
    let mut boards = Vec::new();
    for n in 0..8 {
        boards.push(Board::join(&hub, &format!("b{n}"), "1").await);
    }
    let id = image(&hub, "2").await;
    let all: Vec<String> = boards.iter().map(|board| board.id.clone()).collect();
    let how = json!({ "ids": all, "stages": [50, 100], "abort": { "rate": 0.5, "min": 2 } });
    let job = roll_out(&hub, &id, how).await;
    for board in &mut boards[..4] {
        board.told().await;
    }
    boards[0].report("downloading").await;
    boards[1].report("failed").await;
    boards[2].report("failed").await;
    let told = until(&hub, &job, "failed").await;
    assert_eq!(told["reason"], "aborted: 2 of 2 devices failed: 100 %, and 50 % end it");
    let cancel = boards[3].told().await;
    assert_eq!((&cancel["cancel"], &cancel["job"]), (&json!(true), &json!(job)));
    boards[0].say("status", &json!({ "status": "online", "firmware_version": "2" })).await;
    let expected =
        ["updated", "failed", "failed", "canceled", "canceled", "canceled", "canceled", "canceled"];
    let expected: Vec<_> = expected.iter().enumerate().map(|(n, state)| format!("b{n} {state}")).collect();
    eventually("nothing is under way", async || (states(&hub, &job).await == expected).then_some(())).await;
    assert_eq!(hub.json("/api/devices/b5/twin").await["firmware"], json!({ "version": "1" }));
    let removed = hub.request(Method::DELETE, &format!("/api/firmware/{id}")).send().await.unwrap();
    assert_eq!(removed.status(), StatusCode::OK, "no roll-out uses it any more");
}

#[tokio::test]
async fn a_rollout_finishes_with_devices_away() {
    let installation = Installation::new();
    let hub = installation.start().await;
    let mut there = Board::join(&hub, "there", "1").await;
    for device in ["late", "lost"] {
        let mut board = Board::join(&hub, device, "1").await;
        board.say("status", &json!({ "status": "offline" })).await;
    }
    let id = image(&hub, "2").await;
    // Devices that are online come first, whatever the order of their names.
    let how = json!({ "ids": ["lost", "late", "there"], "stages": [30, 100], "expires": "6s" });
    let job = roll_out(&hub, &id, how).await;
    there.told().await;
    there.say("status", &json!({ "status": "online", "firmware_version": "2" })).await;
    eventually("the next stage begins", async || {
        (hub.json(&format!("/api/jobs/{job}")).await["stage"] == 2).then_some(())
    })
    .await;
    let mut late = Board::join(&hub, "late", "1").await;
    assert_eq!(late.told().await["version"], "2");
    late.say("firmware", &json!({ "state": "updated", "version": "2" })).await;
    let told = until(&hub, &job, "done").await;
    assert_eq!(told["counts"], json!({ "done": 2, "failed": 1 }));
    let lost = hub.json(&format!("/api/jobs/{job}/devices?state=failed")).await[0].clone();
    assert_eq!(
        (&lost["device_id"], &lost["reason"]),
        (&json!("lost"), &json!("away: it was not there in time"))
    );
    assert_eq!(
        hub.json(&format!("/api/jobs/{job}/devices?state=updated")).await.as_array().unwrap().len(),
        2
    );
    let removed = hub.request(Method::DELETE, &format!("/api/firmware/{id}")).send().await.unwrap();
    assert_eq!(removed.status(), StatusCode::OK);
    let retried = hub.post(&format!("/api/jobs/{job}/retry"), &json!({})).await;
    assert_eq!(retried.status(), StatusCode::CONFLICT);
    assert_eq!(retried.json::<Value>().await.unwrap()["code"], "firmware_removed");
}
