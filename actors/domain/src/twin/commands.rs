//! The twin's command queue: which commands are taken, sent, answered, and what time does to them. It decides on steps;
//! the turn makes events of them.

use crate::cause::Cause;
use crate::clock::Timestamp;
use crate::command::{
    Command, CommandChange, CommandId, CommandRequest, CommandResult, CommandResultStatus, CommandStatus,
    CommandStep, CommandTransition, OpenCommands,
};

use super::Refusal;

/// Commands that wait for one device at most.
const MOST_WAITING: usize = 1_000;
/// The wait before the second attempt; doubled for each further one.
const FIRST_BACK_OFF_MS: i64 = 1_000;
const LONGEST_BACK_OFF_MS: i64 = 5 * 60_000;
/// The reason of a command that waits for a listener.
const NOBODY_LISTENS: &str = "no client subscribes to the device's commands";
/// The wait before a broker that does not tell who listens is tried again; doubled for each further time.
const FIRST_WAIT_MS: i64 = 1_000;
const LONGEST_WAIT_MS: i64 = 30_000;

/// The device's commands that are not final, the oldest first. Boxed: most twins have none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CommandQueue(pub(super) Option<Box<OpenCommands>>);

/// The consequence of a request for a command.
pub(super) enum RequestOutcome {
    /// It was requested before, and this is the command.
    Repeated(Box<Command>),
    New {
        /// The ends of the commands that the new one supersedes.
        superseded: Vec<CommandChange>,
        queued: CommandChange,
    },
}

/// The consequence of a device's answer.
pub(super) enum ResultOutcome {
    CommandStep(CommandChange),
    /// The answer says nothing new of this command.
    Repeated(Box<Command>),
    /// The answer came after this command was final.
    Late(Box<Command>, CommandResult),
}

impl CommandQueue {
    /// The commands, the oldest first.
    #[must_use]
    pub fn as_slice(&self) -> &[Command] {
        self.0.as_deref().map_or(&[], OpenCommands::commands)
    }

    /// True when no command waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The command with this id, while it is not final.
    #[must_use]
    pub fn get(&self, id: CommandId) -> Option<&Command> {
        self.0.as_deref()?.get(id)
    }

    /// The command that carried this idempotency key, while it is not final.
    #[must_use]
    pub fn with_key(&self, key: &str) -> Option<&Command> {
        self.0.as_deref()?.with_key(key)
    }

    /// The earliest deadline of the commands.
    #[must_use]
    pub fn deadline(&self, now: Timestamp) -> Option<Timestamp> {
        self.0.as_deref()?.deadline(now)
    }

    /// Takes a request. `known`: the command that the store knows to have carried the same idempotency key.
    pub(super) fn request(
        &self,
        id: CommandId,
        request: Box<CommandRequest>,
        known: Option<Box<Command>>,
    ) -> Result<RequestOutcome, Refusal> {
        if let Some(key) = &request.idempotency_key
            && let Some(before) = known.or_else(|| self.with_key(key).cloned().map(Box::new))
        {
            if !before.request.asks_the_same(&request) {
                return Err(Refusal::KeyTaken { key: key.to_string(), id: before.id });
            }
            return Ok(RequestOutcome::Repeated(before));
        }
        let superseded = self.superseded_by(id, request.supersedes.as_deref());
        if self.as_slice().len() - superseded.len() >= MOST_WAITING {
            return Err(Refusal::QueueFull(MOST_WAITING));
        }
        Ok(RequestOutcome::New {
            superseded,
            queued: CommandChange { id, step: CommandStep::Queued(request) },
        })
    }

