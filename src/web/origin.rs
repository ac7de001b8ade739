//! Who may change things from a browser. A page of another site can send simple requests, and open
//! WebSockets, without asking: its `Origin` gives it away.

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header;
use actix_web::middleware::Next;
use actix_web::web::Data;

use super::WebState;
use crate::error::ApiError;

/// The origins that are let in besides our own.
#[derive(Clone, Debug, Default)]
pub struct Origins {
    any: bool,
    named: Vec<String>,
}

impl Origins {
    /// These origins; `*` lets all in.
    #[must_use]
    pub fn new(origins: &[String]) -> Self {
        Self {
            any: origins.iter().any(|origin| origin == "*"),
            named: origins.iter().map(|origin| origin.trim_end_matches('/').to_owned()).collect(),
        }
    }

    /// May a page of `origin` talk to us, whom it calls `host`?
    #[must_use]
    pub fn lets_in(&self, origin: &str, host: &str) -> bool {
        let ours =
            || origin.split_once("://").is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host));
        self.any || self.named.iter().any(|named| named.eq_ignore_ascii_case(origin)) || ours()
    }
}

/// Refuses what a page of another site sends: changes and WebSocket handshakes. Reading is the browser's
/// to refuse, which it does unless CORS headers say otherwise.
pub(super) async fn guard(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let harmless = request.method().is_safe() && !request.headers().contains_key(header::UPGRADE);
    if !harmless
        && let Some(origin) = request.headers().get(header::ORIGIN)
        && let Some(state) = request.app_data::<Data<WebState>>()
    {
        let origin = String::from_utf8_lossy(origin.as_bytes());
        let host =
            request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        if !state.origins.lets_in(&origin, host) {
            return Err(ApiError::Origin(origin.into_owned()).into());
        }
    }
    next.call(request).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(allowed: &[&str], origin: &str, expected: bool) {
        let allowed: Vec<_> = allowed.iter().map(|&origin| origin.to_owned()).collect();
        assert_eq!(
            Origins::new(&allowed).lets_in(origin, "hub.local:8080"),
            expected,
            "{allowed:?} {origin}"
        );
    }

    #[test]
    fn lets_our_own_pages_in_and_those_that_were_named() {
        check(&[], "http://hub.local:8080", true);
        check(&[], "https://HUB.local:8080", true);
        check(&[], "http://hub.local", false);
        check(&[], "http://evil.example", false);
        check(&[], "null", false);
        check(&["http://localhost:5173/"], "http://localhost:5173", true);
        check(&["http://localhost:5173"], "http://localhost:5174", false);
        check(&["*"], "http://evil.example", true);
    }
}
