//! The drivers of a device and their times: modes, schedules, settings; whether it obeys and is there; and that whoever
//! mistypes a field is told so.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::hub::Installation;
use crate::support::pump::register;
use crate::support::{HubProcess, PumpDevice, eventually};

const MODE: &str = "/api/devices/pump-1/mode";
const SCHEDULE: &str = "/api/devices/pump-1/schedule";

#[tokio::test]
async fn a_persons_word_holds_as_long_as_it_says() {
    let hub = Installation::new().start().await;
    register(&hub, "pump-1").await;
    let before = hub.json(MODE).await;
    assert_eq!((&before["mode"], &before["mode_until"]), (&json!("schedule"), &Value::Null));

    let manual = put(&hub, MODE, &json!({ "mode": "manual", "for": "2h" }), StatusCode::OK).await;
    assert_eq!((&manual["device_id"], &manual["mode"]), (&json!("pump-1"), &json!("manual")));
    assert_eq!(manual["version"].as_u64(), before["version"].as_u64().map(|version| version + 1));
    assert_eq!(hub.json(MODE).await, manual);
    assert_eq!(hub.json("/api/devices/pump-1").await["mode_until"], manual["mode_until"]);
    let until = json!({ "mode": "manual", "until": "2999-01-01T01:00:00+01:00" });
    assert_eq!(put(&hub, MODE, &until, StatusCode::OK).await["mode_until"], "2999-01-01T00:00:00.000Z");
    assert_eq!(hub.json("/api/devices?mode=manual").await[0]["id"], "pump-1");

    for (body, field) in [
        (json!({ "mode": "auto" }), "mode"),
        (json!({ "for": "2h" }), "mode"),
        (json!({ "mode": "manual", "for": "2h", "until": "2999-01-01T00:00:00Z" }), "for"),
        (json!({ "mode": "schedule", "for": "2h" }), "for"),
        (json!({ "mode": "schedule", "until": "2999-01-01T00:00:00Z" }), "until"),
        (json!({ "mode": "manual", "until": "2001-01-01T00:00:00Z" }), "until"),
        (json!({ "mode": "manual", "fro": "2h" }), "fro"),
    ] {
        assert_eq!(put(&hub, MODE, &body, StatusCode::UNPROCESSABLE_ENTITY).await["field"], field, "{body}");
    }
    assert_eq!(hub.get("/api/devices/nobody/mode").await.status(), StatusCode::NOT_FOUND);

    // It ends by itself, and says so.
    put(&hub, MODE, &json!({ "mode": "manual", "for": "100ms" }), StatusCode::OK).await;
    eventually("it returns to schedule", async || (hub.json(MODE).await["mode"] == "schedule").then_some(()))
        .await;
    let last = hub.json("/api/devices/pump-1/events?kind=twin&limit=1").await;
    assert_eq!(
        (&last[0]["data"]["mode"], &last[0]["cause"]["by"]),
        (&json!("schedule"), &json!("mode_until"))
    );
}

