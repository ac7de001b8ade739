//! Lists, searches and single things: each of two people finds their own, and no word of the other's.

use reqwest::Method;
use serde_json::{Value, json};

use super::{TwoPeople, WORDS, done, refused};
use crate::support::eventually;

/// Lists, and searches for what the other has.
const READS: [&str; 34] = [
    "/api/devices",
    "/api/devices?sort=-name",
    "/api/devices?sort=last_seen",
    "/api/devices?q=-pump",
    "/api/devices?filter=alpha_temperature%20%3E%200",
    "/api/devices?filter=beta_temperature%20%3E%200",
    "/api/devices?filter=no_such_name%20%3E%200",
    "/api/devices?sort=no_such_name",
    "/api/devices?group=alpha-plant",
    "/api/devices?group=beta-plant",
    "/api/devices?tag.alpha-tag=1",
    "/api/devices?tag.beta-tag=1",
    "/api/devices?template=none",
    "/api/devices/unclaimed",
    "/api/devices/export",
    "/api/groups",
    "/api/groups?tree=true",
    "/api/groups?q=plant",
    "/api/groups/export",
    "/api/commands",
    "/api/alarms",
    "/api/events?limit=1000",
    "/api/events?since=0&limit=1000",
    "/api/events?kind=telemetry",
    "/api/events?kind=twin,fleet,job,alarm,rule",
    "/api/jobs",
    "/api/templates",
    "/api/automation/rules",
    "/api/automation/files",
    "/api/automation/warnings",
    "/api/automation/journal",
    "/dispositivos",
    "/dispositivos/no-reclamados",
    "/health",
];

/// Makes something of each kind that a hub keeps, of each of the two.
async fn fill(people: &TwoPeople) {
    let TwoPeople { hub, admin, .. } = people;
    for word in WORDS {
        let command = json!({ "command_type": format!("{word}-reboot") });
        let path = format!("/api/devices/{word}-pump/commands");
        done(hub, people.of(word), Method::POST, &path, &command).await;
        let rule = json!({
            "id": format!("{word}-hot"), "alias": format!("{word} is hot"),
            "triggers": [{ "numeric": format!("{word}-pump.{word}_temperature"), "above": 50 }],
            "actions": [{ "alarm": format!("{word}-alarm"), "severity": "major" }],
        });
        done(hub, admin, Method::POST, "/api/automation/rules", &rule).await;
        let hot = json!({ format!("{word}_temperature"): 60 });
        done(hub, people.of(word), Method::POST, &format!("/api/devices/{word}-pump/data"), &hot).await;
        let bulk = json!({
            "where": { "group": format!("{word}-plant") }, "description": format!("{word} bulk"),
            "action": { "tags": { format!("{word}-job"): true } },
        });
        done(hub, people.of(word), Method::POST, "/api/devices/bulk", &bulk).await;
    }
    eventually("both alarms are raised", async || {
        (admin.json(hub, "/api/alarms").await.as_array().unwrap().len() == 2).then_some(())
    })
    .await;
}

#[tokio::test]
async fn nothing_of_one_is_in_what_the_other_reads() {
    let people = TwoPeople::start().await;
    fill(&people).await;
    let hub = &people.hub;
    let mut leaks = Vec::new();
    for (own, other) in [("alpha", "beta"), ("beta", "alpha")] {
        for path in READS.iter().filter(|path| !path.contains(&format!("{other}_")) && !path.contains(other))
        {
            let answer = people.of(own).get(hub, path).await;
            let heads: Vec<_> = answer.headers().values().map(|value| format!("{value:?}")).collect();
            let text = format!("{} {} {}", answer.status(), heads.join(" "), answer.text().await.unwrap());
            if text.contains(other) {
                leaks.push(format!("GET {path} by {own}: {text}"));
            }
        }
        // What the other has is not there, whoever asks for it by its name.
        for path in ["/api/devices?filter=OTHER_temperature%20%3E%200", "/api/devices?tag.OTHER-tag=1"] {
            let found = people.of(own).json(hub, &path.replace("OTHER", other)).await;
            assert_eq!(found, json!([]), "{path} by {own}");
        }
    }
    assert!(leaks.is_empty(), "\n{}", leaks.join("\n"));
}

