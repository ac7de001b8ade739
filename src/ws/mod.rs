//! WebSocket, `/api/ws`: the handshake. A session is an actor that only translates frames
//! ([`session`]) and a pump that does everything else ([`pump`]), on the same worker.

mod pump;
mod said;
mod session;
mod wire;

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};

use crate::error::ApiError;
use crate::web::WebState;

/// `GET /api/ws`: opens a session.
///
/// # Errors
/// It is no WebSocket handshake. (Handshakes from other sites were refused before.)
pub async fn open(
    request: HttpRequest,
    payload: Payload,
    state: Data<WebState>,
) -> Result<HttpResponse, ApiError> {
    let place = state.connections.hold(&request)?;
    session::start(&request, payload, state.into_inner(), place)
        .map_err(|error| ApiError::Handshake(error.to_string()))
}
