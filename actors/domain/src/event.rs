//! The events of a twin, and their causes.

use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};

use super::alarm::{AlarmChange, Severity};
use super::cause::Cause;
use super::clock::{ReadingTime, Timestamp};
use super::command::CommandChange;
use super::fleet::FleetChange;
use super::id::{DeviceId, DeviceNumber};
use super::json::{Json, Object};
use super::reading::{Reading, Scalar};
use super::run::{AutomationSignal, RunEntry};
use crate::Status;
use crate::twin::fields::{
    CERTIFICATE, CERTIFICATE_END, FIELDS, OLD_TOKEN_HASH, OLD_TOKEN_UNTIL, Shown, TOKEN_HASH,
};
use crate::twin::patch::Patch;

/// The kinds of events that a subscriber can choose from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventKind {
    Telemetry,
    Twin,
    Command,
    Presence,
    Alarm,
    Rule,
    /// Of groups, templates and firmware.
    Fleet,
    /// Of jobs over many devices.
    Job,
    /// Of the hub itself: its clock was set.
    Hub,
}

/// One thing that happened to one twin. Applying a twin's events in order gives its state.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The event's device; [`DeviceId::none`] and number 0 where it is no device's.
    pub device: DeviceId,
    pub number: DeviceNumber,
    /// When it happened: for telemetry the device's own time if it gave one, to the nanosecond; all else happens at whole
    /// milliseconds.
    pub at: ReadingTime,
    /// When the hub took it in.
    pub received_at: Timestamp,
    pub body: EventBody,
    pub cause: Cause,
}

/// The content of an event.
#[derive(Clone, Debug, PartialEq)]
pub enum EventBody {
    /// Readings came. `identity` is set where a repeat of the message can be known by it, `claimed` where the time
    /// that the device said is not believed: the event's is that of arrival then. `payload` is the JSON object of which
    /// the readings are, as it came, where that is short and all of it is of this moment. It is kept in memory alone: an
    /// event that is read from the store has none.
    Telemetry {
        readings: Vec<Reading>,
        identity: Option<u64>,
        claimed: Option<ReadingTime>,
        payload: Option<Arc<str>>,
    },
    /// The document changed.
    Twin(TwinChange),
    /// The device came or went.
    Presence { status: Status, reason: Box<str> },
    /// A command was asked for, or came further.
    Command(Box<CommandChange>),
    /// An alarm was raised, cleared or acknowledged.
    Alarm(Box<AlarmChange>),
    /// A rule ran, came to its end, or did not run and why.
    Rule(Box<RunEntry>),
    /// A group, a template, an image or a job changed.
    Fleet(Box<FleetChange>),
    /// Something came to automation from beyond the twins.
    Signal(Box<AutomationSignal>),
}

/// A change of the twin's document.
#[derive(Clone, Debug, PartialEq)]
pub struct TwinChange {
    /// `registered`, `claimed`, `updated`, `reported`, `scheduled`, `skipped`, `lifecycle`, `firmware`, `clock`,
    /// `told`, `device_clock`, `token`, `certificate`, `deleted`.
    pub change: ChangeKind,
    /// The parts of the document that change.
    pub patch: Patch,
}

/// The ways in which a document changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    Registered,
    Claimed,
    Updated,
    Reported,
    Deleted,
    /// An entry of the schedule came due and was run.
    Scheduled,
    /// Entries came due and were passed over: in manual mode, while suspended, or missed while the hub was down.
    Skipped,
    /// It went on in its life: suspended, active again, retired.
    Lifecycle,
    /// It is to come to new firmware, or came further with it.
    Firmware,
    /// The hub's clock was set: what waits for the end of a span of time waits as long as before.
    Clock,
    /// It could be told what is desired of it, or could not: nobody listened.
    Told,
    /// The device's own clock was found plainly wrong, or is right again.
    DeviceClock,
    /// A token of the device was made, has ended, or is stored anew.
    Token,
    /// A certificate was bound to the device, or none is any more.
    Certificate,
}

/// An event with its place in the one sequence: durable.
#[derive(Debug)]
pub struct Recorded {
    pub seq: u64,
    pub event: Event,
    rendered: OnceLock<Box<str>>,
}

