//! One connection to the broker, and the devices that speak through it.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{LastWill, Packet};
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use rumqttc::{NetworkOptions, Transport};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;
use twinhub_actors::mqtt::link::BrokerAddress;

use super::Tally;
use super::device::Device;

/// When it begins, so that a fleet does not do everything at once.
#[derive(Clone, Copy)]
pub(super) struct Start {
    pub(super) connect_after: Duration,
    /// Its place in the period.
    pub(super) phase: Duration,
}

/// See the module.
pub(super) struct Station {
    broker: BrokerAddress,
    devices: Vec<Device>,
    /// The time between two messages of one device.
    period: Duration,
    start: Start,
    began: Instant,
    tally: Arc<Tally>,
}

/// How a connection ended.
enum Ended {
    /// The fleet is done.
    Done,
    /// It dropped out on purpose for this long.
    DropOut(Duration),
    /// The broker is not there, or not any more.
    Failed,
}

/// What the connection's own task tells.
enum Heard {
    Connected,
    Desired { topic: String, payload: Vec<u8> },
}

/// The wait before the next try to reach a broker that is not there.
const TRY_AGAIN: Duration = Duration::from_secs(2);
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// Unacknowledged messages and requests that wait in the client.
const ROOM: usize = 100;
/// Messages of a connection under way at most. The client sets aside some hundred bytes for each it may
/// have, and 65,535 is what it takes for granted: ten megabytes a device.
const MOST_IN_FLIGHT: u16 = 64;
/// The fleet's day begins with the program; it is eight in the morning there.
const MORNING: f64 = 8.0 * 3_600.0;

impl Station {
    pub(super) fn new(
        broker: BrokerAddress,
        devices: Vec<Device>,
        period: Duration,
        start: Start,
        began: Instant,
        tally: Arc<Tally>,
    ) -> Self {
        Self { broker, devices, period, start, began, tally }
    }

    /// Plays its devices until `ended` turns true.
    pub(super) async fn run(mut self, mut ended: watch::Receiver<bool>) {
        tokio::time::sleep(self.start.connect_after).await;
        loop {
            let wait = match self.connection(&mut ended).await {
                Ended::Done => return,
                Ended::DropOut(wait) => {
                    self.tally.dropped_out.fetch_add(1, Relaxed);
                    wait
                }
                Ended::Failed => {
                    self.tally.failed.fetch_add(1, Relaxed);
                    TRY_AGAIN
                }
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                _ = ended.wait_for(|ended| *ended) => return,
            }
        }
    }

