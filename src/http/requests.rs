//! Requests by their ids: one in each log line that comes of a request, in its answer's `X-Request-Id`, and in the
//! problem document where it was not done.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use tracing::field::{Empty, display};
use tracing::{Instrument as _, Span, debug, info_span};
use twinhub_actors::access::Caller;

/// The header with a request's id, in the request and in its answer.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Characters of an id that a client gives.
const LONGEST_ID: usize = 64;

tokio::task_local! {
    static CURRENT: Arc<str>;
}

/// The id of the request that is being answered; none outside of one.
#[must_use]
pub fn current_id() -> Option<String> {
    CURRENT.try_with(ToString::to_string).ok()
}

/// Gives a request its id, and logs how it was answered.
pub(super) async fn trace(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let id: Arc<str> = given_id(request.headers())
        .map_or_else(|| twinhub_actors::clock::new_id().simple().to_string().into(), Into::into);
    let span = info_span!("request", id = %id, method = %request.method(), route = Empty, caller = Empty,
        client = Empty);
    let (began, method, path) = (Instant::now(), request.method().clone(), request.path().to_owned());
    let answer = CURRENT.scope(Arc::clone(&id), next.call(request)).instrument(span.clone()).await?;
    let mut answer = answer.map_into_boxed_body();
    let status = answer.status().as_u16();
    let ms = began.elapsed().as_secs_f64() * 1_000.0;
    span.in_scope(|| debug!(%method, path, status, ms, "request answered"));
    if let Ok(id) = HeaderValue::from_str(&id) {
        answer.headers_mut().insert(REQUEST_ID, id);
    }
    Ok(answer)
}

/// Names a request's route and caller in the log.
pub(super) fn name(route: Option<String>, caller: &Caller) {
    let span = Span::current();
    if let Some(route) = route {
        span.record("route", display(route));
    }
    span.record("caller", display(caller));
}

/// Names a request's client in the log.
pub(super) fn name_client(address: IpAddr) {
    Span::current().record("client", display(address));
}

/// The id that a client gave: letters, digits, and `-_.` between. Anything else is as if it gave none.
fn given_id(headers: &HeaderMap) -> Option<&str> {
    let id = headers.get(REQUEST_ID)?.to_str().ok()?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let is_taken = !id.is_empty() && id.len() <= LONGEST_ID && id.bytes().all(is_plain);
    is_taken.then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_taken_that_can_stand_in_a_log() {
        let long = "a".repeat(LONGEST_ID + 1);
        for (given, taken) in [
            ("8f14e45f-ceea.a_1", true),
            (&long[1..], true),
            (&long, false),
            ("", false),
            ("a b", false),
            ("a\"b", false),
            ("ä", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, HeaderValue::from_bytes(given.as_bytes()).unwrap());
            assert_eq!(given_id(&headers), taken.then_some(given), "{given}");
        }
    }
}
