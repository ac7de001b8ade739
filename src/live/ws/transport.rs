//! The WebSocket side of the pump: writes notifications as frames, and does what request frames ask for. It lives
//! outside of the actor, and passes frames to it through a bounded outlet.

use std::cell::Cell;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_web::web::Bytes;
use futures_util::StreamExt;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::FuturesOrdered;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::{debug, info};
use twinhub_access::AuditRecord;
use twinhub_actors::access::{Grant, Permission};
use twinhub_actors::messages::accounts::AuditFilter;
use twinhub_domain::cause::Source;
use twinhub_domain::twin::Change;

use super::request::{RequestFrame, SubscribeRequest};
use super::{changes, frames};
use crate::api::audit::AuditItem;
use crate::http::cursor::CallerCursors;
use crate::http::problem::ApiError;
use crate::http::{Access, LiveRights, RightsLost};
use crate::live::audit_tail::AuditTail;
use crate::live::bundle::{BundlePace, EventBundle};
use crate::live::frame_buffer::FrameBuffer;
use crate::live::pump::{self, CountedFrames, PingSchedule, Transport, TransportReply};
use crate::live::subscription::{
    FeedEnded, LiveSubscriptions, Notification, Outlet, SubscriberGone, SubscriptionSlots, in_group,
};

/// Notifications that are written at once.
const BUNDLE: usize = 256;
/// Bytes of frames that are passed to the connection at once, but for the last frame.
const MOST_BYTES: usize = 64 * 1024;
/// Of the text of the last frame, bytes that are kept for the next one.
const LONGEST_TEXT_KEPT: usize = 16 * 1024;
/// The interval of pings.
const PING_EVERY: Duration = Duration::from_secs(15);
/// A client that sends nothing, and answers no ping, for this long is disconnected.
const SILENT_FOR: Duration = Duration::from_secs(60);
/// A client whose handshake has no credential must have said within this time who it is.
const INTRODUCED_WITHIN: Duration = Duration::from_secs(10);
/// Changes of one session that wait for their commit. Beyond it the client's next frames wait, and then it gets `busy`.
const MOST_AT_ONCE: usize = 64;

/// An item for the connection.
#[derive(Debug)]
pub(super) enum SocketItem {
    /// Frames, one behind the other.
    Frames(Bytes),
    Ping,
    /// Close with 1001, and a reason.
    ShuttingDown,
    /// Close with 4401 or 4403, and a reason.
    Lost(RightsLost),
}

/// The time when the client was last heard. Actor and pump live on one thread.
#[derive(Clone)]
pub(super) struct LastHeard(Rc<Cell<Instant>>);

/// The way in which a session begins.
pub(super) enum Opening {
    /// The caller may read, for as long as these rights last.
    SignedIn(LiveRights),
    /// A caller from this address who may not, and must say in the first frame who they are.
    Stranger(IpAddr),
}

/// Runs until the client leaves, is disconnected, loses its rights, or the hub shuts down.
pub(super) async fn run(
    access: Access,
    opening: Opening,
    outlet: Outlet<SocketItem>,
    mut requests: mpsc::Receiver<RequestFrame>,
    last_heard: LastHeard,
) {
    let begun = match opening {
        Opening::SignedIn(rights) => Ok((access, rights)),
        Opening::Stranger(address) => introduction(&access, address, &mut requests).await,
    };
    let (access, rights) = match begun {
        Ok(begun) => begun,
        Err(refused) => {
            let _ = outlet.send(refused).await; // the client may have left
            return;
        }
    };
    let Ok(subscriptions) = LiveSubscriptions::open(&access).await else {
        let _ = outlet.send(SocketItem::ShuttingDown).await; // the client may have left
        return;
    };
    let hub = access.grant().by_way_of(Source::WebSocket);
    let socket = WebSocket::new(hub, access.cursors(), requests, last_heard);
    let closing = access.state.closing();
    let Err(SubscriberGone) = pump::run(socket, outlet, subscriptions, None, closing, rights.lost()).await
    else {
        return;
    };
    debug!("websocket client left");
}

