//! Groups, as people meet them: a tree with counts that are true, over REST, live, and in rules.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::hub::Installation;
use crate::support::rules::{Rules, done, report};
use crate::support::{HubProcess, WebSocketSession, eventually, within};

async fn send(hub: &HubProcess, method: Method, path: &str, body: &Value) -> (StatusCode, Value) {
    let response = hub.request(method, path).json(body).send().await.unwrap();
    (response.status(), response.json().await.unwrap())
}

async fn make(hub: &HubProcess, id: &str, parent: Option<&str>) -> Value {
    let body = json!({ "id": id, "name": format!("The {id}"), "parent_group": parent });
    let (status, made) = send(hub, Method::POST, "/api/groups", &body).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    made
}

async fn device(hub: &HubProcess, id: &str, group: Option<&str>) {
    let body = json!({ "device_id": id, "name": id, "type": "pump", "group_id": group });
    let (status, made) = send(hub, Method::POST, "/api/devices", &body).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
}

async fn put(hub: &HubProcess, path: &str, body: &Value) -> Value {
    let (status, changed) = send(hub, Method::PUT, path, body).await;
    assert_eq!(status, StatusCode::OK, "PUT {path}: {changed}");
    changed
}

/// The refusal, as its status, code and text.
async fn refused(hub: &HubProcess, method: Method, path: &str, body: &Value) -> (u16, String, String) {
    let (status, problem) = send(hub, method, path, body).await;
    let text = |name: &str| problem[name].as_str().unwrap_or_default().to_owned();
    (status.as_u16(), text("code"), text("detail"))
}

/// `plant` with `hall` in it and `room` in that, and `yard` beside.
async fn plant(hub: &HubProcess) {
    for (id, parent) in [("plant", None), ("hall", Some("plant")), ("room", Some("hall")), ("yard", None)] {
        make(hub, id, parent).await;
    }
}

/// Of a group: its own devices, its subtree's, and those of them that are online.
async fn counts(hub: &HubProcess, id: &str) -> (u64, u64, u64) {
    let group = hub.json(&format!("/api/groups/{id}")).await;
    let number = |pointer: &str| group.pointer(pointer).unwrap().as_u64().unwrap();
    assert_eq!(number("/device_count"), number("/devices/total"));
    (number("/devices/total"), number("/subtree/total"), number("/subtree/by_status/online"))
}

fn ids(list: &Value, name: &str) -> String {
    let ids: Vec<_> = list.as_array().unwrap().iter().map(|item| item[name].as_str().unwrap()).collect();
    ids.join(" ")
}

#[tokio::test]
async fn a_tree_is_made_looked_at_and_changed() {
    let hub = Installation::new().start().await;
    plant(&hub).await;
    let hall = hub.json("/api/groups/hall").await;
    assert_eq!(hall["path"], json!(["plant", "hall"]));
    assert_eq!((&hall["name"], &hall["subtree"]["groups"]), (&json!("The hall"), &json!(1)));
    let list = hub.get("/api/groups?limit=2&page=2").await;
    assert_eq!(list.headers()["X-Total-Count"], "4");
    assert_eq!(ids(&list.json().await.unwrap(), "id"), "room yard");
    assert_eq!(ids(&hub.json("/api/groups?parent=plant").await, "id"), "hall");
    assert_eq!(ids(&hub.json("/api/groups?q=THE%20ROO").await, "id"), "room");
    let tree = hub.json("/api/groups?tree=true").await;
    assert_eq!(ids(&tree, "id"), "plant yard");
    assert_eq!(tree[0]["children"][0]["children"][0]["id"], "room");
    assert_eq!((&tree[0]["path"], &tree[0]["children"][0]["path"]), (&json!(["plant"]), &Value::Null));

    let circle = refused(&hub, Method::PATCH, "/api/groups/plant", &json!({ "parent_group": "room" })).await;
    let told = "group `plant` would be under itself: plant → hall → room → plant";
    assert_eq!(circle, (409, "group_circle".into(), told.into()));
    let check = async |method: Method, path: &str, body: Value, status: u16, code: &str| {
        let (found, word, detail) = refused(&hub, method, path, &body).await;
        assert_eq!((found, &*word), (status, code), "{path} {body}: {detail}");
    };
    check(Method::POST, "/api/groups", json!({ "id": "hall", "name": "x" }), 409, "group_exists").await;
    check(Method::POST, "/api/groups", json!({ "id": "x" }), 422, "missing_field").await;
    check(Method::POST, "/api/groups", json!({ "nam": "x" }), 422, "unknown_field").await;
    check(Method::POST, "/api/groups", json!({ "name": "x", "parent_id": "nobody" }), 422, "bad_field").await;
    check(Method::PUT, "/api/groups/nobody", json!({ "name": "x" }), 404, "group_not_found").await;
    check(Method::GET, "/api/groups/nobody/devices", json!({}), 404, "group_not_found").await;
    check(Method::GET, "/api/groups?parent=nobody", json!({}), 404, "group_not_found").await;

    // As seed 004 sends it: no id, and the parent by its other name.
    let (status, made) = send(
        &hub,
        Method::POST,
        "/api/groups",
        &json!({ "name": "Shed", "description": "d", "parent_id": "yard" }),
    )
    .await;
    assert_eq!((status, &made["parent_group"]), (StatusCode::CREATED, &json!("yard")));
    let shed = format!("/api/groups/{}", made["id"].as_str().unwrap());
    let moved = put(&hub, &shed, &json!({ "parent_group": null, "tags": { "dry": true } })).await;
    assert_eq!((&moved["parent_group"], &moved["name"]), (&Value::Null, &json!("Shed")));
    assert_eq!(moved["path"].as_array().unwrap().len(), 1);
    assert_eq!(put(&hub, &shed, &json!({})).await["updated_at"], moved["updated_at"], "nothing changed");
}

