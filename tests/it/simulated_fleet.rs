//! A simulated fleet shows up and behaves: it does as it is told, becomes what is desired, says what it
//! cannot, drops out and comes back.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::hub::{HubProcess, Installation, run, start};
use crate::support::{WebSocketSession, eventually, within};

/// Plays a fleet of `devices` with `options` while `story` is told.
async fn with_fleet(hub: &HubProcess, devices: &str, options: &[&str], story: impl Future<Output = ()>) {
    let broker = format!("mqtt://{}", hub.mqtt.unwrap());
    let mut args = vec!["simulate", "--mqtt", &broker, "--devices", devices, "--rate", "50"];
    args.extend(options);
    tokio::select! {
        ended = run(&args, &[]) => panic!("it ended: {ended:?}"),
        () = story => {}
    }
}

async fn is_online(hub: &HubProcess, device: &str) {
    eventually("the device is there", async || {
        let answer = hub.get(&format!("/api/devices/{device}/twin")).await;
        let is_known = answer.status().is_success();
        (is_known && answer.json::<Value>().await.unwrap()["status"] == "online").then_some(())
    })
    .await;
}

/// Has `device` do something, and gives the command once it is final.
async fn command(hub: &HubProcess, device: &str, asked: Value) -> Value {
    let path = format!("/api/devices/{device}/commands?wait=50s");
    let answer = hub.post(&path, &asked).await;
    assert_eq!(answer.status(), 200, "{asked}");
    let id = answer.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned();
    hub.json(&format!("/api/commands/{id}")).await
}

async fn desire(hub: &HubProcess, device: &str, desired: Value) {
    let path = format!("/api/devices/{device}/twin");
    let request = hub.request(Method::PATCH, &path).json(&json!({ "desired": desired }));
    assert!(request.send().await.unwrap().status().is_success());
}

/// The `sync` of each desired property.
async fn syncs(hub: &HubProcess, device: &str) -> Vec<(String, String)> {
    let twin = hub.json(&format!("/api/devices/{device}/twin")).await;
    let desired = twin["metadata"]["desired"].as_object().unwrap().clone();
    desired.into_iter().map(|(name, known)| (name, known["sync"].as_str().unwrap().to_owned())).collect()
}

#[tokio::test]
async fn it_comes_and_says_goodbye() {
    let hub = Installation::new().start().await;
    let broker = format!("mqtt://{}", hub.mqtt.unwrap());
    let fleet = start(&["simulate", "--devices", "20", "--rate", "100", "--mqtt", &broker]);
    is_online(&hub, "door-19").await;
    assert!(fleet.terminate().await.success());
    eventually("every device said goodbye", async || {
        let online = hub.json("/api/devices?status=online").await;
        online.as_array().unwrap().is_empty().then_some(())
    })
    .await;
    assert_eq!(hub.get("/api/devices").await.headers()["x-total-count"], "20");
}

#[tokio::test]
async fn it_obeys_commands_and_follows_its_desired_state() {
    let hub = Installation::new().start().await;
    let options = ["--drop-outs", "0", "--failure-rate", "0", "--answer-delay", "1ms"];
    let story = async {
        is_online(&hub, "pump-3").await;
        let started = command(&hub, "pump-3", json!({ "command_type": "start" })).await;
        assert_eq!((&started["status"], &started["response"]["power"]), (&"executed".into(), &"on".into()));
        let history = started["history"].as_array().unwrap();
        let statuses: Vec<_> = history.iter().map(|line| line["status"].as_str().unwrap()).collect();
        assert_eq!(statuses, ["pending", "sent", "delivered", "executed"]);
        eventually("it reports what it has become", async || {
            let twin = hub.json("/api/devices/pump-3/twin").await;
            (twin["reported"]["power"] == "on").then_some(())
        })
        .await;

        is_online(&hub, "door-1").await;
        let refused = command(&hub, "door-1", json!({ "command_type": "explode" })).await;
        assert_eq!(refused["status"], "rejected");
        assert!(refused["reason"].as_str().unwrap().contains("does not know `explode`"), "{refused}");

        desire(&hub, "pump-3", json!({ "power": "off", "colour": { "body": "red" }, "flow": 3 })).await;
        desire(&hub, "door-1", json!({ "lock": "locked" })).await;
        let settled = |applied: &[&str], failed: &[&str]| {
            let each = |names: &[&str], sync: &str| -> Vec<_> {
                names.iter().map(|name| ((*name).to_owned(), sync.to_owned())).collect()
            };
            [each(applied, "applied"), each(failed, "failed")].concat()
        };
        for (device, expected) in
            [("pump-3", settled(&["colour", "power"], &["flow"])), ("door-1", settled(&["lock"], &[]))]
        {
            eventually("it becomes what it can and says what it cannot", async || {
                let mut found = syncs(&hub, device).await;
                found.sort_by(|one, other| (&one.1, &one.0).cmp(&(&other.1, &other.0)));
                (found == expected).then_some(())
            })
            .await;
        }
    };
    with_fleet(&hub, "10", &options, story).await;
}

