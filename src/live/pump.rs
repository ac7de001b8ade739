//! The pump of one live subscriber: one loop that takes notifications from its subscriptions, answers its requests,
//! pings it and says goodbye. Each way out (WebSocket, server-sent events, …) is a [`Transport`], which only writes.
//!
//! A pump runs in a task of its own, outside of the connection's: a stalled connection cannot stop it.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep_until};
use twinhub_actors::counters::add;

use super::subscription::{FeedEnded, LiveSubscriptions, Notification, Outlet, SubscriberGone};
use crate::http::RightsLost;

/// The protocol of one subscriber: how notifications become frames.
pub(crate) trait Transport {
    /// The unit that passes through the outlet: a frame, or several.
    type Item;
    /// A request of the client; [`Infallible`] where it makes none.
    type Request;

    /// Notifications in one item at most.
    const BUNDLE: usize;

    /// When the client is pinged.
    fn heartbeat(&self) -> PingSchedule;

    /// The first item of the session, where there is one.
    fn greeting(&mut self, _subscriptions: &LiveSubscriptions) -> Option<CountedFrames<Self::Item>> {
        None
    }

    /// Is this notification for the client? Asked once for each, in order.
    fn wants(&mut self, _notification: &Notification) -> bool {
        true
    }

    /// Writes [`BUNDLE`](Self::BUNDLE) notifications or fewer; none when nothing comes of them. Where an item is long
    /// enough, it leaves the rest, which is handed to it again; it takes one at least.
    ///
    /// It may wait (for the store, say). Then it is given up as soon as the client leaves or the hub shuts down.
    ///
    /// # Errors
    /// The hub is shutting down.
    async fn write(
        &mut self,
        notifications: impl Iterator<Item = Notification>,
        subscriptions: &LiveSubscriptions,
    ) -> Result<Option<CountedFrames<Self::Item>>, FeedEnded>;

    /// A ping; none when the client has been silent for too long, and is to be disconnected.
    fn ping(&mut self) -> Option<Self::Item>;

    /// The last item when the hub shuts down, where there is one.
    fn goodbye(&self) -> Option<Self::Item> {
        None
    }

    /// The last item when the client's rights end, where there is one.
    fn dismissal(&self, _lost: RightsLost) -> Option<Self::Item> {
        None
    }

    /// Waits for the client's next request. Dropping it half-way loses nothing.
    ///
    /// # Errors
    /// The client has left.
    async fn request(&mut self, outlet: &Outlet<Self::Item>) -> Result<Self::Request, SubscriberGone> {
        outlet.left().await;
        Err(SubscriberGone)
    }

    /// Answers a request.
    async fn answer(
        &mut self,
        request: Self::Request,
        subscriptions: &mut LiveSubscriptions,
    ) -> TransportReply<Self::Item>;
}

/// When a client is pinged.
#[derive(Clone, Copy, Debug)]
pub(crate) enum PingSchedule {
    /// At once, and from then on at this interval.
    Every(Duration),
    /// After this long without a frame.
    AfterSilence(Duration),
    /// Its transport sees to it.
    Never,
}

/// A time after which no session is there any more.
const LONG: Duration = Duration::from_secs(365 * 86_400);

/// An item for the outlet, with the number of frames that the metrics count for it.
#[derive(Debug)]
pub(crate) struct CountedFrames<T> {
    pub count: u64,
    pub item: T,
}

/// The answer to a request, and the notifications that follow it.
#[derive(Debug)]
pub(crate) struct TransportReply<T> {
    pub frames: Option<CountedFrames<T>>,
    pub notifications: Vec<Notification>,
}

/// Runs until the client leaves, is disconnected, loses its rights (when `lost` is done), or the hub shuts down. It begins
/// with the `first` notifications.
///
/// # Errors
/// The client left, or was disconnected.
pub(crate) async fn run<T: Transport>(
    transport: T,
    outlet: Outlet<T::Item>,
    subscriptions: LiveSubscriptions,
    first: Option<Notification>,
    closing: watch::Receiver<bool>,
    lost: impl Future<Output = RightsLost>,
) -> Result<(), SubscriberGone> {
    let mut pump = LivePump { transport, outlet, subscriptions, closing };
    // Whatever the pump waits for, a client that reads nothing among it, ends with the rights.
    let ended = tokio::select! {
        biased;
        lost = lost => Err(PumpEnd::RightsLost(lost)),
        ended = pump.run(first) => ended,
    };
    match ended {
        Err(PumpEnd::Gone) => Err(SubscriberGone),
        Err(PumpEnd::RightsLost(lost)) => {
            let is_told = pump.transport.dismissal(lost).is_none_or(|item| pump.outlet.offer(item));
            if is_told {
                return Ok(());
            }
            pump.outlet.cut();
            Err(SubscriberGone)
        }
        Err(PumpEnd::ShuttingDown) => match pump.transport.goodbye() {
            Some(goodbye) => pump.outlet.send(goodbye).await,
            None => Ok(()),
        },
        Ok(never) => match never {},
    }
}

