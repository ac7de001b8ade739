//! The one place that touches actix-web-actors: an actor that translates between frames and the pump.
//!
//! The crate's outgoing queue is unbounded, so nothing is pushed at this actor: it takes frames
//! from the pump's bounded channel, and only when its connection has room to be polled. The same stall
//! stops its timers, so the pump sends heartbeats and disconnects dead clients.

use actix::{Actor, ActorContext, StreamHandler};
use actix_http::ws::Item;
use actix_web::web::{BytesMut, Payload};
use actix_web::{HttpRequest, HttpResponse};
use actix_web_actors::ws::{self, CloseCode, CloseReason, Message, ProtocolError, WebsocketContext};
use futures_util::stream;
use tokio::sync::mpsc;

use super::frames;
use super::request::{self, RequestFrame};
use super::transport::{self, LastHeard, Opening, SocketItem};
use crate::http::{Access, LiveSession, RightsLost};
use crate::live::subscription::Outlet;

/// A message, in one frame or several, has at most this many bytes.
const LONGEST_MESSAGE: usize = 1024 * 1024;
/// Bundles of frames between pump and connection: with [`transport::BUNDLE`] frames each, 256 frames.
const ROOM_OUT: usize = 8;
/// Codes of the close frame, from the range for applications: as HTTP's 401 and 403.
const SIGNED_OUT: u16 = 4401;
const RIGHT_LOST: u16 = 4403;
/// Request frames of the client that wait for the pump.
const ROOM_IN: usize = 64;

/// The actor of one connection.
struct SocketSession {
    requests: mpsc::Sender<RequestFrame>,
    last_heard: LastHeard,
    /// The parts of a message so far.
    parts: Option<BytesMut>,
}

/// Answers the handshake, and starts the actor and its pump.
///
/// # Errors
/// It is no handshake.
pub(super) fn start(
    request: &HttpRequest,
    payload: Payload,
    access: Access,
    opening: Opening,
    place: LiveSession,
) -> Result<HttpResponse, actix_web::Error> {
    let (outlet, frames) = Outlet::new(ROOM_OUT, Some(place));
    let (sender, requests) = mpsc::channel(ROOM_IN);
    let last_heard = LastHeard::default();
    let session = SocketSession { requests: sender, last_heard: last_heard.clone(), parts: None };
    let (address, response) = ws::WsResponseBuilder::new(session, request, payload)
        .frame_size(LONGEST_MESSAGE)
        .start_with_addr()?;
    actix_rt::spawn(async move {
        // Without its frames the actor would not live: they are its first message.
        if address.send(TakeFrames(frames)).await.is_ok() {
            transport::run(access, opening, outlet, requests, last_heard).await;
        }
    });
    Ok(response)
}

/// Hands the actor the frames that it sends.
#[derive(actix::Message)]
#[rtype(result = "()")]
struct TakeFrames(mpsc::Receiver<SocketItem>);

impl Actor for SocketSession {
    type Context = WebsocketContext<Self>;
}

impl actix::Handler<TakeFrames> for SocketSession {
    type Result = ();

    fn handle(&mut self, TakeFrames(frames): TakeFrames, ctx: &mut Self::Context) {
        let frames = stream::unfold(frames, async |mut frames| Some((frames.recv().await?, frames)));
        <Self as StreamHandler<SocketItem>>::add_stream(frames, ctx);
    }
}

/// Outgoing frames. When the pump ends, so does the actor.
impl StreamHandler<SocketItem> for SocketSession {
    fn handle(&mut self, out: SocketItem, ctx: &mut Self::Context) {
        match out {
            SocketItem::Texts(texts) => texts.into_iter().for_each(|text| ctx.text(text)),
            SocketItem::Ping => ctx.ping(b""),
            SocketItem::Lost(RightsLost::SignedOut) => {
                close(ctx, CloseCode::Other(SIGNED_OUT), "signed out: sign in, or send another token");
            }
            SocketItem::Lost(RightsLost::Narrowed) => {
                close(ctx, CloseCode::Other(RIGHT_LOST), "the rights of this session have changed");
            }
            SocketItem::ShuttingDown => close(ctx, CloseCode::Away, "the hub is shutting down"),
        }
    }
}

/// Incoming messages.
impl StreamHandler<Result<Message, ProtocolError>> for SocketSession {
    fn handle(&mut self, message: Result<Message, ProtocolError>, ctx: &mut Self::Context) {
        self.last_heard.now();
        match message {
            Ok(Message::Text(text)) => self.take(text.into_bytes().as_ref(), ctx),
            Ok(Message::Continuation(item)) => self.part(item, ctx),
            Ok(Message::Binary(_)) => close(ctx, CloseCode::Unsupported, "frames are JSON text"),
            Ok(Message::Ping(payload)) => ctx.pong(&payload),
            Ok(Message::Pong(_) | Message::Nop) => {}
            Ok(Message::Close(reason)) => {
                ctx.close(reason);
                ctx.stop();
            }
            Err(ProtocolError::Overflow) => too_long(ctx),
            Err(ProtocolError::Io(_)) => close(ctx, CloseCode::Invalid, "no UTF-8 text"),
            Err(error) => close(ctx, CloseCode::Protocol, &error.to_string()),
        }
    }
}

impl SocketSession {
    fn take(&mut self, text: &[u8], ctx: &mut WebsocketContext<Self>) {
        let frame = match request::parse(text) {
            Ok(RequestFrame::Ping { id }) => return ctx.text(frames::pong(id.as_deref())),
            Ok(frame) => frame,
            Err(error) => return ctx.text(error.frame()),
        };
        if let Err(mpsc::error::TrySendError::Full(frame)) = self.requests.try_send(frame) {
            ctx.text(frames::error(frame.id(), "busy", "too many frames wait, slow down"));
        }
    }

    fn part(&mut self, item: Item, ctx: &mut WebsocketContext<Self>) {
        let (part, last) = match item {
            Item::FirstText(part) => {
                self.parts = Some(BytesMut::new());
                (part, false)
            }
            Item::FirstBinary(_) => return close(ctx, CloseCode::Unsupported, "frames are JSON text"),
            Item::Continue(part) => (part, false),
            Item::Last(part) => (part, true),
        };
        let Some(parts) = &mut self.parts else {
            return close(ctx, CloseCode::Protocol, "a continuation of nothing");
        };
        if parts.len() + part.len() > LONGEST_MESSAGE {
            return too_long(ctx);
        }
        parts.extend_from_slice(&part);
        if last && let Some(message) = self.parts.take() {
            self.take(&message, ctx);
        }
    }
}

fn too_long(ctx: &mut WebsocketContext<SocketSession>) {
    close(ctx, CloseCode::Size, "a message has 1 MiB at most");
}

fn close(ctx: &mut WebsocketContext<SocketSession>, code: CloseCode, why: &str) {
    ctx.close(Some(CloseReason { code, description: Some(why.to_owned()) }));
    ctx.stop();
}
