//! The embedded broker: `mqtt5`, with our own admission and packet inspection in front of it.
//!
//! Its own listener would have a connection wait for one commit per message. So we accept connections
//! ourselves and give the broker each one as a [`stream::GatedStream`]: a message goes to the hub from the
//! broker's publish hook ([`hooks`]) and to the other subscribers at once, and only the PUBACK waits, at the
//! connection's [`gate`], until the message is stored.
//!
//! Sessions live in memory: they outlast a connection, not the program. Retained messages are in the store
//! ([`retained`]). The broker crate sees neither retained messages nor wills: both are ours.

mod accept;
mod admission;
mod connection;
mod exactly_once;
mod gate;
mod handed_commands;
mod hooks;
mod owners;
mod partial_packets;
mod persistence;
mod publish_shards;
mod retained;
mod revocation;
mod rights;
mod sessions;
mod stream;
mod wildcards;
mod wills;
mod wire;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use mqtt5::QoS;
use mqtt5::broker::config::BrokerConfig;
use mqtt5::broker::resource_monitor::{ResourceLimits, ResourceMonitor};
use mqtt5::broker::router::MessageRouter;
use mqtt5::broker::storage::{DynamicStorage, MemoryBackend, QueueLimits, StorageBackend};
use mqtt5::broker::sys_topics::BrokerStats;
use mqtt5::packet::publish::PublishPacket;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::oneshot;
use tracing::{info, warn};

pub use self::accept::most_unadmitted;
use self::accept::{Connections, Served};
use self::admission::Admission;
use self::connection::{BrokerShared, MOST_TOPIC_ALIASES};
use self::exactly_once::ExactlyOnce;
use self::handed_commands::HandedCommands;
use self::hooks::Hooks;
use self::owners::SessionOwners;
use self::partial_packets::PartialPackets;
pub use self::persistence::{PersistenceError, RetainedPersistence};
use self::publish_shards::PublishShards;
use self::retained::Retained;
pub use self::retained::{RetainedFigures, RetainedLimits};
use self::revocation::Revocation;
use self::sessions::Sessions;
pub use self::sessions::{SessionFigures, SessionLimits, count_dropped};
use self::wildcards::Wildcards;
use self::wills::Wills;
use super::dialects::LARGEST_PAYLOAD;
use super::intake::Intake;
use super::receipt;
use super::runtime::{LinkRuntime, RunsOn};
use super::{ClientStream, Link, LinkError, LinkState, Published, topics, whole_seconds};
use twinhub_domain::receipt::InputOutcome;
use twinhub_domain::{Clock, CommandId, Outgoing};
use twinhub_tls::{PeerCertificate, ServerTls};

/// Room for the topic, properties and header of a packet, beside its payload.
const PACKET_HEADROOM: usize = 64 * 1024 + 1_024;
/// Connections that wait to be accepted: a fleet that comes back all at once.
const BACKLOG: u32 = 4_096;
/// Messages that the broker crate holds for one client and QoS (0, or 1 and 2) beside its session: the length of a
/// burst at QoS 0 while the client's thread is busy, and the cost of a client that takes nothing until the session's
/// limits hold. Those of QoS 1 go on into the session; their publisher waits for 2 s at most, once.
const LANE: usize = 256;
/// Expired sessions are swept this often.
const SWEEP_EVERY: Duration = Duration::from_mins(1);
/// A session of an absent client is kept this long at most.
const LONGEST_SESSION: Duration = Duration::from_hours(7 * 24);
/// The time that [`Link::close`] gives connections to take their last packets.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);

/// Settings of the broker.
#[derive(Clone, Debug)]
pub struct BrokerSettings {
    /// The address to listen on. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where to listen for MQTT over TLS.
    pub tls: Option<TlsListener>,
    /// Clients that are served at once; a tenth of the places is kept for devices that the hub knows. Others
    /// are refused.
    pub most_clients: usize,
    /// A socket whose CONNECT has not come by then is closed.
    pub connect_within: Duration,
    pub retained: RetainedLimits,
    pub sessions: SessionLimits,
    /// The largest payload that the hub accepts, in bytes. A payload of more than twice as many, and of more than may
    /// be retained, costs the client its connection.
    pub largest_payload: usize,
    pub runs_on: RunsOn,
}

