//! `/api/status`, and what the original's clients look for in `/health`.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use serde::Serialize;
use twinhub_actors::counters::get;
use utoipa::ToSchema;

use super::index::IndexStage;
use crate::http::Access;
use crate::http::problem::fastapi::FastApiError;
use crate::http::reply;

/// The version of the interface that the original had.
pub(super) const API_VERSION: &str = "1.0.0";

/// The state of the interface.
#[derive(Serialize, ToSchema)]
pub(super) struct StatusAnswer {
    #[schema(example = "1.0.0")]
    api_version: &'static str,
    mqtt_connected: bool,
    active_websockets: u64,
    /// The number of topics with a last message.
    latest_readings_count: usize,
    #[schema(example = "System running")]
    uptime: &'static str,
}

/// The services of the hub, in the words of the original's clients.
#[derive(Debug, Serialize, ToSchema)]
pub struct ServiceStates {
    /// `connected` or `disconnected`.
    #[schema(example = "connected")]
    mqtt: &'static str,
    /// `available` or `unavailable`.
    #[schema(example = "available")]
    database: &'static str,
    /// `available`, or `unavailable` while the weather service fails and the weather is made up.
    #[schema(example = "available")]
    weather: &'static str,
}

/// Gives the state of the interface.
#[utoipa::path(get, path = "/api/status", tag = "system", responses((status = 200, description = "The answer", body = StatusAnswer)))]
pub(super) async fn status(access: Access) -> Result<HttpResponse, FastApiError> {
    let state = &access.state;
    let live = state.cloud_backend.index.view(&access, IndexStage::Newest).await?.live();
    let answer = StatusAnswer {
        api_version: API_VERSION,
        mqtt_connected: state.link.state().connected,
        active_websockets: state.cloud_backend.sockets.count(),
        latest_readings_count: live.len(),
        uptime: "System running",
    };
    Ok(reply::json(StatusCode::OK, &answer))
}

impl ServiceStates {
    /// The states now.
    #[must_use]
    pub fn of(access: &Access) -> Self {
        let (state, counters) = (&access.state, access.counters());
        let or = |is_well: bool, well, ill| if is_well { well } else { ill };
        let is_stored = get(&counters.store_failing) == 0 && !counters.store_lost.is_set();
        Self {
            mqtt: or(state.link.state().connected, "connected", "disconnected"),
            database: or(is_stored, "available", "unavailable"),
            weather: or(!state.cloud_backend.weather.is_failing(), "available", "unavailable"),
        }
    }
}
