//! Dialects: the routes of other systems, word for word, on the same twins. One file a system, with what it
//! is made of in a folder of its name; the MQTT side of each is in `actors/mqtt/src/dialects`.

mod cloud_backend;
mod dispositivos;

use actix_web::web::ServiceConfig;

use crate::http::routes::Operation;

/// The routes of every dialect.
#[must_use]
pub fn all_operations() -> Vec<Operation> {
    cloud_backend::operations().into_iter().chain(dispositivos::operations()).collect()
}

/// Serves them.
pub fn configure(config: &mut ServiceConfig) {
    cloud_backend::configure(config);
    dispositivos::configure(config);
}
