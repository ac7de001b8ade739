//! `/api/pairing`: the window in which devices that the hub does not know may come without a password.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use serde::{Deserialize, Serialize};
use twinhub_access::Action;
use twinhub_actors::pairing::{NewcomerView, Pairing, PairingView, PairingWindow};
use twinhub_domain::duration::GivenDuration;
use twinhub_domain::{Json, Timestamp};
use utoipa::ToSchema;

use crate::http::Access;
use crate::http::extract::body::OptionalBody;
use crate::http::extract::fields::FieldError;
use crate::http::extract::params::Params;
use crate::http::extract::read::duration;
use crate::http::problem::{ApiError, Problem};
use crate::http::reply;
use crate::http::routes::routes;

routes! {
    Users: self::get_pairing,
    Users: self::open_pairing,
    Users: self::close_pairing,
}

/// The target of the audit's entries about the window.
const TARGET: &str = "pairing";

/// A window to be opened.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPairing {
    /// Its length from now on, an hour at most: a duration, or a number of seconds. Ten minutes by default.
    #[serde(default, deserialize_with = "duration", rename = "for")]
    #[schema(value_type = Option<String>, example = "10m")]
    length: Option<GivenDuration>,
}

/// The window, or the last one that there was.
#[derive(Debug, Serialize, ToSchema)]
pub struct PairingState {
    /// Devices that the hub does not know may come without a password now.
    open: bool,
    /// The end of it, which may have passed; null where there was none since the hub started.
    #[schema(value_type = Option<String>, format = DateTime)]
    until: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    opened_at: Option<Timestamp>,
    /// The caller who opened it: `user:ann`; empty for one without a name.
    #[schema(example = "user:ann")]
    opened_by: Option<String>,
    /// The devices that came through it.
    devices: Vec<PairingDevice>,
}

/// A device that came through the window.
#[derive(Debug, Serialize, ToSchema)]
pub struct PairingDevice {
    #[schema(example = "pump-1")]
    device_id: String,
    /// The address that it came from, which alone may speak for it until the window ends.
    #[schema(example = "192.168.1.7")]
    address: String,
    #[schema(value_type = String, format = DateTime)]
    came_at: Timestamp,
    /// It has a token by now, so it can go on after the window; null where that cannot be found out just now.
    paired: Option<bool>,
}

/// The pairing window, and the devices that came through it.
#[utoipa::path(
    get,
    path = "/api/pairing",
    tag = "devices",
    responses((status = 200, description = "The window, open or not", body = PairingState))
)]
pub async fn get_pairing(params: Params, access: Access) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    let pairing = access.pairing()?;
    answer(pairing, pairing.window.view()).await
}

/// Opens the pairing window: for a while devices that the hub does not know may come without a password, over MQTT and
/// with readings over HTTP. One that is open goes on until the end that is said now. A restart of the hub closes it.
#[utoipa::path(
    post,
    path = "/api/pairing",
    tag = "devices",
    request_body = Option<NewPairing>,
    responses(
        (status = 200, description = "Open", body = PairingState),
        (status = 422, description = "It is longer than an hour, or a field makes no sense", body = Problem),
    )
)]
pub async fn open_pairing(
    params: Params,
    OptionalBody(body): OptionalBody<NewPairing>,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    let for_ms = body.and_then(|body| body.length).map_or(PairingWindow::USUAL_MS, |length| length.ms());
    if for_ms > PairingWindow::LONGEST_MS {
        return Err(FieldError::bad("for", "an hour at most").into());
    }
    let pairing = access.pairing()?;
    let view = pairing.window.open(for_ms, &access.caller().audit_name());
    let until = [("until", Json::from(view.until.to_string()))];
    access.audit_done(Action::PairingOpened, TARGET, until).await;
    answer(pairing, Some(view)).await
}

/// Closes the pairing window. Clients that came through it are disconnected within a second; their devices stay, and need
/// a token from now on.
#[utoipa::path(
    delete,
    path = "/api/pairing",
    tag = "devices",
    responses((status = 200, description = "Not open any more", body = PairingState))
)]
pub async fn close_pairing(params: Params, access: Access) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    let pairing = access.pairing()?;
    if pairing.window.close() {
        access.audit_done(Action::PairingClosed, TARGET, []).await;
    }
    answer(pairing, pairing.window.view()).await
}

async fn answer(pairing: &Pairing, view: Option<PairingView>) -> Result<HttpResponse, ApiError> {
    let state = match view {
        None => {
            PairingState { open: false, until: None, opened_at: None, opened_by: None, devices: Vec::new() }
        }
        Some(PairingView { is_open, opened_by, opened_at, until, newcomers }) => {
            let mut devices = Vec::with_capacity(newcomers.len());
            for NewcomerView { device, address, came_at } in newcomers {
                let paired = pairing.has_credentials(&device).await;
                let (device_id, address) = (device.to_string(), address.to_string());
                devices.push(PairingDevice { device_id, address, came_at, paired });
            }
            let opened_by = Some(opened_by.into());
            PairingState { open: is_open, until: Some(until), opened_at: Some(opened_at), opened_by, devices }
        }
    };
    Ok(reply::json(StatusCode::OK, &state))
}