/// Waits for the first frame of a stranger, which has a token. In the place of the access there is the last item where
/// it does not come, or gives no right to read.
async fn introduction(
    access: &Access,
    address: IpAddr,
    requests: &mut mpsc::Receiver<RequestFrame>,
) -> Result<(Access, LiveRights), SocketItem> {
    let mut closing = access.state.closing();
    let first = tokio::select! {
        first = tokio::time::timeout(INTRODUCED_WITHIN, requests.recv()) => first,
        _ = closing.wait_for(|closing| *closing) => return Err(SocketItem::ShuttingDown),
    };
    let Ok(Some(RequestFrame::Auth { token, .. })) = first else {
        return Err(SocketItem::Lost(RightsLost::SignedOut));
    };
    let state = access.state.clone();
    let Ok(admission) = state.admit_bearer(token.reveal(), address).await else {
        return Err(SocketItem::Lost(RightsLost::SignedOut));
    };
    if admission.demand(Permission::Read).is_err() {
        return Err(SocketItem::Lost(RightsLost::Narrowed));
    }
    let rights = LiveRights::of_bearer(state.clone(), admission.holder.clone(), token.reveal().into());
    Ok((Access::new(state, admission), rights))
}

struct WebSocket {
    hub: Grant,
    cursors: CallerCursors,
    requests: mpsc::Receiver<RequestFrame>,
    last_heard: LastHeard,
    /// The beginning of the last event frame: nearly always the next one begins the same.
    prefix: (SubscriptionSlots, String),
    /// The frames being written, and the text of the one.
    frames: FrameBuffer,
    text: String,
    /// The bundles of subscriptions that asked for them, by their places.
    bundles: Vec<Option<EventBundle>>,
    bundled: SubscriptionSlots,
    /// The subscription to the audit, where there is one.
    audit: Option<(Box<str>, AuditTail)>,
    /// Answers to changes that wait for their commit.
    changes: FuturesOrdered<LocalBoxFuture<'static, String>>,
}

/// The next thing that asks for an answer.
enum SessionRequest {
    Frame(RequestFrame),
    /// A change is committed, or refused: this is the answer.
    Settled(String),
    /// Entries of the audit.
    Audit(Vec<AuditRecord>),
    /// It is time for a bundle.
    BundleDue,
}

impl Transport for WebSocket {
    type Item = SocketItem;
    type Request = SessionRequest;

    const BUNDLE: usize = BUNDLE;

    fn heartbeat(&self) -> PingSchedule {
        PingSchedule::Every(PING_EVERY)
    }

    fn greeting(&mut self, subscriptions: &LiveSubscriptions) -> Option<CountedFrames<SocketItem>> {
        Some(one(&frames::hello(&self.cursors, subscriptions.seq(), self.hub.now())))
    }

    async fn write(
        &mut self,
        notifications: impl Iterator<Item = Notification>,
        subscriptions: &LiveSubscriptions,
    ) -> Result<Option<CountedFrames<SocketItem>>, FeedEnded> {
        let now = Instant::now();
        for notification in notifications {
            self.write_one(notification, subscriptions, now);
            if self.frames.len() >= MOST_BYTES {
                break; // the rest is the next item's
            }
        }
        self.write_bundles(subscriptions, |bundle| bundle.due().is_some_and(|due| due <= now), now);
        Ok(self.written())
    }

    fn ping(&mut self) -> Option<SocketItem> {
        if self.last_heard.0.get().elapsed() > SILENT_FOR {
            info!("websocket client is silent, disconnected");
            return None;
        }
        Some(SocketItem::Ping)
    }

    fn goodbye(&self) -> Option<SocketItem> {
        Some(SocketItem::ShuttingDown)
    }

    fn dismissal(&self, lost: RightsLost) -> Option<SocketItem> {
        Some(SocketItem::Lost(lost))
    }

    async fn request(&mut self, _: &Outlet<SocketItem>) -> Result<SessionRequest, SubscriberGone> {
        tokio::select! {
            biased;
            frame = self.requests.recv(), if self.changes.len() < MOST_AT_ONCE => {
                frame.map(SessionRequest::Frame).ok_or(SubscriberGone) // the actor has ended with its connection
            }
            Some(answer) = self.changes.next(), if !self.changes.is_empty() => Ok(SessionRequest::Settled(answer)),
            entries = next_of(&mut self.audit) => Ok(SessionRequest::Audit(entries)),
            () = bundle_due(&self.bundles) => Ok(SessionRequest::BundleDue),
            else => std::future::pending().await, // not reached: one of the two is always open
        }
    }

