//! Why did the fan start at 03:12? The journal of a device: what it set off, and what was done to it.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::hub::Installation;
use crate::support::pump::register;
use crate::support::rules::{Rules, report, run_of};
use crate::support::{HubProcess, eventually};

const HOUSE: &str = r#"version: 1
rules:
  cool:
    triggers:
      - numeric: greenhouse.temperature
        above: 28
        release: 26
    actions:
      - desired: fan
        set: { power: "on" }
  echo:
    triggers:
      - changed: fan.desired.power
        to: "on"
    actions:
      - log: "the fan is wanted"
"#;

/// Of each run its rule, its role and what came of it; and how many there are on all pages.
async fn told(hub: &HubProcess, query: &str) -> (Vec<[String; 3]>, String) {
    let response = hub.get(&format!("/api/automation/{query}")).await;
    assert_eq!(response.status(), 200);
    let total = response.headers()["X-Total-Count"].to_str().unwrap().to_owned();
    let runs: Vec<Value> = response.json().await.unwrap();
    let word = |run: &Value, name: &str| run[name].as_str().unwrap_or("-").to_owned();
    (runs.iter().map(|run| ["rule_id", "role", "outcome"].map(|name| word(run, name))).collect(), total)
}

#[tokio::test]
async fn a_device_is_told_what_it_set_off_and_what_was_done_to_it() {
    let rules = Rules::of("house.yaml", HOUSE);
    let hub = Installation::new().with("--rules", rules.folder()).start().await;
    for device in ["greenhouse", "fan", "home"] {
        register(&hub, device).await;
    }
    report(&hub, "greenhouse", &json!({ "temperature": 20 })).await;
    report(&hub, "greenhouse", &json!({ "temperature": 29.5 })).await;
    run_of(&hub, "echo", |run| run["outcome"] == "done").await;
    // An action that did not come off was for it all the same.
    let manual = hub.request(Method::PUT, "/api/devices/fan/mode").json(&json!({ "mode": "manual" }));
    assert_eq!(manual.send().await.unwrap().status(), 200);
    report(&hub, "greenhouse", &json!({ "temperature": 20 })).await;
    report(&hub, "greenhouse", &json!({ "temperature": 30 })).await;
    run_of(&hub, "cool", |run| run["outcome"] == "failed").await;

    let refused = || ["cool", "acted_on", "failed"].map(str::to_owned);
    let echo = || ["echo", "fired", "done"].map(str::to_owned);
    let cool = || ["cool", "acted_on", "done"].map(str::to_owned);
    let all = told(&hub, "journal?device=fan").await;
    assert_eq!(all, (vec![refused(), echo(), cool()], "3".into()));
    assert_eq!(told(&hub, "journal?device=fan&limit=1&page=2").await, (vec![echo()], "3".into()));
    assert_eq!(told(&hub, "journal?device=fan&order=asc&limit=1").await, (vec![cool()], "3".into()));
    assert_eq!(told(&hub, "journal?device=fan&outcome=failed").await, (vec![refused()], "1".into()));
    assert_eq!(told(&hub, "journal?device=fan&rule=cool").await, (vec![refused(), cool()], "2".into()));
    let of_greenhouse = told(&hub, "journal?device=greenhouse&outcome=done").await;
    assert_eq!(of_greenhouse, (vec![["cool", "fired", "done"].map(str::to_owned)], "1".into()));
    assert_eq!(told(&hub, "journal?device=home").await, (vec![], "0".into()));
    assert_eq!(hub.get("/api/automation/journal?device=nobody").await.status(), 404);

    // Where nobody asks for a device, nobody is told of a part.
    let (of_rule, total) = told(&hub, "rules/cool/runs").await;
    assert_eq!((of_rule.len(), &*total), (2, "2"));
    assert!(of_rule.iter().all(|[_, role, _]| role == "-"));

    // Another fan is not asked what was done to the one before it.
    assert_eq!(hub.request(Method::DELETE, "/api/devices/fan").send().await.unwrap().status(), 200);
    register(&hub, "fan").await;
    eventually("the new fan has no past", async || {
        (told(&hub, "journal?device=fan").await == (vec![], "0".into())).then_some(())
    })
    .await;
    assert_eq!(told(&hub, "rules/cool/runs").await.1, "2");
}

const COUNTER: &str = r#"version: 1
rules:
  count:
    triggers: { changed: meter.count }
    actions: { log: "{{ trigger.value }}" }
"#;

