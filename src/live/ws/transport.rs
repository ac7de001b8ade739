//! The WebSocket side of the pump: writes notifications as frames, and does what request frames ask for. It lives
//! outside of the actor, and passes frames to it through a bounded outlet.

use std::cell::Cell;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

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
use crate::http::problem::ApiError;
use crate::http::{Access, LiveRights, RightsLost};
use crate::live::audit_tail::AuditTail;
use crate::live::pump::{self, CountedFrames, PingSchedule, Transport, TransportReply};
use crate::live::subscription::{
    FeedEnded, LiveSubscriptions, Notification, Outlet, SubscriberGone, SubscriptionSlots, in_group,
};

/// Frames that are passed to the actor at once.
pub(super) const BUNDLE: usize = 32;
/// The interval of pings.
const PING_EVERY: Duration = Duration::from_secs(15);
/// A client that sends nothing, and answers no ping, for this long is disconnected.
const SILENT_FOR: Duration = Duration::from_secs(60);
/// A client whose handshake has no credential must have said within this time who it is.
const INTRODUCED_WITHIN: Duration = Duration::from_secs(10);
/// Changes of one session that wait for their commit. Beyond it the client's next frames wait, and then it gets `busy`.
const MOST_AT_ONCE: usize = 64;

/// An item for the actor to send.
pub(super) enum SocketItem {
    Texts(Vec<String>),
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
    let socket = WebSocket::new(access.grant().by_way_of(Source::WebSocket), requests, last_heard);
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
    let Ok(admission) = state.admit_bearer(token.reveal(), address) else {
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
    requests: mpsc::Receiver<RequestFrame>,
    last_heard: LastHeard,
    /// The beginning of the last event frame: nearly always the next one begins the same.
    prefix: (SubscriptionSlots, String),
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
}

impl Transport for WebSocket {
    type Item = SocketItem;
    type Request = SessionRequest;

    const BUNDLE: usize = BUNDLE;

    fn heartbeat(&self) -> PingSchedule {
        PingSchedule::Every(PING_EVERY)
    }

    fn greeting(&mut self, subscriptions: &LiveSubscriptions) -> Option<CountedFrames<SocketItem>> {
        Some(one(frames::hello(subscriptions.seq(), self.hub.now())))
    }