struct LivePump<T: Transport> {
    transport: T,
    outlet: Outlet<T::Item>,
    subscriptions: LiveSubscriptions,
    closing: watch::Receiver<bool>,
}

/// The reason why a pump stops.
enum PumpEnd {
    Gone,
    RightsLost(RightsLost),
    ShuttingDown,
}

impl<T: Transport> LivePump<T> {
    async fn run(&mut self, first: Option<Notification>) -> Result<Infallible, PumpEnd> {
        if let Some(greeting) = self.transport.greeting(&self.subscriptions) {
            self.send(greeting).await?;
        }
        let heartbeat = self.transport.heartbeat();
        let mut ping = pin!(sleep_until(heartbeat.first()));
        self.notify(first.into_iter().collect(), heartbeat, ping.as_mut()).await?;
        let mut seq = self.subscriptions.seq();
        loop {
            let Self { transport, outlet, subscriptions, closing } = self;
            // Every branch loses nothing when another one is first.
            let notifications = tokio::select! {
                biased;
                () = closed(closing) => return Err(PumpEnd::ShuttingDown),
                () = ping.as_mut() => {
                    let Some(item) = transport.ping() else {
                        outlet.cut();
                        return Err(PumpEnd::Gone);
                    };
                    outlet.offer(item); // where there is no room, plenty is on its way already
                    ping.as_mut().reset(heartbeat.next());
                    continue;
                }
                request = transport.request(outlet) => {
                    let reply = transport.answer(request?, subscriptions).await;
                    if let Some(frames) = reply.frames {
                        self.send(frames).await?;
                        heartbeat.sent(ping.as_mut());
                    }
                    reply.notifications
                }
                next = subscriptions.next() => next?,
            };
            let is_told = !notifications.is_empty();
            self.notify(notifications, heartbeat, ping.as_mut()).await?;
            let reached = self.subscriptions.seq();
            if is_told && reached > seq {
                self.subscriptions.counters().slow.live(reached);
            }
            seq = reached;
        }
    }

    /// Sends these notifications, in bundles. Each is dropped as it is written, so a slow client holds none of them.
    async fn notify(
        &mut self,
        mut notifications: Vec<Notification>,
        heartbeat: PingSchedule,
        mut ping: Pin<&mut Sleep>,
    ) -> Result<(), PumpEnd> {
        notifications.retain(|notification| self.transport.wants(notification));
        let mut notifications = notifications.into_iter();
        while notifications.len() > 0 {
            let bundle = notifications.by_ref().take(T::BUNDLE);
            let frames = tokio::select! {
                biased;
                frames = self.transport.write(bundle, &self.subscriptions) => frames?,
                () = closed(&mut self.closing) => return Err(PumpEnd::ShuttingDown),
                () = self.outlet.left() => return Err(PumpEnd::Gone),
            };
            if let Some(frames) = frames {
                self.send(frames).await?;
                heartbeat.sent(ping.as_mut());
            }
        }
        Ok(())
    }

    async fn send(&self, frames: CountedFrames<T::Item>) -> Result<(), SubscriberGone> {
        add(&self.subscriptions.counters().frames_out, frames.count);
        self.outlet.send(frames.item).await
    }
}

/// Waits until sessions are to end, or the state that says so is gone.
async fn closed(closing: &mut watch::Receiver<bool>) {
    let _ = closing.wait_for(|closing| *closing).await;
}

impl PingSchedule {
    fn first(self) -> Instant {
        match self {
            Self::Every(_) => Instant::now(),
            Self::AfterSilence(silence) => Instant::now() + silence,
            Self::Never => Instant::now() + LONG,
        }
    }

    fn next(self) -> Instant {
        match self {
            Self::Every(wait) | Self::AfterSilence(wait) => Instant::now() + wait,
            Self::Never => Instant::now() + LONG,
        }
    }

    /// A frame was sent: silence begins anew.
    fn sent(self, ping: Pin<&mut Sleep>) {
        if let Self::AfterSilence(_) = self {
            ping.reset(self.next());
        }
    }
}

impl<T> TransportReply<T> {
    /// These frames alone.
    pub(crate) fn frames(frames: CountedFrames<T>) -> Self {
        Self { frames: Some(frames), notifications: Vec::new() }
    }

    /// No frame: the answer comes later.
    pub(crate) fn later() -> Self {
        Self { frames: None, notifications: Vec::new() }
    }
}

impl From<SubscriberGone> for PumpEnd {
    fn from(SubscriberGone: SubscriberGone) -> Self {
        Self::Gone
    }
}

impl From<FeedEnded> for PumpEnd {
    fn from(FeedEnded: FeedEnded) -> Self {
        Self::ShuttingDown
    }
}

#[cfg(test)]
mod tests;