    /// Takes a device's answer. `known`: the command as the store has it, where it is final.
    pub(super) fn answer(
        &self,
        id: CommandId,
        answer: CommandResult,
        known: Option<Box<Command>>,
    ) -> Result<ResultOutcome, Refusal> {
        if let Some(command) = self.get(id) {
            return Ok(match command.status.after(CommandTransition::CommandResult(answer.status)) {
                Some(_) => {
                    ResultOutcome::CommandStep(CommandChange { id, step: CommandStep::Answered(answer) })
                }
                None => ResultOutcome::Repeated(Box::new(command.clone())),
            });
        }
        let Some(known) = known else { return Err(Refusal::NoCommand(id)) };
        // An acknowledgement that its own answer has overtaken says nothing new.
        if answer.status == CommandResultStatus::Delivered || known.has_answer(&answer) {
            Ok(ResultOutcome::Repeated(known))
        } else {
            Ok(ResultOutcome::Late(known, answer))
        }
    }

    /// Calls one command back.
    pub(super) fn cancel(&self, id: CommandId, known: Option<&Command>) -> Result<CommandChange, Refusal> {
        let Some(command) = self.get(id) else {
            return Err(match known {
                Some(known) => Refusal::CommandFinal { id, status: known.status },
                None => Refusal::NoCommand(id),
            });
        };
        let reason = if command.status.is_in_flight() {
            "called back after it was sent: the device may do it all the same"
        } else {
            "called back"
        };
        end(command, CommandTransition::Cancel, reason, None).ok_or(Refusal::NoCommand(id)) // all that wait can be canceled
    }

    /// Calls all commands back.
    pub(super) fn cancel_all(&self, reason: &str) -> Vec<CommandChange> {
        let commands = self.as_slice().iter();
        commands.filter_map(|command| end(command, CommandTransition::Cancel, reason, None)).collect()
    }

    /// The next command to go to a device that may have `at_once` in hand, and the number of the attempt.
    pub(super) fn next_to_send(&self, at_once: usize, now: Timestamp) -> Option<(CommandId, u8)> {
        let queue = self.0.as_deref().filter(|queue| queue.in_flight() < at_once)?;
        queue.next(now).map(|next| (next.id, next.attempts + 1))
    }

    /// Commands that were sent and not acknowledged wait for the device's return; the attempt is not held against them.
    pub(super) fn return_all(&self) -> Vec<CommandChange> {
        let sent = self
            .as_slice()
            .iter()
            .filter(|command| command.status.after(CommandTransition::Return).is_some());
        sent.map(|command| returned(command, "the device went away", None, true)).collect()
    }

    /// The steps of commands whose time to live is over, or whose answer is overdue.
    pub(super) fn overdue(&self, now: Timestamp) -> Vec<CommandChange> {
        let expired =
            |command: &&Command| command.status == CommandStatus::Pending && command.expires_at <= now;
        let reason = "its time to live was over before the device took it";
        let ends = self.as_slice().iter().filter(expired);
        let ends = ends.filter_map(|command| end(command, CommandTransition::Expire, reason, None));
        let unanswered =
            |command: &&Command| command.status.is_in_flight() && command.due.is_some_and(|due| due <= now);
        let others = self.as_slice().iter().filter(unanswered);
        ends.chain(others.filter_map(|command| unanswered_step(command, now))).collect()
    }

    /// Commands whose turn it would be say, once, that nobody listens to them.
    pub(super) fn hold(&self, now: Timestamp) -> Vec<CommandChange> {
        self.as_slice()
            .iter()
            .filter(|command| command.status == CommandStatus::Pending)
            .filter(|command| command.due.is_none_or(|due| due <= now) && now < command.expires_at)
            .filter(|command| command.reason.as_deref() != Some(NOBODY_LISTENS))
            .map(|command| returned(command, NOBODY_LISTENS, None, false))
            .collect()
    }

