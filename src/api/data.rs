//! `/api/devices/{id}/data`: readings in, and the history of them, page by page.

mod page;

use actix_web::http::StatusCode;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use twinhub_actors::domain::event::Source;
use twinhub_actors::domain::series::{Aggregate, HistoryQuery};
use twinhub_actors::domain::{Cause, DeviceNumber, Input, payload};
use twinhub_actors::messages::archive::{BucketHistory, RawHistory};
use twinhub_actors::messages::supervisor::IfUnknown;
use utoipa::ToSchema;

use self::page::Page;
use super::body::{Body, Device};
use super::device::find;
use super::paging::limit;
use super::params::{Params, bad, duration_ms};
use super::reply;
use super::schema::{History, HistoryAnswer, Readings};
use crate::error::{ApiError, Problem};
use crate::fields::FieldError;
use crate::web::WebState;

/// Readings in an answer when nothing is said; a day in 5-minute means is 288 for each sensor.
const USUAL: u64 = 1_000;
/// Readings in an answer at most.
const MOST: u64 = 10_000;

/// Readings that were stored.
#[derive(Debug, Serialize, ToSchema)]
pub struct Stored {
    device_id: String,
    /// The place in the one sequence; null where nothing new was in it.
    seq: Option<u64>,
    /// Of the twin after it.
    version: u64,
    /// The very same had been stored before, known by its own time or id.
    repeated: bool,
    message: &'static str,
}

/// Takes readings in, and answers once they are stored.
#[utoipa::path(
    post,
    path = "/api/devices/{id}/data",
    tag = "data",
    params(("id" = String, Path)),
    request_body = Readings,
    responses(
        (status = 201, description = "Stored", body = Stored),
        (status = 200, description = "Had been stored before", body = Stored),
        (status = 404, description = "No such device: register it first", body = Problem),
        (status = 422, description = "A reading makes no sense", body = Problem),
        (status = 503, description = "The store does not take anything in", body = Problem),
    )
)]
pub async fn post_data(
    Device(id): Device,
    Body(body): Body,
    state: Data<WebState>,
) -> Result<HttpResponse, ApiError> {
    let telemetry = payload::telemetry_from(body)?;
    let (input, cause) = (Input::Telemetry(telemetry), Cause::new(Source::Rest, ""));
    let taken = state.hub.deliver(id.clone(), input, cause, IfUnknown::Refuse, false).await?;
    let (status, message) = match taken.repeated {
        false => (StatusCode::CREATED, "stored"),
        true => (StatusCode::OK, "stored before"),
    };
    let stored = Stored {
        device_id: id.to_string(),
        seq: taken.seq,
        version: taken.version,
        repeated: taken.repeated,
        message,
    };
    Ok(reply::json(status, &stored))
}

/// The device's history: readings as they came, or with `interval` what is made of each stretch of time.
#[utoipa::path(
    get,
    path = "/api/devices/{id}/data",
    tag = "data",
    params(("id" = String, Path), History),
    responses(
        (status = 200, description = "Readings; with `interval` buckets instead", body = HistoryAnswer,
            headers(("Link" = String, description = "`first`, and `next` where there is more: RFC 8288"))),
        (status = 404, body = Problem),
        (status = 422, body = Problem),
    )
)]
pub async fn get_data(
    request: HttpRequest,
    Device(id): Device,
    params: Params,
    state: Data<WebState>,
) -> Result<HttpResponse, ApiError> {
    let all = params.all().to_vec();
    let (wanted, page) = wanted(params)?;
    let device = find(&state, &id).await?.number;
    let query = HistoryQuery { device, ..wanted };
    Ok(if query.interval_ms == 0 {
        let found = state.hub.archive.send(RawHistory(query)).await??;
        page.answer(&request, &all, &found, |reading| reading.timestamp)
    } else {
        let found = state.hub.archive.send(BucketHistory(query)).await??;
        page.answer(&request, &all, &found, |bucket| bucket.timestamp)
    })
}

fn wanted(mut params: Params) -> Result<(HistoryQuery, Page), FieldError> {
    let interval = params.read("interval", "a duration such as 30s, 5m, 1h or 1d", duration_ms)?;
    let words = "avg, min, max, sum, count, first, last, p50 or p95";
    let aggregate = params.read("agg", words, Aggregate::parse)?;
    if interval.is_none() && aggregate.is_some() {
        return Err(bad("agg", "needs an interval"));
    }
    let mut query = HistoryQuery {
        device: DeviceNumber::default(),
        from: params.start_time("start_date")?,
        to: params.end_time("end_date")?,
        sensors: params.list("sensor_type"),
        limit: 0,
        newest_first: params.newest_first(true)?,
        interval_ms: interval.unwrap_or(0),
        aggregate: aggregate.unwrap_or_default(),
    };
    let limit = limit(&mut params, USUAL, MOST)?;
    let page = Page::take(&mut params, limit)?;
    params.finish()?;
    page.narrow(&mut query);
    Ok((query, page))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_is_wanted() {
        let (query, page) = wanted(Params::parse(
            "start_date=2026-01-01&end_date=2026-01-01&sensor_type=temperature,humidity&interval=5m&agg=p95",
        ))
        .unwrap();
        let hours = (query.to.unwrap().millis() - query.from.unwrap().millis()) / 3_600_000;
        assert_eq!((hours, query.interval_ms, query.aggregate), (24, 300_000, Aggregate::P95));
        assert_eq!(query.sensors, ["temperature", "humidity"]);
        assert_eq!((page.limit, query.newest_first), (1_000, true));
    }

    #[test]
    fn names_the_parameter_that_is_wrong() {
        let wrong = |text: &str| wanted(Params::parse(text)).unwrap_err().field;
        assert_eq!(wrong("interval=5"), "interval");
        assert_eq!(wrong("interval=5m&agg=mean"), "agg");
        assert_eq!(wrong("agg=avg"), "agg");
        assert_eq!(wrong("start_date=soon"), "start_date");
        assert_eq!(wrong("limit=10001"), "limit");
        assert_eq!(wrong("page=0"), "page");
        assert_eq!(wrong("page=101"), "page");
        assert_eq!(wrong("after=soon"), "after");
        assert_eq!(wrong("page=2&after=1.1"), "page");
    }
}
