//! Secrets: shown to nobody, read by nobody who has the files alone, and sent to nobody they are not for.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use reqwest::{Method, StatusCode};
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::eventually;
use crate::support::hub::{HubProcess, Installation, run};
use crate::support::receiver::{WebhookServer, hmac};

const RULES: &str = "/api/automation/rules";
/// Words that must not be found where they are not meant to be.
const WORDS: [&str; 2] = ["s3cret-of-the-rule", "Bearer t0ken-of-the-rule"];

fn telling(url: &str) -> Value {
    json!({ "id": "tell", "triggers": [{ "numeric": "oven.temperature", "above": 100 }], "actions": [
        { "webhook": url, "secret": WORDS[0], "headers": { "Authorization": WORDS[1], "X-Room": "kitchen" } }] })
}

async fn send(hub: &HubProcess, method: Method, path: &str, body: &Value) -> (StatusCode, String) {
    let response = hub.request(method, path).json(body).send().await.unwrap();
    (response.status(), response.text().await.unwrap())
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// Is any of the words in one of the data folder's files?
fn leaked(data: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(data).unwrap() {
        let path = entry.unwrap().path();
        let Ok(bytes) = std::fs::read(&path) else { continue };
        for word in WORDS {
            if bytes.windows(word.len()).any(|window| window == word.as_bytes()) {
                found.push(format!("{word} in {}", path.display()));
            }
        }
    }
    found
}

#[tokio::test]
async fn secrets_of_rules_are_write_only_and_kept_by_who_sends_back_what_was_read() {
    let mut receiver = WebhookServer::start(&[]).await;
    let installation = Installation::new().with("--webhook-allow", "127.0.0.1");
    let hub = installation.start().await;
    let url = format!("http://{}/hook", receiver.address);
    let (status, made) = send(&hub, Method::POST, RULES, &telling(&url)).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    let path = format!("{RULES}/tell");
    let (one, all) = (hub.json(&path).await, hub.json(RULES).await);
    for shown in [&made, &one.to_string(), &all.to_string()] {
        assert!(!WORDS.iter().any(|word| shown.contains(word)), "{shown}");
    }
    let action = &one["rule"]["actions"][0];
    assert_eq!(action["secret"], json!({ "set": true }));
    assert_eq!(action["headers"], json!({ "Authorization": { "set": true }, "X-Room": "kitchen" }));

    // The rule that was read is sent back, with another threshold.
    let mut rule = one["rule"].clone();
    rule["triggers"][0]["above"] = json!(50);
    let (status, told) = send(&hub, Method::PUT, &path, &rule).await;
    assert_eq!(status, StatusCode::OK, "{told}");
    let elsewhere = rule.to_string().replace(&url, "http://192.0.2.1/hook");
    let (status, told) = send(&hub, Method::PUT, &path, &serde_json::from_str(&elsewhere).unwrap()).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{told}");
    assert!(told.contains("http://192.0.2.1/hook") && told.contains("give it again"), "{told}");

    // The secret is still what it was, over a restart too.
    assert_eq!(leaked(&installation.data), [""; 0]);
    hub.terminate().await;
    let hub = installation.start().await;
    hub.post("/api/devices", &json!({ "device_id": "oven", "name": "Oven" })).await;
    hub.post("/api/devices/oven/data", &json!({ "temperature": 20 })).await;
    hub.post("/api/devices/oven/data", &json!({ "temperature": 60 })).await;
    let request = receiver.next().await;
    assert_eq!(request.header("authorization"), Some(WORDS[1]));
    let signed = format!("{}.{}", request.header("x-twinhub-timestamp").unwrap(), request.body);
    let signature = format!("sha256={}", hmac(WORDS[0].as_bytes(), signed.as_bytes()));
    assert_eq!(request.header("x-twinhub-signature"), Some(&*signature));
    assert_eq!(leaked(&installation.data), [""; 0], "nor of what was sent");
}

#[tokio::test]
async fn secrets_of_templates_are_write_only_too() {
    let hub = Installation::new().start().await;
    let mut rule = telling("https://hooks.example/1");
    rule.as_object_mut().unwrap().remove("id");
    rule["triggers"] = json!([{ "numeric": "temperature", "above": 100 }]);
    let template = json!({ "id": "ovens", "rules": { "tell": rule } });
    let (status, made) = send(&hub, Method::POST, "/api/templates", &template).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    let shown = hub.json("/api/templates/ovens").await;
    let rules = hub.json(RULES).await.to_string();
    let exported = hub.get("/api/templates/export").await.text().await.unwrap();
    let events = hub.json("/api/events?since=0&limit=1000").await.to_string();
    for text in [&made, &shown.to_string(), &rules, &exported, &events] {
        assert!(!WORDS.iter().any(|word| text.contains(word)), "{text}");
    }
    assert_eq!(shown["rules"]["tell"]["actions"][0]["secret"], json!({ "set": true }));
    let body = json!({ "description": "all of them", "rules": shown["rules"] });
    for method in [Method::PATCH, Method::PUT] {
        let (status, told) = send(&hub, method, "/api/templates/ovens", &body).await;
        assert_eq!(status, StatusCode::OK, "{told}");
    }
    let back = hub.request(Method::POST, "/api/templates/import?existing=update").body(exported);
    let report: Value = back.send().await.unwrap().json().await.unwrap();
    assert_eq!((&report["updated"], &report["refused"]), (&json!(1), &json!(0)), "{report}");
}

#[tokio::test]
async fn a_password_in_an_address_is_refused_and_one_of_before_is_not_shown() {
    let installation = Installation::new();
    let hub = installation.start().await;
    let with = |user: &str| {
        json!({ "id": "tell", "triggers": [{ "every": "1h" }],
            "actions": [{ "webhook": format!("https://{user}hooks.example/1") }] })
    };
    let (status, told) = send(&hub, Method::POST, RULES, &with("ann:p4ssword@")).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{told}");
    assert!(told.contains("`https://hooks.example/1`") && told.contains("`Authorization`"), "{told}");
    let template = json!({ "id": "ovens", "rules": { "tell": { "triggers": with("")["triggers"],
        "actions": with("ann:p4ssword@")["actions"] } } });
    let (status, told) = send(&hub, Method::POST, "/api/templates", &template).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{told}");
    let (status, told) = send(&hub, Method::POST, RULES, &with("")).await;
    assert_eq!(status, StatusCode::CREATED, "{told}");
    hub.terminate().await;

    // As an earlier version took it in.
    let database = Connection::open(installation.data.join("twinhub.db")).unwrap();
    let old = with("ann:p4ssword@").to_string();
    assert_eq!(database.execute("UPDATE rules SET body = ?1", [&old]).unwrap(), 1);
    database.close().unwrap();
    let hub = installation.start().await;
    let path = format!("{RULES}/tell");
    for shown in [hub.json(&path).await, hub.json(RULES).await] {
        assert!(!shown.to_string().contains("p4ssword"), "{shown}");
    }
    let rule = hub.json(&path).await["rule"].clone();
    assert_eq!(rule["actions"][0]["webhook"], "https://hooks.example/1");
    let (status, told) = send(&hub, Method::PUT, &path, &rule).await;
    assert_eq!(status, StatusCode::OK, "{told}");
}

#[tokio::test]
async fn the_data_folder_is_its_owners_alone() {
    let installation = Installation::new();
    let hub = installation.start().await;
    let files = ["twinhub.db", "twinhub.db-wal", "lock", "secret.key"];
    let modes = |files: [&str; 4]| files.map(|name| mode(&installation.data.join(name)));
    assert_eq!((mode(&installation.data), modes(files)), (0o700, [0o600; 4]));
    hub.terminate().await;

    // As an earlier version made them.
    let open = |path: &Path, mode| std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    open(&installation.data, 0o755);
    open(&installation.data.join("twinhub.db"), 0o644);
    let hub = installation.start().await;
    assert_eq!((mode(&installation.data), modes(files)), (0o700, [0o600; 4]));
    hub.logs("others could read the hub's data").await;
}

#[tokio::test]
async fn what_was_kept_in_clear_is_sealed_at_the_next_start_and_opens_with_its_key_alone() {
    let installation = Installation::new();
    let hub = installation.start().await;
    let (status, told) = send(&hub, Method::POST, RULES, &telling("https://hooks.example/1")).await;
    assert_eq!(status, StatusCode::CREATED, "{told}");
    hub.terminate().await;
    let database = Connection::open(installation.data.join("twinhub.db")).unwrap();
    let clear = telling("https://hooks.example/1").to_string();
    assert_eq!(database.execute("UPDATE rules SET body = ?1", [&clear]).unwrap(), 1);
    database.execute("DELETE FROM meta WHERE name = 'key_check'", []).unwrap();
    database.close().unwrap();
    assert!(!leaked(&installation.data).is_empty(), "as an earlier version left it");

    let hub = installation.start().await;
    hub.logs("sealed rows with the hub's newest key").await;
    assert_eq!(hub.json(RULES).await[0]["id"], "tell");
    assert_eq!(leaked(&installation.data), [""; 0]);
    hub.terminate().await;

    std::fs::write(installation.data.join("secret.key"), format!("{}\n", "a".repeat(64))).unwrap();
    let data = installation.data.to_str().unwrap();
    let free =
        ["--listen", "127.0.0.1:0", "--mqtt-listen", "127.0.0.1:0", "--log", "error", "--data-dir", data];
    let output = run(&free, &[]).await;
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("sealed with another key") && told.lines().count() == 1, "{told}");
}