#[tokio::test]
async fn counts_are_true_to_every_change_and_after_a_restart() {
    let installation = Installation::new();
    let hub = installation.start().await;
    plant(&hub).await;
    for (id, group) in [("a", Some("hall")), ("b", Some("room")), ("c", Some("room")), ("d", None)] {
        device(&hub, id, group).await;
    }
    let (status, code, detail) =
        refused(&hub, Method::PUT, "/api/devices/a", &json!({ "group_id": "attic" })).await;
    assert_eq!((status, &*code, &*detail), (422, "bad_field", "`group_id`: there is no group `attic`"));
    assert_eq!(counts(&hub, "plant").await, (0, 3, 0));
    assert_eq!(counts(&hub, "room").await, (2, 2, 0));

    // The readings of a device from before it came into a group are counted too.
    report(&hub, "d", &json!({ "temperature": 10, "power": "on" })).await;
    put(&hub, "/api/devices/d", &json!({ "group_id": "hall" })).await;
    report(&hub, "b", &json!({ "temperature": 20.5 })).await;
    report(&hub, "b", &json!({ "temperature": 21.5 })).await;
    put(&hub, "/api/devices/b/mode", &json!({ "mode": "manual" })).await;
    assert_eq!(counts(&hub, "plant").await, (0, 4, 2));
    let read = async |hub: &HubProcess| {
        let hall = hub.json("/api/groups/hall").await;
        assert_eq!(hall["readings"], json!({ "temperature": { "mean": 10.0, "count": 1 } }));
        assert_eq!(hall["subtree"]["readings"], json!({ "temperature": { "mean": 15.75, "count": 2 } }));
        assert_eq!(hall["subtree"]["by_mode"], json!({ "manual": 1, "schedule": 3 }));
        assert_eq!(hall["subtree"]["by_type"], json!({ "pump": 4 }));
    };
    read(&hub).await;
    assert_eq!(ids(&hub.json("/api/groups/hall/devices").await, "id"), "a b c d");
    assert_eq!(ids(&hub.json("/api/groups/hall/devices?subtree=false").await, "id"), "a d");
    assert_eq!(ids(&hub.json("/api/devices?group=plant&status=online").await, "id"), "b d");

    hub.kill().await;
    let hub = installation.start().await;
    assert_eq!(counts(&hub, "plant").await, (0, 4, 2));
    read(&hub).await;
    // A group moves with all that stands in it; devices leave and are removed.
    put(&hub, "/api/groups/room", &json!({ "parent_group": "yard" })).await;
    assert_eq!((counts(&hub, "plant").await, counts(&hub, "yard").await), ((0, 2, 1), (0, 2, 1)));
    put(&hub, "/api/devices/b", &json!({ "group_id": null })).await;
    let (status, _) = send(&hub, Method::DELETE, "/api/devices/c", &json!({})).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(counts(&hub, "yard").await, (0, 0, 0));
    assert_eq!(hub.json("/api/groups/room").await["readings"], json!({}));
}

