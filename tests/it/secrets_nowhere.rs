//! No secret is found again: each is set with a word of its own, and then every answer of the API, every export, the
//! log and the files of the data folder are searched for the words.

use std::collections::BTreeMap;
use std::path::Path;

use reqwest::Method;
use serde_json::{Value, json};

use crate::single_sign_on::{Tab, with_provider};
use crate::support::hub::{HubProcess, Installation, run};
use crate::support::people::{PASSWORD, Person};
use crate::support::provider::{IdentityProvider, SECRET};
use crate::support::{Mosquitto, eventually};

/// Files that have to have secrets in them: the hub's own keys.
const KEYS: [&str; 2] = ["secret.key", "local.key"];

/// The secrets, by what they are.
#[derive(Default)]
struct SecretWords(BTreeMap<&'static str, String>);

impl SecretWords {
    /// Makes one up.
    fn make(&mut self, what: &'static str) -> String {
        let word = format!("mark-{:02}-{}", self.0.len(), what.replace(' ', "-"));
        self.0.insert(what, word.clone());
        word
    }

    /// Takes one that the hub has made.
    fn take(&mut self, what: &'static str, word: &str) {
        assert!(word.len() >= 16, "{what}: {word}");
        self.0.insert(what, word.to_owned());
    }

    /// The secrets that are in there.
    fn found_in(&self, bytes: &[u8]) -> Vec<&'static str> {
        let is_in = |word: &str| bytes.windows(word.len()).any(|part| part == word.as_bytes());
        self.0.iter().filter(|(_, word)| is_in(word)).map(|(what, _)| *what).collect()
    }
}

#[tokio::test]
async fn no_secret_is_found_in_answers_exports_logs_or_files() {
    let mut words = SecretWords::default();
    let mosquitto = Mosquitto::start().await;
    let broker = words.make("password of the broker");
    let signing = words.make("secret in a variable");
    let shared = words.make("secret of JSON web tokens");
    let provider = IdentityProvider::start().await;
    words.take("secret at the provider", SECRET);
    let installation = with_provider(Installation::new(), &provider)
        .with("--mqtt", &format!("mqtt://hub:{broker}@{}", mosquitto.address))
        .with("--log", "debug")
        .with("--registration", "open")
        .in_environment("JWT_SECRET", &shared)
        .in_environment("TWINHUB_SECRET_HOOK", &signing);
    let hub = installation.start().await;
    let link = hub.banner.split("/setup#").nth(1).unwrap().split_whitespace().next().unwrap();
    words.take("set-up link", link);
    let ann = Person::first(&hub, "ann").await;
    words.take("password", PASSWORD);
    words.take("session", ann.cookie.split('=').nth(1).unwrap());
    set_secrets(&hub, &ann, &mut words).await;
    set_keys(&hub, &ann, &mut words).await;
    provider.is_signed_in("s-1", "kim", &["guests"]);
    let landed = Tab::default().sign_on(&hub).await;
    assert_eq!(landed.status, 200, "{landed:?}");
    let state = landed.url.split("state=").nth(1).unwrap().split('&').next().unwrap();
    words.take("state of a sign-in", state);
    assert_eq!(words.found_in(landed.page.as_bytes()), [""; 0], "{}", landed.page);

    let mut seen = 0;
    for path in readable(&hub, &ann).await {
        let answer = ann.get(&hub, &path).await;
        let (status, headers) = (answer.status(), format!("{:?}", answer.headers()));
        let body = answer.bytes().await.unwrap();
        assert_eq!(
            words.found_in(&body),
            [""; 0],
            "in the answer of {path}: {}",
            String::from_utf8_lossy(&body)
        );
        assert_eq!(words.found_in(headers.as_bytes()), [""; 0], "in the headers of {path}");
        seen += usize::from(status.is_success());
    }
    assert!(seen > 30, "only {seen} routes answered");

    // Refusals that are about a secret.
    let rule = json!({ "id": "bad", "triggers": [{ "every": "1h" }], "actions": [{ "webhook": "nowhere",
        "secret": words.make("secret of a refused rule"), "headers": { "Authorization": words.make("refused header") } }] });
    let device = json!({ "device_id": "oven", "name": "Oven", "auth_token": words.0["token of a device"] });
    let login = json!({ "name": "ann", "password": words.make("wrong password") });
    let weak = json!({ "name": "eve", "password": words.make("pw"), "role": "no such role" });
    for (path, body) in [
        ("/api/automation/rules", &rule),
        ("/api/devices", &device),
        ("/api/auth/login", &login),
        ("/api/users", &weak),
    ] {
        let answer = ann.send(&hub, Method::POST, path, body).await;
        assert!(answer.status().is_client_error(), "{path}");
        let told = answer.text().await.unwrap();
        assert_eq!(words.found_in(told.as_bytes()), [""; 0], "in the refusal of {path}: {told}");
    }
    for token in [&words.0["key of a person"].replace("twh_pat_", "twh_pat_x"), &words.make("bearer")] {
        let answer = hub.request(Method::GET, "/api/devices").bearer_auth(token).send().await.unwrap();
        let told = answer.text().await.unwrap();
        assert_eq!(words.found_in(told.as_bytes()), [""; 0], "{told}");
        assert!(!told.contains(&**token), "{told}");
    }

    let log = hub.log().join("\n");
    assert!(log.len() > 1_000 && log.contains("\"DEBUG\""), "{log}");
    assert_eq!(words.found_in(log.as_bytes()), [""; 0], "in the log");
    search_files(&installation.data, &words);
    hub.terminate().await;
    search_files(&installation.data, &words);
}

