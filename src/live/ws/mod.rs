//! WebSocket, `/api/ws`: the handshake. A session is an actor that only translates frames
//! ([`session`]) and a pump that does everything else ([`transport`]), on the same worker.

mod changes;
mod frames;
mod request;
mod schema;
mod session;
mod transport;

pub(super) use frames::{EventFrame, HubFrame};
#[cfg(test)]
pub(super) use request::is_read;
pub(super) use schema::ClientFrame;

use actix_web::web::{self, Payload};
use actix_web::{HttpRequest, HttpResponse};
use twinhub_actors::access::Permission;

use crate::http::Access;
use crate::http::problem::ApiError;
use crate::http::routes::{Method, Operation};

/// The route.
pub(crate) fn operations() -> Vec<Operation> {
    vec![Operation::plain(Permission::Read, Method::Stream, "/api/ws", || web::to(open))]
}

/// `GET /api/ws`: opens a session.
///
/// # Errors
/// It is no WebSocket handshake. (Handshakes from other sites were refused before.)
pub async fn open(request: HttpRequest, payload: Payload, access: Access) -> Result<HttpResponse, ApiError> {
    let place = access.state.connections.hold(&request)?;
    session::start(&request, payload, access, place).map_err(|error| ApiError::Handshake(error.to_string()))
}
