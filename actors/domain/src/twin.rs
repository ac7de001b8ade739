//! The twin: one device's state, and the one way in which it changes.
//!
//! [`Twin::apply`] takes an input and a time and gives back what happened and what is to be done; it
//! performs nothing. All it changes, it changes through [`Twin::redo`] with the events it gives back,
//! so a twin is the fold of its events: the store may keep a twin's row behind and catch it up later.

mod audience;
mod change;
mod commands;
mod convergence;
mod delta;
mod document;
pub mod fields;
mod firmware;
mod fold;
mod input;
mod jobs;
mod layers;
mod lifecycle;
mod moved;
mod notes;
pub mod patch;
mod path;
pub mod presence;
mod properties;
mod repeats;
mod room;
mod seldom;
mod telemetry;
mod translation;
mod units;
mod wake;

use serde::{Deserialize, Serialize};

pub use audience::{Audience, Ear, Listeners, NotTold};
pub use change::{Change, Profile, Registration};
pub use convergence::{Note, SyncState, Unmet};
pub use document::add_units;
pub use fields::Field;
pub use input::{Input, Outcome, Publish, Refusal};
pub use layers::{Layers, NoTemplates, Tags, Templates};
pub use patch::{Part, Patch, WrongClock};
pub use path::inside;
pub use presence::{Hearing, Line, Rhythm};
pub use properties::{Arrival, Properties, Property};
pub use repeats::{Repeat, Repeats};
pub use seldom::Common;
pub use telemetry::{Filed, Rejected};
pub use translation::{Meaning, Speaker, Translation};

use super::clock::Timestamp;
use super::command::CommandQueue;
use super::event::{ChangeKind, Event, EventBody, TwinChange};
use super::fleet::{FirmwareTask, Lifecycle};
use super::id::{DeviceId, DeviceNumber};
use super::json::{DocumentSize, Json, Object};
use super::schedule::CompactSchedule;
use super::settings::DeviceSettings;
use super::status::{Mode, Status};
use crate::cause::{Cause, Source};

/// Why what was under way for a device that was removed came to its end.
const REMOVED: &str = "the device was removed";

/// A device's live digital twin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Twin {
    pub id: DeviceId,
    pub number: DeviceNumber,
    /// The device's identity to people.
    #[serde(default)]
    pub profile: Profile,
    pub claimed: bool,
    pub status: Status,
    /// When the device was last heard.
    pub last_seen: Option<Timestamp>,
    pub mode: Mode,
    pub mode_until: Option<Timestamp>,
    /// The state that the device reports.
    pub reported: Properties,
    /// The state that people and rules want.
    pub desired: Properties,
    #[serde(default, skip_serializing_if = "Object::is_empty")]
    pub tags: Object,
    #[serde(default, skip_serializing_if = "Object::is_empty")]
    pub configuration: Object,
    /// Where it stands in its life, as far as a person has said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    standing: Option<Lifecycle>,
    /// Grows by one with every change of the document.
    pub version: u64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// Messages taken in since the twin began.
    #[serde(default)]
    pub messages: u64,
    /// By what it knows a message that comes again.
    #[serde(default)]
    repeats: Repeats,
    /// The device takes its commands over HTTP: nothing is published to it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    polls: bool,
    /// Its clock is plainly wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    clock: Option<Box<WrongClock>>,
    #[serde(default, skip_serializing_if = "Rhythm::is_unknown")]
    rhythm: Rhythm,
    // What most twins do not have stands apart: a million of them pay for one pointer each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    queue: Option<Box<CommandQueue>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    plan: Option<Box<CompactSchedule>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    settings: Option<Box<DeviceSettings>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unmet: Option<Box<Unmet>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    line: Option<Box<Line>>,
    /// With it, `configuration`, `tags`, the plan and the settings are what comes of all layers together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    layers: Option<Box<Layers>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    firmware: Option<Box<FirmwareTask>>,
}

