//! The transport by a WebSocket: each packet is a text frame.

use std::convert::Infallible;
use std::sync::Arc;

use actix_http::ws::{self, CloseCode, CloseReason, OpCode, Parser};
use actix_web::web::{Bytes, BytesMut, Payload};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::{Stream, StreamExt as _, stream};
use tokio::sync::{mpsc, watch};
use tracing::debug;
use twinhub_socketio::query::EngineRefusal;
use twinhub_socketio::session::{SocketFrames, WebSocketNumber};

use super::client::SocketIoClient;
use super::session;
use crate::http::problem::socketio::SocketIoError;
use crate::http::{Access, LiveSession};

/// Answers to pings that wait; a client that sends more of them is not read meanwhile.
const CONTROLS: usize = 4;

/// Bytes of a frame's header at most.
const LONGEST_HEADER: usize = 14;

/// Begins a session with a WebSocket.
///
/// # Errors
/// It is no handshake, or there are too many sessions.
pub(super) fn begin(
    request: &HttpRequest,
    payload: Payload,
    access: Access,
) -> Result<HttpResponse, SocketIoError> {
    verify(request)?;
    let place = access.state.connections.hold(request).map_err(SocketIoError::Api)?;
    let begun = session::begin(request, access, true).map_err(SocketIoError::Api)?;
    let Some(socket) = begun.socket else { return Err(EngineRefusal::Transport.into()) }; // not reached
    Ok(serve(request, payload, begun.client, socket, place))
}

/// Opens a WebSocket beside the polls of a session.
///
/// # Errors
/// It is no handshake, or there is no such session, or it has one.
pub(super) fn open(
    request: &HttpRequest,
    payload: Payload,
    access: &Access,
    sid: &str,
) -> Result<HttpResponse, SocketIoError> {
    let client = access.state.socketio.find(sid).ok_or_else(|| EngineRefusal::session(Some(sid)))?;
    verify(request)?;
    let place = access.state.connections.hold(request).map_err(SocketIoError::Api)?;
    let socket = client.open_socket()?;
    Ok(serve(request, payload, client, socket, place))
}

fn verify(request: &HttpRequest) -> Result<(), SocketIoError> {
    ws::verify_handshake(request.head()).map_err(|_| EngineRefusal::Upgrade.into())
}

fn serve(
    request: &HttpRequest,
    payload: Payload,
    client: Arc<SocketIoClient>,
    socket: WebSocketNumber,
    place: LiveSession,
) -> HttpResponse {
    let place = Arc::new(place);
    client.set_connection(Arc::downgrade(&place));
    let (answers, controls) = mpsc::channel(CONTROLS);
    actix_rt::spawn(take_in(payload, Arc::clone(&client), socket, answers));
    let changes = client.changes();
    let outgoing = PacketFrames { client, socket, changes, controls, place, has_ended: false };
    let response = ws::handshake_response(request.head()).finish();
    let mut answer = HttpResponse::build(response.status());
    for (name, value) in response.headers() {
        answer.insert_header((name.clone(), value.clone()));
    }
    answer.upgrade("websocket");
    answer.streaming(outgoing.into_frames())
}

/// Takes the client's frames in until one of the two ends.
async fn take_in(
    mut payload: Payload,
    client: Arc<SocketIoClient>,
    socket: WebSocketNumber,
    answers: mpsc::Sender<Bytes>,
) {
    let mut reader = FrameReader::default();
    'all: while let Some(Ok(chunk)) = payload.next().await {
        reader.bytes.extend_from_slice(&chunk);
        loop {
            let step = match reader.next(client.longest_payload()) {
                Ok(Some(step)) => step,
                Ok(None) => break,
                Err(fault) => {
                    debug!(sid = %client.sid, fault, "WebSocket of a Socket.IO client ended");
                    break 'all;
                }
            };
            let goes_on = match step {
                FrameStep::Text(text) => client.hear_frame(socket, &text).await.is_ok(),
                FrameStep::Ping(bytes) => answers.send(encoded(OpCode::Pong, &bytes)).await.is_ok(),
                FrameStep::Close => false,
            };
            if !goes_on {
                break 'all;
            }
        }
    }
    client.lose_socket(socket);
}