#[tokio::test]
async fn it_fails_as_often_as_it_is_to() {
    let hub = Installation::new().start().await;
    let options = ["--drop-outs", "0", "--failure-rate", "1", "--answer-delay", "0s"];
    let story = async {
        is_online(&hub, "climate-0").await;
        let failed = command(&hub, "climate-0", json!({ "command_type": "identify" })).await;
        assert!(failed["status"] == "failed" || failed["status"] == "rejected", "{failed}");
        assert!(!failed["reason"].as_str().unwrap().is_empty());
    };
    with_fleet(&hub, "1", &options, story).await;
}

#[tokio::test]
async fn it_drops_out_and_comes_back_and_does_what_it_missed() {
    let hub = Installation::new().start().await;
    let options = ["--drop-outs", "600", "--away", "50ms", "--failure-rate", "0", "--answer-delay", "20ms"];
    let mut live = WebSocketSession::connect(hub.http).await;
    live.send(&json!({ "type": "subscribe", "id": "s", "kinds": ["presence"] })).await;
    let story = async {
        let mut expected = ["online", "offline", "online", "offline", "online"].into_iter().peekable();
        while expected.peek().is_some() {
            let frame = within("a device comes or goes", live.next()).await.unwrap();
            if frame["type"] == "event" {
                assert_eq!(frame["data"]["status"], expected.next().unwrap(), "{frame}");
            }
        }
        for target in [19, 20, 21] {
            let asked = json!({ "command_type": "set_target", "parameters": { "target": target } });
            let done = command(&hub, "climate-0", asked).await;
            assert_eq!(done["status"], "executed", "{done}");
        }
        desire(&hub, "climate-0", json!({ "target": 22 })).await;
        eventually("it becomes what is desired", async || {
            (syncs(&hub, "climate-0").await == [("target".to_owned(), "applied".to_owned())]).then_some(())
        })
        .await;
    };
    with_fleet(&hub, "1", &options, story).await;
}

#[tokio::test]
async fn it_takes_firmware_and_comes_back_with_it() {
    let hub = Installation::new().start().await;
    let options = [
        &["--drop-outs", "0", "--failure-rate", "0"][..],
        &["--firmware-step", "20ms", "--firmware-failure-rate", "0"],
    ]
    .concat();
    let story = async {
        eventually("all are there", async || {
            let online = hub.get("/api/devices?status=online").await;
            (online.headers()["x-total-count"] == "10").then_some(())
        })
        .await;
        let upload = "/api/firmware/upload?version=2.0.0&model=sim-pump,sim-door";
        let image = hub.request(Method::POST, upload).body(vec![7; 100_000]).send().await.unwrap();
        let image: Value = image.json().await.unwrap();
        let path = format!("/api/firmware/{}/rollouts", image["id"].as_str().unwrap());
        let job: Value =
            hub.post(&path, &json!({ "where": {}, "stages": [20, 100] })).await.json().await.unwrap();
        let path = format!("/api/jobs/{}", job["id"].as_str().unwrap());
        let done = eventually("all are updated", async || {
            let job = hub.json(&path).await;
            (job["status"] == "done").then_some(job)
        })
        .await;
        assert_eq!(done["counts"], json!({ "done": 5, "skipped": 5 }));
        for (device, version) in [("pump-3", "2.0.0"), ("door-1", "2.0.0"), ("climate-0", "1.4.2")] {
            let twin = hub.json(&format!("/api/devices/{device}/twin")).await;
            assert_eq!(twin["firmware_version"], version, "{device}: {twin}");
        }
        is_online(&hub, "pump-3").await;
        let rebooted = command(&hub, "pump-3", json!({ "command_type": "reboot" })).await;
        assert_eq!(rebooted["response"]["firmware_version"], "2.0.0", "{rebooted}");
        let events = hub.json("/api/devices/pump-3/events?kind=twin&limit=100&order=asc").await;
        let states =
            events.as_array().unwrap().iter().filter_map(|event| event["data"]["firmware"]["state"].as_str());
        let mut states: Vec<&str> = states.collect();
        states.dedup();
        let way = ["queued", "notified", "downloading", "downloaded", "verified", "updating", "updated"];
        assert_eq!(states, way);
    };
    with_fleet(&hub, "10", &options, story).await;
}
