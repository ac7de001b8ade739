//! The HTTP side of seed 003: `/dispositivos` and its live stream, in Spanish. A device is a twin, its integer
//! `id` the twin's number; what the words are on a twin is told in `twinhub_domain::twin::Dispositivo`.

mod change;
mod claim;
mod device;
mod failed;
mod list;
mod logs;
mod stream;

use actix_web::web::{self, Data, Path, ServiceConfig};
use actix_web::{HttpRequest, Resource};
use twinhub_actors::messages::archive::ListDevices;
use twinhub_domain::cause::Source;
use twinhub_domain::{Cause, DeviceNumber, Twin};
use twinhub_store::DeviceQuery;

use crate::api::get;
use crate::error::ApiError;
use crate::web::WebState;
use failed::Failed;

/// The routes.
pub fn configure(config: &mut ServiceConfig) {
    config
        .service(
            resource("/dispositivos", "GET, HEAD, POST")
                .route(get().to(list::all))
                .route(web::post().to(change::add)),
        )
        .service(resource("/dispositivos/no-reclamados", "GET, HEAD").route(get().to(list::unclaimed)))
        .service(resource("/dispositivos/reclamar", "POST").route(web::post().to(claim::claim)))
        .service(
            resource("/dispositivos/{id}", "GET, HEAD, PUT")
                .route(get().to(list::one))
                .route(web::put().to(change::put)),
        )
        .service(resource("/dispositivos/{id}/logs", "GET, HEAD").route(get().to(logs::logs)))
        .service(resource("/stream/dispositivos", "GET").route(web::get().to(stream::stream)));
}

/// A resource that refuses other methods in this dialect.
fn resource(path: &str, allow: &'static str) -> Resource {
    web::resource(path).default_service(web::to(move |request: HttpRequest| async move {
        let (path, method) = (request.path().to_owned(), request.method().to_string());
        Err::<&str, _>(Failed::from(ApiError::Method { path, method, allow }))
    }))
}

/// The twin of the number in the path, or the 404 that names it.
async fn find(state: &Data<WebState>, id: &Path<String>) -> Result<Twin, Failed> {
    let unknown = || Failed::from(ApiError::no_device(id));
    let number = id.parse().map(DeviceNumber).map_err(|_| unknown())?;
    let query = DeviceQuery { numbers: Some((number, number)), limit: 1, ..DeviceQuery::default() };
    let found = state.hub.archive.send(ListDevices(query)).await??;
    found.twins.into_iter().next().ok_or_else(unknown)
}

/// What brings changes by these routes about.
fn cause() -> Cause {
    Cause::new(Source::Rest, "dispositivos")
}
