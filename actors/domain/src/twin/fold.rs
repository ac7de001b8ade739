//! The fold: the one way in which a twin changes. Whatever comes in becomes events, and events come here,
//! now and again whenever the twin is made from what the journal has.

use super::delta::Comparison;
use super::fields::{BROKER_HASH, CLAIM_CODE_HASH, OLD_TOKEN_HASH, TOKEN_HASH};
use super::intake::Filed;
use super::notes::came_with_readings;
use super::properties::Arrival;
use super::{Part, Patch, Twin};
use crate::cause::{Cause, Source};
use crate::clock::Timestamp;
use crate::command::{Command, CommandStep};
use crate::event::{ChangeKind, Event, EventBody, TwinChange};
use crate::fleet::Lifecycle;
use crate::json::Object;
use crate::reading::Reading;

impl Twin {
    /// Makes the state what it is after `event`. Applying a twin's events in order, each once, to a new
    /// twin gives the twin.
    pub fn redo(&mut self, event: &Event) {
        self.fold(event);
    }

    /// As [`Twin::redo`]; gives the command that the event changed as it is after it.
    pub(super) fn fold(&mut self, event: &Event) -> Option<Command> {
        let received = event.received_at;
        if self.is_ahead_of(received) {
            self.no_later_than(received);
        }
        match &event.body {
            EventBody::Telemetry { readings, identity, claimed, .. } => {
                let mut changed = false;
                for reading in readings {
                    changed |= self.reported.read(reading, event.at, Arrival { received, claimed: *claimed });
                }
                let filed = Filed { at: event.at, claimed: *claimed, identity: *identity };
                self.intake.apply_readings(&filed, received);
                if !event.cause.is_of_the_past() {
                    self.hear(received, &event.cause);
                }
                if !changed && !self.is_settled_by(readings, received) {
                    return None; // the same again: heard, but the document is as it was
                }
                self.follow(None, received);
            }
            EventBody::Twin(change) => self.apply_change(change, received, &event.cause),
            EventBody::Presence { status, reason } => {
                let is_other = self.presence.apply(*status, reason, received, &event.cause);
                if self.presence.is_reachable() {
                    self.convergence.mark_sent(received);
                }
                if !is_other && !self.is_new() {
                    return None; // heard again, no more
                }
            }
            EventBody::Command(change) => {
                let answered = matches!(change.step, CommandStep::Answered(_) | CommandStep::Late(_));
                if answered && event.cause.source == Source::Mqtt {
                    self.presence.see(received);
                }
                // The document says nothing of commands.
                return self.commands.apply(change, received, &event.cause);
            }
            // They are about the twin, and change nothing of it.
            EventBody::Alarm(_) | EventBody::Rule(_) | EventBody::Fleet(_) | EventBody::Signal(_) => {
                return None;
            }
        }
        self.version += 1;
        self.updated_at = received;
        None
    }

    /// Does the same again settle which of two spellings of a place came last, and so change the delta?
    fn is_settled_by(&mut self, readings: &[Reading], now: Timestamp) -> bool {
        if self.desired.is_empty() || !readings.iter().any(|reading| reading.name.contains('.')) {
            return false;
        }
        let before = self.convergence.clone();
        self.follow(None, now);
        self.convergence != before
    }

    fn apply_change(&mut self, TwinChange { change, patch }: &TwinChange, now: Timestamp, cause: &Cause) {
        if *change == ChangeKind::Reported {
            self.hear(now, cause);
            self.intake.messages += u64::from(!came_with_readings(patch));
        }
        if let Some(layer) = patch.template() {
            self.setup.apply_layer(layer.cloned(), now); // the rest of the patch lies over it
        }
        if *change == ChangeKind::Firmware && cause.source == Source::Mqtt {
            self.presence.see(now);
        }
        for part in patch.parts() {
            self.apply_part(part, now, cause);
        }
        if patch.says(TOKEN_HASH) && !patch.says(OLD_TOKEN_HASH) {
            self.profile.forget_old_token();
        }
        self.conclude(patch, now);
    }