/// Sets or makes every secret that the API takes or gives.
async fn set_secrets(hub: &HubProcess, ann: &Person, words: &mut SecretWords) {
    let made = async |path: &str, body: Value| {
        let answer = ann.send(hub, Method::POST, path, &body).await;
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str::<Value>(&text).unwrap_or_default()
    };
    let hook = |secret: &str, header: &str| {
        json!({ "webhook": "http://192.0.2.1:9/hook", "secret": secret,
                "headers": { "Authorization": format!("Bearer {header}"), "X-Api-Key": header } })
    };
    let action = hook(&words.make("secret of a rule"), &words.make("header of a rule"));
    let by_variable = json!({ "webhook": "http://192.0.2.1:9/hook", "secret_env": "TWINHUB_SECRET_HOOK" });
    let rule = json!({ "id": "tell", "triggers": [{ "every": "1h" }], "actions": [action, by_variable] });
    made("/api/automation/rules", rule).await;
    made("/api/automation/rules/tell/run", json!({})).await;
    eventually("its requests are on their way", async || {
        let sent = ann.json(hub, "/api/automation/webhooks/deliveries").await;
        (sent.as_array()?.len() == 2).then_some(())
    })
    .await;
    let action = hook(&words.make("secret of a template"), &words.make("header of a template"));
    let rule = json!({ "triggers": [{ "numeric": "temperature", "above": 100 }], "actions": [action] });
    made("/api/templates", json!({ "id": "ovens", "rules": { "tell": rule } })).await;
    let token = words.make("token of a device");
    let device = json!({ "device_id": "pump", "name": "Pump", "auth_token": token, "template_id": "ovens" });
    made("/api/devices", device).await;
    let device = made("/api/devices", json!({ "device_id": "fan", "name": "Fan" })).await;
    words.take("token that was made", device["auth_token"].as_str().unwrap());
    made("/api/devices/pump/data", json!({ "temperature": 20 })).await;

    words.take("key of a person", &ann.make_key(hub, "viewer").await.0);
    let key = made("/api/auth/keys", json!({ "name": "ci", "role": "viewer", "service": true })).await;
    words.take("key of a service", key["secret"].as_str().unwrap());
    let bob = json!({ "name": "bob", "role": "viewer", "password": words.make("password of another") });
    made("/api/users", bob).await;
    let factor = made("/api/auth/totp", json!({ "password": PASSWORD })).await;
    words.take("second factor", factor["secret"].as_str().unwrap());
}

/// Makes every key that the API gives out.
async fn set_keys(hub: &HubProcess, ann: &Person, words: &mut SecretWords) {
    let made = async |path: &str, body: Value| {
        let answer = ann.send(hub, Method::POST, path, &body).await;
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str::<Value>(&text).unwrap_or_default()
    };
    let by_key = async |secret: &str, path: &str, body: Value| {
        let asked = hub.request(Method::POST, path).bearer_auth(secret).json(&body);
        let answer = asked.send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str::<Value>(&text).unwrap()
    };
    let text = |document: &Value, name: &str| document[name].as_str().unwrap().to_owned();

    let key = text(&made("/api/provisioning/keys", json!({ "name": "line" })).await, "secret");
    let device = by_key(&key, "/api/provision", json!({ "device_id": "line-1" })).await;
    words.take("provisioning key", &key);
    words.take("token of a provisioned device", &text(&device, "auth_token"));
    let rotated = made("/api/devices/line-1/token?overlap=1h", json!({})).await;
    words.take("second token of a device", &text(&rotated, "auth_token"));
    let code = words.make("claim code");
    made(
        "/api/devices",
        json!({ "device_id": "box", "name": "Box", "serial_number": "S-1", "claim_code": code }),
    )
    .await;

    let rule = json!({ "id": "bell", "triggers": [{ "webhook": "door", "secret": words.make("secret of a webhook that comes in") }],
        "actions": [{ "log": "ding" }] });
    made("/api/automation/rules", rule).await;
    let key = text(&made("/api/automation/webhooks/door/keys", json!({ "name": "gate" })).await, "secret");
    by_key(&key, "/api/automation/webhooks/door", json!({ "by": "hand" })).await;
    words.take("key of a webhook", &key);
    let bridge = json!({ "publish": ["zigbee2mqtt/#"] });
    let bridge = ann.send(hub, Method::PUT, "/api/bridges/zigbee", &bridge).await;
    words.take("key of a bridge", &text(&bridge.json().await.unwrap(), "secret"));

    let invited = made("/api/users/invitations", json!({ "name": "cid", "role": "viewer" })).await;
    words.take("invitation", text(&invited, "link").split_once('#').unwrap().1);
    let shared = made("/api/auth/shares", json!({ "name": "lobby" })).await;
    let share = text(&shared, "link").split_once('#').unwrap().1.to_owned();
    let opened = hub.post("/api/auth/shares/open", &json!({ "token": share })).await;
    assert!(opened.status().is_success(), "{}", opened.text().await.unwrap());
    words.take("share link", &share);
    let login = json!({ "username": "ann", "password": PASSWORD });
    let token = hub.post("/v1/auth/login", &login).await.json::<Value>().await.unwrap();
    words.take("JSON web token", &text(&token, "access_token"));
    let account = json!({ "username": "dan", "email": "dan@example.com", "password": PASSWORD });
    let account = hub.post("/api/auth/register", &account).await.json::<Value>().await.unwrap();
    words.take("key of a new account", &text(&account, "api_key"));
}