/// A listener for MQTT over TLS.
#[derive(Clone, Debug)]
pub struct TlsListener {
    pub listen: SocketAddr,
    pub tls: Arc<ServerTls>,
}

impl Default for BrokerSettings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 1883)),
            tls: None,
            most_clients: 10_000,
            connect_within: Duration::from_secs(10),
            retained: RetainedLimits::default(),
            sessions: SessionLimits::default(),
            largest_payload: LARGEST_PAYLOAD,
            runs_on: RunsOn::Own(2),
        }
    }
}

/// The reason why the broker did not start.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    #[error("cannot listen for MQTT on {address}: {source}")]
    Listen { address: SocketAddr, source: std::io::Error },
    #[error("cannot start the MQTT broker's threads: {0}")]
    Threads(std::io::Error),
    #[error("cannot read the retained messages: {0}")]
    Retained(#[from] PersistenceError),
}

/// Figures of the embedded broker, for health and metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BrokerFigures {
    /// Clients that can be served at once.
    pub most_connections: u64,
    /// Clients refused since the start because there were too many.
    pub connections_refused: u64,
    pub retained: RetainedFigures,
    pub sessions: SessionFigures,
}

/// The MQTT broker inside the hub, as a [`Link`].
pub struct EmbeddedBroker {
    address: SocketAddr,
    tls_address: Option<SocketAddr>,
    served: Arc<Served>,
    shards: PublishShards,
    handed_commands: Arc<HandedCommands>,
    wills: Arc<Wills>,
    connections: Arc<Connections>,
    retained: Arc<Retained>,
    sessions: Arc<Sessions>,
    accepting: AtomicBool,
    runtime: LinkRuntime,
}

