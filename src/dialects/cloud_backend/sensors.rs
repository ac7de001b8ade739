//! `/v1/sensors/…`: the newest readings, histories, anomalies, counts, and the last message of each topic.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use serde::Serialize;
use twinhub_actors::messages::archive::LoadTwins;
use twinhub_domain::{DeviceId, Timestamp};
use twinhub_mqtt::dialects::cloud_backend::{id_of_sensor, sensor_types};

use super::index::{HistoryStretch, HistoryUnread, IndexStage, TimedReading};
use super::view::{
    AnomaliesAnswer, CloudReadingItem, HoursRange, LatestAnswer, LiveAnswer, LiveReading, SensorHistory,
    StatsAnswer,
};
use crate::dialects::fastapi_fields::FastApiFields;
use crate::http::Access;
use crate::http::extract::params::Params;
use crate::http::problem::ApiError;
use crate::http::problem::fastapi::FastApiError;
use crate::http::reply;

const HOUR_MS: i64 = 3_600_000;

/// Gives the newest reading of each sensor by its own time, under the sensor's type.
#[utoipa::path(
    get, path = "/v1/sensors/latest", tag = "sensors",
    params(("limit" = Option<i64>, Query, description = "Sensors at most, 1 to 1000", example = 100)),
    responses((status = 200, description = "The answer", body = LatestAnswer))
)]
pub(super) async fn latest(params: Params, access: Access) -> Result<HttpResponse, FastApiError> {
    let mut query = FastApiFields::of_query(&params);
    let limit = query.whole_within("limit", 100, 1..=1_000);
    query.finish()?;
    let index = &access.state.cloud_backend.index;
    let mut newest = index.view(&access, IndexStage::Newest).await?.newest();
    newest.truncate(size(limit));
    Ok(json(&LatestAnswer::of(&newest)))
}

/// Gives the readings of one sensor, the newest first.
#[utoipa::path(
    get, path = "/v1/sensors/history", tag = "sensors",
    params(
        ("sensor_id" = String, Query, description = "Id of the sensor", example = "temp-001"),
        ("limit" = Option<i64>, Query, description = "Readings at most, 1 to 1000", example = 100),
        ("hours" = Option<i64>, Query, description = "Hours back from now, 1 to 168", example = 24),
    ),
    responses((status = 200, description = "The answer", body = SensorHistory))
)]
pub(super) async fn history(params: Params, access: Access) -> Result<HttpResponse, FastApiError> {
    let mut query = FastApiFields::of_query(&params);
    let sensor_id = query.text("sensor_id");
    let (limit, hours) = (query.whole_within("limit", 100, 1..=1_000), hours(&mut query));
    query.finish()?;
    let range = HoursRange::last(hours, access.now());
    let readings = match id_of_sensor(&sensor_id) {
        Ok(device) => read(&access, &device, range, size(limit)).await?,
        Err(_) => Vec::new(), // no sensor has such an id
    };
    if readings.is_empty() {
        return Err(FastApiError::Absent(format!("No readings found for sensor {sensor_id}")));
    }
    let items: Vec<CloudReadingItem<'_>> = readings.iter().map(Into::into).collect();
    Ok(json(&SensorHistory { count: items.len(), readings: items, sensor_id: &sensor_id }))
}

/// Gives readings that their devices call anomalies, the newest first.
#[utoipa::path(
    get, path = "/v1/sensors/anomalies", tag = "sensors",
    params(
        ("hours" = Option<i64>, Query, description = "Hours back from now, 1 to 168", example = 24),
        ("limit" = Option<i64>, Query, description = "Readings at most, 1 to 500", example = 50),
    ),
    responses((status = 200, description = "The answer", body = AnomaliesAnswer))
)]
pub(super) async fn anomalies(params: Params, access: Access) -> Result<HttpResponse, FastApiError> {
    let mut query = FastApiFields::of_query(&params);
    let (hours, limit) = (hours(&mut query), query.whole_within("limit", 50, 1..=500));
    query.finish()?;
    let view = access.state.cloud_backend.index.view(&access, IndexStage::Whole).await?;
    let time_range = HoursRange::last(hours, access.now());
    let found = view.anomalies(time_range.start, time_range.end, size(limit));
    let anomalies: Vec<CloudReadingItem<'_>> =
        found.iter().map(|timed| CloudReadingItem::from(&**timed)).collect();
    Ok(json(&AnomaliesAnswer { count: anomalies.len(), anomalies, time_range }))
}

/// Counts readings by type, origin and protocol, to the minute within a day and to the hour beyond.
#[utoipa::path(
    get, path = "/v1/sensors/stats", tag = "sensors",
    params(("hours" = Option<i64>, Query, description = "Hours back from now, 1 to 168", example = 24)),
    responses((status = 200, description = "The answer", body = StatsAnswer))
)]
pub(super) async fn stats(params: Params, access: Access) -> Result<HttpResponse, FastApiError> {
    let mut query = FastApiFields::of_query(&params);
    let hours = hours(&mut query);
    query.finish()?;
    let view = access.state.cloud_backend.index.view(&access, IndexStage::Whole).await?;
    let range = HoursRange::last(hours, access.now());
    Ok(json(&StatsAnswer::of(range, view.stats(range.start, range.end))))
}

/// Gives the last message of each topic as it arrived, with its payload as text.
#[utoipa::path(
    get, path = "/v1/sensors/live", tag = "sensors",
    responses((status = 200, description = "The answer", body = LiveAnswer))
)]
pub(super) async fn live(access: Access) -> Result<HttpResponse, FastApiError> {
    let live = access.state.cloud_backend.index.view(&access, IndexStage::Newest).await?.live();
    let live_readings =
        live.iter().map(|(key, timed)| (key.as_str(), LiveReading::of(timed.at, &timed.reading))).collect();
    Ok(json(&LiveAnswer { live_readings, count: live.len(), timestamp: access.now() }))
}

/// The readings of a sensor, the newest first; none where there is no such sensor.
async fn read(
    access: &Access,
    device: &DeviceId,
    range: HoursRange,
    limit: usize,
) -> Result<Vec<TimedReading>, ApiError> {
    let found = access.ask(LoadTwins(vec![device.clone()])).await??;
    let Some(twin) = found.into_iter().next() else { return Ok(Vec::new()) };
    let sensors: Vec<Box<str>> = sensor_types(&twin).map(Into::into).collect();
    if sensors.is_empty() {
        return Ok(Vec::new()); // it speaks otherwise
    }
    let (from, to) = (range.start.into(), range.end.plus_millis(1).into());
    let stretch = HistoryStretch { device, number: twin.number, from, to };
    Ok(stretch.read(access, &sensors, limit).await?)
}

impl HoursRange {
    fn last(hours: i64, now: Timestamp) -> Self {
        Self { start: now.plus_millis(-hours.saturating_mul(HOUR_MS)), end: now, hours }
    }
}

impl From<HistoryUnread> for ApiError {
    fn from(error: HistoryUnread) -> Self {
        match error {
            HistoryUnread::Hub(error) => error.into(),
            HistoryUnread::Store(error) => error.into(),
        }
    }
}

fn hours(query: &mut FastApiFields) -> i64 {
    query.whole_within("hours", 24, 1..=168)
}

/// It is within the range that it was read in.
fn size(limit: i64) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}

fn json(answer: &impl Serialize) -> HttpResponse {
    reply::json(StatusCode::OK, answer)
}
