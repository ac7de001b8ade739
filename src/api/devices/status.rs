//! `GET /api/devices/{id}/status`: connectivity, health, mode and operational state.

use actix_web::HttpResponse;
use serde::Serialize;
use twinhub_actors::messages::archive::FindEvents;
use twinhub_domain::{EventKind, Json, Status, Timestamp, Twin};
use twinhub_store::EventQuery;
use utoipa::ToSchema;

use super::device::{find, seconds_between};
use super::limits::{ReadingHealth, Unhealthy, judged};
use crate::api::schema::words;
use crate::http::Access;
use crate::http::extract::body::DevicePath;
use crate::http::extract::params::Params;
use crate::http::problem::{ApiError, Problem};
use crate::http::reply::Document;

/// Rates are of this stretch of time before now, in ms.
const WINDOW_MS: i64 = 5 * 60 * 1_000;
const WINDOW_MINUTES: f64 = 5.0;
/// The most messages that are counted: a device that sends more is shown with the rate of these.
const MOST_COUNTED: usize = 10_000;

/// The properties in which devices report their battery and their reception.
const BATTERY: [&str; 4] = ["battery", "battery_level", "battery_percent", "batt"];
const SIGNAL: [&str; 5] = ["signal", "signal_strength", "rssi", "wifi_rssi", "linkquality"];

/// Connectivity: what presence says and when the device was heard are two facts.
#[derive(Debug, Serialize, ToSchema)]
pub struct Connectivity {
    #[schema(value_type = words::Presence)]
    status: &'static str,
    connected: bool,
    #[schema(value_type = Option<String>, format = DateTime)]
    last_seen: Option<Timestamp>,
    ip_address: Option<String>,
}

/// The device's line to the hub: its comings and goings.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeviceConnection {
    connected: bool,
    #[schema(value_type = Option<String>, format = DateTime)]
    last_seen: Option<Timestamp>,
    /// When it last came or went; null when it has never gone.
    #[schema(value_type = Option<String>, format = DateTime)]
    changed_at: Option<Timestamp>,
    /// The reason of its last disconnect: `reported` (its own word, or its last will), `silent`, `suspended` or
    /// `retired`.
    #[schema(example = "silent")]
    disconnect_reason: Option<String>,
    /// The number of its disconnects.
    disconnects: u32,
    /// It went three times or more within the last ten minutes.
    flapping: bool,
    /// After how many seconds of silence it counts as offline; null: never.
    heartbeat_seconds: Option<f64>,
    /// The way in which it gets commands: `mqtt` or `http poll`; null when it was never heard.
    #[schema(example = "mqtt")]
    via: Option<&'static str>,
}

/// Its commands that are not final.
#[derive(Debug, Serialize, ToSchema)]
pub struct UnfinishedCommands {
    /// For their turn, for the device, or for their next attempt.
    waiting: usize,
    /// With the device.
    in_flight: usize,
}

/// The difference between its desired and its reported properties.
#[derive(Debug, Serialize, ToSchema)]
pub struct Convergence {
    /// It reports all that is desired.
    converged: bool,
    /// Since when it does not.
    #[schema(value_type = Option<String>, format = DateTime)]
    drifting_since: Option<Timestamp>,
    /// Desired properties that it does not report.
    unmet: Vec<UnmetProperty>,
}

/// A desired property that the device does not report.
#[derive(Debug, Serialize, ToSchema)]
pub struct UnmetProperty {
    #[schema(example = "power")]
    property: String,
    #[schema(value_type = words::Sync)]
    sync: &'static str,
    #[schema(value_type = String, format = DateTime)]
    unmet_at: Timestamp,
    /// The reason why the device could not apply it, where the device said so.
    reason: Option<String>,
}

/// Health, of the last five minutes.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeviceHealth {
    /// Messages with readings, a minute.
    messages_per_minute: f64,
    /// The part of its messages that could not be read, from 0 to 1.
    error_share: f64,
    /// Seconds since the device was last heard; null when it never was.
    staleness: Option<f64>,
    /// As reported.
    #[schema(value_type = serde_json::Value)]
    battery: Option<Json>,
    /// As reported.
    #[schema(value_type = serde_json::Value)]
    signal: Option<Json>,
    /// Readings that are not as expected.
    unhealthy: Unhealthy,
    /// The readings of which something is expected, by its own limits and its template's.
    readings: Vec<ReadingHealth>,
}

