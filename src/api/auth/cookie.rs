//! The cookie with a session.

use actix_web::HttpResponseBuilder;
use actix_web::http::header::{self, HeaderMap};
use twinhub_access::SessionToken;

use crate::state::WebState;

/// As long as any session can live, in seconds. The hub ends it before that.
const LIFE: u32 = 30 * 86_400;

/// Gives the browser that sent `asked` a session. No script reads it, and no other site's page has it sent. To a page that
/// came by https, through a proxy, it is given for https alone.
pub(crate) fn give(
    response: &mut HttpResponseBuilder,
    state: &WebState,
    token: &SessionToken,
    asked: &HeaderMap,
) {
    let origin = asked.get(header::ORIGIN).map_or(&[][..], |origin| origin.as_bytes());
    set(response, state, &token.reveal(), LIFE, state.tls.is_some() || origin.starts_with(b"https://"));
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
