//! Keys of webhooks: each sets off the rules of one webhook, and nothing else.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::hub::Installation;
use crate::support::people::{Person, get_with, told};

#[tokio::test]
async fn a_key_sets_off_the_rules_of_its_webhook_alone() {
    let hub = Installation::new().start().await;
    let ann = Person::first(&hub, "ann").await;
    let bob = ann.add(&hub, "bob", "operator").await;
    let device = json!({ "device_id": "bell", "name": "Bell" });
    assert_eq!(ann.send(&hub, Method::POST, "/api/devices", &device).await.status(), 201);
    for name in ["door", "gate"] {
        let rule = json!({ "id": format!("on-{name}"), "triggers": [{ "webhook": name }],
            "actions": [{ "desired": "bell", "set": { "ring": name } }] });
        let made = ann.send(&hub, Method::POST, "/api/automation/rules", &rule).await;
        assert_eq!(made.status(), 201, "{}", made.text().await.unwrap());
    }
    let keys = "/api/automation/webhooks/door/keys";
    let refused = bob.send(&hub, Method::POST, keys, &json!({ "name": "bell" })).await;
    assert_eq!(
        told(refused).await,
        (403, "forbidden".into()),
        "rules are steered by operators, let in by admins"
    );
    let made = ann.send(&hub, Method::POST, keys, &json!({ "name": "bell" })).await;
    assert_eq!(made.status(), 201);
    let key: Value = made.json().await.unwrap();
    let (secret, id) = (key["secret"].as_str().unwrap(), key["id"].as_str().unwrap());
    assert!(secret.starts_with("twh_whk_"), "{secret}");

    let ring = async |secret: &str, name: &str| {
        let path = format!("/api/automation/webhooks/{name}");
        let asked = hub.request(Method::POST, &path).bearer_auth(secret).json(&json!({ "by": "hand" }));
        told(asked.send().await.unwrap()).await
    };
    let asked =
        hub.request(Method::POST, "/api/automation/webhooks/door").bearer_auth(secret).json(&json!({}));
    let answer = asked.send().await.unwrap();
    assert_eq!(answer.status(), 202);
    assert_eq!(answer.json::<Value>().await.unwrap(), json!({}), "it tells not how much happens in all");
    assert_eq!(ring(secret, "gate").await, (403, "forbidden".into()));
    for path in ["/api/devices", "/api/automation/rules", keys, "/api/events"] {
        assert_eq!(get_with(&hub, secret, path).await.0, 403, "{path}");
    }
    let listed = ann.json(&hub, keys).await;
    assert_eq!((&listed[0]["id"], &listed[0]["webhook"]), (&json!(id), &json!("door")));
    assert!(!listed.to_string().contains(secret), "{listed}");
    assert_eq!(ann.json(&hub, "/api/automation/webhooks/gate/keys").await, json!([]));

    let other = format!("/api/automation/webhooks/gate/keys/{id}");
    assert_eq!(ann.request(&hub, Method::DELETE, &other).send().await.unwrap().status(), 404);
    let own = format!("{keys}/{id}");
    assert_eq!(ann.request(&hub, Method::DELETE, &own).send().await.unwrap().status(), 200);
    assert_eq!(ring(secret, "door").await, (401, "bad_credential".into()));
    let audit = ann.json(&hub, "/api/audit?action=key.created").await;
    assert_eq!(audit[0]["target"], "webhook:door", "{audit}");
}