#[tokio::test]
async fn a_schedule_is_taken_in_every_form_and_shown_with_its_next_runs() {
    let hub = Installation::new().start().await;
    register(&hub, "pump-1").await;
    assert_eq!(hub.json(SCHEDULE).await, json!([]));
    let entries = json!([
        { "cron": "0 7 * * Mon-Fri", "timezone": "Europe/Madrid", "set": { "power": "on" } },
        { "cron": "0 0 3 * * *", "command": { "command_type": "rinse" }, "missed": "run_once" },
    ]);
    let shown = put(&hub, SCHEDULE, &entries, StatusCode::OK).await;
    assert_eq!((&shown[0]["cron"], &shown[0]["missed"]), (&json!("0 0 7 * * Mon-Fri"), &json!("skip")));
    assert_eq!(shown[1]["command"]["command_type"], "rinse");
    for entry in shown.as_array().unwrap() {
        assert_eq!(entry["next_runs"].as_array().unwrap().len(), 3, "{entry}");
    }
    // The schedule that is shown can be sent back, bare or under its name.
    assert_eq!(put(&hub, SCHEDULE, &shown, StatusCode::OK).await, shown);
    assert_eq!(put(&hub, SCHEDULE, &json!({ "schedule": shown }), StatusCode::OK).await, shown);
    assert_eq!(hub.json("/api/devices/pump-1/twin").await["schedule"][0]["cron"], "0 0 7 * * Mon-Fri");

    let timetable = json!({ "lunes": [["07:00", true], ["22:30", false]], "sábado": [["09:00", true]] });
    let by_days = put(&hub, SCHEDULE, &timetable, StatusCode::OK).await;
    let set: Vec<_> =
        by_days.as_array().unwrap().iter().map(|entry| [&entry["cron"], &entry["set"]["power"]]).collect();
    assert_eq!(set, [["0 0 7 * * Mon", "on"], ["0 30 22 * * Mon", "off"], ["0 0 9 * * Sat", "on"]]);
    for (body, field) in [
        (json!([{ "cron": "never", "set": { "power": "on" } }]), "schedule[0].cron"),
        (json!({ "schedule": [{ "cron": "0 7 * * *", "set": {} }] }), "schedule[0].set"),
        (
            json!([{ "cron": "0 7 * * *", "command": { "command_type": "x", "priority": 10 } }]),
            "schedule[0].command.priority",
        ),
        (json!([{ "cron": "0 7 * * *" }]), "schedule[0]"),
        (json!({ "lunedi": [] }), "schedule.lunedi"),
        (json!({ "lunes": [["25:00", true]] }), "schedule.lunes[0]"),
        (json!({ "schedule": [], "colour": "red" }), "colour"),
        (json!(5), "schedule"),
    ] {
        assert_eq!(
            put(&hub, SCHEDULE, &body, StatusCode::UNPROCESSABLE_ENTITY).await["field"],
            field,
            "{body}"
        );
    }
    assert_eq!(hub.json(SCHEDULE).await, by_days, "what was refused changed nothing");

    let etag = hub.get(SCHEDULE).await.headers()["etag"].clone();
    let put_if = async |tag: &str| {
        let request = hub.request(Method::PUT, SCHEDULE).header("If-Match", tag);
        request.json(&json!([])).send().await.unwrap().status()
    };
    assert_eq!(put_if("\"1\"").await, StatusCode::PRECONDITION_FAILED);
    assert_eq!(put_if(etag.to_str().unwrap()).await, StatusCode::OK);
    assert_eq!(hub.json(SCHEDULE).await, json!([]));

    put(&hub, SCHEDULE, &json!([{ "cron": "* * * * * *", "set": { "power": "on" } }]), StatusCode::OK).await;
    let twin = eventually("an entry runs", async || {
        let twin = hub.json("/api/devices/pump-1/twin").await;
        (twin["desired"]["power"] == "on").then_some(twin)
    })
    .await;
    assert_eq!(twin["metadata"]["desired"]["power"]["by"], "entry 0: * * * * * *");
}

#[tokio::test]
async fn settings_and_schedules_come_with_the_device() {
    let hub = Installation::new().start().await;
    let body = json!({
        "device_id": "pump-1", "name": "Pump", "schedule": { "monday": [["07:00", "on"]] },
        "settings": { "heartbeat": "5m", "in_flight": 2, "colour": "red" },
    });
    let created = hub.post("/api/devices", &body).await;
    assert_eq!(created.status(), StatusCode::CREATED);
    let created: Value = created.json().await.unwrap();
    assert_eq!(created["mqtt"]["topics"]["commands"], "iot/devices/pump-1/commands");
    let device = hub.json("/api/devices/pump-1").await;
    assert_eq!(device["settings"], json!({ "heartbeat": "5m", "in_flight": 2 }));
    assert_eq!(device["configuration"], json!({ "colour": "red" }), "other settings are the device's own");
    assert_eq!(device["schedule"][0]["cron"], "0 0 7 * * Mon");
    assert_eq!(hub.json("/api/devices/pump-1/status").await["connection"]["heartbeat_seconds"], 300.0);

    let path = "/api/devices/pump-1";
    let change = json!({ "settings": { "heartbeat": "never", "in_flight": null }, "schedule": null });
    let changed = put(&hub, path, &change, StatusCode::OK).await;
    assert_eq!((&changed["settings"], &changed["schedule"]), (&json!({ "heartbeat": "never" }), &json!([])));
    for (body, field) in [
        (json!({ "settings": { "heartbeat": "soon" } }), "settings.heartbeat"),
        (json!({ "settings": { "in_flight": 101 } }), "settings.in_flight"),
        (json!({ "schedule": [{ "cron": "" }] }), "schedule[0].cron"),
    ] {
        assert_eq!(put(&hub, path, &body, StatusCode::UNPROCESSABLE_ENTITY).await["field"], field, "{body}");
    }
}

