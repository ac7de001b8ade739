//! `/api/devices/{id}/twin`: the twin's document, changed by merge patch, by one writer at a time.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse};
use twinhub_domain::twin::Change;
use twinhub_domain::{Input, Twin};

use super::request::TwinPatch;
use super::schema::TwinDocument;
use crate::api::devices::device::{find, make};
use crate::http::Access;
use crate::http::extract::body::{Body, DevicePath};
use crate::http::extract::params::Params;
use crate::http::extract::precondition::{if_match, if_none_match_tags};
use crate::http::problem::{ApiError, Problem};
use crate::http::reply::Document;

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
    DevicePath(id): DevicePath,
    params: Params,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    let twin = find(&access, &id).await?;
    let version = twin.version.to_string();
    let is_known = if_none_match_tags(&request).is_some_and(|tags| tags.match_weakly(&version));
    Ok(if is_known {
        HttpResponse::NotModified().insert_header((header::ETAG, etag(&twin))).finish()
    } else {
        document(&twin, &access)
    })
}

/// Merge-patches `desired`, `tags` and `configuration` (RFC 7396: null removes). An object in `desired` that loses its
/// last member by that goes with it, so that nothing is left to come to.
#[utoipa::path(
    patch,
    path = "/api/devices/{id}/twin",
    tag = "twin",
    params(("id" = String, Path), ("If-Match" = Option<String>, Header, description = "The version to change, or a list of versions: `\"3\", \"4\"`")),
    request_body = TwinPatch,
    responses(
        (status = 200, body = TwinDocument, headers(("ETag" = String, description = "The version, quoted"))),
        (status = 404, body = Problem),
        (status = 400, description = "`If-Match` is no list of entity tags", body = Problem),
        (status = 412, description = "The twin is at none of the versions that `If-Match` names", body = Problem),
        (status = 422, body = Problem),
    )
)]
pub async fn patch_twin(
    request: HttpRequest,
    DevicePath(id): DevicePath,
    Body(patch): Body<TwinPatch>,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    let (patch, if_version) = (patch.members(), if_match(&request)?);
    let change = Input::Change(Box::new(Change { patch }));
    Ok(document(&*make(&access, id, if_version, change).await?, &access))
}

fn document(twin: &Twin, access: &Access) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    response.insert_header((header::ETAG, etag(twin)));
    Document::of(&twin.document(access.now())).send(response)
}

/// The version as a tag: `"42"`.
pub(crate) fn etag(twin: &Twin) -> String {
    format!("\"{}\"", twin.version)
}

#[cfg(test)]
mod tests {
    use twinhub_domain::Json;

    use super::*;

    #[test]
    fn other_sections_are_named() {
        let read = |text: &str| crate::http::extract::read::read::<TwinPatch>(text.parse::<Json>().unwrap());
        assert_eq!(read(r#"{"desired": {}, "reported": {}}"#).unwrap_err().field, "reported");
        assert_eq!(read(r#"{"desired": []}"#).unwrap_err().field, "desired");
        let patch = read(r#"{"desired": {"n": 1.50}, "tags": null}"#).unwrap().members();
        assert_eq!(Json::from(patch).to_string(), r#"{"desired":{"n":1.50}}"#);
    }
}
