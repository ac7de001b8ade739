//! The embedded broker: `mqtt5`, with our own door in front of it.
//!
//! Its own listener would have a connection wait for one commit per message. So we accept connections
//! ourselves and give the broker each one as a [`stream::GatedStream`]: a message goes to the hub from the
//! broker's publish hook ([`hooks`]) and to the other subscribers at once, and only the PUBACK waits, at the
//! connection's [`gate`], until the message is stored.
//!
//! Sessions and retained messages live in memory: they outlast a connection, not the program. What must
//! outlast it is in the hub's store, and the hub publishes it again.

mod accept;
mod gate;
mod handed;
mod hooks;
mod lanes;
mod rights;
mod stream;
mod wills;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use mqtt5::QoS;
use mqtt5::broker::config::BrokerConfig;
use mqtt5::broker::resource_monitor::{ResourceLimits, ResourceMonitor};
use mqtt5::broker::router::MessageRouter;
use mqtt5::broker::storage::{DynamicStorage, MemoryBackend, StorageBackend};
use mqtt5::broker::sys_topics::BrokerStats;
use mqtt5::packet::publish::PublishPacket;
use tokio::net::{TcpListener, TcpSocket};
use tracing::{info, warn};

use self::accept::{Connections, Served};
use self::handed::HandedOver;
use self::hooks::Hooks;
use self::lanes::Lanes;
use self::rights::Rights;
use self::wills::Wills;
use super::dialects::LARGEST_PAYLOAD;
use super::intake::Intake;
use super::runtime::OwnRuntime;
use super::{Link, LinkError, LinkState, Outgoing, Published, whole_seconds};
use crate::domain::CommandId;

/// What topic, properties and header of a packet may take beside its payload.
const PACKET_HEADROOM: usize = 64 * 1024 + 1_024;
/// Connections that wait to be accepted: a fleet that comes back all at once.
const BACKLOG: u32 = 4_096;
/// Expired sessions are swept this often.
const SWEEP_EVERY: Duration = Duration::from_mins(1);
/// A session of an absent client is kept this long at most.
const LONGEST_SESSION: Duration = Duration::from_hours(7 * 24);
/// How many topic aliases a connection may set; each holds a topic in memory.
const MOST_TOPIC_ALIASES: u16 = 64;
/// How long [`Link::close`] waits for connections to take their last words.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);

/// What of the broker can be set.
#[derive(Clone, Debug)]
pub struct BrokerSettings {
    /// Where it listens. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Connections beyond this are closed at once.
    pub most_clients: usize,
    /// Larger payloads, in bytes, cost the client its connection. At least what the door takes, so that
    /// somewhat larger ones are rejected there, where people see it.
    pub largest_payload: usize,
    /// Threads of its own.
    pub threads: usize,
}

impl Default for BrokerSettings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 1883)),
            most_clients: 10_000,
            largest_payload: LARGEST_PAYLOAD,
            threads: 2,
        }
    }
}

/// Why the broker did not start.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    #[error("cannot listen for MQTT on {address}: {source}")]
    Listen { address: SocketAddr, source: std::io::Error },
    #[error("cannot start the MQTT broker's threads: {0}")]
    Threads(std::io::Error),
}

/// See the module.
pub struct EmbeddedBroker {
    address: SocketAddr,
    lanes: Lanes,
    handed: Arc<HandedOver>,
    wills: Arc<Wills>,
    connections: Arc<Connections>,
    accepting: AtomicBool,
    runtime: OwnRuntime,
}