impl Twin {
    /// A twin before its first event.
    #[must_use]
    pub fn new(id: DeviceId, number: DeviceNumber, now: Timestamp) -> Self {
        Self {
            id,
            number,
            profile: Profile::default(),
            claimed: false,
            status: Status::default(),
            last_seen: None,
            mode: Mode::default(),
            mode_until: None,
            reported: Properties::default(),
            desired: Properties::default(),
            tags: Object::default(),
            configuration: Object::default(),
            standing: None,
            version: 0,
            created_at: now,
            updated_at: now,
            messages: 0,
            repeats: Repeats::default(),
            polls: false,
            clock: None,
            rhythm: Rhythm::default(),
            queue: None,
            plan: None,
            settings: None,
            unmet: None,
            line: None,
            layers: None,
            firmware: None,
        }
    }

    /// When it does what by itself; none while nobody has said.
    #[must_use]
    pub fn plan(&self) -> Option<&CompactSchedule> {
        self.plan.as_deref()
    }

    /// The settings for this device, its own or its template's.
    #[must_use]
    pub fn settings(&self) -> DeviceSettings {
        let mut settings = self.settings.as_deref().cloned().unwrap_or_default();
        if settings.words.is_none() {
            settings.words = self.layer().and_then(|layer| layer.settings.words.clone());
        }
        settings
    }

