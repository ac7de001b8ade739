//! Files that are exported and imported: `/api/devices/export`, `/api/devices/import`, and the same of groups and
//! templates.

mod export;
mod import;

use actix_web::web::{self, ServiceConfig};
use utoipa::OpenApi;

use super::resource;

/// Its part of the description.
#[derive(OpenApi)]
#[openapi(paths(
    export::export_devices,
    import::import_devices,
    export::records::export_groups,
    import::import_groups,
    export::records::export_templates,
    import::import_templates,
))]
pub(super) struct Description;

/// The routes.
pub(super) fn configure(config: &mut ServiceConfig) {
    config
        .service(resource("/api/devices/export", "GET").route(web::get().to(export::export_devices)))
        .service(resource("/api/devices/import", "POST").route(web::post().to(import::import_devices)))
        .service(resource("/api/groups/export", "GET").route(web::get().to(export::records::export_groups)))
        .service(resource("/api/groups/import", "POST").route(web::post().to(import::import_groups)))
        .service(
            resource("/api/templates/export", "GET").route(web::get().to(export::records::export_templates)),
        )
        .service(resource("/api/templates/import", "POST").route(web::post().to(import::import_templates)));
}
