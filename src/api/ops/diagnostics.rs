//! `GET /api/diagnostics/rejected` and `…/unread`: messages that could not be read, and those on topics without a
//! reader, to find out why a device is not heard.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;

use super::schema::{RejectedItem, UnreadItem};
use crate::http::Access;
use crate::http::extract::paging;
use crate::http::extract::paging::limit;
use crate::http::extract::params::Params;
use crate::http::problem::{ApiError, Problem};
use crate::http::reply;

/// The last messages that could not be read, newest first; 1,000 are kept.
#[utoipa::path(
    get,
    path = "/api/diagnostics/rejected",
    tag = "diagnostics",
    params(("limit" = Option<u64>, Query, description = "20 by default, 1,000 at most")),
    responses(
        (status = 200, body = [RejectedItem],
            headers(("X-Total-Count" = u64, description = "How many there were since the start"))),
        (status = 422, body = Problem),
    )
)]
pub async fn list_rejected(mut params: Params, access: Access) -> Result<HttpResponse, ApiError> {
    let limit = limit(&mut params, 20, paging::MOST)?;
    params.finish()?;
    let rejections = &access.rejections();
    #[expect(clippy::cast_possible_truncation, reason = "at most 1,000")]
    let last = rejections.last(limit as usize);
    let total: u64 = rejections.by_reason().values().sum();
    Ok(counted(reply::json(StatusCode::OK, &last), total))
}

/// Messages on topics that nobody reads, neither a convention nor a rule, by the first level of their topics, most first.
/// The embedded broker sees all; of an outside one the hub hears only what it subscribes to.
#[utoipa::path(
    get,
    path = "/api/diagnostics/unread",
    tag = "diagnostics",
    responses(
        (status = 200, body = [UnreadItem],
            headers(("X-Total-Count" = u64, description = "How many messages there were since the start"))),
    )
)]
pub async fn list_unread(params: Params, access: Access) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    let unread = &access.unread();
    Ok(counted(reply::json(StatusCode::OK, &unread.levels()), unread.total()))
}

fn counted(mut response: HttpResponse, total: u64) -> HttpResponse {
    if let Ok(total) = total.to_string().parse() {
        response
            .headers_mut()
            .insert(actix_web::http::header::HeaderName::from_static("x-total-count"), total);
    }
    response
}
