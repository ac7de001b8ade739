//! Commands: devices are asked to do something, and answer.

pub(crate) mod command_watch;
pub(crate) mod create;
mod list;
mod poll;
pub(crate) mod request;
pub mod schema;
pub(crate) mod view;

use crate::http::routes::routes;

routes! {
    Twin: list::list_device_commands,
    Operate: create::post_command,
    Report: poll::post_answer,
    Read: list::list_commands,
    Read: list::get_command,
    Operate: list::cancel_command,
}
