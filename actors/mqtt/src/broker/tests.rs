//! Real clients, of both versions of MQTT, against the broker.

mod hub_side;

use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{LastWill, LastWillProperties, Packet, PubAck};
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

mod exactly_once;
mod identities;
mod limits;
pub(super) mod raw;
mod retained;

use super::*;
use crate::testing::TestIntake;
use crate::testing::{MemoryPersistence, still};
use twinhub_testkit::{until, until_found, within};

const DATA: &str = "iot/devices/pump-1/data";

async fn start(test_intake: &TestIntake) -> Arc<EmbeddedBroker> {
    start_with(test_intake, BrokerSettings::default()).await
}

async fn start_with(test_intake: &TestIntake, settings: BrokerSettings) -> Arc<EmbeddedBroker> {
    start_on(test_intake, settings, Arc::default()).await
}

async fn start_on(
    test_intake: &TestIntake,
    settings: BrokerSettings,
    store: Arc<MemoryPersistence>,
) -> Arc<EmbeddedBroker> {
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    EmbeddedBroker::start(&BrokerSettings { listen, ..settings }, test_intake.clone(), store, still())
        .await
        .unwrap()
}

/// An MQTT 5 client that is connected.
struct TestClient {
    client: AsyncClient,
    events: EventLoop,
}

impl TestClient {
    async fn connect(broker: &EmbeddedBroker, id: &str, with: impl FnOnce(&mut MqttOptions)) -> Self {
        let mut options = MqttOptions::new(id, "127.0.0.1", broker.local_addr().port());
        options.set_keep_alive(Duration::from_mins(1));
        with(&mut options);
        let (client, events) = AsyncClient::new(options, 1_024);
        let mut connected = Self { client, events };
        connected.until(|packet| matches!(packet, Packet::ConnAck(_)).then_some(())).await;
        connected
    }

    fn publish(&self, topic: &str, payload: &str) {
        self.client.try_publish(topic, QoS::AtLeastOnce, false, payload.to_owned()).unwrap();
    }

    async fn until<T>(&mut self, pick: impl Fn(&Packet) -> Option<T>) -> T {
        within("a certain packet of the broker", async {
            loop {
                if let Event::Incoming(packet) = self.events.poll().await.unwrap()
                    && let Some(picked) = pick(&packet)
                {
                    return picked;
                }
            }
        })
        .await
    }

    async fn puback(&mut self) -> u16 {
        self.until(|packet| if let Packet::PubAck(PubAck { pkid, .. }) = packet { Some(*pkid) } else { None })
            .await
    }

    /// Sends everything that is queued and waits for the broker's answer to a later packet: a SUBACK, which no gate
    /// holds back. Panics when a PUBACK comes before it.
    async fn sees_no_puback(&mut self) {
        self.client.try_subscribe("some/where", QoS::AtLeastOnce).unwrap();
        self.until(|packet| match packet {
            Packet::PubAck(ack) => panic!("acknowledged before it was stored: {ack:?}"),
            Packet::SubAck(_) => Some(()),
            _ => None,
        })
        .await;
    }

    async fn fails(&mut self) {
        within("the connection ends", async { while self.events.poll().await.is_ok() {} }).await;
    }
}

#[tokio::test]
async fn a_puback_means_stored() {
    let test_intake = TestIntake::with_room(10);
    let broker = start(&test_intake).await;
    let mut client = TestClient::connect(&broker, "pump-1", |_| {}).await;
    client.publish(DATA, "1");
    client.sees_no_puback().await;
    let held = test_intake.next().await;
    assert_eq!((&*held.message.topic, held.payload()), (DATA, "1"));
    assert!(!held.message.fire_and_forget && !held.message.retained);
    held.settle();
    assert_eq!(client.puback().await, 1);
}

#[tokio::test]
async fn a_puback_means_stored_on_mqtt_3_1_1_too() {
    use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};
    let test_intake = TestIntake::with_room(10);
    let broker = start(&test_intake).await;
    let options = MqttOptions::new("old", "127.0.0.1", broker.local_addr().port());
    let (client, mut events) = AsyncClient::new(options, 10);
    client.try_publish(DATA, QoS::AtLeastOnce, false, "1").unwrap();
    client.try_publish(DATA, QoS::ExactlyOnce, false, "2").unwrap();
    client.try_subscribe("some/where", QoS::AtLeastOnce).unwrap();
    let mut held = None;
    let mut seen = Vec::new();
    while seen.len() < 4 {
        match within("a packet of the broker", events.poll()).await.unwrap() {
            Event::Incoming(Packet::SubAck(_)) => {
                seen.push("suback");
                held = Some(test_intake.take(2).await);
            }
            Event::Incoming(Packet::PubAck(_)) => seen.push("puback"),
            Event::Incoming(Packet::PubRec(_)) => seen.push("pubrec"),
            Event::Incoming(Packet::PubComp(_)) => seen.push("pubcomp"),
            _ => {}
        }
        for stored in held.take().into_iter().flatten().rev() {
            stored.settle();
        }
    }
    assert_eq!(seen, ["suback", "puback", "pubrec", "pubcomp"]);
}

