//! The contract of both ways in: the embedded broker towards its devices, and the link towards an outside broker. The
//! sender, the device itself or that broker, gets an acknowledgement for each stored message and for no other, and
//! sends the rest again.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use tokio::sync::watch;

use super::broker::{BrokerSettings, EmbeddedBroker};
use super::link::{BrokerAddress, LinkSettings, RumqttcLink};
use super::testing::{Desk, Lying, Rubber, Wire};
use super::{Intake, Link};
use crate::testing::{MemoryPersistence, still};
use twinhub_domain::Outgoing;
use twinhub_testkit::{until, within};

const DATA: &str = "iot/devices/pump-1/data";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// The device speaks with the embedded broker.
    Embedded,
    /// An outside broker, which is another embedded one, has the device's messages and speaks with the link.
    Outside,
}

const BOTH: [Way; 2] = [Way::Embedded, Way::Outside];

struct Scene {
    way: Way,
    desk: Desk,
    /// The wire between the hub and the sender.
    wire: Wire,
    link: Arc<dyn Link>,
    device: AsyncClient,
    /// The number of messages of the device that were acknowledged to it.
    acknowledged: watch::Receiver<u16>,
    /// The outside broker lives as long.
    _outside: Option<Arc<EmbeddedBroker>>,
}

impl Scene {
    async fn set(way: Way, room: usize) -> Self {
        let desk = Desk::with_room(room);
        match way {
            Way::Embedded => {
                let broker = start(desk.clone()).await;
                let wire = Wire::to(broker.local_addr()).await;
                let (device, acknowledged) = device(wire.address).await;
                Self { way, desk, wire, link: broker, device, acknowledged, _outside: None }
            }
            Way::Outside => {
                let broker = start(Rubber).await;
                let wire = Wire::to(broker.local_addr()).await;
                let link = start_link(&wire, desk.clone()).await;
                let (device, acknowledged) = device(broker.local_addr()).await;
                Self { way, desk, wire, link, device, acknowledged, _outside: Some(broker) }
            }
        }
    }

    fn says(&self, payload: &str) {
        self.device.try_publish(DATA, QoS::AtLeastOnce, false, payload.to_owned()).unwrap();
    }

    /// All messages settled so far, this many, have been acknowledged to their sender.
    async fn told(&mut self, count: u16) {
        match self.way {
            Way::Embedded => {
                within(
                    "the acknowledgements",
                    self.acknowledged.wait_for(|acknowledged| *acknowledged >= count),
                )
                .await
                .unwrap();
            }
            Way::Outside => {
                // There and back on the same connection, behind the acknowledgements.
                let (topic, payload) = ("some/where".to_owned(), "".into());
                let message = Outgoing { id: 1, topic, payload, retain: false, until: None, purpose: None };
                within("the broker has it", self.link.publish(&message, None)).await.unwrap();
            }
        }
    }

    /// The connection is lost, and there is another.
    async fn reconnect(&self) {
        self.wire.cut();
        connected(&*self.link, false).await;
        self.wire.mend();
        connected(&*self.link, true).await;
    }

    async fn comes(&self) -> Lying {
        self.desk.next().await
    }

    /// The messages up to and with `last`, which is sent now. All of them are stored.
    async fn comes_up_to(&self, last: &str) -> Vec<String> {
        self.says(last);
        let mut came = Vec::new();
        while came.last().is_none_or(|came| came != last) {
            let lying = self.comes().await;
            came.push(lying.payload().to_owned());
            lying.settle();
        }
        came
    }
}

async fn start(intake: impl Intake) -> Arc<EmbeddedBroker> {
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let settings = BrokerSettings { listen, ..Default::default() };
    EmbeddedBroker::start(&settings, intake, Arc::<MemoryPersistence>::default(), still()).await.unwrap()
}

async fn start_link(wire: &Wire, desk: Desk) -> Arc<RumqttcLink> {
    let address = BrokerAddress::parse(&format!("mqtt://{}", wire.address)).unwrap();
    let link = RumqttcLink::start(&LinkSettings::new(address, "test"), desk).unwrap();
    connected(&*link, true).await;
    link
}

/// Has the hub a connection to the sender?
async fn connected(link: &dyn Link, expected: bool) {
    until("the hub has a connection, or has none", async || (link.state().connections > 0) == expected).await;
}

/// A device that keeps its session and connects again whenever its connection goes.
async fn device(broker: SocketAddr) -> (AsyncClient, watch::Receiver<u16>) {
    let mut options = MqttOptions::new("pump-1", "127.0.0.1", broker.port());
    options.set_clean_start(false).set_session_expiry_interval(Some(60));
    let (client, mut events) = AsyncClient::new(options, 1_024);
    within("the device is connected", async {
        while !matches!(events.poll().await.unwrap(), Event::Incoming(Packet::ConnAck(_))) {}
    })
    .await;
    let (count, acknowledged) = watch::channel(0);
    tokio::spawn(poll(events, count));
    (client, acknowledged)
}

