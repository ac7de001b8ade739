//! A backtest finds what the rule did.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::hub::{Installation, run};
use crate::support::pump::register;
use crate::support::rules::{Rules, report};
use crate::support::{HubProcess, eventually};

const COOL: &str = r#"version: 1
rules:
  cool:
    triggers:
      - numeric: greenhouse.temperature
        above: 28
        release: 26
    conditions:
      - home.occupied == false
    actions:
      - desired: fan
        set: { power: "on" }
    on_release:
      - desired: fan
        set: { power: "off" }
"#;

#[tokio::test]
async fn the_past_is_replayed_as_it_was() {
    let rules = Rules::of("cool.yaml", COOL);
    let hub = Installation::new().with("--rules", rules.folder()).start().await;
    for device in ["greenhouse", "fan", "home"] {
        register(&hub, device).await;
    }
    report(&hub, "home", &json!({ "occupied": true })).await;
    // Three times hot; the first time somebody is at home.
    let mut live = Value::Null;
    for (hot, runs_then, cold, runs) in [(29.0, 1, 20.0, 1), (30.0, 2, 21.0, 3), (31.0, 4, 22.0, 5)] {
        report(&hub, "greenhouse", &json!({ "temperature": hot })).await;
        ended(&hub, "cool", runs_then).await;
        report(&hub, "greenhouse", &json!({ "temperature": 27 })).await;
        report(&hub, "greenhouse", &json!({ "temperature": cold })).await;
        live = ended(&hub, "cool", runs).await;
        report(&hub, "home", &json!({ "occupied": false })).await;
    }

    let found = replay(&hub, &json!({ "id": "cool", "from": "2020-01-01" })).await;
    assert_eq!(told(&found["runs"]), told(&live), "{found}");
    assert_eq!(found["counts"], json!({ "done": 4, "not_run": 1 }));
    assert_eq!(
        (&found["compared"]["same"], &found["compared"]["only_candidate"]),
        (&json!(5), &json!([])),
        "{found}"
    );
    assert!(found["events"].as_u64().unwrap() >= 13, "{found}");

    // Another version: one run less, and the file says which.
    let draft = rules.path("draft.txt");
    std::fs::write(&draft, COOL.replace("above: 28", "above: 30.5")).unwrap();
    let file = std::fs::read_to_string(&draft).unwrap();
    let found = replay(&hub, &json!({ "file": file, "from": "2020-01-01" })).await;
    assert_eq!(found["counts"], json!({ "done": 2 }));
    assert_eq!(found["compared"]["only_running"].as_array().unwrap().len(), 3, "{found}");
    let streamed = stream(&hub, &json!({ "file": file, "from": "2020-01-01" })).await;
    assert_eq!(told(&streamed["runs"]), told(&found["runs"]));

    let url = format!("http://{}", hub.http);
    let path = draft.to_str().unwrap();
    let printed = run(&["rules", "backtest", path, "--from", "2020-01-01", "--url", &url], &[]).await;
    let text = String::from_utf8(printed.stdout).unwrap();
    assert!(printed.status.success(), "{text} {}", String::from_utf8_lossy(&printed.stderr));
    assert!(text.contains("cool  greenhouse  numeric") && text.contains(": done"), "{text}");
    assert!(text.contains("true     home.occupied == false"), "{text}");
    assert!(text.contains("2 runs and 0 not run"), "{text}");
    assert!(text.contains("2 the same, 0 only here, 3 only there"), "{text}");

    for (body, field) in [
        (json!({}), "rule"),
        (json!({ "id": "cool", "from": "soon" }), "from"),
        (json!({ "id": "cool", "from": "2026-01-02", "to": "2026-01-01" }), "from"),
        (json!({ "id": "cool", "colour": "red" }), "colour"),
        (
            json!({ "rule": { "triggers": [{ "numeric": "a.b", "abve": 1 }], "actions": [] } }),
            "/rule/triggers/0/abve",
        ),
    ] {
        let refused = hub.post("/api/automation/backtest", &body).await;
        assert_eq!(refused.status(), 422, "{body}");
        let problem: Value = refused.json().await.unwrap();
        let errors = problem["errors"].as_array().into_iter().flatten().map(|error| &error["pointer"]);
        assert!(problem["field"] == field || errors.into_iter().any(|pointer| pointer == field), "{problem}");
    }
    assert_eq!(hub.post("/api/automation/backtest", &json!({ "id": "nobody" })).await.status(), 404);
}

#[tokio::test]
async fn a_database_is_replayed_without_a_hub() {
    let rules = Rules::of("cool.yaml", COOL);
    let installation = Installation::new();
    let hub = installation.start().await;
    for device in ["greenhouse", "fan", "home"] {
        register(&hub, device).await;
    }
    report(&hub, "home", &json!({ "occupied": false })).await;
    for temperature in [20, 29, 27, 30, 20] {
        report(&hub, "greenhouse", &json!({ "temperature": temperature })).await;
    }
    hub.terminate().await;
    let (file, data) = (rules.path("cool.yaml"), installation.data.to_str().unwrap().to_owned());
    let file = file.to_str().unwrap();
    let args =
        ["rules", "backtest", file, "--database", "--data-dir", &data, "--runs-only", "--rule", "cool"];
    let printed = run(&args, &[]).await;
    let text = String::from_utf8(printed.stdout).unwrap();
    assert!(printed.status.success(), "{text} {}", String::from_utf8_lossy(&printed.stderr));
    assert!(text.contains("2 runs and 0 not run"), "{text}");
    assert!(text.contains("no version of it runs to compare with"), "{text}");
    let nothing = run(&["rules", "backtest", file, "--database", "--data-dir", "/no/such"], &[]).await;
    assert_eq!(nothing.status.code(), Some(2));
}

/// The part of runs that can be compared: everything but what belongs to having been done.
fn told(runs: &Value) -> Vec<Value> {
    let runs = runs.as_array().unwrap().iter();
    runs.map(|run| {
        json!([
            run["id"],
            run["rule_id"],
            run["device_id"],
            run["at"],
            run["kind"],
            run["trigger"]["data"],
            run["trigger"]["seq"],
            run["conditions"],
            run["outcome"],
            run["why"],
            run["count"],
        ])
    })
    .collect()
}

/// The `count` runs of a rule, once all have ended. A run that comes before that ends the one before, and a backtest
/// knows no time that acts take.
async fn ended(hub: &HubProcess, rule: &str, count: usize) -> Value {
    eventually("all runs have ended", async || {
        let runs = hub.json(&format!("/api/automation/rules/{rule}/runs?order=asc&limit=100")).await;
        let found = runs.as_array().unwrap();
        (found.len() == count && found.iter().all(|run| run["outcome"] != "running")).then_some(runs)
    })
    .await
}

async fn replay(hub: &HubProcess, wish: &Value) -> Value {
    let response = hub.post("/api/automation/backtest", wish).await;
    let status = response.status();
    let text = response.text().await.unwrap();
    assert_eq!(status, 200, "{text}");
    serde_json::from_str(&text).unwrap()
}

/// The same as a stream.
async fn stream(hub: &HubProcess, wish: &Value) -> Value {
    let request = hub.request(Method::POST, "/api/automation/backtest").header("Accept", "text/event-stream");
    let text = request.json(wish).send().await.unwrap().text().await.unwrap();
    let last = text.trim_end().rsplit("\n\n").next().unwrap();
    let data = last.strip_prefix("event: result\ndata: ").unwrap_or_else(|| panic!("{text}"));
    serde_json::from_str(data).unwrap()
}
