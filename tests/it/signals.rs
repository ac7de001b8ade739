//! Signals: SIGHUP reads anew what can be read anew, and ends nothing.

use serde_json::{Value, json};

use crate::support::http::{HttpAnswer, ask};
use crate::support::hub::{HubProcess, Installation};
use crate::support::receiver::WebhookServer;
use crate::support::rules::Rules;
use crate::support::{MqttDevice, eventually};

const RULE: &str = "version: 1\nrules:\n  hot:\n    triggers:\n      - numeric: room.temperature\n        above: 30\n    \
                    actions:\n      - alarm: hot\n";

async fn rules(hub: &HubProcess) -> Vec<String> {
    let rules: Value = hub.json("/api/automation/rules").await;
    rules.as_array().unwrap().iter().map(|rule| rule["id"].as_str().unwrap().to_owned()).collect()
}

/// Sends SIGHUP and waits for the `count`th line of the log that says what came of it; that line.
async fn reloaded(hub: &HubProcess, count: usize) -> Value {
    hub.signal("HUP").await;
    let lines = eventually("it says what was reloaded", async || {
        let is_told =
            |line: &String| line.contains("configuration reloaded") || line.contains("not reloaded");
        let lines: Vec<_> = hub.log().into_iter().filter(is_told).collect();
        (lines.len() >= count).then_some(lines)
    })
    .await;
    serde_json::from_str(&lines[count - 1]).unwrap()
}

