//! The broker's services for the hub: hub-only topics, listeners, commands that are over, topics without a reader.

use rumqttc::v5::mqttbytes::v5::{ConnectReturnCode, PubAckReason, Publish};

use super::*;
use twinhub_domain::twin::Audience;
use twinhub_domain::{CommandAttempt, DeviceId, Json, Object, Purpose, PurposeKind, Timestamp};

const COMMANDS: &str = "iot/devices/pump-1/commands";

/// A command of the hub.
fn command(number: u128, attempt: i64) -> (CommandId, Outgoing) {
    let id = CommandId(uuid::Uuid::from_u128(number));
    let fields = [("id", Json::from(id.to_string())), ("attempt", attempt.into()), ("type", "go".into())];
    let body = Json::from(fields.into_iter().collect::<Object>());
    let (topic, payload) = (COMMANDS.into(), bytes::Bytes::from(body.to_string()));
    let attempt = CommandAttempt { command: id, attempt: u8::try_from(attempt).unwrap() };
    let device = DeviceId::parse("pump-1").unwrap();
    let purpose = Some(Box::new(Purpose { device, kind: PurposeKind::Command(attempt) }));
    (id, Outgoing { id: 1, topic, payload, retain: false, until: Some(Timestamp::from_millis(0)), purpose })
}

fn lasting(options: &mut MqttOptions) {
    options.set_clean_start(false).set_session_expiry_interval(Some(600));
}

impl TestClient {
    async fn subscribe(&mut self, filter: &str) {
        self.client.try_subscribe(filter, QoS::AtLeastOnce).unwrap();
        self.until(|packet| matches!(packet, Packet::SubAck(_)).then_some(())).await;
    }

    async fn next(&mut self) -> Publish {
        self.until(|packet| if let Packet::Publish(publish) = packet { Some(publish.clone()) } else { None })
            .await
    }
}

#[tokio::test]
async fn the_hub_alone_speaks_on_its_topics() {
    let test_intake = TestIntake::with_room(10);
    let broker = start(&test_intake).await;
    let mut device = TestClient::connect(&broker, "pump-1", |_| {}).await;
    for leaf in ["desired", "commands", "configuration", "firmware/update"] {
        device.subscribe(&format!("iot/devices/pump-1/{leaf}")).await;
    }
    let mut forger = TestClient::connect(&broker, "forger", |_| {}).await;
    let mut expected = Vec::new();
    for leaf in ["desired", "commands", "configuration", "firmware/update"] {
        let topic = format!("iot/devices/pump-1/{leaf}");
        for (retain, qos) in [
            (false, QoS::AtLeastOnce),
            (true, QoS::AtLeastOnce),
            (true, QoS::AtMostOnce),
            (true, QoS::ExactlyOnce),
        ] {
            forger.client.try_publish(&topic, qos, retain, "forged").unwrap();
            expected.push(format!("hub_only_topic {topic} forged"));
            match qos {
                QoS::AtLeastOnce => {
                    let reason = forger
                        .until(
                            |packet| if let Packet::PubAck(ack) = packet { Some(ack.reason) } else { None },
                        )
                        .await;
                    assert_eq!(reason, PubAckReason::NotAuthorized, "{topic}");
                }
                QoS::ExactlyOnce => {
                    let is_pubrec = |packet: &Packet| matches!(packet, Packet::PubRec(_)).then_some(());
                    forger.until(is_pubrec).await;
                }
                QoS::AtMostOnce => {}
            }
        }
    }
    test_intake.noted(&expected.iter().map(String::as_str).collect::<Vec<_>>()).await;
    // The message that the device hears next is the hub's; nothing is retained for clients that come later.
    let (_, hubs) = command(1, 1);
    broker.publish(&hubs, Some(Duration::from_mins(1))).await.unwrap();
    assert_eq!(device.next().await.payload, hubs.payload);
    let mut later = TestClient::connect(&broker, "later", |_| {}).await;
    later.subscribe("iot/devices/+/configuration").await;
    let configuration = Outgoing { topic: "iot/devices/pump-1/configuration".into(), until: None, ..hubs };
    broker.publish(&configuration, None).await.unwrap();
    assert_eq!(later.next().await.payload, configuration.payload);
    assert!(test_intake.is_empty());
}

