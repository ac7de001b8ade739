//! The fold: the one way in which a twin changes. Whatever comes in becomes events, and events come here,
//! now and again whenever the twin is made from what the journal has.

use super::audience::TOLD;
use super::firmware::FIRMWARE;
use super::lifecycle::LIFECYCLE;
use super::moved::CLOCK_MOVED;
use super::notes::{came_with_readings, notes};
use super::properties::Arrival;
use super::telemetry::CLOCK;
use super::units::UNITS;
use super::{Twin, presence};
use crate::Mode;
use crate::cause::{Cause, Source};
use crate::clock::Timestamp;
use crate::command::{Command, Step};
use crate::event::{ChangeKind, Event, EventBody, TwinChange};
use crate::fleet::Layer;
use crate::json::Json;
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
                let answered = matches!(change.step, Step::Answered(_) | Step::Late(_));
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
        if let Some(layer) = patch.get("template") {
            self.take_layer(layer.as_object().map(Layer::shared), now); // the rest of the patch lies over it
        }
        if *change == ChangeKind::Firmware && cause.source == Source::Mqtt {
            self.last_seen = self.last_seen.max(Some(now));
        }
        for (section, value) in patch.iter() {
            match (section, value) {
                ("reported", Json::Object(patch)) => self.reported.merge(patch, now, None),
                ("desired", Json::Object(patch)) => self.desired.merge(patch, now, Some(cause)),
                ("tags", Json::Object(patch)) => self.say_tags(patch),
                ("configuration", Json::Object(patch)) => self.say_configuration(patch),
                ("limits", Json::Object(patch)) => self.say_limits(patch),
                ("template", _) => {}
                (TOLD, Json::Bool(true)) => self.mark_told(now),
                (TOLD, _) => self.mark_untold(),
                ("claimed", Json::Bool(claimed)) => self.claimed = *claimed,
                (LIFECYCLE, change) => self.redo_lifecycle(change),
                (CLOCK, said) => self.redo_clock(said),
                (FIRMWARE, Json::Object(change)) => self.redo_firmware(change, now),
                (field, value) => self.redo_field(field, value, now),
            }
        }
        let section = |name| patch.get(name).and_then(Json::as_object);
        let has = |names: &[&str]| names.iter().any(|name| patch.get(name).is_some());
        if let Some(units) = section(UNITS) {
            self.say_units(units);
        }
        // The last three may declare which words mean the same.
        if section("reported").is_some()
            || section("desired").is_some()
            || has(&["template", "limits", "settings"])
        {
            self.follow(section("desired"), now);
        }
        if let Some(reasons) = section("failed") {
            self.mark_failed(reasons, now);
        }
        for (name, note) in notes(patch) {
            self.redo_note(name, note);
        }
    }

    fn redo_field(&mut self, field: &str, value: &Json, now: Timestamp) {
        let time = || value.as_str().and_then(Timestamp::parse);
        match (field, value) {
            ("mode", value) => self.mode = value.as_str().and_then(Mode::parse).unwrap_or_default(),
            ("mode_until", _) => self.mode_until = time(),
            ("schedule", entries) => self.say_schedule(entries, now),
            ("schedule_done", _) => {
                if let (Some(plan), Some(done)) = (&mut self.plan, time()) {
                    plan.passed(done);
                }
            }
            ("settings", Json::Object(patch)) => self.say_settings(patch),
            (CLOCK_MOVED, by) => self.shift(by),
            ("failed" | "skipped" | UNITS, _) | (_, Json::Object(_)) => {} // told, and no state of the document
            (field, value) => self.profile.set(field, value),
        }
    }
}