impl EmbeddedBroker {
    /// Starts a broker whose devices' messages go to `intake`, and whose retained messages
    /// are kept in `store` and expire by `clock`.
    ///
    /// # Errors
    /// The address is taken or not ours, the system gives no threads, or the store does not answer.
    pub async fn start(
        settings: &BrokerSettings,
        intake: impl Intake,
        store: Arc<dyn RetainedPersistence>,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, BrokerError> {
        let common = common(settings, store, clock).await?;
        Self::listen(settings, Arc::new(intake), common, config(settings))
    }

    fn listen(
        settings: &BrokerSettings,
        intake: Arc<dyn Intake>,
        common: Arc<BrokerShared>,
        config: BrokerConfig,
    ) -> Result<Arc<Self>, BrokerError> {
        let runtime = LinkRuntime::new("twinhub-mqtt", &settings.runs_on).map_err(BrokerError::Threads)?;
        let handle = runtime.handle().clone();
        let _inside = handle.enter();
        let (listener, address) = listen(settings.listen)?;
        let encrypted = settings.tls.as_ref().map(|encrypted| listen(encrypted.listen)).transpose()?;

        let wills = Arc::new(Wills::new(Arc::clone(&intake), Arc::clone(&common)));
        let hooks = Arc::new(Hooks::new(Arc::clone(&intake), Arc::clone(&common), Arc::clone(&wills)));
        let connections = Arc::new(Connections::new(settings.most_clients, settings.connect_within));
        let revocation = Revocation::new(Arc::clone(&common), Arc::clone(&connections), Arc::clone(&wills));
        let revocation = Arc::new(revocation);
        let authenticator = intake.authenticator();
        let admission = Admission {
            connections: Arc::clone(&connections),
            intake: Arc::clone(&intake),
            dialects: intake.dialects(),
            authenticator: Arc::clone(&authenticator),
            revocation: Arc::clone(&revocation),
        };
        let served = Served {
            config: Arc::new(config.with_event_handler(hooks)),
            router: Arc::clone(&common.router),
            auth: Arc::new(admission),
            storage: Arc::clone(&common.storage),
            stats: Arc::new(BrokerStats::new()),
            resources: Arc::new(ResourceMonitor::new(unlimited())),
            common: Arc::clone(&common),
            connect_within: settings.connect_within,
        };
        let served = Arc::new(served);
        let sessions = Arc::new(Sessions::new(Arc::clone(&common), Arc::clone(&connections), intake));
        let retained = Arc::clone(&common.retained);
        let handed_commands = Arc::clone(&common.handed_commands);
        let tls_address = encrypted.as_ref().map(|(_, address)| *address);
        let encrypted = encrypted.map(|(listener, _)| listener).zip(settings.tls.as_ref());
        let encrypted = encrypted.map(|(listener, encrypted)| (listener, Some(Arc::clone(&encrypted.tls))));
        for (listener, tls) in std::iter::once((listener, None)).chain(encrypted) {
            runtime.spawn(accept::accept(listener, tls, Arc::clone(&served), Arc::clone(&connections)));
        }
        runtime.spawn(Arc::clone(&retained).write());
        runtime.spawn(sweep(Arc::clone(&common), Arc::clone(&sessions)));
        runtime.spawn(look_through(Arc::clone(&sessions)));
        runtime.spawn(revocation.run(authenticator));
        info!(%address, over_tls = tls_address.map(tracing::field::display), "embedded broker listens");
        let accepting = AtomicBool::new(true);
        let shards = PublishShards::new(&common.router, &runtime);
        Ok(Arc::new(Self {
            address,
            tls_address,
            served,
            shards,
            handed_commands,
            wills,
            connections,
            retained,
            sessions,
            accepting,
            runtime,
        }))
    }

    /// The address that it listens on.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The address that it listens on for MQTT over TLS.
    #[must_use]
    pub fn local_tls_addr(&self) -> Option<SocketAddr> {
        self.tls_address
    }
}

#[async_trait]
impl Link for EmbeddedBroker {
    async fn publish(
        &self,
        message: &Outgoing,
        expires_in: Option<Duration>,
    ) -> Result<Published, LinkError> {
        self.handed_commands.add(message, expires_in);
        let mut packet = PublishPacket::new(message.topic.clone(), message.payload.clone(), QoS::AtLeastOnce);
        if let Some(seconds) = expires_in.map(whole_seconds) {
            packet = packet.with_message_expiry_interval(seconds);
        }
        // Messages of rules are on as many topics as the rules name.
        packet.retain = message.retain && (is_configuration(message) || self.retained.has_room(&packet));
        // In its order, as in the shards: at the first poll.
        let kept = packet.retain.then(|| self.keep(message, &packet));
        let stopped = || LinkError("the embedded broker has stopped".into());
        self.shards.route(packet).await.map_err(|_| stopped())?;
        if let Some(kept) = kept {
            kept.await.map_err(|_| stopped())?.map_err(|_| stopped())?;
        }
        Ok(Published::Taken) // who listens was known before
    }

    fn recall(&self, command: CommandId) {
        self.handed_commands.forget(command);
    }

    fn serve(
        &self,
        stream: Box<dyn ClientStream>,
        peer: SocketAddr,
        certificate: Option<Arc<PeerCertificate>>,
    ) -> bool {
        let _inside = self.runtime.handle().enter();
        accept::serve_stream(stream, peer, certificate, &self.served, &self.connections)
    }

