//! The HTTP side of seed 002, the cloud backend on FastAPI: its sign-in by JSON web tokens, its sensors, its socket and
//! its description. Its errors are FastAPI's, `{"detail": …}`. What its words are on a twin is told in
//! [`twinhub_mqtt::dialects::cloud_backend`].

mod compare;
mod description;
mod index;
mod sensors;
mod sign_in;
mod socket;
mod status;
mod view;
mod weather;

use std::sync::Arc;

use actix_web::web::{self, ServiceConfig};
use twinhub_actors::access::Permission;

use self::index::SensorIndex;
use self::socket::OpenSockets;
use self::weather::WeatherDesk;
use crate::config::DialectName;
use crate::http::problem::fastapi;
use crate::http::routes::{self, Method, Operation};

pub use self::status::ServiceStates;
pub use self::weather::WeatherSettings;

/// The state that the handlers of this dialect share.
pub struct CloudBackendState {
    index: Arc<SensorIndex>,
    weather: WeatherDesk,
    sockets: Arc<OpenSockets>,
}

impl CloudBackendState {
    /// The state at the start.
    #[must_use]
    pub fn new(weather: WeatherSettings) -> Self {
        let weather = WeatherDesk::new(weather);
        Self { index: Arc::default(), weather, sockets: Arc::default() }
    }
}

/// The routes.
pub(super) fn operations() -> Vec<Operation> {
    use Method::{Get, Post, Stream};
    use Permission::{Account, Public, Read};
    let all = [
        Operation::plain(Public, Post, "/v1/auth/login", || web::to(sign_in::login)),
        Operation::plain(Account, Get, "/v1/auth/me", || web::to(sign_in::me)),
        Operation::plain(Account, Post, "/v1/auth/refresh", || web::to(sign_in::refresh)),
        Operation::plain(Read, Get, "/v1/sensors/latest", || web::to(sensors::latest)),
        Operation::plain(Read, Get, "/v1/sensors/history", || web::to(sensors::history)),
        Operation::plain(Read, Get, "/v1/sensors/anomalies", || web::to(sensors::anomalies)),
        Operation::plain(Read, Get, "/v1/sensors/stats", || web::to(sensors::stats)),
        Operation::plain(Read, Get, "/v1/sensors/live", || web::to(sensors::live)),
        Operation::plain(Read, Get, "/v1/sensors/external/weather", || web::to(weather::external)),
        Operation::plain(Read, Get, "/v1/sensors/compare/weather", || web::to(compare::compare)),
        Operation::plain(Read, Get, "/api/status", || web::to(status::status)),
        Operation::plain(Read, Get, "/openapi.json", || web::to(description::document)),
        Operation::plain(Read, Get, "/redoc", || web::to(description::page)),
        Operation::plain(Read, Stream, "/ws", || web::to(socket::open)),
    ];
    all.into_iter().map(|operation| operation.taking_jwt().of(&[DialectName::CloudBackend])).collect()
}

/// Serves them. What is refused is refused in this dialect.
pub(super) fn configure(config: &mut ServiceConfig) {
    routes::configure(config, operations(), |error| fastapi::answer(&error));
}
