//! The hub's certificate: its own, or one of files that change.

use std::path::Path;

use futures_util::StreamExt as _;
use reqwest::Method;
use serde_json::json;
use tempfile::TempDir;

use crate::support::certificates::{authority, certificate, connect};
use crate::support::hub::{Installation, run};
use crate::support::people::{PASSWORD, Person};
use crate::support::{HubProcess, MqttDevice, eventually, within};

/// A client that trusts what the system does.
async fn stranger(hub: &HubProcess, path: &str) -> Result<reqwest::Response, reqwest::Error> {
    let client =
        reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    within("an answer", client.get(format!("{}://{}{path}", hub.scheme, hub.http)).send()).await
}

#[tokio::test]
async fn a_hub_makes_a_certificate_that_people_can_trust() {
    let installation = Installation::new().over_tls();
    let hub = installation.start().await;
    assert!(hub.banner.contains(&format!("https://{}/setup#", hub.http)), "{}", hub.banner);
    let refused = stranger(&hub, "/health").await.unwrap_err();
    assert!(format!("{refused:?}").contains("UnknownIssuer"), "{refused:?}");

    let pem = hub.get("/ca.pem").await;
    assert_eq!(pem.headers()["content-type"], "application/x-pem-file");
    let pem = pem.text().await.unwrap();
    assert_eq!(pem, std::fs::read_to_string(installation.data.join("tls/ca.pem")).unwrap());
    let tls = hub.json("/health").await["parts"]["tls"].take();
    assert_eq!(tls["status"], "ok");
    let authority = tls["authority_fingerprint"].as_str().unwrap();
    assert!(hub.banner.contains(authority), "{}", hub.banner);
    let (day, left) = (86_400, hub.metric("twinhub_tls_expires_seconds").await);
    assert!((89 * day..=90 * day).contains(&left), "{left}");
    let health = hub.get("/health").await;
    assert!(
        !health.headers().contains_key("strict-transport-security"),
        "its own authority is not trusted by all"
    );

    let made = hub.post("/api/auth/register", &json!({ "name": "ann", "password": PASSWORD })).await;
    let cookie = made.headers()["set-cookie"].to_str().unwrap().to_owned();
    assert!(cookie.starts_with("__Host-twinhub_") && cookie.contains("; Secure"), "{cookie}");
    let ann = Person::sign_in(&hub, "ann").await;
    let change = json!({ "device_id": "a", "name": "A" });
    assert_eq!(
        ann.request(&hub, Method::POST, "/api/devices").json(&change).send().await.unwrap().status(),
        201
    );
    let origin = format!("http://{}", hub.http);
    let foreign = hub.request(Method::POST, "/api/devices").header("Cookie", &ann.cookie);
    assert_eq!(
        foreign.header("Origin", origin).json(&change).send().await.unwrap().status(),
        403,
        "a page in the clear"
    );

    hub.terminate().await;
    let again = installation.start().await;
    assert_eq!(again.get("/ca.pem").await.text().await.unwrap(), pem, "it is trusted once");
    assert_eq!(again.get("/api/devices").await.status(), 401);
}

#[tokio::test]
async fn commands_on_this_machine_find_a_hub_over_tls() {
    let installation = Installation::new().over_tls();
    let hub = installation.start().await;
    let (data, url) = (installation.data.to_str().unwrap(), format!("https://{}", hub.http));
    let environment = [("TWINHUB_DATA_DIR", data)];
    let list = run(&["jobs", "list", "--url", &url], &environment).await;
    assert!(list.status.success(), "{}", String::from_utf8_lossy(&list.stderr));
    let elsewhere = run(&["jobs", "list", "--url", &url], &[]).await;
    let told = String::from_utf8_lossy(&elsewhere.stderr).into_owned();
    assert!(!elsewhere.status.success() && told.contains("is trusted by --ca FILE"), "{told}");
    let ca = installation.data.join("tls/ca.pem");
    let trusting = run(&["jobs", "list", "--url", &url, "--ca", ca.to_str().unwrap()], &[]).await;
    assert!(trusting.status.success(), "{}", String::from_utf8_lossy(&trusting.stderr));
}

