//! The one place that touches actix-web-actors: an actor that takes in what the client sends, and answers at once what
//! needs no pump.
//!
//! The crate's outgoing queue is unbounded, and takes frames one by one. So the pump's do not go through it: they come
//! written, as many as there are, by a bounded channel, which is read only when the connection has room to be polled. The
//! same stall stops the actor's timers, so the pump sends heartbeats and disconnects dead clients.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use actix::{Actor, ActorContext, StreamHandler};
use actix_http::ws::{Codec, Item, OpCode, Parser};
use actix_web::web::{Bytes, BytesMut, Payload};
use actix_web::{HttpRequest, HttpResponse};
use actix_web_actors::ws::{self, CloseCode, CloseReason, Message, ProtocolError, WebsocketContext};
use futures_util::stream::{LocalBoxStream, Stream, StreamExt as _};
use tokio::sync::mpsc;

use super::frames;
use super::request::{self, RequestFrame};
use super::transport::{self, LastHeard, Opening, SocketItem};
use crate::http::{Access, LiveSession, RightsLost};
use crate::live::subscription::Outlet;

/// A message, in one frame or several, has at most this many bytes.
const LONGEST_MESSAGE: usize = 1024 * 1024;
/// Items between pump and connection: 256 KiB of frames, but for long ones.
const ROOM_OUT: usize = 4;
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
    let mut response = ws::handshake(request)?;
    let (outlet, items) = Outlet::new(ROOM_OUT, Some(place));
    let (sender, requests) = mpsc::channel(ROOM_IN);
    let last_heard = LastHeard::default();
    let session = SocketSession { requests: sender, last_heard: last_heard.clone(), parts: None };
    let answers = WebsocketContext::with_codec(session, payload, Codec::new().max_size(LONGEST_MESSAGE));
    actix_rt::spawn(transport::run(access, opening, outlet, requests, last_heard));
    Ok(response.streaming(SocketBytes { answers: answers.boxed_local(), items, has_ended: false }))
}

impl Actor for SocketSession {
    type Context = WebsocketContext<Self>;
}

/// All that goes to the client: what the actor answers, and what the pump has written. It ends with either.
struct SocketBytes {
    answers: LocalBoxStream<'static, Result<Bytes, actix_web::Error>>,
    items: mpsc::Receiver<SocketItem>,
    has_ended: bool,
}

impl Stream for SocketBytes {
    type Item = Result<Bytes, actix_web::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.has_ended {
            return Poll::Ready(None);
        }
        // The actor first: it may have closed, and nothing goes behind a close frame.
        if let Poll::Ready(answer) = self.answers.poll_next_unpin(context) {
            return Poll::Ready(answer);
        }
        let item = ready!(self.items.poll_recv(context));
        self.has_ended = item.as_ref().is_none_or(SocketItem::is_last);
        Poll::Ready(item.map(|item| Ok(item.into_bytes())))
    }
}

impl SocketItem {
    fn is_last(&self) -> bool {
        matches!(self, Self::Lost(_) | Self::ShuttingDown)
    }

    fn into_bytes(self) -> Bytes {
        let close = |code: CloseCode, why: &str| {
            let mut frame = BytesMut::new();
            let description = Some(why.to_owned());
            Parser::write_close(&mut frame, Some(CloseReason { code, description }), false);
            frame.freeze()
        };
        match self {
            Self::Frames(frames) => frames,
            Self::Ping => {
                let mut frame = BytesMut::new();
                Parser::write_message(&mut frame, b"", OpCode::Ping, true, false);
                frame.freeze()
            }
            Self::Lost(RightsLost::SignedOut) => {
                close(CloseCode::Other(SIGNED_OUT), "signed out: sign in, or send another token")
            }
            Self::Lost(RightsLost::Narrowed) => {
                close(CloseCode::Other(RIGHT_LOST), "the rights of this session have changed")
            }
            Self::ShuttingDown => close(CloseCode::Away, "the hub is shutting down"),
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
