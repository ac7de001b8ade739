//! The twin: one device's state, and the one way in which it changes.
//!
//! A [`Twin`] is made of parts, each with a state of its own: whether the device is there ([`Presence`]), who drives it
//! ([`Control`]), what it reports and what is desired of it ([`Properties`], [`DesiredSync`]), its tags, configuration
//! and schedule ([`Setup`]), its readings ([`MessageIntake`]), its commands ([`CommandQueue`]) and its firmware
//! ([`FirmwareUpdate`]). A part decides on what concerns it alone, and gives that back as data; a
//! turn (`turn.rs`) takes one input through the parts.
//!
//! [`Twin::apply`] takes an input and a time and gives back what happened and what is to be done; it
//! performs nothing. All it changes, it changes through [`Twin::redo`] with the events it gives back,
//! so a twin is the fold of its events: the store may keep a twin's row behind and catch it up later.

mod audience;
mod change;
mod commands;
mod control;
mod convergence;
mod credentials;
mod delta;
mod details;
mod document;
pub mod fields;
mod firmware;
mod fold;
mod input;
mod intake;
mod jobs;
mod notes;
pub mod patch;
mod path;
pub mod presence;
mod properties;
mod repeats;
mod setup;
mod size_limits;
mod stored;
mod translation;
mod turn;
mod units;

pub use audience::{Audience, Downlink, Listeners, UnknownListeners};
pub use change::{Change, Profile, Registration};
pub use commands::CommandQueue;
pub use control::Control;
pub use convergence::{DesiredSync, Note, SyncState, Unmet};
pub use details::SharedDetails;
pub use document::add_units;
pub use fields::Field;
pub use firmware::FirmwareUpdate;
pub use input::{CertificateChange, Input, Outcome, Publish, Refusal, TokenChange};
pub use intake::{Filed, MessageIntake, Rejected};
pub use patch::{Part, Patch, WrongClock};
pub use path::inside;
pub use presence::{ConnectionRecord, Presence, Rhythm, SilenceRule};
pub use properties::{Arrival, Properties, Property};
pub use repeats::{Repeat, Repeats};
pub use setup::{LayerLookup, NoTemplates, Overlay, Setup, Tags};
pub use translation::{Meaning, Speaker, Translation};

use std::sync::Arc;

use self::delta::Comparison;
use self::size_limits::SizedDocument;
use self::turn::TwinTurn;
use super::clock::{CLOCK_JUMP_MS, Timestamp};
use super::command::{Command, CommandId};
use super::fleet::{FirmwareTask, Layer, Lifecycle, Limits};
use super::id::{DeviceId, DeviceNumber};
use super::json::Object;
use super::reading::Telemetry;
use super::schedule::CompactSchedule;
use super::settings::DeviceSettings;
use super::versions::Versions;
use crate::cause::Cause;

/// A device's live digital twin.
#[derive(Clone, Debug, PartialEq)]
pub struct Twin {
    pub id: DeviceId,
    pub number: DeviceNumber,
    /// The device's identity to people.
    pub profile: Profile,
    pub presence: Presence,
    pub control: Control,
    /// The state that the device reports.
    pub reported: Properties,
    /// The state that people and rules want.
    pub desired: Properties,
    convergence: DesiredSync,
    pub setup: Setup,
    pub intake: MessageIntake,
    commands: CommandQueue,
    firmware: FirmwareUpdate,
    /// Grows by one with every change of the document.
    pub version: u64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl Twin {
    /// A twin before its first event.
    #[must_use]
    pub fn new(id: DeviceId, number: DeviceNumber, now: Timestamp) -> Self {
        Self {
            id,
            number,
            profile: Profile::default(),
            presence: Presence::default(),
            control: Control::default(),
            reported: Properties::default(),
            desired: Properties::default(),
            convergence: DesiredSync::default(),
            setup: Setup::default(),
            intake: MessageIntake::default(),
            commands: CommandQueue::default(),
            firmware: FirmwareUpdate::default(),
            version: 0,
            created_at: now,
            updated_at: now,
        }
    }

    /// Takes `input` in at `now`.
    ///
    /// # Errors
    /// Refuses what does not fit, and has then changed nothing.
    pub fn apply(&mut self, input: Input, now: Timestamp, cause: &Cause) -> Result<Outcome, Refusal> {
        self.apply_before(&UnknownListeners, &NoTemplates, input, now, cause)
    }

    /// The same, where it is known who listens to what the device is told, and which templates there are.
    ///
    /// # Errors
    /// As [`Twin::apply`].
    pub fn apply_before(
        &mut self,
        listeners: &dyn Listeners,
        templates: &dyn LayerLookup,
        input: Input,
        now: Timestamp,
        cause: &Cause,
    ) -> Result<Outcome, Refusal> {
        let mut outcome = Outcome::default();
        TwinTurn { twin: self, outcome: &mut outcome, listeners, now, cause }.run(input, templates)?;
        Ok(outcome)
    }

    /// True before the first event: nobody knows this twin yet.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.version == 0
    }