async fn poll(mut events: EventLoop, acknowledged: watch::Sender<u16>) {
    while !acknowledged.is_closed() {
        match events.poll().await {
            Ok(Event::Incoming(Packet::PubAck(_))) => acknowledged.send_modify(|count| *count += 1),
            Ok(_) => {}
            Err(_) => {
                // The library keeps what came with the end of a connection for the next one, which may never be.
                let last = events.state.events.drain(..);
                let last = last.filter(|event| matches!(event, Event::Incoming(Packet::PubAck(_)))).count();
                acknowledged.send_modify(|count| *count += u16::try_from(last).unwrap());
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
}

#[tokio::test]
async fn what_is_stored_is_acknowledged_and_all_else_comes_again() {
    for way in BOTH {
        let mut scene = Scene::set(way, 10).await;
        for payload in ["a", "b", "c"] {
            scene.says(payload);
        }
        let [a, b, c] = [scene.comes().await, scene.comes().await, scene.comes().await];
        a.settle();
        c.settle(); // behind one that is not
        scene.told(1).await;
        scene.reconnect().await;
        let again = scene.desk.take(2).await;
        b.settle(); // too late: its connection has gone, and its number means another message now
        scene.told(1).await;
        scene.reconnect().await;
        assert_eq!(scene.comes_up_to("d").await, ["b", "c", "d"], "{way:?}");
        drop(again);
        scene.told(4).await;
        scene.reconnect().await;
        assert_eq!(scene.comes_up_to("e").await, ["e"], "{way:?}: each acknowledgement met its message");
    }
}

#[tokio::test]
async fn what_was_lost_on_its_way_to_the_store_comes_again() {
    for way in BOTH {
        let mut scene = Scene::set(way, 10).await;
        scene.says("a");
        scene.says("b");
        let [a, b] = [scene.comes().await, scene.comes().await];
        a.settle();
        scene.told(1).await;
        b.lose();
        if way == Way::Outside {
            scene.reconnect().await; // the embedded broker ends the connection itself
        }
        let again = scene.comes().await;
        assert_eq!(again.payload(), "b", "{way:?}");
        again.settle();
        assert_eq!(scene.comes_up_to("c").await, ["c"], "{way:?}");
    }
}

#[tokio::test]
async fn messages_come_in_their_order_however_they_are_settled() {
    const MANY: usize = 320;
    for way in BOTH {
        let mut scene = Scene::set(way, MANY).await;
        let said: Vec<String> = (0..MANY).map(|n| n.to_string()).collect();
        for payload in &said {
            scene.says(payload);
        }
        let mut came = Vec::new();
        for _ in 0..MANY / 16 {
            // Fewer than any sender waits for.
            let lying = scene.desk.take(16).await;
            came.extend(lying.iter().map(|lying| lying.payload().to_owned()));
            for stored in lying.into_iter().rev() {
                stored.settle();
            }
        }
        assert_eq!(came, said, "{way:?}");
        scene.told(u16::try_from(MANY).unwrap()).await;
        scene.reconnect().await;
        assert_eq!(scene.comes_up_to("end").await, ["end"], "{way:?}: all were acknowledged");
    }
}

/// A message without room is shed at QoS 0, where the ingress sees it, and at QoS 1 waits.
#[tokio::test]
async fn without_room_a_message_is_not_acknowledged_and_not_lost() {
    for way in BOTH {
        let mut scene = Scene::set(way, 0).await;
        scene.device.try_publish(DATA, QoS::AtMostOnce, false, "0").unwrap();
        let shed = scene.comes().await;
        assert!(shed.message.fire_and_forget && !shed.has_room(), "{way:?}");
        scene.says("1");
        scene.says("2");
        // The embedded broker reads no further; the link holds what the outside one may send unacknowledged.
        let held = if way == Way::Outside { scene.desk.take(2).await } else { Vec::new() };
        assert!(scene.desk.is_empty() && held.iter().all(|held| !held.message.fire_and_forget), "{way:?}");
        scene.desk.make_room(10);
        let came = if way == Way::Outside { held } else { scene.desk.take(2).await };
        assert!(scene.desk.is_empty(), "{way:?}: each once");
        let payloads: Vec<&str> = came.iter().map(Lying::payload).collect();
        assert_eq!(payloads, ["1", "2"], "{way:?}");
        came.into_iter().for_each(Lying::settle);
        scene.told(2).await;
        scene.reconnect().await;
        assert_eq!(scene.comes_up_to("3").await, ["3"], "{way:?}");
    }
}

#[tokio::test]
async fn closing_acknowledges_what_is_stored_and_leaves_the_rest() {
    for way in BOTH {
        let mut scene = Scene::set(way, 10).await;
        scene.says("a");
        scene.says("b");
        let [a, b] = [scene.comes().await, scene.comes().await];
        scene.link.stop_intake().await;
        a.settle();
        within("the link closes", scene.link.close()).await;
        b.settle(); // nobody is told any more
        match way {
            Way::Embedded => {
                scene.told(1).await;
                assert_eq!(*scene.acknowledged.borrow(), 1);
            }
            Way::Outside => {
                scene.desk = Desk::with_room(10);
                scene.link = start_link(&scene.wire, scene.desk.clone()).await;
                assert_eq!(scene.comes_up_to("c").await, ["b", "c"]);
            }
        }
    }
}
