//! `/ws`: every reading that the caller may see, with alerts and the state of Node-RED, as text frames. One more transport
//! of the pump of live events.

mod frames;
mod incoming;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actix_codec::Encoder as _;
use actix_http::ws::{self, CloseCode, CloseReason, Message};
use actix_web::web::{Bytes, BytesMut, Payload};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::{Stream, stream};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::info;
use twinhub_actors::HubError;
use twinhub_actors::access::Grant;

use self::incoming::ClientWord;
use crate::http::problem::ApiError;
use crate::http::problem::fastapi::FastApiError;
use crate::http::{Access, RightsLost};
use crate::live::pump::{self, CountedFrames, PingSchedule, Transport, TransportReply};
use crate::live::subscription::{
    EventFilter, FeedEnded, LiveSubscriptions, Notification, Outlet, SubscriberGone,
};

/// Bundles of frames between the subscription and the connection.
const ROOM: usize = 8;
/// Notifications in a bundle at most.
const BUNDLE: usize = 32;
/// Frames of the client that wait for an answer; one that sends more is not read meanwhile.
const ROOM_IN: usize = 16;
/// After so long a silence a ping says that the line still stands.
const PING_AFTER: Duration = Duration::from_secs(20);
/// A client that sends nothing, and answers no ping, for this long is disconnected.
const SILENT_FOR: Duration = Duration::from_secs(60);
/// Codes of the close frame, from the range for applications: as HTTP's 401 and 403.
const SIGNED_OUT: u16 = 4401;
const RIGHT_LOST: u16 = 4403;

/// The sockets that are open now.
#[derive(Debug, Default)]
pub struct OpenSockets(AtomicU64);

/// One socket that is open, for as long as it is held.
struct OpenSocket(Arc<OpenSockets>);

/// The time when the client was last heard. Both sides of a socket live on one thread.
type HeardAt = Rc<Cell<Instant>>;

/// One client's socket.
struct CloudSocket {
    hub: Grant,
    words: mpsc::Receiver<ClientWord>,
    heard_at: HeardAt,
    #[expect(dead_code, reason = "held for its drop")]
    open: OpenSocket,
}

/// Opens a socket.
pub(super) async fn open(
    request: HttpRequest,
    payload: Payload,
    access: Access,
) -> Result<HttpResponse, FastApiError> {
    ws::verify_handshake(request.head()).map_err(|error| ApiError::Handshake(error.to_string()))?;
    let place = access.state.connections.hold(&request)?;
    let subscriptions = subscribe(&access).await?;
    let (outlet, items) = Outlet::new(ROOM, Some(place));
    let (sender, words) = mpsc::channel(ROOM_IN);
    let heard_at = HeardAt::new(Cell::new(Instant::now()));
    actix_rt::spawn(incoming::take_in(payload, sender, Rc::clone(&heard_at)));
    let open = OpenSocket::new(&access.state.cloud_backend.sockets);
    let socket = CloudSocket { hub: access.grant(), words, heard_at, open };
    let (closing, lost) = (access.state.closing(), access.live_rights(&request).lost());
    actix_rt::spawn(async move {
        // It ends when the client has left.
        let _ = pump::run(socket, outlet, subscriptions, None, closing, lost).await;
    });
    let handshake = ws::handshake_response(request.head()).finish();
    let mut answer = HttpResponse::build(handshake.status());
    for (name, value) in handshake.headers() {
        answer.insert_header((name.clone(), value.clone()));
    }
    Ok(answer.upgrade("websocket").streaming(encoded(items)))
}

/// Subscribes to readings and alarms, from now on. These clients know of no place to resume at: where one is too slow,
/// the subscription resumes by itself.
async fn subscribe(hub: &Grant) -> Result<LiveSubscriptions, ApiError> {
    let Ok(subscriptions) = LiveSubscriptions::open(hub).await else {
        return Err(ApiError::from(HubError::ShuttingDown));
    };
    let mut subscriptions = subscriptions.resuming();
    let filter = EventFilter::new(None, Some(&["telemetry".into(), "alarm".into()]))?;
    let _ = subscriptions.subscribe("cloud_backend", filter, None, false); // the first is never one too many
    Ok(subscriptions)
}