#[tokio::test]
async fn requests_in_the_clear_are_led_to_https() {
    let hub = Installation::new().over_tls().start().await;
    let client =
        reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let url = format!("http://{}/api/devices?q=a", hub.http);
    let led = within("an answer", client.get(&url).send()).await.unwrap();
    assert_eq!(led.status(), 307);
    assert_eq!(led.headers()["location"], format!("https://{}/api/devices?q=a", hub.http));
    let key = within("an answer", client.get(&url).bearer_auth("twh_pat_x").send()).await.unwrap();
    assert_eq!(key.status(), 400);
    assert!(key.text().await.unwrap().contains("could be read on the way"));
    let body = within("an answer", client.post(&url).json(&json!({})).send()).await.unwrap();
    assert_eq!(body.status(), 400);
    assert!(hub.json("/api/devices").await.as_array().unwrap().is_empty());
}

#[tokio::test]
async fn options_say_which_certificate_is_shown_and_where() {
    let folder = TempDir::with_prefix("twinhub-tls-").unwrap();
    let by = folder.path().join("authority");
    authority(&by).await;
    certificate(&by, folder.path()).await;
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let trusted = by.join("authority.pem");
    let hub = Installation::new()
        .trusting(&trusted)
        .with("--tls", "files")
        .with("--tls-cert", &file("server.pem"))
        .with("--tls-key", &file("server.key"))
        .with("--mqtt-tls-listen", "127.0.0.1:0")
        .start()
        .await;
    assert_eq!(hub.get("/ready").await.status(), 200);
    connect(hub.mqtts.unwrap(), &trusted).await.unwrap();
}

/// A certificate that the authority in `by` vouches for, moved into its place at once.
async fn renew(by: &Path, folder: &Path) {
    let fresh = TempDir::with_prefix("twinhub-tls-").unwrap();
    certificate(by, fresh.path()).await;
    for name in ["server.key", "server.pem"] {
        std::fs::copy(fresh.path().join(name), folder.join(name)).unwrap();
    }
}

#[tokio::test]
async fn a_new_certificate_closes_no_connection() {
    let folder = TempDir::with_prefix("twinhub-tls-").unwrap();
    let by = folder.path().join("authority");
    authority(&by).await;
    certificate(&by, folder.path()).await;
    let trusted = by.join("authority.pem");
    let hub = Installation::new().with_certificate(folder.path(), &trusted).start().await;
    let of = async || hub.json("/health").await["parts"]["tls"].take();
    let first = of().await["fingerprint"].clone();
    assert!(hub.get("/health").await.headers().contains_key("strict-transport-security"));
    assert_eq!(hub.get("/ca.pem").await.status(), 404, "its authority is another's");

    // A device and a subscriber that are there all the time, under load.
    let stream = connect(hub.mqtts.unwrap(), &trusted).await.unwrap();
    let mut device = MqttDevice::over(stream, "pump-1").await.unwrap();
    let events = hub.request(Method::GET, "/api/events?since=0").header("Accept", "text/event-stream");
    let mut events = events.send().await.unwrap().bytes_stream();
    let mut said = 0;
    let mut say = async |count: usize| {
        for _ in 0..count {
            said += 1;
            device.say("iot/devices/pump-1/data", &format!(r#"{{"n": {said}}}"#)).await;
        }
        said
    };
    say(100).await;
    renew(&by, folder.path()).await;
    eventually("the new certificate", async || {
        say(20).await;
        (of().await["fingerprint"] != first).then_some(())
    })
    .await;
    hub.logs("TLS certificate taken over").await;
    let second = of().await["fingerprint"].clone();

    // One that is wrong changes nothing.
    std::fs::write(folder.path().join("server.pem"), "no certificate").unwrap();
    eventually("the fault is told", async || {
        say(20).await;
        let tls = of().await;
        let problem = tls["problem"].as_str()?;
        assert!(problem.contains("server.pem"), "{problem}");
        (tls["status"] == "broken" && tls["fingerprint"] == second).then_some(())
    })
    .await;
    assert_eq!(hub.json("/health").await["status"], "degraded");
    hub.logs("TLS certificate not taken over").await;
    connect(hub.mqtts.unwrap(), &trusted).await.unwrap();

    renew(&by, folder.path()).await;
    hub.signal("HUP").await;
    eventually("it is well again", async || {
        let tls = of().await;
        (tls["status"] == "ok" && tls["fingerprint"] != second).then_some(())
    })
    .await;
    let last = say(20).await;
    let wanted = format!(r#""n":{last}"#);
    let mut seen = String::new();
    within("the subscriber has missed nothing", async {
        while !seen.contains(&wanted) && !seen.contains(&format!(r#""value":{last}"#)) {
            seen.push_str(&String::from_utf8_lossy(&events.next().await.unwrap().unwrap()));
        }
    })
    .await;
}
