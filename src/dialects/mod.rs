//! Dialects: the routes of other systems, word for word, on the same twins. One file a system, with what it
//! is made of in a folder of its name; the MQTT side of each is in `actors/mqtt/src/dialects`.

mod cloud_backend;
mod dispositivos;
mod fastapi_fields;
mod iamis;
mod iot_controller;
mod shared;

use actix_web::web::ServiceConfig;

use crate::http::routes::Operation;
pub use cloud_backend::WeatherSettings;
pub(crate) use cloud_backend::{CloudBackendState, ServiceStates};
pub(crate) use iamis::RecentReadings;
pub(crate) use shared::share;

/// The routes of every dialect.
#[must_use]
pub fn all_operations() -> Vec<Operation> {
    let all = [
        cloud_backend::operations(),
        dispositivos::operations(),
        iamis::operations(),
        iot_controller::operations(),
    ];
    all.into_iter().flatten().collect()
}

/// Serves them.
pub fn configure(config: &mut ServiceConfig) {
    cloud_backend::configure(config);
    dispositivos::configure(config);
    iamis::configure(config);
    iot_controller::configure(config);
}
