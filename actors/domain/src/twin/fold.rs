//! The fold: the one way in which a twin changes. Whatever comes in becomes events, and events come here,
//! now and again whenever the twin is made from what the journal has.

use super::notes::came_with_readings;
use super::properties::Arrival;
use super::{Part, Patch, Twin, presence};
use crate::cause::{Cause, Source};
use crate::clock::Timestamp;
use crate::command::{Command, CommandStep};
use crate::event::{ChangeKind, Event, EventBody, TwinChange};
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
            self.come_back_to(received);
        }
        match &event.body {
            EventBody::Telemetry { readings, identity, claimed } => {
                let mut changed = false;
                for reading in readings {
                    changed |= self.reported.read(reading, event.at, Arrival { received, claimed: *claimed });
                }
                self.messages += 1;
                match (identity, claimed) {
                    (None, _) => {}
                    (Some(identity), None) => self.repeats.remember(*identity, event.at, received),
                    (Some(identity), Some(_)) => self.repeats.remember_unbelieved(*identity, received),
                }
                self.polls &= event.cause.source != Source::Mqtt;
                self.hear(received);
                if !changed && !self.is_settled_by(readings, received) {
                    return None; // the same again: heard, but the document is as it was
                }
                self.follow(None, received);
            }
            EventBody::Twin(change) => self.redo_change(change, received, &event.cause),
            EventBody::Presence { status, reason } => {
                self.polls = match event.cause.source {
                    Source::Mqtt => false,
                    _ => self.polls || &**reason == presence::reason::POLLED,
                };
                let was = self.status;
                self.redo_presence(*status, reason, received);
                if was == self.status && !self.is_new() {
                    return None; // heard again, no more
                }
            }
            EventBody::Command(change) => {
                let answered = matches!(change.step, CommandStep::Answered(_) | CommandStep::Late(_));
                if answered && event.cause.source == Source::Mqtt {
                    self.last_seen = self.last_seen.max(Some(received));
                }
                // The document says nothing of commands.
                return self.redo_command(change, received, &event.cause);
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
        let before = self.unmet.clone();
        self.follow(None, now);
        self.unmet != before
    }

    fn redo_change(&mut self, TwinChange { change, patch }: &TwinChange, now: Timestamp, cause: &Cause) {
        if *change == ChangeKind::Reported {
            self.polls &= cause.source != Source::Mqtt;
            self.hear(now);
            self.messages += u64::from(!came_with_readings(patch));
        }
        if let Some(layer) = patch.template() {
            self.take_layer(layer.cloned(), now); // the rest of the patch lies over it
        }
        if *change == ChangeKind::Firmware && cause.source == Source::Mqtt {
            self.last_seen = self.last_seen.max(Some(now));
        }
        for part in patch.parts() {
            self.redo_part(part, now, cause);
        }
        self.conclude(patch, now);
    }

    fn redo_part(&mut self, part: &Part, now: Timestamp, cause: &Cause) {
        match part {
            Part::Text(field, text) => self.profile.set(field, text.as_deref().unwrap_or_default()),
            Part::Claimed(claimed) => self.claimed = *claimed,
            Part::Lifecycle(step) => self.redo_lifecycle(step),
            Part::Mode(mode) => self.mode = *mode,
            Part::ModeUntil(until) => self.mode_until = *until,
            Part::Reported(patch) => self.reported.merge(patch, now, None),
            Part::Desired(patch) => self.desired.merge(patch, now, Some(cause)),
            Part::Tags(patch) => self.say_tags(patch),
            Part::Configuration(patch) => self.say_configuration(patch),
            Part::Settings(patch) => self.say_settings(patch),
            Part::Limits(patch) => self.say_limits(patch),
            Part::Schedule(entries) => self.say_schedule(entries.as_ref(), now),
            Part::ScheduleDone(done) => {
                if let Some(plan) = &mut self.plan {
                    plan.passed(*done);
                }
            }
            Part::Told(true) => self.mark_told(now),
            Part::Told(false) => self.mark_untold(),
            Part::DeviceClock(clock) => self.clock = clock.clone().map(Box::new),
            Part::ClockMoved(by) => self.shift(*by),
            Part::Firmware(step) => self.redo_firmware(step, now),
            Part::Template(_) => {}                 // it came before all else
            Part::Failed(_) | Part::Units(_) => {}  // they come after all else
            Part::Skipped(_) | Part::Note(..) => {} // told, and no state of the document
        }
    }

    /// The consequences of all parts together.
    fn conclude(&mut self, patch: &Patch, now: Timestamp) {
        if let Some(Part::Units(units)) = patch.get("units") {
            self.say_units(units);
        }
        // The last three may declare which words mean the same.
        if ["reported", "desired", "template", "limits", "settings"].iter().any(|name| patch.says(name)) {
            self.follow(patch.desired(), now);
        }
        if let Some(Part::Failed(reasons)) = patch.get("failed") {
            self.mark_failed(reasons, now);
        }
        for (name, note) in patch.notes() {
            self.redo_note(name, note);
        }
    }
}
