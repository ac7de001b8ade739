//! Rules of people with a scope: about their own devices alone, and with their rights as they are when the rule acts.

use reqwest::Method;
use serde_json::{Value, json};

use super::{TwoPeople, done, refused};
use crate::support::eventually;
use crate::support::people::Person;

const RULES: &str = "/api/automation/rules";

fn rule(id: &str, trigger: &Value, action: &Value) -> Value {
    json!({ "id": id, "triggers": [trigger], "actions": [action] })
}

fn hot(device: &str) -> Value {
    json!({ "numeric": format!("{device}.temperature"), "above": 50 })
}

fn turn_on(device: &str) -> Value {
    json!({ "desired": device, "set": { "power": "on" } })
}

async fn report(people: &TwoPeople, temperature: i64) {
    let reading = json!({ "temperature": temperature });
    done(&people.hub, &people.admin, Method::POST, "/api/devices/alpha-pump/data", &reading).await;
}

#[tokio::test]
async fn a_rule_is_about_ones_own_devices() {
    let people = TwoPeople::start().await;
    let (hub, alpha) = (&people.hub, &people.alpha);
    let own = hot("alpha-pump");
    let condition = json!({ "id": "r", "triggers": [own], "conditions": ["twin['beta-pump'].temperature > 1"],
        "actions": [turn_on("alpha-fan")] });
    let text = json!({ "alarm": "a", "message": "{{ twin['beta-pump'].temperature }}" });
    for (what, body) in [
        ("another's device fires it", rule("r", &hot("beta-pump"), &turn_on("alpha-fan"))),
        ("it acts on another's device", rule("r", &own, &turn_on("beta-fan"))),
        ("a device that there is not", rule("r", &own, &turn_on("nobody"))),
        ("any device fires it", rule("r", &hot("*"), &turn_on("alpha-fan"))),
        ("it acts on any device", rule("r", &own, &turn_on("alpha-*"))),
        ("a condition looks at another's", condition),
        ("a message tells of another's", rule("r", &own, &text)),
        ("it publishes", rule("r", &own, &json!({ "publish": "a/b", "payload": 1 }))),
        ("it hears all messages", rule("r", &json!({ "mqtt": "#" }), &turn_on("alpha-fan"))),
    ] {
        let said = refused(hub, alpha, Method::POST, RULES, &body).await;
        assert_eq!((said.0, &*said.1), (403, "out_of_scope"), "{what}: {said:?}");
    }
    let group = json!({ "presence": { "group": "alpha-plant" }, "status": "offline" });
    let of_group =
        refused(hub, alpha, Method::POST, RULES, &rule("of-group", &group, &turn_on("alpha-fan"))).await;
    assert!(of_group.0 != 403, "a group of the scope may be named: {of_group:?}");

    done(hub, alpha, Method::POST, RULES, &rule("alpha-cool", &own, &turn_on("alpha-fan"))).await;
    done(hub, &people.beta, Method::POST, RULES, &rule("beta-cool", &hot("beta-pump"), &turn_on("beta-fan")))
        .await;
    let listed = people.beta.json(hub, RULES).await;
    assert!(listed.as_array().unwrap().iter().all(|rule| rule["id"] == "beta-cool"), "{listed}");
    for (method, path) in [
        (Method::GET, "/api/automation/rules/alpha-cool"),
        (Method::DELETE, "/api/automation/rules/alpha-cool"),
        (Method::POST, "/api/automation/rules/alpha-cool/disable"),
        (Method::POST, "/api/automation/rules/alpha-cool/run"),
        (Method::POST, "/api/automation/rules/alpha-cool/test"),
        (Method::GET, "/api/automation/rules/alpha-cool/runs"),
    ] {
        let said = refused(hub, &people.beta, method.clone(), path, &json!({})).await;
        let unknown = path.replace("alpha-cool", "no-rule");
        let of_nothing = refused(hub, &people.beta, method.clone(), &unknown, &json!({})).await;
        assert_eq!((said.0, said.1), (404, of_nothing.1), "{method} {path}");
        assert_eq!(said.2.replace("alpha-cool", "no-rule"), of_nothing.2, "{method} {path}");
    }
    // Nobody but an admin publishes, whatever their scope.
    let olaf = people.admin.add(hub, "olaf", "operator").await;
    let publish = rule("r", &own, &json!({ "publish": "a/b", "payload": 1 }));
    let said = refused(hub, &olaf, Method::POST, RULES, &publish).await;
    assert_eq!((said.0, &*said.1), (403, "out_of_scope"), "{said:?}");
    done(hub, &people.admin, Method::POST, RULES, &publish).await;
}