#[tokio::test]
async fn the_hub_alone_speaks_on_its_topics_on_mqtt_3_1_1_too() {
    use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};
    let test_intake = TestIntake::with_room(10);
    let broker = start(&test_intake).await;
    let mut device = TestClient::connect(&broker, "pump-1", |_| {}).await;
    device.subscribe(COMMANDS).await;
    let options = MqttOptions::new("old", "127.0.0.1", broker.local_addr().port());
    let (client, mut events) = AsyncClient::new(options, 10);
    client.try_publish(COMMANDS, QoS::AtLeastOnce, true, "forged").unwrap();
    client.try_publish(COMMANDS, QoS::ExactlyOnce, false, "forged").unwrap();
    client.try_publish(COMMANDS, QoS::AtMostOnce, false, "forged").unwrap();
    let mut seen = Vec::new();
    while seen.len() < 3 {
        match within("a packet of the broker", events.poll()).await.unwrap() {
            Event::Incoming(Packet::PubAck(_)) => seen.push("puback"),
            Event::Incoming(Packet::PubRec(_)) => seen.push("pubrec"),
            Event::Incoming(Packet::PubComp(_)) => seen.push("pubcomp"),
            _ => {}
        }
    }
    assert_eq!(seen, ["puback", "pubrec", "pubcomp"], "it is answered in its own words");
    let line = format!("hub_only_topic {COMMANDS} forged");
    test_intake.noted(&[&line, &line, &line]).await;
    let (_, hubs) = command(1, 1);
    broker.publish(&hubs, Some(Duration::from_mins(1))).await.unwrap();
    assert_eq!(device.next().await.payload, hubs.payload);
}

#[tokio::test]
async fn a_last_will_on_a_topic_of_the_hub_is_refused_with_its_connection() {
    let test_intake = TestIntake::with_room(10);
    let broker = start(&test_intake).await;
    let mut options = MqttOptions::new("forger", "127.0.0.1", broker.local_addr().port());
    options.set_last_will(LastWill::new(COMMANDS, "forged", QoS::AtLeastOnce, true, None));
    let (_client, mut events) = AsyncClient::new(options, 1);
    let refused = within("a packet of the broker", events.poll()).await.unwrap_err().to_string();
    assert!(refused.contains(&format!("{:?}", ConnectReturnCode::NotAuthorized)), "{refused}");
    let mut options = rumqttc::MqttOptions::new("old", "127.0.0.1", broker.local_addr().port());
    options.set_last_will(rumqttc::LastWill::new(COMMANDS, "forged", rumqttc::QoS::AtLeastOnce, true));
    let (_client, mut events) = rumqttc::AsyncClient::new(options, 1);
    assert!(within("a packet of the broker", events.poll()).await.is_err());
    let line = format!("hub_only_topic {COMMANDS} forged");
    test_intake.noted(&[&line, "client will", &line, "client will"]).await;
}

#[tokio::test]
async fn listeners_are_reported() {
    let test_intake = TestIntake::with_room(10);
    let broker = start(&test_intake).await;
    test_intake.hears_commands("pump-1", Audience::Nobody).await;
    let mut device = TestClient::connect(&broker, "pump-1", lasting).await;
    device.subscribe(COMMANDS).await;
    test_intake.noted(&["pump-1 hears Commands"]).await;
    test_intake.hears_commands("pump-1", Audience::Itself).await;
    device.client.try_unsubscribe(COMMANDS).unwrap();
    device.until(|packet| matches!(packet, Packet::UnsubAck(_)).then_some(())).await;
    test_intake.hears_commands("pump-1", Audience::Nobody).await;
    device.subscribe("$share/pool/iot/devices/+/commands").await;
    test_intake.hears_commands("pump-1", Audience::Somebody).await;
    // Its session goes on listening while it is away, and does not count until it is back.
    drop(device);
    test_intake.hears_commands("pump-1", Audience::Nobody).await;
    let _back = TestClient::connect(&broker, "pump-1", lasting).await;
    test_intake.hears_commands("pump-1", Audience::Somebody).await;
    test_intake.noted(&["pump-1 hears Commands"; 3]).await;
}

