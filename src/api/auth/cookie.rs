//! The cookie with a session.

use actix_web::HttpResponseBuilder;
use actix_web::http::header;
use twinhub_access::SessionToken;

use crate::state::WebState;

/// As long as any session can live, in seconds. The hub ends it before that.
const LIFE: u32 = 30 * 86_400;

/// Gives the browser a session. No script reads it, and no other site's page has it sent.
pub(crate) fn give(response: &mut HttpResponseBuilder, state: &WebState, token: &SessionToken) {
    set(response, state, &token.reveal(), LIFE);
}

/// Takes it away.
pub(crate) fn take(response: &mut HttpResponseBuilder, state: &WebState) {
    set(response, state, "", 0);
}

fn set(response: &mut HttpResponseBuilder, state: &WebState, value: &str, life: u32) {
    let name = &state.cookie;
    let cookie = format!("{name}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={life}");
    response.insert_header((header::SET_COOKIE, cookie));
}
