//! Why did the fan start, and why did it not?

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::hub::Installation;
use crate::support::pump::register;
use crate::support::rules::{Rules, done, not_run, report, run_of};
use crate::support::{WebSocketSession, eventually, within};

const HOUSE: &str = r#"version: 1
rules:
  cool:
    triggers:
      - numeric: greenhouse.temperature
        above: 28
        release: 26
    conditions:
      - home.occupied == false || home.guests > 2
    actions:
      - desired: fan
        set: { power: "on" }
      - alarm: greenhouse-hot
        severity: major
        message: "Greenhouse {{ trigger.value }} °C"
    on_release:
      - clear: greenhouse-hot
  echo:
    triggers:
      - changed: fan.desired.power
        to: "on"
    actions:
      - log: "the fan is wanted"
"#;

#[tokio::test]
async fn every_refusal_has_its_reason() {
    let rules = Rules::of("house.yaml", HOUSE);
    let hub = Installation::new().with("--rules", rules.folder()).start().await;
    for device in ["greenhouse", "fan", "home"] {
        register(&hub, device).await;
    }
    let heat = async |hot: f64| {
        report(&hub, "greenhouse", &json!({ "temperature": 20 })).await;
        report(&hub, "greenhouse", &json!({ "temperature": hot })).await;
    };
    // Nothing is known of who is at home.
    heat(29.5).await;
    let entry = not_run(&hub, "cool", "unknown").await;
    let condition = &entry["conditions"][0];
    assert_eq!(
        (&condition["holds"], &condition["text"]),
        (&Value::Null, &json!("home.occupied == false || home.guests > 2"))
    );
    assert!(condition["terms"][0]["unknown"].is_string(), "{entry}");
    assert_eq!(entry["trigger"]["data"]["value"], 29.5);

    // Somebody is.
    report(&hub, "home", &json!({ "occupied": true, "guests": 1 })).await;
    heat(29.5).await;
    let entry = not_run(&hub, "cool", "condition").await;
    let terms = entry["conditions"][0]["terms"].as_array().unwrap();
    assert_eq!(terms.len(), 2, "{entry}");
    assert_eq!((&terms[0]["holds"], &terms[0]["values"]), (&json!(false), &json!({ "home.occupied": true })));
    assert_eq!((&terms[1]["holds"], &terms[1]["values"]), (&json!(false), &json!({ "home.guests": 1 })));
    // The same again is counted.
    heat(29.5).await;
    run_of(&hub, "cool", |run| run["why"] == "condition" && run["count"] == 2).await;

    // A person drives the fan: the run fails, and says at what.
    let manual = hub.request(Method::PUT, "/api/devices/fan/mode").json(&json!({ "mode": "manual" }));
    assert_eq!(manual.send().await.unwrap().status(), 200);
    report(&hub, "home", &json!({ "occupied": false })).await;
    heat(30.0).await;
    let entry = run_of(&hub, "cool", |run| run["outcome"] == "failed").await;
    assert_eq!(
        (&entry["actions"][0]["result"], &entry["actions"][0]["device_id"]),
        (&json!("manual_mode"), &json!("fan"))
    );

    let schedule = hub.request(Method::PUT, "/api/devices/fan/mode").json(&json!({ "mode": "schedule" }));
    assert_eq!(schedule.send().await.unwrap().status(), 200);
    heat(31.0).await;
    // Its release was done before it.
    let entry = run_of(&hub, "cool", |run| run["outcome"] == "done" && run["kind"] == "trigger").await;
    assert_eq!(entry["conditions"][0]["terms"][0]["holds"], true);
    assert_eq!(entry["actions"][0]["result"], "ok");

    // The chain, from either end.
    let echo = done(&hub, "echo").await;
    assert_eq!((&echo["parent_id"], &echo["depth"]), (&entry["id"], &json!(1)));
    let path = |run: &Value| format!("/api/automation/runs/{}", run["id"].as_str().unwrap());
    let below = hub.json(&path(&entry)).await;
    assert_eq!(below["below"][0]["id"], echo["id"]);
    let above = hub.json(&path(&echo)).await;
    assert_eq!((&above["above"][0]["id"], &above["below"]), (&entry["id"], &json!([])));
    let event = &hub.json("/api/devices/fan/events?kind=twin&limit=1").await[0];
    assert_eq!((&event["cause"]["run_id"], &event["cause"]["source"]), (&entry["id"], &json!("rule")));

    // Why did the fan start? What something else set off and what it set off itself are both there.
    let journal = hub.json("/api/automation/journal?device=fan&outcome=done").await;
    let found: Vec<_> = journal.as_array().unwrap().iter().map(|run| &run["id"]).collect();
    assert_eq!(found, [&echo["id"], &entry["id"]], "{journal}");
    let journal = hub.json("/api/automation/journal?device=fan&rule=cool&from=2026-01-01&limit=1").await;
    assert_eq!(journal[0]["id"], entry["id"]);
    assert_eq!(hub.json("/api/automation/journal?device=home").await, json!([]), "it set nothing off");
    for (query, field) in [("outcome=well", "outcome"), ("from=soon", "from"), ("colour=red", "colour")] {
        let response = hub.get(&format!("/api/automation/journal?{query}")).await;
        assert_eq!(response.json::<Value>().await.unwrap()["field"], field);
    }
    assert_eq!(hub.get("/api/automation/runs/x").await.status(), 404);
}

