//! Changes that request frames ask for: made by the hub, answered after the commit.

use twinhub_actors::access::{Grant, InputRequest};
use twinhub_domain::twin::Change;
use twinhub_domain::{CommandId, CommandRequest, DeviceId, Input, Versions};

use super::frames;
use super::transport::refusal;
use crate::api::commands::create::asked_for;
use crate::http::cursor::CallerCursors;
use crate::http::problem::ApiError;

/// Makes a change and returns the answer frame.
pub(super) async fn change(
    hub: Grant,
    cursors: CallerCursors,
    id: Option<Box<str>>,
    device: DeviceId,
    if_version: Option<Versions>,
    change: Change,
) -> String {
    let input = Input::Change(Box::new(change));
    match hub.deliver(InputRequest::new(device, input).if_version(if_version)).await {
        Ok(taken) => frames::result(id.as_deref(), taken.seq.and_then(|seq| cursors.seq(seq)), taken.version),
        Err(error) => refusal(id.as_deref(), &error.into()),
    }
}

/// Queues a command for a device and returns the answer frame: the command is stored.
pub(super) async fn command(
    hub: Grant,
    id: Option<Box<str>>,
    device: DeviceId,
    request: Box<CommandRequest>,
) -> String {
    let command = CommandId(twinhub_actors::clock::new_id());
    let input = Input::Command { id: command, request, known: None, is_new: false };
    let taken = hub.deliver(InputRequest::new(device, input)).await.map_err(ApiError::from);
    let stored =
        taken.and_then(|taken| Ok((asked_for(command, taken.repeated, taken.commands)?, taken.repeated)));
    match stored {
        Ok((command, repeated)) => frames::accepted(id.as_deref(), &command, repeated),
        Err(error) => refusal(id.as_deref(), &error),
    }
}
