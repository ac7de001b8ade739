//! Rules over the API: made, changed, switched, run, tested, taken away, in both forms.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::hub::Installation;
use crate::support::pump::register;
use crate::support::rules::{done, report};
use crate::support::{HubProcess, eventually};

const RULES: &str = "/api/automation/rules";

fn cool() -> Value {
    json!({
        "id": "cool", "alias": "Cool", "timezone": "Europe/Berlin",
        "triggers": [{ "numeric": "greenhouse.temperature", "above": 28 }],
        "conditions": ["fan.mode != \"manual\""],
        "actions": [{ "desired": "fan", "set": { "power": "on" } }],
        "tests": [{ "name": "hot", "given": { "greenhouse.temperature": 30 }, "expect": ["desired fan"] }],
    })
}

#[tokio::test]
async fn a_rule_is_made_changed_and_taken_away() {
    let installation = Installation::new();
    let hub = installation.start().await;
    register(&hub, "fan").await;
    register(&hub, "greenhouse").await;
    let response = hub.post(RULES, &cool()).await;
    assert_eq!(response.status(), StatusCode::CREATED);
    assert_eq!(response.headers()["location"], "/api/automation/rules/cool");
    let made: Value = response.json().await.unwrap();
    assert_eq!((&made["origin"], &made["status"]), (&json!("api"), &json!("running")));
    assert_eq!((&made["triggers"], &made["warnings"]), (&json!(["numeric"]), &json!([])));
    assert_eq!(made["rule"]["conditions"], cool()["conditions"]);
    assert!(made["created_at"].is_string());

    let again = send(&hub, Method::POST, RULES, &cool(), StatusCode::CONFLICT).await;
    assert_eq!(again["code"], "rule_exists");
    report(&hub, "greenhouse", &json!({ "temperature": 29 })).await;
    let entry = done(&hub, "cool").await;
    eventually("the fan is wanted on", async || {
        let twin = hub.json("/api/devices/fan/twin").await;
        (twin["desired"]["power"] == "on").then_some(())
    })
    .await;
    let rule = hub.json("/api/automation/rules/cool").await;
    assert_eq!((&rule["last_run"]["id"], &rule["last_triggered"]), (&entry["id"], &entry["at"]));

    let mut changed = cool();
    changed["triggers"][0]["above"] = 35.into();
    let told = send(&hub, Method::PUT, "/api/automation/rules/cool", &changed, StatusCode::OK).await;
    assert_eq!(
        (&told["rule"]["triggers"][0]["above"], &told["created_at"]),
        (&json!(35), &made["created_at"])
    );
    let renamed = json!({ "id": "other", "triggers": [], "actions": [] });
    let told =
        send(&hub, Method::PUT, "/api/automation/rules/cool", &renamed, StatusCode::UNPROCESSABLE_ENTITY)
            .await;
    assert_eq!(told["field"], "id");
    send(&hub, Method::PUT, "/api/automation/rules/nobody", &cool_without_id(), StatusCode::NOT_FOUND).await;

    // The rule that was made stays.
    hub.terminate().await;
    let hub = installation.start().await;
    assert_eq!(hub.json("/api/automation/rules/cool").await["rule"]["triggers"][0]["above"], 35);
    let tests =
        send(&hub, Method::POST, "/api/automation/rules/cool/test", &Value::Null, StatusCode::OK).await;
    assert_eq!(
        (&tests[0]["name"], &tests[0]["passed"]),
        (&json!("hot"), &json!(false)),
        "30 is no more than 35"
    );
    assert!(tests[0]["failure"].as_str().unwrap().contains("desired fan"), "{tests}");
    assert_eq!(tests[0]["failed_actions"], json!([]));

    // Actions that failed on the way are told of a test that passed, too.
    let told = json!({ "id": "told", "triggers": { "numeric": "a.x", "above": 5 },
        "actions": [{ "log": "{{ fan.speed }}" }], "tests": [{ "given": { "a.x": 6 }, "expect": ["not log"] }] });
    send(&hub, Method::POST, "/api/automation/rules", &told, StatusCode::CREATED).await;
    let tests = "/api/automation/rules/told/test";
    let tests = send(&hub, Method::POST, tests, &Value::Null, StatusCode::OK).await;
    assert_eq!(tests[0]["passed"], true, "{tests}");
    let why = "at the start actions[0] log: template: `fan` has not reported `speed`";
    assert_eq!(tests[0]["failed_actions"], json!([why]));

    let gone = send(&hub, Method::DELETE, "/api/automation/rules/cool", &Value::Null, StatusCode::OK).await;
    assert_eq!(gone["message"], "rule cool is gone");
    send(&hub, Method::DELETE, "/api/automation/rules/cool", &Value::Null, StatusCode::NOT_FOUND).await;
    assert_eq!(hub.json("/api/automation/rules/cool/runs").await[0]["id"], entry["id"], "what it did stays");
    assert_eq!(hub.get("/api/automation/rules/nobody/runs").await.status(), StatusCode::NOT_FOUND);
}

