//! The live feed as one caller may see it.

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use super::{Grant, Permission};
use crate::HubError;
use crate::messages::feed::{EventBatch, LiveFeed, SubscribeFeed};

/// The live feed: everything after `seq` that the caller may see, in order. Each event is judged by where its device is
/// when it is read, so whoever loses a device, or a device its place, hears no more of it from then on.
pub struct ConfinedFeed {
    /// The last event before the live ones.
    pub seq: u64,
    events: broadcast::Receiver<EventBatch>,
    grant: Grant,
}

/// Events of one commit, or more, without a gap in the sequence after those before.
#[derive(Clone, Debug)]
pub struct ConfinedBatch {
    /// The places of the first event and the last, whether the caller sees these or not.
    pub first: u64,
    pub last: u64,
    /// The events among them that the caller sees.
    pub events: EventBatch,
}

impl Grant {
    /// Subscribes to the live feed.
    ///
    /// # Errors
    /// The caller may not read, or the hub is shutting down.
    pub async fn subscribe(&self) -> Result<ConfinedFeed, HubError> {
        self.demand(Permission::Read)?;
        let live = self.hub.feed.send(SubscribeFeed).await;
        let LiveFeed { seq, events } = live.map_err(|_| HubError::ShuttingDown)?;
        Ok(ConfinedFeed { seq, events, grant: self.clone() })
    }
}

impl ConfinedFeed {
    /// The next events. Dropping it half-way loses nothing.
    ///
    /// # Errors
    /// The caller was too slow and events are missing, or the hub is shutting down: as of the channel.
    pub async fn recv(&mut self) -> Result<ConfinedBatch, RecvError> {
        loop {
            let batch = self.events.recv().await?;
            let (Some(first), Some(last)) = (batch.first(), batch.last()) else { continue };
            let (first, last) = (first.seq, last.seq);
            let within = self.grant.confinement();
            let events = if within.reach.is_everywhere() {
                batch
            } else {
                let places = within.places.read();
                batch
                    .iter()
                    .filter(|recorded| within.sees(&places, recorded))
                    .map(|recorded| within.show(recorded))
                    .collect()
            };
            return Ok(ConfinedBatch { first, last, events });
        }
    }
}
