//! `GET /api/statistics`: the readings of all devices that match, together or by device, type, group or template.

use std::collections::BTreeMap;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::Serialize;
use twinhub_actors::messages::archive::ReadingStatistics;
use twinhub_domain::series::{SeriesByName, SeriesStatistics, StatisticsQuery};
use twinhub_domain::{DeviceNumber, ReadingTime, Twin};
use utoipa::ToSchema;

use super::AskedReadings;
use super::figures::{PropertyFigures, figures};
use super::of_device::{StretchFigures, length};
use super::schema::{StatisticsAsked, StatisticsParted};
use crate::api::devices::schema::Listing;
use crate::api::files::export::{ExportPages, asked_devices};
use crate::http::Access;
use crate::http::extract::params::{Params, bad};
use crate::http::problem::{ApiError, Problem};
use crate::http::reply;
use crate::http::turns::TurnKind;
use crate::http::warnings;

/// Devices that are asked for at once.
const AT_ONCE: usize = 8;
/// Parts of an answer at most.
const MOST_PARTS: usize = 1_000;
/// Readings that are looked at one by one, for percentiles: with more there are none.
const MOST_POINTS: u64 = 1_000_000;

/// The statistics of devices.
#[derive(Debug, Serialize, ToSchema)]
pub struct FleetFigures {
    #[schema(value_type = String, format = DateTime)]
    from: ReadingTime,
    #[schema(value_type = String, format = DateTime)]
    to: ReadingTime,
    /// One of all devices together, or as `by` parts them, by their names.
    parts: Vec<PartFigures>,
}

/// Devices that have something in common.
#[derive(Debug, Serialize, ToSchema)]
pub struct PartFigures {
    /// The device, the type, the group or the template, as `by` asks; empty for devices without one, and for all together.
    #[schema(example = "pump")]
    name: String,
    devices: u64,
    properties: Vec<PropertyFigures>,
    /// Of each stretch of `interval`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    intervals: Vec<StretchFigures>,
    /// Of the period of the same length before, where it is compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    previous: Option<StretchFigures>,
}

/// The parting of devices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum PartedBy {
    #[default]
    Nothing,
    Device,
    Type,
    Group,
    Template,
}

/// The readings of the devices that match in numbers, by property: how many, least, greatest, mean, spread, percentiles, trend.
#[utoipa::path(
    get,
    path = "/api/statistics",
    tag = "data",
    params(StatisticsAsked, StatisticsParted, Listing),
    responses(
        (status = 200, description = "The statistics; `sort`, `page` and `limit` are not taken", body = FleetFigures,
            headers(("X-Warnings" = String, description = "As of `/api/devices`"))),
        (status = 422, description = "A parameter makes no sense, or there are more than 1,000 parts", body = Problem),
    )
)]
pub async fn get_statistics(
    request: HttpRequest,
    mut params: Params,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    let asked = AskedReadings::take(&mut params, &access)?;
    let by = params.read("by", "device, type, group or template", PartedBy::parse)?.unwrap_or_default();
    let devices = asked_devices(params, &access)?;
    let (mut pages, told) = ExportPages::of(devices, &access, &request).await?;
    let _turn = access.state.turns.wait(TurnKind::Search, &access, &request).await?;
    let mut parts: BTreeMap<String, Vec<DeviceNumber>> = BTreeMap::new();
    if by == PartedBy::Nothing {
        parts.insert(String::new(), Vec::new());
    }
    while let Some(twins) = pages.next().await? {
        for twin in twins {
            parts.entry(by.name(&twin)).or_default().push(twin.number);
        }
        if parts.len() > MOST_PARTS {
            let detail = format!("makes more than {MOST_PARTS} parts: ask for fewer devices");
            return Err(bad("by", detail).into());
        }
    }
    let mut told_parts = Vec::with_capacity(parts.len());
    for (name, devices) in parts {
        told_parts.push(part(&access, name, &devices, &asked).await?);
    }
    let AskedReadings { from, to, .. } = asked;
    let mut response = HttpResponse::build(StatusCode::OK);
    warnings::set_header(&mut response, &told);
    Ok(reply::json_with(response, &FleetFigures { from, to, parts: told_parts }))
}

async fn part(
    access: &Access,
    name: String,
    devices: &[DeviceNumber],
    asked: &AskedReadings,
) -> Result<PartFigures, ApiError> {
    let of = async |asked: AskedReadings| -> Result<StretchFigures, ApiError> {
        let (from, to) = (asked.from, asked.to);
        let series = series(access, devices, &asked).await?;
        Ok(StretchFigures { from, to, properties: figures(series, length(from, to), devices.len() == 1) })
    };
    let previous = if asked.compared { Some(of(asked.before()).await?) } else { None };
    let mut intervals = Vec::new();
    for (from, to) in asked.stretches() {
        intervals.push(of(AskedReadings { from, to, ..asked.clone() }).await?);
    }
    let StretchFigures { properties, .. } = of(asked.clone()).await?;
    Ok(PartFigures { name, devices: devices.len() as u64, properties, intervals, previous })
}

/// The statistics of the devices' readings together, each looked at where they are not too many.
async fn series(
    access: &Access,
    devices: &[DeviceNumber],
    asked: &AskedReadings,
) -> Result<SeriesByName, ApiError> {
    let summed = together(access, devices, asked, false).await?;
    if summed.values().map(SeriesStatistics::readings).sum::<u64>() > MOST_POINTS {
        return Ok(summed);
    }
    together(access, devices, asked, true).await
}

async fn together(
    access: &Access,
    devices: &[DeviceNumber],
    asked: &AskedReadings,
    points: bool,
) -> Result<SeriesByName, ApiError> {
    let AskedReadings { from, to, .. } = *asked;
    let of_device = async |device: DeviceNumber| -> Result<SeriesByName, ApiError> {
        let query = StatisticsQuery { device, from, to, sensors: asked.sensors.clone(), points };
        Ok(access.ask(ReadingStatistics(query)).await??)
    };
    let all = stream::iter(devices.iter().copied()).map(of_device).buffer_unordered(AT_ONCE);
    let join = async |mut all: SeriesByName, more: SeriesByName| {
        for (name, series) in more {
            match all.get_mut(&name) {
                Some(known) => known.merge(series),
                None => drop(all.insert(name, series)),
            }
        }
        Ok(all)
    };
    all.try_fold(SeriesByName::new(), join).await
}

impl PartedBy {
    fn parse(word: &str) -> Option<Self> {
        match word {
            "device" => Some(Self::Device),
            "type" => Some(Self::Type),
            "group" => Some(Self::Group),
            "template" => Some(Self::Template),
            _ => None,
        }
    }

    /// The name of the part that a device is in.
    fn name(self, twin: &Twin) -> String {
        match self {
            Self::Nothing => String::new(),
            Self::Device => twin.id.to_string(),
            Self::Type => twin.profile.text("type").to_owned(),
            Self::Group => twin.profile.text("group_id").to_owned(),
            Self::Template => twin.template_id().unwrap_or_default().to_owned(),
        }
    }
}
