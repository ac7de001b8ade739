//! The HTTP side of seed 004, the IoT Controller on Flask. Its routes are the hub's own, all but the analytics.

mod analytics;

use actix_web::ResponseError as _;
use actix_web::web::{self, ServiceConfig};
use twinhub_actors::access::Permission;

use crate::config::DialectName;
use crate::http::routes::{self, Method, Operation};

/// The routes.
pub(super) fn operations() -> Vec<Operation> {
    let analytics =
        Operation::plain(Permission::Read, Method::Get, "/api/analytics", || web::to(analytics::analytics));
    vec![analytics.of(&[DialectName::IotController])]
}

/// Serves them. Refusals have the form of the hub's own.
pub(super) fn configure(config: &mut ServiceConfig) {
    routes::configure(config, operations(), |error| error.error_response());
}
