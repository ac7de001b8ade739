//! What is looked at before a request finds its route: whom it asks, which page it comes from, how its body
//! is packed, and whether there is room for it. And what every answer says.

use actix_web::ResponseError as _;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::ConnectionType;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::web::Data;

use super::WebState;
use super::connections;
use crate::error::ApiError;

/// What a browser may do with an answer that is not one of our pages: nothing, and nobody may frame it.
const NOTHING: &str = "default-src 'none'; frame-ancestors 'none'";
/// The page of the API's description: it styles what it shows in place.
const DOCS: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The outermost: refuses requests for hosts that are not ours, and gives every answer its headers.
pub(super) async fn outer(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let of_docs = is_of_docs(request.path());
    let connection = connections::of(request.request());
    let working = connection.as_ref().map(|connection| connection.work());
    let foreign = state(&request).and_then(|state| state.hosts.check(&request).err());
    let mut response = match foreign {
        Some(error) => refuse(request, &error),
        None => next.call(request).await?.map_into_boxed_body(),
    };
    drop(working);
    complete(response.headers_mut(), of_docs);
    if connection.is_some_and(|connection| connection.is_beyond()) {
        response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
    }
    Ok(response)
}

/// Behind the CORS headers, so that pages that are let in can read why something was refused.
pub(super) async fn inner(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    match check(&request) {
        Ok(()) => Ok(next.call(request).await?.map_into_boxed_body()),
        Err(error) => Ok(refuse(request, &error)),
    }
}

fn check(request: &ServiceRequest) -> Result<(), ApiError> {
    let Some(state) = state(request) else { return Ok(()) };
    state.origins.check(request)?;
    packed(request.headers())?;
    let is_beyond = connections::of(request.request()).is_some_and(|connection| connection.is_beyond());
    // Who looks after the hub must see how it is, most of all then.
    if is_beyond && !matches!(request.path(), "/health" | "/ready" | "/metrics") {
        return Err(state.connections.refuse());
    }
    Ok(())
}

/// Bodies are taken as they are. A megabyte of gzip can be a gigabyte, which nobody has a use for here.
fn packed(headers: &HeaderMap) -> Result<(), ApiError> {
    for value in headers.get_all(header::CONTENT_ENCODING) {
        let text = String::from_utf8_lossy(value.as_bytes());
        for coding in text.split(',').map(str::trim) {
            if !coding.is_empty() && !coding.eq_ignore_ascii_case("identity") {
                return Err(ApiError::Packed(coding.to_owned()));
            }
        }
    }
    Ok(())
}

/// The answer to a request that comes no further. What is left of its body is not waited for.
fn refuse(request: ServiceRequest, error: &ApiError) -> ServiceResponse<BoxBody> {
    request.into_response(error.error_response())
}

fn complete(headers: &mut HeaderMap, of_docs: bool) {
    let mut unless_said = |name: HeaderName, value: &'static str| {
        if !headers.contains_key(&name) {
            headers.insert(name, HeaderValue::from_static(value));
        }
    };
    unless_said(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    unless_said(header::CONTENT_SECURITY_POLICY, if of_docs { DOCS } else { NOTHING });
    unless_said(header::REFERRER_POLICY, "no-referrer");
    // The files of the docs are the program's: a browser asks whether they are the same still.
    unless_said(header::CACHE_CONTROL, if of_docs { "no-cache" } else { "no-store" });
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
    fn only_bodies_that_are_not_packed_are_taken() {
        let check = |values: &[&str], expected: Option<&str>| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::CONTENT_ENCODING, HeaderValue::from_str(value).unwrap());
            }
            let refused = packed(&headers).err().map(|error| error.to_string());
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
    fn what_a_route_says_of_its_answer_stays() {
        let mut headers = HeaderMap::new();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private"));
        complete(&mut headers, false);
        assert_eq!(headers.get(header::CACHE_CONTROL).unwrap(), "private");
        assert_eq!(headers.get(header::X_CONTENT_TYPE_OPTIONS).unwrap(), "nosniff");
        assert_eq!(headers.get(header::CONTENT_SECURITY_POLICY).unwrap(), NOTHING);
    }
}
