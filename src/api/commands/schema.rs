//! Shapes of commands.
#![expect(dead_code, reason = "described, never made")]

use utoipa::{IntoParams, ToSchema};

use crate::api::schema::words::CommandStatus;
use crate::api::schema::{CauseItem, Object};

/// A command.
#[derive(ToSchema)]
pub struct CommandItem {
    #[schema(example = "01890a5d-ac96-774b-bcce-b302099a8057")]
    id: String,
    #[schema(example = "pump-1")]
    device_id: String,
    #[schema(example = "set_speed")]
    command_type: String,
    parameters: Object,
    status: CommandStatus,
    /// The reason for its status, where there is one.
    #[schema(example = "no answer to 3 attempts")]
    reason: Option<String>,
    /// The device's answer: any JSON, null where it has not answered.
    response: serde_json::Value,
    /// 0 to 9; higher ones go first.
    priority: u8,
    /// The number of times that it was sent to the device so far.
    attempts: u8,
    max_attempts: u8,
    /// The time for which the device may still get it, counted from its creation.
    #[schema(example = "1d")]
    ttl: String,
    /// The time that each attempt waits for an answer.
    #[schema(example = "30s")]
    timeout: String,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    expires_at: String,
    /// When it came to its status.
    #[schema(format = DateTime)]
    updated_at: String,
    /// When it was executed; null where it was not.
    #[schema(format = DateTime)]
    executed_at: Option<String>,
    /// Of those that wait with the same key, the newest alone is kept.
    supersedes: Option<String>,
    idempotency_key: Option<String>,
    /// The source of the command, and the person, rule or job that asked for it.
    cause: CauseItem,
}

/// A command with all that happened to it.
#[derive(ToSchema)]
pub struct CommandDetail {
    #[schema(inline)]
    #[serde(flatten)]
    command: CommandItem,
    history: Vec<CommandLine>,
}

/// One thing that happened to a command.
#[derive(ToSchema)]
pub struct CommandLine {
    #[schema(format = DateTime)]
    at: String,
    /// The status it came to; for a late answer what the device told.
    status: CommandStatus,
    /// The attempt that it belongs to, from 1; 0 before the first.
    attempt: u8,
    #[schema(nullable = false)]
    reason: Option<String>,
    /// Any JSON, where the device answered with some.
    #[schema(required = false)]
    response: serde_json::Value,
    /// It came after the command was final.
    #[schema(nullable = false)]
    late: Option<bool>,
    cause: CauseItem,
}

/// A command that is stored.
#[derive(ToSchema)]
pub struct CommandAccepted {
    #[schema(inline)]
    #[serde(flatten)]
    command: CommandItem,
    /// The same key and body came before: this is the command of then.
    repeated: bool,
    /// With `wait`.
    #[schema(nullable = false)]
    history: Option<Vec<CommandLine>>,
}

/// A command after its device's answer.
#[derive(ToSchema)]
pub struct CommandAnswered {
    #[schema(inline)]
    #[serde(flatten)]
    command: CommandItem,
    history: Vec<CommandLine>,
    /// The command was final before.
    late: bool,
    /// The device has said so before.
    repeated: bool,
}

/// A command as its device gets it that polls.
#[derive(ToSchema)]
pub struct CommandToDo {
    id: String,
    /// The `command_type`.
    r#type: String,
    parameters: Object,
    priority: u8,
    #[schema(format = DateTime)]
    expires_at: String,
    /// From 1.
    attempt: u8,
}

/// A page of commands; with `wait` what the device is to do.
#[derive(ToSchema)]
#[serde(untagged)]
pub enum CommandsListed {
    Commands(Vec<CommandItem>),
    ToDo(Vec<CommandToDo>),
}

/// A query for commands: the filter, the order and the page.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct CommandListing {
    /// One or several, parted by commas.
    #[param(example = "pending,sent")]
    status: Option<String>,
    command_type: Option<String>,
    /// By when it was asked for; inclusive. RFC 3339, a date, or epoch seconds.
    from: Option<String>,
    /// Exclusive; a date means to the end of that day.
    to: Option<String>,
    /// A day: the same as that date in `from` and in `to`.
    #[param(example = "2026-01-01")]
    date: Option<String>,
    /// `desc` (newest first, by default) or `asc`.
    order: Option<String>,
    /// From 1.
    page: Option<u64>,
    /// 20 by default, 1,000 at most.
    limit: Option<u64>,
}
