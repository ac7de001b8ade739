//! `GET /api/diagnostics/rejected`: messages that could not be read, to find out why a device is not heard.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Data;

use super::paging::{self, limit};
use super::params::Params;
use super::reply;
use super::schema::RejectedItem;
use crate::error::{ApiError, Problem};
use crate::web::WebState;

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
pub async fn list_rejected(mut params: Params, state: Data<WebState>) -> Result<HttpResponse, ApiError> {
    let limit = limit(&mut params, 20, paging::MOST)?;
    params.finish()?;
    let rejections = &state.hub.rejections;
    #[expect(clippy::cast_possible_truncation, reason = "at most 1,000")]
    let last = rejections.last(limit as usize);
    let total: u64 = rejections.by_reason().values().sum();
    let mut response = reply::json(StatusCode::OK, &last);
    if let Ok(total) = total.to_string().parse() {
        response
            .headers_mut()
            .insert(actix_web::http::header::HeaderName::from_static("x-total-count"), total);
    }
    Ok(response)
}
