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
use super::testing::{CuttableProxy, HeldMessage, SettlingIntake, TestIntake};
use super::{Intake, Link};
use crate::testing::{MemoryPersistence, still};
use twinhub_domain::Outgoing;
use twinhub_testkit::{until, within};

const DATA: &str = "iot/devices/pump-1/data";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BrokerSetup {
    /// The device speaks with the embedded broker.
    Embedded,
    /// An outside broker, which is another embedded one, has the device's messages and speaks with the link.
    Outside,
}

const BOTH: [BrokerSetup; 2] = [BrokerSetup::Embedded, BrokerSetup::Outside];

struct ContractFixture {
    setup: BrokerSetup,
    test_intake: TestIntake,
    /// The proxy between the hub and the sender.
    proxy: CuttableProxy,
    link: Arc<dyn Link>,
    device: AsyncClient,
    /// The number of messages of the device that were acknowledged to it.
    acknowledged: watch::Receiver<u16>,
    /// The outside broker lives as long.
    _outside: Option<Arc<EmbeddedBroker>>,
}

impl ContractFixture {
    async fn set(setup: BrokerSetup, room: usize) -> Self {
        let test_intake = TestIntake::with_room(room);
        match setup {
            BrokerSetup::Embedded => {
                let broker = start(test_intake.clone()).await;
                let proxy = CuttableProxy::to(broker.local_addr()).await;
                let (device, acknowledged) = device(proxy.address).await;
                Self { setup, test_intake, proxy, link: broker, device, acknowledged, _outside: None }
            }
            BrokerSetup::Outside => {
                let broker = start(SettlingIntake).await;
                let proxy = CuttableProxy::to(broker.local_addr()).await;
                let link = start_link(&proxy, test_intake.clone()).await;
                let (device, acknowledged) = device(broker.local_addr()).await;
                Self { setup, test_intake, proxy, link, device, acknowledged, _outside: Some(broker) }
            }
        }
    }

    fn says(&self, payload: &str) {
        self.device.try_publish(DATA, QoS::AtLeastOnce, false, payload.to_owned()).unwrap();
    }

    /// All messages settled so far, this many, have been acknowledged to their sender.
    async fn until_acknowledged(&mut self, count: u16) {
        match self.setup {
            BrokerSetup::Embedded => {
                within(
                    "the acknowledgements",
                    self.acknowledged.wait_for(|acknowledged| *acknowledged >= count),
                )
                .await
                .unwrap();
            }
            BrokerSetup::Outside => {
                // There and back on the same connection, behind the acknowledgements.
                let (topic, payload) = ("some/where".to_owned(), "".into());
                let message = Outgoing { id: 1, topic, payload, retain: false, until: None, purpose: None };
                within("the broker has it", self.link.publish(&message, None)).await.unwrap();
            }
        }
    }

    /// The connection is lost, and there is another.
    async fn reconnect(&self) {
        self.proxy.cut();
        connected(&*self.link, false).await;
        self.proxy.mend();
        connected(&*self.link, true).await;
    }

    async fn comes(&self) -> HeldMessage {
        self.test_intake.next().await
    }

    /// The messages up to and with `last`, which is sent now. All of them are stored.
    async fn comes_up_to(&self, last: &str) -> Vec<String> {
        self.says(last);
        let mut came = Vec::new();
        while came.last().is_none_or(|came| came != last) {
            let held = self.comes().await;
            came.push(held.payload().to_owned());
            held.settle();
        }
        came
    }
}

async fn start(intake: impl Intake) -> Arc<EmbeddedBroker> {
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let settings = BrokerSettings { listen, ..Default::default() };
    EmbeddedBroker::start(&settings, intake, Arc::<MemoryPersistence>::default(), still()).await.unwrap()
}

async fn start_link(proxy: &CuttableProxy, test_intake: TestIntake) -> Arc<RumqttcLink> {
    let address = BrokerAddress::parse(&format!("mqtt://{}", proxy.address)).unwrap();
    let link = RumqttcLink::start(&LinkSettings::new(address, "test"), test_intake).unwrap();
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
    for setup in BOTH {
        let mut fixture = ContractFixture::set(setup, 10).await;
        for payload in ["a", "b", "c"] {
            fixture.says(payload);
        }
        let [a, b, c] = [fixture.comes().await, fixture.comes().await, fixture.comes().await];
        a.settle();
        c.settle(); // behind one that is not
        fixture.until_acknowledged(1).await;
        fixture.reconnect().await;
        let again = fixture.test_intake.take(2).await;
        b.settle(); // too late: its connection has gone, and its number means another message now
        fixture.until_acknowledged(1).await;
        fixture.reconnect().await;
        assert_eq!(fixture.comes_up_to("d").await, ["b", "c", "d"], "{setup:?}");
        drop(again);
        fixture.until_acknowledged(4).await;
        fixture.reconnect().await;
        assert_eq!(fixture.comes_up_to("e").await, ["e"], "{setup:?}: each acknowledgement met its message");
    }
}