/// The frames as bytes. The one that closes is the last.
fn encoded(items: mpsc::Receiver<Vec<Message>>) -> impl Stream<Item = Result<Bytes, ws::ProtocolError>> {
    stream::unfold((items, false), async |(mut items, has_ended)| {
        let messages = if has_ended { None } else { items.recv().await }?;
        let (mut bytes, mut codec) = (BytesMut::new(), ws::Codec::new());
        let mut ends = false;
        for message in messages {
            ends |= matches!(message, Message::Close(_));
            if let Err(error) = codec.encode(message, &mut bytes) {
                return Some((Err(error), (items, true)));
            }
        }
        Some((Ok(bytes.freeze()), (items, ends)))
    })
}

impl Transport for CloudSocket {
    type Item = Vec<Message>;
    type Request = ClientWord;

    const BUNDLE: usize = BUNDLE;

    fn heartbeat(&self) -> PingSchedule {
        PingSchedule::AfterSilence(PING_AFTER)
    }

    fn greeting(&mut self, _: &LiveSubscriptions) -> Option<CountedFrames<Self::Item>> {
        Some(counted(vec![frames::connection(self.hub.now())]))
    }

    async fn write(
        &mut self,
        notifications: impl Iterator<Item = Notification>,
        _: &LiveSubscriptions,
    ) -> Result<Option<CountedFrames<Self::Item>>, FeedEnded> {
        let mut texts = Vec::new();
        for event in notifications.filter_map(Notification::into_event) {
            frames::write_event(&event, &mut texts);
        }
        Ok((!texts.is_empty()).then(|| counted(texts)))
    }

    fn ping(&mut self) -> Option<Self::Item> {
        if self.heard_at.get().elapsed() > SILENT_FOR {
            info!("websocket client is silent, disconnected");
            return None;
        }
        Some(vec![Message::Ping(Bytes::new())])
    }

    fn goodbye(&self) -> Option<Self::Item> {
        Some(close(CloseCode::Away, "the hub is shutting down"))
    }

    fn dismissal(&self, lost: RightsLost) -> Option<Self::Item> {
        Some(match lost {
            RightsLost::SignedOut => close(CloseCode::Other(SIGNED_OUT), "signed out: sign in again"),
            RightsLost::Narrowed => {
                close(CloseCode::Other(RIGHT_LOST), "the rights of this session have changed")
            }
        })
    }

    async fn request(&mut self, outlet: &Outlet<Self::Item>) -> Result<ClientWord, SubscriberGone> {
        tokio::select! {
            word = self.words.recv() => word.ok_or(SubscriberGone),
            () = outlet.left() => Err(SubscriberGone),
        }
    }

    async fn answer(&mut self, word: ClientWord, _: &mut LiveSubscriptions) -> TransportReply<Self::Item> {
        match word {
            ClientWord::Text(text) => match frames::answer(&text, self.hub.now()) {
                Some(text) => TransportReply::frames(counted(vec![Message::Text(text.into())])),
                None => TransportReply::later(),
            },
            ClientWord::Ping(bytes) => TransportReply::frames(counted(vec![Message::Pong(bytes)])),
            ClientWord::End(code, reason) => TransportReply::frames(counted(close(code, reason))),
        }
    }
}

fn counted(messages: Vec<Message>) -> CountedFrames<Vec<Message>> {
    CountedFrames { count: messages.len() as u64, item: messages }
}

fn close(code: CloseCode, reason: &str) -> Vec<Message> {
    let description = (!reason.is_empty()).then(|| reason.to_owned());
    vec![Message::Close(Some(CloseReason { code, description }))]
}

impl OpenSockets {
    /// The number of them.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl OpenSocket {
    fn new(all: &Arc<OpenSockets>) -> Self {
        all.0.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(all))
    }
}

impl Drop for OpenSocket {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}
