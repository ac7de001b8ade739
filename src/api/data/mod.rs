//! `/api/devices/{id}/data`: readings in, and the history of them, page by page.

mod anomalies;
mod export;
mod import;
mod page;
pub mod schema;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse};
use chrono_tz::Tz;
use serde::Serialize;
use twinhub_actors::HubError;
use twinhub_actors::access::InputRequest;
use twinhub_actors::messages::archive::{BucketHistory, RawHistory};
use twinhub_domain::payload;
use twinhub_domain::payload::{ParsedPayload, PayloadError};
use twinhub_domain::series::{Aggregate, CalendarUnit, HistoryQuery, Interval};
use twinhub_domain::twin::Rejected;
use twinhub_domain::{DeviceNumber, Input};
use utoipa::ToSchema;

use self::page::HistoryPage;
use crate::api::data::schema::{HistoryAnswer, HistoryParams, ReadingsBody};
use crate::api::devices::device::find;
use crate::http::Access;
use crate::http::extract::body::{AnyBody, DevicePath};
use crate::http::extract::fields::FieldError;
use crate::http::extract::paging::limit;
use crate::http::extract::params::{Params, bad};
use crate::http::problem::{ApiError, Problem};
use crate::http::reply;
use crate::http::routes::routes;

routes! {
    Read: self::get_data,
    Read: anomalies::get_anomalies,
    Export(stream): export::export_readings,
    Manage: import::import_readings,
    Report: self::post_data,
}

/// The default number of readings in an answer; a day in 5-minute means is 288 for each sensor.
const USUAL: u64 = 1_000;
/// Readings in an answer at most.
const MOST: u64 = 10_000;

/// Readings that were stored.
#[derive(Debug, Serialize, ToSchema)]
pub struct StoredReadings {
    device_id: String,
    /// The place in the one sequence, of a batch that of its last; null where nothing new was in it, and for callers who
    /// see a part of the devices.
    seq: Option<u64>,
    /// The same as text: a subscriber since then hears what came after it. Null where nothing new was in it.
    cursor: Option<String>,
    /// Of the twin after it.
    version: u64,
    /// The very same had been stored before, known by its own time or id.
    repeated: bool,
    message: &'static str,
    /// The number of readings that were stored now; repeats do not count. With `partial`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    accepted: Option<usize>,
    /// The readings that were not. With `partial`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    rejected: Option<Vec<RejectedReading>>,
}

/// A reading that was not taken in.
#[derive(Debug, Serialize, ToSchema)]
pub struct RejectedReading {
    /// Its place in the body, or its name: `sensor_readings[0].value`.
    #[schema(example = "sensor_readings[0].value")]
    field: String,
    /// A stable word for programs.
    #[schema(example = "wrong_type")]
    code: &'static str,
    /// The fault of the reading.
    error: String,
}

/// Takes readings in, and answers once they are stored. If any reading is invalid, none is stored, and each invalid one
/// is named; with `partial` the valid ones are stored.
#[utoipa::path(
    post,
    path = "/api/devices/{id}/data",
    tag = "data",
    params(
        ("id" = String, Path),
        ("partial" = Option<bool>, Query, description = "Take the good readings in although others are bad"),
    ),
    request_body = ReadingsBody,
    responses(
        (status = 201, description = "Stored", body = StoredReadings),
        (status = 200, description = "Had been stored before", body = StoredReadings),
        (status = 207, description = "Stored in part (with `partial`)", body = StoredReadings),
        (status = 404, description = "No such device: register it first", body = Problem),
        (status = 422, description = "A reading makes no sense: all that do not are named", body = Problem),
        (status = 503, description = "The store does not take anything in", body = Problem),
    )
)]
pub async fn post_data(
    DevicePath(id): DevicePath,
    mut params: Params,
    AnyBody(body): AnyBody,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    let partial = params.value("partial", "true or false")?.unwrap_or(false);
    params.finish()?;
    let ParsedPayload { mut samples, bad } = payload::readings_from(body)?;
    samples.iter_mut().for_each(|sample| sample.strict = !partial);
    let count: usize = samples.iter().map(|sample| sample.readings.len()).sum();
    let input = match Input::of_readings(samples) {
        Some(input) if partial || bad.is_empty() => input,
        _ => return Err(ApiError::Readings(bad)),
    };
    let taken = access.deliver(InputRequest::new(id.clone(), input)).await?;
    let accepted = if taken.repeated { 0 } else { count - taken.rejected.len().min(count) };
    let bad = bad.iter().map(RejectedReading::of).chain(taken.rejected.iter().map(RejectedReading::refused));
    let rejected: Vec<_> = bad.collect();
    let (status, message) = match taken.repeated {
        true => (StatusCode::OK, "stored before"),
        false if !rejected.is_empty() => (StatusCode::MULTI_STATUS, "stored in part"),
        false => (StatusCode::CREATED, "stored"),
    };
    let cursors = access.cursors();
    let stored = StoredReadings {
        device_id: id.to_string(),
        seq: taken.seq.and_then(|seq| cursors.seq(seq)),
        cursor: taken.seq.map(|seq| cursors.cursor(seq)),
        version: taken.version,
        repeated: taken.repeated,
        message,
        accepted: partial.then_some(accepted),
        rejected: partial.then_some(rejected),
    };
    Ok(reply::json(status, &stored))
}

impl RejectedReading {
    fn of(error: &PayloadError) -> Self {
        let field = error.field().unwrap_or_default().to_owned();
        Self { field, code: error.reason(), error: error.to_string() }
    }

