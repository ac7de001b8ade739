//! The stored form of a twin: one flat document, as it has been since the first version, however the twin is made of
//! parts.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::commands::CommandQueue;
use super::control::Control;
use super::convergence::{DesiredSync, Unmet};
use super::firmware::FirmwareUpdate;
use super::intake::MessageIntake;
use super::presence::{ConnectionRecord, Presence, Rhythm};
use super::setup::Setup;
use super::{Overlay, Profile, Properties, Repeats, Twin, WrongClock};
use crate::clock::Timestamp;
use crate::command::OpenCommands;
use crate::fleet::{FirmwareTask, Lifecycle};
use crate::id::{DeviceId, DeviceNumber};
use crate::json::Object;
use crate::schedule::CompactSchedule;
use crate::settings::DeviceSettings;
use crate::status::{Mode, Status};

/// A twin as it is written.
#[derive(Serialize)]
struct StoredTwin<'a> {
    id: &'a DeviceId,
    number: DeviceNumber,
    profile: &'a Profile,
    claimed: bool,
    status: Status,
    last_seen: Option<Timestamp>,
    mode: Mode,
    mode_until: Option<Timestamp>,
    reported: &'a Properties,
    desired: &'a Properties,
    #[serde(skip_serializing_if = "Object::is_empty")]
    tags: &'a Object,
    #[serde(skip_serializing_if = "Object::is_empty")]
    configuration: &'a Object,
    #[serde(skip_serializing_if = "Option::is_none")]
    standing: Option<Lifecycle>,
    version: u64,
    created_at: Timestamp,
    updated_at: Timestamp,
    messages: u64,
    repeats: &'a Repeats,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    polls: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    clock: Option<&'a WrongClock>,
    #[serde(skip_serializing_if = "Rhythm::is_unknown")]
    rhythm: Rhythm,
    #[serde(skip_serializing_if = "Option::is_none")]
    queue: Option<&'a OpenCommands>,
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<&'a CompactSchedule>,
    #[serde(skip_serializing_if = "Option::is_none")]
    settings: Option<&'a DeviceSettings>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unmet: Option<&'a Unmet>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<&'a ConnectionRecord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    layers: Option<&'a Overlay>,
    #[serde(skip_serializing_if = "Option::is_none")]
    firmware: Option<&'a FirmwareTask>,
}

/// A twin as it is read. Of a member that is missing the twin has none: earlier versions did not know it.
#[derive(Deserialize)]
struct LoadedTwin {
    id: DeviceId,
    number: DeviceNumber,
    #[serde(default)]
    profile: Profile,
    claimed: bool,
    status: Status,
    last_seen: Option<Timestamp>,
    mode: Mode,
    mode_until: Option<Timestamp>,
    reported: Properties,
    desired: Properties,
    #[serde(default)]
    tags: Object,
    #[serde(default)]
    configuration: Object,
    standing: Option<Lifecycle>,
    version: u64,
    created_at: Timestamp,
    updated_at: Timestamp,
    #[serde(default)]
    messages: u64,
    #[serde(default)]
    repeats: Repeats,
    #[serde(default)]
    polls: bool,
    clock: Option<Box<WrongClock>>,
    #[serde(default)]
    rhythm: Rhythm,
    queue: Option<Box<OpenCommands>>,
    plan: Option<Box<CompactSchedule>>,
    settings: Option<Box<DeviceSettings>>,
    unmet: Option<Box<Unmet>>,
    line: Option<Box<ConnectionRecord>>,
    layers: Option<Box<Overlay>>,
    firmware: Option<Box<FirmwareTask>>,
}

impl Serialize for Twin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { presence, control, setup, intake, .. } = self;
        let written = StoredTwin {
            id: &self.id,
            number: self.number,
            profile: &self.profile,
            claimed: control.claimed,
            status: presence.status,
            last_seen: presence.last_seen,
            mode: control.mode,
            mode_until: control.mode_until(),
            reported: &self.reported,
            desired: &self.desired,
            tags: &setup.tags,
            configuration: &setup.configuration,
            standing: control.set_lifecycle,
            version: self.version,
            created_at: self.created_at,
            updated_at: self.updated_at,
            messages: intake.messages,
            repeats: &intake.repeats,
            polls: presence.polls,
            clock: intake.clock.as_deref(),
            rhythm: presence.rhythm,
            queue: self.commands.0.as_deref(),
            plan: setup.plan.as_deref(),
            settings: setup.settings.as_deref(),
            unmet: self.convergence.0.as_deref(),
            line: presence.line.as_deref(),
            layers: setup.layers.as_deref(),
            firmware: self.firmware.0.as_deref(),
        };
        written.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Twin {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read = LoadedTwin::deserialize(deserializer)?;
        Ok(Self {
            id: read.id,
            number: read.number,
            profile: read.profile,
            presence: Presence {
                status: read.status,
                last_seen: read.last_seen,
                polls: read.polls,
                rhythm: read.rhythm,
                line: read.line,
            },
            control: Control {
                claimed: read.claimed,
                mode: read.mode,
                set_lifecycle: read.standing,
                until: read.mode_until.map(Box::new),
            },
            reported: read.reported,
            desired: read.desired,
            convergence: DesiredSync(read.unmet),
            setup: Setup {
                tags: read.tags,
                configuration: read.configuration,
                plan: read.plan,
                settings: read.settings,
                layers: read.layers,
            },
            intake: MessageIntake { messages: read.messages, repeats: read.repeats, clock: read.clock },
            commands: CommandQueue(read.queue),
            firmware: FirmwareUpdate(read.firmware),
            version: read.version,
            created_at: read.created_at,
            updated_at: read.updated_at,
        })
    }
}
