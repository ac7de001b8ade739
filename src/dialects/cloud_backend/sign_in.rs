//! Sign-in by JSON web tokens: a token stands for a session, and is good for a day unless that is ended before.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use twinhub_access::jwt::LIFE_MS;
use twinhub_access::password::Password;
use twinhub_access::{SessionId, SessionKind};
use twinhub_actors::access::Caller;
use twinhub_actors::accounts::directory::Unidentified;
use twinhub_actors::messages::accounts::{AccountRefusal, Peer, ReadOwnUser, SignIn, TypedCode};
use twinhub_domain::{Json, Object, Timestamp};

use crate::api::auth::peer;
use crate::http::extract::body::AnyBody;
use crate::http::problem::ApiError;
use crate::http::problem::fastapi::{FastApiError, FieldFault};
use crate::http::{Access, Holder};

/// A token that was given.
#[derive(Serialize)]
struct BearerAnswer {
    access_token: String,
    token_type: &'static str,
    /// Seconds.
    expires_in: i64,
}

/// The user of a token.
#[derive(Serialize)]
struct MeAnswer {
    username: String,
    id: u64,
    is_active: bool,
    created_at: Timestamp,
}

/// Takes a name and a password, and gives a token.
pub(super) async fn login(
    request: HttpRequest,
    body: Result<AnyBody, ApiError>,
    access: Access,
) -> Result<HttpResponse, FastApiError> {
    let AnyBody(body) = body?;
    let Json::Object(body) = body else { return Err(FieldFault::no_object().into()) };
    let (login, password) = (text(&body, "username"), text(&body, "password"));
    let (login, password) = match (login, password) {
        (Ok(login), Ok(password)) => (login, password),
        (login, password) => {
            return Err(FastApiError::Fields([login.err(), password.err()].into_iter().flatten().collect()));
        }
    };
    // A second factor, for those who have one: the original knows none.
    let code = body.get("code").and_then(Json::as_str).map(|code| TypedCode(code.into()));
    let password = Password::typed(password).map_err(AccountRefusal::from).map_err(ApiError::from)?;
    let (login, peer) = (login.into(), Peer { shows: SessionKind::WebTokens, ..peer(&request) });
    let signed_in = access.change(|reply| SignIn { login, password, code, peer, reply }).await;
    let signed_in = signed_in.map_err(ApiError::from)?.map_err(ApiError::from)?;
    let (name, session) = (signed_in.user.name.as_str(), signed_in.session);
    Ok(token(&access, name, session.id, (session.created_at, session.ends_at)))
}

/// The user of the token.
pub(super) async fn me(access: Access) -> Result<HttpResponse, FastApiError> {
    let user = access.ask(ReadOwnUser { by: access.asker() }).await.map_err(ApiError::from)?;
    let user = user.map_err(ApiError::from)?;
    Ok(json(&MeAnswer {
        username: user.name.as_str().to_owned(),
        id: number(user.id.0.as_u128()),
        is_active: !user.disabled,
        created_at: user.created_at,
    }))
}

/// Gives another token for the same session; the one before is good to its end.
pub(super) async fn refresh(access: Access) -> Result<HttpResponse, FastApiError> {
    let session = match access.holder() {
        Holder::Known(identity) => identity.session,
        Holder::Anonymous | Holder::Program | Holder::Device(_) => None,
    };
    let (Caller::Person(name), Some(session)) = (access.caller(), session) else {
        // Keys are no users, and a token of one would say more than the key. Another program's token without a session is
        // good until it expires: what is made of it would be so without an end.
        return Err(ApiError::from(Unidentified::Kind).into());
    };
    let ends_at = access.state.directory().end_of_session(session);
    let ends_at = ends_at.ok_or(Unidentified::Session).map_err(ApiError::from)?;
    Ok(token(&access, name, session, (access.now(), ends_at)))
}

/// A token from a moment on, which does not outlast its session.
fn token(
    access: &Access,
    name: &str,
    session: SessionId,
    (from, session_ends_at): (Timestamp, Timestamp),
) -> HttpResponse {
    let ends_at = from.plus_millis(LIFE_MS).min(session_ends_at);
    let access_token = access.state.jwt.sign(name, session, from, ends_at);
    let expires_in = ends_at.millis().saturating_sub(from.millis()) / 1_000;
    json(&BearerAnswer { access_token, token_type: "bearer", expires_in })
}

fn json(answer: &impl Serialize) -> HttpResponse {
    crate::http::reply::json(StatusCode::OK, answer)
}

/// A text of the body.
fn text<'a>(body: &'a Object, name: &'static str) -> Result<&'a str, FieldFault> {
    match body.get(name) {
        Some(value) => value.as_str().ok_or_else(|| FieldFault::no_text(name)),
        None => Err(FieldFault::missing(name)),
    }
}

/// A number for an id that is a UUID: its last bits are of chance, and as many as a JavaScript number holds.
fn number(id: u128) -> u64 {
    const MOST: u128 = (1 << 48) - 1;
    // It fits after that.
    u64::try_from(id & MOST).unwrap_or_default()
}
