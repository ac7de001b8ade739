//! Alarms: a fault of a device, a rule or the hub, its end, and its acknowledgement by a person.
//!
//! Two facts are kept apart, as operators of machines do: whether the fault lasts (`active`, or `cleared`) and whether
//! a person has seen it (`acknowledged`). So an alarm has four states, and goes between them in these ways alone:
//!
//! - Raised where none of its originator and type is active, it is a new alarm: active, not acknowledged.
//! - Raised again while it is active, it counts: severity and message are those of the newest. If it was acknowledged
//!   and has become *worse*, it is unacknowledged again: the acknowledgement was of a lesser fault.
//! - Cleared, it stays as it is, for good. A later raise makes another alarm.
//! - Acknowledged, it stays active or cleared as it is. An alarm that went before anybody saw it waits to be seen.
//!
//! Clearing a cleared alarm and acknowledging an acknowledged one does nothing: the first word counts.

mod active_alarms;
mod change;

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{DeviceId, DeviceNumber, Json, Object, Timestamp};
use crate::cause::{Cause, Source};
use crate::run::{RuleId, RunId};

pub use active_alarms::ActiveAlarms;
pub use change::Raised;

/// An alarm's name, a `UUIDv7`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AlarmId(pub Uuid);

/// The severity, from the least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Info,
    Warning,
    Minor,
    Major,
    Critical,
}

/// The device, the rule or the hub that the alarm is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Originator {
    Device(DeviceId),
    Rule(RuleId),
    Hub,
}

/// An alarm. Of one originator and type there is one active at most; raised again, it counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alarm {
    pub id: AlarmId,
    pub originator: Originator,
    /// The device's number; 0 where the originator is none.
    pub number: DeviceNumber,
    #[serde(rename = "type")]
    pub alarm_type: Box<str>,
    pub severity: Severity,
    pub message: Box<str>,
    pub active: bool,
    pub acknowledged: bool,
    pub raised_at: Timestamp,
    /// The time at which it was raised last, and the number of times since it became active.
    pub last_at: Timestamp,
    pub count: u32,
    pub cleared_at: Option<Timestamp>,
    /// The clearer: `user:ann`, `rule:greenhouse-cool`.
    pub cleared_by: Box<str>,
    pub acknowledged_at: Option<Timestamp>,
    pub acknowledged_by: Box<str>,
    /// The rule and the run that raised it last.
    pub rule: Option<RuleId>,
    pub run: Option<RunId>,
}

/// A step of an alarm, and the alarm after it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlarmChange {
    pub step: AlarmStep,
    pub alarm: Alarm,
}

/// The steps of an alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AlarmStep {
    Raised,
    /// Raised while it was active.
    Repeated,
    Cleared,
    Acknowledged,
}

impl AlarmId {
    /// Reads one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Uuid::parse_str(text).ok().map(Self)
    }
}

impl Severity {
    pub const ALL: [Self; 5] = [Self::Info, Self::Warning, Self::Minor, Self::Major, Self::Critical];

    /// The word for it on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Minor => "minor",
            Self::Major => "major",
            Self::Critical => "critical",
        }
    }

    /// The severity with this name.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|severity| severity.as_str() == word)
    }
}

impl AlarmStep {
    /// The word for it on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Raised => "raised",
            Self::Repeated => "repeated",
            Self::Cleared => "cleared",
            Self::Acknowledged => "acknowledged",
        }
    }
}

impl Originator {
    /// The device, where it is one.
    #[must_use]
    pub fn device(&self) -> Option<&DeviceId> {
        if let Self::Device(device) = self { Some(device) } else { None }
    }

    /// The rule, where it is one.
    #[must_use]
    pub fn rule(&self) -> Option<&RuleId> {
        if let Self::Rule(rule) = self { Some(rule) } else { None }
    }
}

impl Alarm {
    /// The alarm on the wire. `device_id` or `rule_id` is its originator, the other null, or both for the hub; `rule` and `run` are those
    /// that raised it last.
    #[must_use]
    pub fn document(&self) -> Object {
        let text = |text: &str| if text.is_empty() { Json::Null } else { text.into() };
        let time = |at: Option<Timestamp>| at.map_or(Json::Null, |at| at.to_string().into());
        let device = self.originator.device().map(DeviceId::as_str);
        let members: [(&str, Json); 17] = [
            ("id", self.id.to_string().into()),
            ("device_id", text(device.unwrap_or_default())),
            ("rule_id", text(self.originator.rule().map(RuleId::as_str).unwrap_or_default())),
            ("type", Json::String(self.alarm_type.clone())),
            ("severity", self.severity.as_str().into()),
            ("message", Json::String(self.message.clone())),
            ("status", if self.active { "active" } else { "cleared" }.into()),
            ("acknowledged", self.acknowledged.into()),
            ("raised_at", self.raised_at.to_string().into()),
            ("last_at", self.last_at.to_string().into()),
            ("count", i64::from(self.count).into()),
            ("cleared_at", time(self.cleared_at)),
            ("cleared_by", text(&self.cleared_by)),
            ("acknowledged_at", time(self.acknowledged_at)),
            ("acknowledged_by", text(&self.acknowledged_by)),
            ("last_rule_id", text(self.rule.as_ref().map(RuleId::as_str).unwrap_or_default())),
            ("last_run_id", self.run.map_or(Json::Null, |run| run.to_string().into())),
        ];
        members.into_iter().collect()
    }
}

impl AlarmChange {
    /// The event's `data` on the wire: `{"step": "raised", "alarm": {…}}`.
    #[must_use]
    pub fn data(&self) -> Object {
        let members = [("step", self.step.as_str().into()), ("alarm", Json::Object(self.alarm.document()))];
        members.into_iter().collect()
    }
}

/// The actor behind `cause`, as alarms record it: `user:ann`, `rule:greenhouse-cool`; where none is named, the door:
/// `rest`.
#[must_use]
pub fn who(cause: &Cause) -> Box<str> {
    match (cause.source, &*cause.by) {
        (source, "") => source.as_str().into(),
        (Source::Rule, by) if !by.starts_with("rule:") => format!("rule:{by}").into(),
        (_, by) => by.into(),
    }
}

impl fmt::Display for AlarmId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests;
