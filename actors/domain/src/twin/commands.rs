//! The twin's command queue at work: what is asked, sent, answered, and what time does to it.

use super::audience::Takes;
use super::{Listeners, Outcome, Publish, Refusal, Twin, presence};
use crate::cause::Cause;
use crate::clock::Timestamp;
use crate::command::{
    AnswerStatus, Command, CommandChange, CommandId, CommandQueue, CommandRequest, CommandResult,
    CommandStatus, CommandStep, CommandTransition,
};
use crate::event::EventBody;
use crate::outgoing::CommandAttempt;

/// Commands that wait for one device at most.
const MOST_WAITING: usize = 1_000;
/// The wait before the second attempt; doubled for each further one.
const FIRST_BACK_OFF_MS: i64 = 1_000;
const LONGEST_BACK_OFF_MS: i64 = 5 * 60_000;
/// A device that polls is heard so often at least while it does.
const POLL_HEARD_MS: u64 = 15_000;

impl Twin {
    /// Its commands that are not final, the oldest first.
    #[must_use]
    pub fn commands(&self) -> &[Command] {
        self.queue.as_deref().map_or(&[], CommandQueue::commands)
    }

    /// The command with this id, while it is not final.
    #[must_use]
    pub fn command(&self, id: CommandId) -> Option<&Command> {
        self.queue.as_deref()?.get(id)
    }

    /// The command that carried this idempotency key, while it is not final.
    #[must_use]
    pub fn command_with_key(&self, key: &str) -> Option<&Command> {
        self.queue.as_deref()?.with_key(key)
    }

    pub(super) fn ask(
        &mut self,
        outcome: &mut Outcome,
        id: CommandId,
        request: Box<CommandRequest>,
        known: Option<Box<Command>>,
        (now, cause): (Timestamp, &Cause),
    ) -> Result<(), Refusal> {
        if let Some(key) = &request.idempotency_key
            && let Some(before) = known.map(|known| *known).or_else(|| self.command_with_key(key).cloned())
        {
            if !before.request.asks_the_same(&request) {
                return Err(Refusal::KeyTaken { key: key.to_string(), id: before.id });
            }
            outcome.repeated = true;
            outcome.commands.push(before);
            return Ok(());
        }
        let older = self.waiting_with(request.supersedes.as_deref());
        if self.commands().len() - older.len() >= MOST_WAITING {
            return Err(Refusal::QueueFull(MOST_WAITING));
        }
        for older in older {
            self.end(
                outcome,
                older,
                CommandTransition::Supersede,
                "a newer one came",
                Some(id),
                (now, cause),
            );
        }
        self.step(outcome, id, CommandStep::Queued(request), now, cause);
        Ok(())
    }

    pub(super) fn answer(
        &mut self,
        outcome: &mut Outcome,
        id: CommandId,
        answer: CommandResult,
        known: Option<Box<Command>>,
        (now, cause): (Timestamp, &Cause),
    ) -> Result<(), Refusal> {
        if let Some(command) = self.command(id) {
            if command.status.after(CommandTransition::Answer(answer.status)).is_some() {
                self.step(outcome, id, CommandStep::Answered(answer), now, cause);
            } else {
                outcome.repeated = true;
                outcome.commands.push(command.clone());
            }
            return Ok(());
        }
        let Some(known) = known else { return Err(Refusal::NoCommand(id)) };
        // An acknowledgement that its own answer has overtaken says nothing new.
        if answer.status == AnswerStatus::Delivered || known.has_answer(&answer) {
            outcome.repeated = true;
            outcome.commands.push(*known);
        } else {
            self.late(outcome, *known, answer, now, cause);
        }
        Ok(())
    }

    /// Calls all of them back.
    pub(super) fn cancel_all(&mut self, outcome: &mut Outcome, reason: &str, now: Timestamp, cause: &Cause) {
        for id in self.ids(|_| true) {
            self.end(outcome, id, CommandTransition::Cancel, reason, None, (now, cause));
        }
    }

