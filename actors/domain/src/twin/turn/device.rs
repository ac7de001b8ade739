//! The device's own words in a turn: its readings, its state, and whether it is there.

use std::collections::HashSet;

use super::super::fields::Field;
use super::super::firmware::VERSION;
use super::super::intake::too_large;
use super::super::presence::{self, reason::AGAIN, reason::HEARD};
use super::super::size_limits::check_names;
use super::super::translation::READINGS;
use super::super::units::take_units;
use super::super::{
    Filed, Meaning, NoTemplates, Part, Patch, Refusal, Rejected, Repeat, Speaker, Translation,
};
use super::TwinTurn;
use crate::Status;
use crate::event::{ChangeKind, EventBody, TwinChange};
use crate::json::{DocumentSize, Json, Object};
use crate::reading::{DeviceType, ImportedReadings, Telemetry};

/// The field of a device's type.
const TYPE: &str = "type";

impl TwinTurn<'_> {
    /// Every message of a device says first of all that it is there.
    pub(super) fn come_online(&mut self, why: &str) {
        if self.twin.presence.comes_with(self.cause) {
            self.record(presence::event(Status::Online, why));
            self.remind();
        }
    }

    /// A device that is online and says so again was heard, unless its broker has kept the word for whoever subscribes.
    pub(super) fn hear_online_again(&mut self) {
        if !self.cause.retained && self.twin.presence.last_seen < Some(self.now) {
            self.record(presence::event(Status::Online, AGAIN));
        }
    }

    /// The device has gone; what it was sent and has not acknowledged waits for its return.
    pub(super) fn go_offline(&mut self, why: &str) {
        if self.twin.presence.status != Status::Offline || self.twin.is_new() {
            self.record(presence::event(Status::Offline, why));
            self.step_commands(self.twin.commands.return_all());
            self.advance_update(self.twin.firmware.requeue());
        }
    }

    /// A device that has just come is sent what it may have missed. The embedded broker keeps nothing
    /// over a restart of the hub, so this is also what restores its retained configuration.
    pub(super) fn remind(&mut self) {
        if !self.twin.delta().is_empty() {
            self.publish_desired();
        }
        self.publish_configuration();
    }

    pub(super) fn hear_readings(&mut self, mut telemetry: Telemetry) -> Result<(), Refusal> {
        let filed = self.twin.file(&telemetry, self.now)?;
        if self.twin.intake.repeat(&telemetry, &filed, self.now) == Repeat::Yes {
            self.outcome.repeated = true;
            return Ok(());
        }
        let excess = self.twin.reported.take_excess(&Object::default(), &mut telemetry.readings);
        if let Some((_, detail)) = excess.first()
            && (telemetry.strict || telemetry.readings.is_empty())
        {
            return Err(too_large(detail));
        }
        self.outcome.rejected.extend(excess.into_iter().map(Rejected::without_room));
        self.come_online(HEARD);
        if let Some(part) = self.twin.intake.clock_change(&telemetry, &filed, self.now) {
            self.record_part(ChangeKind::DeviceClock, part);
        }
        let Filed { at, claimed, identity } = filed;
        let Telemetry { readings, payload, device_type, .. } = telemetry;
        if let Some(part) = device_type.and_then(|device_type| self.heard_type(*device_type)) {
            self.record_part(ChangeKind::Reported, part);
        }
        self.record_at(at, EventBody::Telemetry { readings, identity, claimed, payload });
        Ok(())
    }

    /// The type that a message of readings says, where the device has none.
    fn heard_type(&self, DeviceType(device_type): DeviceType) -> Option<Part> {
        let field = Field::of(TYPE)?;
        self.twin.profile.text(TYPE).is_empty().then_some(Part::Text(field, Some(device_type)))
    }

    /// Several samples of one message. Strict ones are taken in all or not at all; of others those that can be.
    pub(super) fn hear_batch(&mut self, samples: Box<[Telemetry]>) -> Result<(), Refusal> {
        let before = samples.iter().any(|sample| sample.strict).then(|| self.twin.clone());
        let (mut seen, mut taken, mut repeated, mut first) = (HashSet::new(), 0, 0, None);
        for sample in samples {
            let identity = self.twin.file(&sample, self.now).ok().and_then(|filed| filed.identity);
            if identity.is_some_and(|identity| !seen.insert(identity)) {
                repeated += 1; // the twin's own memory may be shorter than a batch
                continue;
            }
            let names: Vec<_> = sample.readings.iter().map(|reading| reading.name.clone()).collect();
            match self.hear_readings(sample) {
                Ok(()) if std::mem::take(&mut self.outcome.repeated) => repeated += 1,
                Ok(()) => taken += 1,
                Err(refusal) => {
                    if let Some(before) = before {
                        *self.twin = before;
                        return Err(refusal);
                    }
                    let rejected = |name| Rejected { name, refusal: refusal.clone() };
                    self.outcome.rejected.extend(names.into_iter().map(rejected));
                    first.get_or_insert(refusal);
                }
            }
        }
        self.outcome.repeated = taken == 0 && repeated > 0;
        match first {
            Some(refusal) if taken + repeated == 0 => Err(refusal),
            _ => Ok(()),
        }
    }

    /// Readings out of a file: history takes them all, and the state those that are newer than what it has.
    pub(super) fn import_readings(&mut self, samples: Box<[ImportedReadings]>) {
        for ImportedReadings { at, claimed, mut readings } in samples {
            let excess = self.twin.reported.take_excess(&Object::default(), &mut readings);
            self.outcome.rejected.extend(excess.into_iter().map(Rejected::without_room));
            if !readings.is_empty() {
                self.record_at(at, EventBody::Telemetry { readings, identity: None, claimed, payload: None });
            }
        }
    }

    /// The device reports this of its state.
    pub(super) fn hear_report(&mut self, reported: Object) -> Result<(), Refusal> {
        let mut reported = self.checked_details(reported)?;
        self.come_online(HEARD);
        let units = take_units(&mut reported, &self.twin.reported, &self.twin.desired);
        let runs = reported.get(VERSION).and_then(Json::as_str);
        let runs = runs.filter(|runs| *runs != self.twin.profile.text(VERSION));
        let mut patch: Patch = runs.and_then(|runs| Part::text(VERSION, runs)).into_iter().collect();
        patch.extend(units.map(Part::Units));
        patch.set(Part::Reported(reported));
        self.record(EventBody::Twin(TwinChange { change: ChangeKind::Reported, patch }));
        Ok(())
    }

    /// The device could not become what was desired, and says why, by property.
    pub(super) fn hear_failures(&mut self, reasons: Object) -> Result<(), Refusal> {
        if let Some(detail) = reasons.size().excess(DocumentSize::default()) {
            return Err(Refusal::TooLarge { section: "failed".into(), detail });
        }
        self.come_online(HEARD);
        self.record_part(ChangeKind::Reported, Part::Failed(reasons));
        Ok(())
    }

    /// A patch of reported state that is neither too large nor of names that nobody could use.
    pub(super) fn checked_details(&mut self, mut details: Object) -> Result<Object, Refusal> {
        self.twin.check_size("reported", &details)?;
        check_names(&mut details, &mut self.outcome.rejected, self.cause)?;
        Ok(details)
    }

    /// The device says what it is.
    pub(super) fn hear_details(&mut self, details: Object) {
        if !details.is_empty() {
            let patch = self.twin.profile.patch_from_details(details);
            self.update(ChangeKind::Reported, patch);
        }
    }

    /// A message of a dialect, which has to ask the twin for its meaning.
    pub(super) fn translate(&mut self, message: &dyn Translation) -> Result<(), Refusal> {
        let speaker = message.speaker();
        speaker.check(self.twin)?;
        if speaker == Speaker::Claim {
            self.twin.profile.check_claim_code(None)?; // no dialect has a word for it
        }
        self.twin.profile.check_serial(&self.twin.id, message.serial())?;
        let Meaning { change, mode, reported, mut readings, is_heard, mut note } =
            message.translate(self.twin, self.now)?;
        let mut patch = match speaker {
            // It may say whose the device is to be.
            Speaker::Registration { .. } | Speaker::Claim => {
                change.into_first_patch(self.twin, &NoTemplates, self.now)?
            }
            Speaker::Device | Speaker::App => change.into_patch(self.twin, &NoTemplates, self.now)?,
        };
        if let Some(mode) = mode.filter(|mode| *mode != self.twin.control.mode) {
            patch.extend([Part::Mode(mode), Part::ModeUntil(None)]);
        }
        if matches!(speaker, Speaker::Claim | Speaker::Registration { claimed: true }) {
            patch.set(Part::Claimed(true));
        }
        if !reported.is_empty() {
            self.twin.check_size("reported", &reported)?;
        }
        let excess = self.twin.reported.take_excess(&reported, &mut readings);
        if let Some((_, detail)) = excess.first()
            && speaker == Speaker::App
        {
            return Err(too_large(detail));
        }
        self.outcome.rejected.extend(excess.into_iter().map(Rejected::without_room));
        if !reported.is_empty() {
            patch.set(Part::Reported(reported));
        }
        let says_more = !patch.is_empty() || !note.is_empty();
        if says_more && !readings.is_empty() {
            note.insert(READINGS, true.into()); // the same message, which is counted once
        }
        if !note.is_empty() {
            patch.set_note(message.note_name(), note.into());
        }
        if is_heard {
            self.come_online(HEARD);
        }
        if !readings.is_empty() {
            self.record(EventBody::Telemetry { readings, identity: None, claimed: None, payload: None });
        }
        self.update(speaker.kind(), patch);
        Ok(())
    }
}
