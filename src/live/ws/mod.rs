//! WebSocket, `/api/ws`: the handshake. A session is an actor that only translates frames
//! ([`session`]) and a pump that does everything else ([`transport`]), on the same worker.

mod changes;
mod frames;
mod request;
mod schema;
mod session;
mod transport;

pub(super) use frames::{EventFrame, EventsFrame, HubFrame};
#[cfg(test)]
pub(super) use request::is_read;
pub(super) use schema::ClientFrame;

use actix_web::web::{self, Payload};
use actix_web::{HttpRequest, HttpResponse};
use twinhub_actors::access::Permission;

use self::transport::Opening;
use crate::http::problem::ApiError;
use crate::http::routes::{Method, Operation};
use crate::http::{Access, Holder, client};

/// The route.
pub(crate) fn operations() -> Vec<Operation> {
    // Clients that cannot send a header say who they are in the first frame.
    vec![Operation::plain(Permission::Public, Method::Stream, "/api/ws", || web::to(open))]
}

/// `GET /api/ws`: opens a session.
///
/// # Errors
/// It is no WebSocket handshake, or the caller may not read. (Handshakes from other sites were refused before.)
pub async fn open(request: HttpRequest, payload: Payload, access: Access) -> Result<HttpResponse, ApiError> {
    let state = access.state.clone();
    let admission = state.admit(&request).await?; // an old cookie counts for nothing here
    let opening = match admission.demand(Permission::Read) {
        Ok(()) => Opening::SignedIn(access.live_rights(&request)),
        Err(_) if matches!(admission.holder, Holder::Anonymous) => {
            Opening::Stranger(client::of(&request).address)
        }
        Err(error) => return Err(error),
    };
    let place = state.connections.hold(&request)?;
    session::start(&request, payload, access, opening, place)
        .map_err(|error| ApiError::Handshake(error.to_string()))
}
