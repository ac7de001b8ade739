//! The effects of time on a twin: a mode that ends, a silence too long, a command overdue, an entry of the schedule.

use super::patch::{Part, Patch, Skip};
use super::presence::{self, Hearing};
use super::{Change, Listeners, Outcome, Refusal, Twin};
use crate::Mode;
use crate::cause::{Cause, Source};
use crate::clock::Timestamp;
use crate::command::{CommandId, CommandRequest};
use crate::event::ChangeKind;
use crate::fleet::FirmwareTask;
use crate::json::Json;
use crate::schedule::{CompactSchedule, DueOccurrence, DueOccurrences, ScheduleAction};

impl Twin {
    /// When it is next to be woken for something that is known to the store, if nothing else happens.
    /// Silence is apart: [`Twin::silent_at`].
    #[must_use]
    pub fn wake_at(&self, now: Timestamp) -> Option<Timestamp> {
        let commands = self.queue.as_deref().and_then(|queue| queue.deadline(now));
        let schedule = self.plan.as_deref().filter(|_| !self.is_retired()).and_then(CompactSchedule::next);
        let firmware = self.firmware().and_then(FirmwareTask::deadline);
        [self.mode_until, commands, schedule, firmware].into_iter().flatten().min()
    }

    /// Changes who drives the twin; `until` ends a person's word by itself.
    pub(super) fn set_mode(
        &mut self,
        outcome: &mut Outcome,
        listeners: &dyn Listeners,
        (mode, until): (Mode, Option<Timestamp>),
        now: Timestamp,
        cause: &Cause,
    ) -> Result<(), Refusal> {
        let invalid = |field: &str, detail: &str| {
            Err(Refusal::Invalid { field: field.to_owned(), detail: detail.to_owned() })
        };
        match until {
            Some(_) if mode == Mode::Schedule => {
                return invalid("until", "only manual mode has an end: schedule mode goes on");
            }
            Some(until) if until <= now => return invalid("until", "lies in the past"),
            _ => {}
        }
        if (mode, until) != (self.mode, self.mode_until) {
            self.change_mode(outcome, listeners, (mode, until), now, cause);
        }
        Ok(())
    }

    /// The time has come for whatever waited.
    pub(super) fn wake(
        &mut self,
        outcome: &mut Outcome,
        listeners: &dyn Listeners,
        (hearing, first_id): (Hearing, CommandId),
        now: Timestamp,
        cause: &Cause,
    ) {
        // An entry that was due while a person's word held is skipped, also when the word has ended since.
        let manual_until = match (self.mode, self.mode_until) {
            (Mode::Schedule, _) => None,
            (Mode::Manual, until) => Some(until.unwrap_or(now.plus_millis(1))),
        };
        if self.mode_until.is_some_and(|until| until <= now) {
            let ended = Cause::new(Source::Hub, "mode_until");
            self.change_mode(outcome, listeners, (Mode::Schedule, None), now, &ended);
        }
        if self.silent_at(hearing, now).is_some_and(|at| at <= now) {
            self.go_offline(outcome, presence::reason::SILENT, now, cause);
        }
        self.time_commands(outcome, now, cause);
        self.time_firmware(outcome, now, cause);
        self.run_schedule(outcome, manual_until, first_id, now);
    }

    fn change_mode(
        &mut self,
        outcome: &mut Outcome,
        listeners: &dyn Listeners,
        (mode, until): (Mode, Option<Timestamp>),
        now: Timestamp,
        cause: &Cause,
    ) {
        let mut patch = [Part::Mode(mode), Part::ModeUntil(until)].into_iter().collect();
        self.echo(listeners, &mut patch);
        self.update(outcome, ChangeKind::Updated, patch, now, cause);
    }

    fn run_schedule(
        &mut self,
        outcome: &mut Outcome,
        manual_until: Option<Timestamp>,
        first_id: CommandId,
        now: Timestamp,
    ) {
        let Some(plan) = self.plan.as_deref().filter(|plan| plan.is_due(now)).filter(|_| !self.is_retired())
        else {
            return;
        };
        let DueOccurrences { runs, skipped, done } = plan.due(now);
        let is_suspended = self.lifecycle().is_out_of_service();
        let is_manual =
            |due: &DueOccurrence| is_suspended || manual_until.is_some_and(|until| due.at < until);
        let (refused, runs): (Vec<_>, Vec<_>) = runs.into_iter().partition(is_manual);
        let not_run: Box<[Skip]> = skipped
            .iter()
            .map(|due| passed_over(due, "missed"))
            .chain(
                refused
                    .iter()
                    .map(|due| passed_over(due, if is_suspended { "suspended" } else { "manual_mode" })),
            )
            .collect();
        let mark = Part::ScheduleDone(done);
        if !not_run.is_empty() {
            let patch = [mark.clone(), Part::Skipped(not_run)].into_iter().collect();
            self.update(outcome, ChangeKind::Skipped, patch, now, &Cause::new(Source::Schedule, ""));
        }
        let mut next_id = 0;
        for due in &runs {
            let cause = Cause::new(Source::Schedule, &format!("entry {}: {}", due.entry, due.cron));
            let mut patch: Patch = [mark.clone()].into_iter().collect();
            let mut kind = ChangeKind::Scheduled;
            if let ScheduleAction::Set(desired) = &due.action {
                if self.check_section("desired", desired).is_ok() {
                    patch.set(Part::Desired(desired.clone()));
                } else {
                    kind = ChangeKind::Skipped;
                    patch.set(Part::Skipped([passed_over(due, "too_large")].into()));
                }
            }
            self.update(outcome, kind, patch, now, &cause);
            if let ScheduleAction::Command(command) = &due.action {
                let request = CommandRequest::of_schedule(command);
                // A full queue is the only refusal; what waits there already is the answer to it.
                let _ = self.ask(outcome, first_id.nth(next_id), Box::new(request), None, (now, &cause));
                next_id = next_id.wrapping_add(1);
            }
        }
        if runs.is_empty() && skipped.is_empty() && refused.is_empty() {
            // Nothing came of it, but the plan must go on or it would be asked for ever.
            let patch = [mark].into_iter().collect();
            self.update(outcome, ChangeKind::Skipped, patch, now, &Cause::new(Source::Schedule, ""));
        }
    }
}

fn passed_over(due: &DueOccurrence, reason: &str) -> Skip {
    Skip { entry: due.entry, at: due.at, reason: reason.into() }
}

/// A person's word: rules do not drive a twin in manual mode, unless they are made to. A schedule is asked in [`Twin::wake`].
pub(super) fn refuses_rules(twin: &Twin, cause: &Cause) -> bool {
    let goes_through = cause.run.as_ref().is_some_and(|run| run.even_in_manual);
    twin.mode == Mode::Manual && cause.source == Source::Rule && !goes_through
}

impl Change {
    /// A change of the schedule alone: an array of entries, or a timetable by days.
    #[must_use]
    pub fn of_schedule(entries: Json) -> Self {
        Self { patch: [("schedule", entries)].into_iter().collect() }
    }
}