#[tokio::test]
async fn one_connection_has_many_messages_on_their_way() {
    let test_intake = TestIntake::with_room(1_000);
    let broker = start(&test_intake).await;
    let mut client = TestClient::connect(&broker, "gateway", |_| {}).await;
    for number in 1..=200 {
        client.publish(DATA, &number.to_string());
    }
    client.sees_no_puback().await;
    let held = test_intake.take(200).await;
    assert_eq!(held.last().unwrap().payload(), "200");
    for stored in held.into_iter().rev() {
        stored.settle();
    }
    for number in 1..=200 {
        assert_eq!(client.puback().await, number);
    }
}

#[tokio::test]
async fn without_room_the_connection_is_not_read() {
    let test_intake = TestIntake::with_room(1);
    let broker = start(&test_intake).await;
    let mut client = TestClient::connect(&broker, "pump-1", |_| {}).await;
    client.publish(DATA, "1");
    client.publish(DATA, "2");
    let polling = tokio::spawn(async move { (client.puback().await, client.puback().await) });
    let first = test_intake.next().await;
    assert!(test_intake.is_empty());
    first.settle();
    test_intake.next().await.settle();
    assert_eq!(within("two acknowledgements", polling).await.unwrap(), (1, 2));
}

#[tokio::test]
async fn other_subscribers_do_not_wait_for_the_store() {
    let test_intake = TestIntake::with_room(10);
    let broker = start(&test_intake).await;
    let mut subscriber = TestClient::connect(&broker, "app", |_| {}).await;
    subscriber.client.try_subscribe("iot/devices/+/data", QoS::AtLeastOnce).unwrap();
    subscriber.until(|packet| matches!(packet, Packet::SubAck(_)).then_some(())).await;
    let mut device = TestClient::connect(&broker, "pump-1", |_| {}).await;
    device.publish(DATA, "1");
    device.sees_no_puback().await;
    subscriber.until(|packet| matches!(packet, Packet::Publish(_)).then_some(())).await;
}

#[tokio::test]
async fn foreign_topics_are_ordinary_traffic() {
    let test_intake = TestIntake::with_room(10);
    let broker = start(&test_intake).await;
    let mut client = TestClient::connect(&broker, "app", |_| {}).await;
    client.publish("home/kitchen", "1");
    assert_eq!(client.puback().await, 1);
    assert!(test_intake.is_empty());
    client.client.try_publish(DATA, QoS::AtMostOnce, false, "2").unwrap();
    client.sees_no_puback().await;
    assert!(test_intake.next().await.message.fire_and_forget);
}

#[tokio::test]
async fn a_will_is_taken_in_when_a_device_goes_without_a_word() {
    let test_intake = TestIntake::with_room(10);
    let broker = start(&test_intake).await;
    let will = |options: &mut MqttOptions| {
        options.set_last_will(LastWill::new(
            "iot/devices/pump-1/status",
            "offline",
            QoS::AtLeastOnce,
            true,
            None,
        ));
    };
    let mut polite = TestClient::connect(&broker, "polite", will).await;
    polite.client.try_disconnect().unwrap();
    polite.fails().await;
    let mut witness = TestClient::connect(&broker, "witness", |_| {}).await;
    witness.publish(DATA, "1");
    witness.sees_no_puback().await;
    assert_eq!(test_intake.next().await.payload(), "1", "a client that disconnects has no will");

    drop(TestClient::connect(&broker, "abrupt", will).await);
    let last = test_intake.next().await;
    assert_eq!((&*last.message.topic, last.payload()), ("iot/devices/pump-1/status", "offline"));
}

#[tokio::test]
async fn a_device_that_is_back_already_has_not_gone() {
    let test_intake = TestIntake::with_room(10);
    let broker = start(&test_intake).await;
    let will = |options: &mut MqttOptions| {
        let status = "iot/devices/pump-1/status";
        options.set_last_will(LastWill::new(status, "offline", QoS::AtLeastOnce, true, None));
    };
    let mut before = TestClient::connect(&broker, "pump-1", will).await;
    let _now = TestClient::connect(&broker, "pump-1", will).await;
    before.fails().await; // the broker is done with it
    assert!(test_intake.is_empty());
}

#[tokio::test]
async fn a_delayed_will_gives_the_device_time_to_come_back() {
    let test_intake = TestIntake::with_room(10);
    let broker = start(&test_intake).await;
    let will = |options: &mut MqttOptions| {
        let delayed = LastWillProperties { delay_interval: Some(1), ..no_properties() };
        let status = "iot/devices/pump-1/status";
        options
            .set_last_will(LastWill::new(status, "offline", QoS::AtLeastOnce, true, Some(delayed)))
            .set_session_expiry_interval(Some(60));
    };
    drop(TestClient::connect(&broker, "pump-1", will).await);
    let mut witness = TestClient::connect(&broker, "witness", |_| {}).await;
    witness.publish(DATA, "1");
    witness.sees_no_puback().await;
    assert_eq!(test_intake.next().await.payload(), "1");
    assert_eq!(test_intake.next().await.payload(), "offline");
}