    /// The name to call it by: its own, or its id while it has none.
    #[must_use]
    pub fn display_name(&self) -> &str {
        if self.profile.name.is_empty() { self.id.as_str() } else { &self.profile.name }
    }

    /// Is it at one of the versions that an input is for? Asked before the input is applied, by whoever applies it.
    ///
    /// # Errors
    /// It is at another.
    pub fn check_version(&self, if_version: Option<&Versions>) -> Result<(), Refusal> {
        match if_version {
            Some(expected) if !expected.contain(self.version) => {
                Err(Refusal::Version { current: self.version, expected: expected.clone() })
            }
            _ => Ok(()),
        }
    }

    /// The device's place in its life.
    #[must_use]
    pub fn lifecycle(&self) -> Lifecycle {
        self.control.lifecycle(self.presence.was_heard())
    }

    /// The reason of its last disconnect; none before the first.
    #[must_use]
    pub fn disconnect_reason(&self) -> Option<&str> {
        match self.lifecycle() {
            Lifecycle::Suspended => Some(presence::reason::SUSPENDED),
            Lifecycle::Retired => Some(presence::reason::RETIRED),
            _ => self.presence.line().map(|line| &*line.disconnect_reason),
        }
    }

    /// After how long a silence it counts as offline, in ms; none: never. `first_silence_ms` is for a device of
    /// which fewer than two intervals are known.
    #[must_use]
    pub fn silence_ms(&self, first_silence_ms: i64) -> Option<i64> {
        self.presence.silence_ms(self.setup.heartbeat(), first_silence_ms)
    }

    /// When it counts as offline if nothing more is heard; none while it is not online.
    #[must_use]
    pub fn silent_at(&self, hearing: SilenceRule, now: Timestamp) -> Option<Timestamp> {
        self.presence.silent_at(self.setup.heartbeat(), hearing, now)
    }

    /// When it is next to be woken for something that is known to the store, if nothing else happens.
    /// Silence is apart: [`Twin::silent_at`].
    #[must_use]
    pub fn wake_at(&self, now: Timestamp) -> Option<Timestamp> {
        let schedule = self.plan().filter(|_| !self.control.is_retired()).and_then(CompactSchedule::next);
        let old_token = self.profile.old_token_until();
        let others =
            [self.control.mode_until(), self.commands.deadline(now), self.firmware.deadline(), old_token];
        others.into_iter().chain([schedule]).flatten().min()
    }

    /// Has the hub's clock been set back since this twin was last changed or heard, as far as `now` tells?
    #[must_use]
    pub fn is_ahead_of(&self, now: Timestamp) -> bool {
        let latest = now.plus_millis(CLOCK_JUMP_MS);
        self.updated_at > latest || self.presence.last_seen.is_some_and(|seen| seen > latest)
    }

    /// The moment that these readings are of.
    ///
    /// # Errors
    /// They say a time without a zone, and nobody has said in which zone the device is.
    pub fn file(&self, telemetry: &Telemetry, now: Timestamp) -> Result<Filed, Refusal> {
        Filed::of(telemetry, self.setup.timezone(), self.created_at, now)
    }

    /// Have these readings been taken in before?
    #[must_use]
    pub fn repeat(&self, telemetry: &Telemetry, now: Timestamp) -> Repeat {
        self.file(telemetry, now).map_or(Repeat::No, |filed| self.intake.repeat(telemetry, &filed, now))
    }

