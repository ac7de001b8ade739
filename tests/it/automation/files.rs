//! Rules in files: read, read again, broken, tested.

use serde_json::{Value, json};

use crate::support::hub::{Installation, run};
use crate::support::rules::{Rules, done, report};
use crate::support::{HubProcess, PumpDevice, eventually};

const GREENHOUSE: &str = r#"version: 1
rules:
  greenhouse-cool:
    alias: Cool the greenhouse
    triggers:
      - numeric: greenhouse.temperature
        above: 28
        release: 26
    actions:
      - command: fan
        type: set
        parameters: { power: "on", was: "{{ trigger.value }}" }
"#;

#[tokio::test]
async fn a_rule_in_a_file_runs_and_follows_its_file() {
    let rules = Rules::of("greenhouse.yaml", GREENHOUSE);
    let hub = Installation::new().with("--rules", rules.folder()).start().await;
    let mut fan = PumpDevice::join(&hub, "fan").await;
    let mut greenhouse = PumpDevice::join(&hub, "greenhouse").await;
    let rule = hub.json("/api/automation/rules/greenhouse-cool").await;
    assert_eq!((&rule["origin"], &rule["file"]), (&json!("file"), &json!("greenhouse.yaml")));
    assert_eq!((&rule["name"], &rule["status"]), (&json!("Cool the greenhouse"), &json!("running")));

    greenhouse.say("data", r#"{"temperature": 28.5}"#).await;
    let command = fan.next_command().await;
    assert_eq!((&command["type"], &command["parameters"]["power"]), (&json!("set"), &json!("on")));
    assert_eq!(command["parameters"]["was"], 28.5, "a text that is one expression gives its value");
    fan.answer(&command, &json!({ "status": "executed" })).await;
    let entry = done(&hub, "greenhouse-cool").await;
    assert_eq!((&entry["device_id"], &entry["trigger"]["kind"]), (&json!("greenhouse"), &json!("numeric")));
    assert_eq!(entry["actions"][0]["made"], command["id"]);
    let asked = hub.json(&format!("/api/commands/{}", command["id"].as_str().unwrap())).await;
    assert_eq!(asked["cause"]["source"], "rule", "{asked}");

    // Changed, it does something else, at once.
    rules.write(
        "greenhouse.yaml",
        &GREENHOUSE.replace("type: set", "type: boost").replace("above: 28", "above: 40"),
    );
    until_read(&hub, "boost").await;
    greenhouse.say("data", r#"{"temperature": 20}"#).await;
    greenhouse.say("data", r#"{"temperature": 30}"#).await;
    greenhouse.say("data", r#"{"temperature": 41}"#).await;
    let command = fan.next_command().await;
    assert_eq!((&command["type"], &command["parameters"]["was"]), (&json!("boost"), &json!(41)));
    fan.answer(&command, &json!({ "status": "executed" })).await;

    // Broken, the version that ran runs on, and everybody is told where it is broken.
    rules.write("greenhouse.yaml", &GREENHOUSE.replace("above: 28", "abve: 28"));
    let broken = eventually("the file is broken", async || {
        let broken = hub.json("/api/automation/files").await;
        broken.get(0).cloned()
    })
    .await;
    assert_eq!(broken["path"], "greenhouse.yaml");
    let problems = broken["problems"].as_array().unwrap();
    let problem = problems.iter().find(|problem| problem["hint"] == "above").unwrap();
    assert_eq!((&problem["line"], &problem["column"]), (&json!(7), &json!(9)), "{broken}");
    let checked = run(&["rules", "check", rules.folder()], &[]).await;
    let told = String::from_utf8(checked.stdout).unwrap();
    assert_eq!(checked.status.code(), Some(1), "{told}");
    assert!(told.contains("greenhouse.yaml:7:9: ") && told.contains("`above`"), "{told}");
    assert!(told.contains("7 |         abve: 28\n    |         ^^^^"), "{told}");
    greenhouse.say("data", r#"{"temperature": 20}"#).await;
    greenhouse.say("data", r#"{"temperature": 42}"#).await;
    assert_eq!(fan.next_command().await["type"], "boost");

    rules.write("greenhouse.yaml", GREENHOUSE);
    eventually("it is well again", async || {
        (hub.json("/api/automation/files").await == json!([])).then_some(())
    })
    .await;
    // Gone, its rules are.
    std::fs::remove_file(rules.path("greenhouse.yaml")).unwrap();
    eventually("it is gone", async || {
        let status = hub.get("/api/automation/rules/greenhouse-cool").await.status();
        (status == 404).then_some(())
    })
    .await;
    let runs = hub.json("/api/automation/rules/greenhouse-cool/runs?outcome=done").await;
    assert!(!runs.as_array().unwrap().is_empty(), "what it did stays");
}

/// The rule whose source has `word` in it runs.
async fn until_read(hub: &HubProcess, word: &str) {
    eventually("the file is read", async || {
        let rule = hub.json("/api/automation/rules/greenhouse-cool").await;
        rule["rule"].to_string().contains(word).then_some(())
    })
    .await;
}

#[tokio::test]
async fn rules_of_files_are_switched_and_nothing_else_and_that_is_remembered() {
    let rules = Rules::of("greenhouse.yaml", GREENHOUSE);
    let installation = Installation::new().with("--rules", rules.folder());
    let hub = installation.start().await;
    let rule = "/api/automation/rules/greenhouse-cool";
    let refused = hub.request(reqwest::Method::DELETE, rule).send().await.unwrap();
    assert_eq!(refused.status(), 409);
    assert_eq!(refused.json::<Value>().await.unwrap()["code"], "rule_in_file");
    let body = json!({ "triggers": [{ "every": "1h" }], "actions": [{ "log": "x" }] });
    let refused = hub.request(reqwest::Method::PUT, rule).json(&body).send().await.unwrap();
    assert_eq!(refused.status(), 409);

    let off = hub.post(&format!("{rule}/disable"), &Value::Null).await;
    let off: Value = off.json().await.unwrap();
    assert_eq!((&off["enabled"], &off["status"]), (&json!(false), &json!("disabled")));
    hub.terminate().await;
    let hub = installation.start().await;
    assert_eq!(hub.json(rule).await["status"], "disabled");
    assert_eq!(hub.json("/api/automation/rules?enabled=false").await[0]["id"], "greenhouse-cool");
    hub.post("/api/devices", &json!({ "device_id": "fan", "name": "Fan" })).await;
    hub.post("/api/devices", &json!({ "device_id": "greenhouse", "name": "Greenhouse" })).await;
    report(&hub, "greenhouse", &json!({ "temperature": 30 })).await;
    let on =
        hub.request(reqwest::Method::PATCH, rule).json(&json!({ "enabled": true })).send().await.unwrap();
    assert_eq!(on.json::<Value>().await.unwrap()["status"], "running");
    report(&hub, "greenhouse", &json!({ "temperature": 20 })).await;
    report(&hub, "greenhouse", &json!({ "temperature": 31 })).await;
    let entry = done(&hub, "greenhouse-cool").await;
    assert_eq!(entry["trigger"]["data"]["value"], 31);
    let commands = hub.json("/api/devices/fan/commands").await;
    assert_eq!(commands.as_array().unwrap().len(), 1, "nothing ran while it was off");
}

#[tokio::test]
async fn shipped_rules_check_out_and_pass_their_tests() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/rules");
    let checked = run(&["rules", "check", folder], &[]).await;
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
    let tested = run(&["rules", "test"], &[("TWINHUB_RULES", folder)]).await;
    let told = String::from_utf8(tested.stdout).unwrap();
    assert!(tested.status.success(), "{told}");
    assert!(told.trim_end().ends_with(" passed, 0 failed") && !told.contains("\n0 passed"), "{told}");
}

#[tokio::test]
async fn a_test_that_fails_says_what_came_instead() {
    let test = "    tests:\n      - name: hot\n        given: { greenhouse.temperature: [27, 29], every: 1m }\n        \
                expect: [ alarm greenhouse-hot ]\n";
    let rules = Rules::of("greenhouse.yaml", &format!("{GREENHOUSE}{test}"));
    let tested = run(&["rules", "test", rules.folder()], &[]).await;
    let told = String::from_utf8(tested.stdout).unwrap();
    assert_eq!(tested.status.code(), Some(1), "{told}");
    assert!(told.contains("FAILED") && told.contains("greenhouse-cool: hot"), "{told}");
    assert!(told.contains("alarm greenhouse-hot"), "{told}");
    assert!(told.trim_end().ends_with("0 passed, 1 failed"), "{told}");

    let nothing = run(&["rules", "check", "/no/such/folder"], &[]).await;
    assert_eq!(nothing.status.code(), Some(2));
    let told = String::from_utf8(nothing.stderr).unwrap();
    assert!(
        told.starts_with("twinhub: cannot read /no/such/folder: ") && told.lines().count() == 1,
        "{told}"
    );
}

#[tokio::test]
async fn files_are_checked_for_programs_and_listed() {
    let rules = Rules::of("greenhouse.yaml", GREENHOUSE);
    let other = GREENHOUSE.replace("greenhouse-cool", "hall-cool").replace("power: \"on\"", "power: \"off\"");
    rules.write("hall.yml", &other);
    rules.write("double.json", r#"{"version": 1, "rules": {"hall-cool": {"triggers": [{"every": "1h"}], "actions": [{"log": "x"}]}}}"#);
    let checked = run(&["rules", "check", "--rules", rules.folder(), "--format", "json"], &[]).await;
    assert_eq!(checked.status.code(), Some(1));
    let told: Value = serde_json::from_slice(&checked.stdout).unwrap();
    assert_eq!((&told["ok"], told["files"].as_array().unwrap().len()), (&json!(false), 3), "{told}");
    let problem = &told["files"][2]["problems"][0];
    assert_eq!((&problem["line"], &problem["pointer"]), (&json!(3), &json!("/rules/hall-cool")), "{told}");
    std::fs::remove_file(rules.path("double.json")).unwrap();
    let checked = run(&["rules", "check", "--rules", rules.folder(), "--format", "json"], &[]).await;
    let told: Value = serde_json::from_slice(&checked.stdout).unwrap();
    assert!(checked.status.success(), "{told}");
    assert_eq!(told["files"][0]["rules"], json!(["greenhouse-cool"]));
    let conflict = &told["warnings"][0];
    assert_eq!(conflict["code"], "conflict", "both write what the fan is to do: {told}");

    let offline = run(&["rules", "list", "--offline", "--rules", rules.folder()], &[]).await;
    let told = String::from_utf8(offline.stdout).unwrap();
    assert!(told.contains("greenhouse-cool  enabled  numeric") && told.contains("hall.yml"), "{told}");
    let hub = Installation::new().with("--rules", rules.folder()).start().await;
    let online = run(&["rules", "list", "--url", &format!("http://{}", hub.http)], &[]).await;
    let told = String::from_utf8(online.stdout).unwrap();
    assert!(told.contains("greenhouse-cool  running  numeric") && told.contains("hall.yml"), "{told}");
    let nobody = run(&["rules", "list", "--url", "http://127.0.0.1:1"], &[]).await;
    assert_eq!(nobody.status.code(), Some(1));
    let told = String::from_utf8(nobody.stderr).unwrap();
    assert!(told.starts_with("twinhub: no hub answers at http://127.0.0.1:1: "), "{told}");

    let schema = run(&["rules", "schema"], &[]).await;
    let schema: Value = serde_json::from_slice(&schema.stdout).unwrap();
    assert_eq!(hub.json("/api/automation/schema.json").await, schema);
    assert!(schema["$schema"].is_string(), "{schema}");
    let body = GREENHOUSE.replace("abve", "above");
    let checked =
        hub.request(reqwest::Method::POST, "/api/automation/check").body(body).send().await.unwrap();
    let checked: Value = checked.json().await.unwrap();
    assert_eq!((&checked["ok"], &checked["rules"]), (&json!(true), &json!(["greenhouse-cool"])), "{checked}");
}
