//! The job as people and programs see it.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{devices, in_state, make, show, steer, turns, until};
use crate::support::hub::Installation;
use crate::support::mqtt::BrokerMessage;
use crate::support::{HubProcess, MqttDevice, PumpDevice, WebSocketSession, within};

async fn bulk(hub: &HubProcess, body: &Value) -> (StatusCode, Value) {
    let said = hub.post("/api/devices/bulk", body).await;
    (said.status(), said.json().await.unwrap())
}

#[tokio::test]
async fn a_dry_run_says_who_and_what_and_does_nothing() {
    let hub = Installation::new().start().await;
    devices(&hub, 12).await;
    hub.request(Method::PATCH, "/api/devices/d0/twin")
        .json(&json!({ "desired": { "power": "on" }, "tags": { "floor": "2" } }))
        .send()
        .await
        .unwrap();
    let desired = json!({ "desired": { "power": "on" } });
    let (status, dry) = bulk(&hub, &json!({ "where": {}, "action": desired, "dry_run": true })).await;
    assert_eq!((status, &dry["total"], &dry["dry_run"]), (StatusCode::OK, &json!(12), &json!(true)));
    let first = dry["first"].as_array().unwrap();
    assert_eq!(first.len(), 10);
    assert_eq!((&first[0]["id"], &first[0]["change"]), (&json!("d0"), &json!({})), "it is on already");
    assert_eq!(first[1]["change"], desired);
    let named = json!({ "ids": ["d1", "nobody"], "action": { "group": "hall" }, "dry_run": true });
    let (status, nowhere) = bulk(&hub, &named).await;
    assert_eq!((status, &nowhere["field"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("action.group_id")));
    hub.post("/api/groups", &json!({ "id": "hall", "name": "Hall" })).await;
    let (_, dry) = bulk(&hub, &named).await;
    assert_eq!((&dry["total"], &dry["unknown"]), (&json!(1), &json!(["nobody"])));
    assert_eq!(dry["first"][0]["change"], json!({ "group_id": "hall" }));
    let fitting =
        json!({ "where": { "tag": { "floor": 2 } }, "action": { "delete": true }, "dry_run": true });
    assert_eq!(bulk(&hub, &fitting).await.1["total"], 1);
    assert_eq!(hub.json("/api/jobs").await, json!([]));
    assert_eq!(hub.json("/api/devices/d1/twin").await["desired"], json!({}));
}

/// Its devices are written down in parts, and it is told of when all of them are.
#[tokio::test]
async fn a_large_job_runs_when_it_is_told_of() {
    let hub = Installation::new().start().await;
    let ids: Vec<String> = (0..1_300).map(|n| format!("nobody{n}")).collect();
    let (status, job) = bulk(&hub, &json!({ "ids": ids, "action": { "mode": "manual" } })).await;
    assert_eq!((status, &job["status"]), (StatusCode::ACCEPTED, &json!("running")), "{}", job["counts"]);
    assert_eq!((&job["counts"], &job["total"]), (&json!({ "failed": 1_300 }), &json!(1_300)));
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_by_name() {
    let hub = Installation::new().start().await;
    devices(&hub, 2).await;
    for (body, field) in [
        (json!({ "action": { "delete": true } }), "ids"),
        (json!({ "ids": ["d0"], "action": {} }), "action"),
        (json!({ "ids": ["d0"], "action": { "paint": 1 } }), "action.paint"),
        (json!({ "ids": ["d0"], "action": { "mode": "auto" } }), "action.mode"),
        (json!({ "ids": ["d 0"], "action": { "mode": "manual" } }), "ids.0"),
        (json!({ "where": { "colour": 1 }, "action": { "mode": "manual" } }), "where.colour"),
        (json!({ "ids": ["d0"], "action": { "mode": "manual" }, "rate": 0 }), "rate"),
        (json!({ "ids": ["d0"], "action": { "delete": true } }), "confirm_count"),
    ] {
        let (status, problem) = bulk(&hub, &body).await;
        assert_eq!((status.as_u16(), &problem["field"]), (422, &json!(field)), "{body}: {problem}");
    }
    let none = "01890a5d-ac96-774b-bcce-b302099a8057";
    for path in [none, "x", &format!("{none}/devices")] {
        let said = hub.get(&format!("/api/jobs/{path}")).await;
        assert_eq!(said.status(), StatusCode::NOT_FOUND, "{path}");
        assert_eq!(said.json::<Value>().await.unwrap()["code"], "job_not_found");
    }
    assert_eq!(hub.get("/api/jobs?status=asleep").await.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(hub.get("/api/devices/bulk").await.status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn all_get_it_online_or_away_and_it_is_told_live() {
    let hub = Installation::new().start().await;
    let mut ids = devices(&hub, 40).await;
    let mut device = MqttDevice::connect(hub.mqtt.unwrap(), "d3").await.unwrap();
    device.subscribe("iot/devices/d3/desired").await.unwrap();
    device.say("iot/devices/d3/status", "online").await;
    let mut live = WebSocketSession::connect(hub.http).await;
    live.send(&json!({ "type": "subscribe", "id": "s", "kinds": ["job"] })).await;
    assert_eq!(live.next().await.unwrap()["type"], "subscribed");
    ids.push("nobody".into());
    let body = json!({ "ids": ids, "action": { "desired": { "power": "on" } }, "description": "all on" });
    let job = make(&hub, &body).await;
    let done = until(&hub, &job, "done").await;
    assert_eq!((&done["counts"], &done["percent"]), (&json!({ "done": 40, "failed": 1 }), &json!(100)));
    assert_eq!((&done["total"], &done["description"]), (&json!(41), &json!("all on")));
    let failed = in_state(&hub, &job, "failed").await;
    assert_eq!(failed, [("nobody".to_owned(), json!("there is no device `nobody`"))]);
    for id in &ids[..40] {
        assert_eq!(turns(&hub, &job, id).await, 1, "{id}");
    }

    let told = within("it is published", device.next()).await.unwrap();
    let BrokerMessage::Message { payload, .. } = told else { panic!("no message") };
    assert_eq!(serde_json::from_slice::<Value>(&payload).unwrap()["desired"], json!({ "power": "on" }));
    // A device that was away is told when it comes.
    let mut away = MqttDevice::connect(hub.mqtt.unwrap(), "d7").await.unwrap();
    away.subscribe("iot/devices/d7/desired").await.unwrap();
    away.publish(1, "iot/devices/d7/status", b"online").await.unwrap();
    let is_told = async { while !matches!(away.next().await.unwrap(), BrokerMessage::Message { .. }) {} };
    within("the returning device is told", is_told).await;

    let mut changes = Vec::new();
    while changes.last().is_none_or(|status| status != "done") {
        let event = within("the job is told", live.next()).await.unwrap();
        assert_eq!((&event["kind"], &event["device_id"]), (&json!("job"), &Value::Null), "{event}");
        assert_eq!(event["data"]["job"]["id"], *job);
        changes.push(event["data"]["job"]["status"].as_str().unwrap().to_owned());
    }
    let listed = hub.json("/api/jobs?status=done&kind=desired,tags").await;
    assert_eq!(listed[0]["id"], *job);
    assert_eq!(hub.json("/api/jobs?kind=delete").await, json!([]));
}

#[tokio::test]
async fn a_job_is_paused_resumed_and_canceled_halfway() {
    let hub = Installation::new().start().await;
    let ids = devices(&hub, 60).await;
    let body = json!({ "ids": ids, "action": { "tags": { "seen": "1" } }, "rate": 20 });
    let job = make(&hub, &body).await;
    // Some are through, and not all: 60 take three seconds.
    crate::support::eventually("it is half way", async || {
        (in_state(&hub, &job, "done").await.len() >= 5).then_some(())
    })
    .await;
    let (status, paused) = steer(&hub, &job, "pause").await;
    assert_eq!((status, &paused["status"]), (StatusCode::OK, &json!("paused")));
    let (status, refused) = steer(&hub, &job, "pause").await;
    assert_eq!((status, &refused["code"]), (StatusCode::CONFLICT, &json!("job_status")));
    assert_eq!(refused["error"], "the job is paused: it cannot be paused");
    assert_eq!(hub.request(Method::DELETE, &format!("/api/jobs/{job}")).send().await.unwrap().status(), 409);
    let before = in_state(&hub, &job, "done").await.len();
    assert_eq!(steer(&hub, &job, "resume").await.1["status"], "running");
    crate::support::eventually("it goes on", async || {
        (in_state(&hub, &job, "done").await.len() > before).then_some(())
    })
    .await;
    let (status, canceled) = steer(&hub, &job, "cancel").await;
    assert_eq!((status, &canceled["status"]), (StatusCode::OK, &json!("canceled")));
    let (done, left) = (in_state(&hub, &job, "done").await, in_state(&hub, &job, "canceled").await);
    assert_eq!(canceled["counts"], json!({ "done": done.len(), "canceled": left.len() }));
    assert!(done.len() > before && !left.is_empty() && done.len() + left.len() == 60);
    for (id, _) in &done {
        assert_eq!(turns(&hub, &job, id).await, 1, "{id}");
    }
    for (id, reason) in &left {
        assert_eq!((turns(&hub, &job, id).await, reason), (0, &json!("the job was canceled")), "{id}");
    }
    let (status, refused) = steer(&hub, &job, "retry").await;
    assert_eq!((status, &refused["code"]), (StatusCode::CONFLICT, &json!("nothing_failed")));
    assert_eq!(hub.request(Method::DELETE, &format!("/api/jobs/{job}")).send().await.unwrap().status(), 200);
    assert_eq!(hub.get(&format!("/api/jobs/{job}")).await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_command_job_ends_with_what_the_devices_say() {
    let hub = Installation::new().start().await;
    let (mut good, mut bad) = (PumpDevice::join(&hub, "good").await, PumpDevice::join(&hub, "bad").await);
    let body = json!({ "ids": ["good", "bad"], "action": { "command": { "command_type": "reboot" } } });
    let job = make(&hub, &body).await;
    let first = good.next_command().await;
    let asked = hub.json(&format!("/api/jobs/{job}/devices?state=asked")).await;
    assert!(asked.as_array().unwrap().iter().any(|device| device["command_id"] == first["id"]), "{asked}");
    good.answer(&first, &json!({ "status": "executed" })).await;
    let refused = bad.next_command().await;
    bad.answer(&refused, &json!({ "status": "rejected", "reason": "not now" })).await;
    let done = until(&hub, &job, "done").await;
    assert_eq!(done["counts"], json!({ "done": 1, "failed": 1 }));
    let failed = in_state(&hub, &job, "failed").await;
    assert_eq!(failed, [("bad".to_owned(), json!("rejected: not now"))]);

    // Another turn is another command, for the one that failed alone.
    let (status, again) = steer(&hub, &job, "retry").await;
    assert_eq!((status, &again["round"], &again["status"]), (StatusCode::OK, &json!(2), &json!("running")));
    let second = bad.next_command().await;
    assert_ne!(second["id"], refused["id"]);
    bad.answer(&second, &json!({ "status": "executed" })).await;
    let done = until(&hub, &job, "done").await;
    assert_eq!(done["counts"], json!({ "done": 2 }));
    assert_eq!(hub.json("/api/devices/good/commands").await.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn devices_are_removed_as_many_as_were_confirmed() {
    let hub = Installation::new().start().await;
    devices(&hub, 5).await;
    let mut body = json!({ "where": { "q": "d" }, "action": { "delete": true } });
    let (status, problem) = bulk(&hub, &body).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(problem["error"].as_str().unwrap().contains("5, as many devices would be removed"), "{problem}");
    body["confirm_count"] = 4.into();
    let (status, problem) = bulk(&hub, &body).await;
    assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("count_differs")));
    assert_eq!(hub.json("/api/devices").await.as_array().unwrap().len(), 5);
    body["confirm_count"] = 5.into();
    let job = make(&hub, &body).await;
    assert_eq!(until(&hub, &job, "done").await["counts"], json!({ "done": 5 }));
    assert_eq!(hub.json("/api/devices").await, json!([]));
    assert_eq!(show(&hub, &job).await["kind"], "delete");
}
