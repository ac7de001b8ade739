//! A user of the hub as a library puts in a dialect of their own: one that has to remember, and that speaks both ways.

mod lamps;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tempfile::TempDir;
use twinhub_actors::access::Caller;
use twinhub_actors::messages::supervisor::IfUnknown;
use twinhub_actors::messages::timers::Tick;
use twinhub_actors::retained::RetainedInStore;
use twinhub_actors::{Hub, Settings};
use twinhub_domain::cause::Source;
use twinhub_domain::twin::Change;
use twinhub_domain::{
    Cause, Clock as _, CommandId, CommandRequest, CommandStatus, DeviceId, Input, Json, Status, Timestamp,
    Twin, payload,
};
use twinhub_mqtt::Link;
use twinhub_mqtt::broker::{BrokerSettings, EmbeddedBroker};
use twinhub_mqtt::dialects::AddedDialects;
use twinhub_mqtt::link::{BrokerAddress, LinkSettings, RumqttcLink};
use twinhub_store::sql::{SqlOptions, SqlStore};
use twinhub_store::{Batch, CommandQuery, Store as _};
use twinhub_testkit::{FailingStore, ManualClock, until};

use crate::support::mqtt::BrokerMessage;
use crate::support::{Mosquitto, MqttDevice, within};
use lamps::Lamps;

/// The ground that a hub runs on, over its restarts.
struct HubGround {
    folder: TempDir,
    clock: Arc<ManualClock>,
    /// None: the embedded broker.
    mosquitto: Option<Mosquitto>,
}

struct LampHub {
    hub: Arc<Hub>,
    link: Arc<dyn Link>,
    store: Arc<FailingStore>,
    broker: SocketAddr,
}

impl HubGround {
    fn with(mosquitto: Option<Mosquitto>) -> Self {
        let clock = ManualClock::at(Timestamp::from_millis(1_800_000_000_000));
        Self { folder: TempDir::new().unwrap(), clock, mosquitto }
    }

    async fn start(&self) -> LampHub {
        let url = format!("sqlite:{}", self.folder.path().join("twinhub.db").display());
        let sql = SqlStore::open(&url, SqlOptions::default()).await.unwrap();
        let store = FailingStore::around(sql.clone());
        let settings = Settings {
            dialects: AddedDialects::default().with_stateful(Lamps::default),
            broker_tells: self.mosquitto.is_none(),
            most_in_commit: 1,
            ..Settings::default()
        };
        let hub = Hub::start(store.clone(), self.clock.clone(), settings).await.unwrap();
        let (link, broker): (Arc<dyn Link>, _) = match &self.mosquitto {
            None => {
                let listen = "127.0.0.1:0".parse().unwrap();
                let settings = BrokerSettings { listen, ..BrokerSettings::default() };
                let retained = Arc::new(RetainedInStore(sql));
                let broker =
                    EmbeddedBroker::start(&settings, hub.ingress.clone(), retained, self.clock.clone());
                let broker = broker.await.unwrap();
                let address = broker.local_addr();
                (broker, address)
            }
            Some(mosquitto) => {
                let address = BrokerAddress::parse(&format!("mqtt://{}", mosquitto.address)).unwrap();
                let link =
                    RumqttcLink::start(&LinkSettings::new(address, "test"), hub.ingress.clone()).unwrap();
                (link, mosquitto.address)
            }
        };
        hub.connect(Arc::clone(&link));
        until("the link is up", async || link.state().connected).await;
        LampHub { hub, link, store, broker }
    }
}

impl LampHub {
    async fn bridge(&self) -> MqttDevice {
        let mut bridge = MqttDevice::connect(self.broker, "bridge").await.unwrap();
        Self::listen(&mut bridge).await;
        bridge
    }

    async fn listen(bridge: &mut MqttDevice) {
        bridge.subscribe("lamps/b/known").await.unwrap();
        bridge.subscribe("lamps/b/+/set").await.unwrap();
        bridge.subscribe("lamps/b/+/do").await.unwrap();
        bridge.subscribe("lamps/b/+/ask").await.unwrap();
    }

    async fn twin(&self, device: &str) -> Twin {
        *within("the twin", self.hub.read(&id(device))).await.unwrap().unwrap()
    }