#[tokio::test]
async fn alarms_are_raised_seen_and_over_and_everybody_hears_of_it() {
    let rules = Rules::of("house.yaml", HOUSE);
    let hub = Installation::new().with("--rules", rules.folder()).start().await;
    for device in ["greenhouse", "fan", "home"] {
        register(&hub, device).await;
    }
    report(&hub, "home", &json!({ "occupied": false, "guests": 0 })).await;
    let mut subscriber = WebSocketSession::connect(hub.http).await;
    subscriber.send(&json!({ "type": "subscribe", "id": "s", "kinds": ["rule", "alarm"] })).await;
    assert_eq!(subscriber.next().await.unwrap()["type"], "subscribed");
    let mut of_home = WebSocketSession::connect(hub.http).await;
    of_home
        .send(&json!({ "type": "subscribe", "id": "s", "kinds": ["rule"], "devices": ["home", "fan"] }))
        .await;
    assert_eq!(of_home.next().await.unwrap()["type"], "subscribed");

    report(&hub, "greenhouse", &json!({ "temperature": 29.5 })).await;
    let raised = hear(&mut subscriber, |event| event["kind"] == "alarm").await;
    assert_eq!((&raised["data"]["step"], &raised["device_id"]), (&json!("raised"), &json!("greenhouse")));
    let alarm = raised["data"]["alarm"].clone();
    assert_eq!((&alarm["severity"], &alarm["message"]), (&json!("major"), &json!("Greenhouse 29.5 °C")));
    let ended = |event: &Value| event["data"]["rule_id"] == "cool" && event["data"]["outcome"] == "done";
    let run = hear(&mut subscriber, ended).await;
    assert_eq!(run["kind"], "rule");
    let shown = hub.json(&format!("/api/automation/runs/{}", run["data"]["id"].as_str().unwrap())).await;
    assert_eq!((&shown["rule_id"], &shown["trigger"]), (&json!("cool"), &run["data"]["trigger"]));

    let path = format!("/api/alarms/{}", alarm["id"].as_str().unwrap());
    assert_eq!(hub.json("/api/alarms?active=true").await[0]["id"], alarm["id"]);
    let seen: Value = hub.post(&format!("{path}/acknowledge"), &Value::Null).await.json().await.unwrap();
    assert_eq!(seen["acknowledged"], true);
    let heard = hear(&mut subscriber, |event| event["data"]["step"] == "acknowledged").await;
    assert_eq!(heard["data"]["alarm"]["id"], alarm["id"]);
    report(&hub, "greenhouse", &json!({ "temperature": 25 })).await;
    hear(&mut subscriber, |event| event["data"]["step"] == "cleared").await;
    let over = eventually("it is over", async || {
        let alarm = hub.json(&path).await;
        (alarm["status"] == "cleared").then_some(alarm)
    })
    .await;
    assert_eq!(over["cleared_by"], "rule:cool");

    // Events of no device are for those who name no devices: the echo is the fan's, so it is heard there alone.
    let off = hub.post("/api/automation/rules/cool/disable", &Value::Null).await;
    assert_eq!(off.status(), 200);
    let heard = hear(&mut subscriber, |event| event["data"]["signal"] == "enabled").await;
    assert_eq!((&heard["device_id"], &heard["kind"]), (&Value::Null, &json!("rule")));
    // The run by which the alarm was cleared may end after that.
    let list = hub.json("/api/events?kind=rule&limit=10").await;
    let found = list.as_array().unwrap().iter().find(|event| event["data"]["signal"] == "enabled");
    assert_eq!(found.unwrap()["device_id"], Value::Null);
    register(&hub, "pump").await;
    let unheard = hear(&mut of_home, |_| true).await;
    assert_eq!((&unheard["device_id"], &unheard["data"]["rule_id"]), (&json!("fan"), &json!("echo")));
}

