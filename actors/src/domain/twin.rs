//! The twin: one device's state, and the one way in which it changes.
//!
//! [`Twin::apply`] takes an input and a time and gives back what happened and what is to be done; it
//! performs nothing. All it changes, it changes through [`Twin::redo`] with the events it gives back,
//! so a twin is the fold of its events: the store may keep a twin's row behind and catch it up later.

mod change;
mod document;
mod properties;

use serde::{Deserialize, Serialize};

pub use change::{Change, Profile, Registration};
pub use properties::{Properties, Property};

use super::clock::Timestamp;
use super::event::{Cause, ChangeKind, Event, EventBody, TwinChange};
use super::id::{DeviceId, DeviceNumber};
use super::json::{Json, Object, delta};
use super::reading::{Telemetry, is_untimed};

/// A device's live digital twin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Twin {
    pub id: DeviceId,
    pub number: DeviceNumber,
    /// Who it is to people.
    #[serde(default)]
    pub profile: Profile,
    pub claimed: bool,
    pub status: Status,
    /// When the device was last heard.
    pub last_seen: Option<Timestamp>,
    pub mode: Mode,
    pub mode_until: Option<Timestamp>,
    /// What the device says it is.
    pub reported: Properties,
    /// What people and rules want it to be.
    pub desired: Properties,
    #[serde(default, skip_serializing_if = "Object::is_empty")]
    pub tags: Object,
    #[serde(default, skip_serializing_if = "Object::is_empty")]
    pub configuration: Object,
    /// Grows by one with every change of the document.
    pub version: u64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// Messages taken in since the twin began.
    #[serde(default)]
    pub messages: u64,
    /// The latest time that a message of the device carried itself.
    #[serde(default)]
    latest_own_time: Option<Timestamp>,
    /// Identities of the last messages that carried one, the newest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    recent: Vec<u64>,
}

/// Is the device there?
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Registered, and never heard.
    #[default]
    Unknown,
    Online,
    Offline,
}

/// Who drives the twin: a person's word, or schedules and rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    Manual,
    #[default]
    Schedule,
}

/// What can come to a twin, from any door.
#[derive(Clone, Debug)]
pub enum Input {
    /// Heard of for the first time, on MQTT: it registers itself, unclaimed.
    Appear,
    /// Readings.
    Telemetry(Telemetry),
    /// A merge patch onto `reported`.
    Report(Object),
    /// The device, or its last will, says whether it is there, and perhaps what it is.
    Presence { online: bool, details: Object },
    /// The device asks for its desired state.
    AskDesired,
    /// A person registers it.
    Register(Box<Registration>),
    /// A person takes it as theirs.
    Claim(Box<Registration>),
    /// A person or program changes the document.
    Change(Box<Change>),
    /// Remove it, with all it has.
    Delete,
}

/// What an input came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// What happened, in order. Empty when nothing did: a repeat, or a change that changes nothing.
    pub events: Vec<Event>,
    /// What the device is to be told after the commit.
    pub publishes: Vec<Publish>,
    /// The input was a repeat of one already taken in.
    pub repeated: bool,
}

/// Something the device is to be told.
#[derive(Clone, Debug, PartialEq)]
pub enum Publish {
    /// `{"version": 42, "desired": {…}, "delta": {…}}`
    Desired(Json),
    /// The configuration, retained.
    Configuration(Json),
}

/// Why a twin would not take an input.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the twin is at version {current}, not {expected}")]
    Version { current: u64, expected: u64 },
    /// Register meets one that is taken.
    #[error("device `{0}` is registered already")]
    Registered(DeviceId),
    #[error("device `{0}` is claimed already")]
    Claimed(DeviceId),
    #[error("there is no device `{0}`")]
    Unknown(String),
    #[error("`{field}`: {detail}")]
    Invalid { field: String, detail: String },
    #[error("unknown devices are not accepted, and `{0}` is one")]
    NotAccepted(DeviceId),
}

/// Whether a message has been here before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    No,
    Yes,
    /// It is not newer than what came before, and older than what the twin remembers: the store knows.
    AskStore,
}