#[tokio::test]
async fn webhooks_do_not_reach_this_machine_or_the_hub_itself() {
    let receiver = WebhookServer::start(&[]).await;
    let hub = Installation::new().with("--webhook-allow", "127.0.0.2,localhost").start().await;
    hub.post("/api/devices", &json!({ "device_id": "victim", "name": "Victim" })).await;
    let port = hub.http.port();
    let places = [
        (format!("http://{}/hook", receiver.address), "is an address of this machine"),
        (format!("http://127.0.0.1:{port}/api/devices/victim"), "is this hub itself"),
        (format!("http://localhost:{port}/api/devices/victim"), "is this hub itself"),
        (format!("http://0x7f.1:{port}/api/devices/victim"), "is this hub itself"),
        (format!("http://[::ffff:127.0.0.1]:{port}/api/devices/victim"), "is this hub itself"),
        ("http://169.254.169.254/latest/meta-data".into(), "is a link-local address"),
    ];
    let actions: Vec<Value> =
        places.iter().map(|(url, _)| json!({ "webhook": url, "method": "DELETE" })).collect();
    let rule = json!({ "id": "reach", "triggers": [{ "every": "1h" }], "actions": actions });
    let (status, told) = send(&hub, Method::POST, RULES, &rule).await;
    assert_eq!(status, StatusCode::CREATED, "{told}");
    hub.post(&format!("{RULES}/reach/run"), &json!({})).await;
    let sent = eventually("all are given up", async || {
        let sent = hub.json("/api/automation/webhooks/deliveries?status=failed").await;
        (sent.as_array()?.len() == places.len()).then_some(sent)
    })
    .await;
    for (url, why) in &places {
        let delivery = sent.as_array().unwrap().iter().find(|one| one["url"] == **url);
        let detail = delivery.map(|one| one["detail"].to_string()).unwrap_or_default();
        assert!(detail.contains(why) && detail.contains("webhook-allow"), "{url}: {detail}");
    }
    assert_eq!(hub.json("/api/devices/victim").await["id"], "victim");
}