    async fn answer(
        &mut self,
        request: SessionRequest,
        subscriptions: &mut LiveSubscriptions,
    ) -> TransportReply<SocketItem> {
        let frame = match request {
            SessionRequest::Frame(frame) => frame,
            SessionRequest::Settled(answer) => return reply(&answer),
            SessionRequest::Audit(entries) => return self.audited(entries),
            SessionRequest::BundleDue => {
                let now = Instant::now();
                self.write_bundles(subscriptions, |bundle| bundle.due().is_some_and(|due| due <= now), now);
                return TransportReply { frames: self.written(), notifications: Vec::new() };
            }
        };
        match frame {
            RequestFrame::Subscribe(request) => self.subscribe(*request, subscriptions).await,
            RequestFrame::WatchAudit { id, since } => self.watch_audit(id, since).await,
            RequestFrame::Unsubscribe { id } if self.audit.as_ref().is_some_and(|(own, _)| *own == id) => {
                self.audit = None;
                reply(&frames::unsubscribed(&id))
            }
            RequestFrame::Unsubscribe { id } => self.unsubscribe(&id, subscriptions),
            RequestFrame::Ping { id } => reply(&frames::pong(id.as_deref())),
            RequestFrame::Auth { id, .. } => {
                let why = "the first frame alone says who its sender is, where the handshake has not";
                reply(&frames::error(id.as_deref(), "signed_in", why))
            }
            RequestFrame::Desired { id, device, patch, if_version } => {
                let change = Change { patch: [("desired", patch.into())].into_iter().collect() };
                let if_version = if_version.map(Into::into);
                let (hub, cursors) = (self.hub.clone(), self.cursors.clone());
                let answer = changes::change(hub, cursors, id, device, if_version, change);
                self.changes.push_back(Box::pin(answer));
                TransportReply::later()
            }
            RequestFrame::Command { id, device, request } => {
                let answer = changes::command(self.hub.clone(), id, device, request);
                self.changes.push_back(Box::pin(answer));
                TransportReply::later()
            }
        }
    }
}

impl WebSocket {
    fn new(
        hub: Grant,
        cursors: CallerCursors,
        requests: mpsc::Receiver<RequestFrame>,
        last_heard: LastHeard,
    ) -> Self {
        Self {
            hub,
            cursors,
            requests,
            last_heard,
            prefix: Default::default(),
            frames: FrameBuffer::default(),
            text: String::new(),
            bundles: Vec::new(),
            bundled: SubscriptionSlots::default(),
            audit: None,
            changes: FuturesOrdered::new(),
        }
    }

    async fn subscribe(
        &mut self,
        request: SubscribeRequest,
        subscriptions: &mut LiveSubscriptions,
    ) -> TransportReply<SocketItem> {
        let SubscribeRequest { id, mut filter, group, since, snapshot, pace } = request;
        if let Some(group) = group {
            filter = match in_group(&self.hub, filter, &group, subscriptions.seq()).await {
                Ok(filter) => filter,
                Err(error) => return reply(&refusal(Some(&id), &error)),
            };
        }
        self.prefix = Default::default(); // a slot may have another id now
        let since = self.cursors.resume(since.as_ref());
        match subscriptions.subscribe(&id, filter, since, snapshot) {
            Ok((seq, first)) => {
                if let (Some(pace), Some(slot)) = (pace, subscriptions.slot(&id)) {
                    self.begin_bundles(slot, pace);
                }
                let frames = Some(one(&frames::subscribed(&self.cursors, &id, seq)));
                TransportReply { frames, notifications: first.into_iter().collect() }
            }
            Err(error) => reply(&frames::error(Some(&id), error.code(), &error.to_string())),
        }
    }

    fn unsubscribe(&mut self, id: &str, subscriptions: &mut LiveSubscriptions) -> TransportReply<SocketItem> {
        let Some(slot) = subscriptions.slot(id) else {
            return reply(&frames::error(Some(id), "not_subscribed", "there is no subscription of this id"));
        };
        self.write_bundle(slot, subscriptions, Instant::now()); // what was gathered is still its own
        if let Some(bundle) = self.bundles.get_mut(slot) {
            *bundle = None;
        }
        (_, self.bundled) = self.bundled.parted(SubscriptionSlots::one(slot));
        subscriptions.unsubscribe(id);
        self.prefix = Default::default(); // its slot may be another's next
        self.frames.push(&frames::unsubscribed(id));
        TransportReply { frames: self.written(), notifications: Vec::new() }
    }

    fn begin_bundles(&mut self, slot: usize, pace: BundlePace) {
        if self.bundles.len() <= slot {
            self.bundles.resize_with(slot + 1, || None); // below MOST_SUBSCRIPTIONS
        }
        self.bundles[slot] = Some(EventBundle::new(pace, Instant::now()));
        self.bundled.add(slot);
    }

    async fn watch_audit(&mut self, id: Box<str>, since: Option<u64>) -> TransportReply<SocketItem> {
        let filter = AuditFilter { since, ..AuditFilter::default() };
        match AuditTail::begin(self.hub.clone(), filter).await {
            Ok(tail) => {
                let answer = reply(&frames::watches_audit(&id, tail.since));
                self.audit = Some((id, tail));
                answer
            }
            Err(error) => reply(&refusal(Some(&id), &error)),
        }
    }