#[tokio::test]
async fn lists_and_counts_are_of_ones_own() {
    let people = TwoPeople::start().await;
    fill(&people).await;
    let hub = &people.hub;
    for word in WORDS {
        let count = async |path: &str| {
            let answer = people.of(word).get(hub, path).await;
            assert!(answer.status().is_success(), "{path}: {}", answer.status());
            answer.headers()["x-total-count"].to_str().unwrap().to_owned()
        };
        for (path, expected) in [
            ("/api/devices?limit=1", "2"),
            ("/api/devices?sort=last_seen&limit=1", "2"),
            ("/api/devices?filter=true&limit=1", "2"),
            ("/api/groups", "2"),
            ("/api/commands", "1"),
            ("/api/alarms", "1"),
            ("/api/jobs", "1"),
            ("/api/automation/journal?limit=1", "1"),
        ] {
            assert_eq!(count(path).await, expected, "{path} of {word}");
        }
        let groups = people.of(word).json(hub, "/api/groups").await;
        assert_eq!(groups[0]["id"], format!("{word}-plant"));
        let plant = people.of(word).json(hub, &format!("/api/groups/{word}-plant")).await;
        assert_eq!(
            (&plant["parent_group"], &plant["subtree"]["total"]),
            (&Value::Null, &json!(2)),
            "{plant}"
        );
        let events = people.of(word).json(hub, "/api/events?limit=1000").await;
        assert!(
            events
                .as_array()
                .unwrap()
                .iter()
                .all(|event| { event["device_id"].as_str().is_some_and(|device| device.starts_with(word)) })
        );
    }
    let all = people.admin.get(hub, "/api/devices").await;
    assert_eq!(all.headers()["x-total-count"], "4");
}

#[tokio::test]
async fn things_of_the_other_are_as_unknown_as_what_there_is_not() {
    let people = TwoPeople::start().await;
    fill(&people).await;
    let (hub, admin, alpha) = (&people.hub, &people.admin, &people.alpha);
    let id_of = async |path: &str, of: &str| {
        // A run is written down a moment after its alarm.
        let what = format!("{path} has one of {of}");
        let found = eventually(&what, async || {
            let all = admin.json(hub, path).await;
            all.as_array().unwrap().iter().find(|one| one.to_string().contains(of)).cloned()
        });
        found.await["id"].as_str().unwrap().to_owned()
    };
    let (alarm, command) = (id_of("/api/alarms", "beta").await, id_of("/api/commands", "beta").await);
    let (job, run) = (id_of("/api/jobs", "beta").await, id_of("/api/automation/journal", "beta").await);
    let unknown = "01890a5d-ac96-774b-bcce-b302099a8057";
    let nothing = json!({});
    for (method, path, theirs) in [
        (Method::GET, "/api/alarms/ID", &alarm),
        (Method::POST, "/api/alarms/ID/acknowledge", &alarm),
        (Method::POST, "/api/alarms/ID/clear", &alarm),
        (Method::GET, "/api/commands/ID", &command),
        (Method::DELETE, "/api/commands/ID", &command),
        (Method::GET, "/api/jobs/ID", &job),
        (Method::GET, "/api/jobs/ID/devices", &job),
        (Method::POST, "/api/jobs/ID/cancel", &job),
        (Method::DELETE, "/api/jobs/ID", &job),
        (Method::GET, "/api/automation/runs/ID", &run),
    ] {
        let said = refused(hub, alpha, method.clone(), &path.replace("ID", theirs), &nothing).await;
        let of_nothing = refused(hub, alpha, method.clone(), &path.replace("ID", unknown), &nothing).await;
        assert_eq!(said.0, 404, "{method} {path}: {said:?}");
        assert_eq!(
            (said.1, said.2.replace(&**theirs, unknown)),
            (of_nothing.1, of_nothing.2),
            "{method} {path}"
        );
    }
    for (method, path, body) in [
        (Method::GET, "/api/groups/ID", nothing.clone()),
        (Method::PATCH, "/api/groups/ID", json!({ "name": "x" })),
        (Method::DELETE, "/api/groups/ID", nothing.clone()),
        (Method::GET, "/api/groups/ID/devices", nothing.clone()),
    ] {
        let said = refused(hub, alpha, method.clone(), &path.replace("ID", "beta-plant"), &body).await;
        let of_nothing = refused(hub, alpha, method.clone(), &path.replace("ID", "no-plant"), &body).await;
        assert_eq!(said.0, 404, "{method} {path}: {said:?}");
        assert_eq!((said.1, said.2.replace("beta-plant", "no-plant")), (of_nothing.1, of_nothing.2));
    }
    let pump = admin.json(hub, "/api/devices/beta-pump").await;
    assert_eq!(pump["name"], "beta pump");
    let seen = people.beta.json(hub, &format!("/api/alarms/{alarm}")).await;
    assert_eq!((&seen["cleared_at"], &seen["acknowledged_at"]), (&Value::Null, &Value::Null), "{seen}");
}

