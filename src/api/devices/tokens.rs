//! `/api/devices/{id}/token`: a device gets another token, or has none any more.

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use serde::Serialize;
use twinhub_domain::twin::TokenChange;
use twinhub_domain::{DeviceId, Input, Timestamp, Twin};
use utoipa::ToSchema;

use super::device::make;
use super::token;
use crate::api::twin::document::etag;
use crate::http::Access;
use crate::http::extract::body::DevicePath;
use crate::http::extract::params::{Params, bad};
use crate::http::extract::precondition::if_match;
use crate::http::problem::{ApiError, Problem};
use crate::http::reply;

/// The longest time for which two tokens count, in ms: 30 days.
const LONGEST_OVERLAP_MS: i64 = 30 * 24 * 60 * 60 * 1_000;

/// A token that was made.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeviceTokenMade {
    #[schema(example = "pump-1")]
    device_id: String,
    /// Shown this once.
    #[schema(example = "twh_dev_…")]
    auth_token: String,
    /// The moment until which the token before counts; null where it has ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    old_token_until: Option<Timestamp>,
    /// Of the twin after it, as in its `ETag`.
    version: u64,
}

/// The tokens of a device that have ended.
#[derive(Debug, Serialize, ToSchema)]
pub struct TokensEnded {
    #[schema(example = "pump-1")]
    device_id: String,
    /// The number of tokens that counted.
    ended: usize,
    /// Of the twin after it, as in its `ETag`.
    version: u64,
}

/// Makes the device another token, which is in this answer and nowhere else. The one before ends at once, or counts
/// for the `overlap`; the one before that ends.
#[utoipa::path(
    post,
    path = "/api/devices/{id}/token",
    tag = "devices",
    params(
        ("id" = String, Path),
        ("overlap" = Option<String>, Query, description = "For how long the token before counts beside it: a duration \
            such as `24h`, 30 days at most"),
        ("If-Match" = Option<String>, Header, description = "The version to change, or a list of versions: `\"3\", \"4\"`"),
    ),
    responses(
        (status = 200, body = DeviceTokenMade, headers(("ETag" = String, description = "The version, quoted"))),
        (status = 404, body = Problem),
        (status = 400, description = "`If-Match` is no list of entity tags", body = Problem),
        (status = 409, description = "The device is retired", body = Problem),
        (status = 412, description = "The twin is at none of the versions that `If-Match` names", body = Problem),
        (status = 422, body = Problem),
    )
)]
pub async fn post_token(
    request: HttpRequest,
    DevicePath(id): DevicePath,
    mut params: Params,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    let overlap = params.duration("overlap")?;
    if overlap.is_some_and(|ms| ms > LONGEST_OVERLAP_MS) {
        return Err(bad("overlap", "30 days at most").into());
    }
    params.finish()?;
    let if_version = if_match(&request)?;
    let token = token::make()?;
    let old_until = overlap.map(|ms| access.now().plus_millis(ms));
    let change = Input::SetToken(access.state.tokens.change(&token, old_until)?);
    let twin = make(&access, id, if_version, change).await?;
    let old_token_until = twin.profile.old_token_until();
    let made = DeviceTokenMade {
        device_id: twin.id.to_string(),
        auth_token: token,
        old_token_until,
        version: twin.version,
    };
    Ok(reply::json_with(tagged(&twin), &made))
}

/// Ends all tokens of the device. It cannot show who it is any more, until it gets another.
#[utoipa::path(
    delete,
    path = "/api/devices/{id}/token",
    tag = "devices",
    params(
        ("id" = String, Path),
        ("If-Match" = Option<String>, Header, description = "The version to change, or a list of versions: `\"3\", \"4\"`"),
    ),
    responses(
        (status = 200, body = TokensEnded, headers(("ETag" = String, description = "The version, quoted"))),
        (status = 404, body = Problem),
        (status = 400, description = "`If-Match` is no list of entity tags", body = Problem),
        (status = 409, description = "The device is retired", body = Problem),
        (status = 412, description = "The twin is at none of the versions that `If-Match` names", body = Problem),
    )
)]
pub async fn delete_token(
    request: HttpRequest,
    DevicePath(id): DevicePath,
    params: Params,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    let if_version = if_match(&request)?;
    let ended = counting(&access, &id).await?;
    let twin = make(&access, id, if_version, Input::SetToken(TokenChange::End)).await?;
    let ended = TokensEnded { device_id: twin.id.to_string(), ended, version: twin.version };
    Ok(reply::json_with(tagged(&twin), &ended))
}

/// The number of the device's tokens that count.
async fn counting(access: &Access, id: &DeviceId) -> Result<usize, ApiError> {
    let twin = super::device::find(access, id).await?;
    Ok(twin.profile.token_hashes().count())
}

pub(super) fn tagged(twin: &Twin) -> HttpResponseBuilder {
    let mut response = HttpResponse::build(StatusCode::OK);
    response.insert_header((header::ETAG, etag(twin)));
    response
}