/// The paths of all routes that are read, with what there is in the place of their parameters.
async fn readable(hub: &HubProcess, ann: &Person) -> Vec<String> {
    let description = ann.json(hub, "/api/openapi.json").await;
    let paths = description["paths"].as_object().unwrap();
    // The way to the identity provider leads away from here: somebody signs in by it.
    let is_read = |path: &str| !path.contains("stream") && !path.contains("/oidc/");
    let reads = paths.iter().filter(|(path, methods)| methods.get("get").is_some() && is_read(path));
    let mut all: Vec<String> = reads.map(|(path, _)| filled(path)).collect();
    all.extend(["/api/events?since=0&limit=1000".into(), "/api/audit?limit=1000".into()]);
    all
}

fn filled(path: &str) -> String {
    let id = [
        ("rules", "tell"),
        ("templates", "ovens"),
        ("devices", "pump"),
        ("users", "bob"),
        ("webhooks", "door"),
    ];
    let id =
        id.into_iter().find(|(folder, _)| path.contains(&format!("/{folder}/"))).map_or("x", |(_, id)| id);
    let mut filled = String::new();
    let mut rest = path;
    while let Some((before, parameter)) = rest.split_once('{') {
        filled += before;
        filled += id;
        rest = parameter.split_once('}').unwrap().1;
    }
    filled + rest
}

fn search_files(folder: &Path, words: &SecretWords) {
    let mut searched = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_file() && !KEYS.contains(&name) {
            assert_eq!(words.found_in(&std::fs::read(&path).unwrap()), [""; 0], "in {}", path.display());
            searched += 1;
        }
    }
    assert!(searched >= 2, "{searched} files");
}

#[tokio::test]
async fn no_secret_is_shown_with_the_configuration() {
    let (mut words, dir) = (SecretWords::default(), tempfile::tempdir().unwrap());
    let provider = words.make("secret at the provider");
    let file = dir.path().join("oidc.secret");
    std::fs::write(&file, words.make("secret in a file")).unwrap();
    let jwt = words.make("secret of JSON web tokens");
    let place = [
        "--data-dir",
        dir.path().to_str().unwrap(),
        "--listen",
        "127.0.0.1:0",
        "--mqtt-listen",
        "127.0.0.1:0",
    ];
    let oidc =
        ["--oidc-issuer", "https://id.example.com", "--oidc-client-id", "hub", "--oidc-roles", "*=viewer"];
    for secret in [["--oidc-client-secret", &provider], ["--oidc-client-secret-file", file.to_str().unwrap()]]
    {
        for command in ["config", "doctor"] {
            let output =
                run(&[&[command], &place[..], &oidc, &secret].concat(), &[("JWT_SECRET", &jwt)]).await;
            let text = [output.stdout, output.stderr].concat();
            assert!(!text.is_empty());
            assert_eq!(words.found_in(&text), [""; 0], "{command}: {}", String::from_utf8_lossy(&text));
        }
    }
}

#[tokio::test]
async fn no_password_of_an_address_is_in_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let place =
        ["--data-dir", data.to_str().unwrap(), "--listen", "127.0.0.1:0", "--mqtt-listen", "127.0.0.1:0"];
    for option in [
        ["--database", "postgres://ann:s3cret-word@127.0.0.1:1/twins"],
        ["--mqtt", "mqtt://ann:s3cret-word@"],
        ["--mqtt", "mqtt://ann:s3cret-word@h/path"],
        ["--mqtt", "http://ann:s3cret-word@h"],
        ["--mqtt", "mqtt://ann:s3cret-word@h:port"],
        ["--public-url", "https://ann:s3cret-word@h:port"],
    ] {
        for command in ["serve", "config", "doctor"] {
            let output = run(&[&[command], &place[..], &option].concat(), &[]).await;
            let text = [output.stdout, output.stderr].concat();
            let text = String::from_utf8_lossy(&text);
            assert!(!text.contains("s3cret-word"), "{command} {option:?}: {text}");
        }
    }
}
