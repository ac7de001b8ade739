//! One's own sessions.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use twinhub_access::SessionId;
use twinhub_actors::messages::accounts::{AccountRefusal, EndOtherSessions, EndSession, ListSessions};
use uuid::Uuid;

use super::needed_id;
use super::view::{EndedItem, SessionItem};
use crate::http::Access;
use crate::http::extract::body::NamePath;
use crate::http::extract::params::Params;
use crate::http::problem::{ApiError, Problem};
use crate::http::reply;

/// One's own sessions, the newest first.
#[utoipa::path(get, path = "/api/auth/sessions", tag = "sign-in", responses((status = 200, body = [SessionItem])))]
pub async fn list_sessions(params: Params, access: Access) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    let (user, by) = (needed_id(&access)?, access.asker());
    let sessions = access.ask(ListSessions { user, by }).await??;
    let items: Vec<_> = sessions.iter().map(SessionItem::of).collect();
    Ok(reply::json(StatusCode::OK, &items))
}

/// Ends all sessions of one's own but the one that the request came by.
#[utoipa::path(delete, path = "/api/auth/sessions", tag = "sign-in", responses((status = 200, body = EndedItem)))]
pub async fn end_other_sessions(params: Params, access: Access) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    let (user, by) = (needed_id(&access)?, access.asker());
    let ended = access.change(|reply| EndOtherSessions { user, by, reply }).await??;
    Ok(reply::json(StatusCode::OK, &EndedItem { ended }))
}

/// Ends a session of one's own.
#[utoipa::path(
    delete,
    path = "/api/auth/sessions/{id}",
    tag = "sign-in",
    params(("id" = String, Path, description = "The session's id")),
    responses((status = 204), (status = 404, body = Problem))
)]
pub async fn end_session(
    NamePath(id): NamePath,
    params: Params,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    let session = Uuid::parse_str(&id).map_err(|_| AccountRefusal::UnknownSession)?;
    let (user, by, session) = (needed_id(&access)?, access.asker(), SessionId(session));
    access.change(|reply| EndSession { user, session, by, reply }).await??;
    Ok(HttpResponse::NoContent().finish())
}