#[tokio::test]
async fn what_was_lost_on_its_way_to_the_store_comes_again() {
    for setup in BOTH {
        let mut fixture = ContractFixture::set(setup, 10).await;
        fixture.says("a");
        fixture.says("b");
        let [a, b] = [fixture.comes().await, fixture.comes().await];
        a.settle();
        fixture.until_acknowledged(1).await;
        b.lose();
        if setup == BrokerSetup::Outside {
            fixture.reconnect().await; // the embedded broker ends the connection itself
        }
        let again = fixture.comes().await;
        assert_eq!(again.payload(), "b", "{setup:?}");
        again.settle();
        assert_eq!(fixture.comes_up_to("c").await, ["c"], "{setup:?}");
    }
}

#[tokio::test]
async fn messages_come_in_their_order_however_they_are_settled() {
    const MANY: usize = 320;
    for setup in BOTH {
        let mut fixture = ContractFixture::set(setup, MANY).await;
        let said: Vec<String> = (0..MANY).map(|n| n.to_string()).collect();
        for payload in &said {
            fixture.says(payload);
        }
        let mut came = Vec::new();
        for _ in 0..MANY / 16 {
            // Fewer than any sender waits for.
            let held = fixture.test_intake.take(16).await;
            came.extend(held.iter().map(|held| held.payload().to_owned()));
            for stored in held.into_iter().rev() {
                stored.settle();
            }
        }
        assert_eq!(came, said, "{setup:?}");
        fixture.until_acknowledged(u16::try_from(MANY).unwrap()).await;
        fixture.reconnect().await;
        assert_eq!(fixture.comes_up_to("end").await, ["end"], "{setup:?}: all were acknowledged");
    }
}

/// A message without room is shed at QoS 0, where the ingress sees it, and at QoS 1 waits.
#[tokio::test]
async fn without_room_a_message_is_not_acknowledged_and_not_lost() {
    for setup in BOTH {
        let mut fixture = ContractFixture::set(setup, 0).await;
        fixture.device.try_publish(DATA, QoS::AtMostOnce, false, "0").unwrap();
        let shed = fixture.comes().await;
        assert!(shed.message.fire_and_forget && !shed.has_room(), "{setup:?}");
        fixture.says("1");
        fixture.says("2");
        // The embedded broker reads no further; the link holds what the outside one may send unacknowledged.
        let held = if setup == BrokerSetup::Outside { fixture.test_intake.take(2).await } else { Vec::new() };
        assert!(
            fixture.test_intake.is_empty() && held.iter().all(|held| !held.message.fire_and_forget),
            "{setup:?}"
        );
        fixture.test_intake.make_room(10);
        let came = if setup == BrokerSetup::Outside { held } else { fixture.test_intake.take(2).await };
        assert!(fixture.test_intake.is_empty(), "{setup:?}: each once");
        let payloads: Vec<&str> = came.iter().map(HeldMessage::payload).collect();
        assert_eq!(payloads, ["1", "2"], "{setup:?}");
        came.into_iter().for_each(HeldMessage::settle);
        fixture.until_acknowledged(2).await;
        fixture.reconnect().await;
        assert_eq!(fixture.comes_up_to("3").await, ["3"], "{setup:?}");
    }
}

#[tokio::test]
async fn closing_acknowledges_what_is_stored_and_leaves_the_rest() {
    for setup in BOTH {
        let mut fixture = ContractFixture::set(setup, 10).await;
        fixture.says("a");
        fixture.says("b");
        let [a, b] = [fixture.comes().await, fixture.comes().await];
        fixture.link.stop_intake().await;
        a.settle();
        within("the link closes", fixture.link.close()).await;
        b.settle(); // nobody is told any more
        match setup {
            BrokerSetup::Embedded => {
                fixture.until_acknowledged(1).await;
                assert_eq!(*fixture.acknowledged.borrow(), 1);
            }
            BrokerSetup::Outside => {
                fixture.test_intake = TestIntake::with_room(10);
                fixture.link = start_link(&fixture.proxy, fixture.test_intake.clone()).await;
                assert_eq!(fixture.comes_up_to("c").await, ["b", "c"]);
            }
        }
    }
}