#[tokio::test]
async fn a_templates_rules_leave_the_devices_by_an_admins_word_alone() {
    let people = TwoPeople::start().await;
    let (hub, admin) = (&people.hub, &people.admin);
    let olaf = admin.add(hub, "olaf", "operator").await;
    let template = |id: &str, action: &Value| {
        let rule = json!({ "triggers": { "numeric": "t", "above": 40 }, "actions": [action] });
        json!({ "id": id, "rules": { "hot": rule } })
    };
    let publish = template("told", &json!({ "publish": "a/b", "payload": 1 }));
    let webhook = template("told", &json!({ "webhook": "http://127.0.0.1:9/x" }));
    let alarm = template("plain", &json!({ "alarm": "hot" }));
    done(hub, &olaf, Method::POST, "/api/templates", &alarm).await;
    for body in [&publish, &webhook] {
        for (method, path) in [
            (Method::POST, "/api/templates"),
            (Method::PUT, "/api/templates/plain"),
            (Method::PATCH, "/api/templates/plain"),
            (Method::PUT, "/api/templates/plain?dry_run=true"),
        ] {
            let mut body = body.clone();
            if method != Method::POST {
                body = json!({ "rules": body["rules"] });
            }
            let said = refused(hub, &olaf, method.clone(), path, &body).await;
            assert_eq!((said.0, &*said.1), (403, "out_of_scope"), "{method} {path} {body}: {said:?}");
            assert!(said.2.contains("an admin's to make"), "{said:?}");
        }
    }
    let import = async |person: &Person| {
        let request = person.request(hub, Method::POST, "/api/templates/import?existing=update");
        let answer = request.body(publish.to_string()).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.json::<Value>().await.unwrap()
    };
    let report = import(&olaf).await;
    assert_eq!((&report["created"], &report["refused"]), (&json!(0), &json!(1)), "{report}");
    let rules = admin.json(hub, RULES).await;
    assert!(!rules.to_string().contains("publish"), "{rules}");

    let report = import(admin).await;
    assert_eq!((&report["created"], &report["refused"]), (&json!(1), &json!(0)), "{report}");
    // Nor does anybody else change what an admin made, where it still leaves the devices.
    let renamed = json!({ "name": "Told" });
    let said = refused(hub, &olaf, Method::PATCH, "/api/templates/told", &renamed).await;
    assert_eq!((said.0, &*said.1), (403, "out_of_scope"), "{said:?}");
    done(hub, admin, Method::PATCH, "/api/templates/told", &renamed).await;
}

/// The outcomes of the runs of a rule, the newest first.
async fn outcomes(people: &TwoPeople, rule: &str) -> Vec<Value> {
    let runs = people.admin.json(&people.hub, &format!("/api/automation/rules/{rule}/runs")).await;
    runs.as_array().unwrap().clone()
}

#[tokio::test]
async fn a_rule_acts_with_the_rights_that_its_author_has_then() {
    let people = TwoPeople::start().await;
    let (hub, admin): (_, &Person) = (&people.hub, &people.admin);
    let cool = rule("cool", &hot("alpha-pump"), &turn_on("alpha-fan"));
    done(hub, &people.alpha, Method::POST, RULES, &cool).await;
    report(&people, 60).await;
    eventually("it acts", async || {
        let twin = people.alpha.json(hub, "/api/devices/alpha-fan/twin").await;
        (twin["desired"]["power"] == "on").then_some(())
    })
    .await;

    // The device leaves the scope, and the rule cannot reach it any more.
    let moved = json!({ "group_id": "beta-hall" });
    done(hub, admin, Method::PATCH, "/api/devices/alpha-fan", &moved).await;
    report(&people, 20).await;
    report(&people, 60).await;
    eventually("it fails", async || {
        let runs = outcomes(&people, "cool").await;
        runs.first()?.to_string().contains("out_of_scope").then_some(())
    })
    .await;

    // Back again, it acts; and without its author it is stopped.
    let back = json!({ "group_id": "alpha-hall" });
    done(hub, admin, Method::PATCH, "/api/devices/alpha-fan", &back).await;
    done(hub, admin, Method::DELETE, "/api/users/ula", &json!({})).await;
    eventually("it is disabled", async || {
        (admin.json(hub, "/api/automation/rules/cool").await["enabled"] == false).then_some(())
    })
    .await;
    let alarm = eventually("it is told why", async || {
        let alarms = admin.json(hub, "/api/alarms").await;
        alarms.as_array().unwrap().iter().find(|alarm| alarm["type"] == "rule-stopped").cloned()
    })
    .await;
    assert!(alarm["message"].as_str().unwrap().contains("author"), "{alarm}");
}

