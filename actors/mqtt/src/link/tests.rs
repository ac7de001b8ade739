//! The link against a real broker (the embedded one), through a wire that can be cut.

use std::net::SocketAddr;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{Event, EventLoop};

use super::*;
use crate::broker::{BrokerSettings, EmbeddedBroker};
use crate::testing::{Desk, Rubber, Wire};
use crate::testing::{MemoryPersistence, still};
use twinhub_testkit::{until, within};

const DATA: &str = "iot/devices/pump-1/data";

struct Scene {
    broker: Arc<EmbeddedBroker>,
    wire: Wire,
    desk: Desk,
    link: Arc<RumqttcLink>,
}

impl Scene {
    async fn set() -> Self {
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let broker = EmbeddedBroker::start(
            &BrokerSettings { listen, ..Default::default() },
            Rubber,
            Arc::<MemoryPersistence>::default(),
            still(),
        )
        .await
        .unwrap();
        let wire = Wire::to(broker.local_addr()).await;
        let desk = Desk::with_room(10_000);
        let address = BrokerAddress::parse(&format!("mqtt://{}", wire.address)).unwrap();
        let link = RumqttcLink::start(&LinkSettings::new(address, "test"), desk.clone()).unwrap();
        connected(&link, true).await;
        Self { broker, wire, desk, link }
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
async fn the_broker_is_told_only_what_is_stored() {
    // As many as the broker sends before it wants an answer.
    const WINDOW: usize = 64;
    let scene = Scene::set().await;
    for number in 0..=WINDOW {
        scene.device_says(&number.to_string()).await;
    }
    let mut lying = scene.desk.take(WINDOW).await;
    let second = lying.remove(1);
    second.settle(); // the first is not, so the broker hears nothing yet
    scene.device_says("later").await;
    for _ in 0..3 {
        // There and back on the same connection, behind anything that was sent too early.
        scene.link.publish(&outgoing("some/where", ""), None).await.unwrap();
    }
    assert!(scene.desk.is_empty());
    lying.remove(0).settle();
    assert_eq!(scene.desk.next().await.payload(), WINDOW.to_string());
    assert_eq!(scene.desk.next().await.payload(), "later");
}

#[tokio::test]
async fn what_was_not_acknowledged_comes_again() {
    let scene = Scene::set().await;
    scene.device_says("a").await;
    scene.device_says("b").await;
    let mut before = scene.desk.take(2).await;
    before.remove(0).settle();
    scene.wire.cut();
    connected(&scene.link, false).await;
    let state = scene.link.state();
    assert!(state.detail.contains(&format!("mqtt://{}: ", scene.wire.address)), "{}", state.detail);
    scene.device_says("c").await;
    before.remove(0).settle(); // too late: its connection has gone
    scene.wire.mend();
    let mut came = Vec::new();
    while came.last().is_none_or(|last| last != "c") {
        let lying = scene.desk.next().await; // perhaps `a` once more, if its acknowledgement was on the wire
        came.push(lying.payload().to_owned());
        lying.settle();
    }
    came.retain(|payload| payload != "a");
    assert_eq!(came, ["b", "c"], "what was not acknowledged comes again, and before what came later");
    connected(&scene.link, true).await;
    assert_eq!(scene.desk.opened.load(Ordering::Relaxed), 2, "nobody could be heard between");
    scene.device_says("d").await;
    assert_eq!(scene.desk.next().await.payload(), "d", "the acknowledgements met their messages");
}

/// The same packet id means another message there.
#[tokio::test]
async fn what_is_stored_too_late_acknowledges_nothing_of_a_new_session() {
    let scene = Scene::set().await;
    scene.device_says("old").await;
    let old = scene.desk.next().await;
    scene.wire.cut();
    connected(&scene.link, false).await;
    // Whoever begins anew under the same name ends the session.
    let broker = scene.broker.local_addr();
    let address = BrokerAddress::parse(&format!("mqtt://{broker}")).unwrap();
    let name = LinkSettings::new(address, "test").client_id;
    let (_client, mut events) = AsyncClient::new(MqttOptions::new(name, "127.0.0.1", broker.port()), 10);
    while !matches!(within("a connection", events.poll()).await.unwrap(), Event::Incoming(Packet::ConnAck(_)))
    {
    }
    drop(events);
    scene.wire.mend();
    connected(&scene.link, true).await;
    scene.device_says("new").await;
    let new = scene.desk.next().await;
    assert_eq!(new.payload(), "new");
    old.settle();
    // There and back on the same connection, behind an acknowledgement if there was one.
    scene.link.publish(&outgoing("some/where", ""), None).await.unwrap();
    scene.wire.cut();
    connected(&scene.link, false).await;
    scene.wire.mend();
    connected(&scene.link, true).await;
    scene.device_says("later").await;
    assert_eq!(scene.desk.next().await.payload(), "new", "nobody has acknowledged it");
}

/// A message that was lost on its way to the store is not acknowledged, while those around it are.
#[tokio::test]
async fn a_lost_message_comes_again_on_a_new_connection() {
    let scene = Scene::set().await;
    for payload in ["a", "b", "c"] {
        scene.device_says(payload).await;
    }
    let mut before = scene.desk.take(3).await;
    before.remove(0).settle();
    before.remove(0).lose();
    before.remove(0).settle();
    // There and back on the same connection, behind the acknowledgements.
    scene.link.publish(&outgoing("some/where", ""), None).await.unwrap();
    scene.wire.cut();
    connected(&scene.link, false).await;
    scene.wire.mend();
    scene.device_says("d").await;
    assert_eq!(scene.desk.next().await.payload(), "b");
    assert_eq!(scene.desk.next().await.payload(), "d", "the others were acknowledged");
}

/// Retained messages restore state where the hub is new to the broker. Later they are no news: they were taken in when
/// they came.
#[tokio::test]
async fn what_the_broker_keeps_comes_with_a_new_session_alone() {
    let scene = Scene::set().await;
    // What comes says that the broker is done with the subscription, and with what it keeps for that.
    scene.device_says("first").await;
    scene.desk.next().await.settle();
    let kept = Outgoing { retain: true, ..outgoing(DATA, "kept") };
    scene.broker.publish(&kept, None).await.unwrap();
    let said = scene.desk.next().await;
    assert_eq!((said.payload(), said.message.retained), ("kept", false));
    said.settle();

    let address = BrokerAddress::parse(&format!("mqtt://{}", scene.wire.address)).unwrap();
    let desk = Desk::with_room(10);
    let other = RumqttcLink::start(&LinkSettings::new(address, "other"), desk.clone()).unwrap();
    let found = desk.next().await;
    assert_eq!((found.payload(), found.message.retained), ("kept", true));
    found.settle();
    other.publish(&outgoing("some/where", ""), None).await.unwrap(); // behind the acknowledgement
    scene.wire.cut();
    connected(&other, false).await;
    scene.wire.mend();
    connected(&other, true).await;
    scene.device_says("later").await;
    let later = desk.next().await;
    assert_eq!((later.payload(), later.message.retained), ("later", false));
}

#[tokio::test]
async fn a_publish_is_over_when_the_broker_has_it() {
    let scene = Scene::set().await;
    let topic = "some/where/desired"; // an embedded broker keeps its own hub's topics to that
    let mut device = subscriber(&scene.broker, topic).await;
    let messages: Vec<_> = (0..300).map(|number| outgoing(topic, &number.to_string())).collect();
    let all =
        futures_util::future::join_all(messages.iter().map(|message| scene.link.publish(message, None)));
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

    scene.wire.cut();
    connected(&scene.link, false).await;
    let error = scene.link.publish(&messages[0], None).await.unwrap_err();
    assert_eq!(error.to_string(), "not connected to the broker");
    scene.wire.mend();
    connected(&scene.link, true).await;
    within("the broker has it", scene.link.publish(&messages[0], None)).await.unwrap();
}

#[tokio::test]
async fn closing_acknowledges_what_is_stored_and_leaves_the_rest() {
    let scene = Scene::set().await;
    scene.device_says("a").await;
    scene.device_says("b").await;
    let mut lying = scene.desk.take(2).await;
    scene.link.stop_intake().await;
    scene.device_says("c").await;
    lying.remove(0).settle();
    within("the link closes", scene.link.close()).await;
    assert!(!scene.link.state().connected);
    assert!(scene.desk.is_empty());

    let address = BrokerAddress::parse(&format!("mqtt://{}", scene.wire.address)).unwrap();
    let desk = Desk::with_room(10);
    let next = RumqttcLink::start(&LinkSettings::new(address, "test"), desk.clone()).unwrap();
    assert_eq!(desk.next().await.payload(), "b");
    assert_eq!(desk.next().await.payload(), "c");
    drop(next);
}

#[tokio::test]
async fn a_link_without_a_broker_closes_all_the_same() {
    let address = BrokerAddress::parse("mqtt://127.0.0.1:1").unwrap();
    let settings = LinkSettings::new(address, "test");
    let link = RumqttcLink::start(&settings, Desk::with_room(1)).unwrap();
    until("the link has tried to connect", async || !link.state().detail.ends_with("connecting")).await;
    let detail = link.state().detail;
    assert!(detail.contains("Connection refused"), "{detail}");
    within("the link closes", link.close()).await;
    let nameless = LinkSettings { client_id: String::new(), ..settings };
    assert!(matches!(RumqttcLink::start(&nameless, Rubber), Err(ConnectError::NoClientId)));
}
