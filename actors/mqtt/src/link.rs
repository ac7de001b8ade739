//! The link to an outside broker, by rumqttc. Its session persists at the broker, and every message is acknowledged by
//! hand after its commit: a message that the hub has not stored is still with the broker.

mod acks;
mod address;
mod backoff;
mod dropped;
mod poll;
mod probe;
mod publishes;
mod rule_subscriptions;
mod strangers;
mod tls;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rumqttc::NetworkOptions;
use rumqttc::v5::{AsyncClient, MqttOptions};
use tokio::sync::watch;

use self::acks::Acks;
pub use self::address::{BadAddress, BrokerAddress};
use self::backoff::ReconnectBackoff;
use self::dropped::Dropped;
use self::poll::Poller;
pub use self::probe::{StrangerRights, probe};
use self::publishes::{MOST_PUBLISHES, Publishes};
use self::strangers::Strangers;
use super::dialects::LARGEST_PAYLOAD;
use super::intake::Intake;
use super::runtime::{LinkRuntime, RunsOn};
use super::{Link, LinkError, LinkState, Published};
use twinhub_domain::Outgoing;

/// The time for which the broker keeps the session, with the messages in it, while the hub is away.
const SESSION_EXPIRY: Duration = Duration::from_hours(7 * 24);
/// A broker that is silent for twice this long is taken for gone.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Seconds for the TCP connection, TLS and the CONNACK.
const CONNECT_WITHIN_SECONDS: u64 = 5;
/// The time that a closing link gives the broker to take its last acknowledgements.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);
/// Room for the topic, properties and header of a packet, beside its payload.
const PACKET_HEADROOM: usize = 64 * 1024 + 1_024;

/// Settings of the link.
#[derive(Clone, Debug)]
pub struct LinkSettings {
    pub address: BrokerAddress,
    /// Names the session at the broker: the same after a restart, another for another hub. Not empty.
    pub client_id: String,
    /// Unacknowledged messages that the broker may send; it bounds the messages in flight on this link. Not 0.
    pub receive_maximum: u16,
    /// The broker holds back packets whose payload is larger than about twice this many bytes. At least the ingress's
    /// limit, so that somewhat larger ones are rejected there, where people see it.
    pub largest_payload: usize,
    /// The certificate authorities to trust with `mqtts`, PEM; those of the system when there are none.
    pub authorities: Option<Vec<u8>>,
    pub runs_on: RunsOn,
}

/// The reason why a link did not start.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("the MQTT client id must not be empty")]
    NoClientId,
    #[error("the authorities to trust cannot be read: {0}")]
    Certificates(String),
    #[error("cannot start the MQTT link's thread: {0}")]
    Threads(std::io::Error),
}

/// A link to an outside broker, by the crate `rumqttc`.
pub struct RumqttcLink {
    shared: Arc<Shared>,
    client: AsyncClient,
    runtime: LinkRuntime,
}

/// State that the poll loop and the users of the link share.
struct Shared {
    address: BrokerAddress,
    intake: Arc<dyn Intake>,
    acks: Arc<Acks>,
    publishes: Publishes,
    state: Mutex<LinkState>,
    dropped: Dropped,
    strangers: Strangers,
    stopped: AtomicBool,
    phase: watch::Sender<LinkPhase>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum LinkPhase {
    Running,
    /// Disconnecting; ends with the connection.
    Closing,
    /// Out of patience; ends at once.
    Aborted,
    Finished,
}

impl LinkSettings {
    /// The usual settings for the broker at `address` and the hub called `instance`.
    #[must_use]
    pub fn new(address: BrokerAddress, instance: &str) -> Self {
        Self {
            address,
            client_id: format!("twinhub-{instance}"),
            receive_maximum: 1_000,
            largest_payload: LARGEST_PAYLOAD,
            authorities: None,
            runs_on: RunsOn::Own(1),
        }
    }
}

impl RumqttcLink {
    /// Starts a link whose messages go to `intake`. It connects, and connects again, by itself; a broker
    /// that is not there shows in [`Link::state`].
    ///
    /// # Errors
    /// The settings cannot be used, or the system gives no thread.
    pub fn start(settings: &LinkSettings, intake: impl Intake) -> Result<Arc<Self>, ConnectError> {
        let options = options(settings)?;
        let runtime = LinkRuntime::new("twinhub-link", &settings.runs_on).map_err(ConnectError::Threads)?;
        // Acknowledgements are at most as many as the broker may send, so they always find a place.
        let requests = usize::from(settings.receive_maximum) + usize::from(MOST_PUBLISHES) + 16;
        let (client, events) = AsyncClient::new(options, requests);
        let shared = Arc::new(Shared {
            address: settings.address.clone(),
            intake: Arc::new(intake),
            acks: Acks::new(client.clone()),
            publishes: Publishes::new(client.clone()),
            state: Mutex::new(LinkState {
                detail: format!("{}: connecting", settings.address),
                ..LinkState::default()
            }),
            dropped: Dropped::default(),
            strangers: Strangers::default(),
            stopped: AtomicBool::new(false),
            phase: watch::Sender::new(LinkPhase::Running),
        });
        let (rule_topics, listens, numbers) = (shared.intake.rule_topics(), Arc::default(), Arc::default());
        let rule_subscriptions = rule_subscriptions::keep_subscribed(
            client.clone(),
            Arc::clone(&rule_topics),
            Arc::clone(&listens),
            Arc::clone(&numbers),
        );
        runtime.spawn(rule_subscriptions);
        let poller = Poller {
            events,
            client: client.clone(),
            shared: Arc::clone(&shared),
            backoff: ReconnectBackoff::default(),
            dialects: shared.intake.dialects(),
            rule_topics,
            listens,
            numbers,
            awaits_dialects: false,
            asks_dropped: true,
        };
        runtime.spawn(poller.run());
        Ok(Arc::new(Self { shared, client, runtime }))
    }
}

#[async_trait]
impl Link for RumqttcLink {
    async fn publish(
        &self,
        message: &Outgoing,
        expires_in: Option<Duration>,
    ) -> Result<Published, LinkError> {
        self.shared.publishes.publish(message, expires_in).await
    }

