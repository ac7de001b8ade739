//! MQTT over WebSocket, `/mqtt`, for browsers and networks that let nothing else pass: the packets of MQTT in binary
//! messages. The broker gets them as those of any client; what is done here is the translation between messages and bytes.

mod messages;

use std::net::SocketAddr;

use actix_http::ws;
use actix_web::http::header;
use actix_web::web::{self, Bytes, BytesMut, Payload};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::{Stream, StreamExt as _, stream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, ReadHalf, WriteHalf};
use tokio::sync::{mpsc, watch};
use tracing::debug;
use twinhub_actors::access::Permission;

use self::messages::{ClientStep, MessageReader, close, frame, pong};
use crate::http::problem::ApiError;
use crate::http::routes::{Method, Operation};
use crate::http::{Access, LiveSession, certificate, client};

/// The subprotocol that MQTT asks for.
const PROTOCOL: &str = "mqtt";
/// Bytes on their way between a client and the broker, in each direction.
const ROOM: usize = 64 * 1_024;
/// Bytes of a message to the client.
const LARGEST_MESSAGE: usize = 16 * 1_024;
/// Answers to pings and closes that wait; a client that sends more of them is not read meanwhile.
const CONTROLS: usize = 4;
/// The status of a close frame, as RFC 6455 has them.
const NORMAL: u16 = 1_000;
const GOING_AWAY: u16 = 1_001;

/// The route. Clients sign in by their CONNECT.
pub(crate) fn operations() -> Vec<Operation> {
    vec![Operation::plain(Permission::Public, Method::Stream, "/mqtt", || web::to(open))]
}

/// `GET /mqtt`: connects a client to the broker.
///
/// # Errors
/// It is no handshake for MQTT, the broker is another program, or there are too many connections.
pub async fn open(request: HttpRequest, payload: Payload, access: Access) -> Result<HttpResponse, ApiError> {
    ws::verify_handshake(request.head()).map_err(|error| ApiError::Handshake(error.to_string()))?;
    if !asks_for_mqtt(&request) {
        return Err(ApiError::Handshake(format!("it is for the subprotocol `{PROTOCOL}`")));
    }
    let state = &access.state;
    if state.link.state().broker.is_none() {
        return Err(ApiError::NoRoute(format!("/mqtt: devices connect to {}", state.info.mqtt_url)));
    }
    let place = state.connections.hold(&request)?;
    let (ours, brokers) = tokio::io::duplex(ROOM);
    let port = request.peer_addr().map_or(0, |peer| peer.port());
    let peer = SocketAddr::new(client::of(&request).address, port);
    if !state.link.serve(Box::new(brokers), peer, certificate::of_device(&request)) {
        return Err(ApiError::TooManyConnections);
    }
    let (from_broker, to_broker) = tokio::io::split(ours);
    let (answers, controls) = mpsc::channel(CONTROLS);
    actix_rt::spawn(take_in(payload, to_broker, answers));
    let outgoing = BrokerFrames { from_broker, controls, closing: state.closing(), place, has_ended: false };
    let response = ws::handshake_response(request.head()).finish();
    let mut answer = HttpResponse::build(response.status());
    for (name, value) in response.headers() {
        answer.insert_header((name.clone(), value.clone()));
    }
    answer.upgrade("websocket").insert_header((header::SEC_WEBSOCKET_PROTOCOL, PROTOCOL));
    Ok(answer.streaming(outgoing.into_frames()))
}

/// Is MQTT among the subprotocols that the client speaks?
fn asks_for_mqtt(request: &HttpRequest) -> bool {
    let lines =
        request.headers().get_all(header::SEC_WEBSOCKET_PROTOCOL).filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(|protocol| protocol.trim().eq_ignore_ascii_case(PROTOCOL))
}

/// Hands the client's bytes to the broker until one of the two ends.
async fn take_in(mut payload: Payload, mut to_broker: WriteHalf<DuplexStream>, answers: mpsc::Sender<Bytes>) {
    let mut reader = MessageReader::default();
    'all: while let Some(Ok(chunk)) = payload.next().await {
        let mut chunk = BytesMut::from(&*chunk);
        loop {
            let taken = match reader.next(&mut chunk) {
                Ok(Some(incoming)) => incoming,
                Ok(None) => break,
                Err(fault) => {
                    debug!(fault = fault.text(), "websocket of an MQTT client ended");
                    let _ = answers.send(close(fault.status())).await; // it may have left
                    break 'all;
                }
            };
            match taken {
                ClientStep::Bytes(bytes) => {
                    if to_broker.write_all(&bytes).await.is_err() {
                        break 'all; // the broker has ended the connection, and its last words are on their way
                    }
                }
                ClientStep::Ping(bytes) => {
                    if answers.send(pong(&bytes)).await.is_err() {
                        break 'all;
                    }
                }
                ClientStep::Close => {
                    let _ = answers.send(close(NORMAL)).await; // it may have left
                    break 'all;
                }
            }
        }
    }
    let _ = to_broker.shutdown().await; // a will is published then
}

/// The way to the client.
struct BrokerFrames {
    from_broker: ReadHalf<DuplexStream>,
    controls: mpsc::Receiver<Bytes>,
    closing: watch::Receiver<bool>,
    #[expect(dead_code, reason = "held for its drop")]
    place: LiveSession,
    /// A close frame has gone.
    has_ended: bool,
}

impl BrokerFrames {
    /// Frames for the client, the last of which closes.
    fn into_frames(self) -> impl Stream<Item = Result<Bytes, std::convert::Infallible>> {
        stream::unfold(self, async |mut outgoing| Some((Ok(outgoing.next().await?), outgoing)))
    }

    async fn next(&mut self) -> Option<Bytes> {
        if self.has_ended {
            return None;
        }
        let mut bytes = BytesMut::with_capacity(LARGEST_MESSAGE);
        let closing = self.closing.wait_for(|closing| *closing);
        let next = tokio::select! {
            biased;
            Some(control) = self.controls.recv() => control,
            read = self.from_broker.read_buf(&mut bytes) => match read {
                Ok(count) if count > 0 => frame(&bytes),
                _ => close(NORMAL),
            },
            _ = closing => close(GOING_AWAY),
        };
        self.has_ended = messages::is_close(&next);
        Some(next)
    }
}