    fn apply_part(&mut self, part: &Part, now: Timestamp, cause: &Cause) {
        match part {
            Part::Text(field, text) => self.profile.set(field, text.as_deref().unwrap_or_default()),
            Part::Claimed(claimed) => self.control.claimed = *claimed,
            Part::Lifecycle(step) => {
                self.control.apply_lifecycle(step.state, self.presence.was_heard());
                if step.state == Lifecycle::Retired {
                    self.profile.more.remove(TOKEN_HASH);
                    self.profile.more.remove(BROKER_HASH);
                    self.profile.more.remove(CLAIM_CODE_HASH);
                    self.profile.forget_old_token();
                    self.profile.forget_certificate();
                }
            }
            Part::Mode(mode) => self.control.mode = *mode,
            Part::ModeUntil(until) => self.control.apply_mode_until(*until),
            Part::Reported(patch) => self.reported.merge(patch, now, None),
            Part::Desired(patch) => self.desired.merge(patch, now, Some(cause)),
            Part::Tags(patch) => self.setup.apply_tags(patch),
            Part::Configuration(patch) => self.setup.apply_configuration(patch),
            Part::Settings(patch) => self.setup.apply_settings(patch),
            Part::Limits(patch) => self.setup.apply_limits(patch),
            Part::Schedule(entries) => self.setup.apply_schedule(entries.as_ref(), now),
            Part::ScheduleDone(done) => self.setup.apply_schedule_done(*done),
            Part::Told(true) => self.convergence.mark_sent(now),
            Part::Told(false) => self.convergence.mark_unsent(),
            Part::DeviceClock(clock) => self.intake.apply_clock(clock.as_ref()),
            Part::ClockMoved(by_ms) => {
                self.commands.shift(*by_ms);
                self.firmware.shift(*by_ms);
            }
            Part::Firmware(step) => self.firmware.apply(step, now),
            Part::Template(_) => {}                 // it came before all else
            Part::Failed(_) | Part::Units(_) => {}  // they come after all else
            Part::Skipped(_) | Part::Note(..) => {} // in the event alone
        }
    }

    /// The consequences of all parts together.
    fn conclude(&mut self, patch: &Patch, now: Timestamp) {
        if let Some(Part::Units(units)) = patch.get("units") {
            self.reported.set_units(units);
        }
        // The last three may declare which words mean the same.
        if ["reported", "desired", "template", "limits", "settings"].iter().any(|name| patch.says(name)) {
            self.follow(patch.desired(), now);
        }
        if let Some(Part::Failed(reasons)) = patch.get("failed") {
            self.convergence.mark_failed(reasons, now);
        }
        for (name, note) in patch.notes() {
            self.profile.apply_note(name, note, &self.reported);
        }
    }

    /// A message of the device came.
    fn hear(&mut self, now: Timestamp, cause: &Cause) {
        self.presence.hear(self.setup.heartbeat(), now, cause);
    }

    /// Follows a change of either side of the document. `anew` is the patch of what was just desired.
    fn follow(&mut self, anew: Option<&Object>, now: Timestamp) {
        let reported = Comparison::new(&self.reported, &self.setup);
        self.convergence.follow(&self.desired, reported, anew, now);
        if anew.is_some() && self.presence.is_reachable() {
            self.convergence.mark_sent(now);
        }
    }

    /// A value that is dated in the future, by a clock that was set back since, must not stand in the way of what comes
    /// now: the state is the newest that can be believed, and of what carries no time of its own the last that came.
    fn no_later_than(&mut self, now: Timestamp) {
        self.updated_at = self.updated_at.min(now);
        self.presence.no_later_than(now);
        self.reported.no_later_than(now);
        self.desired.no_later_than(now);
        self.convergence.no_later_than(now);
    }
}
