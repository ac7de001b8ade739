//! `/ca.pem`: the authority that vouches for this hub, for those who are to trust it.

use actix_web::HttpResponse;
use actix_web::http::header;

use crate::http::Access;
use crate::http::extract::params::Params;
use crate::http::problem::{ApiError, Problem};

/// The certificate of the hub's own authority, as PEM. Who trusts it trusts this hub; compare its SHA-256 fingerprint with
/// the one that the hub prints at its start.
#[utoipa::path(
    get,
    path = "/ca.pem",
    tag = "operations",
    responses(
        (status = 200, body = String, content_type = "application/x-pem-file"),
        (status = 404, description = "The hub has no authority of its own", body = Problem),
    )
)]
pub async fn get_authority(params: Params, access: Access) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    let pem = access.state.tls.as_ref().and_then(|tls| tls.authority_pem());
    let pem = pem.ok_or_else(|| ApiError::NoRoute("/ca.pem: the hub has no authority of its own".into()))?;
    Ok(HttpResponse::Ok()
        .content_type("application/x-pem-file")
        .insert_header((header::CONTENT_DISPOSITION, "attachment; filename=\"twinhub-ca.pem\""))
        .body(pem.to_string()))
}
