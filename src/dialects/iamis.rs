//! The HTTP side of seed 001, iamis-backend on FastAPI: readings by the type of their sensor, and the layout of its
//! dashboard. Its errors are FastAPI's, `{"detail": …}`. The readings of a type are a property of one twin, as
//! [`twinhub_mqtt::dialects::iamis`] tells.

mod history;
mod layout;
mod recent;
mod sensor_data;

use actix_web::http::{StatusCode, header};
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use twinhub_actors::access::Permission;

use crate::config::DialectName;
use crate::http::Access;
use crate::http::problem::fastapi;
use crate::http::reply;
use crate::http::routes::{self, Method, Operation};
pub(crate) use recent::RecentReadings;

/// The health of the hub in this dialect.
#[derive(Debug, Serialize)]
struct HealthCheck {
    status: &'static str,
    mqtt_connected: bool,
}

/// The routes.
pub(super) fn operations() -> Vec<Operation> {
    use Method::{Get, Post};
    use Permission::{Operate, Public, Read, Report};
    let all = vec![
        Operation::plain(Report, Post, "/sensor-data/", || web::to(sensor_data::post)),
        Operation::plain(Read, Get, "/sensor-data/{sensor_type}/", || web::to(sensor_data::list)),
        Operation::plain(Public, Get, "/health-check/", || web::to(health)),
        Operation::plain(Read, Get, "/api/layout", || web::to(layout::read)),
        Operation::plain(Operate, Post, "/api/layout", || web::to(layout::save)),
        Operation::plain(Public, Post, "/sensor-data", || web::to(to_other_form)),
        Operation::plain(Public, Get, "/sensor-data/{sensor_type}", || web::to(to_other_form)),
        Operation::plain(Public, Get, "/health-check", || web::to(to_other_form)),
        Operation::plain(Public, Get, "/api/layout/", || web::to(to_other_form)),
        Operation::plain(Public, Post, "/api/layout/", || web::to(to_other_form)),
    ];
    all.into_iter().map(|operation| operation.of(&[DialectName::Iamis])).collect()
}

/// Serves them. What is refused is refused in this dialect.
pub(super) fn configure(config: &mut ServiceConfig) {
    routes::configure(config, operations(), |error| fastapi::answer(&error));
}

async fn health(access: Access) -> HttpResponse {
    let mqtt_connected = access.state.link.state().connected;
    reply::json(StatusCode::OK, &HealthCheck { status: "Healthy", mqtt_connected })
}

/// Sends a client on to the same path with a slash at its end, or without one. It sends the same request there.
async fn to_other_form(request: HttpRequest) -> HttpResponse {
    let path = request.uri().path();
    let other = match path.strip_suffix('/') {
        Some(without) => without.to_owned(),
        None => format!("{path}/"),
    };
    let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    HttpResponse::TemporaryRedirect().insert_header((header::LOCATION, other + &query)).finish()
}

/// The name in the causes of changes by these routes.
const BY: &str = "iamis";