/// The client's next step.
enum FrameStep {
    Text(String),
    Ping(Bytes),
    Close,
}

/// Reads frames, and gathers the parts of a message.
#[derive(Default)]
struct FrameReader {
    bytes: BytesMut,
    /// The parts of a text so far.
    parts: Option<BytesMut>,
}

impl FrameReader {
    /// The next step; none where more has to come. A message has `limit` bytes at most.
    fn next(&mut self, limit: usize) -> Result<Option<FrameStep>, &'static str> {
        loop {
            let parsed = Parser::parse(&mut self.bytes, true, limit);
            let Some((is_final, kind, bytes)) = parsed.map_err(|_| "no frames of RFC 6455, or too long")?
            else {
                // The parser looks at a frame's length once it is whole.
                let is_too_long = self.bytes.len() > limit + LONGEST_HEADER;
                return if is_too_long { Err("a frame that is too long") } else { Ok(None) };
            };
            let bytes = bytes.unwrap_or_default();
            match (kind, is_final) {
                (OpCode::Text, _) if self.parts.is_some() => return Err("a text in another"),
                (OpCode::Text, true) => return text(bytes).map(Some),
                (OpCode::Text, false) => self.parts = Some(bytes),
                (OpCode::Continue, _) => {
                    let parts = self.parts.as_mut().ok_or("a continuation of nothing")?;
                    if parts.len() + bytes.len() > limit {
                        return Err("a message that is too long");
                    }
                    parts.extend_from_slice(&bytes);
                    if is_final {
                        return text(self.parts.take().unwrap_or_default()).map(Some);
                    }
                }
                (OpCode::Ping, true) => return Ok(Some(FrameStep::Ping(bytes.freeze()))),
                (OpCode::Close, true) => return Ok(Some(FrameStep::Close)),
                // Bytes are a part of an event, of which none is for the hub.
                (OpCode::Binary | OpCode::Pong, true) => {}
                _ => return Err("bytes or a control frame in parts"),
            }
        }
    }
}

fn text(bytes: BytesMut) -> Result<FrameStep, &'static str> {
    String::from_utf8(bytes.to_vec()).map(FrameStep::Text).map_err(|_| "no UTF-8 text")
}

/// The way to the client. The session takes note when it is dropped with its connection.
struct PacketFrames {
    client: Arc<SocketIoClient>,
    socket: WebSocketNumber,
    changes: watch::Receiver<()>,
    controls: mpsc::Receiver<Bytes>,
    #[expect(dead_code, reason = "held for its drop")]
    place: Arc<LiveSession>,
    /// A close frame has gone.
    has_ended: bool,
}

impl PacketFrames {
    /// Frames for the client, the last of which closes. They are taken out of the session when the connection has room.
    fn into_frames(self) -> impl Stream<Item = Result<Bytes, Infallible>> {
        stream::unfold(self, async |mut outgoing| Some((Ok(outgoing.next().await?), outgoing)))
    }

    async fn next(&mut self) -> Option<Bytes> {
        if self.has_ended {
            return None;
        }
        loop {
            self.changes.mark_unchanged();
            match self.client.frames(self.socket) {
                SocketFrames::Texts(texts) => {
                    let mut frames = BytesMut::with_capacity(texts.iter().map(|text| text.len() + 10).sum());
                    for text in texts {
                        Parser::write_message(&mut frames, text.as_bytes(), OpCode::Text, true, false);
                    }
                    return Some(frames.freeze());
                }
                SocketFrames::Wait => {}
                SocketFrames::Close => {
                    self.has_ended = true;
                    let mut frame = BytesMut::new();
                    Parser::write_close(&mut frame, Some(CloseReason::from(CloseCode::Normal)), false);
                    return Some(frame.freeze());
                }
            }
            tokio::select! {
                biased;
                Some(control) = self.controls.recv() => return Some(control),
                changed = self.changes.changed() => changed.ok()?,
            }
        }
    }
}

impl Drop for PacketFrames {
    fn drop(&mut self) {
        self.client.lose_socket(self.socket);
    }
}

/// One control frame.
fn encoded(kind: OpCode, bytes: &[u8]) -> Bytes {
    let mut frame = BytesMut::new();
    Parser::write_message(&mut frame, bytes, kind, true, false);
    frame.freeze()
}
