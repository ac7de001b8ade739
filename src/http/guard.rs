//! Middleware around all routes: checks the request's host, origin and content encoding before routing, refuses
//! requests beyond the connection limit, and sets the security headers of every response.

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::ConnectionType;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{HttpMessage as _, ResponseError as _};

use super::sending::watched;
use super::{Policy, WebState};
use super::{connections, requests, sign_in};
use crate::http::problem::{ApiError, socketio};

/// The content security policy of responses that are no page: nothing is run, loaded or framed.
const NOTHING: &str = "default-src 'none'; frame-ancestors 'none'";
/// The content security policy of the API documentation, which uses inline styles.
const DOCS: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Browsers ask this host over TLS alone for a year. Not with a certificate of our own authority: a browser that is told so
/// lets nobody pass who has not trusted that yet.
const TLS_ALONE: &str = "max-age=31536000";

/// The outermost middleware: refuses requests for other hosts, and sets the headers of every response.
pub(super) async fn outer(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let of_docs = is_of_docs(request.path());
    let connection = connections::of(request.request());
    let working = connection.as_ref().map(|connection| connection.work());
    let policy = state(&request).map(|state| state.policy());
    let tls = state(&request).and_then(|state| state.tls.as_ref());
    let has_public_certificate = tls.is_some_and(|tls| tls.authority_pem().is_none());
    let foreign = policy.as_ref().and_then(|policy| meet(&request, policy).err());
    let mut response = match foreign {
        Some(error) => refuse(request, &error),
        None => next.call(request).await?.map_into_boxed_body(),
    };
    complete(response.headers_mut(), of_docs);
    if has_public_certificate {
        response.headers_mut().insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static(TLS_ALONE));
    }
    if let Some(policy) = policy {
        tell_origin(response.headers_mut(), &policy);
    }
    let Some(connection) = &connection else { return Ok(response) };
    if connection.is_beyond() {
        response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
    }
    let response = response.map_body(|_, body| watched(body, connection));
    drop(working);
    Ok(response)
}

/// Finds out who the client is, and refuses a request for another host.
fn meet(request: &ServiceRequest, policy: &Policy) -> Result<(), ApiError> {
    let client = policy.proxies.client(request.head())?;
    requests::name_client(client.address);
    policy.hosts.check(request)?;
    if client.is_handed_on && !client.host.is_empty() && !policy.hosts.has(&client.host) {
        return Err(ApiError::Host(client.host.into()));
    }
    request.extensions_mut().insert(client);
    Ok(())
}

/// Inside the CORS middleware, so that allowed pages can read why a request was refused.
pub(super) async fn inner(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let Err(error) = check(&request) else { return Ok(next.call(request).await?.map_into_boxed_body()) };
    match sign_in::way_to_set_up(request.request(), &error) {
        Some(way) => Ok(request.into_response(way)),
        None => Ok(refuse(request, &error)),
    }
}

fn check(request: &ServiceRequest) -> Result<(), ApiError> {
    let Some(state) = state(request) else { return Ok(()) };
    state.policy().origins.check(request)?;
    content_encoding(request.headers())?;
    let is_beyond = connections::of(request.request()).is_some_and(|connection| connection.is_beyond());
    // Monitoring must work above all while the hub is crowded.
    if is_beyond && !is_monitoring(request.path()) {
        return Err(state.connections.refuse());
    }
    if !sign_in::is_of_set_up(request.path()) && state.awaits_first_user(request.request()) {
        return Err(ApiError::NotSetUp);
    }
    Ok(())
}

/// Refuses compressed bodies: a megabyte of gzip can inflate to a gigabyte, and no route needs them.
fn content_encoding(headers: &HeaderMap) -> Result<(), ApiError> {
    for value in headers.get_all(header::CONTENT_ENCODING) {
        let text = String::from_utf8_lossy(value.as_bytes());
        for coding in text.split(',').map(str::trim) {
            if !coding.is_empty() && !coding.eq_ignore_ascii_case("identity") {
                return Err(ApiError::ContentEncoding(coding.to_owned()));
            }
        }
    }
    Ok(())
}

/// The response to a request that is not routed. The rest of its body is not read.
fn refuse(request: ServiceRequest, error: &ApiError) -> ServiceResponse<BoxBody> {
    let answer = match request.path() {
        socketio::PATH => socketio::refusal(error),
        _ => error.error_response(),
    };
    request.into_response(answer)
}

fn complete(headers: &mut HeaderMap, of_docs: bool) {
    let mut unless_said = |name: HeaderName, value: &'static str| {
        if !headers.contains_key(&name) {
            headers.insert(name, HeaderValue::from_static(value));
        }
    };
    unless_said(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    unless_said(header::CONTENT_SECURITY_POLICY, if of_docs { DOCS } else { NOTHING });
    // A page tells other sites nothing. (`no-referrer` would have its forms send `Origin: null`.)
    unless_said(header::REFERRER_POLICY, "same-origin");
    // The files of the docs are the program's: a browser asks whether they are the same still.
    unless_said(header::CACHE_CONTROL, if of_docs { "no-cache" } else { "no-store" });
}

/// Corrects the headers of the CORS middleware: an origin that `*` lets in gets `*`, which never comes with
/// credentials, one that is named may send its session, and one that is not let in gets none.
fn tell_origin(headers: &mut HeaderMap, policy: &Policy) {
    let Some(allowed) = headers.get(header::ACCESS_CONTROL_ALLOW_ORIGIN) else {
        headers.remove(header::ACCESS_CONTROL_EXPOSE_HEADERS);
        return;
    };
    let Ok(origin) = allowed.to_str() else { return };
    if policy.origins.by_wildcard(origin) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    } else if origin != "null" {
        // `null` is any file and any sandbox.
        headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    }
}

/// Is it a route that says whether the hub is well?
pub(super) fn is_monitoring(path: &str) -> bool {
    matches!(path, "/health" | "/ready" | "/metrics")
}

fn is_of_docs(path: &str) -> bool {
    path.starts_with("/docs/")
}

fn state(request: &ServiceRequest) -> Option<&Data<WebState>> {
    request.app_data::<Data<WebState>>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compressed_bodies_are_refused() {
        let check = |values: &[&str], expected: Option<&str>| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::CONTENT_ENCODING, HeaderValue::from_str(value).unwrap());
            }
            let refused = content_encoding(&headers).err().map(|error| error.to_string());
            let fits = match (&refused, expected) {
                (Some(refused), Some(coding)) => refused.contains(&format!("`{coding}`")),
                (refused, expected) => refused.is_none() && expected.is_none(),
            };
            assert!(fits, "{values:?}: {refused:?}");
        };
        check(&[], None);
        check(&["identity"], None);
        check(&["Identity , identity"], None);
        check(&[""], None);
        check(&["gzip"], Some("gzip"));
        check(&["identity", "x-gzip"], Some("x-gzip"));
        check(&["identity, br"], Some("br"));
        check(&["deflate"], Some("deflate"));
        check(&["zstd"], Some("zstd"));
    }

    #[test]
    fn headers_set_by_a_route_stay() {
        let mut headers = HeaderMap::new();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private"));
        complete(&mut headers, false);
        assert_eq!(headers.get(header::CACHE_CONTROL).unwrap(), "private");
        assert_eq!(headers.get(header::X_CONTENT_TYPE_OPTIONS).unwrap(), "nosniff");
        assert_eq!(headers.get(header::CONTENT_SECURITY_POLICY).unwrap(), NOTHING);
    }
}
