//! Ten thousand payloads of garbage: the hub lives, counts and keeps them, and serves the next good one.

use serde_json::Value;
use twinhub_domain::Timestamp;
use twinhub_mqtt::rejections::Rejections;

use crate::support::hub::Installation;
use crate::support::mqtt::BrokerMessage;
use crate::support::{Dice, MqttDevice, within};

const COUNT: u64 = 10_000;

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_payloads_of_many_kinds() {
    let hub = Installation::new().start().await;
    let mut device = MqttDevice::connect(hub.mqtt.unwrap(), "fuzzer").await.unwrap();
    let mut dice = Dice::new();
    for n in 0..COUNT {
        let (topic, payload) = garbage(&mut dice, n);
        device.publish(n, &topic, &payload).await.unwrap();
        while device.unacknowledged() >= 100 {
            within("an acknowledgement", device.next()).await.unwrap();
        }
    }
    while device.unacknowledged() > 0 {
        within("what cannot be read is acknowledged, or it came again for ever", device.next())
            .await
            .unwrap();
    }

    let rejected = hub.metric("twinhub_messages_rejected_total").await;
    assert_eq!(rejected, COUNT, "every one was counted");
    assert_eq!(hub.metric("twinhub_inputs_committed_total").await, 0, "none was taken for a reading");
    let response = hub.get("/api/diagnostics/rejected?limit=1000").await;
    let link = response.headers()["link"].to_str().unwrap();
    assert!(link.starts_with("</api/diagnostics/rejected>; rel=\"first\""), "{link}");
    let counted: u64 = response.headers()["x-total-count"].to_str().unwrap().parse().unwrap();
    assert!(counted >= COUNT, "of a batch each part that is bad: {counted}");
    let kept: Vec<Value> = response.json().await.unwrap();
    assert_eq!(kept.len(), 1_000);
    for rejection in &kept {
        assert!(!rejection["reason"].as_str().unwrap().is_empty());
        assert!(rejection["payload"].as_str().unwrap().chars().count() <= 256);
    }

    device.say("iot/devices/good/data", r#"{"temperature": 21.5}"#).await;
    assert_eq!(hub.json("/api/devices/good/twin").await["reported"]["temperature"], 21.5);
    assert_eq!(hub.json("/health").await["status"], "healthy");
    assert_eq!(hub.metric("twinhub_twins_restarted_total").await, 0, "no twin died of it");
}

/// A payload, or a topic, that makes no sense.
fn garbage(dice: &mut Dice, n: u64) -> (String, Vec<u8>) {
    let data = |payload: Vec<u8>| ("iot/devices/fuzzed/data".to_owned(), payload);
    // A megabyte is a thing of its own: a few will do.
    if n.is_multiple_of(2_000) {
        return data(vec![b'['; 1_000_000]);
    }
    let number = dice.any();
    match dice.below(16) {
        0 => data((0..dice.below(300)).map(|_| dice.any().to_le_bytes()[0]).chain([0xFF]).collect()),
        1 => data("[".repeat(100_000).into_bytes()),
        2 => data(format!(r#"{}1{}"#, r#"{"a":"#.repeat(5_000), "}".repeat(5_000)).into_bytes()),
        3 => data(format!(r#"{{"temperature": 1e{}}}"#, 400 + number % 100_000).into_bytes()),
        4 => data(br#"{"temperature": NaN}"#.to_vec()),
        5 => data(br#"{"temperature": Infinity}"#.to_vec()),
        6 => data(format!("[{number}, 2, 3]").into_bytes()),
        7 => data(format!(r#""{number}""#).into_bytes()),
        8 => data(b"{\"temperature\": \"\xC3\x28\"}".to_vec()),
        9 => data(format!(r#"{{"sensor_readings": {number}}}"#).into_bytes()),
        10 => data(br#"{"sensor_readings": [{"sensor_type": 5, "value": {}}]}"#.to_vec()),
        11 => data(br#"{"temperature": 1, "timestamp": "the other day"}"#.to_vec()),
        12 => data(format!("{{{}}}", vec![r#""k":null"#; 2_000].join(",")).into_bytes()),
        13 => data(Vec::new()),
        14 => ("iot/devices/fuzzed/state".to_owned(), format!("[{number}]").into_bytes()),
        _ => (format!("iot/devices/not an id {number}/data"), br#"{"temperature": 1}"#.to_vec()),
    }
}

/// More than the payload limit, and less than may be retained.
const TOO_LARGE: usize = 8_000_000;
/// More than may be retained, too.
const FAR_TOO_LARGE: usize = 9_000_000;

#[tokio::test]
async fn a_message_that_is_too_large_costs_its_sender_only() {
    let hub = Installation::new().start().await;
    let mut greedy = MqttDevice::connect(hub.mqtt.unwrap(), "greedy").await.unwrap();
    let mut modest = MqttDevice::connect(hub.mqtt.unwrap(), "modest").await.unwrap();
    greedy.publish(1, "iot/devices/greedy/data", &vec![b' '; TOO_LARGE]).await.unwrap();
    let said = within("an answer", greedy.next()).await.unwrap();
    assert_eq!(said, BrokerMessage::Acknowledged(1), "or it came again for ever");
    let rejected = hub.json("/api/diagnostics/rejected").await;
    assert_eq!(
        (&rejected[0]["reason"], &rejected[0]["bytes"], &rejected[0]["topic"]),
        (&"too_large".into(), &TOO_LARGE.into(), &"iot/devices/greedy/data".into())
    );

    // A message that is larger still is not even read to its end: it is not acknowledged, and ends the connection.
    let sent = greedy.publish(2, "iot/devices/greedy/data", &vec![b' '; FAR_TOO_LARGE]).await;
    let ends = async {
        sent?;
        loop {
            assert_ne!(greedy.next().await?, BrokerMessage::Acknowledged(2));
        }
    };
    let ended: std::io::Result<()> = within("the connection ends", ends).await;
    assert!(ended.is_err());
    let again = MqttDevice::connect(hub.mqtt.unwrap(), "greedy").await;
    again.unwrap().say("iot/devices/greedy/data", r#"{"temperature": 20.5}"#).await;

    modest.say("iot/devices/modest/data", r#"{"temperature": 21.5}"#).await;
    assert_eq!(hub.json("/api/devices/modest/twin").await["reported"]["temperature"], 21.5);
    assert_eq!(hub.metric("twinhub_inputs_committed_total").await, 2, "nothing of the large ones was stored");
}

#[test]
fn a_thousand_rejected_messages_are_kept_and_all_are_counted() {
    let rejections = Rejections::default();
    for n in 0..3_000_u32 {
        let detail = format!("number {n}");
        rejections.add(Timestamp::default(), "iot/devices/fuzzed/data", b"[", "not_json", detail);
    }
    let kept = rejections.last(usize::MAX);
    assert_eq!(kept.len(), 1_000);
    assert_eq!((&*kept[0].detail, &*kept[999].detail), ("number 2999", "number 2000"), "the newest first");
    assert_eq!(rejections.by_reason()["not_json"], 3_000);
}