impl EmbeddedBroker {
    /// Starts a broker whose devices' messages go to `intake`.
    ///
    /// # Errors
    /// The address is taken or not ours, or the system gives no threads.
    pub fn start(settings: &BrokerSettings, intake: impl Intake) -> Result<Arc<Self>, BrokerError> {
        let runtime =
            OwnRuntime::new("twinhub-mqtt", settings.threads.max(1)).map_err(BrokerError::Threads)?;
        let handle = runtime.handle().clone();
        let _inside = handle.enter();
        let address = settings.listen;
        let failed = |source| BrokerError::Listen { address, source };
        let listener = listen(address).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;

        let storage = Arc::new(DynamicStorage::Memory(MemoryBackend::new()));
        let router = Arc::new(MessageRouter::with_storage(Arc::clone(&storage)));
        let intake: Arc<dyn Intake> = Arc::new(intake);
        let wills = Arc::new(Wills::new(Arc::clone(&intake), Arc::clone(&router), Arc::clone(&storage)));
        let rights = Rights::new(Arc::clone(&intake));
        intake.subscribers().are_told();
        let hooks = Arc::new(Hooks::new(intake, Arc::clone(&wills), Arc::clone(&storage)));
        let handed = Arc::new(HandedOver::default());
        let connections = Arc::new(Connections::new(settings.most_clients));
        let served = Served {
            config: Arc::new(config(settings).with_event_handler(hooks)),
            router: Arc::clone(&router),
            // Access control comes in here: who may connect, publish and subscribe.
            auth: Arc::new(rights),
            storage: Arc::clone(&storage),
            stats: Arc::new(BrokerStats::new()),
            resources: Arc::new(ResourceMonitor::new(unlimited())),
            handed: Arc::clone(&handed),
        };
        handle.spawn(accept::accept(listener, served, Arc::clone(&connections)));
        handle.spawn(sweep(Arc::clone(&router), storage, Arc::clone(&handed)));
        info!(%address, "embedded broker listens");
        let accepting = AtomicBool::new(true);
        let lanes = Lanes::new(&router, &handle);
        Ok(Arc::new(Self { address, lanes, handed, wills, connections, accepting, runtime }))
    }

    /// Where it listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }
}

#[async_trait]
impl Link for EmbeddedBroker {
    async fn publish(
        &self,
        message: &Outgoing,
        expires_in: Option<Duration>,
    ) -> Result<Published, LinkError> {
        self.handed.note(message, expires_in);
        let mut packet = PublishPacket::new(message.topic.clone(), message.payload.clone(), QoS::AtLeastOnce);
        if let Some(seconds) = expires_in.map(whole_seconds) {
            packet = packet.with_message_expiry_interval(seconds);
        }
        packet.retain = message.retain;
        let routed = self.lanes.route(packet).await;
        routed.map_err(|_| LinkError("the embedded broker has stopped".into()))?;
        Ok(Published::Taken) // who listens was known before
    }

    fn recall(&self, command: CommandId) {
        self.handed.forget(command);
    }

    fn state(&self) -> LinkState {
        LinkState {
            connected: self.accepting.load(Ordering::Acquire),
            detail: format!("embedded broker on {}", self.address),
            connections: self.connections.count() as u64,
            withheld: self.handed.withheld(),
            warning: None,
        }
    }

    async fn stop_intake(&self) {
        self.accepting.store(false, Ordering::Release);
        self.wills.stop();
        self.connections.stop();
    }

    async fn close(&self) {
        self.stop_intake().await;
        let connections = Arc::clone(&self.connections);
        let closed = self
            .runtime
            .handle()
            .spawn(async move { tokio::time::timeout(CLOSE_WITHIN, connections.close()).await.is_ok() });
        if !closed.await.unwrap_or(true) {
            warn!(connections = self.connections.count(), "connections did not close in time");
        }
        self.runtime.shut_down();
    }
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A port is free again as soon as the program before has ended, not a minute later.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn config(settings: &BrokerSettings) -> BrokerConfig {
    let mut config = BrokerConfig::new()
        .with_max_clients(settings.most_clients)
        .with_max_packet_size(settings.largest_payload.saturating_mul(2).saturating_add(PACKET_HEADROOM))
        .with_session_expiry(LONGEST_SESSION);
    config.topic_alias_maximum = MOST_TOPIC_ALIASES;
    config.sys_topics_enabled = false;
    config
}

/// [`Connections`] bounds their number; rates are bounded by back-pressure.
fn unlimited() -> ResourceLimits {
    ResourceLimits {
        max_connections: usize::MAX,
        max_connections_per_ip: usize::MAX,
        max_message_rate_per_client: 0,
        max_bandwidth_per_client: 0,
        max_connection_rate: u32::MAX,
        rate_limit_window: Duration::from_secs(1),
    }
}

async fn sweep(router: Arc<MessageRouter>, storage: Arc<DynamicStorage>, handed: Arc<HandedOver>) {
    let mut tick = tokio::time::interval(SWEEP_EVERY);
    loop {
        tick.tick().await;
        if let Err(error) = storage.cleanup_expired().await {
            warn!(%error, "expired sessions were not swept");
        }
        router.sweep_sessions().await;
        handed.sweep();
    }
}

#[cfg(test)]
mod tests;
