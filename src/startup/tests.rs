//! Tests of the start.

use super::*;
use crate::config::{self, DurationOrNever};

#[test]
fn a_taken_port_comes_with_addresses_that_can_be_used() {
    let check = |address: &str, broker: &str, other: &str| {
        let text = StartError::MqttTaken { address: address.parse().unwrap() }.to_string();
        assert!(text.contains(&format!("cannot listen for MQTT on {address}: ")), "{text}");
        assert!(text.contains(&format!("--mqtt mqtt://{broker}, or")), "{text}");
        assert!(text.ends_with(&format!("--mqtt-listen {other}")), "{text}");
    };
    check("127.0.0.1:1883", "127.0.0.1:1883", "127.0.0.1:1884");
    check("0.0.0.0:1883", "127.0.0.1:1883", "0.0.0.0:1884");
    check("[::]:1883", "[::1]:1883", "[::]:1884");
    check("192.168.1.5:65535", "192.168.1.5:65535", "192.168.1.5:1884");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let text = listen(address).unwrap_err().to_string();
    let other = format!("--listen 127.0.0.1:{}", address.port() + 1);
    assert!(text.contains("another program listens there") && text.ends_with(&other), "{text}");
}

#[actix_web::test]
async fn it_is_not_ready_any_more_while_it_shuts_down() {
    let dir = tempfile::tempdir().unwrap();
    let any = "127.0.0.1:0".parse().ok();
    let data_dir = Some(dir.path().join("data"));
    let options = config::Options { listen: any, mqtt_listen: any, data_dir, ..Default::default() };
    let running = Application::start(Config::resolve(options).unwrap()).await.unwrap();
    let url = |path: &str| format!("http://{}{path}", running.http);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let status = async |path: &str| client.get(url(path)).send().await.unwrap().status().as_u16();
    assert_eq!((status("/ready").await, status("/health").await), (200, 200));
    running.web.close_sessions(); // as the shutdown does first, while requests are still answered
    assert_eq!((status("/ready").await, status("/health").await), (503, 200));
    running.shut_down().await.unwrap();
}

#[actix_web::test]
async fn a_folder_for_the_broker_that_is_not_there_is_told_before_anything_runs() {
    let dir = tempfile::tempdir().unwrap();
    let any = "127.0.0.1:0".parse().ok();
    let data_dir = dir.path().join("data");
    let options = config::Options {
        listen: any,
        mqtt_listen: any,
        data_dir: Some(data_dir.clone()),
        mosquitto_files: Some(dir.path().join("nowhere")),
        ..Default::default()
    };
    let error = Application::start(Config::resolve(options).unwrap()).await.err().unwrap();
    assert!(matches!(error, StartError::BrokerFiles { .. }), "{error}");
    assert!(!data_dir.join("twinhub.db").exists(), "no store was opened");
}

#[actix_web::test]
async fn what_is_kept_and_for_how_long_can_change_while_it_runs() {
    use serde_json::{Value, json};
    use twinhub_store::Store as _;

    const HOUR: std::time::Duration = std::time::Duration::from_hours(1);
    let dir = tempfile::tempdir().unwrap();
    let rule = "version: 1\nrules:\n  bell:\n    triggers:\n      - webhook: bell\n    actions:\n      - log: rings\n";
    std::fs::write(dir.path().join("bell.yaml"), rule).unwrap();
    let any = "127.0.0.1:0".parse().ok();
    let options = config::Options {
        listen: any,
        mqtt_listen: any,
        data_dir: Some(dir.path().join("data")),
        rules: Some(dir.path().to_owned()),
        ..Default::default()
    };
    let running = Application::start(Config::resolve(options.clone()).unwrap()).await.unwrap();
    let url = |path: &str| format!("http://{}{path}", running.http);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let post = async |path: &str, body: Value| {
        let answer = client.post(url(path)).json(&body).send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.text().await.unwrap());
    };
    let list = async |path: &str| {
        let list: Value = client.get(url(path)).send().await.unwrap().json().await.unwrap();
        list.as_array().unwrap().clone()
    };
    post("/api/devices", json!({ "device_id": "a", "name": "A" })).await;
    post("/api/devices/a/data", json!({ "n": 1 })).await;
    post("/api/automation/webhooks/bell", json!({})).await;
    let runs = "/api/automation/rules/bell/runs";
    tokio::time::timeout(HOUR / 60, async {
        while list(runs).await.first().is_none_or(|run| run["outcome"] != "done") {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("the rule runs");

    // Everything left in so many hours: of the journal, of the readings and of the runs.
    let began = HubClock::new().now();
    let left_in = async |hours: i64| {
        running.store.maintain(began.plus_millis(hours * 3_600_000)).await.unwrap();
        let pruned = running.store.replay(0, u64::MAX, 1).await.unwrap().pruned;
        (!pruned, list("/api/devices/a/data").await.len(), list(runs).await.len())
    };
    assert_eq!(left_in(3).await, (true, 1, 1));
    let short = config::Options {
        retention: Some(config::DurationValue(HOUR)),
        keep_readings: Some(DurationOrNever::After(HOUR)),
        keep_runs: Some(DurationOrNever::After(HOUR)),
        ..options
    };
    running.change(&Config::resolve(short).unwrap());
    assert_eq!(left_in(6).await, (false, 0, 0));
    running.shut_down().await.unwrap();
}