/// A page of the counter's runs, each as what set it off, and the way to the next.
async fn page(hub: &HubProcess, path: &str) -> (Vec<i64>, Option<String>) {
    let response = hub.get(path).await;
    assert_eq!(response.status(), 200);
    let links = response.headers()["Link"].to_str().unwrap().to_owned();
    let next = links.split(", ").find_map(|link| link.strip_suffix("; rel=\"next\""));
    let next = next.map(|link| link.trim_matches(['<', '>']).to_owned());
    let runs: Vec<Value> = response.json().await.unwrap();
    (runs.iter().map(|run| run["trigger"]["data"]["value"].as_i64().unwrap()).collect(), next)
}

#[tokio::test]
async fn the_journal_goes_on_where_the_page_before_ended() {
    let rules = Rules::of("counter.yaml", COUNTER);
    let hub = Installation::new().with("--rules", rules.folder()).start().await;
    register(&hub, "meter").await;
    let mut said = 0;
    for (list, order, expected) in [
        ("journal", "desc", (1..=5).collect::<Vec<i64>>()),
        ("journal?device_id=meter", "asc", (1..=11).collect()),
        ("rules/count/runs", "desc", (1..=13).collect()),
    ] {
        let until = said + if said == 0 { 5 } else { 2 };
        count(&hub, &mut said, until).await;
        let mark = if list.contains('?') { '&' } else { '?' };
        let mut next = Some(format!("/api/automation/{list}{mark}order={order}&limit=2"));
        let mut told = Vec::new();
        while let Some(path) = next {
            let (runs, link) = page(&hub, &path).await;
            assert!(runs.len() == 2 || link.is_none(), "{runs:?} {link:?}");
            if told.is_empty() {
                // New ones come in before the second page.
                count(&hub, &mut said, until + 2).await;
            }
            told.extend(runs);
            next = link;
        }
        told.sort_unstable(); // those of one millisecond come in any order
        assert_eq!(told, expected, "{list}");
    }
    for (query, why) in [
        ("page=1&after=1.7", "beside `after`"),
        ("after=1.00000000-0000-0000-0000-000000000000", "earlier version"),
        ("after=soon", "says in its `Link`"),
    ] {
        let response = hub.get(&format!("/api/automation/journal?{query}")).await;
        assert_eq!(response.status(), 422, "{query}");
        let problem = response.text().await.unwrap();
        assert!(problem.contains(why), "{query}: {problem}");
    }
    // By numbers, as earlier clients ask.
    let response = hub.get("/api/automation/journal?page=2&limit=2").await;
    assert!(response.headers()["Link"].to_str().unwrap().contains("page=1&limit=2>; rel=\"prev\""));
}

/// Lets the meter count on, and waits for the runs.
async fn count(hub: &HubProcess, said: &mut i64, until: i64) {
    while *said < until {
        *said += 1;
        report(hub, "meter", &json!({ "count": *said })).await;
    }
    eventually("a run of each", async || {
        (told(hub, "rules/count/runs").await.1 == until.to_string()).then_some(())
    })
    .await;
}

const EMPTY_HOUSE: &str = r#"version: 1
timezone: Europe/Madrid
rules:
  cool:
    triggers: { numeric: greenhouse.temperature, above: 28 }
    conditions: [ home.occupied == true ]
    actions: [ { desired: fan, set: { power: "on" } } ]
"#;

#[tokio::test]
async fn a_device_is_told_why_nothing_was_done_to_it() {
    let rules = Rules::of("house.yaml", EMPTY_HOUSE);
    let hub = Installation::new().with("--rules", rules.folder()).start().await;
    for device in ["greenhouse", "fan", "home"] {
        register(&hub, device).await;
    }
    report(&hub, "home", &json!({ "occupied": false })).await;
    for temperature in [20.0, 29.5, 20.0, 30.25] {
        report(&hub, "greenhouse", &json!({ "temperature": temperature })).await;
    }
    run_of(&hub, "cool", |run| run["count"] == 2).await;
    let left_alone = vec![["cool", "left_alone", "not_run"].map(str::to_owned)];
    assert_eq!(told(&hub, "journal?device=fan").await, (left_alone, "1".into()));
    let text = hub.get("/api/automation/journal?device=fan").await.text().await.unwrap();
    assert!(
        text.contains(r#""why":"condition""#) && text.contains("home.occupied == true does not hold"),
        "{text}"
    );
    assert!(text.contains(r#""above":28,"#) && !text.contains(r#""above":28.0"#), "{text}");
    assert_eq!(hub.json("/api/automation/rules/cool").await["timezone"], "Europe/Madrid");
}