#[tokio::test]
async fn a_rule_may_not_sign_with_any_variable() {
    let hub = Installation::new().with("--rule-secrets", "HOOK_KEY").start().await;
    let signed_with = |name: &str| {
        json!({ "id": name.to_lowercase(), "triggers": [{ "every": "1h" }],
            "actions": [{ "webhook": "https://hooks.example/1", "secret_env": name }] })
    };
    let (status, told) = send(&hub, Method::POST, RULES, &signed_with("PATH")).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{told}");
    assert!(told.contains("/actions/0/secret_env") && told.contains("TWINHUB_SECRET_PATH"), "{told}");
    for good in ["HOOK_KEY", "TWINHUB_SECRET_HOOK"] {
        let (status, told) = send(&hub, Method::POST, RULES, &signed_with(good)).await;
        assert_eq!(status, StatusCode::CREATED, "{told}");
    }
    // The same holds for the rules of templates.
    let template = |name: &str| {
        let mut rule = signed_with(name);
        rule.as_object_mut().unwrap().remove("id");
        json!({ "id": name, "rules": { "tell": rule } })
    };
    let (status, told) = send(&hub, Method::POST, "/api/templates", &template("PATH")).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{told}");
    let (status, told) = send(&hub, Method::POST, "/api/templates", &template("HOOK_KEY")).await;
    assert_eq!(status, StatusCode::CREATED, "{told}");
    assert_eq!(hub.json(&format!("{RULES}/template:HOOK_KEY:tell")).await["status"], "running");
}
