//! The link against a real broker (the embedded one), through a proxy that can be cut.

use std::net::SocketAddr;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{Event, EventLoop};

use super::*;
use crate::broker::{BrokerSettings, EmbeddedBroker};
use crate::testing::{CuttableProxy, SettlingIntake, TestIntake};
use crate::testing::{MemoryPersistence, still};
use twinhub_testkit::{until, within};

const DATA: &str = "iot/devices/pump-1/data";

struct LinkFixture {
    broker: Arc<EmbeddedBroker>,
    proxy: CuttableProxy,
    test_intake: TestIntake,
    link: Arc<RumqttcLink>,
}

impl LinkFixture {
    async fn set() -> Self {
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let broker = EmbeddedBroker::start(
            &BrokerSettings { listen, ..Default::default() },
            SettlingIntake,
            Arc::<MemoryPersistence>::default(),
            still(),
        )
        .await
        .unwrap();
        let proxy = CuttableProxy::to(broker.local_addr()).await;
        let test_intake = TestIntake::with_room(10_000);
        let address = BrokerAddress::parse(&format!("mqtt://{}", proxy.address)).unwrap();
        let link = RumqttcLink::start(&LinkSettings::new(address, "test"), test_intake.clone()).unwrap();
        connected(&link, true).await;
        Self { broker, proxy, test_intake, link }
    }

    /// A device publishes at the broker.
    async fn device_says(&self, payload: &str) {
        let message = outgoing(DATA, payload);
        self.broker.publish(&message, None).await.unwrap();
    }
}

fn outgoing(topic: &str, payload: &str) -> Outgoing {
    Outgoing {
        id: 1,
        topic: topic.into(),
        payload: payload.to_owned().into(),
        retain: false,
        until: None,
        purpose: None,
    }
}

async fn connected(link: &RumqttcLink, expected: bool) {
    until("the link is connected, or is not", async || link.state().connected == expected).await;
}

/// A client that sees the hub's publishes.
async fn subscriber(broker: &EmbeddedBroker, topic: &str) -> EventLoop {
    let port = broker.local_addr().port();
    let (client, mut events) = AsyncClient::new(MqttOptions::new("device", "127.0.0.1", port), 10);
    client.try_subscribe(topic, QoS::AtLeastOnce).unwrap();
    while !matches!(
        within("a packet of the broker", events.poll()).await.unwrap(),
        Event::Incoming(Packet::SubAck(_))
    ) {}
    events
}

#[tokio::test]
async fn only_stored_messages_are_acknowledged() {
    // As many as the broker sends before it wants an answer.
    const WINDOW: usize = 64;
    let fixture = LinkFixture::set().await;
    for number in 0..=WINDOW {
        fixture.device_says(&number.to_string()).await;
    }
    let mut held = fixture.test_intake.take(WINDOW).await;
    let second = held.remove(1);
    second.settle(); // the first is not, so the broker hears nothing yet
    fixture.device_says("later").await;
    for _ in 0..3 {
        // There and back on the same connection, behind anything that was sent too early.
        fixture.link.publish(&outgoing("some/where", ""), None).await.unwrap();
    }
    assert!(fixture.test_intake.is_empty());
    held.remove(0).settle();
    assert_eq!(fixture.test_intake.next().await.payload(), WINDOW.to_string());
    assert_eq!(fixture.test_intake.next().await.payload(), "later");
}

#[tokio::test]
async fn what_was_not_acknowledged_comes_again() {
    let fixture = LinkFixture::set().await;
    fixture.device_says("a").await;
    fixture.device_says("b").await;
    let mut before = fixture.test_intake.take(2).await;
    before.remove(0).settle();
    fixture.proxy.cut();
    connected(&fixture.link, false).await;
    let state = fixture.link.state();
    assert!(state.detail.contains(&format!("mqtt://{}: ", fixture.proxy.address)), "{}", state.detail);
    fixture.device_says("c").await;
    before.remove(0).settle(); // too late: its connection has gone
    fixture.proxy.mend();
    let mut came = Vec::new();
    while came.last().is_none_or(|last| last != "c") {
        let held = fixture.test_intake.next().await; // perhaps `a` once more, if its acknowledgement was on the wire
        came.push(held.payload().to_owned());
        held.settle();
    }
    came.retain(|payload| payload != "a");
    assert_eq!(came, ["b", "c"], "what was not acknowledged comes again, and before what came later");
    connected(&fixture.link, true).await;
    assert_eq!(fixture.test_intake.opened.load(Ordering::Relaxed), 2, "nobody could be heard between");
    fixture.device_says("d").await;
    assert_eq!(fixture.test_intake.next().await.payload(), "d", "the acknowledgements met their messages");
}

/// The same packet id means another message there.
#[tokio::test]
async fn what_is_stored_too_late_acknowledges_nothing_of_a_new_session() {
    let fixture = LinkFixture::set().await;
    fixture.device_says("old").await;
    let old = fixture.test_intake.next().await;
    fixture.proxy.cut();
    connected(&fixture.link, false).await;
    // A client that begins anew under the same name ends the session.
    let broker = fixture.broker.local_addr();
    let address = BrokerAddress::parse(&format!("mqtt://{broker}")).unwrap();
    let name = LinkSettings::new(address, "test").client_id;
    let (_client, mut events) = AsyncClient::new(MqttOptions::new(name, "127.0.0.1", broker.port()), 10);
    while !matches!(within("a connection", events.poll()).await.unwrap(), Event::Incoming(Packet::ConnAck(_)))
    {
    }
    drop(events);
    fixture.proxy.mend();
    connected(&fixture.link, true).await;
    fixture.device_says("new").await;
    let new = fixture.test_intake.next().await;
    assert_eq!(new.payload(), "new");
    old.settle();
    // There and back on the same connection, behind an acknowledgement if there was one.
    fixture.link.publish(&outgoing("some/where", ""), None).await.unwrap();
    fixture.proxy.cut();
    connected(&fixture.link, false).await;
    fixture.proxy.mend();
    connected(&fixture.link, true).await;
    fixture.device_says("later").await;
    assert_eq!(fixture.test_intake.next().await.payload(), "new", "nobody has acknowledged it");
}