    fn refused(Rejected { name, refusal }: &Rejected) -> Self {
        let error = ApiError::from(HubError::Refused(refusal.clone()));
        Self { field: name.to_string(), code: error.code(), error: error.to_string() }
    }
}

/// The device's history: readings as they came, or with `interval` what is made of each stretch of time.
#[utoipa::path(
    get,
    path = "/api/devices/{id}/data",
    tag = "data",
    params(("id" = String, Path), HistoryParams),
    responses(
        (status = 200, description = "Readings; with `interval` buckets instead", body = HistoryAnswer,
            headers(("Link" = String, description = "`first`, and `next` where there is more: RFC 8288"))),
        (status = 404, body = Problem),
        (status = 422, body = Problem),
    )
)]
pub async fn get_data(
    request: HttpRequest,
    DevicePath(id): DevicePath,
    params: Params,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    let all = params.all().to_vec();
    let (wanted, page) = history_query(params)?;
    let device = find(&access, &id).await?.number;
    let query = HistoryQuery { device, ..wanted };
    Ok(if query.interval.is_none() {
        let mut found = access.ask(RawHistory(query)).await??;
        let cursors = access.cursors();
        found.iter_mut().for_each(|reading| reading.seq = cursors.seq(reading.seq).unwrap_or_default());
        page.answer(&request, &all, &found, |reading| reading.timestamp)
    } else {
        let found = access.ask(BucketHistory(query)).await??;
        page.answer(&request, &all, &found, |bucket| bucket.timestamp.into())
    })
}

fn history_query(mut params: Params) -> Result<(HistoryQuery, HistoryPage), FieldError> {
    let interval = interval(&mut params)?;
    let aggregate = params.read("agg", Aggregate::NAMES, Aggregate::parse)?;
    if interval.is_none() && aggregate.is_some() {
        return Err(bad("agg", "needs an interval"));
    }
    let mut query = HistoryQuery {
        device: DeviceNumber::default(),
        from: params.start_time("from")?,
        to: params.end_time("to")?,
        sensors: params.list("sensor_type"),
        min_quality: min_quality(&mut params)?,
        limit: 0,
        newest_first: params.newest_first(true)?,
        interval,
        aggregate: aggregate.unwrap_or_default(),
    };
    let limit = limit(&mut params, USUAL, MOST)?;
    let page = HistoryPage::take(&mut params, limit)?;
    params.finish()?;
    page.narrow(&mut query);
    Ok((query, page))
}

/// The least score that a reading may have; one without a score has nothing against it.
pub(in crate::api) fn min_quality(params: &mut Params) -> Result<Option<u8>, FieldError> {
    params
        .read("min_quality", "a number from 0 to 100", |text| text.parse().ok().filter(|score| *score <= 100))
}

/// The stretches that make a bucket each: of a fixed length, or with a time zone the days, weeks or months there.
pub(in crate::api) fn interval(params: &mut Params) -> Result<Option<Interval>, FieldError> {
    let zone =
        params.read("timezone", "a name of the time zone database, such as Europe/Berlin", |name| {
            name.parse::<Tz>().ok()
        })?;
    match zone {
        None if params.all().iter().any(|(name, value)| name == "interval" && value == "1mo") => {
            Err(bad("interval", "a month needs a `timezone`, such as UTC"))
        }
        None => Ok(params.duration("interval")?.map(Interval::Fixed)),
        Some(zone) => {
            match params.read("interval", "1d, 1w or 1mo beside a timezone", CalendarUnit::parse)? {
                None => Err(bad("timezone", "needs an interval of 1d, 1w or 1mo")),
                Some(unit) => Ok(Some(Interval::Local(unit, zone))),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_is_wanted() {
        let (query, page) = history_query(Params::parse(
            "start_date=2026-01-01&end_date=2026-01-01&sensor_type=temperature,humidity&interval=5m&agg=p95",
        ))
        .unwrap();
        let hours = (query.to.unwrap().floor().millis() - query.from.unwrap().floor().millis()) / 3_600_000;
        assert_eq!(
            (hours, query.interval, query.aggregate),
            (24, Some(Interval::Fixed(300_000)), Aggregate::P95)
        );
        assert_eq!(query.sensors, ["temperature", "humidity"]);
        assert_eq!((page.limit, query.newest_first), (1_000, true));
    }

    #[test]
    fn names_the_parameter_that_is_wrong() {
        let wrong = |text: &str| history_query(Params::parse(text)).unwrap_err().field;
        assert_eq!(wrong("interval=5"), "interval");
        assert_eq!(wrong("interval=5m&agg=mean"), "agg");
        assert_eq!(wrong("agg=avg"), "agg");
        assert_eq!(wrong("interval=1mo"), "interval");
        assert_eq!(wrong("interval=5m&timezone=UTC"), "interval");
        assert_eq!(wrong("interval=1d&timezone=Berlin"), "timezone");
        assert_eq!(wrong("timezone=UTC"), "timezone");
        assert_eq!(wrong("start_date=soon"), "from");
        assert_eq!(wrong("limit=10001"), "limit");
        assert_eq!(wrong("page=0"), "page");
        assert_eq!(wrong("page=101"), "page");
        assert_eq!(wrong("min_quality=101"), "min_quality");
        assert_eq!(wrong("after=soon"), "after");
        assert_eq!(wrong("page=2&after=1.1"), "page");
    }
}
