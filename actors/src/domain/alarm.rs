//! Alarms: something is wrong with a device, until it is not; and somebody has seen it, or not.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::rules::{RuleId, RunId};
use super::{DeviceId, DeviceNumber, Timestamp};

/// An alarm's name, a `UUIDv7`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AlarmId(pub Uuid);

/// How bad it is, from the least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Info,
    Warning,
    Minor,
    Major,
    Critical,
}

/// Whom it is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Originator {
    Device(DeviceId),
    Rule(RuleId),
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
    /// When it was raised last, and how often since it became active.
    pub last_at: Timestamp,
    pub count: u32,
    pub cleared_at: Option<Timestamp>,
    /// Who: `user:ann`, `rule:greenhouse-cool`.
    pub cleared_by: Box<str>,
    pub acknowledged_at: Option<Timestamp>,
    pub acknowledged_by: Box<str>,
    /// The rule and the run that raised it last.
    pub rule: Option<RuleId>,
    pub run: Option<RunId>,
}

/// What happened to an alarm, and the alarm as it is after that.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlarmChange {
    pub step: AlarmStep,
    pub alarm: Alarm,
}

/// What can happen to an alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AlarmStep {
    Raised,
    /// Raised while it was active.
    Repeated,
    Cleared,
    Acknowledged,
}

impl fmt::Display for AlarmId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
