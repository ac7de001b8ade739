//! Retained messages: kept in the store, found without looking at all of them, and bounded.

use super::raw::{Raw, packet, publish, subscribe, text};
use super::*;

/// A topic behind all others.
const END: &str = "~/end";

/// Subscribes at QoS 0 and gives the retained messages, as topic and payload, without the properties.
async fn retained(broker: &EmbeddedBroker, filter: &str) -> Vec<(String, String)> {
    let (mut app, _) = Raw::connect(broker, false, "reader", true).await;
    let pair = |packet: Vec<u8>| {
        assert_eq!(packet[0], 0x31, "a retained PUBLISH at QoS 0: {packet:x?}");
        let header = packet.iter().skip(1).position(|byte| byte & 0x80 == 0).unwrap() + 2;
        let topic = usize::from(u16::from_be_bytes([packet[header], packet[header + 1]]));
        let (topic, payload) = packet[header + 2..].split_at(topic);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (text(topic), text(payload))
    };
    retained_for(&mut app, false, filter, 0).await.into_iter().map(pair).collect()
}

/// The retained messages that a client gets for a filter. Filters are looked up one after the other, so all are there
/// when that of another filter comes.
async fn retained_for(app: &mut Raw, v5: bool, filter: &str, options: u8) -> Vec<Vec<u8>> {
    let properties: &[u8] = if v5 { &[0] } else { &[] };
    app.send(&publish(3, END, Some(1), properties, b"end")).await;
    assert_eq!(app.read().await[0], 0x40, "PUBACK");
    app.send(&subscribe(v5, 1, &[(filter, options), (END, 0)])).await;
    assert_eq!(app.read().await[0], 0x90, "SUBACK");
    let (end, mut before) = (publish(1, END, None, properties, b"end"), Vec::new());
    loop {
        match app.read().await {
            packet if packet == end => break,
            packet => before.push(packet),
        }
    }
    app.send(&packet(0xa2, &[&[0, 2], properties, &text(END)])).await;
    assert_eq!(app.read().await[0], 0xb0, "UNSUBACK");
    app.send(&publish(3, END, Some(3), properties, b"")).await;
    assert_eq!(app.read().await[0], 0x40, "PUBACK");
    before
}

async fn retain(raw: &mut Raw, topic: &str, payload: &str) {
    raw.send(&publish(3, topic, Some(1), &[], payload.as_bytes())).await;
    assert_eq!(raw.read().await, [0x40, 2, 0, 1]);
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(topic, payload)| ((*topic).into(), (*payload).into())).collect()
}

#[tokio::test]
async fn retained_messages_last_over_a_restart() {
    let (test_intake, store) = (TestIntake::with_room(10), Arc::new(MemoryPersistence::default()));
    let broker = start_on(&test_intake, BrokerSettings::default(), Arc::clone(&store)).await;
    let (mut device, _) = Raw::connect(&broker, false, "device", true).await;
    retain(&mut device, "home/a", "1").await;
    retain(&mut device, "home/a", "2").await;
    retain(&mut device, "home/b", "3").await;
    retain(&mut device, "home/b", "").await;
    // Acknowledged is stored, whatever becomes of the broker.
    assert_eq!(store.retained().await.unwrap().len(), 1);
    drop(broker);
    let broker = start_on(&test_intake, BrokerSettings::default(), store).await;
    assert_eq!(retained(&broker, "home/+").await, pairs(&[("home/a", "2")]));
}

#[tokio::test]
async fn a_retained_message_of_a_device_is_acknowledged_when_both_have_it() {
    let (test_intake, store) = (TestIntake::with_room(10), Arc::new(MemoryPersistence::default()));
    let broker = start_on(&test_intake, BrokerSettings::default(), Arc::clone(&store)).await;
    let (mut device, _) = Raw::connect(&broker, false, "pump-1", true).await;
    device.send(&publish(3, DATA, Some(1), &[], b"1")).await;
    let held = test_intake.next().await;
    assert!(device.until_pong().await.is_empty());
    held.settle();
    assert_eq!(device.read().await, [0x40, 2, 0, 1]);
    assert_eq!(&*store.retained().await.unwrap()[0].topic, DATA);
}