    /// True before the first event: nobody knows this twin yet.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.version == 0
    }

    /// Takes `input` in at `now`.
    ///
    /// # Errors
    /// Refuses what does not fit, and has then changed nothing.
    pub fn apply(&mut self, input: Input, now: Timestamp, cause: &Cause) -> Result<Outcome, Refusal> {
        self.apply_before(&NotTold, &NoTemplates, input, now, cause)
    }

    /// The same, where it is known who listens to what the device is told, and which templates there are.
    ///
    /// # Errors
    /// As [`Twin::apply`].
    pub fn apply_before(
        &mut self,
        listeners: &dyn Listeners,
        templates: &dyn Templates,
        input: Input,
        now: Timestamp,
        cause: &Cause,
    ) -> Result<Outcome, Refusal> {
        let mut outcome = Outcome::default();
        self.check_service(&input, cause)?;
        let (turn, asks) = (jobs::Turn::of(&input, cause), firmware::asks(&input));
        let is_removal = matches!(input, Input::Delete);
        self.take(&mut outcome, listeners, templates, input, now, cause)?;
        if self.firmware.is_some() {
            self.settle_firmware(&mut outcome, asks, listeners, now, cause);
        }
        self.pump(&mut outcome, listeners, now, cause);
        self.hold_desired(&mut outcome, listeners, now, cause);
        self.mute(&mut outcome.publishes);
        if is_removal {
            // Of one out of service, too, and of one without: the embedded broker clears all that is retained.
            outcome.publishes.push(Publish::NoConfiguration);
        }
        self.note_jobs(&mut outcome, &turn);
        Ok(outcome)
    }

    fn take(
        &mut self,
        outcome: &mut Outcome,
        listeners: &dyn Listeners,
        templates: &dyn Templates,
        input: Input,
        now: Timestamp,
        cause: &Cause,
    ) -> Result<(), Refusal> {
        use presence::reason::{HEARD, REPORTED};
        match input {
            Input::Appear => {
                if self.is_new() {
                    let body = EventBody::Twin(TwinChange::empty(ChangeKind::Registered));
                    self.happen(outcome, body, now, cause);
                }
            }
            Input::Telemetry(telemetry) => self.hear_readings(outcome, telemetry, now, cause)?,
            Input::Batch(samples) => self.hear_batch(outcome, samples, now, cause)?,
            Input::Report(mut patch) => {
                self.check_section("reported", &patch)?;
                self.check_names(&mut patch, outcome, cause)?;
                self.come_online(outcome, HEARD, now, cause);
                self.report(patch, outcome, now, cause);
            }
            Input::CouldNot(reasons) => {
                if let Some(detail) = reasons.size().excess(DocumentSize::default()) {
                    return Err(Refusal::TooLarge { section: "failed".into(), detail });
                }
                self.come_online(outcome, HEARD, now, cause);
                let patch = [Part::Failed(reasons)].into_iter().collect();
                let body = EventBody::Twin(TwinChange { change: ChangeKind::Reported, patch });
                self.happen(outcome, body, now, cause);
            }
            Input::Presence { online: true, mut details } => {
                self.check_section("reported", &details)?;
                self.check_names(&mut details, outcome, cause)?;
                self.say_online(outcome, details, now, cause);
            }
            Input::Presence { online: false, mut details } => {
                self.check_section("reported", &details)?;
                self.check_names(&mut details, outcome, cause)?;
                self.go_offline(outcome, REPORTED, now, cause);
                self.tell_details(outcome, details, now, cause);
            }
            Input::AskDesired => {
                self.come_online(outcome, HEARD, now, cause);
                outcome.publishes.clear(); // it is told all of it now, asked for or not
                outcome.publishes.push(self.publish_desired());
                outcome.publishes.extend(self.publish_configuration());
            }
            Input::Register(registration) => {
                if !self.is_new() && self.claimed {
                    return Err(Refusal::Registered(self.id.clone()));
                }
                let patch = registration.into_patch(self, templates, now)?;
                self.update(outcome, ChangeKind::Registered, patch, now, cause);
            }
            Input::Claim(registration) => {
                if self.claimed {
                    return Err(Refusal::Claimed(self.id.clone()));
                }
                let patch = registration.into_patch(self, templates, now)?;
                self.update(outcome, ChangeKind::Claimed, patch, now, cause);
            }
            Input::Template { layer, only_of } => self.template(outcome, layer, only_of, now, cause),
            Input::Refresh(id) => {
                return Err(Refusal::Invalid {
                    field: "template".into(),
                    detail: format!("`{id}` is not known"),
                });
            }
            Input::Change(_) | Input::Command { .. } | Input::SetMode { .. }
                if wake::refuses_rules(self, cause) =>
            {
                return Err(Refusal::ManualMode);
            }
            Input::Change(change) => {
                let mut patch = change.into_patch(self, templates, now)?;
                self.echo(listeners, &mut patch);
                self.update(outcome, ChangeKind::Updated, patch, now, cause);
            }
            Input::SetMode { mode, until } => self.set_mode(outcome, listeners, (mode, until), now, cause)?,
            Input::Command { id, request, known, .. } => {
                self.ask(outcome, id, request, known, (now, cause))?;
            }
            Input::Answer { id, answer, known } => {
                if self.is_of_device(cause) {
                    self.come_online(outcome, HEARD, now, cause);
                }
                self.answer(outcome, id, *answer, known, (now, cause))?;
            }
            Input::Cancel { id, known } => self.cancel(outcome, id, known.as_deref(), (now, cause))?,
            Input::Poll => self.poll(outcome, now, cause),
            Input::Listens(ear) => {
                if ear == Ear::Desired {
                    self.tell_desired(outcome, now, cause);
                } // the others have their turn with every input
            }
            Input::CommandUnheard { id, attempt } => {
                self.command_unheard(outcome, (id, attempt), now, cause);
            }
            Input::Unheard(Ear::Desired) => self.desired_unheard(outcome, now, cause),
            Input::Unheard(Ear::Firmware) => self.take_update_back(outcome, now, cause),
            Input::Unheard(Ear::Commands) => {} // which of them, says the other
            Input::SetLifecycle { state, reason } => {
                self.set_lifecycle(outcome, state, reason, (now, cause))?;
            }
            Input::Firmware(report) => {
                self.come_online(outcome, HEARD, now, cause);
                self.hear_firmware(outcome, *report, now, cause);
            }
            Input::Update(task) => self.take_update(outcome, *task, now, cause)?,
            Input::WithdrawUpdate { job, to, reason } => {
                self.withdraw_update(outcome, job, (to, &reason), now, cause);
            }
            Input::Translate(message) => self.translate(outcome, &*message, now, cause)?,
            Input::Wake { hearing, first_id } => {
                self.wake(outcome, listeners, (hearing, first_id), now, cause);
            }
            Input::ClockMoved { from, to } => self.clock_moved(outcome, (from, to), now, cause),
            Input::Delete => {
                self.cancel_all(outcome, REMOVED, now, cause);
                self.give_firmware_up(outcome, REMOVED, now, cause);
                let body = EventBody::Twin(TwinChange::empty(ChangeKind::Deleted));
                self.happen(outcome, body, now, cause);
            }
        }
        Ok(())
    }

    /// The device itself says that it is there, and perhaps what it is.
    fn say_online(&mut self, outcome: &mut Outcome, details: Object, now: Timestamp, cause: &Cause) {
        if self.comes_with(cause) {
            self.come_online(outcome, presence::reason::REPORTED, now, cause);
        } else {
            self.remind(outcome);
        }
        self.tell_details(outcome, details, now, cause);
    }

    fn tell_details(&mut self, outcome: &mut Outcome, details: Object, now: Timestamp, cause: &Cause) {
        if !details.is_empty() {
            let patch = self.profile.patch_from_details(details);
            self.update(outcome, ChangeKind::Reported, patch, now, cause);
        }
    }

    /// The device reports this of its state.
    fn report(&mut self, mut reported: Object, outcome: &mut Outcome, now: Timestamp, cause: &Cause) {
        let units = self.take_units(&mut reported);
        let runs = reported.get(firmware::VERSION).and_then(Json::as_str);
        let runs = runs.filter(|runs| *runs != self.profile.text(firmware::VERSION));
        let mut patch: Patch =
            runs.and_then(|runs| Part::text(firmware::VERSION, runs)).into_iter().collect();
        patch.extend(units.map(Part::Units));
        patch.set(Part::Reported(reported));
        let body = EventBody::Twin(TwinChange { change: ChangeKind::Reported, patch });
        self.happen(outcome, body, now, cause);
    }

    /// Did the device itself bring it about, by whichever way it speaks?
    fn is_of_device(&self, cause: &Cause) -> bool {
        cause.source == Source::Mqtt || self.polls
    }

    /// A device that has just come is told what it may have missed. The embedded broker keeps nothing
    /// over a restart of the hub, so this is also what restores its retained configuration.
    fn remind(&self, outcome: &mut Outcome) {
        if !self.delta().is_empty() {
            outcome.publishes.push(self.publish_desired());
        }
        outcome.publishes.extend(self.publish_configuration());
    }

    /// A change of the document, with what the device is to be told of it.
    fn update(
        &mut self,
        outcome: &mut Outcome,
        change: ChangeKind,
        patch: Patch,
        now: Timestamp,
        cause: &Cause,
    ) {
        let (desired, mut configuration) = (patch.desired().is_some(), patch.configuration().is_some());
        if patch.is_empty() && !self.is_new() {
            return;
        }
        let before = patch.template().map(|_| self.configuration.clone());
        let body = EventBody::Twin(TwinChange { change, patch });
        self.happen(outcome, body, now, cause);
        if desired {
            outcome.publishes.push(self.publish_desired());
        }
        configuration |= before.is_some_and(|before| before != self.configuration);
        if configuration {
            outcome.publishes.push(Publish::Configuration(self.configuration.clone().into()));
        }
    }

    fn publish_configuration(&self) -> Option<Publish> {
        (!self.configuration.is_empty()).then(|| Publish::Configuration(self.configuration.clone().into()))
    }

    fn publish_desired(&self) -> Publish {
        let desired = self.desired.to_object();
        let delta = self.delta();
        #[expect(clippy::cast_possible_wrap, reason = "one change a nanosecond wraps in 292 years")]
        let message: Object = [
            ("version", Json::from(self.version as i64)),
            ("desired", desired.into()),
            ("delta", delta.into()),
        ]
        .into_iter()
        .collect();
        Publish::Desired(message.into())
    }

    fn happen(&mut self, outcome: &mut Outcome, body: EventBody, now: Timestamp, cause: &Cause) {
        self.happen_at(outcome, body, now, now, cause);
    }

    fn happen_at(
        &mut self,
        outcome: &mut Outcome,
        body: EventBody,
        at: Timestamp,
        now: Timestamp,
        cause: &Cause,
    ) {
        let event = Event {
            device: self.id.clone(),
            number: self.number,
            at,
            received_at: now,
            body,
            cause: cause.clone(),
        };
        if let Some(command) = self.fold(&event) {
            outcome.commands.retain(|before| before.id != command.id);
            outcome.commands.push(command);
        }
        outcome.events.push(event);
    }
}

#[cfg(test)]
mod tests;
