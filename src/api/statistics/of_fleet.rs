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
use super::of_device::{MOST_POINTS, StretchFigures, length};
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
/// Stretches of all parts of an answer at most: each is kept until the answer is whole.
const MOST_STRETCHES: usize = 10_000;

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
        (status = 422, description = "A parameter makes no sense, or there are more than 1,000 parts, or more than 10,000 stretches of them", body = Problem),
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
    if parts.len().saturating_mul(asked.stretches().count()) > MOST_STRETCHES {
        let detail = format!("makes more than {MOST_STRETCHES} stretches of all parts together");
        return Err(bad("interval", detail).into());
    }
    let (of_period, each) = of_parts(&access, &parts, &asked).await?;
    let mut of_previous = match asked.compared {
        true => Some(of_parts(&access, &parts, &asked.before()).await?.0.into_iter()),
        false => None,
    };
    let mut told_parts = Vec::with_capacity(parts.len());
    for ((name, devices), period) in parts.into_iter().zip(of_period) {
        let mut intervals = Vec::new();
        for (from, to) in asked.stretches() {
            let asked = AskedReadings { from, to, ..asked.clone() };
            intervals.push(stretch(&asked, &devices, together(&access, &devices, &asked, each).await?));
        }
        let StretchFigures { properties, .. } = period;
        let previous = of_previous.as_mut().and_then(Iterator::next);
        let devices = devices.len() as u64;
        told_parts.push(PartFigures { name, devices, properties, intervals, previous });
    }
    let AskedReadings { from, to, .. } = asked;
    let mut response = HttpResponse::build(StatusCode::OK);
    warnings::set_header(&mut response, &told);
    Ok(reply::json_with(response, &FleetFigures { from, to, parts: told_parts }))
}

/// The statistics of each part, and whether each reading was looked at for them: where all parts together have not too many.
async fn of_parts(
    access: &Access,
    parts: &BTreeMap<String, Vec<DeviceNumber>>,
    asked: &AskedReadings,
) -> Result<(Vec<StretchFigures>, bool), ApiError> {
    let (mut figures, mut readings) = (Vec::with_capacity(parts.len()), 0_u64);
    for devices in parts.values() {
        let series = together(access, devices, asked, false).await?;
        let of_part: u64 = series.values().map(SeriesStatistics::readings).sum();
        readings = readings.saturating_add(of_part);
        figures.push(stretch(asked, devices, series));
    }
    let each = readings <= MOST_POINTS;
    if each {
        figures.clear();
        for devices in parts.values() {
            figures.push(stretch(asked, devices, together(access, devices, asked, true).await?));
        }
    }
    Ok((figures, each))
}

fn stretch(asked: &AskedReadings, devices: &[DeviceNumber], series: SeriesByName) -> StretchFigures {
    let AskedReadings { from, to, .. } = *asked;
    StretchFigures { from, to, properties: figures(series, length(from, to), devices.len() == 1) }
}

/// The statistics of the devices' readings together; with points, each reading is looked at.
async fn together(
    access: &Access,
    devices: &[DeviceNumber],
    asked: &AskedReadings,
    points: bool,
) -> Result<SeriesByName, ApiError> {
    let AskedReadings { from, to, .. } = *asked;
    let of_device = async |device: DeviceNumber| -> Result<SeriesByName, ApiError> {
        let query = StatisticsQuery {
            device,
            from,
            to,
            sensors: asked.sensors.clone(),
            min_quality: asked.min_quality,
            points,
        };
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