    pub(super) fn cancel(
        &mut self,
        outcome: &mut Outcome,
        id: CommandId,
        known: Option<&Command>,
        (now, cause): (Timestamp, &Cause),
    ) -> Result<(), Refusal> {
        match (self.command(id), known) {
            (Some(command), _) => {
                let why = if command.status.is_in_flight() {
                    "called back after it was sent: the device may do it all the same"
                } else {
                    "called back"
                };
                self.end(outcome, id, CommandTransition::Cancel, why, None, (now, cause));
                Ok(())
            }
            (None, Some(known)) => Err(Refusal::CommandFinal { id, status: known.status }),
            (None, None) => Err(Refusal::NoCommand(id)),
        }
    }

    /// A device without MQTT asks what it is to do: it gets what it has not acknowledged yet, once more,
    /// and what its turn is for.
    pub(super) fn poll(&mut self, outcome: &mut Outcome, now: Timestamp, cause: &Cause) {
        let heard_lately =
            self.last_seen.is_some_and(|seen| now.millis().abs_diff(seen.millis()) < POLL_HEARD_MS)
                && self.polls;
        if self.status != crate::Status::Online || !heard_lately {
            let body = EventBody::Presence {
                status: crate::Status::Online,
                reason: presence::reason::POLLED.into(),
            };
            self.happen(outcome, body, now, cause);
        }
        self.send_next(outcome, now, cause);
        let unacknowledged = self.commands().iter().filter(|command| command.status == CommandStatus::Sent);
        outcome.commands = unacknowledged.cloned().collect();
    }

    /// Sends what may go to a device that takes what is published to it.
    pub(super) fn pump(
        &mut self,
        outcome: &mut Outcome,
        listeners: &dyn Listeners,
        now: Timestamp,
        cause: &Cause,
    ) {
        if !self.has_turn(now) {
            return;
        }
        match self.takes_commands(listeners) {
            Takes::Now => {}
            Takes::NotNow => return,
            Takes::NobodyListens => return self.hold_commands(outcome, now, cause),
        }
        for id in self.send_next(outcome, now, cause) {
            if let Some(command) = self.command(id) {
                // Neither an attempt that is over nor a command whose time to live is over is handed over.
                let until = command.due.unwrap_or(now).min(command.expires_at);
                let attempt = CommandAttempt { command: id, attempt: command.attempts };
                outcome.publishes.push(Publish::Command { attempt, body: command.message(), until });
            }
        }
    }

    /// Is there a command whose turn it is?
    fn has_turn(&self, now: Timestamp) -> bool {
        self.queue
            .as_deref()
            .is_some_and(|queue| queue.in_flight() < self.at_once() && queue.next(now).is_some())
    }

    /// The number of commands that the device may have in hand.
    fn at_once(&self) -> usize {
        self.settings.as_deref().and_then(|settings| settings.in_flight).unwrap_or(1).into()
    }

    /// Calls `sent` what may go now, in order.
    fn send_next(&mut self, outcome: &mut Outcome, now: Timestamp, cause: &Cause) -> Vec<CommandId> {
        let at_once = self.at_once();
        let mut sent = Vec::new();
        while let Some(queue) = self.queue.as_deref()
            && queue.in_flight() < at_once
            && let Some(next) = queue.next(now)
        {
            let (id, attempt) = (next.id, next.attempts + 1);
            self.step(outcome, id, CommandStep::Sent { attempt }, now, cause);
            sent.push(id);
        }
        sent
    }

    /// Commands that were sent and not acknowledged wait for the device's return; the attempt is not held against them.
    pub(super) fn take_commands_back(&mut self, outcome: &mut Outcome, now: Timestamp, cause: &Cause) {
        for id in self.ids(|command| command.status.after(CommandTransition::Return).is_some()) {
            let reason = "the device went away".into();
            let step = CommandStep::Returned { reason, not_before: None, uncounted: true };
            self.step(outcome, id, step, now, cause);
        }
    }