    async fn write(
        &mut self,
        notifications: impl Iterator<Item = Notification>,
        subscriptions: &LiveSubscriptions,
    ) -> Result<Option<CountedFrames<SocketItem>>, FeedEnded> {
        let mut texts = Vec::with_capacity(notifications.size_hint().0);
        texts.extend(notifications.map(|notification| self.frame(&notification, subscriptions)));
        Ok(Some(CountedFrames { count: texts.len() as u64, item: SocketItem::Texts(texts) }))
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
            SessionRequest::Settled(answer) => return reply(answer),
            SessionRequest::Audit(entries) => return self.audited(entries),
        };
        match frame {
            RequestFrame::Subscribe(request) => self.subscribe(request, subscriptions).await,
            RequestFrame::WatchAudit { id, since } => self.watch_audit(id, since).await,
            RequestFrame::Unsubscribe { id } if self.audit.as_ref().is_some_and(|(own, _)| *own == id) => {
                self.audit = None;
                reply(frames::unsubscribed(&id))
            }
            RequestFrame::Unsubscribe { id } if subscriptions.unsubscribe(&id) => {
                self.prefix = Default::default(); // its slot may be another's next
                reply(frames::unsubscribed(&id))
            }
            RequestFrame::Unsubscribe { id } => {
                reply(frames::error(Some(&id), "not_subscribed", "there is no subscription of this id"))
            }
            RequestFrame::Ping { id } => reply(frames::pong(id.as_deref())),
            RequestFrame::Auth { id, .. } => {
                let why = "the first frame alone says who its sender is, where the handshake has not";
                reply(frames::error(id.as_deref(), "signed_in", why))
            }
            RequestFrame::Desired { id, device, patch, if_version } => {
                let change = Change { patch: [("desired", patch.into())].into_iter().collect() };
                let if_version = if_version.map(Into::into);
                let answer = changes::change(self.hub.clone(), id, device, if_version, change);
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
    fn new(hub: Grant, requests: mpsc::Receiver<RequestFrame>, last_heard: LastHeard) -> Self {
        let (prefix, changes) = (Default::default(), FuturesOrdered::new());
        Self { hub, requests, last_heard, prefix, audit: None, changes }
    }

    async fn subscribe(
        &mut self,
        request: SubscribeRequest,
        subscriptions: &mut LiveSubscriptions,
    ) -> TransportReply<SocketItem> {
        let SubscribeRequest { id, mut filter, group, since, snapshot } = request;
        if let Some(group) = group {
            filter = match in_group(&self.hub, filter, &group, subscriptions.seq()).await {
                Ok(filter) => filter,
                Err(error) => return reply(refusal(Some(&id), &error)),
            };
        }
        self.prefix = Default::default(); // a slot may have another id now
        match subscriptions.subscribe(&id, filter, since, snapshot) {
            Ok((seq, first)) => {
                let frames = Some(one(frames::subscribed(&id, seq)));
                TransportReply { frames, notifications: first.into_iter().collect() }
            }
            Err(error) => reply(frames::error(Some(&id), error.code(), &error.to_string())),
        }
    }

    async fn watch_audit(&mut self, id: Box<str>, since: Option<u64>) -> TransportReply<SocketItem> {
        let filter = AuditFilter { since, ..AuditFilter::default() };
        match AuditTail::begin(self.hub.clone(), filter).await {
            Ok(tail) => {
                let answer = reply(frames::subscribed(&id, tail.since));
                self.audit = Some((id, tail));
                answer
            }
            Err(error) => reply(refusal(Some(&id), &error)),
        }
    }

    fn audited(&self, entries: Vec<AuditRecord>) -> TransportReply<SocketItem> {
        let Some((id, _)) = &self.audit else { return TransportReply::later() };
        let texts: Vec<_> =
            entries.into_iter().map(|record| frames::audit(id, AuditItem::of(record))).collect();
        TransportReply::frames(CountedFrames { count: texts.len() as u64, item: SocketItem::Texts(texts) })
    }

    fn frame(&mut self, notification: &Notification, subscriptions: &LiveSubscriptions) -> String {
        match notification {
            Notification::Event { slots, event } => {
                if self.prefix.0 != *slots {
                    self.prefix = (*slots, frames::event_prefix(subscriptions.ids(*slots)));
                }
                frames::event(&self.prefix.1, event)
            }
            Notification::Snapshot { slot, twins, last } => {
                let id = subscriptions.ids(SubscriptionSlots::one(*slot)).next().unwrap_or_default();
                frames::snapshot(id, twins, *last, self.hub.now())
            }
            Notification::Lagged { missed, resume } => frames::lagged(*missed, *resume),
            Notification::Resync { slots, seq } => frames::resync(*seq, subscriptions.ids(*slots)),
        }
    }
}

/// The next entries of the audit; never, where it is not watched.
async fn next_of(audit: &mut Option<(Box<str>, AuditTail)>) -> Vec<AuditRecord> {
    match audit {
        Some((_, tail)) => tail.next().await,
        None => std::future::pending().await,
    }
}

fn one(frame: String) -> CountedFrames<SocketItem> {
    CountedFrames { count: 1, item: SocketItem::Texts(vec![frame]) }
}

fn reply(frame: String) -> TransportReply<SocketItem> {
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
mod tests {
    use std::sync::Arc;

    use tokio::sync::watch;
    use twinhub_actors::access::Caller;
    use twinhub_actors::{Hub, Settings};
    use twinhub_domain::Timestamp;
    use twinhub_store::MemoryStore;
    use twinhub_testkit::ManualClock;

    use super::*;

    /// More than all frames that a session sends here before they are read.
    const ROOM: usize = 100;

    async fn session(last_heard: &LastHeard) -> (impl Future<Output = Result<(), SubscriberGone>>, Peer) {
        let clock = ManualClock::at(Timestamp::from_millis(0));
        let hub = Hub::start(Arc::new(MemoryStore::default()), clock, Settings::default()).await.unwrap();
        let hub = hub.of(Caller::Anonymous, Source::WebSocket);
        let subscriptions = LiveSubscriptions::open(&hub).await.unwrap();
        let (outlet, frames) = Outlet::new(ROOM, None);
        let (requests_in, requests) = mpsc::channel(1);
        let (open, closing) = watch::channel(false);
        let socket = WebSocket::new(hub, requests, last_heard.clone());
        let pump = pump::run(socket, outlet, subscriptions, None, closing, std::future::pending());
        (pump, Peer { frames, _requests: requests_in, _open: open })
    }

    /// The other ends of a session.
    struct Peer {
        frames: mpsc::Receiver<SocketItem>,
        _requests: mpsc::Sender<RequestFrame>,
        _open: watch::Sender<bool>,
    }

    #[actix_web::test]
    async fn silent_client_is_pinged_and_then_disconnected() {
        let last_heard = LastHeard::default();
        let (pump, mut peer) = session(&last_heard).await;
        tokio::time::pause();
        last_heard.now();
        let began = Instant::now();
        let ended = tokio::time::timeout(10 * SILENT_FOR, pump).await;
        assert_eq!(ended.expect("it ends"), Err(SubscriberGone));
        let after = began.elapsed();
        assert!(after > SILENT_FOR && after <= SILENT_FOR + PING_EVERY, "{after:?}");
        let mut pings = 0;
        while let Some(frame) = peer.frames.recv().await {
            pings += usize::from(matches!(frame, SocketItem::Ping));
        }
        assert!(matches!(pings, 4 | 5), "at once, and every quarter of a minute: {pings}");
    }

    #[actix_web::test]
    async fn client_that_answers_now_and_then_stays() {
        let last_heard = LastHeard::default();
        let (pump, _peer) = session(&last_heard).await;
        tokio::time::pause();
        last_heard.now();
        let answers = async {
            for _ in 0..20 {
                tokio::time::sleep(SILENT_FOR / 2).await;
                last_heard.now();
            }
        };
        tokio::select! {
            ended = pump => panic!("it was disconnected: {ended:?}"),
            () = answers => {}
        }
    }
}
