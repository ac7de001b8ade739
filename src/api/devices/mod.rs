//! `/api/devices`: devices are registered, claimed, listed, changed and removed.

mod certificates;
pub mod claim_tries;
pub(crate) mod claims;
pub(crate) mod device;
mod lifecycle;
pub(crate) mod limits;
pub(crate) mod list;
pub(crate) mod register;
pub(crate) mod request;
pub mod schema;
mod status;
pub mod texts;
pub mod token;
mod tokens;

use crate::http::routes::routes;

routes! {
    Read: list::list_devices,
    Manage: register::register_device,
    Read: claims::list_unclaimed,
    Manage: claims::claim_device,
    Read: device::get_device,
    Manage: device::put_device,
    Manage: device::patch_device,
    Manage: device::delete_device,
    Read: status::get_device_status,
    Read: lifecycle::get_lifecycle,
    Manage: lifecycle::put_lifecycle,
    Manage: tokens::post_token,
    Manage: tokens::delete_token,
    Read: certificates::get_certificate,
    Manage: certificates::put_certificate,
    Manage: certificates::delete_certificate,
}