    fn state(&self) -> LinkState {
        let state = self.shared.lock_state().clone();
        let strangers = self.shared.strangers.warning().map(Into::into);
        let warnings: Vec<String> = self.shared.dropped.warning().into_iter().chain(strangers).collect();
        LinkState { warning: (!warnings.is_empty()).then(|| warnings.join("; ")), ..state }
    }

    async fn stop_intake(&self) {
        self.shared.stopped.store(true, Ordering::Release);
    }

    async fn close(&self) {
        self.stop_intake().await;
        let connected = self.state().connected;
        self.shared.enter(LinkPhase::Closing);
        // Behind the acknowledgements that are queued. The loop ends as the broker closes the connection.
        let is_sent = connected && self.client.try_disconnect().is_ok();
        if !is_sent || !self.shared.finishes_within(CLOSE_WITHIN).await {
            self.shared.enter(LinkPhase::Aborted);
            self.shared.finishes_within(CLOSE_WITHIN).await;
        }
        self.runtime.shut_down();
    }
}

impl Shared {
    fn connected(&self) {
        let detail = self.address.to_string();
        *self.lock_state() = LinkState { connected: true, detail, connections: 1, ..LinkState::default() };
    }

    fn disconnected(&self, reason: &str) {
        let detail = format!("{}: {reason}", self.address);
        *self.lock_state() = LinkState { detail, ..LinkState::default() };
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    fn is_closing(&self) -> bool {
        *self.phase.borrow() >= LinkPhase::Closing
    }

    fn finished(&self) {
        self.enter(LinkPhase::Finished);
    }

    fn enter(&self, phase: LinkPhase) {
        self.phase.send_if_modified(|now| {
            let later = phase > *now;
            *now = phase.max(*now);
            later
        });
    }

    async fn aborted(&self) {
        self.reaches(LinkPhase::Aborted).await;
    }

    async fn finishes_within(&self, patience: Duration) -> bool {
        tokio::time::timeout(patience, self.reaches(LinkPhase::Finished)).await.is_ok()
    }

    async fn reaches(&self, phase: LinkPhase) {
        // The sender lives in `self`, so this ends only with the phase.
        let _ = self.phase.subscribe().wait_for(|now| *now >= phase).await;
    }

    fn lock_state(&self) -> MutexGuard<'_, LinkState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn options(settings: &LinkSettings) -> Result<MqttOptions, ConnectError> {
    let BrokerAddress { host, port, tls, credentials } = &settings.address;
    if settings.client_id.is_empty() {
        return Err(ConnectError::NoClientId); // rumqttc panics on one that asks for a session
    }
    let mut options = MqttOptions::new(&settings.client_id, host, *port);
    options
        .set_clean_start(false)
        .set_session_expiry_interval(Some(u32::try_from(SESSION_EXPIRY.as_secs()).unwrap_or(u32::MAX)))
        .set_receive_maximum(Some(settings.receive_maximum.max(1)))
        .set_max_packet_size(Some(
            u32::try_from(settings.largest_payload.saturating_mul(2).saturating_add(PACKET_HEADROOM))
                .unwrap_or(u32::MAX),
        ))
        .set_keep_alive(KEEP_ALIVE)
        .set_connection_timeout(CONNECT_WITHIN_SECONDS)
        .set_outgoing_inflight_upper_limit(MOST_PUBLISHES)
        .set_manual_acks(true);
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    options.set_network_options(network);
    if let Some((user, password)) = credentials {
        options.set_credentials(user, password);
    }
    if *tls {
        options.set_transport(tls::transport(settings.authorities.as_deref())?);
    }
    Ok(options)
}

#[cfg(test)]
mod tests;
