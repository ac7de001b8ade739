//! Commands: requests to a device, and their results.
//!
//! ```text
//!            ┌───────── retry, or the device went away ─────────┐
//!            ▼                                                  │
//! ask ──▶ pending ──▶ sent ──▶ delivered ──▶ executed │ failed │ rejected
//!            │          │          │
//!            │          │          └──▶ timed_out   it had it, and never said what became of it
//!            │          └──▶ failed                 no answer to the last attempt: a dead letter
//!            ├──▶ expired                           its time to live ended before a device took it
//!            ├──▶ superseded                        a newer one with the same key took its place
//!            └──▶ canceled                          also from sent and delivered: the hub waits no more
//! ```
//! The first final status stays. A device's answer after that is recorded as late and changes nothing.

mod id;
mod queue;
mod request;
mod result;
mod status;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use id::CommandId;
pub use queue::OpenCommands;
pub use request::{CommandRequest, HIGHEST_PRIORITY, MOST_ATTEMPTS, USUAL_PRIORITY};
pub use status::{CommandResultStatus, CommandStatus, CommandTransition};

use super::clock::Timestamp;
use super::json::{Json, Object};
use crate::cause::Cause;

/// One command, as far as it has come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Command {
    pub id: CommandId,
    pub request: CommandRequest,
    pub status: CommandStatus,
    /// The reason for its status, where there is one: `no answer to 3 attempts`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Box<str>>,
    /// The device's response.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<Json>,
    /// The number of attempts to hand it to the device so far.
    pub attempts: u8,
    pub created_at: Timestamp,
    /// No device gets it after this.
    pub expires_at: Timestamp,
    /// The time of its last change of status.
    pub updated_at: Timestamp,
    /// While it is pending: not to be sent before this. While it is with the device: when the hub stops
    /// waiting for an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Timestamp>,
    /// The cause of the request.
    pub cause: Cause,
    /// All that happened to it, in order; of very many steps the first and the latest.
    pub history: Vec<HistoryEntry>,
}

/// One line of a command's history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HistoryEntry {
    pub at: Timestamp,
    /// The status after the step; for a late answer the status in that answer.
    pub status: CommandStatus,
    /// The attempt that it belongs to, from 1; 0 before the first.
    #[serde(default)]
    pub attempt: u8,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<Json>,
    /// The answer came after the command was final.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub late: bool,
    pub cause: Cause,
}

/// A step of a command: the body of an event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CommandChange {
    pub id: CommandId,
    pub step: CommandStep,
}

/// The steps a command goes through. Each is an event; a command is the fold of its steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommandStep {
    /// The command was requested.
    Queued(Box<CommandRequest>),
    /// The command was handed to the device: attempt number `attempt`.
    Sent { attempt: u8 },
    /// The command waits again: after an unanswered attempt until `not_before`, or because its device went away.
    Returned {
        reason: Box<str>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        not_before: Option<Timestamp>,
        /// The attempt does not count: the device was not there for it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        uncounted: bool,
    },
    /// The device answered.
    Answered(CommandResult),
    /// The device answered after the command was final.
    Late(CommandResult),
    /// The hub ended it: `failed`, `expired`, `timed_out`, `canceled` or `superseded`.
    Ended {
        status: CommandStatus,
        reason: Box<str>,
        /// The command that superseded it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<CommandId>,
    },
}

/// A device's answer: `{"status": "executed", "response": …, "reason": "…"}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CommandResult {
    pub status: CommandResultStatus,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<Json>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Box<str>>,
}

/// The most lines of a history: the first is the request, the rest are the latest.
const LONGEST_HISTORY: usize = 100;

impl Command {
    /// A command that was just asked for.
    #[must_use]
    pub fn new(id: CommandId, request: CommandRequest, now: Timestamp, cause: &Cause) -> Self {
        let mut command = Self {
            id,
            status: CommandStatus::Pending,
            reason: None,
            response: None,
            attempts: 0,
            created_at: now,
            expires_at: now.plus_millis(request.ttl.ms()),
            updated_at: now,
            due: None,
            cause: cause.clone(),
            history: Vec::new(),
            request,
        };
        command.append_history(CommandStatus::Pending, now, cause, None, None, false);
        command
    }

    /// Takes a step after the first.
    pub fn redo(&mut self, step: &CommandStep, now: Timestamp, cause: &Cause) {
        match step {
            CommandStep::Queued(_) => {} // the command began with it
            CommandStep::Sent { attempt } => {
                self.attempts = *attempt;
                self.due = Some(now.plus_millis(self.request.timeout.ms()));
                self.set_status(CommandStatus::Sent, now, cause, None, None);
            }
            CommandStep::Returned { reason, not_before, uncounted } => {
                self.attempts -= u8::from(*uncounted && self.attempts > 0);
                self.due = *not_before;
                self.set_status(CommandStatus::Pending, now, cause, Some(reason), None);
            }
            CommandStep::Answered(CommandResult { status, response, reason }) => {
                self.due = (*status == CommandResultStatus::Delivered)
                    .then(|| now.plus_millis(self.request.timeout.ms()));
                self.set_status((*status).into(), now, cause, reason.as_deref(), response.as_ref());
            }
            CommandStep::Late(CommandResult { status, response, reason }) => {
                if self.response.is_none() {
                    self.response.clone_from(response);
                }
                let (reason, response) = (reason.as_deref(), response.as_ref());
                self.append_history((*status).into(), now, cause, reason, response, true);
            }
            CommandStep::Ended { status, reason, .. } => {
                self.due = None;
                self.set_status(*status, now, cause, Some(reason), None);
            }
        }
    }

