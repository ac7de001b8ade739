//! Ways round the lists: exports, dry runs, tags of versions, texts of errors, and the time that a 404 takes.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use super::{TwoPeople, WORDS, done, refused};
use crate::support::Dice;
use crate::support::hub::{HubProcess, Installation};
use crate::support::people::Person;

/// The devices of one of the two.
const OWN: usize = 2;

#[tokio::test]
async fn an_export_is_of_ones_own_whatever_its_form() {
    let people = TwoPeople::start().await;
    let hub = &people.hub;
    for (own, other) in [("alpha", "beta"), ("beta", "alpha")] {
        for path in ["/api/devices/export", "/api/groups/export"] {
            for form in ["jsonl", "csv"] {
                let path = format!("{path}?format={form}");
                let answer = people.of(own).get(hub, &path).await;
                assert_eq!(answer.status(), 200, "{path}");
                let text = answer.text().await.unwrap();
                // The head of a CSV file names the tags of all devices in it.
                assert!(text.contains(own) && !text.contains(other), "{path} of {own}: {text}");
                let rows = text.lines().count() - usize::from(form == "csv");
                assert_eq!(rows, OWN, "{path} of {own}: {text}");
            }
        }
    }
}

#[tokio::test]
async fn a_dry_run_says_nothing_of_devices_out_of_scope() {
    let people = TwoPeople::start().await;
    let (hub, admin) = (&people.hub, &people.admin);
    done(hub, admin, Method::POST, "/api/templates", &json!({ "id": "kit", "name": "Kit" })).await;
    for word in WORDS {
        let of_kit = json!({ "template_id": "kit" });
        done(hub, admin, Method::PATCH, &format!("/api/devices/{word}-pump"), &of_kit).await;
    }
    // A template reaches whichever device has it: it is not for them to try.
    let change = json!({ "name": "Kit", "tags": { "level": 1 } });
    for (method, path) in [
        (Method::PUT, "/api/templates/kit?dry_run=true"),
        (Method::PATCH, "/api/templates/kit?dry_run=true"),
        (Method::PUT, "/api/templates/none?dry_run=true"),
    ] {
        let said = refused(hub, &people.alpha, method.clone(), path, &change).await;
        assert_eq!((said.0, &*said.1), (403, "out_of_scope"), "{method} {path}: {said:?}");
        assert!(!said.2.contains("beta"), "{said:?}");
    }
    for wish in [
        json!({ "where": {}, "dry_run": true, "action": { "desired": { "level": 1 } } }),
        json!({ "where": { "template_id": "kit" }, "dry_run": true, "action": { "desired": { "level": 1 } } }),
    ] {
        let told = done(hub, &people.alpha, Method::POST, "/api/devices/bulk", &wish).await.to_string();
        assert!(told.contains("alpha-pump") && !told.contains("beta"), "{wish}: {told}");
    }
    let named = json!({ "ids": ["alpha-pump", "beta-pump"], "dry_run": true, "action": { "desired": { "level": 1 } } });
    let unknown =
        json!({ "ids": ["alpha-pump", "no-pump"], "dry_run": true, "action": { "desired": { "level": 1 } } });
    let told = done(hub, &people.alpha, Method::POST, "/api/devices/bulk", &named).await.to_string();
    let of_nothing = done(hub, &people.alpha, Method::POST, "/api/devices/bulk", &unknown).await.to_string();
    assert_eq!(told.replace("beta-pump", "no-pump"), of_nothing);
}

#[tokio::test]
async fn a_tag_of_a_version_does_not_move_with_what_is_out_of_scope() {
    let people = TwoPeople::start().await;
    let hub = &people.hub;
    let rule = json!({ "id": "alpha-rule", "triggers": [{ "presence": "alpha-pump", "becomes": "offline" }],
        "actions": [{ "alarm": "alpha-away", "device": "alpha-pump" }] });
    done(hub, &people.alpha, Method::POST, "/api/automation/rules", &rule).await;
    let paths = [
        "/api/devices/alpha-pump/twin",
        "/api/devices/alpha-pump/mode",
        "/api/devices/alpha-pump/schedule",
        "/api/groups/alpha-plant",
        "/api/automation/rules/alpha-rule",
    ];
    let tags = async || {
        let mut tags = Vec::new();
        for path in paths {
            let answer = people.alpha.get(hub, path).await;
            assert_eq!(answer.status(), 200, "{path}");
            let tag = answer.headers().get("etag").map(|tag| tag.to_str().unwrap().to_owned());
            tags.push((path, tag));
        }
        tags
    };
    let before = tags().await;
    assert!(before.iter().filter(|(_, tag)| tag.is_some()).count() >= 4, "{before:?}");
    let beta = &people.beta;
    done(hub, beta, Method::PATCH, "/api/devices/beta-pump/twin", &json!({ "desired": { "a": 1 } })).await;
    done(hub, beta, Method::POST, "/api/devices/beta-pump/data", &json!({ "temperature": 1 })).await;
    done(hub, beta, Method::PATCH, "/api/groups/beta-plant", &json!({ "name": "Beta" })).await;
    let rule = json!({ "id": "beta-rule", "triggers": [{ "presence": "beta-pump", "becomes": "offline" }],
        "actions": [{ "alarm": "beta-away", "device": "beta-pump" }] });
    done(hub, beta, Method::POST, "/api/automation/rules", &rule).await;
    let new = json!({ "device_id": "beta-new", "name": "New", "group_id": "beta-hall" });
    done(hub, beta, Method::POST, "/api/devices", &new).await;
    assert_eq!(tags().await, before);

    // Nor does a version that is required tell whether there is something.
    for (method, path, body) in [
        (Method::PATCH, "/api/devices/ID/twin", json!({ "desired": { "b": 1 } })),
        (Method::PATCH, "/api/groups/ID", json!({ "name": "x" })),
        (Method::DELETE, "/api/automation/rules/ID", json!({})),
    ] {
        let (theirs, nobodys) = match path.split('/').nth(2) {
            Some("devices") => ("beta-pump", "no-pump"),
            Some("groups") => ("beta-plant", "no-plant"),
            _ => ("beta-rule", "no-rule"),
        };
        for tag in ["\"1\"", "\"99\"", "*"] {
            let say = async |id: &str| {
                let asked = people.alpha.request(hub, method.clone(), &path.replace("ID", id));
                let answer = asked.header("If-Match", tag).json(&body).send().await.unwrap();
                let status = answer.status().as_u16();
                let problem: Value = answer.json().await.unwrap_or_default();
                (status, problem["code"].clone(), problem["detail"].to_string().replace(id, "ID"))
            };
            assert_eq!(say(theirs).await, say(nobodys).await, "{method} {path} {tag}");
        }
    }
}