#[tokio::test]
async fn a_deleted_device_leaves_nothing_retained() {
    let (test_intake, store) = (TestIntake::with_room(10), Arc::new(MemoryPersistence::default()));
    let broker = start_on(&test_intake, BrokerSettings::default(), Arc::clone(&store)).await;
    let (mut device, _) = Raw::connect(&broker, false, "x", true).await;
    for id in ["pump-1", "pump-10"] {
        device.send(&publish(3, &format!("iot/devices/{id}/status"), Some(1), &[], b"online")).await;
        test_intake.next().await.settle();
        device.read().await;
    }
    let configuration = |payload: &'static str| Outgoing {
        id: 1,
        topic: "iot/devices/pump-1/configuration".into(),
        payload: payload.into(),
        retain: true,
        until: None,
        purpose: None,
    };
    broker.publish(&configuration("{}"), None).await.unwrap();
    assert_eq!(store.retained().await.unwrap().len(), 3, "published is stored");
    broker.publish(&configuration(""), None).await.unwrap();
    let left = store.retained().await.unwrap();
    assert_eq!(
        left.iter().map(|message| &*message.topic).collect::<Vec<_>>(),
        ["iot/devices/pump-10/status"]
    );
    assert_eq!(retained(&broker, "iot/#").await, pairs(&[("iot/devices/pump-10/status", "online")]));
}

#[tokio::test]
async fn a_retained_will_is_kept() {
    let broker = start(&TestIntake::with_room(10)).await;
    let (mut app, _) = Raw::connect(&broker, false, "app", true).await;
    app.send(&subscribe(false, 1, &[("will/#", 0)])).await;
    app.read().await;
    let mut device = Raw::open(&broker).await;
    let head = [&text("MQTT")[..], &[4, 0b10_0110, 0, 60], &text("device")].concat();
    device.send(&packet(0x10, &[&head, &text("will/x"), &text("gone")])).await;
    device.read().await;
    drop(device);
    assert_eq!(app.read().await, publish(0, "will/x", None, &[], b"gone"));
    assert_eq!(retained(&broker, "will/x").await, pairs(&[("will/x", "gone")]));
}

#[tokio::test]
async fn a_subscription_looks_at_what_it_asks_for_and_not_at_all_there_is() {
    let store = Arc::new(MemoryPersistence::default());
    let broker = start_on(&TestIntake::with_room(10), BrokerSettings::default(), Arc::clone(&store)).await;
    let (mut device, _) = Raw::connect(&broker, false, "device", true).await;
    for number in 0..2_000 {
        device.send(&publish(1, &format!("site/{number}/status"), None, &[], b"online")).await;
        device.send(&publish(1, &format!("site/{number}/data"), None, &[], b"1")).await;
    }
    retain(&mut device, "last", "1").await;
    assert_eq!(broker.retained.figures().messages, 4_001);
    for (filter, found, most) in [
        ("site/77/status", 1, 1),
        ("site/77/#", 2, 6),
        ("site/77/+", 2, 6),
        ("nothing/like/it", 0, 1),
        ("nothing/#", 0, 2),
        ("+/77/status", 1, 10),
        ("site/+/status", 2_000, 2 * 2_000 + 2),
        ("$SYS/#", 0, 2),
    ] {
        let before = broker.retained.looked_at();
        assert_eq!(retained(&broker, filter).await.len(), found, "{filter}");
        // Where a stretch of answers ends, its next message is looked at twice, and one is the end.
        let looked_at = broker.retained.looked_at() - before - (found as u64 + 1) / MOST_ANSWERED_AT_ONCE - 1;
        assert!(looked_at <= most, "{filter}: {looked_at} looked at"); // one more for each level that it seeks
    }
}

const MOST_ANSWERED_AT_ONCE: u64 = 64;

#[tokio::test]
async fn retained_messages_are_bounded_in_size_and_in_all() {
    let limits = RetainedLimits { message: 1_000, total: 3_000 };
    let settings = BrokerSettings { retained: limits, ..Default::default() };
    let broker = start_with(&TestIntake::with_room(10), settings).await;
    let refused = [0x40, 3, 0, 1, 0x97];
    let (mut device, _) = Raw::connect(&broker, true, "device", true).await;
    let large = "x".repeat(1_001);
    device.send(&publish(3, "a/large", Some(1), &[0], large.as_bytes())).await;
    assert_eq!(device.read().await, refused);
    for (topic, taken) in [("a/1", true), ("a/2", true), ("a/3", false), ("a/2", true)] {
        device.send(&publish(3, topic, Some(1), &[0], &[b'x'; 1_000])).await;
        assert_eq!(device.read().await == refused, !taken, "{topic}");
    }
    // MQTT 3.1.1 has no word for it: the message passes, and is not kept.
    let (mut old, _) = Raw::connect(&broker, false, "old", true).await;
    retain(&mut old, "a/4", &"x".repeat(1_000)).await;
    let topics: Vec<_> = retained(&broker, "a/#").await.into_iter().map(|(topic, _)| topic).collect();
    assert_eq!(topics, ["a/1", "a/2"]);
    assert_eq!(broker.retained.figures().refused, 3);
    device.send(&publish(3, "a/1", Some(1), &[0], b"")).await;
    device.read().await;
    device.send(&publish(3, "a/3", Some(1), &[0], &[b'x'; 1_000])).await;
    assert_ne!(device.read().await, refused, "there is room again");
}