#[tokio::test]
async fn who_has_not_come_to_what_is_desired_is_found() {
    let hub = Installation::new().start().await;
    register(&hub, "pump-2").await; // of which nothing is desired, and which is never there
    let mut pump = PumpDevice::join(&hub, "pump-1").await;
    let patch = json!({ "desired": { "power": "on" } });
    hub.request(Method::PATCH, "/api/devices/pump-1/twin").json(&patch).send().await.unwrap();
    eventually("it is listed", async || (ids(&hub, "drift=1ms").await == ["pump-1"]).then_some(())).await;
    assert_eq!(ids(&hub, "drift=1h").await, [""; 0]);
    let drifting = hub.json("/api/devices/pump-1/status").await["convergence"].clone();
    // It subscribes to its commands alone: nobody could be told.
    assert_eq!((&drifting["converged"], &drifting["unmet"][0]["sync"]), (&json!(false), &json!("pending")));
    assert_eq!(drifting["drifting_since"], drifting["unmet"][0]["unmet_at"]);

    pump.say("desired/failed", r#"{"power": "no water"}"#).await;
    let failed = hub.json("/api/devices/pump-1/status").await["convergence"]["unmet"][0].clone();
    assert_eq!((&failed["sync"], &failed["reason"]), (&json!("failed"), &json!("no water")));
    pump.say("state", r#"{"power": "on"}"#).await;
    assert_eq!(
        hub.json("/api/devices/pump-1/status").await["convergence"],
        json!({
            "converged": true, "drifting_since": null, "unmet": [],
        })
    );
    eventually("it is not listed any more", async || ids(&hub, "drift=1ms").await.is_empty().then_some(()))
        .await;
    assert_eq!(hub.get("/api/devices?drift=long").await.status(), StatusCode::UNPROCESSABLE_ENTITY);

    assert_eq!(ids(&hub, "status=online").await, ["pump-1"]);
    assert_eq!(ids(&hub, "status=online,offline&sort=id").await, ["pump-1", "pump-2"]);
    assert_eq!(ids(&hub, "status=offline").await, ["pump-2"], "who was never heard is offline");
    assert_eq!(ids(&hub, "status=unknown").await, ["pump-2"], "the word of earlier versions");
}

#[tokio::test]
async fn connected_and_last_seen_and_why_it_went_are_facts_apart() {
    let hub = Installation::new().start().await;
    register(&hub, "pump-1").await;
    let connection = async || hub.json("/api/devices/pump-1/status").await["connection"].clone();
    let never = connection().await;
    assert_eq!(
        (&never["connected"], &never["via"], &never["last_seen"]),
        (&json!(false), &Value::Null, &Value::Null)
    );

    let mut pump = PumpDevice::connect(&hub, "pump-1").await;
    let came = connection().await;
    assert_eq!(
        (&came["connected"], &came["via"], &came["disconnects"]),
        (&json!(true), &json!("mqtt"), &json!(0))
    );
    for command in ["open", "close"] {
        hub.post("/api/devices/pump-1/commands", &json!({ "command_type": command })).await;
    }
    let commands = hub.json("/api/devices/pump-1/status").await["commands"].clone();
    assert_eq!(commands, json!({ "waiting": 1, "in_flight": 1 }));

    for times in 1..=3 {
        pump.say("status", "offline").await;
        let went = connection().await;
        assert_eq!((&went["connected"], &went["disconnect_reason"]), (&json!(false), &json!("reported")));
        assert_eq!((&went["disconnects"], &went["flapping"]), (&json!(times), &json!(times == 3)));
        assert!(went["changed_at"].is_string() && went["last_seen"].is_string(), "{went}");
        pump.say("status", "online").await;
    }
    assert_eq!(connection().await["connected"], true);
}

#[tokio::test]
async fn a_mistyped_field_is_named_before_one_that_is_missing() {
    let hub = Installation::new().start().await;
    register(&hub, "pump-1").await;
    for (method, path, body, field) in [
        (Method::POST, "/api/devices", json!({ "nam": "x" }), "nam"),
        (Method::POST, "/api/devices/claim", json!({ "serial": "x" }), "serial"),
        (Method::PATCH, "/api/devices/pump-1", json!({ "name": 5, "nam": "x" }), "nam"),
        (Method::PATCH, "/api/devices/pump-1/twin", json!({ "desired": 5, "desird": {} }), "desird"),
        (Method::PUT, MODE, json!({ "moed": "manual" }), "moed"),
        (Method::POST, "/api/devices/pump-1/commands", json!({ "comand_type": "x" }), "comand_type"),
    ] {
        let refused = hub.request(method, path).json(&body).send().await.unwrap();
        assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY, "{body}");
        let problem: Value = refused.json().await.unwrap();
        assert_eq!((&problem["field"], &problem["code"]), (&json!(field), &json!("unknown_field")), "{body}");
    }
}

async fn put(hub: &HubProcess, path: &str, body: &Value, expected: StatusCode) -> Value {
    let response = hub.request(Method::PUT, path).json(body).send().await.unwrap();
    let status = response.status();
    let text = response.text().await.unwrap();
    assert_eq!(status, expected, "PUT {path} {body}: {text}");
    serde_json::from_str(&text).unwrap()
}

async fn ids(hub: &HubProcess, query: &str) -> Vec<String> {
    let devices = hub.json(&format!("/api/devices?{query}")).await;
    devices.as_array().unwrap().iter().map(|device| device["id"].as_str().unwrap().to_owned()).collect()
}
