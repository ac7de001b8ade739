//! Socket.IO, `/socket.io/`, for pages and programs that have a client of it: every reading as an event `sensor_data`.
//!
//! The protocol is in `twinhub-socketio`, which knows no network. A session ([`client`]) is that state and the ways to
//! wake who waits for it: its transports, which are requests ([`polls`], [`websocket`]) on any worker, and its one task
//! ([`session`]), which has the client join and runs the pump of its subscription ([`sensor_data`]). The number of
//! sessions is bounded ([`sessions`]), and so is what waits in each.

mod client;
mod polls;
mod sensor_data;
mod session;
mod sessions;
mod websocket;

use actix_web::http::header;
use actix_web::web::{self, Payload, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use twinhub_actors::access::Permission;
use twinhub_socketio::query::{EngineQuery, EngineRefusal, EngineTransport};

pub use self::sessions::SocketIoSessions;

use crate::http::Access;
use crate::http::problem::socketio::{self, PATH, SocketIoError};
use crate::http::routes::{self, Method, Operation};

/// The routes. Who the client is, it may say when it joins.
pub(crate) fn operations() -> Vec<Operation> {
    vec![
        Operation::plain(Permission::Public, Method::Stream, PATH, || web::to(get)),
        Operation::plain(Permission::Public, Method::Post, PATH, || web::to(polls::post)),
    ]
}

/// Serves them. What is refused is refused in words that these clients know.
pub(crate) fn configure(config: &mut ServiceConfig) {
    routes::configure(config, operations(), socketio::answer);
}

/// `GET /socket.io/`: begins a session, polls for one, or opens a WebSocket.
///
/// # Errors
/// The query is none of Engine.IO 4, there is no such session, or there are too many.
async fn get(request: HttpRequest, payload: Payload, access: Access) -> Result<HttpResponse, SocketIoError> {
    let EngineQuery { transport, sid } = query(&request)?;
    let is_upgrade = request
        .headers()
        .get(header::UPGRADE)
        .is_some_and(|protocol| protocol.as_bytes().eq_ignore_ascii_case(b"websocket"));
    match (transport, sid) {
        (EngineTransport::Polling, None) => polls::begin(&request, access),
        (EngineTransport::Polling, Some(sid)) => polls::poll(&request, &access, &sid).await,
        (EngineTransport::WebSocket, None) if is_upgrade => websocket::begin(&request, payload, access),
        (EngineTransport::WebSocket, None) => Err(EngineRefusal::Upgrade.into()),
        (EngineTransport::WebSocket, Some(sid)) if is_upgrade => {
            websocket::open(&request, payload, &access, &sid)
        }
        (EngineTransport::WebSocket, Some(_)) => Err(EngineRefusal::Transport.into()),
    }
}

/// The query of a request.
fn query(request: &HttpRequest) -> Result<EngineQuery, EngineRefusal> {
    let pairs: Vec<_> = form_urlencoded::parse(request.query_string().as_bytes()).collect();
    EngineQuery::of(pairs.iter().map(|(name, value)| (&**name, &**value)))
}
