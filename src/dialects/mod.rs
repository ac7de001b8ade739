//! Dialects: the routes of other systems, word for word, on the same twins. One file a system, with what it
//! is made of in a folder of its name; the MQTT side of each is in `actors/src/mqtt/dialects`.

mod dispositivos;

use actix_web::web::ServiceConfig;

/// The routes of every dialect.
pub fn configure(config: &mut ServiceConfig) {
    dispositivos::configure(config);
}
