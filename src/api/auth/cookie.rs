//! The cookie with a session.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponseBuilder};
use twinhub_access::SessionToken;

use crate::http::client;
use crate::state::WebState;

/// As long as any session can live, in seconds. The hub ends it before that.
const LIFE: u32 = 30 * 86_400;

/// Gives the browser that sent `asked` a session. No script reads it, and no other site's page has it sent. To a page that
/// came by https, through a proxy, it is given for https alone.
pub(crate) fn give(
    response: &mut HttpResponseBuilder,
    state: &WebState,
    token: &SessionToken,
    asked: &HttpRequest,
) {
    give_by(response, state, token, is_https(asked));
}

/// The same to a browser that reaches the hub by https, or not.
pub(crate) fn give_by(
    response: &mut HttpResponseBuilder,
    state: &WebState,
    token: &SessionToken,
    is_secure: bool,
) {
    let is_secure = is_secure || state.tls.is_some();
    set(response, state, &token.reveal(), LIFE, is_secure);
}

/// Gives a share link in the place of a session, for the time in ms that it counts.
pub(crate) fn give_share(
    response: &mut HttpResponseBuilder,
    state: &WebState,
    (token, life_ms): (&str, i64),
    asked: &HttpRequest,
) {
    // Keys live for a year at most.
    let life = u32::try_from(life_ms.max(0) / 1_000).unwrap_or(u32::MAX);
    set(response, state, token, life, state.tls.is_some() || is_https(asked));
}

fn is_https(asked: &HttpRequest) -> bool {
    let origin = asked.headers().get(header::ORIGIN).map_or(&[][..], |origin| origin.as_bytes());
    client::of(asked).is_https || origin.starts_with(b"https://")
}

/// Takes it away.
pub(crate) fn take(response: &mut HttpResponseBuilder, state: &WebState) {
    set(response, state, "", 0, state.tls.is_some());
}

fn set(response: &mut HttpResponseBuilder, state: &WebState, value: &str, life: u32, is_secure: bool) {
    let (name, secure) = (&state.cookie, if is_secure { "; Secure" } else { "" });
    let cookie = format!("{name}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={life}{secure}");
    response.insert_header((header::SET_COOKIE, cookie));
}