    /// Has this answer been recorded before? Devices repeat themselves: delivery is at least once.
    #[must_use]
    pub fn has_answer(&self, answer: &CommandResult) -> bool {
        let told = CommandStatus::from(answer.status);
        self.history.iter().any(|line| {
            line.status == told
                && line.response == answer.response
                && line.reason == answer.reason
                && (line.late || told.is_final() || self.status == told)
        })
    }

    /// The next deadline of the command, if no answer comes before.
    #[must_use]
    pub fn deadline(&self, now: Timestamp) -> Option<Timestamp> {
        match self.status {
            // Past its wait, what it waits for is its turn and its device: they come by themselves.
            CommandStatus::Pending => {
                let due = self.due.filter(|due| *due > now);
                Some(due.map_or(self.expires_at, |due| due.min(self.expires_at)))
            }
            CommandStatus::Sent | CommandStatus::Delivered => self.due,
            _ => None,
        }
    }

    /// The message for the device: `{"id", "type", "parameters", "priority", "expires_at", "attempt"}`.
    #[must_use]
    pub fn message(&self) -> Json {
        let message: Object = [
            ("id", self.id.to_string().into()),
            ("type", Json::from(&*self.request.command_type)),
            ("parameters", self.request.parameters.clone().into()),
            ("priority", i64::from(self.request.priority).into()),
            ("expires_at", self.expires_at.to_string().into()),
            ("attempt", i64::from(self.attempts).into()),
        ]
        .into_iter()
        .collect();
        message.into()
    }

    fn set_status(
        &mut self,
        status: CommandStatus,
        now: Timestamp,
        cause: &Cause,
        reason: Option<&str>,
        response: Option<&Json>,
    ) {
        self.status = status;
        self.updated_at = now;
        self.reason = reason.map(Into::into);
        if response.is_some() {
            self.response = response.cloned();
        }
        self.append_history(status, now, cause, reason, response, false);
    }

    fn append_history(
        &mut self,
        status: CommandStatus,
        at: Timestamp,
        cause: &Cause,
        reason: Option<&str>,
        response: Option<&Json>,
        late: bool,
    ) {
        if self.history.len() >= LONGEST_HISTORY {
            self.history.remove(1);
        }
        self.history.push(HistoryEntry {
            at,
            status,
            attempt: self.attempts,
            reason: reason.map(Into::into),
            response: response.cloned(),
            late,
            cause: cause.clone(),
        });
    }
}

impl CommandStep {
    /// The command's status after the step; for a late answer the status in that answer.
    #[must_use]
    pub fn status(&self) -> CommandStatus {
        match self {
            Self::Queued(_) | Self::Returned { .. } => CommandStatus::Pending,
            Self::Sent { .. } => CommandStatus::Sent,
            Self::Answered(answer) | Self::Late(answer) => answer.status.into(),
            Self::Ended { status, .. } => *status,
        }
    }
}

impl CommandChange {
    /// The event's `data` on the wire: `{"command_id": "…", "status": "sent", "attempt": 1}`.
    #[must_use]
    pub fn data(&self) -> Object {
        let mut data: Object =
            [("command_id", Json::from(self.id.to_string())), ("status", self.step.status().as_str().into())]
                .into_iter()
                .collect();
        match &self.step {
            CommandStep::Queued(request) => data.merge(&request.to_object()),
            CommandStep::Sent { attempt } => {
                data.insert("attempt", i64::from(*attempt).into());
            }
            CommandStep::Returned { reason, not_before, .. } => {
                data.insert("reason", Json::String(reason.clone()));
                if let Some(not_before) = not_before {
                    data.insert("not_before", not_before.to_string().into());
                }
            }
            CommandStep::Answered(answer) | CommandStep::Late(answer) => {
                if let Some(response) = &answer.response {
                    data.insert("response", response.clone());
                }
                if let Some(reason) = &answer.reason {
                    data.insert("reason", Json::String(reason.clone()));
                }
                if matches!(self.step, CommandStep::Late(_)) {
                    data.insert("late", true.into());
                }
            }
            CommandStep::Ended { reason, by, .. } => {
                data.insert("reason", Json::String(reason.clone()));
                if let Some(by) = by {
                    data.insert("superseded_by", by.to_string().into());
                }
            }
        }
        data
    }
}
