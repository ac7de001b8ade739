//! The page, in a real browser.

use tempfile::TempDir;
use tokio::process::Command;

use crate::support::hub::{House, Hub};
use crate::support::pump::register;
use crate::support::rules::{Rules, done, not_run, report};
use crate::support::within;

/// Debian calls it `chromium`, others `google-chrome`.
const BROWSERS: [&str; 3] = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
/// How far the page's own clock runs before it is read, in ms: it has then loaded what it shows.
const PAGE_TIME: &str = "--virtual-time-budget=5000";

#[tokio::test]
async fn it_shows_what_to_try_and_then_the_devices_that_came() {
    let hub = House::new().start().await;
    let port = hub.mqtt.unwrap().port();
    let empty = seen(&hub, "/").await;
    assert!(empty.contains("No devices yet"), "{empty}");
    assert!(empty.contains(&format!("-p {port}")), "the line to try names the port: {empty}");

    let body = serde_json::json!({ "device_id": "pump-1", "name": "Garden <b>pump</b>" });
    assert_eq!(hub.post("/api/devices", &body).await.status(), 201);
    let readings = serde_json::json!({ "flow": 12.25, "door": "open" });
    assert_eq!(hub.post("/api/devices/pump-1/data", &readings).await.status(), 201);
    let page = seen(&hub, "/").await;
    for expected in ["pump-1", "online", "flow", "12.25", "open", "1 device", "live"] {
        assert!(page.contains(expected), "no `{expected}` in {page}");
    }
    assert!(page.contains("Garden &lt;b&gt;pump&lt;/b&gt;"), "a name is text, not markup: {page}");
}

#[tokio::test]
async fn it_shows_what_is_wrong_and_what_rules_did_and_did_not() {
    let text = "version: 1\nrules:\n  hot:\n    alias: Oven <i>hot</i>\n    triggers:\n      - numeric: oven.temperature\n        \
                above: 100\n    actions:\n      - alarm: oven-hot\n        severity: major\n        message: it is {{ trigger.value }} °C\n  \
                guarded:\n    triggers: [ { numeric: oven.temperature, above: 100 } ]\n    conditions: [ oven.temperature > 500 ]\n    \
                actions: [ { log: x } ]\n";
    let rules = Rules::of("oven.yaml", text);
    rules.write("broken.yaml", "version: 1\nruls: {}\n");
    let hub = House::new().with("--rules", rules.folder()).start().await;
    register(&hub, "oven").await;
    report(&hub, "oven", &serde_json::json!({ "temperature": 120.5 })).await;
    done(&hub, "hot").await;
    not_run(&hub, "guarded", "condition").await;
    let page = seen(&hub, "/").await;
    for expected in [
        "Oven &lt;i&gt;hot&lt;/i&gt;",
        "it is 120.5 °C",
        "major",
        "Acknowledge",
        "running",
        "not run: condition",
        "broken.yaml:2:1",
    ] {
        assert!(page.contains(expected), "no `{expected}` in {page}");
    }
}

#[tokio::test]
async fn the_docs_show_every_route_although_they_may_load_nothing_else() {
    let hub = House::new().start().await;
    let docs = seen(&hub, "/docs/").await;
    for expected in
        ["A live digital twin of every IoT device", "/api/devices/{id}/twin", "opblock-summary-method"]
    {
        let words = docs.replace('\u{200b}', "").replace("<wbr>", "");
        assert!(words.contains(expected), "no `{expected}` in {} bytes: {words:.2000}", words.len());
    }
}

/// The page's document as the browser has it after a while.
async fn seen(hub: &Hub, path: &str) -> String {
    let browser = BROWSERS.into_iter().find(|path| std::path::Path::new(path).exists());
    let profile = TempDir::with_prefix("twinhub-page-").unwrap();
    let output = Command::new(browser.expect("a browser is installed; tests/run sees to it"))
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args([PAGE_TIME, "--dump-dom"])
        .arg(format!("http://{}{path}", hub.http))
        .kill_on_drop(true)
        .output();
    let output = within("the browser ends", output).await.unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}
