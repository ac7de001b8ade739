//! `GET /api/diagnostics/rejected` and `…/unread`: messages that could not be read, and those on topics without a
//! reader, to find out why a device is not heard.

use actix_web::{HttpRequest, HttpResponse};

use super::schema::{RejectedItem, UnreadItem};
use crate::http::Access;
use crate::http::extract::paging::{self, limit, tell_whole};
use crate::http::extract::params::Params;
use crate::http::problem::{ApiError, Problem};

/// The last messages that could not be read, newest first; 1,000 are kept.
#[utoipa::path(
    get,
    path = "/api/diagnostics/rejected",
    tag = "diagnostics",
    params(("limit" = Option<u64>, Query, description = "20 by default, 1,000 at most")),
    responses(
        (status = 200, body = [RejectedItem],
            headers(("X-Total-Count" = u64, description = "The number of entries since the start"), ("Link" = String))),
        (status = 422, body = Problem),
    )
)]
pub async fn list_rejected(
    request: HttpRequest,
    mut params: Params,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    let limit = limit(&mut params, 20, paging::MOST)?;
    params.finish()?;
    let rejections = &access.rejections();
    #[expect(clippy::cast_possible_truncation, reason = "at most 1,000")]
    let last = rejections.last(limit as usize);
    let total: u64 = rejections.by_reason().values().sum();
    let mut response = HttpResponse::Ok();
    tell_whole(&mut response, request.path(), total);
    Ok(response.json(&last))
}

/// Messages on topics that nobody reads, neither a convention nor a rule, by the first level of their topics, most first.
/// The embedded broker sees all; of an outside one the hub hears only what it subscribes to.
#[utoipa::path(
    get,
    path = "/api/diagnostics/unread",
    tag = "diagnostics",
    responses(
        (status = 200, body = [UnreadItem],
            headers(("X-Total-Count" = u64, description = "The number of messages since the start"),
                ("Link" = String))),
    )
)]
pub async fn list_unread(
    request: HttpRequest,
    params: Params,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    let unread = &access.unread_topics();
    let mut response = HttpResponse::Ok();
    tell_whole(&mut response, request.path(), unread.total());
    Ok(response.json(unread.levels()))
}
