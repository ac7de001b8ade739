//! Messages to the feed.

use std::sync::Arc;

use actix::Message;
use tokio::sync::{broadcast, mpsc};

use twinhub_domain::{CommandId, DeviceId, Recorded};

/// Committed events, in order and without a gap.
pub type EventBatch = Arc<[Arc<Recorded>]>;

/// Events that have just become durable, in order and without a gap after the last.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct Committed {
    pub events: EventBatch,
}

/// Asks for the live feed.
#[derive(Debug, Message)]
#[rtype(result = "LiveFeed")]
pub struct SubscribeFeed;

/// The live feed: everything after `seq`, in order. A receiver that falls too far behind gets an error from the channel
/// and can read the rest with [`super::archive::Replay`].
#[derive(Debug, actix::MessageResponse)]
pub struct LiveFeed {
    /// The last event before the live ones.
    pub seq: u64,
    pub events: broadcast::Receiver<EventBatch>,
}

/// Subscribes to the commands of one device: to one command, or to all. It ends when the receiver does. Costs nothing
/// while nothing happens, so a thousand watchers do not slow the feed.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct WatchCommands {
    pub device: DeviceId,
    /// This command only.
    pub command: Option<CommandId>,
    pub tell: mpsc::UnboundedSender<Arc<Recorded>>,
}