#[tokio::test]
async fn devices_and_groups_come_and_stay_where_their_people_reach() {
    let people = TwoPeople::start().await;
    let (hub, alpha) = (&people.hub, &people.alpha);
    let device = |id: &str, group: Value| json!({ "device_id": id, "name": id, "group_id": group });

    // Into one's own subtree, and nowhere else.
    done(hub, alpha, Method::POST, "/api/devices", &device("new-1", json!("alpha-hall"))).await;
    let said = refused(hub, alpha, Method::POST, "/api/devices", &device("new-2", Value::Null)).await;
    assert_eq!((said.0, &*said.1), (403, "out_of_scope"), "{said:?}");
    let said = refused(hub, alpha, Method::POST, "/api/devices", &device("new-2", json!("beta-hall"))).await;
    let nowhere = refused(hub, alpha, Method::POST, "/api/devices", &device("new-2", json!("no-hall"))).await;
    assert_eq!((said.0, said.2.replace("beta-hall", "no-hall")), (nowhere.0, nowhere.2), "{}", said.1);

    // A device that is there stays within, whoever of the two asks.
    let out = json!({ "group_id": null });
    let said = refused(hub, alpha, Method::PATCH, "/api/devices/new-1", &out).await;
    assert_eq!((said.0, &*said.1), (403, "out_of_scope"), "{said:?}");
    let said =
        refused(hub, alpha, Method::PATCH, "/api/devices/new-1", &json!({ "group_id": "beta-hall" })).await;
    assert!(said.0 == 422 && said.2.contains("there is no group"), "{said:?}");
    done(hub, alpha, Method::PATCH, "/api/devices/new-1", &json!({ "group_id": "alpha-plant" })).await;
    let gateway = json!({ "settings": { "gateway": { "ids": ["beta-*"] } } });
    let said = refused(hub, alpha, Method::PATCH, "/api/devices/new-1", &gateway).await;
    assert_eq!((said.0, &*said.1), (403, "out_of_scope"), "{said:?}");

    // Nor gets one, with the token of a gateway, what the other's devices say and hear.
    let admin = &people.admin;
    done(hub, admin, Method::PATCH, "/api/devices/new-1", &gateway).await;
    let unclaimed = json!({ "device_id": "new-gw", "name": "gw", "serial_number": "gw-1", "claim_code": "K7-42-XY",
        "group_id": "alpha-hall", "settings": gateway["settings"] });
    done(hub, admin, Method::POST, "/api/devices", &unclaimed).await;
    let claim = json!({ "serial_number": "gw-1", "claim_code": "K7-42-XY" });
    let again = json!({ "device_id": "new-gw", "name": "gw", "claim_code": "K7-42-XY",
        "group_id": "alpha-hall" });
    for (path, body) in [
        ("/api/devices/new-1/token", json!({})),
        ("/api/devices/claim", claim.clone()),
        ("/api/devices", again),
    ] {
        let said = refused(hub, alpha, Method::POST, path, &body).await;
        assert_eq!((said.0, &*said.1), (403, "out_of_scope"), "{path}: {said:?}");
    }
    done(hub, admin, Method::POST, "/api/devices/claim", &claim).await;
    let none = json!({ "settings": { "gateway": null } });
    done(hub, admin, Method::PATCH, "/api/devices/new-1", &none).await;
    done(hub, alpha, Method::POST, "/api/devices/new-1/token", &json!({})).await;

    // Neither does one take an id or a serial number from the other, nor learn whose it is.
    let said =
        refused(hub, alpha, Method::POST, "/api/devices", &device("beta-pump", json!("alpha-hall"))).await;
    assert_eq!((said.0, &*said.1), (409, "device_exists"), "{said:?}");
    let mut twice = device("new-3", json!("alpha-hall"));
    twice["serial_number"] = json!("beta-pump-1");
    let said = refused(hub, alpha, Method::POST, "/api/devices", &twice).await;
    assert!(said.0 == 409 && said.2.ends_with("another device"), "{said:?}");
    let claim = json!({ "serial_number": "beta-pump-1" });
    let said = refused(hub, alpha, Method::POST, "/api/devices/claim", &claim).await;
    assert_eq!(said.0, 404, "{said:?}");

    // A job does nothing to the other's devices.
    let bulk = json!({ "ids": ["alpha-pump", "beta-pump"], "action": { "desired": { "power": "on" } } });
    let job = done(hub, alpha, Method::POST, "/api/devices/bulk", &bulk).await;
    let path = format!("/api/jobs/{}", job["id"].as_str().or(job["job_id"].as_str()).unwrap());
    eventually("the job is over", async || (alpha.json(hub, &path).await["status"] == "done").then_some(()))
        .await;
    let twin = people.beta.json(hub, "/api/devices/beta-pump/twin").await;
    assert_eq!(twin["desired"], json!({}), "{twin}");
    let twin = alpha.json(hub, "/api/devices/alpha-pump/twin").await;
    assert_eq!(twin["desired"]["power"], "on", "{twin}");

    // Groups grow below one's own.
    let made = json!({ "id": "alpha-room", "name": "Room", "parent_group": "alpha-hall" });
    done(hub, alpha, Method::POST, "/api/groups", &made).await;
    let top = json!({ "id": "alpha-top", "name": "Top" });
    let said = refused(hub, alpha, Method::POST, "/api/groups", &top).await;
    assert_eq!((said.0, &*said.1), (403, "out_of_scope"), "{said:?}");
    for (group, parent) in [("alpha-room", "beta-hall"), ("alpha-plant", "alpha-room")] {
        let moved = json!({ "parent_group": parent });
        let said = refused(hub, alpha, Method::PATCH, &format!("/api/groups/{group}"), &moved).await;
        assert!((400..500).contains(&said.0), "{group} under {parent}: {said:?}");
    }
    let said = refused(hub, alpha, Method::DELETE, "/api/groups/alpha-plant?force=true", &json!({})).await;
    assert_eq!((said.0, &*said.1), (403, "out_of_scope"), "{said:?}");
    done(hub, alpha, Method::PATCH, "/api/groups/alpha-plant", &json!({ "name": "Plant" })).await;
}

#[tokio::test]
async fn what_is_of_the_hub_is_for_those_who_reach_all_devices() {
    let people = TwoPeople::start().await;
    let (hub, alpha) = (&people.hub, &people.alpha);
    assert_eq!(alpha.get(hub, "/metrics").await.status(), 403);
    assert!(alpha.json(hub, "/health").await["parts"].is_null());
    let template = json!({ "id": "t", "name": "T" });
    for (method, path, body) in [
        (Method::POST, "/api/templates", template),
        (Method::GET, "/api/diagnostics/rejected", json!({})),
        (Method::GET, "/api/users", json!({})),
    ] {
        let said = refused(hub, alpha, method, path, &body).await;
        assert_eq!(said.0, 403, "{path}: {said:?}");
    }
}
