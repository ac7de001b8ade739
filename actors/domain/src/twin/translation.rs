//! Messages in a dialect in which the twin has to be asked what they mean: its mode, say, decides which part of one
//! counts. So the dialect translates them in the twin's turn, with the twin in view, and the twin checks and applies
//! the meaning as it does any other input.

use std::fmt;

use super::telemetry::too_large;
use super::{Change, Input, Listeners, NoTemplates, Outcome, Part, Patch, Refusal, Rejected, Twin, presence};
use crate::cause::Cause;
use crate::clock::Timestamp;
use crate::event::{ChangeKind, EventBody};
use crate::json::Object;
use crate::reading::Reading;
use crate::status::Mode;

/// A message of a dialect, to be translated once it is the twin's turn. Pure: the same twin gives the same meaning.
pub trait Translation: fmt::Debug + Send + Sync {
    /// The member of an event's patch that carries the dialect's [note](Meaning::note), and the name under which the
    /// twin remembers it. It is no section of the document and no field of the profile.
    fn note_name(&self) -> &'static str;

    fn speaker(&self) -> Speaker;

    /// The serial number of the device that it is about, where the message says it.
    fn serial(&self) -> Option<&str>;

    /// The meaning for `twin` as it is before the message.
    ///
    /// # Errors
    /// Says what the twin is not to take.
    fn translate(&self, twin: &Twin, now: Timestamp) -> Result<Meaning, Refusal>;
}

/// The speaker, and the purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaker {
    /// The device itself, which is known by its serial number.
    Device,
    /// An app or a person, of a device that is there.
    App,
    /// Somebody adds a device.
    Registration { claimed: bool },
    /// Somebody takes a device as theirs.
    Claim,
}

/// A message in a twin's own words.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Meaning {
    /// As people change the document.
    pub change: Change,
    /// The mode from now on; none: it stays as it is.
    pub mode: Option<Mode>,
    /// A merge patch onto `reported`.
    pub reported: Object,
    /// Measured values; they are of the time of arrival.
    pub readings: Vec<Reading>,
    /// It shows that the device is there.
    pub is_heard: bool,
    /// For the dialect alone: told with the event, and its texts and numbers are remembered. See [`Twin::note`].
    pub note: Object,
}

/// The member of a note that says that the readings of the same message are an event of their own.
pub(super) const READINGS: &str = "readings";

impl Twin {
    pub(super) fn translate(
        &mut self,
        outcome: &mut Outcome,
        message: &dyn Translation,
        now: Timestamp,
        cause: &Cause,
    ) -> Result<(), Refusal> {
        let speaker = message.speaker();
        self.check_speaker(speaker)?;
        self.check_serial(message.serial())?;
        let Meaning { change, mode, reported, mut readings, is_heard, mut note } =
            message.translate(self, now)?;
        let mut patch = change.into_patch(self, &NoTemplates, now)?;
        if let Some(mode) = mode.filter(|mode| *mode != self.mode) {
            patch.extend([Part::Mode(mode), Part::ModeUntil(None)]);
        }
        if matches!(speaker, Speaker::Claim | Speaker::Registration { claimed: true }) {
            patch.set(Part::Claimed(true));
        }
        if !reported.is_empty() {
            self.check_section("reported", &reported)?;
        }
        let without_room = self.without_room_beside(&reported, &mut readings);
        if let Some((_, detail)) = without_room.first()
            && speaker == Speaker::App
        {
            return Err(too_large(detail));
        }
        outcome.rejected.extend(without_room.into_iter().map(Rejected::without_room));
        if !reported.is_empty() {
            patch.set(Part::Reported(reported));
        }
        if !readings.is_empty() {
            note.insert(READINGS, true.into()); // the same message, which is counted once
        }
        if !note.is_empty() {
            patch.set_note(message.note_name(), note.into());
        }
        if is_heard {
            self.come_online(outcome, presence::reason::HEARD, now, cause);
        }
        if !readings.is_empty() {
            let body = EventBody::Telemetry { readings, identity: None, claimed: None };
            self.happen(outcome, body, now, cause);
        }
        self.update(outcome, speaker.kind(), patch, now, cause);
        Ok(())
    }

    fn check_speaker(&self, speaker: Speaker) -> Result<(), Refusal> {
        match speaker {
            Speaker::Registration { .. } if !self.is_new() => Err(Refusal::Registered(self.id.clone())),
            Speaker::Claim if self.claimed => Err(Refusal::Claimed(self.id.clone())),
            _ => Ok(()),
        }
    }

    fn check_serial(&self, serial: Option<&str>) -> Result<(), Refusal> {
        let own = &*self.profile.serial_number;
        match serial {
            Some(serial) if !own.is_empty() && own != serial => Err(Refusal::Invalid {
                field: "serial_number".into(),
                detail: format!("device `{}` has the serial number `{own}`, not `{serial}`", self.id),
            }),
            _ => Ok(()),
        }
    }

    /// Says a native change in the configuration, too, in the words by which devices of other dialects look for it
    /// there. Whoever sets such a word with the change means it.
    pub(super) fn echo(&self, listeners: &dyn Listeners, patch: &mut Patch) {
        let mut configuration = listeners.echo(self, patch);
        if configuration.is_empty() {
            return;
        }
        if let Some(said) = patch.configuration() {
            for (name, value) in said.iter() {
                configuration.insert(name, value.clone());
            }
        }
        patch.set(Part::Configuration(configuration));
    }
}

impl Speaker {
    fn kind(self) -> ChangeKind {
        match self {
            Self::Device => ChangeKind::Reported,
            Self::App => ChangeKind::Updated,
            Self::Registration { .. } => ChangeKind::Registered,
            Self::Claim => ChangeKind::Claimed,
        }
    }
}

impl Input {
    /// The serial number by which alone the message names its device: the device may have another id than the one
    /// that was made of it.
    #[must_use]
    pub fn serial(&self) -> Option<&str> {
        match self {
            Self::Translate(message) if message.speaker() == Speaker::Device => message.serial(),
            _ => None,
        }
    }
}
