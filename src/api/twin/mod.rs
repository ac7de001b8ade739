//! `/api/devices/{id}/twin`, its mode and its schedule: the present and the desired state of a device.

pub(crate) mod document;
pub(crate) mod mode;
pub(crate) mod request;
mod schedule;
pub mod schema;

use crate::http::routes::routes;

routes! {
    Twin: document::get_twin,
    Operate: document::patch_twin,
    Read: mode::get_mode,
    Operate: mode::put_mode,
    Read: schedule::get_schedule,
    Operate: schedule::put_schedule,
}
