//! `/api/devices/{id}`: one device with its latest activity; changed and removed.

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use twinhub_actors::access::Grant;
use twinhub_actors::access::InputRequest;
use twinhub_actors::messages::archive::{FindExtent, ListCommands, RawHistory};
use twinhub_domain::series::{Aggregate, HistoryQuery};
use twinhub_domain::twin::Change;
use twinhub_domain::{DeviceId, Input, Json, Timestamp, Twin, Versions};
use twinhub_store::{CommandQuery, DeviceDataCounts};
use utoipa::ToSchema;

use super::request::DeviceChange;
use super::schema::DeviceDetail;
use crate::api::commands::view::summary;
use crate::api::groups::check_group;
use crate::api::twin::document::etag;
use crate::http::Access;
use crate::http::extract::body::{Body, DevicePath};
use crate::http::extract::params::Params;
use crate::http::extract::precondition::if_match;
use crate::http::problem::{ApiError, Problem};
use crate::http::reply;
use crate::http::reply::{Document, add_readings};

/// Readings shown with a device.
const RECENT: usize = 20;
/// Commands shown with a device.
const RECENT_COMMANDS: u64 = 10;

/// The number and rate of a device's messages, and the number of its properties.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeviceMetrics {
    /// Messages taken in since the device began.
    messages: u64,
    /// Properties that it reports.
    reported_properties: usize,
    /// Since it was last heard; null when it never was.
    seconds_since_last_seen: Option<f64>,
    /// Messages a minute on average, since the device began.
    messages_per_minute: f64,
}

/// A removal's answer.
#[derive(Debug, Serialize, ToSchema)]
pub struct Deleted {
    id: String,
    device_id: String,
    deleted: bool,
    removed: Removed,
    message: String,
}

/// The records that were removed with the device, by kind.
#[derive(Debug, Serialize, ToSchema)]
pub struct Removed {
    readings: u64,
    /// All of its log that is no reading.
    events: u64,
    commands: u64,
    alarms: u64,
}

/// The twin with its recent data, recent commands and metrics.
#[utoipa::path(
    get,
    path = "/api/devices/{id}",
    tag = "devices",
    params(("id" = String, Path, description = "The device's id")),
    responses(
        (status = 200, body = DeviceDetail, headers(("ETag" = String, description = "The version, quoted"))),
        (status = 404, body = Problem),
    )
)]
pub async fn get_device(
    DevicePath(id): DevicePath,
    params: Params,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    let twin = find(&access, &id).await?;
    detail(&access, &twin).await
}

/// Changes what the body names; the rest stays.
#[utoipa::path(
    put,
    path = "/api/devices/{id}",
    tag = "devices",
    params(("id" = String, Path), ("If-Match" = Option<String>, Header, description = "The version to change, or a list of versions: `\"3\", \"4\"`")),
    request_body = DeviceChange,
    responses(
        (status = 200, body = DeviceDetail, headers(("ETag" = String, description = "The version, quoted"))),
        (status = 404, body = Problem),
        (status = 400, description = "`If-Match` is no list of entity tags", body = Problem),
        (status = 412, description = "The twin is at none of the versions that `If-Match` names", body = Problem),
        (status = 422, body = Problem),
    )
)]
pub async fn put_device(
    request: HttpRequest,
    device: DevicePath,
    body: Body<DeviceChange>,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    change(&request, device, body, &access).await
}

/// Changes what the body names; the rest stays.
#[utoipa::path(
    patch,
    path = "/api/devices/{id}",
    tag = "devices",
    params(("id" = String, Path), ("If-Match" = Option<String>, Header, description = "The version to change, or a list of versions: `\"3\", \"4\"`")),
    request_body = DeviceChange,
    responses(
        (status = 200, body = DeviceDetail, headers(("ETag" = String, description = "The version, quoted"))),
        (status = 404, body = Problem),
        (status = 400, description = "`If-Match` is no list of entity tags", body = Problem),
        (status = 412, description = "The twin is at none of the versions that `If-Match` names", body = Problem),
        (status = 422, body = Problem),
    )
)]
pub async fn patch_device(
    request: HttpRequest,
    device: DevicePath,
    body: Body<DeviceChange>,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    change(&request, device, body, &access).await
}