fn no_properties() -> LastWillProperties {
    LastWillProperties {
        delay_interval: None,
        payload_format_indicator: None,
        message_expiry_interval: None,
        content_type: None,
        response_topic: None,
        correlation_data: None,
        user_properties: Vec::new(),
    }
}

#[tokio::test]
async fn the_hub_publishes_and_what_is_retained_stays() {
    let test_intake = TestIntake::with_room(10);
    let broker = start(&test_intake).await;
    let topic = "iot/devices/pump-1/configuration";
    let message = Outgoing {
        id: 1,
        topic: topic.into(),
        payload: "{}".into(),
        retain: true,
        until: None,
        purpose: None,
    };
    broker.publish(&message, None).await.unwrap();
    let mut device = TestClient::connect(&broker, "pump-1", |_| {}).await;
    device.client.try_subscribe(topic, QoS::AtLeastOnce).unwrap();
    let retained =
        device.until(|packet| if let Packet::Publish(p) = packet { Some(p.retain) } else { None }).await;
    assert!(retained);
    let message = Outgoing { retain: false, ..message };
    broker.publish(&message, None).await.unwrap();
    let publish =
        device.until(|packet| if let Packet::Publish(p) = packet { Some(p.clone()) } else { None }).await;
    assert_eq!((&*publish.topic, &*publish.payload), (topic.as_bytes(), &b"{}"[..]));
    assert!(test_intake.is_empty(), "what the hub says does not come back to it");
}

#[tokio::test]
async fn a_lost_message_comes_again_on_a_new_connection() {
    let test_intake = TestIntake::with_room(10);
    let broker = start(&test_intake).await;
    let mut client = TestClient::connect(&broker, "pump-1", |options| {
        options.set_clean_start(false).set_session_expiry_interval(Some(60));
    })
    .await;
    client.publish(DATA, "1");
    client.sees_no_puback().await;
    test_intake.next().await.lose();
    client.fails().await;
    let acknowledged = tokio::spawn(async move { client.puback().await });
    test_intake.next().await.settle();
    within("the acknowledgement", acknowledged).await.unwrap();
}

/// By hand, byte for byte: rumqttc cannot read a DISCONNECT without properties.
#[tokio::test]
async fn closing_acknowledges_what_is_stored_and_says_goodbye() {
    let test_intake = TestIntake::with_room(10);
    let broker = start(&test_intake).await;
    let mut client = tokio::net::TcpStream::connect(broker.local_addr()).await.unwrap();
    let text = |text: &str| [&u16::try_from(text.len()).unwrap().to_be_bytes(), text.as_bytes()].concat();
    let status = text("iot/devices/pump-1/status");
    let will = [&[0][..], &status, &text("offline")].concat();
    let connect = [&text("MQTT")[..], &[5, 0b110, 0, 60, 0], &text("pump-1"), &will].concat();
    let publish = |id: u8| [&text(DATA)[..], &[0, id, 0, b'1']].concat();
    for (header, body) in [(0x10, connect), (0x32, publish(1)), (0x32, publish(2))] {
        let packet = [&[header, u8::try_from(body.len()).unwrap()], &body[..]].concat();
        client.write_all(&packet).await.unwrap();
    }
    let mut held = test_intake.take(2).await;
    broker.stop_intake().await;
    assert!(!broker.state().connected);
    held.remove(0).settle();
    within("the broker closes", broker.close()).await;

    let mut read = Vec::new();
    within("the broker ends the connection", client.read_to_end(&mut read)).await.unwrap();
    let goodbye = [0x40, 2, 0, 1, 0xe0, 1, 0x8b]; // PUBACK 1, DISCONNECT: server shutting down
    assert_eq!(read[read.len() - goodbye.len()..], goodbye, "{read:x?}");
    assert!(read[0] == 0x20 && read.len() == 2 + usize::from(read[1]) + goodbye.len(), "{read:x?}");
    assert!(test_intake.is_empty(), "the device has not gone: no will");
}

#[tokio::test]
async fn connections_are_counted_and_bounded() {
    let test_intake = TestIntake::with_room(10);
    let broker = start_with(&test_intake, BrokerSettings { most_clients: 1, ..Default::default() }).await;
    let first = TestClient::connect(&broker, "first", |_| {}).await;
    assert_eq!(broker.state().connections, 1);
    let options = MqttOptions::new("second", "127.0.0.1", broker.local_addr().port());
    let (_client, mut events) = AsyncClient::new(options, 1);
    assert!(within("a packet of the broker", events.poll()).await.is_err());
    drop(first);
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let test_intake = TestIntake::with_room(10);
    let taken = start(&test_intake).await;
    let settings = BrokerSettings { listen: taken.local_addr(), ..Default::default() };
    let Err(error) =
        EmbeddedBroker::start(&settings, test_intake, Arc::<MemoryPersistence>::default(), still()).await
    else {
        panic!("two on one port")
    };
    let expected = format!("cannot listen for MQTT on {}: Address already in use", taken.local_addr());
    assert!(error.to_string().starts_with(&expected), "{error}");
}
