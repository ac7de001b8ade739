//! The inputs to a twin, and their outcomes.

use std::sync::Arc;

use super::audience::Downlink;
use super::change::{Change, Registration};
use super::intake::Rejected;
use super::presence::SilenceRule;
use super::translation::{Speaker, Translation};
use crate::clock::{ReadingTime, Timestamp};
use crate::command::{Command, CommandId, CommandRequest, CommandResult, CommandStatus};
use crate::event::Event;
use crate::fleet::{FirmwareReport, FirmwareTask, JobId, JobStep, Layer, Lifecycle, StepState};
use crate::id::DeviceId;
use crate::json::{Json, Object};
use crate::outgoing::{CommandAttempt, Purpose, PurposeKind};
use crate::reading::{ImportedReadings, Telemetry};
use crate::status::Mode;
use crate::versions::Versions;

/// An input to a twin, from any door.
#[derive(Clone, Debug)]
pub enum Input {
    /// Heard of for the first time, on MQTT: it registers itself, unclaimed.
    Appear,
    /// Readings.
    Telemetry(Telemetry),
    /// Readings of several moments that came in one message.
    Batch(Box<[Telemetry]>),
    /// Readings out of a file: of any age, and no word of the device.
    Import(Box<[ImportedReadings]>),
    /// A merge patch onto `reported`.
    Report(Object),
    /// The device, or its last will, says whether it is there, and perhaps what it is.
    Presence { online: bool, details: Object },
    /// The device asks for its desired state.
    GetDesired,
    /// A person registers it.
    Register(Box<Registration>),
    /// A person takes it as theirs.
    Claim(Box<Registration>),
    /// A person or program changes the document.
    Change(Box<Change>),
    /// It takes a template's layer, or has a template no more.
    Template {
        layer: Option<Arc<Layer>>,
        /// Only if it has this template now: what is done to all who have it must not reach who has changed meanwhile.
        only_of: Option<Box<str>>,
    },
    /// If it has the template of this id: it takes that as it is now, or has it no more where there is none. Whoever
    /// knows the templates makes [`Input::Template`] of it.
    Refresh(Box<str>),
    /// Somebody asks the device to do something.
    Command {
        /// The id it gets if it is a new one.
        id: CommandId,
        request: Box<CommandRequest>,
        /// The command that the store knows to have carried the same idempotency key.
        known: Option<Box<Command>>,
        /// Its key cannot have been used before: nobody need look.
        is_new: bool,
    },
    /// The device says what became of a command.
    CommandResult {
        id: CommandId,
        answer: Box<CommandResult>,
        /// The command as the store has it, where it is final and the twin has let it go.
        known: Option<Box<Command>>,
    },
    /// Somebody calls a command back. `known` as with an answer.
    Cancel { id: CommandId, known: Option<Box<Command>> },
    /// A device without MQTT asks what it is to do.
    Poll,
    /// Somebody listens now to messages for the device of this kind.
    Subscribed(Downlink),
    /// The broker had nobody to give this attempt at a command to.
    CommandUndelivered { id: CommandId, attempt: u8 },
    /// The broker had nobody to give it to.
    Undelivered(Downlink),
    /// Somebody says who drives the twin, and until when where that is a person.
    SetMode { mode: Mode, until: Option<Timestamp> },
    /// The device could not become what was desired: why, by property.
    DesiredFailed(Object),
    /// Somebody speaks in a dialect in which the twin has to be asked what it means.
    Translate(Arc<dyn Translation>),
    /// A person says where it stands in its life, and why.
    SetLifecycle { state: Lifecycle, reason: Box<str> },
    /// A person makes the device another token, or ends all that it has; or the hub stores one anew.
    SetToken(TokenChange),
    /// A person binds a certificate to the device, or none any more.
    SetCertificate(CertificateChange),
    /// The device says how far it has come with its firmware.
    Firmware(Box<FirmwareReport>),
    /// It is to come to an image.
    Update(Box<FirmwareTask>),
    /// It need not come to the image of this roll-out any more, or not now, unless it has begun: its step is `to` then.
    WithdrawUpdate { job: Option<JobId>, to: StepState, reason: Box<str> },
    /// The time has come for something that waited.
    Wake {
        hearing: SilenceRule,
        /// The id of the first command that a schedule asks for now; those after it are counted up.
        first_id: CommandId,
    },
    /// The hub's clock was set: it showed `from`, and then `to`.
    ClockMoved { from: Timestamp, to: Timestamp },
    /// Remove it, with all it has.
    Delete,
}

/// A change of a device's tokens. Two count at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenChange {
    /// A new one, of which this is the hash. The one before counts until the moment that is named, or no more.
    Make {
        hash: Box<str>,
        /// The hash by which an outside broker knows it; empty where it need not.
        broker_hash: Box<str>,
        old_until: Option<Timestamp>,
    },
    /// The same token is stored under another hash: the hub has another key. All else stays, the overlap too.
    Renew { stored: Box<str>, hash: Box<str> },
    /// None counts any more.
    End,
}

/// A change of the certificate that is bound to a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateChange {
    /// The certificate with this fingerprint, in the place of one that was bound before.
    Bind {
        /// `sha256:` and 64 hexadecimal digits.
        fingerprint: Box<str>,
        /// Its end, where that is known.
        expires: Option<Timestamp>,
    },
    /// None is bound any more.
    Remove,
}