    fn audited(&mut self, entries: Vec<AuditRecord>) -> TransportReply<SocketItem> {
        let Some((id, _)) = &self.audit else { return TransportReply::later() };
        for record in entries {
            self.frames.push(&frames::audit(id, AuditItem::of(record)));
        }
        TransportReply { frames: self.written(), notifications: Vec::new() }
    }

    /// Writes a notification, or puts it into the bundles that take it.
    fn write_one(&mut self, notification: Notification, subscriptions: &LiveSubscriptions, now: Instant) {
        let text = match notification {
            Notification::Event { slots, event } => {
                let (bundled, slots) = slots.parted(self.bundled);
                for slot in bundled.iter() {
                    let Some(Some(bundle)) = self.bundles.get_mut(slot) else { continue };
                    if bundle.push(Arc::clone(&event)) {
                        self.write_bundle(slot, subscriptions, now);
                    }
                }
                if !slots.is_empty() {
                    if self.prefix.0 != slots {
                        self.prefix = (slots, frames::event_prefix(subscriptions.ids(slots)));
                    }
                    frames::write_event(&mut self.text, &self.prefix.1, &event, &self.cursors);
                    self.frames.push(&self.text);
                }
                return;
            }
            Notification::Snapshot { slot, twins, last } => {
                let id = subscriptions.ids(SubscriptionSlots::one(slot)).next().unwrap_or_default();
                frames::snapshot(id, &twins, last, self.hub.now())
            }
            Notification::Lagged { missed, resume } => frames::lagged(&self.cursors, missed, resume),
            Notification::Resync { slots, seq } => {
                frames::resync(&self.cursors, seq, subscriptions.ids(slots))
            }
        };
        self.write_bundles(subscriptions, |_| true, now); // what came before is told before
        self.frames.push(&text);
    }

    /// Writes the bundles that are `meant`.
    fn write_bundles(
        &mut self,
        subscriptions: &LiveSubscriptions,
        meant: impl Fn(&EventBundle) -> bool,
        now: Instant,
    ) {
        for slot in self.bundled.iter() {
            if self.bundles.get(slot).and_then(Option::as_ref).is_some_and(&meant) {
                self.write_bundle(slot, subscriptions, now);
            }
        }
    }

    fn write_bundle(&mut self, slot: usize, subscriptions: &LiveSubscriptions, now: Instant) {
        let Some(Some(bundle)) = self.bundles.get_mut(slot) else { return };
        let events = bundle.take(now);
        let Some(id) = subscriptions.ids(SubscriptionSlots::one(slot)).next() else { return };
        if !events.is_empty() {
            frames::write_events(&mut self.text, id, &events, &self.cursors);
            self.frames.push(&self.text);
        }
    }

    /// The frames that were written; none where there are none.
    fn written(&mut self) -> Option<CountedFrames<SocketItem>> {
        self.text.shrink_to(LONGEST_TEXT_KEPT);
        let (frames, count) = self.frames.take();
        (count > 0).then_some(CountedFrames { count, item: SocketItem::Frames(frames) })
    }
}

/// Waits until a bundle is due; for ever, where none is begun.
async fn bundle_due(bundles: &[Option<EventBundle>]) {
    match bundles.iter().flatten().filter_map(EventBundle::due).min() {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// The next entries of the audit; never, where it is not watched.
async fn next_of(audit: &mut Option<(Box<str>, AuditTail)>) -> Vec<AuditRecord> {
    match audit {
        Some((_, tail)) => tail.next().await,
        None => std::future::pending().await,
    }
}

fn one(frame: &str) -> CountedFrames<SocketItem> {
    let mut frames = FrameBuffer::default();
    frames.push(frame);
    let (frames, count) = frames.take();
    CountedFrames { count, item: SocketItem::Frames(frames) }
}

fn reply(frame: &str) -> TransportReply<SocketItem> {
    TransportReply::frames(one(frame))
}

/// The answer to a request that was refused.
pub(super) fn refusal(id: Option<&str>, error: &ApiError) -> String {
    frames::error(id, error.code(), &error.to_string())
}

impl LastHeard {
    /// The client was heard now.
    pub(super) fn now(&self) {
        self.0.set(Instant::now());
    }
}

impl Default for LastHeard {
    fn default() -> Self {
        Self(Rc::new(Cell::new(Instant::now())))
    }
}

#[cfg(test)]
mod tests;