    /// Does with commands what is due because the time has come.
    pub(super) fn time_commands(&mut self, outcome: &mut Outcome, now: Timestamp, cause: &Cause) {
        for id in self.ids(|command| command.status == CommandStatus::Pending && command.expires_at <= now) {
            let reason = "its time to live was over before the device took it";
            self.end(outcome, id, CommandTransition::Expire, reason, None, (now, cause));
        }
        let overdue =
            |command: &Command| command.status.is_in_flight() && command.due.is_some_and(|due| due <= now);
        for id in self.ids(overdue) {
            self.answer_overdue(outcome, id, now, cause);
        }
    }

    fn answer_overdue(&mut self, outcome: &mut Outcome, id: CommandId, now: Timestamp, cause: &Cause) {
        let Some(command) = self.command(id) else { return };
        let (attempts, most) = (command.attempts, command.request.max_attempts);
        if command.status == CommandStatus::Delivered {
            let reason = "the device had it, and did not say what became of it";
            self.end(outcome, id, CommandTransition::GiveUp, reason, None, (now, cause));
        } else if attempts >= most {
            let reason = match attempts {
                1 => "no answer to the only attempt".to_owned(),
                attempts => format!("no answer to {attempts} attempts"),
            };
            self.end(outcome, id, CommandTransition::GiveUp, &reason, None, (now, cause));
        } else {
            let step = CommandStep::Returned {
                reason: format!("no answer to attempt {attempts}").into(),
                not_before: Some(now.plus_millis(back_off_ms(attempts))),
                uncounted: false,
            };
            self.step(outcome, id, step, now, cause);
        }
    }

    /// Takes a step of a command.
    pub(super) fn redo_command(
        &mut self,
        change: &CommandChange,
        now: Timestamp,
        cause: &Cause,
    ) -> Option<Command> {
        if matches!(change.step, CommandStep::Late(_)) {
            return None; // the twin has let it go
        }
        let queue = self.queue.get_or_insert_default();
        let command = queue.redo(change, now, cause);
        if queue.commands().is_empty() {
            self.queue = None;
        }
        command
    }

    fn late(
        &mut self,
        outcome: &mut Outcome,
        mut command: Command,
        answer: CommandResult,
        now: Timestamp,
        cause: &Cause,
    ) {
        let step = CommandStep::Late(answer);
        command.redo(&step, now, cause);
        self.step(outcome, command.id, step, now, cause);
        outcome.commands.push(command);
    }

    fn end(
        &mut self,
        outcome: &mut Outcome,
        id: CommandId,
        signal: CommandTransition,
        reason: &str,
        by: Option<CommandId>,
        (now, cause): (Timestamp, &Cause),
    ) {
        let Some(status) = self.command(id).and_then(|command| command.status.after(signal)) else { return };
        self.step(outcome, id, CommandStep::Ended { status, reason: reason.into(), by }, now, cause);
    }

    pub(super) fn step(
        &mut self,
        outcome: &mut Outcome,
        id: CommandId,
        step: CommandStep,
        now: Timestamp,
        cause: &Cause,
    ) {
        self.happen(outcome, EventBody::Command(Box::new(CommandChange { id, step })), now, cause);
    }

    fn waiting_with(&self, key: Option<&str>) -> Vec<CommandId> {
        let Some(key) = key else { return Vec::new() };
        self.ids(|command| {
            command.status == CommandStatus::Pending && command.request.supersedes.as_deref() == Some(key)
        })
    }

    fn ids(&self, wanted: impl Fn(&Command) -> bool) -> Vec<CommandId> {
        self.commands().iter().filter(|command| wanted(command)).map(|command| command.id).collect()
    }
}

/// The wait after attempt number `attempt` (from 1): 1 s, 2 s, 4 s … 5 min.
fn back_off_ms(attempt: u8) -> i64 {
    let doubled = 1_i64.checked_shl(u32::from(attempt.saturating_sub(1))).unwrap_or(i64::MAX);
    FIRST_BACK_OFF_MS.saturating_mul(doubled.min(LONGEST_BACK_OFF_MS)).min(LONGEST_BACK_OFF_MS)
}
