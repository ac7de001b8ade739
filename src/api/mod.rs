//! The REST API, one file a resource: request and response types, and thin handlers that send a message
//! to an actor and tell its answer.

mod alarms;
pub(crate) mod asked;
pub(crate) mod automation;
pub(crate) mod body;
mod bulk;
pub mod choice;
mod claims;
mod command_view;
mod commands;
mod data;
mod deliveries;
mod device;
mod devices;
mod diagnostics;
mod docs;
mod events;
mod files;
pub(crate) mod firmware;
mod groups;
mod health;
mod jobs;
mod lifecycle;
mod limits;
mod metrics;
mod mode;
pub(crate) mod order;
mod paging;
pub(crate) mod params;
mod poll;
mod precondition;
mod register;
mod reply;
mod schedule;
mod schema;
mod status;
mod steady;
mod templates;
pub mod token;
pub(crate) mod turns;
mod twin;
mod warnings;
mod watch;

use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, Resource, Route, guard};

pub use docs::openapi;

use crate::error::ApiError;

/// The routes of the API, its description and the page to try it.
pub fn configure(config: &mut ServiceConfig) {
    config
        .configure(files::configure) // before `/api/devices/{id}`, which would take them for devices
        .configure(jobs::configure)
        .service(
            resource("/api/devices", "GET, HEAD, POST")
                .route(get().to(devices::list_devices))
                .route(web::post().to(register::register_device)),
        )
        .service(resource("/api/devices/unclaimed", "GET, HEAD").route(get().to(claims::list_unclaimed)))
        .service(resource("/api/devices/claim", "POST").route(web::post().to(claims::claim_device)))
        .service(
            resource("/api/devices/{id}", "GET, HEAD, PUT, PATCH, DELETE")
                .route(get().to(device::get_device))
                .route(web::put().to(device::put_device))
                .route(web::patch().to(device::patch_device))
                .route(web::delete().to(device::delete_device)),
        )
        .service(resource("/api/devices/{id}/status", "GET, HEAD").route(get().to(status::get_device_status)))
        .service(
            resource("/api/devices/{id}/twin", "GET, HEAD, PATCH")
                .route(get().to(twin::get_twin))
                .route(web::patch().to(twin::patch_twin)),
        )
        .service(
            resource("/api/devices/{id}/lifecycle", "GET, HEAD, PUT")
                .route(get().to(lifecycle::get_lifecycle))
                .route(web::put().to(lifecycle::put_lifecycle)),
        )
        .service(
            resource("/api/devices/{id}/mode", "GET, HEAD, PUT")
                .route(get().to(mode::get_mode))
                .route(web::put().to(mode::put_mode)),
        )
        .service(
            resource("/api/devices/{id}/schedule", "GET, HEAD, PUT")
                .route(get().to(schedule::get_schedule))
                .route(web::put().to(schedule::put_schedule)),
        )
        .service(
            resource("/api/devices/{id}/commands", "GET, HEAD, POST")
                .route(get().to(commands::list_device_commands))
                .route(web::post().to(order::post_command)),
        )
        .service(
            resource("/api/devices/{id}/commands/{command_id}", "POST")
                .route(web::post().to(poll::post_answer)),
        )
        .service(resource("/api/commands", "GET, HEAD").route(get().to(commands::list_commands)))
        .service(
            resource("/api/commands/{id}", "GET, HEAD, DELETE")
                .route(get().to(commands::get_command))
                .route(web::delete().to(commands::cancel_command)),
        )
        .service(
            resource("/api/devices/{id}/alarms", "GET, HEAD").route(get().to(alarms::list_device_alarms)),
        )
        .service(resource("/api/alarms", "GET, HEAD").route(get().to(alarms::list_alarms)))
        .service(resource("/api/alarms/{id}", "GET, HEAD").route(get().to(alarms::get_alarm)))
        .service(
            resource("/api/alarms/{id}/acknowledge", "POST").route(web::post().to(alarms::acknowledge_alarm)),
        )
        .service(resource("/api/alarms/{id}/clear", "POST").route(web::post().to(alarms::clear_alarm)))
        .service(
            resource("/api/automation/webhooks/deliveries", "GET, HEAD")
                .route(get().to(deliveries::list_deliveries)),
        )
        .service(
            resource("/api/devices/{id}/data", "GET, HEAD, POST")
                .route(get().to(data::get_data))
                .route(web::post().to(data::post_data)),
        )
        .service(
            resource("/api/devices/{id}/events", "GET, HEAD").route(get().to(events::list_device_events)),
        )
        .service(resource("/api/events", "GET, HEAD").route(get().to(events::list_events)))
        .service(
            resource("/api/diagnostics/rejected", "GET, HEAD").route(get().to(diagnostics::list_rejected)),
        )
        .service(resource("/api/diagnostics/unread", "GET, HEAD").route(get().to(diagnostics::list_unread)))
        .service(resource("/health", "GET, HEAD").route(get().to(health::get_health)))
        .service(resource("/ready", "GET, HEAD").route(get().to(health::get_ready)))
        .service(resource("/metrics", "GET, HEAD").route(get().to(metrics::get_metrics)))
        .configure(automation::configure)
        .configure(firmware::configure)
        .configure(groups::configure)
        .configure(templates::configure)
        .configure(docs::configure);
}

/// A route for GET, and for HEAD: the same without the body.
pub(crate) fn get() -> Route {
    web::route().guard(guard::Any(guard::Get()).or(guard::Head()))
}

/// A resource that answers methods it does not take with 405 and the ones it does: `GET, HEAD, POST`.
pub(crate) fn resource(path: &str, allow: &'static str) -> Resource {
    web::resource(path).default_service(web::to(move |request: HttpRequest| async move {
        ApiError::Method { path: request.path().to_owned(), method: request.method().to_string(), allow }
    }))
}
