//! `GET /api/devices/{id}/statistics`: one device's readings, how long it was online, and the outcomes of its commands and of
//! rules.

use std::collections::BTreeMap;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use twinhub_actors::messages::archive::{FindEvents, ListCommands, ListRuns, ReadingStatistics};
use twinhub_domain::series::{SeriesByName, SeriesStatistics, StatisticsQuery};
use twinhub_domain::{CommandStatus, DeviceNumber, EventBody, EventKind, ReadingTime, Status, Twin};
use twinhub_store::{CommandQuery, EventQuery, RunQuery};
use utoipa::ToSchema;

use super::AskedReadings;
use super::figures::{PropertyFigures, figures};
use super::schema::StatisticsAsked;
use crate::api::automation::journal::OUTCOMES;
use crate::api::devices::device::find;
use crate::http::Access;
use crate::http::extract::body::DevicePath;
use crate::http::extract::params::Params;
use crate::http::problem::{ApiError, Problem};
use crate::http::reply;
use crate::http::turns::TurnKind;

/// Readings that are looked at one by one, for percentiles and gaps: with more there are none of these.
pub(super) const MOST_POINTS: u64 = 1_000_000;
/// Comings and goings that are read at once, and at most: a device with more has no uptime.
const EVENTS: usize = 1_000;
const MOST_EVENTS: usize = 100_000;

/// The statistics of a device.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeviceFigures {
    device_id: String,
    period: DevicePeriod,
    /// Of each stretch of `interval`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    intervals: Vec<StretchFigures>,
    /// Of the period of the same length before, where it is compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    previous: Option<DevicePeriod>,
}

/// A device over a period.
#[derive(Debug, Serialize, ToSchema)]
pub struct DevicePeriod {
    #[schema(value_type = String, format = DateTime)]
    from: ReadingTime,
    #[schema(value_type = String, format = DateTime)]
    to: ReadingTime,
    properties: Vec<PropertyFigures>,
    /// The part of the time for which it was online, from 0 to 1, of that since it was registered; null where all of it is to
    /// come, or it came and went too often to look.
    uptime: Option<f64>,
    /// Commands that were asked for then, by their status now.
    #[schema(value_type = Object, example = json!({"executed": 12, "expired": 1}))]
    commands: BTreeMap<&'static str, u64>,
    /// Runs of rules that began then, and that the device set off or that acted upon it, by their outcome.
    #[schema(value_type = Object, example = json!({"done": 3}))]
    runs: BTreeMap<&'static str, u64>,
}

/// A stretch of time.
#[derive(Debug, Serialize, ToSchema)]
pub struct StretchFigures {
    #[schema(value_type = String, format = DateTime)]
    pub from: ReadingTime,
    #[schema(value_type = String, format = DateTime)]
    pub to: ReadingTime,
    pub properties: Vec<PropertyFigures>,
}

/// The device's readings in numbers: how many, least, greatest, mean, spread, percentiles, trend, gaps; how long it was online;
/// its commands and the runs of rules by their outcome.
#[utoipa::path(
    get,
    path = "/api/devices/{id}/statistics",
    tag = "data",
    params(("id" = String, Path), StatisticsAsked),
    responses(
        (status = 200, description = "The statistics", body = DeviceFigures),
        (status = 404, body = Problem),
        (status = 422, description = "A parameter makes no sense", body = Problem),
    )
)]
pub async fn get_device_statistics(
    request: HttpRequest,
    DevicePath(id): DevicePath,
    mut params: Params,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    let asked = AskedReadings::take(&mut params, &access)?;
    params.finish()?;
    let twin = find(&access, &id).await?;
    // A long time of a busy device is a lot to read.
    let _turn = access.state.turns.wait(TurnKind::Search, &access, &request).await?;
    let previous = match asked.compared {
        true => Some(period(&access, &twin, &asked.before()).await?),
        false => None,
    };
    let mut intervals = Vec::new();
    for (from, to) in asked.stretches() {
        let series = series(&access, twin.number, &AskedReadings { from, to, ..asked.clone() }).await?;
        intervals.push(StretchFigures { from, to, properties: figures(series, length(from, to), true) });
    }
    let period = period(&access, &twin, &asked).await?;
    let figures = DeviceFigures { device_id: id.to_string(), period, intervals, previous };
    Ok(reply::json(StatusCode::OK, &figures))
}

async fn period(access: &Access, twin: &Twin, asked: &AskedReadings) -> Result<DevicePeriod, ApiError> {
    let (from, to) = (asked.from, asked.to);
    let series = series(access, twin.number, asked).await?;
    Ok(DevicePeriod {
        from,
        to,
        properties: figures(series, length(from, to), true),
        uptime: uptime(access, twin, from, to).await?,
        commands: commands(access, twin.number, from, to).await?,
        runs: runs(access, twin.number, from, to).await?,
    })
}

