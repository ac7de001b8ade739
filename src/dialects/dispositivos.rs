//! The HTTP side of seed 003: `/dispositivos` and its live stream, in Spanish. A device is a twin, its integer
//! `id` the twin's number; what the words are on a twin is told in
//! [`twinhub_mqtt::dialects::dispositivos`].

mod change;
mod claim;
mod device;
mod list;
mod logs;
mod request_error;
mod stream;

use actix_web::ResponseError as _;
use actix_web::web::{self, Path, ServiceConfig};
use twinhub_actors::access::Permission;
use twinhub_actors::messages::archive::ListDevices;
use twinhub_domain::{DeviceNumber, Twin};
use twinhub_store::DeviceQuery;

use crate::config::DialectName;
use crate::http::Access;
use crate::http::problem::ApiError;
use crate::http::routes::{self, Method, Operation};
use request_error::RequestError;

/// The routes.
pub(super) fn operations() -> Vec<Operation> {
    use Method::{Get, Post, Put, Stream};
    use Permission::{Manage, Read};
    let all = vec![
        Operation::plain(Read, Get, "/dispositivos", || web::to(list::all)),
        Operation::plain(Manage, Post, "/dispositivos", || web::to(change::add)),
        Operation::plain(Read, Get, "/dispositivos/no-reclamados", || web::to(list::unclaimed)),
        Operation::plain(Manage, Post, "/dispositivos/reclamar", || web::to(claim::claim)),
        Operation::plain(Read, Get, "/dispositivos/{id}", || web::to(list::one)),
        Operation::plain(Manage, Put, "/dispositivos/{id}", || web::to(change::put)),
        Operation::plain(Read, Get, "/dispositivos/{id}/logs", || web::to(logs::logs)),
        Operation::plain(Read, Stream, "/stream/dispositivos", || web::to(stream::stream)),
    ];
    all.into_iter().map(|operation| operation.of(&[DialectName::Dispositivos])).collect()
}

/// Serves them. What is refused is refused in this dialect.
pub(super) fn configure(config: &mut ServiceConfig) {
    routes::configure(config, operations(), |error| RequestError::from(error).error_response());
}

/// The twin of the number in the path, or the 404 that names it.
async fn find(access: &Access, id: &Path<String>) -> Result<Twin, RequestError> {
    look(access, id).await?.ok_or_else(|| ApiError::no_device(id).into())
}

/// The twin of the number in the path; none where no device has it. A 404 where it is no number.
async fn look(access: &Access, id: &Path<String>) -> Result<Option<Twin>, RequestError> {
    let number = id.parse().map(DeviceNumber).map_err(|_| ApiError::no_device(id))?;
    let query = DeviceQuery { numbers: Some((number, number)), limit: 1, ..DeviceQuery::default() };
    let found = access.ask(ListDevices(query)).await??;
    Ok(found.twins.into_iter().next())
}

/// The name in the causes of changes by these routes.
const BY: &str = "dispositivos";
