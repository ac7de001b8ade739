//! Live events: each subscriber hears of their own devices, and of a device that moves no more, or from then on.

use reqwest::{Method, Response};
use serde_json::{Value, json};

use super::{TwoPeople, done};
use crate::support::HubProcess;
use crate::support::people::Person;
use crate::support::{eventually, within};

/// A stream of events that is being read.
struct EventLines {
    response: Response,
    text: String,
}

impl EventLines {
    async fn open(hub: &HubProcess, person: &Person, query: &str, last: Option<&str>) -> Self {
        let path = format!("/api/events{query}");
        let mut request = person.request(hub, Method::GET, &path).header("Accept", "text/event-stream");
        if let Some(last) = last {
            request = request.header("Last-Event-ID", last);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        Self { response, text: String::new() }
    }

    /// Reads until `end` is in what was heard, and gives all of it.
    async fn until(&mut self, end: &str) -> String {
        while !self.text.contains(end) {
            let chunk = within(end, self.response.chunk()).await.unwrap().expect("it goes on");
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
        std::mem::take(&mut self.text)
    }
}

async fn say(people: &TwoPeople, device: &str, reading: &str) {
    let path = format!("/api/devices/{device}/data");
    done(&people.hub, &people.admin, Method::POST, &path, &json!({ reading: 1 })).await;
}

#[tokio::test]
async fn a_stream_has_ones_own_events_live_and_from_the_past() {
    let people = TwoPeople::start().await;
    let mut live = EventLines::open(&people.hub, &people.beta, "", None).await;
    say(&people, "alpha-pump", "alpha_first").await;
    say(&people, "beta-pump", "beta_first").await;
    let heard = live.until("beta_first").await;
    assert!(!heard.contains("alpha"), "{heard}");
    for (query, last) in [("?since=0", None), ("", Some("0"))] {
        let mut past = EventLines::open(&people.hub, &people.beta, query, last).await;
        let heard = past.until("beta_first").await;
        assert!(heard.contains("beta_temperature") && !heard.contains("alpha"), "{heard}");
    }
    let mut all = EventLines::open(&people.hub, &people.admin, "?since=0", None).await;
    assert!(all.until("beta_first").await.contains("alpha_first"));
}

#[tokio::test]
async fn a_run_tells_nothing_of_devices_that_its_rule_looked_at_alone() {
    const SECRET: &str = "481516";
    let people = TwoPeople::start().await;
    let (hub, admin, alpha) = (&people.hub, &people.admin, &people.alpha);
    let read = "twin['beta-pump'].level";
    let rule = |id: &str, condition: String| {
        json!({ "id": id, "triggers": [{ "numeric": "alpha-pump.temperature", "above": 50 }],
            "conditions": [condition],
            "actions": [{ "log": format!("it is {{{{ {read} }}}}") },
                { "choose": [{ "when": format!("{read} == {SECRET}"),
                    "do": [{ "desired": "alpha-fan", "set": { "power": "on" } }] }] }] })
    };
    let path = "/api/devices/beta-pump/data";
    done(hub, admin, Method::POST, path, &json!({ "level": 481_516 })).await;
    for (id, condition) in [("runs", format!("{read} == {SECRET}")), ("rests", format!("{read} > {SECRET}"))]
    {
        done(hub, admin, Method::POST, "/api/automation/rules", &rule(id, condition)).await;
    }
    let mut live = EventLines::open(hub, alpha, "", None).await;
    let path = "/api/devices/alpha-pump/data";
    done(hub, admin, Method::POST, path, &json!({ "temperature": 60 })).await;
    let runs = eventually("both rules are through", async || {
        let runs = admin.json(hub, "/api/automation/journal").await;
        let runs = runs.as_array().unwrap().clone();
        (runs.len() == 2 && runs.iter().all(|run| run["outcome"] != "running")).then_some(runs)
    })
    .await;
    assert!(runs.iter().all(|run| run.to_string().contains(SECRET)), "{runs:?}");
    say(&people, "alpha-pump", "alpha_end").await;
    let mut told = vec![live.until("alpha_end").await];
    let mut past = EventLines::open(hub, alpha, "?since=0", None).await;
    told.push(past.until("alpha_end").await);
    let ids = runs.iter().map(|run| format!("/api/automation/runs/{}", run["id"].as_str().unwrap()));
    let lists = [
        "/api/automation/journal",
        "/api/automation/journal?device_id=alpha-pump",
        "/api/automation/rules/runs/runs",
        "/api/automation/rules/rests/runs",
        "/api/automation/rules",
        "/api/events?limit=1000",
        "/api/events?since=0&limit=1000",
    ];
    for path in ids.chain(lists.map(str::to_owned)) {
        told.push(alpha.json(hub, &path).await.to_string());
    }
    for text in told {
        assert!(!text.contains(SECRET) && !text.contains("beta"), "{text}");
    }
    // The run itself is theirs to see.
    let seen = alpha.json(hub, "/api/automation/journal").await;
    let outcome = |rule: &str| -> Value {
        let run = seen.as_array().unwrap().iter().find(|run| run["rule_id"] == rule);
        run.unwrap()["outcome"].clone()
    };
    assert_eq!((outcome("runs"), outcome("rests")), (json!("done"), json!("not_run")), "{seen}");
}

#[tokio::test]
async fn a_device_that_moves_is_heard_where_it_is() {
    let people = TwoPeople::start().await;
    let (hub, admin) = (&people.hub, &people.admin);
    let mut alpha = EventLines::open(hub, &people.alpha, "?kind=telemetry", None).await;
    let mut beta = EventLines::open(hub, &people.beta, "?kind=telemetry", None).await;
    say(&people, "alpha-fan", "before").await;
    assert!(alpha.until("before").await.contains("alpha-fan"));

    // The group with it.
    let under = json!({ "parent_group": "beta-plant" });
    done(hub, admin, Method::PATCH, "/api/groups/alpha-hall", &under).await;
    say(&people, "alpha-fan", "moved_with_its_group").await;
    say(&people, "alpha-pump", "alpha_end").await;
    assert!(beta.until("moved_with_its_group").await.contains("alpha-fan"));
    let heard = alpha.until("alpha_end").await;
    assert!(!heard.contains("moved_with_its_group"), "{heard}");

    // The device alone.
    let back = json!({ "group_id": "alpha-plant" });
    done(hub, admin, Method::PATCH, "/api/devices/alpha-fan", &back).await;
    say(&people, "alpha-fan", "moved_alone").await;
    say(&people, "beta-pump", "beta_end").await;
    assert!(alpha.until("moved_alone").await.contains("alpha-fan"));
    let heard = beta.until("beta_end").await;
    assert!(!heard.contains("moved_alone"), "{heard}");
}

#[tokio::test]
async fn a_narrower_scope_ends_what_is_open() {
    let people = TwoPeople::start().await;
    let mut stream = EventLines::open(&people.hub, &people.alpha, "", None).await;
    let narrower = json!({ "scope": { "groups": ["alpha-hall"] } });
    done(&people.hub, &people.admin, Method::PATCH, "/api/users/ula", &narrower).await;
    let ended = async { while let Ok(Some(_)) = stream.response.chunk().await {} };
    within("the stream ends", ended).await;
    // Of two scopes nobody knows which is the larger, so who has another signs in again.
    let again = Person::sign_in(&people.hub, "ula").await;
    let listed = again.json(&people.hub, "/api/devices").await;
    assert!(listed.as_array().unwrap().len() == 1 && listed[0]["id"] == "alpha-fan", "{listed}");
}