/// How many identities a twin remembers. A repeat is nearly always of the last message or two; what is
/// older and carries its own time is looked up in the store, so this bounds memory, not correctness.
const RECENT: usize = 16;
/// The same where messages carry an id and no time: no time to look them up by, so the twin alone can
/// know them, and remembers as many as a broker may have under way to us at once.
const RECENT_UNTIMED: usize = 1_024;

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
            version: 0,
            created_at: now,
            updated_at: now,
            messages: 0,
            latest_own_time: None,
            recent: Vec::new(),
        }
    }

    /// True before the first event: nobody knows this twin yet.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.version == 0
    }

    /// Has this message been taken in before?
    #[must_use]
    pub fn repeat(&self, telemetry: &Telemetry) -> Repeat {
        let Some(identity) = telemetry.identity() else { return Repeat::No };
        if self.recent.contains(&identity) {
            return Repeat::Yes;
        }
        match (telemetry.at, self.latest_own_time) {
            (Some(at), Some(latest)) if at <= latest => Repeat::AskStore,
            _ => Repeat::No,
        }
    }

    /// Takes `input` in at `now`.
    ///
    /// # Errors
    /// Refuses what does not fit, and has then changed nothing.
    pub fn apply(&mut self, input: Input, now: Timestamp, cause: &Cause) -> Result<Outcome, Refusal> {
        let mut outcome = Outcome::default();
        match input {
            Input::Appear => {
                if self.is_new() {
                    let body = EventBody::Twin(TwinChange::empty(ChangeKind::Registered));
                    self.happen(&mut outcome, body, now, cause);
                }
            }
            Input::Telemetry(telemetry) => {
                if self.repeat(&telemetry) == Repeat::Yes {
                    outcome.repeated = true;
                    return Ok(outcome);
                }
                self.come_online(&mut outcome, now, cause);
                let identity = telemetry.identity();
                let at = telemetry.at.unwrap_or(now);
                let body = EventBody::Telemetry { readings: telemetry.readings, identity };
                self.happen_at(&mut outcome, body, at, now, cause);
            }
            Input::Report(patch) => {
                self.come_online(&mut outcome, now, cause);
                let patch = [("reported", Json::Object(patch))].into_iter().collect();
                let body = EventBody::Twin(TwinChange { change: ChangeKind::Reported, patch });
                self.happen(&mut outcome, body, now, cause);
            }
            Input::Presence { online, details } => {
                let status = if online { Status::Online } else { Status::Offline };
                if status != self.status {
                    let body = EventBody::Presence { status, reason: "reported".into() };
                    self.happen(&mut outcome, body, now, cause);
                }
                if online {
                    self.remind(&mut outcome);
                }
                if !details.is_empty() {
                    let patch = self.profile.patch_from_details(details);
                    self.update(&mut outcome, ChangeKind::Reported, patch, now, cause);
                }
            }
            Input::AskDesired => {
                self.come_online(&mut outcome, now, cause);
                outcome.publishes.clear(); // it is told all of it now, asked for or not
                outcome.publishes.push(self.publish_desired());
                outcome.publishes.extend(self.publish_configuration());
            }
            Input::Register(registration) => {
                if !self.is_new() && self.claimed {
                    return Err(Refusal::Registered(self.id.clone()));
                }
                let patch = registration.into_patch(true)?;
                self.update(&mut outcome, ChangeKind::Registered, patch, now, cause);
            }
            Input::Claim(registration) => {
                if self.claimed {
                    return Err(Refusal::Claimed(self.id.clone()));
                }
                let patch = registration.into_patch(true)?;
                self.update(&mut outcome, ChangeKind::Claimed, patch, now, cause);
            }
            Input::Change(change) => {
                change.check_version(self.version)?;
                let patch = change.into_patch()?;
                self.update(&mut outcome, ChangeKind::Updated, patch, now, cause);
            }
            Input::Delete => {
                let body = EventBody::Twin(TwinChange::empty(ChangeKind::Deleted));
                self.happen(&mut outcome, body, now, cause);
            }
        }
        Ok(outcome)
    }

    /// Makes the state what it is after `event`. Applying a twin's events in order, each once, to a new
    /// twin gives the twin.
    pub fn redo(&mut self, event: &Event) {
        let received = event.received_at;
        match &event.body {
            EventBody::Telemetry { readings, identity } => {
                let mut changed = false;
                for reading in readings {
                    changed |= self.reported.read(reading, event.at);
                }
                self.messages += 1;
                if let Some(identity) = identity {
                    self.remember(*identity);
                    if !is_untimed(*identity) {
                        self.latest_own_time = self.latest_own_time.max(Some(event.at));
                    }
                }
                self.hear(received);
                if !changed {
                    return; // the same again: heard, but the document is as it was
                }
            }
            EventBody::Twin(change) => self.redo_change(change, received, &event.cause),
            EventBody::Presence { status, .. } => {
                self.status = *status;
                if *status == Status::Online {
                    self.hear(received);
                }
            }
        }
        self.version += 1;
        self.updated_at = received;
    }

    /// What of desired the device has not reported.
    #[must_use]
    pub fn delta(&self) -> Object {
        delta(&self.desired.to_object(), &self.reported.to_object())
    }

    fn redo_change(&mut self, TwinChange { change, patch }: &TwinChange, now: Timestamp, cause: &Cause) {
        if *change == ChangeKind::Reported {
            self.hear(now);
            self.messages += 1;
        }
        for (section, value) in patch.iter() {
            match (section, value) {
                ("reported", Json::Object(patch)) => self.reported.merge(patch, now, None),
                ("desired", Json::Object(patch)) => self.desired.merge(patch, now, Some(cause)),
                ("tags", Json::Object(patch)) => self.tags.merge(patch),
                ("configuration", Json::Object(patch)) => self.configuration.merge(patch),
                ("claimed", Json::Bool(claimed)) => self.claimed = *claimed,
                (field, value) => self.profile.set(field, value),
            }
        }
    }

    /// Every message of a device says first of all that it is there.
    fn come_online(&mut self, outcome: &mut Outcome, now: Timestamp, cause: &Cause) {
        if self.status != Status::Online {
            let body = EventBody::Presence { status: Status::Online, reason: "heard".into() };
            self.happen(outcome, body, now, cause);
            self.remind(outcome);
        }
    }

    /// A device that has just come is told what it may have missed. The embedded broker keeps nothing
    /// over a restart of the hub, so this is also what restores its retained configuration.
    fn remind(&self, outcome: &mut Outcome) {
        if !self.delta().is_empty() {
            outcome.publishes.push(self.publish_desired());
        }
        outcome.publishes.extend(self.publish_configuration());
    }

    /// A change made of a patch by section, with what the device is to be told of it.
    fn update(
        &mut self,
        outcome: &mut Outcome,
        change: ChangeKind,
        patch: Object,
        now: Timestamp,
        cause: &Cause,
    ) {
        let (desired, configuration) = (patch.get("desired").is_some(), patch.get("configuration").is_some());
        if patch.is_empty() && !self.is_new() {
            return;
        }
        let body = EventBody::Twin(TwinChange { change, patch });
        self.happen(outcome, body, now, cause);
        if desired {
            outcome.publishes.push(self.publish_desired());
        }
        if configuration {
            outcome.publishes.push(Publish::Configuration(self.configuration.clone().into()));
        }
    }

    fn publish_configuration(&self) -> Option<Publish> {
        (!self.configuration.is_empty()).then(|| Publish::Configuration(self.configuration.clone().into()))
    }

    fn publish_desired(&self) -> Publish {
        let desired = self.desired.to_object();
        let delta = delta(&desired, &self.reported.to_object());
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
        self.redo(&event);
        outcome.events.push(event);
    }

    fn hear(&mut self, now: Timestamp) {
        self.last_seen = self.last_seen.max(Some(now));
    }

    fn remember(&mut self, identity: u64) {
        let most = if is_untimed(identity) { RECENT_UNTIMED } else { RECENT };
        if self.recent.len() >= most {
            self.recent.drain(..=self.recent.len() - most);
        }
        self.recent.push(identity);
    }
}

impl Status {
    /// The word for it in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Online => "online",
            Self::Offline => "offline",
        }
    }

    /// The status with this name.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Unknown, Self::Online, Self::Offline].into_iter().find(|status| status.as_str() == word)
    }
}

impl Mode {
    /// The word for it in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Schedule => "schedule",
        }
    }

    /// The mode with this name.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Manual, Self::Schedule].into_iter().find(|mode| mode.as_str() == word)
    }
}

#[cfg(test)]
mod tests;