/// The outcome of an input.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// The events, in order. Empty when nothing happened: a repeat, or a change that changes nothing.
    pub events: Vec<Event>,
    /// The messages to the device after the commit.
    pub publishes: Vec<Publish>,
    /// The commands that changed, as they are now; for a repeated request the one that it repeats.
    pub commands: Vec<Command>,
    /// The steps that jobs have come to with this device.
    pub steps: Vec<JobStep>,
    /// The input was a repeat of one already taken in.
    pub repeated: bool,
    /// Readings that were not taken in, while others of the message were.
    pub rejected: Vec<Rejected>,
}

impl Outcome {
    /// Adds the outcome of another input, right after this.
    pub fn join(&mut self, later: Self) {
        let Self { events, publishes, commands, steps, repeated, rejected } = later;
        let is_configuration = |publish: &Publish| matches!(publish, Publish::Configuration(_));
        if publishes.iter().any(is_configuration) {
            self.publishes.retain(|publish| !is_configuration(publish)); // only the last one holds
        }
        self.events.extend(events);
        self.publishes.extend(publishes);
        self.commands.retain(|before| commands.iter().all(|command| command.id != before.id));
        self.commands.extend(commands);
        self.steps.extend(steps);
        self.repeated |= repeated;
        self.rejected.extend(rejected);
    }
}

/// A message for the device.
#[derive(Clone, Debug, PartialEq)]
pub enum Publish {
    /// `{"version": 42, "desired": {…}, "delta": {…}}`
    Desired(Json),
    /// The configuration, retained.
    Configuration(Json),
    /// The device is gone: nothing in its place, and whoever has the id next is not to hear what was retained.
    NoConfiguration,
    /// The image that it is to come to, or that it need not.
    Firmware(Json),
    /// A command. After `until` it must not go out any more: the queue decides anew.
    Command { attempt: CommandAttempt, body: Json, until: Timestamp },
}

impl Publish {
    /// The purpose of the message to `device`, where its twin asks what becomes of it.
    #[must_use]
    pub fn purpose(&self, device: &DeviceId) -> Option<Purpose> {
        let kind = match self {
            Self::Desired(_) => PurposeKind::Desired,
            Self::Firmware(_) => PurposeKind::Firmware,
            Self::Command { attempt, .. } => PurposeKind::Command(*attempt),
            Self::Configuration(_) | Self::NoConfiguration => return None,
        };
        Some(Purpose { device: device.clone(), kind })
    }
}

/// The reason why a twin refused an input.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the twin is at version {current}, not {expected}")]
    Version { current: u64, expected: Versions },
    /// Register meets one that is taken.
    #[error("device `{0}` is registered already")]
    Registered(DeviceId),
    #[error("device `{0}` is claimed already")]
    Claimed(DeviceId),
    #[error("there is no device `{0}`")]
    Unknown(String),
    #[error("`{field}`: {detail}")]
    Invalid { field: String, detail: String },
    /// One of its documents would become too large.
    #[error("`{section}`: {detail}")]
    TooLarge { section: String, detail: String },
    #[error(
        "`timestamp`: {} says no zone: send one such as Z or +01:00, or set `settings.timezone` of the device or its \
         template to UTC or a zone such as Europe/Madrid", wall(.0)
    )]
    NoZone(ReadingTime),
    #[error("unknown devices are not accepted, and `{0}` is one")]
    NotAccepted(DeviceId),
    #[error("there is no command `{0}` for this device")]
    NoCommand(CommandId),
    #[error("command `{id}` is {} already", status.as_str())]
    CommandFinal { id: CommandId, status: CommandStatus },
    /// The same key came with another request before.
    #[error("the idempotency key `{key}` belongs to another request, command `{id}`")]
    KeyTaken { key: String, id: CommandId },
    #[error("{0} commands wait for this device already")]
    QueueFull(usize),
    /// A rule meets a person's word.
    #[error("the device is in manual mode: rules and schedules do not drive it")]
    ManualMode,
    #[error("the device is suspended: it is neither heard nor driven until it is made active")]
    Suspended,
    #[error("the device is retired: it is neither heard nor driven any more")]
    Retired,
    /// The device has a claim code, and another or none was said.
    #[error("this device is claimed with the code that came with it: the claim code is wrong")]
    ClaimCode,
    #[error("the device is on its way to version {0}")]
    UpdateUnderWay(Box<str>),
}

impl Input {
    /// The readings of a message; none where there are none.
    #[must_use]
    pub fn of_readings(mut samples: Vec<Telemetry>) -> Option<Self> {
        match samples.len() {
            0 | 1 => samples.pop().map(Self::Telemetry),
            _ => Some(Self::Batch(samples.into())),
        }
    }

    /// The device itself says it, by whichever door.
    #[must_use]
    pub fn is_of_device(&self) -> bool {
        match self {
            Self::Telemetry(_)
            | Self::Batch(_)
            | Self::Report(_)
            | Self::Presence { .. }
            | Self::GetDesired
            | Self::CommandResult { .. }
            | Self::Poll
            | Self::DesiredFailed(_)
            | Self::Firmware(_) => true,
            Self::Translate(message) => matches!(message.speaker(), Speaker::Device | Speaker::App),
            _ => false,
        }
    }
}

/// A time as it was written, without the zone that nobody wrote.
fn wall(at: &ReadingTime) -> String {
    at.to_string().trim_end_matches('Z').to_owned()
}

impl Refusal {
    /// The device is out of service.
    #[must_use]
    pub fn is_of_service(&self) -> bool {
        matches!(self, Self::Suspended | Self::Retired)
    }
}