    /// The part of desired that the device has not reported, in the shape in which it is desired.
    #[must_use]
    pub fn delta(&self) -> Object {
        Comparison::new(&self.reported, &self.setup).delta(&self.desired)
    }

    /// The desired properties that the device has not reported.
    #[must_use]
    pub fn unmet(&self) -> &[Note] {
        self.convergence.notes()
    }

    /// Since when the device has not come to all that is desired; none where it has.
    #[must_use]
    pub fn drifting_since(&self) -> Option<Timestamp> {
        self.convergence.drifting_since()
    }

    /// The device's progress with the desired property called `name`; none where nothing is desired of it.
    #[must_use]
    pub fn sync(&self, name: &str, now: Timestamp) -> Option<SyncState> {
        let (property, _) = self.desired.at_path(name)?;
        let note = self.convergence.note(&property.name);
        let is_missing = || *property.name == *name || inside(&self.delta().into(), name).is_some();
        Some(note.filter(|_| is_missing()).map_or(SyncState::Applied, |note| note.state(now)))
    }

    /// Drops the notes on what has converged. A row of an earlier version, which found fewer values equal, has such.
    pub fn settle(&mut self) {
        self.convergence.settle(&self.desired, Comparison::new(&self.reported, &self.setup));
    }

    /// Its commands that are not final, the oldest first.
    #[must_use]
    pub fn commands(&self) -> &[Command] {
        self.commands.as_slice()
    }

    /// The command with this id, while it is not final.
    #[must_use]
    pub fn command(&self, id: CommandId) -> Option<&Command> {
        self.commands.get(id)
    }

    /// The command that carried this idempotency key, while it is not final.
    #[must_use]
    pub fn command_with_key(&self, key: &str) -> Option<&Command> {
        self.commands.with_key(key)
    }

    /// The image that it is to come to, or came to last; none where there never was one.
    #[must_use]
    pub fn firmware(&self) -> Option<&FirmwareTask> {
        self.firmware.task()
    }

    /// As the document shows its firmware: `{"version", "target", "state", …}`.
    #[must_use]
    pub fn firmware_shown(&self) -> Object {
        self.firmware.shown(self.profile.text(firmware::VERSION))
    }

    /// The schedule of the device; none while it has none.
    #[must_use]
    pub fn plan(&self) -> Option<&CompactSchedule> {
        self.setup.plan()
    }

    /// The settings for this device, its own or its template's.
    #[must_use]
    pub fn settings(&self) -> DeviceSettings {
        self.setup.settings()
    }

    /// The values expected of its readings, by its own word and its template's.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.setup.limits()
    }

    /// The layer of its template, where it has one.
    #[must_use]
    pub fn layer(&self) -> Option<&Arc<Layer>> {
        self.setup.layer()
    }

    /// The id of its template, where it has one.
    #[must_use]
    pub fn template_id(&self) -> Option<&str> {
        self.setup.template_id()
    }

    /// Takes over how `other` is called, grouped, tagged and configured, with its template: who it is, and nothing
    /// that happened to it.
    pub fn be_like(&mut self, other: &Self) {
        self.profile = other.profile.clone();
        self.control.claimed = other.control.claimed;
        self.setup.be_like(&other.setup);
    }

    /// Has each value of its properties that other twins may have been looked for among those of others?
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.reported.is_shared() && self.desired.is_shared()
    }

    /// Lets it hold the values of its properties together with the twins that have the same.
    pub fn share(&mut self, common: &mut SharedDetails) {
        self.reported.share(common);
        self.desired.share(common);
    }

    /// Refuses a patch by section of which one would make its document too large.
    fn check_sizes(&self, patch: &Patch) -> Result<(), Refusal> {
        for part in patch.parts() {
            match part {
                Part::Reported(members)
                | Part::Desired(members)
                | Part::Tags(members)
                | Part::Configuration(members)
                | Part::Limits(members) => self.check_size(part.name(), members)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// The same for one section.
    fn check_size(&self, section: &str, patch: &Object) -> Result<(), Refusal> {
        let document = match section {
            "reported" => SizedDocument::Properties(&self.reported),
            "desired" => SizedDocument::Properties(&self.desired),
            own => SizedDocument::Members(self.setup.own_section(own)),
        };
        document.check(section, patch)
    }
}

#[cfg(test)]
mod tests;