#[tokio::test]
async fn a_filter_is_looked_up_to_its_end_while_its_client_says_nothing() {
    let broker = start(&TestIntake::with_room(10)).await;
    let (mut device, _) = Raw::connect(&broker, false, "device", true).await;
    for number in 0..3 * connection::feeding::MOST_STEPS {
        device.send(&publish(1, &format!("site/{number}/status"), None, &[], b"online")).await;
    }
    retain(&mut device, "site/last/data", "1").await;
    let (mut app, _) = Raw::connect(&broker, false, "app", true).await;
    app.send(&subscribe(false, 1, &[("site/+/data", 0)])).await;
    assert_eq!(app.read().await, [0x90, 3, 0, 1, 0], "SUBACK");
    assert_eq!(app.read().await, publish(1, "site/last/data", None, &[], b"1"));
}

#[tokio::test]
async fn what_rules_retain_is_bounded_and_what_devices_are_to_be_is_not() {
    let settings =
        BrokerSettings { retained: RetainedLimits { message: 1_000, total: 2_000 }, ..Default::default() };
    let broker = start_with(&TestIntake::with_room(10), settings).await;
    for (topic, kept) in [("hall/a", 1), ("hall/b", 1), ("iot/devices/pump-1/configuration", 2)] {
        let payload = "x".repeat(900).into();
        let message =
            Outgoing { id: 1, topic: topic.into(), payload, retain: true, until: None, purpose: None };
        broker.publish(&message, None).await.unwrap();
        assert_eq!(broker.retained.figures().messages, kept, "{topic}");
    }
    assert_eq!(broker.retained.figures().refused, 1);
}

#[tokio::test]
async fn a_slow_subscriber_gets_all_that_is_retained_one_after_the_other() {
    for (messages, bytes) in [(200, 256 * 1_024), (20, 1 << 20), (1_000, 16 * 1_024)] {
        slow_subscriber_gets_all(SessionLimits { messages, bytes, ..Default::default() }).await;
    }
}

async fn slow_subscriber_gets_all(sessions: SessionLimits) {
    let settings = BrokerSettings { sessions, ..Default::default() };
    let broker = start_with(&TestIntake::with_room(10), settings).await;
    let mut device = TestClient::connect(&broker, "device", |_| {}).await;
    for number in 0..500 {
        let payload = number.to_string().repeat(1_000);
        device.client.try_publish(format!("t/{number}"), QoS::AtLeastOnce, true, payload).unwrap();
    }
    for _ in 0..500 {
        device.puback().await;
    }
    let mut app = TestClient::connect(&broker, "app", |options| {
        options.set_receive_maximum(Some(3));
    })
    .await;
    app.client.try_subscribe("t/#", QoS::AtLeastOnce).unwrap();
    let mut topics = std::collections::BTreeSet::new();
    while topics.len() < 500 {
        let publish =
            app.until(|packet| if let Packet::Publish(p) = packet { Some(p.clone()) } else { None }).await;
        assert!(publish.retain);
        assert!(topics.insert(publish.topic.clone()), "twice: {:?}", publish.topic);
    }
}

#[tokio::test]
async fn retain_handling_is_obeyed() {
    let broker = start(&TestIntake::with_room(10)).await;
    let (mut device, _) = Raw::connect(&broker, false, "device", true).await;
    retain(&mut device, "a/b", "1").await;
    let (mut app, _) = Raw::connect(&broker, true, "app", true).await;
    let mut count = async |filter: &str, options| retained_for(&mut app, true, filter, options).await.len();
    assert_eq!(count("a/+", 0x20).await, 0, "never");
    assert_eq!(count("a/+", 0x10).await, 0, "only where it is new");
    assert_eq!(count("a/#", 0x10).await, 1, "it is new");
    assert_eq!(count("a/#", 0x00).await, 1, "always");
    assert_eq!(count("$share/g/a/#", 0x00).await, 0, "shared subscriptions get none");
}

#[tokio::test]
async fn retained_as_published_is_obeyed() {
    let broker = start(&TestIntake::with_room(10)).await;
    let (mut app, _) = Raw::connect(&broker, true, "app", true).await;
    app.send(&subscribe(true, 1, &[("as/#", 0x08), ("not/#", 0)])).await;
    app.read().await;
    assert!(app.until_pong().await.is_empty()); // it has been looked for what is retained
    let (mut device, _) = Raw::connect(&broker, true, "device", true).await;
    for topic in ["as/it", "not/so"] {
        device.send(&publish(1, topic, None, &[0], b"1")).await;
    }
    assert_eq!(app.read().await, publish(1, "as/it", None, &[0], b"1"));
    assert_eq!(app.read().await, publish(0, "not/so", None, &[0], b"1"));
}