#[tokio::test]
async fn a_rule_made_with_a_key_acts_with_the_keys_rights_and_ends_with_it() {
    let people = TwoPeople::start().await;
    let (hub, admin) = (&people.hub, &people.admin);
    let narrow = json!({ "name": "narrow", "role": "operator", "scope": { "groups": ["alpha-plant"] } });
    let key = done(hub, admin, Method::POST, "/api/auth/keys", &narrow).await;
    let cool = rule("cool", &hot("alpha-pump"), &turn_on("alpha-fan"));
    let request = hub.request(Method::POST, RULES).bearer_auth(key["secret"].as_str().unwrap());
    let made = request.json(&cool).send().await.unwrap();
    assert_eq!(made.status(), 201, "{}", made.text().await.unwrap());
    report(&people, 60).await;
    eventually("it acts", async || {
        let twin = admin.json(hub, "/api/devices/alpha-fan/twin").await;
        (twin["desired"]["power"] == "on").then_some(())
    })
    .await;

    // The owner reaches the device still, and the key does not.
    let moved = json!({ "group_id": "beta-hall" });
    done(hub, admin, Method::PATCH, "/api/devices/alpha-fan", &moved).await;
    report(&people, 20).await;
    report(&people, 60).await;
    eventually("it fails", async || {
        let runs = outcomes(&people, "cool").await;
        runs.first()?.to_string().contains("out_of_scope").then_some(())
    })
    .await;

    let path = format!("/api/auth/keys/{}", key["id"].as_str().unwrap());
    done(hub, admin, Method::DELETE, &path, &json!({})).await;
    eventually("it is disabled", async || {
        (admin.json(hub, "/api/automation/rules/cool").await["enabled"] == false).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_rule_switches_no_rule_that_its_author_does_not_see() {
    let people = TwoPeople::start().await;
    let (hub, admin) = (&people.hub, &people.admin);
    let target = rule("target", &hot("alpha-fan"), &turn_on("alpha-fan"));
    done(hub, &people.alpha, Method::POST, RULES, &target).await;
    let switch = rule("switch", &hot("alpha-pump"), &json!({ "disable": "target" }));
    done(hub, &people.alpha, Method::POST, RULES, &switch).await;

    // The other rule becomes one about another's device.
    let others = rule("target", &hot("beta-pump"), &turn_on("beta-fan"));
    done(hub, admin, Method::PUT, "/api/automation/rules/target", &others).await;
    report(&people, 60).await;
    eventually("it fails", async || {
        let runs = outcomes(&people, "switch").await;
        runs.first()?.to_string().contains("out_of_scope").then_some(())
    })
    .await;
    let stands = admin.json(hub, "/api/automation/rules/target").await;
    assert_eq!(stands["enabled"], true, "{stands}");
}

#[tokio::test]
async fn a_rule_that_its_author_could_not_make_any_more_is_stopped() {
    let people = TwoPeople::start().await;
    let (hub, admin) = (&people.hub, &people.admin);
    // It looks at the one device and acts on the other.
    let wide = rule("wide", &hot("alpha-pump"), &turn_on("alpha-fan"));
    let narrow = rule("narrow", &hot("alpha-fan"), &turn_on("alpha-fan"));
    for body in [&wide, &narrow] {
        done(hub, &people.alpha, Method::POST, RULES, body).await;
    }
    let hall = json!({ "scope": { "groups": ["alpha-hall"] } });
    done(hub, admin, Method::PATCH, "/api/users/ula", &hall).await;
    eventually("it is disabled", async || {
        (admin.json(hub, "/api/automation/rules/wide").await["enabled"] == false).then_some(())
    })
    .await;
    let stands = admin.json(hub, "/api/automation/rules/narrow").await;
    assert_eq!(stands["enabled"], true, "{stands}");
}