/// Removes the device with its data, commands and credentials, and says how much that was. A command that was not
/// acknowledged reaches nobody any more.
#[utoipa::path(
    delete,
    path = "/api/devices/{id}",
    tag = "devices",
    params(("id" = String, Path), ("If-Match" = Option<String>, Header, description = "The version to remove, or a list of versions: `\"3\", \"4\"`")),
    responses(
        (status = 200, body = Deleted),
        (status = 404, body = Problem),
        (status = 400, description = "`If-Match` is no list of entity tags", body = Problem),
        (status = 412, description = "The twin is at none of the versions that `If-Match` names", body = Problem),
    )
)]
pub async fn delete_device(
    request: HttpRequest,
    DevicePath(id): DevicePath,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    let if_version = if_match(&request)?;
    let number = find(&access, &id).await?.number;
    let DeviceDataCounts { readings, events, commands, alarms } = access.ask(FindExtent(number)).await??;
    access.deliver(InputRequest::new(id.clone(), Input::Delete).if_version(if_version)).await?;
    let message = format!("Device {id} was removed with its data, commands and credentials");
    let removed = Removed { readings, events, commands, alarms };
    let deleted = Deleted { id: id.to_string(), device_id: id.to_string(), deleted: true, removed, message };
    Ok(reply::json(StatusCode::OK, &deleted))
}

/// The twin of this id, or the 404 that names it.
pub(crate) async fn find(access: &Access, id: &DeviceId) -> Result<Box<Twin>, ApiError> {
    access.read(id).await?.ok_or_else(|| ApiError::no_device(id))
}

/// Makes a change of a twin that is at one of these versions, and gives it back as it is after it.
pub(crate) async fn make(
    access: &Access,
    id: DeviceId,
    if_version: Option<Versions>,
    change: Input,
) -> Result<Box<Twin>, ApiError> {
    let taken =
        access.deliver(InputRequest::new(id.clone(), change).if_version(if_version).with_twin()).await?;
    match taken.twin {
        Some(twin) => Ok(twin),
        None => find(access, &id).await,
    }
}

async fn change(
    request: &HttpRequest,
    DevicePath(id): DevicePath,
    Body(change): Body<DeviceChange>,
    access: &Access,
) -> Result<HttpResponse, ApiError> {
    let (patch, if_version) = (change.patch(), if_match(request)?);
    check_group(access, &patch)?;
    let twin = make(access, id, if_version, Input::Change(Box::new(Change { patch }))).await?;
    detail(access, &twin).await
}

async fn detail(access: &Access, twin: &Twin) -> Result<HttpResponse, ApiError> {
    let recent = HistoryQuery {
        device: twin.number,
        from: None,
        to: None,
        sensors: Vec::new(),
        min_quality: None,
        limit: RECENT,
        newest_first: true,
        interval: None,
        aggregate: Aggregate::default(),
    };
    let recent = access.ask(RawHistory(recent)).await??;
    let commands = CommandQuery {
        device: Some(twin.number),
        newest_first: true,
        limit: RECENT_COMMANDS,
        ..CommandQuery::default()
    };
    let commands = access.ask(ListCommands(commands)).await??.commands;
    let commands = commands.iter().map(|record| summary(&record.device, &record.command).into()).collect();
    let mut document = twin.document(access.now());
    add_readings(&mut document, twin);
    document.insert("recent_commands", Json::Array(commands));
    let mut response = HttpResponse::Ok();
    response.insert_header((header::ETAG, etag(twin)));
    Ok(Document::of(&document)
        .with("recent_data", &recent)
        .with("metrics", &DeviceMetrics::of(twin, access.now()))
        .send(response))
}

impl DeviceMetrics {
    fn of(twin: &Twin, now: Timestamp) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "a rate to look at")]
        let messages = twin.intake.messages as f64;
        let minutes = seconds_between(twin.created_at, now) / 60.0;
        Self {
            messages: twin.intake.messages,
            reported_properties: twin.reported.len(),
            seconds_since_last_seen: twin.presence.last_seen.map(|at| seconds_between(at, now)),
            messages_per_minute: messages / minutes.max(1.0),
        }
    }
}

/// The uptime of the hub, whatever its clock was set to meanwhile.
pub(crate) fn uptime_seconds(hub: &Grant) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "an uptime is far below 2^53 ms")]
    let millis = hub.uptime_ms() as f64;
    millis / 1_000.0
}

/// Seconds from one moment to another, none when it lies behind.
pub(crate) fn seconds_between(from: Timestamp, to: Timestamp) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of ten thousand years are below 2^53")]
    let millis = (to.millis() - from.millis()).max(0) as f64;
    millis / 1_000.0
}