#[tokio::test]
async fn a_group_goes_when_it_is_empty_or_by_force() {
    let hub = Installation::new().start().await;
    plant(&hub).await;
    for n in 0..150 {
        device(&hub, &format!("d-{n}"), Some("hall")).await;
    }
    let (status, code, detail) = refused(&hub, Method::DELETE, "/api/groups/hall", &json!({})).await;
    assert_eq!((status, &*code), (409, "group_not_empty"));
    assert_eq!(detail, "group `hall` is not empty (devices: 150, groups: 1)");
    let (status, gone) = send(&hub, Method::DELETE, "/api/groups/hall?force=true", &json!({})).await;
    assert_eq!(status, StatusCode::OK, "{gone}");
    assert_eq!((&gone["devices_moved"], &gone["groups_moved"]), (&json!(150), &json!(1)));
    assert_eq!(gone["moved_to"], "plant");
    assert_eq!(hub.get("/api/groups/hall").await.status(), StatusCode::NOT_FOUND);
    assert_eq!(counts(&hub, "plant").await, (150, 150, 0));
    assert_eq!(hub.json("/api/groups/room").await["path"], json!(["plant", "room"]));
    assert_eq!(hub.json("/api/devices/d-77").await["group_id"], "plant");

    let (status, _) = send(&hub, Method::DELETE, "/api/groups/plant?force=true", &json!({})).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(hub.json("/api/devices/d-77").await["group_id"], Value::Null);
    let (status, gone) = send(&hub, Method::DELETE, "/api/groups/room", &json!({})).await;
    assert_eq!((status, &gone["moved_to"]), (StatusCode::OK, &Value::Null));
    assert_eq!(ids(&hub.json("/api/groups").await, "id"), "yard");
}