    /// A command went out, and the broker had nobody to give it to: it waits, and the attempt does not count.
    pub(super) fn undelivered(&self, id: CommandId, attempt: u8, now: Timestamp) -> Option<CommandChange> {
        let command = self.get(id)?;
        if command.status != CommandStatus::Sent || command.attempts != attempt {
            return None;
        }
        let before = command.history.iter().filter(|line| line.reason.as_deref() == Some(NOBODY_LISTENS));
        let doubled = 1_i64.checked_shl(before.count().try_into().unwrap_or(u32::MAX)).unwrap_or(i64::MAX);
        let wait = FIRST_WAIT_MS.saturating_mul(doubled).clamp(FIRST_WAIT_MS, LONGEST_WAIT_MS);
        Some(returned(command, NOBODY_LISTENS, Some(now.plus_millis(wait)), true))
    }

    /// Commands that were sent and not acknowledged yet.
    pub(super) fn unacknowledged(&self) -> impl Iterator<Item = &Command> {
        self.as_slice().iter().filter(|command| command.status == CommandStatus::Sent)
    }

    /// Applies a step of a command, and gives the command as it is after it.
    pub(super) fn apply(&mut self, change: &CommandChange, now: Timestamp, cause: &Cause) -> Option<Command> {
        if matches!(change.step, CommandStep::Late(_)) {
            return None; // the twin has let it go
        }
        let queue = self.0.get_or_insert_default();
        let command = queue.redo(change, now, cause);
        if queue.commands().is_empty() {
            self.0 = None;
        }
        command
    }

    /// Moves all deadlines by `by_ms`: the hub's clock was set.
    pub(super) fn shift(&mut self, by_ms: i64) {
        if let Some(queue) = &mut self.0 {
            queue.shift(by_ms);
        }
    }

    fn superseded_by(&self, id: CommandId, key: Option<&str>) -> Vec<CommandChange> {
        let Some(key) = key else { return Vec::new() };
        let waits = |command: &&Command| {
            command.status == CommandStatus::Pending && command.request.supersedes.as_deref() == Some(key)
        };
        let older = self.as_slice().iter().filter(waits);
        older
            .filter_map(|command| end(command, CommandTransition::Supersede, "a newer one came", Some(id)))
            .collect()
    }
}

/// The step that ends a command; none where this signal does not.
fn end(
    command: &Command,
    signal: CommandTransition,
    reason: &str,
    by: Option<CommandId>,
) -> Option<CommandChange> {
    let status = command.status.after(signal)?;
    Some(CommandChange { id: command.id, step: CommandStep::Ended { status, reason: reason.into(), by } })
}

/// The step by which a command waits again.
fn returned(
    command: &Command,
    reason: &str,
    not_before: Option<Timestamp>,
    uncounted: bool,
) -> CommandChange {
    let step = CommandStep::Returned { reason: reason.into(), not_before, uncounted };
    CommandChange { id: command.id, step }
}

/// The step of a command that was not answered in time.
fn unanswered_step(command: &Command, now: Timestamp) -> Option<CommandChange> {
    let attempts = command.attempts;
    if command.status == CommandStatus::Delivered {
        let reason = "the device had it, and did not say what became of it";
        return end(command, CommandTransition::GiveUp, reason, None);
    }
    if attempts >= command.request.max_attempts {
        let reason = match attempts {
            1 => "no answer to the only attempt".to_owned(),
            attempts => format!("no answer to {attempts} attempts"),
        };
        return end(command, CommandTransition::GiveUp, &reason, None);
    }
    let not_before = now.plus_millis(back_off_ms(attempts));
    Some(returned(command, &format!("no answer to attempt {attempts}"), Some(not_before), false))
}

/// The wait after attempt number `attempt` (from 1): 1 s, 2 s, 4 s … 5 min.
fn back_off_ms(attempt: u8) -> i64 {
    let doubled = 1_i64.checked_shl(u32::from(attempt.saturating_sub(1))).unwrap_or(i64::MAX);
    FIRST_BACK_OFF_MS.saturating_mul(doubled.min(LONGEST_BACK_OFF_MS)).min(LONGEST_BACK_OFF_MS)
}
