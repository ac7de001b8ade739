//! The bounded way out to one subscriber, with the watchdog that disconnects one that reads nothing.

use std::time::Duration;

use tokio::sync::mpsc;
use tracing::info;

use crate::http::LiveSession;

/// A subscriber that reads nothing for this long, while something waits for it, is disconnected.
const STALLED_AFTER: Duration = Duration::from_secs(30);

/// The bounded way out to one subscriber.
///
/// The other end is read inside the connection's own task, which is not polled while its TCP stalls: so this end
/// notices, and it closes the connection itself.
pub struct Outlet<T> {
    items: mpsc::Sender<T>,
    session: Option<LiveSession>,
}

/// The subscriber is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the subscriber is gone")]
pub struct SubscriberGone;

impl<T> Outlet<T> {
    /// An outlet with room for `room` items, over the connection of `session`.
    #[must_use]
    pub fn new(room: usize, session: Option<LiveSession>) -> (Self, mpsc::Receiver<T>) {
        let (items, receiver) = mpsc::channel(room);
        (Self { items, session }, receiver)
    }

    /// Passes `item` on, once there is room.
    ///
    /// # Errors
    /// The subscriber left, or read nothing for 30 s and was disconnected.
    pub async fn send(&self, item: T) -> Result<(), SubscriberGone> {
        match tokio::time::timeout(STALLED_AFTER, self.items.send(item)).await {
            Ok(sent) => sent.map_err(|_| SubscriberGone),
            Err(_) => {
                info!(after = ?STALLED_AFTER, "subscriber reads nothing, disconnected");
                self.cut();
                Err(SubscriberGone)
            }
        }
    }

    /// Passes `item` on if there is room.
    pub fn offer(&self, item: T) -> bool {
        self.items.try_send(item).is_ok()
    }

    /// Waits until the subscriber has left.
    pub async fn left(&self) {
        self.items.closed().await;
    }

    /// Closes the connection under the reader of the other end.
    pub fn cut(&self) {
        if let Some(session) = &self.session {
            session.cut();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn subscriber_that_reads_nothing_is_disconnected() {
        let (outlet, _receiver) = Outlet::new(1, None);
        assert_eq!(outlet.send(1).await, Ok(()));
        let started = tokio::time::Instant::now();
        assert_eq!(outlet.send(2).await, Err(SubscriberGone));
        assert_eq!(started.elapsed(), STALLED_AFTER);
    }

    #[tokio::test]
    async fn subscriber_that_left_is_gone() {
        let (outlet, receiver) = Outlet::new(1, None);
        drop(receiver);
        outlet.left().await;
        assert_eq!(outlet.send(1).await, Err(SubscriberGone));
    }
}