/// The statistics of a device's readings, each looked at where they are not too many.
async fn series(
    access: &Access,
    device: DeviceNumber,
    asked: &AskedReadings,
) -> Result<SeriesByName, ApiError> {
    let AskedReadings { from, to, .. } = *asked;
    let query = StatisticsQuery {
        device,
        from,
        to,
        sensors: asked.sensors.clone(),
        min_quality: asked.min_quality,
        points: false,
    };
    let summed = access.ask(ReadingStatistics(query.clone())).await??;
    if summed.values().map(SeriesStatistics::readings).sum::<u64>() > MOST_POINTS {
        return Ok(summed);
    }
    Ok(access.ask(ReadingStatistics(StatisticsQuery { points: true, ..query })).await??)
}

/// The time between two moments, in ms.
pub(super) fn length(from: ReadingTime, to: ReadingTime) -> i64 {
    to.floor().millis().saturating_sub(from.floor().millis())
}

/// The part of the time for which the device was online.
async fn uptime(
    access: &Access,
    twin: &Twin,
    from: ReadingTime,
    to: ReadingTime,
) -> Result<Option<f64>, ApiError> {
    let (began, ended) = (from.floor().max(twin.created_at).millis(), to.floor().min(access.now()).millis());
    if began >= ended {
        return Ok(None);
    }
    let query = EventQuery { device: Some(twin.number), kinds: vec![EventKind::Presence], ..event_query() };
    let mut online = was_online(access, twin, from, &query).await?;
    let (mut at, mut ms, mut since, mut read) = (began, 0, None, 0);
    loop {
        let page = EventQuery { from: Some(from), to: Some(to), since, limit: EVENTS, ..query.clone() };
        let events = access.ask(FindEvents(page)).await??;
        for event in &events {
            let Some(next) = is_online(&event.event.body) else { continue };
            let then = event.event.at.floor().millis().clamp(at, ended);
            ms += if online { then - at } else { 0 };
            (at, online) = (then, next);
        }
        read += events.len();
        match events.last() {
            Some(last) if events.len() == EVENTS => since = Some(last.seq),
            _ => break,
        }
        if read >= MOST_EVENTS {
            return Ok(None);
        }
    }
    ms += if online { ended - at } else { 0 };
    #[expect(clippy::cast_precision_loss, reason = "a share to look at")]
    let share = ms as f64 / (ended - began) as f64;
    Ok(Some(share))
}

/// The state of the device at `from`: true for online. Comings and goings go after `keep-events`: where none is left from before, the
/// first one since then changed what had been, and without any it is as it was.
async fn was_online(
    access: &Access,
    twin: &Twin,
    from: ReadingTime,
    presence: &EventQuery,
) -> Result<bool, ApiError> {
    let before = EventQuery { to: Some(from), limit: 1, newest_first: true, ..presence.clone() };
    let before = access.ask(FindEvents(before)).await??;
    if let Some(online) = before.first().and_then(|event| is_online(&event.event.body)) {
        return Ok(online);
    }
    let since = EventQuery { from: Some(from), limit: 1, ..presence.clone() };
    let since = access.ask(FindEvents(since)).await??;
    let changed_to = since.first().and_then(|event| is_online(&event.event.body));
    Ok(changed_to.map_or(twin.presence.status == Status::Online, |online| !online))
}

/// The state that an event of presence brought: true for online; none where it is another event.
fn is_online(body: &EventBody) -> Option<bool> {
    match body {
        EventBody::Presence { status, .. } => Some(*status == Status::Online),
        _ => None,
    }
}

fn event_query() -> EventQuery {
    EventQuery { limit: EVENTS, ..EventQuery::default() }
}

async fn commands(
    access: &Access,
    device: DeviceNumber,
    from: ReadingTime,
    to: ReadingTime,
) -> Result<BTreeMap<&'static str, u64>, ApiError> {
    let mut counts = BTreeMap::new();
    for status in CommandStatus::ALL {
        let query = CommandQuery {
            device: Some(device),
            status: vec![status],
            from: Some(from.floor()),
            to: Some(to.ceil()),
            limit: 1,
            ..CommandQuery::default()
        };
        let total = access.ask(ListCommands(query)).await??.total;
        if total > 0 {
            counts.insert(status.as_str(), total);
        }
    }
    Ok(counts)
}

async fn runs(
    access: &Access,
    device: DeviceNumber,
    from: ReadingTime,
    to: ReadingTime,
) -> Result<BTreeMap<&'static str, u64>, ApiError> {
    let mut counts = BTreeMap::new();
    for outcome in OUTCOMES {
        let query = RunQuery {
            device: Some(device),
            outcomes: vec![outcome.to_owned()],
            from: Some(from.floor()),
            to: Some(to.ceil()),
            limit: 1,
            ..RunQuery::default()
        };
        let total = access.ask(ListRuns(query)).await??.total;
        if total > 0 {
            counts.insert(outcome, total);
        }
    }
    Ok(counts)
}