impl EventKind {
    pub const ALL: [Self; 9] = [
        Self::Telemetry,
        Self::Twin,
        Self::Command,
        Self::Presence,
        Self::Alarm,
        Self::Rule,
        Self::Fleet,
        Self::Job,
        Self::Hub,
    ];

    /// The word for it on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Telemetry => "telemetry",
            Self::Twin => "twin",
            Self::Command => "command",
            Self::Presence => "presence",
            Self::Alarm => "alarm",
            Self::Rule => "rule",
            Self::Fleet => "fleet",
            Self::Job => "job",
            Self::Hub => "hub",
        }
    }

    /// The kind with this name.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

impl TwinChange {
    /// A change that is told by its kind alone.
    #[must_use]
    pub fn empty(change: ChangeKind) -> Self {
        Self { change, patch: Patch::default() }
    }
}

impl ChangeKind {
    /// The word for it on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Registered => "registered",
            Self::Claimed => "claimed",
            Self::Updated => "updated",
            Self::Reported => "reported",
            Self::Deleted => "deleted",
            Self::Scheduled => "scheduled",
            Self::Skipped => "skipped",
            Self::Lifecycle => "lifecycle",
            Self::Firmware => "firmware",
            Self::Clock => "clock",
            Self::Told => "told",
            Self::DeviceClock => "device_clock",
            Self::Token => "token",
            Self::Certificate => "certificate",
        }
    }
}

impl Event {
    /// The event's kind.
    #[must_use]
    pub fn kind(&self) -> EventKind {
        match &self.body {
            EventBody::Telemetry { .. } => EventKind::Telemetry,
            EventBody::Twin(_) => EventKind::Twin,
            EventBody::Presence { .. } => EventKind::Presence,
            EventBody::Command(_) => EventKind::Command,
            EventBody::Alarm(_) => EventKind::Alarm,
            EventBody::Fleet(change) => change.what.kind(),
            EventBody::Signal(signal) if matches!(**signal, AutomationSignal::ClockMoved { .. }) => {
                EventKind::Hub
            }
            EventBody::Rule(_) | EventBody::Signal(_) => EventKind::Rule,
        }
    }

    /// The severity, where it is an alarm's.
    #[must_use]
    pub fn severity(&self) -> Option<Severity> {
        if let EventBody::Alarm(change) = &self.body { Some(change.alarm.severity) } else { None }
    }

    /// The units of a telemetry event's readings, by name; none where none was named.
    #[must_use]
    pub fn units(&self) -> Object {
        let EventBody::Telemetry { readings, .. } = &self.body else { return Object::default() };
        let named = |reading: &Reading| Some((reading.name.clone(), Json::String(reading.unit.clone()?)));
        readings.iter().filter_map(named).collect()
    }

    /// The event's `data` on the wire: readings by name, or what changed.
    #[must_use]
    pub fn data(&self) -> Object {
        match &self.body {
            EventBody::Telemetry { readings, .. } => {
                readings.iter().map(|r| (r.name.clone(), Json::from(r.value.clone()))).collect()
            }
            EventBody::Twin(TwinChange { change, patch }) => {
                let mut data = patch.to_object();
                for secret in FIELDS.iter().filter(|field| field.shown == Shown::Hidden) {
                    data.remove(secret.name); // nobody is told
                }
                match change {
                    ChangeKind::Token => tell_tokens(patch, &mut data),
                    ChangeKind::Certificate => tell_certificate(patch, &mut data),
                    _ => {}
                }
                data.insert("change", change.as_str().into());
                data
            }
            EventBody::Presence { status, reason } => {
                [("status", status.as_str().into()), ("reason", Json::String(reason.clone()))]
                    .into_iter()
                    .collect()
            }
            EventBody::Command(change) => change.data(),
            EventBody::Alarm(change) => change.data(),
            EventBody::Rule(entry) => entry.data(),
            EventBody::Fleet(change) => change.data(),
            EventBody::Signal(signal) => signal.data(),
        }
    }
}