    /// The device says, sooner or later, that it is on or off. An outside broker does not tell when the hub has it.
    async fn reports(&self, device: &str, power: &str) {
        until("the device's power", async || {
            let twin = within("the twin", self.hub.read(&id(device))).await.unwrap();
            let property = twin.as_ref().and_then(|twin| twin.reported.get("power"));
            property.is_some_and(|property| property.value == Json::from(power))
        })
        .await;
    }

    async fn deliver(&self, device: &str, input: Input) {
        let cause = Cause::new(Source::Rest, "user:ann");
        self.hub.deliver(id(device), input, cause, IfUnknown::Refuse, false).await.unwrap();
    }

    async fn blink(&self, device: &str) -> CommandId {
        let request = payload::object(br#"{"command_type": "blink", "ttl": "1h", "timeout": "1h"}"#).unwrap();
        let (id, request) = (CommandId(uuid::Uuid::now_v7()), CommandRequest::parse(request).unwrap());
        let input = Input::Command { id, request: Box::new(request), known: None, is_new: true };
        self.deliver(device, input).await;
        id
    }

    async fn reaches(&self, command: CommandId, status: CommandStatus) {
        until("the command's status", async || {
            let query = CommandQuery { limit: 100, ..CommandQuery::default() };
            let commands = self.store.commands(&query).await.unwrap().commands;
            let found = commands.into_iter().find(|record| record.command.id == command);
            found.is_some_and(|record| record.command.status == status)
        })
        .await;
    }

    async fn stop(self) {
        self.link.stop_intake().await;
        assert!(within("the hub closes", self.hub.close()).await);
        self.link.close().await;
    }
}

fn id(device: &str) -> DeviceId {
    DeviceId::parse(device).unwrap()
}

/// The next message that comes.
async fn comes(bridge: &mut MqttDevice) -> String {
    loop {
        if let BrokerMessage::Message { topic, payload } = within("a message", bridge.next()).await.unwrap() {
            return format!("{topic} {}", String::from_utf8(payload).unwrap());
        }
    }
}

#[actix_rt::test]
async fn a_dialect_that_remembers_speaks_both_ways_over_the_embedded_broker() {
    a_dialect_that_remembers_speaks_both_ways(HubGround::with(None)).await;
}

#[actix_rt::test]
async fn a_dialect_that_remembers_speaks_both_ways_over_mosquitto() {
    a_dialect_that_remembers_speaks_both_ways(HubGround::with(Some(Mosquitto::start().await))).await;
}

async fn a_dialect_that_remembers_speaks_both_ways(ground: HubGround) {
    let running = ground.start().await;
    let mut bridge = running.bridge().await;
    bridge.say("lamps/b/1/is", "on").await;
    let hub = running.hub.of(Caller::Program, Source::Hub);
    let rejected = || hub.rejections().by_reason().into_iter().collect::<Vec<_>>();
    until("it is rejected", async || rejected() == [("unknown_lamp", 1)]).await;
    bridge.say("lamps/b/list", r#"{"1": "kitchen", "2": "hall"}"#).await;
    assert_eq!(comes(&mut bridge).await, "lamps/b/known ");
    bridge.say("lamps/b/1/is", "off").await;
    running.reports("kitchen", "off").await; // the list said what the topic means

    // A command and what is desired leave as the bridge speaks, and not natively.
    let first = running.blink("kitchen").await;
    assert_eq!(comes(&mut bridge).await, "lamps/b/1/do blink");
    running.reaches(first, CommandStatus::Sent).await;
    bridge.say("lamps/b/1/done", "blink").await;
    running.reaches(first, CommandStatus::Executed).await;
    let patch = payload::object(br#"{"desired": {"power": "on"}}"#).unwrap();
    running.deliver("kitchen", Input::Change(Box::new(Change { patch }))).await;
    assert_eq!(comes(&mut bridge).await, "lamps/b/1/set on");
    bridge.say("lamps/b/1/is", "on").await;
    running.reports("kitchen", "on").await;

    // After a restart it knows the lamps, and what they are doing.
    let second = running.blink("kitchen").await;
    assert_eq!(comes(&mut bridge).await, "lamps/b/1/do blink");
    running.stop().await;
    let running = ground.start().await;
    let mut bridge = running.bridge().await;
    bridge.say("lamps/b/2/is", "on").await;
    running.reports("hall", "on").await;
    bridge.say("lamps/b/1/done", "blink").await;
    running.reaches(second, CommandStatus::Executed).await;
    running.stop().await;
}

#[actix_rt::test]
async fn a_command_that_is_called_back_reaches_no_device_in_any_dialect() {
    let ground = HubGround::with(None);
    let running = ground.start().await;
    // Its session waits for it while it is away.
    let mut bridge = MqttDevice::connect_to_session(running.broker, "bridge").await.unwrap();
    LampHub::listen(&mut bridge).await;
    bridge.say("lamps/b/list", r#"{"1": "kitchen", "2": "hall"}"#).await;
    assert_eq!(comes(&mut bridge).await, "lamps/b/known ");
    for (short, device) in [("1", "kitchen"), ("2", "hall")] {
        bridge.say(&format!("lamps/b/{short}/is"), "on").await;
        running.reports(device, "on").await;
    }
    let connections = || running.link.state().connections;
    let before = connections();
    drop(bridge);
    // A message on its way to a connection that has just gone would count as sent.
    until("the broker sees it leave", async || connections() < before).await;
    // They wait in the bridge's session, where the broker cannot take them out.
    let over = running.blink("kitchen").await;
    running.reaches(over, CommandStatus::Sent).await;
    running.deliver("kitchen", Input::Cancel { id: over, known: None }).await;
    running.reaches(over, CommandStatus::Canceled).await;
    // What is called back is taken from the broker before the next message goes to it.
    let wanted = running.blink("hall").await;
    running.reaches(wanted, CommandStatus::Sent).await;
    let mut bridge = MqttDevice::connect_to_session(running.broker, "bridge").await.unwrap();
    assert_eq!(comes(&mut bridge).await, "lamps/b/2/do blink");
    assert_eq!(running.link.state().withheld, 1);
    running.stop().await;
}

#[actix_rt::test]
async fn a_message_for_two_twins_is_acknowledged_when_both_are_durable() {
    let ground = HubGround::with(None);
    let running = ground.start().await;
    let mut bridge = running.bridge().await;
    bridge.say("lamps/b/list", r#"{"1": "kitchen", "2": "hall"}"#).await;
    assert_eq!(comes(&mut bridge).await, "lamps/b/known ");
    for short in ["1", "2"] {
        bridge.say(&format!("lamps/b/{short}/is"), "on").await;
    }
    running.store.break_after(|batch: &Batch| !batch.events.is_empty());
    bridge.publish(1, "lamps/b/gone", b"").await.unwrap();
    let in_flight = || running.hub.counters.inputs_in_flight.load(Ordering::SeqCst);
    until("one of them is durable and the other is not", async || {
        running.hub.is_failing() && in_flight() == 1
    })
    .await;
    // Nothing but this comes next: the message is not acknowledged.
    bridge.subscribe("something/else").await.unwrap();
    assert_eq!(bridge.unacknowledged(), 1);
    running.store.heal();
    assert_eq!(within("an acknowledgement", bridge.next()).await.unwrap(), BrokerMessage::Acknowledged(1));
    for device in ["kitchen", "hall"] {
        assert_eq!(running.twin(device).await.presence.status, Status::Offline, "{device}");
    }
    running.stop().await;
}

#[actix_rt::test]
async fn a_dialect_is_woken_by_its_deadline() {
    let ground = HubGround::with(None);
    let running = ground.start().await;
    let mut bridge = running.bridge().await;
    bridge.say("lamps/b/list", r#"{"1": "kitchen", "2": "hall"}"#).await;
    assert_eq!(comes(&mut bridge).await, "lamps/b/known ");
    bridge.say("lamps/b/1/is", "on").await;
    let listed = ground.clock.now();
    let hub = running.hub.of(Caller::Program, Source::Hub);
    let asked = async {
        loop {
            ground.clock.advance(1_000);
            within("a tick", hub.ask(Tick)).await.unwrap();
            tokio::task::yield_now().await;
            if running.hub.counters.messages_out.load(Ordering::SeqCst) > 1 {
                return;
            }
        }
    };
    within("somebody is asked", asked).await;
    assert!(ground.clock.now().millis() - listed.millis() >= 30_000);
    assert_eq!(comes(&mut bridge).await, "lamps/b/2/ask ");
    running.stop().await;
}