    fn state(&self) -> LinkState {
        let over_tls = self.tls_address.map(|address| format!(", over TLS on {address}"));
        let (clients, most, connections_refused) = self.connections.figures();
        LinkState {
            connected: self.accepting.load(Ordering::Acquire),
            detail: format!("embedded broker on {}{}", self.address, over_tls.unwrap_or_default()),
            connections: clients as u64,
            withheld: self.handed_commands.withheld(),
            warning: None,
            broker: Some(BrokerFigures {
                most_connections: most as u64,
                connections_refused,
                retained: self.retained.figures(),
                sessions: self.sessions.figures(),
            }),
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
        self.connections.abort();
        self.runtime.shut_down();
    }
}

impl EmbeddedBroker {
    /// Retains a message of the hub. The message that announces a device's deletion also removes all that the device
    /// retained.
    fn keep(&self, message: &Outgoing, packet: &PublishPacket) -> oneshot::Receiver<InputOutcome> {
        if let Some(device) = topics::farewell(message) {
            self.retained.clear_below(&device);
        }
        let (receipt, kept) = receipt::channel();
        self.retained.take(packet, Some(receipt));
        kept
    }
}

/// On a runtime that goes on, the connections end with the broker all the same.
impl Drop for EmbeddedBroker {
    fn drop(&mut self) {
        self.connections.abort();
    }
}

/// The configuration of a device: there is one of each.
fn is_configuration(message: &Outgoing) -> bool {
    topics::parse(&message.topic).is_some_and(|native| native.leaf == topics::Leaf::Configuration)
}

/// The state that connections share, with the retained messages of `store`.
async fn common(
    settings: &BrokerSettings,
    store: Arc<dyn RetainedPersistence>,
    clock: Arc<dyn Clock>,
) -> Result<Arc<BrokerShared>, PersistenceError> {
    let SessionLimits { messages: max_messages, bytes: max_bytes, .. } = settings.sessions;
    let backend = MemoryBackend::with_queue_limits(QueueLimits { max_messages, max_bytes });
    let storage = Arc::new(DynamicStorage::Memory(backend));
    let router = Arc::new(MessageRouter::with_storage(Arc::clone(&storage)));
    retained::keep_none(&router).await;
    Ok(Arc::new(BrokerShared {
        router,
        storage,
        retained: Retained::load(store, clock, settings.retained).await?,
        exactly_once: ExactlyOnce::default(),
        wildcards: Wildcards::new(settings.most_clients),
        partial_packets: PartialPackets::default(),
        session_limits: settings.sessions,
        came_back: Mutex::default(),
        handed_commands: Arc::default(),
        owners: SessionOwners::default(),
        largest_packet: config(settings).max_packet_size,
    }))
}

/// A listener, and the address that it has.
fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), BrokerError> {
    let open = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // A port is free again as soon as the program before has ended, not a minute later.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let listener = socket.listen(BACKLOG)?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    };
    open().map_err(|source| BrokerError::Listen { address, source })
}

fn config(settings: &BrokerSettings) -> BrokerConfig {
    // Somewhat larger payloads than the hub takes are rejected at its ingress, where people see it.
    let largest = settings.largest_payload.saturating_mul(2).max(settings.retained.message);
    let mut config = BrokerConfig::new()
        .with_max_clients(settings.most_clients)
        .with_max_packet_size(largest.saturating_add(PACKET_HEADROOM))
        .with_session_expiry(LONGEST_SESSION)
        .with_client_channel_capacity(LANE);
    config.topic_alias_maximum = MOST_TOPIC_ALIASES;
    config.server_receive_maximum = u16::try_from(gate::MOST_UNSETTLED).ok();
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

async fn sweep(common: Arc<BrokerShared>, sessions: Arc<Sessions>) {
    let mut tick = tokio::time::interval(SWEEP_EVERY);
    loop {
        tick.tick().await;
        common.retained.sweep();
        common.handed_commands.sweep();
        if let Err(error) = common.storage.cleanup_expired().await {
            warn!(%error, "expired sessions were not swept");
        }
        sessions.sweep(&common.router).await;
    }
}

async fn look_through(sessions: Arc<Sessions>) {
    let mut tick = tokio::time::interval(sessions::LOOK_EVERY);
    loop {
        tick.tick().await;
        sessions.look().await;
    }
}

#[cfg(test)]
mod tests;
