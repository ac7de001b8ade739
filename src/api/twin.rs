//! `/api/devices/{id}/twin`: the twin's document, changed by merge patch, by one writer at a time.

use actix_web::http::header;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use twinhub_actors::domain::twin::Change;
use twinhub_actors::domain::{Object, Twin};

use super::body::{Body, Device};
use super::device::{find, make};
use super::params::Params;
use super::reply::Document;
use super::schema::{TwinDocument, TwinPatch};
use crate::error::{ApiError, Problem};
use crate::fields::{FieldError, Fields};
use crate::web::WebState;

/// The sections that a patch may have.
const SECTIONS: [&str; 3] = ["desired", "tags", "configuration"];

/// The twin's document; its version is the `ETag`.
#[utoipa::path(
    get,
    path = "/api/devices/{id}/twin",
    tag = "twin",
    params(("id" = String, Path), ("If-None-Match" = Option<String>, Header)),
    responses(
        (status = 200, body = TwinDocument, headers(("ETag" = String, description = "The version, quoted"))),
        (status = 304, description = "It is at that version still"),
        (status = 404, body = Problem),
    )
)]
pub async fn get_twin(
    request: HttpRequest,
    Device(id): Device,
    params: Params,
    state: Data<WebState>,
) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    let twin = find(&state, &id).await?;
    let known = header_text(&request, header::IF_NONE_MATCH);
    let is_known = known.split(',').any(|tag| version_of(tag) == Some(twin.version));
    Ok(if is_known {
        HttpResponse::NotModified().insert_header((header::ETAG, etag(&twin))).finish()
    } else {
        document(&twin, &state)
    })
}

/// Merge-patches `desired`, `tags` and `configuration` (RFC 7396: null removes).
#[utoipa::path(
    patch,
    path = "/api/devices/{id}/twin",
    tag = "twin",
    params(("id" = String, Path), ("If-Match" = Option<String>, Header, description = "The version to change")),
    request_body = TwinPatch,
    responses(
        (status = 200, body = TwinDocument, headers(("ETag" = String, description = "The version, quoted"))),
        (status = 404, body = Problem),
        (status = 412, description = "The twin is at another version", body = Problem),
        (status = 422, body = Problem),
    )
)]
pub async fn patch_twin(
    request: HttpRequest,
    Device(id): Device,
    Body(body): Body,
    state: Data<WebState>,
) -> Result<HttpResponse, ApiError> {
    let change = Change { patch: patch(body)?, if_version: if_match(&request)? };
    Ok(document(&*make(&state, id, change).await?, &state))
}

/// The version that `If-Match` names; none where there is none, or `*`.
///
/// # Errors
/// It names something that no version can be.
pub(super) fn if_match(request: &HttpRequest) -> Result<Option<u64>, ApiError> {
    match header_text(request, header::IF_MATCH).trim() {
        "" | "*" => Ok(None),
        // A weak tag never matches here (RFC 9110, 13.1.1), and one writer knows one version.
        tag if tag.starts_with("W/") => Err(ApiError::IfMatch(tag.to_owned())),
        tag => version_of(tag).map(Some).ok_or_else(|| ApiError::IfMatch(tag.to_owned())),
    }
}

fn patch(body: Object) -> Result<Object, FieldError> {
    let mut fields = Fields::of(body, &SECTIONS)?;
    let mut patch = Object::default();
    for section in SECTIONS {
        if let Some(object) = fields.object(section)? {
            patch.insert(section, object.into());
        }
    }
    Ok(patch)
}

fn document(twin: &Twin, state: &WebState) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    response.insert_header((header::ETAG, etag(twin)));
    Document::of(&twin.document(state.hub.clock.now())).send(response)
}

/// The version as a tag: `"42"`.
pub(super) fn etag(twin: &Twin) -> String {
    format!("\"{}\"", twin.version)
}

/// `"42"`, `W/"42"`, or the bare `42` that people type.
fn version_of(tag: &str) -> Option<u64> {
    let tag = tag.trim();
    tag.strip_prefix("W/").unwrap_or(tag).trim_matches('"').parse().ok()
}

fn header_text(request: &HttpRequest, name: header::HeaderName) -> &str {
    request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn check(tag: &str, expected: Result<Option<u64>, ()>) {
        let request = TestRequest::default().insert_header((header::IF_MATCH, tag)).to_http_request();
        assert_eq!(if_match(&request).map_err(|_| ()), expected, "{tag}");
    }

    #[test]
    fn reads_if_match() {
        check("\"42\"", Ok(Some(42)));
        check("42", Ok(Some(42)));
        check("*", Ok(None));
        check("W/\"42\"", Err(()));
        check("\"abc\"", Err(()));
        check("\"1\", \"2\"", Err(()));
    }

    #[test]
    fn other_sections_are_named() {
        let body = twinhub_actors::domain::payload::object(br#"{"desired": {}, "reported": {}}"#).unwrap();
        assert_eq!(patch(body).unwrap_err().field, "reported");
    }
}