    async fn connection(&mut self, ended: &mut watch::Receiver<bool>) -> Ended {
        let (client, eventloop) = AsyncClient::new(self.options(), ROOM);
        let (tell, mut heard) = mpsc::channel(ROOM);
        // Polled by a task of its own: to give up a poll half way would lose a connection in the making.
        let mut polling = tokio::spawn(poll(eventloop, tell, Arc::clone(&self.tally)));
        let each = self.period / u32::try_from(self.devices.len()).unwrap_or(u32::MAX);
        let each = each.max(Duration::from_millis(1));
        let phase = self.start.phase.as_secs_f64() % each.as_secs_f64();
        let mut tick =
            tokio::time::interval_at(tokio::time::Instant::now() + Duration::from_secs_f64(phase), each);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut turn, mut connected) = (0, false);
        let ended = loop {
            tokio::select! {
                _ = ended.wait_for(|ended| *ended) => break Ended::Done,
                _ = &mut polling => break Ended::Failed,
                Some(heard) = heard.recv() => match heard {
                    Heard::Connected => {
                        connected = true;
                        self.tally.connected.fetch_add(1, Relaxed);
                        self.devices.iter().for_each(|device| self.greet(&client, device));
                    }
                    Heard::Desired { topic, payload } => self.desired(&client, &topic, &payload),
                },
                _ = tick.tick(), if connected => {
                    let index = turn % self.devices.len();
                    turn += 1;
                    self.measure(&client, index);
                    if let Some(seconds) = self.devices[index].drops_out(self.period.as_secs_f64()) {
                        break Ended::DropOut(Duration::from_secs_f64(seconds));
                    }
                }
            }
        };
        if connected {
            self.tally.connected.fetch_sub(1, Relaxed);
        }
        if matches!(ended, Ended::Done) {
            self.say_goodbye(&client, polling).await;
        } else {
            polling.abort(); // the connection breaks without a word, and the broker speaks the will
        }
        ended
    }

    fn options(&self) -> MqttOptions {
        let BrokerAddress { host, port, tls, credentials } = &self.broker;
        let first = &self.devices[0].id; // no station is without a device
        let mut options = MqttOptions::new(first.clone(), host.clone(), *port);
        options.set_keep_alive(KEEP_ALIVE);
        options.set_outgoing_inflight_upper_limit(MOST_IN_FLIGHT);
        if let Some((user, password)) = credentials {
            options.set_credentials(user.clone(), password.clone());
        }
        if *tls {
            options.set_transport(Transport::tls_with_default_config());
        }
        let mut network = NetworkOptions::new();
        network.set_tcp_nodelay(true);
        options.set_network_options(network);
        options.set_last_will(LastWill::new(topic(first, "status"), "offline", QoS::AtLeastOnce, true, None));
        options
    }

    /// What a device says when it comes: that it is there, what it is doing, and what is desired of it?
    fn greet(&self, client: &AsyncClient, device: &Device) {
        let online = json!({ "status": "online", "firmware_version": "1.4.2" });
        self.say(client, &device.id, "status", true, &online.to_string());
        if let Some(state) = device.state() {
            let _ = client.try_subscribe(topic(&device.id, "desired"), QoS::AtLeastOnce); // or the next time
            self.say(client, &device.id, "state", false, &state.to_string());
            self.say(client, &device.id, "get", false, "");
        }
    }

    fn measure(&mut self, client: &AsyncClient, index: usize) {
        let time = MORNING + self.began.elapsed().as_secs_f64();
        let readings = self.devices[index].measure(time).to_string();
        self.say(client, &self.devices[index].id, "data", false, &readings);
    }

    fn desired(&mut self, client: &AsyncClient, to: &str, payload: &[u8]) {
        let Ok(message) = serde_json::from_slice::<Value>(payload) else { return };
        let Some(index) = self.devices.iter().position(|device| topic(&device.id, "desired") == to) else {
            return;
        };
        if self.devices[index].obey(&message["desired"]) {
            self.tally.obeyed.fetch_add(1, Relaxed);
            let device = &self.devices[index];
            if let Some(state) = device.state() {
                self.say(client, &device.id, "state", false, &state.to_string());
            }
            self.measure(client, index);
        }
    }

    async fn say_goodbye(&self, client: &AsyncClient, polling: tokio::task::JoinHandle<()>) {
        for device in &self.devices {
            let _ = client.publish(topic(&device.id, "status"), QoS::AtLeastOnce, true, "offline").await;
        }
        let _ = client.disconnect().await; // where the broker has gone there is nobody to tell
        let _ = polling.await;
    }

    /// Publishes, where there is room; a device that is not listened to measures on.
    fn say(&self, client: &AsyncClient, device: &str, about: &str, retain: bool, text: &str) {
        if client.try_publish(topic(device, about), QoS::AtLeastOnce, retain, text.to_owned()).is_ok() {
            self.tally.sent.fetch_add(1, Relaxed);
        }
    }
}

/// Moves the connection until it breaks, and tells what comes.
async fn poll(mut eventloop: EventLoop, tell: mpsc::Sender<Heard>, tally: Arc<Tally>) {
    while let Ok(event) = eventloop.poll().await {
        let heard = match event {
            Event::Incoming(Packet::ConnAck(_)) => Heard::Connected,
            Event::Incoming(Packet::Publish(publish)) => Heard::Desired {
                topic: String::from_utf8_lossy(&publish.topic).into_owned(),
                payload: publish.payload.to_vec(),
            },
            Event::Incoming(Packet::PubAck(_)) => {
                tally.acknowledged.fetch_add(1, Relaxed);
                continue;
            }
            _ => continue,
        };
        // A station that has no ear left hears it from the hub again when it comes back.
        let _ = tell.try_send(heard);
    }
}

fn topic(device: &str, about: &str) -> String {
    format!("iot/devices/{device}/{about}")
}
