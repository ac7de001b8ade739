//! All devices in one answer, for clients that know no pages.

use std::collections::BTreeSet;
use std::io::Read as _;

use flate2::read::GzDecoder;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::HubProcess;
use crate::support::hub::Installation;

/// More than are read at once, twice.
const DEVICES: usize = 1_203;

/// A hub with many devices, some of which have said something.
async fn crowded() -> HubProcess {
    let hub = Installation::new().start().await;
    let line = |n: usize| {
        let device_type = ["pump", "fan"][n % 2];
        let line =
            json!({ "device_id": format!("device-{n}"), "name": format!("Device {n}"), "type": device_type });
        line.to_string()
    };
    let lines: Vec<String> = (0..DEVICES).map(line).collect();
    let import =
        hub.request(Method::POST, "/api/devices/import").header("Content-Type", "application/x-ndjson");
    let answer = import.body(lines.join("\n")).send().await.unwrap();
    assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    for n in [3, 1_100] {
        let said = hub
            .post(&format!("/api/devices/device-{n}/data"), &json!({ "temperature": n, "battery": 10 }))
            .await;
        assert_eq!(said.status(), 201);
    }
    hub
}

fn ids(devices: &Value) -> Vec<&str> {
    devices.as_array().unwrap().iter().map(|device| device["device_id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn all_devices_come_in_one_array_unless_a_page_is_asked_for() {
    let hub = crowded().await;
    let answer = hub.get("/api/devices").await;
    assert_eq!(answer.headers()["X-Total-Count"], DEVICES.to_string().as_str());
    let link = answer.headers()["Link"].to_str().unwrap().to_owned();
    assert_eq!(link, r#"</api/devices>; rel="first", </api/devices>; rel="last""#);
    assert!(answer.headers().get("Content-Encoding").is_none());
    let all: Value = answer.json().await.unwrap();
    assert_eq!(ids(&all).len(), DEVICES);
    assert_eq!(ids(&all).into_iter().collect::<BTreeSet<_>>().len(), DEVICES, "each once");
    let silent = &all[0];
    assert_eq!((&silent["status"], &silent["last_seen"]), (&"offline".into(), &Value::Null));
    for member in ["temperature", "humidity", "pressure"] {
        assert_eq!(silent.get(member), Some(&Value::Null), "{member}");
    }
    let spoke = all.as_array().unwrap().iter().find(|device| device["device_id"] == "device-1100").unwrap();
    assert_eq!((&spoke["temperature"], &spoke["humidity"]), (&1_100.into(), &Value::Null));

    assert_eq!(ids(&hub.json("/api/devices?page=2").await).len(), 20);
    assert_eq!(ids(&hub.json("/api/devices?limit=7").await).len(), 7);
    assert_eq!(hub.request(Method::HEAD, "/api/devices").send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn filters_and_orders_hold_for_all() {
    let hub = crowded().await;
    let found = |path: &'static str| hub.json(path);
    let pumps = found("/api/devices?type=pump").await;
    assert_eq!(ids(&pumps).len(), DEVICES.div_ceil(2));
    let backwards = found("/api/devices?sort=-number").await;
    let forwards = found("/api/devices?sort=number").await;
    let mut turned = ids(&backwards);
    turned.reverse();
    assert_eq!(turned, ids(&forwards));
    let by_name = found("/api/devices?sort=-name").await;
    assert_eq!(ids(&by_name)[..2], ["device-1202", "device-1201"]);
    assert_eq!(ids(&by_name).len(), DEVICES);
    assert_eq!(ids(&by_name).last(), Some(&"device-0"));
    let by_value = found("/api/devices?sort=-reported.temperature").await;
    assert_eq!(ids(&by_value)[..2], ["device-1100", "device-3"]);
    assert_eq!(ids(&by_value).len(), DEVICES);
    let low = hub.get("/api/devices?filter=battery%3C20").await;
    assert_eq!(low.headers()["X-Total-Count"], "2");
    assert_eq!(ids(&low.json().await.unwrap()), ["device-3", "device-1100"]);
    assert_eq!(found("/api/devices?status=unknown&q=device-120").await.as_array().unwrap().len(), 4);
    let slip = hub.get("/api/devices?filter=batery%3C20").await;
    assert!(slip.headers()["X-Warnings"].to_str().unwrap().contains("unknown_name"));
    assert_eq!(hub.get("/api/devices?colour=red").await.status(), 422);
}

#[tokio::test]
async fn it_is_compressed_for_those_who_ask_for_it() {
    let hub = crowded().await;
    let plain = hub.json("/api/devices").await;
    // The client that holds answers against their description reads no compressed ones.
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let asked = client.get(format!("http://{}/api/devices", hub.http));
    let answer = asked.header("Accept-Encoding", "gzip, deflate, br").send().await.unwrap();
    assert_eq!(answer.headers()["Content-Encoding"], "gzip");
    let bytes = answer.bytes().await.unwrap();
    let mut text = String::new();
    GzDecoder::new(&*bytes).read_to_string(&mut text).unwrap();
    assert_eq!(ids(&serde_json::from_str(&text).unwrap()), ids(&plain));
    assert!(bytes.len() * 4 < text.len(), "{} of {}", bytes.len(), text.len());
}
