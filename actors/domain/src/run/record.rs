//! The journal of runs: for every evaluation its trigger, its conditions with their values, and its outcome.

use serde::{Deserialize, Serialize};

use super::id::{RuleId, RunId};
use crate::{Cause, DeviceId, DeviceNumber, Json, Object, Timestamp};

/// An evaluation of a rule: one that ran, or one that did not and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunEntry {
    pub id: RunId,
    #[serde(rename = "rule_id", alias = "rule")]
    pub rule: RuleId,
    /// The device that fired it; none for a time, a topic, a person.
    #[serde(rename = "device_id", alias = "device")]
    pub device: Option<DeviceId>,
    #[serde(default)]
    pub number: DeviceNumber,
    pub at: Timestamp,
    pub ended_at: Option<Timestamp>,
    pub kind: RunKind,
    /// The trigger.
    pub trigger: TriggerSeen,
    pub conditions: Vec<ConditionSeen>,
    pub outcome: RunOutcome,
    pub actions: Vec<ActionSeen>,
    /// The devices that the rule's actions are for, including those that it may have left alone; known while it is
    /// being written, so that it is filed under them too. The devices acted upon are in `actions`.
    #[serde(skip)]
    pub targets: Vec<DeviceId>,
    /// The run that brought about what fired this one.
    #[serde(rename = "parent_id", alias = "parent")]
    pub parent: Option<RunId>,
    /// The number of runs above it.
    pub depth: u8,
    /// The number of equal evaluations in a row, this the first, and the time of the last.
    pub count: u32,
    pub last_at: Timestamp,
}

/// The reason why actions were looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunKind {
    /// A trigger fired.
    Trigger,
    /// The trigger's condition ended: `on_release`.
    Release,
    /// A person started it.
    Manual,
    /// Another rule started it.
    Called,
}

/// The trigger as it fired.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TriggerSeen {
    /// The number of the trigger in the rule, from 0.
    pub index: u16,
    /// `numeric`, `changed`, …; `manual` and `run` where no trigger fired.
    pub kind: Box<str>,
    /// The value of `trigger` for templates and expressions: `value`, `previous`, `device`, `property`, `at`…
    pub data: Object,
    /// The event's place in the sequence; none for a moment in time.
    pub seq: Option<u64>,
    pub cause: Option<Cause>,
}

/// A condition as it was found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConditionSeen {
    /// As it is written.
    pub text: Box<str>,
    /// None: it is not known.
    pub holds: Option<bool>,
    /// Its parts between `and` and `or`, with their values.
    pub terms: Vec<TermSeen>,
}

/// A part of a condition as it was found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TermSeen {
    pub text: Box<str>,
    /// The value of each name in it; unknown ones are left out.
    pub values: Object,
    pub holds: Option<bool>,
    /// The reason why it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown: Option<Box<str>>,
}

/// The outcome of an evaluation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum RunOutcome {
    /// The run has not ended.
    Running,
    Done,
    /// An action failed, and stopped it.
    Failed {
        reason: Box<str>,
    },
    /// The run was given up: `restart`, `changed`, `disabled`, `stopped`, `device_deleted`.
    Aborted {
        reason: Box<str>,
    },
    NotRun {
        why: WhyNot,
        detail: Box<str>,
    },
}

/// The reason why a rule did not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhyNot {
    /// A condition does not hold.
    Condition,
    /// A condition is not known to hold or not.
    Unknown,
    /// The value was too old.
    Stale,
    /// An earlier run has not ended, and the mode is `single`.
    StillRunning,
    /// As many wait or run as may.
    TooMany,
    Cooldown,
    /// The breaker has stopped it.
    Stopped,
    /// Too many runs are above it: a circle.
    Depth,
    /// Its time passed while the hub was down, or was jumped over when its clock was set forward.
    Missed,
    /// The evaluation died: a fault of the program.
    Panic,
}

/// An action as it went.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ActionSeen {
    /// Its place: `actions[0]`, `actions[1].choose[0][2]`.
    pub path: Box<str>,
    /// `command`, `desired`, …
    pub kind: Box<str>,
    #[serde(rename = "device_id", alias = "device")]
    pub device: Option<DeviceId>,
    /// The request.
    pub data: Json,
    pub at: Timestamp,
    /// `ok`, `waiting`, `skipped`, or the stable word of the error: `manual_mode`, `unknown_device`, `outranked`,
    /// `not_confirmed`, `timeout`, `template`…
    pub result: Box<str>,
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub detail: Box<str>,
    /// The place in the sequence of its effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// The command or delivery that it asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made: Option<Box<str>>,
}

impl RunEntry {
    /// The entry for people, on the feed and by the API: as it is stored, but with a flat outcome (`outcome`, and with
    /// it `why` and `detail`, or `reason`), and without the hub's own number.
    #[must_use]
    pub fn data(&self) -> Object {
        let object = serde_json::to_vec(self).and_then(|bytes| serde_json::from_slice::<Object>(&bytes));
        let mut data = object.unwrap_or_default(); // never: it is made of texts, numbers and JSON
        data.remove("number");
        if let Some(Json::Object(outcome)) = data.remove("outcome") {
            for (name, value) in outcome.iter() {
                data.insert(name, value.clone());
            }
        }
        data
    }
}

impl RunOutcome {
    /// Has it come to its end?
    #[must_use]
    pub fn is_final(&self) -> bool {
        !matches!(self, Self::Running)
    }

    /// The word for it on the wire.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed { .. } => "failed",
            Self::Aborted { .. } => "aborted",
            Self::NotRun { .. } => "not_run",
        }
    }
}

impl WhyNot {
    /// The word for it on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Condition => "condition",
            Self::Unknown => "unknown",
            Self::Stale => "stale",
            Self::StillRunning => "still_running",
            Self::TooMany => "too_many",
            Self::Cooldown => "cooldown",
            Self::Stopped => "stopped",
            Self::Depth => "depth",
            Self::Missed => "missed",
            Self::Panic => "panic",
        }
    }
}
