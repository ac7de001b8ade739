//! Work for the device in a turn: its commands, its firmware, what is desired of it and its schedule.

use super::super::commands::{RequestOutcome, ResultOutcome};
use super::super::firmware::{UpdateEffects, VERSION, keep_last};
use super::super::patch::Skip;
use super::super::presence::{self, CommandDelivery, SilenceRule};
use super::super::{Audience, Downlink, Part, Patch, Publish, Refusal};
use super::TwinTurn;
use crate::Status;
use crate::cause::{Cause, Source};
use crate::clock::Timestamp;
use crate::command::{Command, CommandChange, CommandId, CommandRequest, CommandResult, CommandStep};
use crate::event::{ChangeKind, Event, EventBody};
use crate::fleet::FirmwareTask;
use crate::outgoing::CommandAttempt;
use crate::schedule::{DueOccurrence, DueOccurrences, ScheduleAction};

impl TwinTurn<'_> {
    /// The command is wanted: whoever asks with the same key gets the one that it was asked for.
    pub(super) fn request_command(
        &mut self,
        id: CommandId,
        request: Box<CommandRequest>,
        known: Option<Box<Command>>,
    ) -> Result<(), Refusal> {
        match self.twin.commands.request(id, request, known)? {
            RequestOutcome::Repeated(before) => self.repeat_command(*before),
            RequestOutcome::New { superseded, queued } => {
                self.step_commands(superseded);
                self.step_command(queued);
            }
        }
        Ok(())
    }

    /// The device says what became of a command.
    pub(super) fn answer_command(
        &mut self,
        id: CommandId,
        answer: CommandResult,
        known: Option<Box<Command>>,
    ) -> Result<(), Refusal> {
        // Before anything is recorded: a refusal must leave the twin as it was.
        let result = self.twin.commands.answer(id, answer, known)?;
        if self.twin.presence.is_of_device(self.cause) {
            self.come_online(presence::reason::HEARD);
        }
        match result {
            ResultOutcome::CommandStep(change) => self.step_command(change),
            ResultOutcome::Repeated(before) => self.repeat_command(*before),
            ResultOutcome::Late(mut command, answer) => {
                let step = CommandStep::Late(answer);
                command.redo(&step, self.now, self.cause);
                self.step_command(CommandChange { id, step });
                self.outcome.commands.push(*command);
            }
        }
        Ok(())
    }

    /// A device without MQTT asks what it is to do: it gets what it has not acknowledged yet, once more,
    /// and what its turn is for.
    pub(super) fn poll(&mut self) {
        if !self.twin.presence.polled_lately(self.now) {
            self.record(presence::event(Status::Online, presence::reason::POLLED));
        }
        self.send_next();
        self.outcome.commands = self.twin.commands.unacknowledged().cloned().collect();
    }

    /// Sends what may go to a device that takes what is published to it.
    pub(super) fn send_commands(&mut self) {
        let twin = &self.twin;
        let has_turn = twin.commands.next_to_send(twin.setup.commands_at_once(), self.now).is_some();
        if !has_turn || twin.lifecycle().is_out_of_service() {
            return;
        }
        match twin.presence.delivery(&twin.id, self.listeners) {
            CommandDelivery::Now => {}
            CommandDelivery::NotNow => return,
            CommandDelivery::NobodyListens => return self.step_commands(twin.commands.hold(self.now)),
        }
        for id in self.send_next() {
            if let Some(command) = self.twin.commands.get(id) {
                // Neither an attempt that is over nor a command whose time to live is over is handed over.
                let until = command.due.unwrap_or(self.now).min(command.expires_at);
                let attempt = CommandAttempt { command: id, attempt: command.attempts };
                let message = Publish::Command { attempt, body: command.message(), until };
                self.outcome.publishes.push(message);
            }
        }
    }

    /// Calls `sent` what may go now, in order.
    fn send_next(&mut self) -> Vec<CommandId> {
        let at_once = self.twin.setup.commands_at_once();
        let mut sent = Vec::new();
        while let Some((id, attempt)) = self.twin.commands.next_to_send(at_once, self.now) {
            self.step_command(CommandChange { id, step: CommandStep::Sent { attempt } });
            sent.push(id);
        }
        sent
    }

    pub(super) fn step_commands(&mut self, changes: impl IntoIterator<Item = CommandChange>) {
        changes.into_iter().for_each(|change| self.step_command(change));
    }

    pub(super) fn step_command(&mut self, change: CommandChange) {
        self.record(EventBody::Command(Box::new(change)));
    }

    fn repeat_command(&mut self, command: Command) {
        self.outcome.repeated = true;
        self.outcome.commands.push(command);
    }

    /// Nothing will come of all that is under way for the device.
    pub(super) fn end_all(&mut self, reason: &str) {
        self.step_commands(self.twin.commands.cancel_all(reason));
        self.advance_update(self.twin.firmware.give_up(reason, self.twin.presence.is_reachable()));
    }

    /// Desired values wait where nobody listens.
    pub(super) fn hold_desired(&mut self) {
        let is_desired = |publish: &Publish| matches!(publish, Publish::Desired(_));
        if !self.outcome.publishes.iter().any(is_desired)
            || self.audience(Downlink::Desired) != Audience::Nobody
        {
            return;
        }
        self.outcome.publishes.retain(|publish| !is_desired(publish));
        self.mark_unsent();
    }

    /// The device was not sent what is desired of it after all.
    pub(super) fn mark_unsent(&mut self) {
        if self.twin.convergence.was_sent() {
            self.record_part(ChangeKind::Told, Part::Told(false));
        }
    }

    /// Somebody listens now to what is desired of the device.
    pub(super) fn send_desired(&mut self) {
        if self.twin.convergence.is_owed() && self.twin.presence.is_reachable() {
            self.record_part(ChangeKind::Told, Part::Told(true));
            self.publish_desired();
        }
    }

    /// The device is to come to an image.
    pub(super) fn give_update(&mut self, task: FirmwareTask) -> Result<(), Refusal> {
        match self.twin.firmware.give(task)? {
            None => {
                self.outcome.repeated = true;
                self.outcome.steps.extend(self.twin.firmware.job_step());
            }
            given => self.advance_update(given),
        }
        Ok(())
    }

    /// The consequences of the version that the device runs, and of its being there, now that all is known that came
    /// with it.
    pub(super) fn settle_update(&mut self, asks: bool) {
        let (model, runs) = (self.twin.profile.text("model"), self.twin.profile.text(VERSION));
        self.advance_update(self.twin.firmware.settle(model, runs, self.twin.presence.is_reachable()));
        let comes = |event: &Event| matches!(event.body, EventBody::Presence { status: Status::Online, .. });
        if asks || self.outcome.events.iter().any(comes) {
            self.advance_update(self.twin.firmware.overdue(self.now)); // nobody is sent what is over
            // Where nobody listens it stays queued.
            if self.twin.presence.is_reachable()
                && self.twin.firmware.is_to_be_sent()
                && self.audience(Downlink::Firmware) != Audience::Nobody
            {
                self.advance_update(self.twin.firmware.send());
            }
        }
        keep_last(&mut self.outcome.steps);
    }

    pub(super) fn advance_update(&mut self, effects: Option<UpdateEffects>) {
        let Some(mut effects) = effects else { return };
        let advances = effects.step.is_some();
        if let Some(body) = effects.take_event() {
            self.record(body);
        }
        self.outcome.publishes.extend(effects.publish);
        self.outcome.steps.extend(effects.job_step);
        if advances {
            self.outcome.steps.extend(self.twin.firmware.job_step());
        }
    }

    fn audience(&self, ear: Downlink) -> Audience {
        self.listeners.audience(&self.twin.id, ear, Audience::Somebody)
    }

    /// The time has come for whatever waited.
    pub(super) fn wake(&mut self, hearing: SilenceRule, first_id: CommandId) {
        // An entry that was due while a person's word held is skipped, also when the word has ended since.
        let manual_until = self.twin.control.manual_until(self.now);
        if let Some(patch) = self.twin.control.end_mode(self.now) {
            self.because(&Cause::new(Source::Hub, "mode_until")).change_mode(patch);
        }
        if self.twin.silent_at(hearing, self.now).is_some_and(|at| at <= self.now) {
            self.go_offline(presence::reason::SILENT);
        }
        if let Some(patch) = self.twin.profile.end_old_token(self.now) {
            self.because(&Cause::new(Source::Hub, "token_overlap")).update(ChangeKind::Token, patch);
        }
        self.step_commands(self.twin.commands.overdue(self.now));
        self.advance_update(self.twin.firmware.overdue(self.now));
        self.run_schedule(manual_until, first_id);
    }

    fn run_schedule(&mut self, manual_until: Option<Timestamp>, first_id: CommandId) {
        let due = self.twin.plan().filter(|plan| plan.is_due(self.now));
        let Some(plan) = due.filter(|_| !self.twin.control.is_retired()) else { return };
        let DueOccurrences { runs, skipped, done } = plan.due(self.now);
        let is_suspended = self.twin.lifecycle().is_out_of_service();
        let is_manual =
            |due: &DueOccurrence| is_suspended || manual_until.is_some_and(|until| due.at < until);
        let (refused, runs): (Vec<_>, Vec<_>) = runs.into_iter().partition(is_manual);
        let reason = if is_suspended { "suspended" } else { "manual_mode" };
        let refused = refused.iter().map(|due| skip(due, reason));
        let not_run: Box<[Skip]> = skipped.iter().map(|due| skip(due, "missed")).chain(refused).collect();
        let done = Part::ScheduleDone(done);
        if !not_run.is_empty() || runs.is_empty() {
            // Where nothing came of it, the plan must go on all the same, or it would be asked for ever.
            let not_run = (!not_run.is_empty()).then_some(Part::Skipped(not_run));
            let patch = [done.clone()].into_iter().chain(not_run).collect();
            self.because(&Cause::new(Source::Schedule, "")).update(ChangeKind::Skipped, patch);
        }
        let mut next_id = 0;
        for due in &runs {
            let cause = Cause::new(Source::Schedule, &format!("entry {}: {}", due.entry, due.cron));
            if self.because(&cause).run_entry(due, done.clone(), first_id.nth(next_id)) {
                next_id = next_id.wrapping_add(1);
            }
        }
    }

    /// Runs an entry of the schedule. True where that took the id for a command.
    fn run_entry(&mut self, due: &DueOccurrence, done: Part, id: CommandId) -> bool {
        let mut patch: Patch = [done].into_iter().collect();
        let mut kind = ChangeKind::Scheduled;
        if let ScheduleAction::Set(desired) = &due.action {
            if self.twin.check_size("desired", desired).is_ok() {
                patch.set(Part::Desired(desired.clone()));
            } else {
                kind = ChangeKind::Skipped;
                patch.set(Part::Skipped([skip(due, "too_large")].into()));
            }
        }
        self.update(kind, patch);
        let ScheduleAction::Command(command) = &due.action else { return false };
        let request = CommandRequest::of_schedule(command);
        // A full queue is the only refusal; what waits there already is the answer to it.
        let _ = self.request_command(id, Box::new(request), None);
        true
    }
}

fn skip(due: &DueOccurrence, reason: &str) -> Skip {
    Skip { entry: due.entry, at: due.at, reason: reason.into() }
}