/// A session into whose queue a command is put because another client is connected, and that never gets it when it is
/// over.
#[tokio::test]
async fn a_command_that_is_over_is_not_handed_over_from_the_queue_of_a_session() {
    let test_intake = TestIntake::with_room(10);
    let broker = start(&test_intake).await;
    let mut device = TestClient::connect(&broker, "pump-1", lasting).await;
    device.subscribe(COMMANDS).await;
    drop(device);
    test_intake.hears_commands("pump-1", Audience::Nobody).await;
    let expiry = Some(Duration::from_mins(1));
    let (over, first) = command(1, 1);
    let (again, second) = command(2, 1);
    let (_, third) = command(2, 2);
    let (_, expired) = command(3, 1);
    let (_, fourth) = command(4, 1);
    for message in [&first, &second, &third, &fourth] {
        broker.publish(message, expiry).await.unwrap();
    }
    broker.publish(&expired, Some(Duration::ZERO)).await.unwrap();
    broker.recall(over);
    let mut device = TestClient::connect(&broker, "pump-1", lasting).await;
    assert_eq!(device.next().await.payload, third.payload, "not what is over, nor an earlier attempt");
    assert_eq!(device.next().await.payload, fourth.payload);
    broker.recall(again);
    device.sees_no_puback().await;
}

/// An unacknowledged command is sent again when the client returns, unless it is over: however often it returns.
#[tokio::test]
async fn a_command_that_is_over_is_not_sent_again() {
    let test_intake = TestIntake::with_room(10);
    let broker = start(&test_intake).await;
    let silent = |options: &mut MqttOptions| {
        lasting(options);
        options.set_manual_acks(true);
    };
    let mut device = TestClient::connect(&broker, "pump-1", silent).await;
    device.subscribe(COMMANDS).await;
    let (over, first) = command(1, 1);
    let (_, second) = command(2, 1);
    for message in [&first, &second] {
        broker.publish(message, Some(Duration::from_mins(1))).await.unwrap();
        assert_eq!(device.next().await.payload, message.payload);
    }
    broker.recall(over);
    for _ in 0..2 {
        drop(device);
        test_intake.hears_commands("pump-1", Audience::Nobody).await;
        device = TestClient::connect(&broker, "pump-1", silent).await;
        let resent = device.next().await;
        assert_eq!((resent.payload, resent.dup), (second.payload.clone(), true));
    }
    // The window has room again: a whole window of commands that are over would have closed it.
    let many: Vec<_> = (10..200).map(|number| command(number, 1)).collect();
    for (id, message) in &many {
        broker.recall(*id); // it is not known yet, and known again with the next line
        broker.publish(message, Some(Duration::ZERO)).await.unwrap();
    }
    let (_, last) = command(900, 1);
    broker.publish(&last, Some(Duration::from_mins(1))).await.unwrap();
    assert_eq!(device.next().await.payload, last.payload);
}

#[tokio::test]
async fn topics_without_a_reader_are_counted() {
    let test_intake = TestIntake::with_room(10);
    let broker = start(&test_intake).await;
    test_intake.rule_topics.set(vec!["home/#".into()]);
    let mut client = TestClient::connect(&broker, "app", |_| {}).await;
    client.publish("tele/plug/SENSOR", "{}");
    client.puback().await;
    client.publish("home/kitchen", "1");
    client.publish(DATA, "1");
    client.sees_no_puback().await;
    test_intake.noted(&["unread tele/plug/SENSOR"]).await;
}