/// Connectivity, health, mode and operational state of one device.
#[utoipa::path(
    get,
    path = "/api/devices/{id}/status",
    tag = "devices",
    params(("id" = String, Path)),
    responses((status = 200, body = super::schema::DeviceStatus), (status = 404, body = Problem))
)]
pub async fn get_device_status(
    DevicePath(id): DevicePath,
    params: Params,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    let twin = find(&access, &id).await?;
    let now = access.now();
    let recent = EventQuery {
        device: Some(twin.number),
        kinds: vec![EventKind::Telemetry],
        from: Some(now.plus_millis(-WINDOW_MS).into()),
        limit: MOST_COUNTED,
        newest_first: true,
        ..EventQuery::default()
    };
    let messages = access.ask(FindEvents(recent)).await??.len();
    let since = now.plus_millis(-WINDOW_MS);
    let is_its = |topic: &str| topic.split('/').any(|part| part == id.as_str());
    let errors =
        access.rejections().last(usize::MAX).iter().filter(|r| r.at >= since && is_its(&r.topic)).count();
    let readings = judged(&twin, now);
    let status = [
        ("id", id.as_str().into()),
        ("device_id", id.as_str().into()),
        ("lifecycle", twin.lifecycle().as_str().into()),
        ("status", twin.presence.status.as_str().into()),
        ("mode", twin.control.mode.as_str().into()),
        ("mode_until", twin.control.mode_until().map_or(Json::Null, |at| at.to_string().into())),
        ("operational_state", twin.reported.to_object().into()),
    ];
    Ok(Document::of(&status.into_iter().collect())
        .with("version", &twin.version)
        .with("connectivity", &Connectivity::of(&twin, now))
        .with("connection", &DeviceConnection::of(&twin, access.settings().first_silence_ms(), now))
        .with("commands", &UnfinishedCommands::of(&twin))
        .with("convergence", &Convergence::of(&twin, now))
        .with("health", &DeviceHealth::of(&twin, messages, errors, readings, now))
        .with("refused_messages", &access.counters().out_of_service.of(twin.number))
        .send(HttpResponse::Ok()))
}

impl Connectivity {
    fn of(twin: &Twin, now: Timestamp) -> Self {
        let ip_address = twin.profile.text("ip_address");
        Self {
            status: twin.presence.status.as_str(),
            connected: twin.presence.status == Status::Online,
            last_seen: twin.presence.last_seen.map(|seen| seen.min(now)),
            ip_address: (!ip_address.is_empty()).then(|| ip_address.to_owned()),
        }
    }
}

impl DeviceConnection {
    fn of(twin: &Twin, first_silence_ms: i64, now: Timestamp) -> Self {
        let line = twin.presence.line();
        #[expect(clippy::cast_precision_loss, reason = "a heartbeat is far below 2^53 ms")]
        let seconds = |millis: i64| millis as f64 / 1_000.0;
        let via = if twin.presence.polls() { "http poll" } else { "mqtt" };
        Self {
            connected: twin.presence.status == Status::Online,
            last_seen: twin.presence.last_seen.map(|seen| seen.min(now)),
            changed_at: line.map(|line| line.changed_at),
            disconnect_reason: twin.disconnect_reason().map(str::to_owned),
            disconnects: line.map_or(0, |line| line.disconnects),
            flapping: line.is_some_and(|line| line.is_flapping(now)),
            heartbeat_seconds: twin.silence_ms(first_silence_ms).map(seconds),
            via: twin.presence.last_seen.map(|_| via),
        }
    }
}

impl UnfinishedCommands {
    fn of(twin: &Twin) -> Self {
        let in_flight = twin.commands().iter().filter(|command| command.status.is_in_flight()).count();
        Self { waiting: twin.commands().len() - in_flight, in_flight }
    }
}

impl Convergence {
    fn of(twin: &Twin, now: Timestamp) -> Self {
        let unmet = twin.unmet().iter().map(|note| UnmetProperty {
            property: note.name.to_string(),
            sync: note.state(now).as_str(),
            unmet_at: note.since,
            reason: note.failed.as_ref().map(|(_, reason)| reason.to_string()),
        });
        let drifting_since = twin.drifting_since();
        Self { converged: drifting_since.is_none(), drifting_since, unmet: unmet.collect() }
    }
}

impl DeviceHealth {
    fn of(twin: &Twin, messages: usize, errors: usize, readings: Vec<ReadingHealth>, now: Timestamp) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "bounded by what is counted and kept")]
        let (messages, errors) = (messages as f64, errors as f64);
        let reported = |names: &[&str]| {
            names.iter().find_map(|name| twin.reported.get(name)).map(|property| property.value.clone())
        };
        Self {
            messages_per_minute: messages / WINDOW_MINUTES,
            error_share: if errors > 0.0 { errors / (messages + errors) } else { 0.0 },
            staleness: twin.presence.last_seen.map(|at| seconds_between(at, now)),
            battery: reported(&BATTERY),
            signal: reported(&SIGNAL),
            unhealthy: Unhealthy::of(&readings),
            readings,
        }
    }
}