#[tokio::test]
async fn sighup_takes_over_what_can_change_and_says_what_cannot() {
    let dir = tempfile::tempdir().unwrap();
    let (file, folder) = (dir.path().join("hub.toml"), dir.path().join("rules"));
    std::fs::create_dir(&folder).unwrap();
    let write = |text: &str| std::fs::write(&file, text).unwrap();
    write("log = 'info'\nunknown-devices = 'accept'\n");
    let installation = Installation::new()
        .with("--config", file.to_str().unwrap())
        .with("--rules", folder.to_str().unwrap());
    let hub = installation.start().await;

    write(
        "log = 'trace'\nunknown-devices = 'reject'\nretention = '1d'\nlisten = '127.0.0.1:1'\nmqtt-connections = 7\n\
         mqtt-retained-limit = '1KiB'\nmqtt-retained-total = '1MiB'\nmqtt-sessions = 9\nmqtt-session-messages = 9\n\
         mqtt-session-limit = '1KiB'\nmqtt-sessions-total = '1MiB'\nfirst-silence = '1h'\n",
    );
    let told = reloaded(&hub, 1).await;
    assert_eq!(told["changed"], "log, retention, unknown-devices", "{told}");
    let needs_restart = "first-silence, mqtt-connections, mqtt-retained-limit, mqtt-retained-total, \
                         mqtt-session-limit, mqtt-session-messages, mqtt-sessions, mqtt-sessions-total";
    assert_eq!(told["needs_restart"], needs_restart, "{told}");
    assert_eq!(told["overridden"], "listen", "the flag says something else: {told}");
    let mut stranger = MqttDevice::connect(hub.mqtt.unwrap(), "stranger").await.unwrap();
    stranger.publish(1, "iot/devices/stranger/data", br#"{"n": 1}"#).await.unwrap();
    eventually("the stranger is refused", async || {
        let rejected = hub.json("/api/diagnostics/rejected").await;
        (!rejected.as_array().unwrap().is_empty()).then_some(())
    })
    .await;
    eventually("lines of the new level are written", async || {
        hub.log().iter().any(|line| line.contains(r#""level":"TRACE""#)).then_some(())
    })
    .await;

    // A file that is wrong changes nothing, and neither do its good lines.
    write("unknown-devices = 'accept'\nretentoin = '2d'\n");
    let told = reloaded(&hub, 2).await;
    assert_eq!(told["level"], "ERROR", "{told}");
    let error = told["error"].as_str().unwrap();
    assert!(error.contains("hub.toml:2: ") && error.contains("retentoin"), "{error}");
    stranger.publish(2, "iot/devices/stranger/data", br#"{"n": 2}"#).await.unwrap();
    eventually("the stranger is refused still", async || {
        let rejected = hub.json("/api/diagnostics/rejected").await;
        (rejected.as_array().unwrap().len() > 1).then_some(())
    })
    .await;

    std::fs::write(folder.join("hot.yaml"), RULE).unwrap();
    write("unknown-devices = 'reject'\n");
    reloaded(&hub, 3).await;
    eventually("its rule runs", async || (rules(&hub).await == ["hot"]).then_some(())).await;
    let answer = hub.post("/api/devices/room/data", &json!({ "temperature": 20 })).await;
    assert_eq!(answer.status().as_u16() / 100, 4, "nobody has registered it");
    assert_eq!(hub.terminate().await.code(), Some(0));
}

/// A request with this `Origin`, or none, for `localhost`.
async fn with_origin(hub: &HubProcess, origin: Option<&str>) -> HttpAnswer {
    let origin = origin.map(|origin| format!("Origin: {origin}"));
    let lines: Vec<&str> =
        ["GET /api/devices HTTP/1.1", "Host: localhost"].into_iter().chain(origin.as_deref()).collect();
    ask(hub.http, &lines, "").await
}

#[tokio::test]
async fn sighup_lets_in_other_pages_and_hosts_and_bodies_of_other_sizes() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("hub.toml");
    let write = |text: &str| std::fs::write(&file, text).unwrap();
    write("");
    let hub = Installation::new().with("--config", file.to_str().unwrap()).start().await;
    let by_name = async || ask(hub.http, &["GET /ready HTTP/1.1", "Host: a.lab.example"], "").await.status;
    let allowed = async |origin: &str| {
        let answer = with_origin(&hub, Some(origin)).await;
        (answer.status, answer.header("access-control-allow-origin").map(str::to_owned))
    };
    let posted = async |path: &str, length: usize| {
        let request = hub.request(reqwest::Method::POST, path).body(" ".repeat(length));
        request.send().await.unwrap().status().as_u16()
    };
    let (import, upload) = ("/api/devices/import?format=jsonl", "/api/firmware/upload?version=1&model=P");
    let refused = (403, None);
    assert_eq!(by_name().await, 421);
    assert_eq!(allowed("http://friend.example").await, refused);
    assert_eq!(with_origin(&hub, None).await.header("access-control-expose-headers"), None);
    let mut device = MqttDevice::connect(hub.mqtt.unwrap(), "room").await.unwrap();
    let reading = format!(r#"{{"n": 1{}}}"#, " ".repeat(100));
    device.say("iot/devices/room/data", &reading).await;

    write(
        "cors = ['*', 'null']\nhosts = ['*.lab.example']\nbody-limit = '100'\nimport-limit = '10'\n\
         firmware-limit = '5'\nmqtt-payload-limit = '50'\n",
    );
    let told = reloaded(&hub, 1).await;
    let all = "body-limit, cors, firmware-limit, hosts, import-limit, mqtt-payload-limit";
    assert_eq!((&told["changed"], &told["needs_restart"]), (&json!(all), &json!("nothing")), "{told}");
    assert_eq!(by_name().await, 200);
    assert_eq!(allowed("http://friend.example").await, (200, Some("*".into())));
    assert_eq!(allowed("null").await, (200, Some("null".into())), "one does not switch off the other");
    let sizes = [
        posted("/api/devices", 101).await,
        posted("/api/devices", 100).await,
        posted(import, 11).await,
        posted(upload, 6).await,
        posted(upload, 5).await,
    ];
    assert_eq!(sizes, [413, 400, 413, 413, 201]);
    device.publish(2, "iot/devices/room/data", reading.as_bytes()).await.unwrap();
    eventually("its message is too large", async || {
        let rejected = hub.json("/api/diagnostics/rejected").await;
        (!rejected.as_array().unwrap().is_empty()).then_some(())
    })
    .await;

    // A limit beyond what packets may bring waits, and all else is as it was.
    write("mqtt-payload-limit = '1GiB'\n");
    let told = reloaded(&hub, 2).await;
    let all = "body-limit, cors, firmware-limit, hosts, import-limit";
    assert_eq!(
        (&told["changed"], &told["needs_restart"]),
        (&json!(all), &json!("mqtt-payload-limit")),
        "{told}"
    );
    assert_eq!(by_name().await, 421);
    assert_eq!(allowed("http://friend.example").await, refused);
    assert_eq!(posted("/api/devices", 101).await, 400);
    device.say("iot/devices/room/data", &reading).await;
}

#[tokio::test]
async fn sighup_lets_webhooks_reach_other_places() {
    let mut receiver = WebhookServer::start(&[]).await;
    let text = format!(
        "version: 1\nrules:\n  tell:\n    triggers:\n      - webhook: bell\n    actions:\n      - webhook: \"http://{}/hook\"\n",
        receiver.address
    );
    let (rules, dir) = (Rules::of("tell.yaml", &text), tempfile::tempdir().unwrap());
    let file = dir.path().join("hub.toml");
    std::fs::write(&file, "").unwrap();
    let installation =
        Installation::new().with("--config", file.to_str().unwrap()).with("--rules", rules.folder());
    let hub = installation.start().await;
    let ring = async || {
        assert_eq!(hub.post("/api/automation/webhooks/bell", &json!({})).await.status(), 202);
    };
    let count = async |status: &str| {
        let path = format!("/api/automation/webhooks/deliveries?status={status}");
        hub.json(&path).await.as_array().unwrap().len()
    };
    ring().await;
    eventually("it is given up", async || (count("failed").await == 1).then_some(())).await;

    std::fs::write(&file, "webhook-allow = ['127.0.0.1']\n").unwrap();
    let told = reloaded(&hub, 1).await;
    assert_eq!(told["changed"], "webhook-allow", "{told}");
    ring().await;
    assert_eq!(receiver.next().await.line(), "POST /hook");
    eventually("it is delivered", async || (count("delivered").await == 1).then_some(())).await;

    std::fs::write(&file, "").unwrap();
    reloaded(&hub, 2).await;
    ring().await;
    eventually("the next one is given up", async || (count("failed").await == 2).then_some(())).await;
}

#[tokio::test]
async fn sighup_tells_of_what_holds_and_not_of_what_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let (file, folder) = (dir.path().join("hub.toml"), dir.path().join("rules"));
    let write = |text: &str| std::fs::write(&file, text).unwrap();
    write("retention = '7d'\n");
    let installation = Installation::new().with("--config", file.to_str().unwrap()).with("--log", "info");
    let hub = installation.start().await;
    write("retention = '168h'\nlog = 'trace'\n");
    let told = reloaded(&hub, 1).await;
    assert_eq!((&told["changed"], &told["needs_restart"]), (&json!("nothing"), &json!("nothing")), "{told}");
    assert_eq!(told["overridden"], "log", "{told}");

    write(&format!("rules = '{}'\n", folder.display()));
    let told = reloaded(&hub, 2).await;
    assert_eq!(told["needs_restart"], "rules", "{told}");
}

/// A newcomer starts the hub first and makes the folder afterwards; `git checkout` takes it away and brings it back.
#[tokio::test]
async fn the_rules_folder_may_come_and_go_while_the_hub_runs() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("rules");
    let hub = Installation::new().in_folder(dir.path()).start().await;
    assert!(rules(&hub).await.is_empty());
    let are = async |expected: &[&str]| {
        eventually("the rules are read", async || (rules(&hub).await == expected).then_some(())).await;
    };
    for _ in 0..2 {
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("hot.yaml"), RULE).unwrap();
        are(&["hot"]).await;
        std::fs::write(folder.join("hot.yaml"), RULE.replace("  hot:", "  warm:")).unwrap();
        are(&["warm"]).await;
        std::fs::remove_dir_all(&folder).unwrap();
        are(&[]).await;
    }
    assert_eq!(hub.terminate().await.code(), Some(0));
}

#[tokio::test]
async fn a_rules_folder_that_cannot_be_read_is_not_called_reloaded() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("rules");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("hot.yaml"), RULE).unwrap();
    let hub = Installation::new().with("--rules", folder.to_str().unwrap()).start().await;
    reloaded(&hub, 1).await;
    hub.logs("rule files reloaded").await;
    // In one step, so that the folder is never seen missing: that would be one without rules.
    std::fs::write(dir.path().join("file"), "").unwrap();
    rustix::fs::renameat_with(
        rustix::fs::CWD,
        dir.path().join("file"),
        rustix::fs::CWD,
        &folder,
        rustix::fs::RenameFlags::EXCHANGE,
    )
    .unwrap();
    reloaded(&hub, 2).await;
    reloaded(&hub, 3).await; // all of the one before is done by then
    assert!(hub.log().iter().any(|line| line.contains("the rules folder cannot be read")));
    assert_eq!(rules(&hub).await, ["hot"], "what ran before goes on");
    assert_eq!(hub.log().iter().filter(|line| line.contains("rule files reloaded")).count(), 1);
    assert_eq!(hub.terminate().await.code(), Some(0));
}

