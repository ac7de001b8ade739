//! `/api/openapi.json`, made from the code, and `/docs`, a page to try it. Its files are in the program.

mod responses;
mod schemas;

use std::sync::{Arc, LazyLock};

use actix_web::HttpResponse;
use actix_web::http::header::{self, ContentType};
use actix_web::web;
use serde_json::Value;
use twinhub_actors::access::Permission;
use utoipa::OpenApi;
use utoipa::openapi::extensions::Extensions;
use utoipa_swagger_ui::Config;

use crate::http::problem::ApiError;
use crate::http::routes::{Method, Operation};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "twinhub",
        description = "A live digital twin of every IoT device. Times are RFC 3339, UTC, milliseconds. \
            Durations are `90s`, `1h 30m`, `5 minutes` or ISO 8601 (`PT1H30M`), with the units `ms`, `s`, `m`, `h`, `d`, `w`. Errors are \
            RFC 9457 problem documents. Live events: WebSocket at `/api/ws`, server-sent events at `/api/events`; AsyncAPI 3 describes both \
            at `/api/asyncapi.json`.",
    ),
    tags(
        (name = "devices", description = "Devices, their fields and their presence"),
        (name = "twin", description = "Reported and desired state of a device"),
        (name = "commands", description = "Commands to devices, and their outcome"),
        (name = "automation", description = "Rules, their runs, and the reasons why one ran or did not"),
        (name = "groups", description = "A tree of groups of devices, with counts"),
        (name = "data", description = "Readings of devices and their history"),
        (name = "alarms", description = "Alarms, and who has acknowledged them"),
        (name = "events", description = "Events and their causes"),
        (name = "diagnostics", description = "Messages that were rejected or that nobody reads"),
        (name = "operations", description = "Health and metrics of the hub"),
        (name = "firmware", description = "Firmware of devices: images and roll-outs"),
        (name = "jobs", description = "One action upon many devices, and its outcome for each"),
        (name = "templates", description = "Properties that devices of a kind share"),
        (name = "sign-in", description = "Sessions, passwords, keys and second factors"),
        (name = "users", description = "Users, their rights, and the audit"),
    ),
)]
struct ApiDescription;

const DESCRIPTION: &str = "/api/openapi.json";
/// The descriptions that the page offers: this one, and that of a dialect.
const DESCRIPTIONS: [&str; 2] = [DESCRIPTION, "/openapi.json"];

/// The description of the API.
#[must_use]
pub fn openapi() -> Value {
    let mut whole = ApiDescription::openapi();
    super::describe(&mut whole);
    name_permissions(&mut whole);
    let mut document = serde_json::to_value(&whole).unwrap_or_default(); // texts and numbers
    responses::complete(&mut document);
    schemas::complete(&mut document);
    document
}

/// Says of each operation which permission it takes.
fn name_permissions(whole: &mut utoipa::openapi::OpenApi) {
    for Operation { path, method, permission, .. } in super::all_operations() {
        let Some(item) = whole.paths.paths.get_mut(&path) else { continue }; // it is not described
        let operation = match method {
            Method::Get | Method::Stream => &mut item.get,
            Method::Post => &mut item.post,
            Method::Put => &mut item.put,
            Method::Patch => &mut item.patch,
            Method::Delete => &mut item.delete,
        };
        if let Some(operation) = operation {
            let extension = Extensions::builder().add("x-permission", permission.as_str()).build();
            operation.extensions.get_or_insert_default().merge(extension);
        }
    }
}

/// The routes of the document, and of the page without its last stroke and with it.
pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation::plain(Permission::Read, Method::Get, DESCRIPTION, || web::to(get_description)),
        Operation::plain(Permission::Read, Method::Get, "/docs", || web::to(to_the_page)),
        Operation::plain(Permission::Read, Method::Get, "/docs/{file:.*}", || web::to(get_file)),
    ]
}

/// A file of the page.
async fn get_file(file: web::Path<String>) -> Result<HttpResponse, ApiError> {
    static CONFIG: LazyLock<Arc<Config<'static>>> =
        LazyLock::new(|| Arc::new(Config::new(DESCRIPTIONS).validator_url("none").try_it_out_enabled(true)));
    let none = || ApiError::NoRoute(format!("/docs/{file}"));
    let found = utoipa_swagger_ui::serve(&file, Arc::clone(&CONFIG)).ok().flatten().ok_or_else(none)?;
    let mut response = HttpResponse::Ok();
    if found.gzpipped {
        response.insert_header((header::CONTENT_ENCODING, "gzip"));
    }
    Ok(response.content_type(found.content_type).body(found.bytes.into_owned()))
}

/// Made when somebody first asks for it: it takes megabytes to make, and most hubs are never asked.
async fn get_description() -> HttpResponse {
    static TEXT: LazyLock<String> = LazyLock::new(|| openapi().to_string());
    HttpResponse::Ok().content_type(ContentType::json()).body(TEXT.as_str())
}

async fn to_the_page() -> HttpResponse {
    HttpResponse::PermanentRedirect().insert_header((header::LOCATION, "/docs/")).finish()
}

#[cfg(test)]
mod tests;
