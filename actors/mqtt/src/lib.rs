//! MQTT: the two links (an outside broker by rumqttc, the embedded one), and the dialects they speak.

mod ack_queue;
pub mod broker;
#[cfg(test)]
mod contract;
pub mod dialects;
pub mod identity;
pub mod intake;
pub mod link;
pub mod mosquitto;
pub mod receipt;
pub mod rejections;
pub mod rule_topics;
mod runtime;
pub mod subscribers;
#[cfg(test)]
mod testing;
pub mod topics;
pub mod unread_topics;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite};

use twinhub_domain::{CommandId, Outgoing};
use twinhub_tls::PeerCertificate;

pub use intake::{IncomingMessage, Intake, Room};
pub use runtime::RunsOn;

/// The byte stream of a client.
pub trait ClientStream: AsyncRead + AsyncWrite + Send + Sync + Unpin + 'static {}

impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin + 'static> ClientStream for S {}

/// The link to the devices' broker: outgoing messages, and their intake. Implemented for the embedded broker and an outside one.
#[async_trait]
pub trait Link: Send + Sync + 'static {
    /// Publishes at QoS 1, and returns when the broker has acknowledged it: it is the broker's then.
    /// Messages to one topic go out in the order in which these futures are first polled. A broker that
    /// keeps it for a device that is away keeps it no longer than `expires_in`.
    ///
    /// # Errors
    /// The connection went before the acknowledgement came: publish again.
    async fn publish(&self, message: &Outgoing, expires_in: Option<Duration>)
    -> Result<Published, LinkError>;

    /// A command is over: no device is to get it any more, as far as the broker can still be kept from it.
    fn recall(&self, _command: CommandId) {}

    /// Has the broker serve a client whose packets come by `stream`, as those of a WebSocket do, and which has shown this
    /// certificate. False where it takes no such clients, or no more.
    fn serve(
        &self,
        _stream: Box<dyn ClientStream>,
        _peer: SocketAddr,
        _certificate: Option<Arc<PeerCertificate>>,
    ) -> bool {
        false
    }

    /// The state of the link.
    fn state(&self) -> LinkState;

    /// Takes nothing more in. Messages taken are acknowledged once their receipts are settled, until
    /// [`Link::close`].
    async fn stop_intake(&self);

    /// Closes connections with a reason, after settled messages have been acknowledged.
    async fn close(&self);
}

/// The broker's answer to a publish that it accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Published {
    /// The broker has the message, and reports no lack of listeners.
    Taken,
    /// There is no listener, and the broker keeps the message for none.
    Unheard,
}

/// The reason why a message was not published.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct LinkError(pub String);

/// The state of a link, for health and metrics.
#[derive(Clone, Debug, Default)]
pub struct LinkState {
    pub connected: bool,
    /// `embedded broker on 127.0.0.1:1883`, `mqtt://host:1883: connection refused`.
    pub detail: String,
    /// Connections held (embedded), or 1 or 0.
    pub connections: u64,
    /// Commands that were over, and were kept from their devices (embedded).
    pub withheld: u64,
    /// A problem of the broker that people should know of though it works.
    pub warning: Option<String>,
    /// Figures of the embedded broker, where the link is one.
    pub broker: Option<broker::BrokerFigures>,
}

/// MQTT counts the time that a message may be kept in whole seconds; begun ones count.
fn whole_seconds(time: Duration) -> u32 {
    u32::try_from(time.as_millis().div_ceil(1_000)).unwrap_or(u32::MAX)
}