fn cool_without_id() -> Value {
    let mut rule = cool();
    rule.as_object_mut().unwrap().remove("id");
    rule
}

#[tokio::test]
async fn all_errors_come_with_their_pointers() {
    let hub = Installation::new().start().await;
    let mut wrong = cool();
    wrong["triggers"] = json!([{ "numeric": "greenhouse.temperature", "abve": 28 }]);
    wrong["conditions"] = json!(["fan.mode !="]);
    wrong["actions"] = json!([{ "desired": "fan", "set": "on" }]);
    let told = send(&hub, Method::POST, RULES, &wrong, StatusCode::UNPROCESSABLE_ENTITY).await;
    assert_eq!(told["code"], "bad_rule");
    let pointers: Vec<_> = told["errors"].as_array().unwrap().iter().map(|error| &error["pointer"]).collect();
    for pointer in ["/triggers/0/abve", "/conditions/0", "/actions/0/set"] {
        assert!(pointers.contains(&&json!(pointer)), "{pointer} in {told}");
    }
    assert!(told["detail"].as_str().unwrap().contains(pointers[0].as_str().unwrap()), "{told}");
    let hint = told["errors"].as_array().unwrap().iter().find(|error| error["pointer"] == "/triggers/0/abve");
    assert_eq!(hint.unwrap()["hint"], "above");
    for (query, field) in [
        ("enabled=perhaps", "enabled"),
        ("type=weather", "type"),
        ("origin=cloud", "origin"),
        ("colour=red", "colour"),
    ] {
        let response = hub.get(&format!("{RULES}?{query}")).await;
        assert_eq!(response.status(), StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(response.json::<Value>().await.unwrap()["field"], field);
    }
    let switch = json!({ "enabled": true, "colour": "red" });
    let told =
        send(&hub, Method::PATCH, "/api/automation/rules/x", &switch, StatusCode::UNPROCESSABLE_ENTITY).await;
    assert_eq!(told["field"], "colour");
    assert_eq!(hub.json(RULES).await, json!([]), "nothing of it was taken");
}

#[tokio::test]
async fn conflicts_and_strangers_are_warned_of() {
    let hub = Installation::new().start().await;
    register(&hub, "fan").await;
    register(&hub, "greenhouse").await;
    send(&hub, Method::POST, RULES, &cool(), StatusCode::CREATED).await;
    let mut heat = cool_without_id();
    heat["alias"] = "Warm it up!".into();
    heat["triggers"][0]["above"] = 30.into();
    heat["actions"] = json!([
        { "desired": "fan", "set": { "power": "off" } }, { "command": "nobody", "type": "start" },
    ]);
    let made = send(&hub, Method::POST, RULES, &heat, StatusCode::CREATED).await;
    assert_eq!(made["id"], "warm-it-up", "named after what people call it");
    let codes: Vec<_> = made["warnings"].as_array().unwrap().iter().map(|warning| &warning["code"]).collect();
    assert!(codes.contains(&&json!("conflict")) && codes.contains(&&json!("unknown_device")), "{made}");
    let all = hub.json("/api/automation/warnings").await;
    assert_eq!(all.as_array().unwrap().len(), codes.len(), "{all}");
    let again = send(&hub, Method::POST, RULES, &heat, StatusCode::CREATED).await;
    assert_eq!(again["id"], "warm-it-up-2");

    // Lists are paged and filtered.
    let response = hub.get(&format!("{RULES}?limit=1&page=2")).await;
    assert_eq!(response.headers()["x-total-count"], "3");
    assert!(response.headers()["link"].to_str().unwrap().contains("rel=\"prev\""));
    assert_eq!(response.json::<Value>().await.unwrap()[0]["id"], "warm-it-up");
    assert_eq!(ids(&hub, "q=WARM").await, ["warm-it-up", "warm-it-up-2"]);
    assert_eq!(ids(&hub, "device=fan&type=numeric").await.len(), 3);
    assert_eq!(ids(&hub, "type=cron").await.len(), 0);
    register(&hub, "other").await;
    assert_eq!(ids(&hub, "device=other").await.len(), 0);
    assert_eq!(hub.get(&format!("{RULES}?device=nobody")).await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_form_of_other_programs_is_taken_and_given_back() {
    let hub = Installation::new().start().await;
    register(&hub, "fan").await;
    register(&hub, "hall").await;
    let conditions = json!({ "operator": "AND", "conditions": [
        { "device_id": "hall", "sensor_type": "temperature", "operator": ">", "value": 28 },
        { "operator": "OR", "conditions": [
            { "device_id": "hall", "sensor_type": "humidity", "operator": ">=", "value": 60 },
            { "device_id": "hall", "sensor_type": "co2", "operator": ">", "value": 1000 },
        ] },
    ] });
    let body = json!({
        "name": "Air the hall", "trigger_conditions": conditions, "enabled_status": true,
        "actions": [{ "type": "command", "device_id": "fan", "command": "start", "parameters": { "speed": 3 } }],
    });
    let made = send(&hub, Method::POST, RULES, &body, StatusCode::CREATED).await;
    let rule = format!("{RULES}/{}", made["id"].as_str().unwrap());
    assert_eq!((&made["name"], &made["is_enabled"]), (&json!("Air the hall"), &json!(true)));
    assert_eq!((&made["trigger_conditions"], &made["actions"]), (&conditions, &body["actions"]));

    report(&hub, "hall", &json!({ "temperature": 29, "humidity": 40, "co2": 500 })).await;
    report(&hub, "hall", &json!({ "humidity": 65 })).await;
    let command =
        eventually("the fan is asked", async || hub.json("/api/devices/fan/commands").await.get(0).cloned())
            .await;
    assert_eq!((&command["command_type"], &command["parameters"]["speed"]), (&json!("start"), &json!(3)));
    eventually("it says when", async || hub.json(&rule).await["last_triggered"].as_str().map(drop)).await;

    // A member that is left out stays.
    let other = json!({ "device_id": "hall", "sensor_type": "temperature", "operator": "<", "value": 5 });
    let told = send(&hub, Method::PUT, &rule, &json!({ "trigger_conditions": other }), StatusCode::OK).await;
    assert_eq!((&told["trigger_conditions"], &told["actions"]), (&other, &body["actions"]));
    let told = send(&hub, Method::PUT, &rule, &json!({ "enabled_status": false }), StatusCode::OK).await;
    assert_eq!((&told["enabled_status"], &told["status"]), (&json!(false), &json!("disabled")));
    let actions = json!([{ "type": "command", "device_id": "fan", "command": "stop" }]);
    let told = send(
        &hub,
        Method::PUT,
        &rule,
        &json!({ "actions": actions, "enabled_status": true }),
        StatusCode::OK,
    )
    .await;
    assert_eq!((&told["actions"], &told["trigger_conditions"]), (&actions, &other));
    assert_eq!(told["enabled_status"], true);
    let wrong = json!({ "trigger_conditions": { "device_id": "hall", "sensor_type": "t", "operator": "~", "value": 1 } });
    let told = send(&hub, Method::PUT, &rule, &wrong, StatusCode::UNPROCESSABLE_ENTITY).await;
    assert_eq!(told["errors"][0]["pointer"], "/trigger_conditions/operator");
    send(&hub, Method::DELETE, &rule, &Value::Null, StatusCode::OK).await;
}

#[tokio::test]
async fn a_rule_is_run_by_hand() {
    let hub = Installation::new().start().await;
    register(&hub, "fan").await;
    send(&hub, Method::POST, RULES, &cool(), StatusCode::CREATED).await;
    let path = "/api/automation/rules/cool/run";
    let mode = json!({ "mode": "manual" });
    send(&hub, Method::PUT, "/api/devices/fan/mode", &mode, StatusCode::OK).await;
    let told = send(&hub, Method::POST, &format!("{path}?wait=20s"), &json!({}), StatusCode::OK).await;
    assert_eq!(
        (&told["outcome"], &told["why"], &told["kind"]),
        (&json!("not_run"), &json!("condition"), &json!("manual"))
    );
    let once_more = send(&hub, Method::POST, &format!("{path}?wait=20s"), &json!({}), StatusCode::OK).await;
    assert_eq!(
        (&once_more["outcome"], &once_more["count"]),
        (&json!("not_run"), &json!(2)),
        "the same is counted"
    );

    let unconditional = json!({ "unconditional": true });
    let told = send(&hub, Method::POST, &format!("{path}?wait=20s"), &unconditional, StatusCode::OK).await;
    assert_eq!(told["actions"][0]["result"], "manual_mode", "a person's word holds all the same: {told}");
    send(&hub, Method::PUT, "/api/devices/fan/mode", &json!({ "mode": "schedule" }), StatusCode::OK).await;
    let asked = send(&hub, Method::POST, path, &Value::Null, StatusCode::ACCEPTED).await;
    let entry = done(&hub, "cool").await;
    assert_eq!(entry["trigger"]["seq"], asked["seq"]);
    send(&hub, Method::POST, "/api/automation/rules/nobody/run", &json!({}), StatusCode::NOT_FOUND).await;
    let told =
        send(&hub, Method::POST, path, &json!({ "force": true }), StatusCode::UNPROCESSABLE_ENTITY).await;
    assert_eq!(told["field"], "force");
}

async fn ids(hub: &HubProcess, query: &str) -> Vec<String> {
    let rules = hub.json(&format!("{RULES}?{query}")).await;
    rules.as_array().unwrap().iter().map(|rule| rule["id"].as_str().unwrap().to_owned()).collect()
}

async fn send(hub: &HubProcess, method: Method, path: &str, body: &Value, expected: StatusCode) -> Value {
    let mut request = hub.request(method, path);
    if !body.is_null() {
        request = request.json(body);
    }
    let response = request.send().await.unwrap();
    let status = response.status();
    let text = response.text().await.unwrap();
    assert_eq!(status, expected, "{path} {body}: {text}");
    serde_json::from_str(&text).unwrap()
}