/// Says which tokens were made and have ended, and nothing of the tokens themselves.
fn tell_tokens(patch: &Patch, data: &mut Object) {
    if data.get("token").is_some() {
        return; // none was made and none has ended: see `TokenChange::Renew`
    }
    match patch.text(TOKEN_HASH) {
        None => {}
        Some("") => drop(data.insert("token", "ended".into())),
        Some(_) => drop(data.insert("token", "made".into())),
    }
    match patch.text(OLD_TOKEN_HASH) {
        None => {}
        Some("") => drop(data.insert("old_token", "ended".into())),
        Some(_) => {
            data.insert("old_token", "counts".into());
            data.insert("until", patch.text(OLD_TOKEN_UNTIL).unwrap_or_default().into());
        }
    }
}

/// Says which certificate was bound. Its fingerprint is no secret.
fn tell_certificate(patch: &Patch, data: &mut Object) {
    match patch.text(CERTIFICATE) {
        Some("") => drop(data.insert("certificate", "removed".into())),
        Some(fingerprint) => {
            data.insert("certificate", "bound".into());
            data.insert("fingerprint", fingerprint.into());
        }
        None => drop(data.insert("certificate", "bound".into())), // its end alone is another
    }
    if let Some(end) = patch.text(CERTIFICATE_END).filter(|end| !end.is_empty()) {
        data.insert("expires_at", end.into());
    }
}

impl Event {
    /// Writes [`Event::data`] as JSON text. Readings, which are the many, are written as they stand where they stand
    /// in order.
    fn write_data(&self, out: &mut String) {
        match &self.body {
            EventBody::Telemetry { readings, .. }
                if readings.is_sorted_by(|one, next| one.name < next.name) =>
            {
                out.push('{');
                for (index, Reading { name, value, .. }) in readings.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    super::json::write_string(out, name);
                    out.push(':');
                    match value {
                        Scalar::Number(number) => out.push_str(number.as_str()),
                        Scalar::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
                        Scalar::Text(text) => super::json::write_string(out, text),
                    }
                }
                out.push('}');
            }
            _ => self.data().write(out),
        }
    }
}

impl Recorded {
    /// Moves it to another place, before anybody was told of this one.
    pub fn put(&mut self, seq: u64) {
        self.seq = seq;
        self.rendered = OnceLock::new();
    }

    /// Gives `event` its place.
    #[must_use]
    pub fn new(seq: u64, event: Event) -> Self {
        Self { seq, event, rendered: OnceLock::new() }
    }

    /// The event's members as JSON without the braces around them, made once however many read it:
    /// `"seq":1,"kind":"telemetry","device_id":"pump-1","at":"…","data":{…},"units":{…},"cause":{…}`; `units` where a
    /// reading names one.
    #[must_use]
    pub fn json_members(&self) -> &str {
        self.rendered.get_or_init(|| {
            use std::fmt::Write as _;
            let Event { device, at, cause, .. } = &self.event;
            let mut out = String::with_capacity(192);
            let (quote, name) = if device.is_none() { ("", "null") } else { ("\"", device.as_str()) };
            // Writing to a String cannot fail.
            let _ = write!(
                out,
                r#""seq":{},"kind":"{}","device_id":{quote}{name}{quote},"at":"{at}","data":"#,
                self.seq,
                self.event.kind().as_str()
            );
            self.event.write_data(&mut out);
            if let EventBody::Telemetry { claimed: Some(claimed), .. } = &self.event.body {
                let _ = write!(out, r#","claimed_at":"{claimed}""#);
            }
            let units = self.event.units();
            if !units.is_empty() {
                out.push_str(r#","units":"#);
                units.write(&mut out);
            }
            let _ = write!(out, r#","cause":{{"source":"{}""#, cause.source.as_str());
            if !cause.by.is_empty() {
                out.push_str(r#","by":"#);
                super::json::write_string(&mut out, &cause.by);
            }
            if let Some(run) = &cause.run {
                let _ = write!(out, r#","run_id":"{}","depth":{}"#, run.id, run.depth);
            }
            if cause.retained {
                out.push_str(r#","retained":true"#);
            }
            out.push('}');
            out.into_boxed_str()
        })
    }

    /// The same without `seq`, which tells how much has happened in all.
    #[must_use]
    pub fn json_members_without_seq(&self) -> &str {
        let members = self.json_members(); // `seq` is the first, and a number
        members.split_once(',').map_or(members, |(_, rest)| rest)
    }
}