/// A message that was lost on its way to the store is not acknowledged, while those around it are.
#[tokio::test]
async fn a_lost_message_comes_again_on_a_new_connection() {
    let fixture = LinkFixture::set().await;
    for payload in ["a", "b", "c"] {
        fixture.device_says(payload).await;
    }
    let mut before = fixture.test_intake.take(3).await;
    before.remove(0).settle();
    before.remove(0).lose();
    before.remove(0).settle();
    // There and back on the same connection, behind the acknowledgements.
    fixture.link.publish(&outgoing("some/where", ""), None).await.unwrap();
    fixture.proxy.cut();
    connected(&fixture.link, false).await;
    fixture.proxy.mend();
    fixture.device_says("d").await;
    assert_eq!(fixture.test_intake.next().await.payload(), "b");
    assert_eq!(fixture.test_intake.next().await.payload(), "d", "the others were acknowledged");
}

/// Retained messages restore state where the hub is new to the broker. Later they are no news: they were taken in when
/// they came.
#[tokio::test]
async fn what_the_broker_keeps_comes_with_a_new_session_alone() {
    let fixture = LinkFixture::set().await;
    // A message that comes says that the broker is done with the subscription, and with what it keeps for that.
    fixture.device_says("first").await;
    fixture.test_intake.next().await.settle();
    let kept = Outgoing { retain: true, ..outgoing(DATA, "kept") };
    fixture.broker.publish(&kept, None).await.unwrap();
    let said = fixture.test_intake.next().await;
    assert_eq!((said.payload(), said.message.retained), ("kept", false));
    said.settle();

    let address = BrokerAddress::parse(&format!("mqtt://{}", fixture.proxy.address)).unwrap();
    let test_intake = TestIntake::with_room(10);
    let other = RumqttcLink::start(&LinkSettings::new(address, "other"), test_intake.clone()).unwrap();
    let found = test_intake.next().await;
    assert_eq!((found.payload(), found.message.retained), ("kept", true));
    found.settle();
    other.publish(&outgoing("some/where", ""), None).await.unwrap(); // behind the acknowledgement
    fixture.proxy.cut();
    connected(&other, false).await;
    fixture.proxy.mend();
    connected(&other, true).await;
    fixture.device_says("later").await;
    let later = test_intake.next().await;
    assert_eq!((later.payload(), later.message.retained), ("later", false));
}

#[tokio::test]
async fn a_publish_is_over_when_the_broker_has_it() {
    let fixture = LinkFixture::set().await;
    let topic = "some/where/desired"; // an embedded broker keeps its own hub's topics to that
    let mut device = subscriber(&fixture.broker, topic).await;
    let messages: Vec<_> = (0..300).map(|number| outgoing(topic, &number.to_string())).collect();
    let all =
        futures_util::future::join_all(messages.iter().map(|message| fixture.link.publish(message, None)));
    let seeing = tokio::spawn(async move {
        let mut seen = 0;
        while seen < 300 {
            seen += usize::from(matches!(device.poll().await.unwrap(), Event::Incoming(Packet::Publish(_))));
        }
    });
    for result in within("all is published", all).await {
        result.unwrap();
    }
    within("the device sees all", seeing).await.unwrap();

    fixture.proxy.cut();
    connected(&fixture.link, false).await;
    let error = fixture.link.publish(&messages[0], None).await.unwrap_err();
    assert_eq!(error.to_string(), "not connected to the broker");
    fixture.proxy.mend();
    connected(&fixture.link, true).await;
    within("the broker has it", fixture.link.publish(&messages[0], None)).await.unwrap();
}

#[tokio::test]
async fn closing_acknowledges_what_is_stored_and_leaves_the_rest() {
    let fixture = LinkFixture::set().await;
    fixture.device_says("a").await;
    fixture.device_says("b").await;
    let mut held = fixture.test_intake.take(2).await;
    fixture.link.stop_intake().await;
    fixture.device_says("c").await;
    held.remove(0).settle();
    within("the link closes", fixture.link.close()).await;
    assert!(!fixture.link.state().connected);
    assert!(fixture.test_intake.is_empty());

    let address = BrokerAddress::parse(&format!("mqtt://{}", fixture.proxy.address)).unwrap();
    let test_intake = TestIntake::with_room(10);
    let next = RumqttcLink::start(&LinkSettings::new(address, "test"), test_intake.clone()).unwrap();
    assert_eq!(test_intake.next().await.payload(), "b");
    assert_eq!(test_intake.next().await.payload(), "c");
    drop(next);
}

#[tokio::test]
async fn a_link_without_a_broker_closes_all_the_same() {
    let address = BrokerAddress::parse("mqtt://127.0.0.1:1").unwrap();
    let settings = LinkSettings::new(address, "test");
    let link = RumqttcLink::start(&settings, TestIntake::with_room(1)).unwrap();
    until("the link has tried to connect", async || !link.state().detail.ends_with("connecting")).await;
    let detail = link.state().detail;
    assert!(detail.contains("Connection refused"), "{detail}");
    within("the link closes", link.close()).await;
    let nameless = LinkSettings { client_id: String::new(), ..settings };
    assert!(matches!(RumqttcLink::start(&nameless, SettlingIntake), Err(ConnectError::NoClientId)));
}
