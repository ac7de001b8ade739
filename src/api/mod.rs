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
pub(crate) mod docs;
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

pub use docs::openapi;

use crate::http::routes::{Operation, routes};

routes! {
    Read: devices::list_devices,
    Manage: register::register_device,
    Read: claims::list_unclaimed,
    Manage: claims::claim_device,
    Read: device::get_device,
    Manage: device::put_device,
    Manage: device::patch_device,
    Manage: device::delete_device,
    Read: status::get_device_status,
    Read: twin::get_twin,
    Operate: twin::patch_twin,
    Read: lifecycle::get_lifecycle,
    Manage: lifecycle::put_lifecycle,
    Read: mode::get_mode,
    Operate: mode::put_mode,
    Read: schedule::get_schedule,
    Operate: schedule::put_schedule,
    Read: commands::list_device_commands,
    Operate: order::post_command,
    Report: poll::post_answer,
    Read: commands::list_commands,
    Read: commands::get_command,
    Operate: commands::cancel_command,
    Read: alarms::list_device_alarms,
    Read: alarms::list_alarms,
    Read: alarms::get_alarm,
    Operate: alarms::acknowledge_alarm,
    Operate: alarms::clear_alarm,
    Administer: deliveries::list_deliveries,
    Read: data::get_data,
    Report: data::post_data,
    Read: events::list_device_events,
    Read: events::list_events,
    Administer: diagnostics::list_rejected,
    Administer: diagnostics::list_unread,
    Public: health::get_health,
    Public: health::get_ready,
    Monitor: metrics::get_metrics,
}

/// All routes of the API, its description and the page to try it.
#[must_use]
pub fn all_operations() -> Vec<Operation> {
    let tables = [
        operations(),
        automation::operations(),
        docs::operations(),
        files::operations(),
        firmware::operations(),
        groups::operations(),
        jobs::operations(),
        templates::operations(),
    ];
    tables.into_iter().flatten().collect()
}
