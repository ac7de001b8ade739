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
    let origin = asked.headers().get(header::ORIGIN).map_or(&[][..], |origin| origin.as_bytes());
    let is_secure = client::of(asked).is_https || origin.starts_with(b"https://");
    set(response, state, &token.reveal(), LIFE, is_secure);
}

/// Takes it away.
pub(crate) fn take(response: &mut HttpResponseBuilder, state: &WebState) {
    set(response, state, "", 0, false);
}

fn set(response: &mut HttpResponseBuilder, state: &WebState, value: &str, life: u32, is_secure: bool) {
    let (name, secure) = (&state.cookie, if is_secure { "; Secure" } else { "" });
    let cookie = format!("{name}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={life}{secure}");
    response.insert_header((header::SET_COOKIE, cookie));
}