const CIRCLE: &str = r#"version: 1
rules:
  ping:
    triggers: [ { changed: lamp.desired.power, to: "on" } ]
    actions: [ { desired: lamp, set: { power: "off" } } ]
  pong:
    triggers: [ { changed: lamp.desired.power, to: "off" } ]
    actions: [ { desired: lamp, set: { power: "on" } } ]
  bystander:
    triggers: [ { numeric: lamp.brightness, above: 10 } ]
    actions: [ { alarm: bright } ]
"#;

#[tokio::test]
async fn rules_in_a_circle_are_stopped_alone_and_begin_anew_when_a_person_says_so() {
    let rules = Rules::of("circle.yaml", CIRCLE);
    let hub = Installation::new().with("--rules", rules.folder()).start().await;
    register(&hub, "lamp").await;
    let warned = hub.json("/api/automation/warnings").await;
    assert!(warned.as_array().unwrap().iter().any(|warning| warning["code"] == "circle"), "{warned}");
    let on = json!({ "desired": { "power": "on" } });
    let asked = hub.request(Method::PATCH, "/api/devices/lamp/twin").json(&on).send().await.unwrap();
    assert_eq!(asked.status(), 200);
    let stopped = eventually("one of them is stopped", async || {
        hub.json("/api/automation/rules?status=stopped").await.get(0).cloned()
    })
    .await;
    assert!(stopped["stopped_reason"].is_string(), "{stopped}");
    let name = stopped["id"].as_str().unwrap();
    let alarm =
        eventually("an alarm says so", async || hub.json("/api/alarms?active=true").await.get(0).cloned())
            .await;
    assert_eq!((&alarm["type"], &alarm["rule_id"]), (&json!("rule-stopped"), &stopped["id"]));
    let entry = not_run(&hub, name, "depth").await;
    let chain = hub.json(&format!("/api/automation/runs/{}", entry["id"].as_str().unwrap())).await;
    assert!(chain["above"].as_array().unwrap().len() >= 8, "{chain}");

    report(&hub, "lamp", &json!({ "brightness": 20 })).await;
    done(&hub, "bystander").await;
    assert_eq!(hub.json("/api/automation/rules?status=running").await.as_array().unwrap().len(), 2);
    let again = hub.post(&format!("/api/automation/rules/{name}/enable"), &Value::Null).await;
    let again: Value = again.json().await.unwrap();
    assert_eq!((&again["status"], &again["stopped_reason"]), (&json!("running"), &Value::Null));
}

async fn hear(subscriber: &mut WebSocketSession, fits: impl Fn(&Value) -> bool) -> Value {
    within("an event", async {
        loop {
            let frame = subscriber.next().await.expect("the session lasts");
            assert_eq!(frame["type"], "event", "{frame}");
            if fits(&frame) {
                return frame;
            }
        }
    })
    .await
}