/// Each route of a device, by all methods: the answer about one out of scope is that about one that there is not.
#[tokio::test]
async fn errors_about_devices_out_of_scope_are_those_about_none() {
    let people = TwoPeople::start().await;
    let hub = &people.hub;
    let description = people.admin.json(hub, "/api/openapi.json").await;
    let mut asked = 0;
    for (path, methods) in description["paths"].as_object().unwrap() {
        let is_of_one = path.starts_with("/api/devices/{") || path.starts_with("/api/twins/{");
        if !is_of_one || path.contains("stream") {
            continue;
        }
        for method in methods.as_object().unwrap().keys().filter(|word| *word != "parameters") {
            let method: Method = method.to_uppercase().parse().unwrap();
            let (start, rest) = path.split_once('{').unwrap();
            let rest = rest
                .split_once('}')
                .unwrap()
                .1
                .replace("{command_id}", "01890a5d-ac96-774b-bcce-b302099a8057");
            let rest = rest.split('{').next().unwrap();
            let say = async |id: &str| {
                let path = format!("{start}{id}{rest}");
                let said = refused(hub, &people.alpha, method.clone(), &path, &json!({})).await;
                (said.0, said.1, said.2.replace(id, "ID"))
            };
            let of_theirs = say("beta-pump").await;
            assert_eq!(of_theirs, say("no-pump").await, "{method} {path}");
            assert!(of_theirs.0 >= 400, "{method} {path}: {of_theirs:?}");
            asked += 1;
        }
    }
    assert!(asked >= 20, "{asked}");
}

/// The share of pairs of which the first is the greater one, halves for those that are equal: 0.5 for two samples of one
/// distribution, and 0 or 1 for two that do not overlap (Mann and Whitney).
fn share_greater(firsts: &[Duration], seconds: &[Duration]) -> f64 {
    let pairs = firsts.iter().flat_map(|first| seconds.iter().map(move |second| first.cmp(second)));
    let (mut halves, mut count) = (0_u32, 0_u32);
    for order in pairs {
        count += 1;
        halves += match order {
            std::cmp::Ordering::Greater => 2,
            std::cmp::Ordering::Equal => 1,
            std::cmp::Ordering::Less => 0,
        };
    }
    f64::from(halves) / f64::from(2 * count)
}

async fn time_of_404(hub: &HubProcess, person: &Person, path: &str) -> Duration {
    let began = Instant::now();
    let answer = person.get(hub, path).await;
    let took = began.elapsed();
    assert_eq!(answer.status(), 404, "{path}");
    let _ = answer.bytes().await.unwrap(); // the connection is free then
    took
}

/// No bound on time: the times of both kinds are drawn in turns, whatever else the machine does. By chance alone the share
/// lies 0.024 from a half, so beyond a fifth it is a difference that somebody could measure.
#[tokio::test]
async fn a_404_takes_no_longer_for_what_there_is() {
    const EACH: usize = 300;
    let people = TwoPeople::start_on(Installation::new().with("--rate-limit", "0")).await;
    let (hub, alpha) = (&people.hub, &people.alpha);
    let mut dice = Dice::new();
    for (theirs, nobodys) in [
        ("/api/devices/beta-pump", "/api/devices/none-pump"),
        ("/api/devices/beta-pump/twin", "/api/devices/none-pump/twin"),
        ("/api/groups/beta-plant", "/api/groups/none-plant"),
    ] {
        for path in [theirs, nobodys] {
            time_of_404(hub, alpha, path).await; // the first one has twins loaded
        }
        let (mut of_theirs, mut of_nobodys) = (Vec::new(), Vec::new());
        while of_theirs.len() < EACH || of_nobodys.len() < EACH {
            let is_theirs = dice.below(2) == 0;
            let (path, times) = if is_theirs { (theirs, &mut of_theirs) } else { (nobodys, &mut of_nobodys) };
            times.push(time_of_404(hub, alpha, path).await);
        }
        let share = share_greater(&of_theirs, &of_nobodys);
        assert!((share - 0.5).abs() < 0.2, "{theirs}: {share} of the times are greater");
    }
}

#[test]
fn the_share_tells_distributions_apart() {
    let times = |from: u64| (from..from + 100).map(Duration::from_micros).collect::<Vec<_>>();
    assert!((share_greater(&times(0), &times(0)) - 0.5).abs() < 0.01);
    assert!(share_greater(&times(50), &times(0)) > 0.8);
    assert!(share_greater(&times(0), &times(200)) < 0.01);
}