/// The next event that is told, as its device or group and its kind.
async fn told(subscriber: &mut WebSocketSession) -> (String, String) {
    let frame = within("an event", subscriber.next()).await.unwrap();
    assert_eq!(frame["type"], "event", "{frame}");
    let name = frame["device_id"].as_str().or(frame["data"]["group"]["id"].as_str()).unwrap();
    (name.to_owned(), frame["kind"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_subscription_follows_devices_and_groups_that_move() {
    let hub = Installation::new().start().await;
    plant(&hub).await;
    for (id, group) in [("a", "room"), ("b", "yard")] {
        device(&hub, id, Some(group)).await;
    }
    let mut subscriber = WebSocketSession::connect(hub.http).await;
    subscriber.send(&json!({ "type": "subscribe", "id": "n", "group": "nowhere" })).await;
    assert_eq!(subscriber.next().await.unwrap()["code"], "group_not_found");
    let wish = json!({ "type": "subscribe", "id": "s", "group": "plant", "kinds": ["telemetry", "fleet"], "snapshot": true });
    subscriber.send(&wish).await;
    assert_eq!(subscriber.next().await.unwrap()["type"], "subscribed");
    let snapshot = subscriber.next().await.unwrap();
    assert_eq!(ids(&snapshot["twins"], "id"), "a");

    let report_all = async || {
        for id in ["a", "b"] {
            report(&hub, id, &json!({ "t": 1 })).await;
        }
    };
    let event = |name: &str, kind: &str| (name.to_owned(), kind.to_owned());
    report_all().await;
    assert_eq!(told(&mut subscriber).await, event("a", "telemetry"));
    // The yard comes, with the device that stands in it; then the room goes.
    put(&hub, "/api/groups/yard", &json!({ "parent_group": "hall" })).await;
    report_all().await;
    for expected in [event("yard", "fleet"), event("a", "telemetry"), event("b", "telemetry")] {
        assert_eq!(told(&mut subscriber).await, expected);
    }
    put(&hub, "/api/groups/room", &json!({ "parent_group": null })).await;
    report_all().await;
    for expected in [event("room", "fleet"), event("b", "telemetry")] {
        assert_eq!(told(&mut subscriber).await, expected);
    }
    put(&hub, "/api/devices/a", &json!({ "group_id": "plant" })).await;
    put(&hub, "/api/devices/b", &json!({ "group_id": null })).await;
    report_all().await;
    make(&hub, "last", Some("plant")).await;
    for expected in [event("a", "telemetry"), event("last", "fleet")] {
        assert_eq!(told(&mut subscriber).await, expected);
    }
}

const RULE: &str = r#"
version: 1
rules:
  hot:
    triggers: { numeric: { device: { group: plant }, property: temperature }, above: 28 }
    actions: { desired: { group: plant, type: fan }, set: { power: "on" } }
  lost:
    triggers: { presence: { group: nowhere }, becomes: offline }
    actions: { log: gone }
"#;

#[tokio::test]
async fn a_rule_about_a_group_means_all_under_it() {
    let rules = Rules::of("hot.yaml", RULE);
    let hub = Installation::new().with("--rules", rules.folder()).start().await;
    plant(&hub).await;
    for (id, group) in [("sensor", "room"), ("fan", "hall"), ("other", "yard")] {
        device(&hub, id, Some(group)).await;
    }
    put(&hub, "/api/devices/fan", &json!({ "type": "fan" })).await;
    report(&hub, "other", &json!({ "temperature": 30 })).await;
    report(&hub, "sensor", &json!({ "temperature": 30 })).await;
    assert_eq!(done(&hub, "hot").await["device_id"], "sensor");
    assert_eq!(hub.json("/api/devices/fan").await["desired"], json!({ "power": "on" }));
    assert_eq!(hub.json("/api/automation/rules/hot/runs").await.as_array().unwrap().len(), 1);
    let of_sensor = hub.json("/api/automation/rules?device=sensor").await;
    assert_eq!(ids(&of_sensor, "id"), "hot");
    let warnings = hub.json("/api/automation/warnings").await;
    let told = |warning: &Value| warning["message"] == "there is no group `nowhere`";
    assert!(warnings.as_array().unwrap().iter().any(told), "{warnings}");

    // The runs that a backtest finds are those that there were, and with the yard in the plant the other would have.
    put(&hub, "/api/groups/yard", &json!({ "parent_group": "plant" })).await;
    report(&hub, "other", &json!({ "temperature": 20 })).await;
    report(&hub, "other", &json!({ "temperature": 31 })).await;
    crate::support::rules::run_of(&hub, "hot", |run| run["device_id"] == "other").await;
    let file: Value = json!({ "id": "hot", "triggers": { "numeric": { "device": { "group": "plant" }, "property": "temperature" }, "above": 28 }, "actions": [ { "log": "x" } ] });
    let (status, found) =
        send(&hub, Method::POST, "/api/automation/backtest", &json!({ "rule": file })).await;
    assert_eq!(status, StatusCode::OK, "{found}");
    let mut devices: Vec<_> =
        found["runs"].as_array().unwrap().iter().map(|run| run["device_id"].as_str().unwrap()).collect();
    devices.sort_unstable();
    assert_eq!(devices, ["other", "sensor"]);
}

#[tokio::test]
async fn a_removal_that_was_cut_off_is_done_again() {
    const DEVICES: u64 = 200;
    let installation = Installation::new();
    let hub = installation.start().await;
    plant(&hub).await;
    for n in 0..DEVICES {
        device(&hub, &format!("d-{n}"), Some("hall")).await;
    }
    let removal = hub.request(Method::DELETE, "/api/groups/hall?force=true").send();
    let moved = eventually("some have moved", async || {
        let (moved, _, _) = counts(&hub, "plant").await;
        (moved > 0).then_some(moved)
    });
    let removal = tokio::spawn(removal);
    println!("{} had moved", moved.await);
    hub.kill().await;
    let _ = removal.await.unwrap(); // answered or not
    let hub = installation.start().await;
    let (status, gone) = send(&hub, Method::DELETE, "/api/groups/hall?force=true", &json!({})).await;
    assert!(status == StatusCode::OK || gone["code"] == "group_not_found", "{gone}");
    assert_eq!(counts(&hub, "plant").await, (DEVICES, DEVICES, 0));
    assert_eq!(ids(&hub.json("/api/groups").await, "id"), "plant room yard");
    assert_eq!(hub.json("/api/groups/room").await["path"], json!(["plant", "room"]));
}

#[tokio::test]
async fn the_audit_has_the_groups_that_moved_and_no_others() {
    let hub = Installation::new().start().await;
    plant(&hub).await;
    let stays = [("yard", Value::Null), ("hall", json!("plant")), ("room", json!("hall"))];
    for (id, parent) in stays {
        put(&hub, &format!("/api/groups/{id}"), &json!({ "name": "other", "parent_group": parent })).await;
    }
    assert_eq!(hub.json("/api/audit?action=group.moved").await, json!([]));
    for parent in [json!("yard"), json!("yard"), Value::Null] {
        put(&hub, "/api/groups/room", &json!({ "parent_group": parent })).await;
    }
    let moved = hub.json("/api/audit?action=group.moved").await;
    let moves = moved.as_array().unwrap().iter().map(|entry| (&entry["target"], &entry["detail"]));
    let expected = [json!({ "to": null }), json!({ "to": "yard" })];
    assert_eq!(moves.collect::<Vec<_>>(), expected.each_ref().map(|to| (&moved[0]["target"], to)));
    assert_eq!(moved[0]["target"], "group:room");
}
