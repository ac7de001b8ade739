//! The transport by polls: a GET hangs until there is a packet, and a POST brings packets of the client.

use std::time::Duration;

use actix_web::http::header;
use actix_web::web::{BytesMut, Payload};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::StreamExt as _;
use tokio::time::timeout;
use twinhub_socketio::query::EngineRefusal;
use twinhub_socketio::session::PollAnswer;

use super::{query, session};
use crate::http::problem::ApiError;
use crate::http::problem::socketio::SocketIoError;
use crate::http::{Access, client};
use crate::state::WebState;

/// A body must have arrived within this time.
const BODY_WITHIN: Duration = Duration::from_secs(30);

/// Begins a session with polls.
///
/// # Errors
/// There are too many sessions.
pub(super) fn begin(request: &HttpRequest, access: Access) -> Result<HttpResponse, SocketIoError> {
    let state = access.state.clone();
    let begun = session::begin(request, access, false).map_err(SocketIoError::Api)?;
    Ok(respond(request, &state, begun.open))
}

/// A poll: it is answered as soon as there is a packet.
///
/// # Errors
/// There is no such session, or it has another transport.
pub(super) async fn poll(
    request: &HttpRequest,
    access: &Access,
    sid: &str,
) -> Result<HttpResponse, SocketIoError> {
    let state = &access.state;
    let client = state.socketio.find(sid).ok_or_else(|| EngineRefusal::session(Some(sid)))?;
    let mut changes = client.changes();
    let mut has_waited = false;
    loop {
        changes.mark_unchanged();
        match client.poll(has_waited) {
            PollAnswer::Payload(body) => return Ok(respond(request, state, body)),
            PollAnswer::Refused(refusal) => return Err(refusal.into()),
            PollAnswer::Wait => has_waited = true,
        }
        if changes.changed().await.is_err() {
            return Err(EngineRefusal::session(Some(sid)).into());
        }
    }
}

/// `POST /socket.io/`: packets of the client.
///
/// # Errors
/// There is no such session, or the body is no payload or too long, and the session ends.
pub(super) async fn post(
    request: HttpRequest,
    payload: Payload,
    access: Access,
) -> Result<HttpResponse, SocketIoError> {
    let sid = query(&request)?.sid;
    let client = sid.as_deref().and_then(|sid| access.state.socketio.find(sid));
    let client = client.ok_or_else(|| EngineRefusal::session(sid.as_deref()))?;
    let body = timeout(BODY_WITHIN, read(payload, client.longest_payload())).await;
    let heard = match body.map_err(|_| SocketIoError::from(ApiError::SlowBody)).flatten() {
        Ok(body) => client.hear_payload(&body).await.map_err(SocketIoError::from),
        Err(error) => {
            client.refuse_payload();
            Err(error)
        }
    };
    heard.map(|()| respond(&request, &access.state, "OK".to_owned()))
}

/// The body, which has `limit` bytes at most.
async fn read(mut payload: Payload, limit: usize) -> Result<String, SocketIoError> {
    let mut body = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|error| ApiError::Body(error.to_string()))?;
        if body.len() + chunk.len() > limit {
            return Err(EngineRefusal::TooLarge { limit }.into());
        }
        body.extend_from_slice(&chunk);
    }
    String::from_utf8(body.to_vec()).map_err(|_| EngineRefusal::Payload.into())
}

fn respond(request: &HttpRequest, state: &WebState, body: String) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    response.content_type("text/plain; charset=UTF-8");
    // A page of a listed origin may ask with its cookie, which counts for it.
    let origin = request.headers().get(header::ORIGIN).and_then(|origin| origin.to_str().ok());
    let client = client::of(request);
    if origin.is_some_and(|origin| state.policy().origins.is_own(origin, client.is_https, &client.host)) {
        response.insert_header((header::ACCESS_CONTROL_ALLOW_CREDENTIALS, "true"));
    }
    response.body(body)
}