/// Bad rule files show in health, with the nearest right word, and in the log.
#[tokio::test]
async fn a_broken_rule_file_degrades_health_and_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let write = |text: &str| std::fs::write(dir.path().join("hot.yaml"), text).unwrap();
    write(&RULE.replace("numeric", "numerik"));
    let hub = Installation::new().with("--rules", dir.path().to_str().unwrap()).start().await;
    let health = hub.json("/health").await;
    assert_eq!(health["status"], "degraded");
    assert_eq!(health["parts"]["automation"]["status"], "broken");
    let broken = health["parts"]["automation"]["broken"][0].as_str().unwrap();
    assert!(broken.starts_with("hot.yaml:") && broken.contains("`numerik`"), "{broken}");
    assert!(broken.contains("did you mean `numeric`?"), "{broken}");
    let line = hub.logs("numerik").await;
    assert!(line.contains("hot.yaml:") && line.contains("did you mean `numeric`?"), "{line}");

    write(RULE);
    eventually("it is mended", async || (hub.json("/health").await["status"] == "healthy").then_some(()))
        .await;
    assert_eq!(rules(&hub).await, ["hot"]);
}

/// A reader of the log alone sees alarms come and go.
#[tokio::test]
async fn alarms_failed_runs_and_jobs_are_in_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let rule = format!(
        "{RULE}      - desired: nobody\n        set: {{ power: on }}\n    on_release:\n      - clear: hot\n"
    );
    std::fs::write(dir.path().join("hot.yaml"), rule).unwrap();
    let hub = Installation::new().with("--rules", dir.path().to_str().unwrap()).start().await;
    let mut device = MqttDevice::connect(hub.mqtt.unwrap(), "room").await.unwrap();
    device.say("iot/devices/room/data", r#"{"temperature": 20}"#).await;
    device.say("iot/devices/room/data", r#"{"temperature": 31}"#).await;
    let raised = hub.logs("alarm raised").await;
    assert!(raised.contains(r#""alarm_type":"hot""#) && raised.contains(r#""device":"room""#), "{raised}");
    let failed = hub.logs("run failed").await;
    assert!(failed.contains(r#""rule":"hot""#) && failed.contains("nobody"), "{failed}");
    device.say("iot/devices/room/data", r#"{"temperature": 20}"#).await;
    hub.logs("alarm cleared").await;

    let body = json!({ "where": {}, "action": { "desired": { "power": "on" } } });
    assert_eq!(hub.post("/api/devices/bulk", &body).await.status(), 202);
    assert!(hub.logs("job began").await.contains(r#""action":"desired""#));
    assert!(hub.logs("job ended").await.contains(r#""status":"done""#));
}
