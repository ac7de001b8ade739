//! The connection to the broker, moved by a task of its own, and what goes over it.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Filter, LastWill, Packet};
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use rumqttc::{NetworkOptions, Transport};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use twinhub_mqtt::link::BrokerAddress;

use super::counters::FleetCounters;
use super::device::DeviceMessage;

/// A connection, perhaps still in the making. Dropped, it breaks without a word, and the broker speaks
/// the will.
pub(super) struct BrokerConnection {
    incoming: mpsc::Receiver<Incoming>,
    out: mpsc::Sender<ConnectionRequest>,
    client: AsyncClient,
    polling: JoinHandle<()>,
    writing: JoinHandle<()>,
}

/// A message of the connection.
pub(super) enum Incoming {
    Connected,
    Message { topic: String, payload: Vec<u8> },
}

enum ConnectionRequest {
    Subscribe(Vec<Filter>),
    Publish { topic: String, message: DeviceMessage },
}

const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// Requests that wait in the client, and messages that wait to be read.
const ROOM: usize = 100;
/// Messages that wait to be written, for each device: what it says when it comes, and some answers.
const ROOM_A_DEVICE: usize = 8;
/// Messages of a connection under way at most. The client sets aside some hundred bytes for each it may
/// have, and 65,535 is what it takes for granted: ten megabytes a device.
const MOST_IN_FLIGHT: u16 = 64;
/// Subscriptions in one packet: a few kilobytes.
const FILTERS_AT_ONCE: usize = 100;
/// Larger messages than the hub takes itself are not for us.
const LARGEST_PACKET: u32 = 1 << 20;

impl BrokerConnection {
    /// Begins to connect as `device`, whose will is `offline`, for so many devices.
    pub(super) fn open(
        broker: &BrokerAddress,
        device: &str,
        devices: usize,
        counters: Arc<FleetCounters>,
    ) -> Self {
        let (client, eventloop) = AsyncClient::new(options(broker, device), ROOM);
        let (sender, incoming) = mpsc::channel(ROOM);
        let (out, requests) = mpsc::channel(ROOM + ROOM_A_DEVICE * devices);
        // Polled by a task of its own: to give up a poll half way would lose a connection in the making.
        let polling = tokio::spawn(poll(eventloop, sender, counters));
        let writing = tokio::spawn(write(client.clone(), requests));
        Self { incoming, out, client, polling, writing }
    }

    /// The next message; none once the connection is broken. May be given up half way.
    pub(super) async fn next(&mut self) -> Option<Incoming> {
        self.incoming.recv().await
    }

    /// Subscribes to all of `topics` at QoS 1.
    pub(super) fn subscribe(&self, topics: impl Iterator<Item = String>) {
        let filters: Vec<Filter> = topics.map(|topic| Filter::new(topic, QoS::AtLeastOnce)).collect();
        for some in filters.chunks(FILTERS_AT_ONCE) {
            let _ = self.out.try_send(ConnectionRequest::Subscribe(some.to_vec())); // nothing waits before it
        }
    }

    /// Publishes at QoS 1; false where too much waits already.
    pub(super) fn publish(&self, topic: String, message: DeviceMessage) -> bool {
        self.out.try_send(ConnectionRequest::Publish { topic, message }).is_ok()
    }

    /// The same where there is plenty of room; a device that is not listened to measures on.
    pub(super) fn mention(&self, topic: String, message: DeviceMessage) -> bool {
        self.out.capacity() > self.out.max_capacity() / 2 && self.publish(topic, message)
    }

    /// Sends the last messages and disconnects. Messages that wait to be written are dropped.
    pub(super) async fn hang_up(mut self, last: impl Iterator<Item = (String, DeviceMessage)>) {
        self.writing.abort();
        self.incoming.close(); // nobody listens any more, and the connection must not wait for that
        for (topic, DeviceMessage { payload, retain, .. }) in last {
            let _ = self.client.publish(topic, QoS::AtLeastOnce, retain, payload).await;
        }
        let _ = self.client.disconnect().await; // where the broker has gone there is nobody to tell
        let _ = (&mut self.polling).await;
    }
}

impl Drop for BrokerConnection {
    fn drop(&mut self) {
        self.writing.abort();
        self.polling.abort();
    }
}

fn options(broker: &BrokerAddress, device: &str) -> MqttOptions {
    let BrokerAddress { host, port, tls, credentials } = broker;
    let mut options = MqttOptions::new(device, host.clone(), *port);
    options.set_keep_alive(KEEP_ALIVE);
    options.set_outgoing_inflight_upper_limit(MOST_IN_FLIGHT);
    options.set_max_packet_size(Some(LARGEST_PACKET));
    if let Some((user, password)) = credentials {
        options.set_credentials(user.clone(), password.clone());
    }
    if *tls {
        options.set_transport(Transport::tls_with_default_config());
    }
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    options.set_network_options(network);
    let will = LastWill::new(super::topic(device, "status"), "offline", QoS::AtLeastOnce, true, None);
    options.set_last_will(will);
    options
}

/// Moves the connection until it breaks, and tells what comes.
async fn poll(mut eventloop: EventLoop, sender: mpsc::Sender<Incoming>, counters: Arc<FleetCounters>) {
    while let Ok(event) = eventloop.poll().await {
        let incoming = match event {
            Event::Incoming(Packet::ConnAck(_)) => Incoming::Connected,
            Event::Incoming(Packet::Publish(publish)) => Incoming::Message {
                topic: String::from_utf8_lossy(&publish.topic).into_owned(),
                payload: publish.payload.to_vec(),
            },
            Event::Incoming(Packet::PubAck(_)) => {
                counters.acknowledged.fetch_add(1, Relaxed);
                continue;
            }
            _ => continue,
        };
        let _ = sender.send(incoming).await; // while it says goodbye nobody listens any more
    }
}

/// Hands on what is to go out, in order, as fast as the connection takes it.
async fn write(client: AsyncClient, mut requests: mpsc::Receiver<ConnectionRequest>) {
    while let Some(out) = requests.recv().await {
        let done = match out {
            ConnectionRequest::Subscribe(filters) => client.subscribe_many(filters).await,
            ConnectionRequest::Publish { topic, message: DeviceMessage { payload, retain, .. } } => {
                client.publish(topic, QoS::AtLeastOnce, retain, payload).await
            }
        };
        if done.is_err() {
            return; // the connection is broken
        }
    }
}
