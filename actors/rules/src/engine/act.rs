//! What the engine says and is told: what is to be done, what came of it, what is to be kept.

use serde::{Deserialize, Serialize};

use crate::model::{LogLevel, Selector};
use twinhub_domain::alarm::{Originator, Severity};
use twinhub_domain::run::RuleId;
use twinhub_domain::run::{RunEntry, RunId};
use twinhub_domain::{
    Cause, CommandId, CommandRequest, DeviceId, DeviceNumber, Json, Mode, Object, Timestamp,
};

/// What came of a step: in the order in which it is to be done and told.
#[derive(Clone, Debug, Default)]
pub struct Step {
    pub acts: Vec<Act>,
    /// Entries of the journal of runs, new ones and ones that came further (the same id again).
    pub entries: Vec<Entry>,
    /// Rules that were stopped: by the breaker or by a panic.
    pub stopped: Vec<(RuleId, Box<str>)>,
}

/// An entry, and whether people are to be told of it: not where it only counts a repeat.
#[derive(Clone, Debug)]
pub struct Entry {
    pub entry: RunEntry,
    pub tell: bool,
}

/// Something to be done. Its result comes back by [`Engine::done`].
#[derive(Clone, Debug)]
pub struct Act {
    pub id: ActId,
    pub rule: RuleId,
    /// What the twin writes down: the rule, the run and its depth.
    pub cause: Cause,
    pub deed: Deed,
}

/// Which act of which run. As text (`{run}:{step}:{nth}`) it is the idempotency key of what it asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ActId {
    pub run: RunId,
    /// The step in the rule's program.
    pub step: u32,
    /// Which of the devices that the step is for.
    pub nth: u32,
}

/// What is to be done.
#[derive(Clone, Debug)]
pub enum Deed {
    /// `request` carries the idempotency key.
    Command {
        device: DeviceId,
        request: CommandRequest,
    },
    Desired {
        device: DeviceId,
        set: Object,
    },
    Mode {
        device: DeviceId,
        mode: Mode,
        until: Option<Timestamp>,
    },
    Raise {
        of: Originator,
        number: DeviceNumber,
        alarm_type: Box<str>,
        severity: Severity,
        message: String,
    },
    Clear {
        of: Originator,
        alarm_type: Box<str>,
    },
    Publish {
        topic: String,
        payload: Json,
        retain: bool,
    },
    Webhook(Box<Delivery>),
    Enable {
        rule: RuleId,
        enabled: bool,
    },
    Log {
        level: LogLevel,
        message: String,
    },
}

/// A request outward, filled in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    pub url: String,
    pub method: Box<str>,
    pub headers: Vec<(Box<str>, String)>,
    pub body: Json,
    /// Where the key is that the body is signed with, not the key: the rule, whose `secret` it is.
    pub signed_by: Option<RuleId>,
    pub step: u32,
    pub timeout_ms: i64,
    pub max_attempts: u16,
}

/// How an act went.
#[derive(Clone, Debug, Default)]
pub struct ActResult {
    /// The place in the sequence of what it brought about.
    pub seq: Option<u64>,
    /// The command that it asked for.
    pub command: Option<CommandId>,
    /// Anything else that it made: a delivery's id, an alarm's.
    pub made: Option<Box<str>>,
    /// The stable word of what was wrong, and a sentence.
    pub failed: Option<(Box<str>, String)>,
}

/// What of the engine is kept: of one rule and one device.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    pub rule: RuleId,
    /// 0: what is no device's.
    pub device: DeviceNumber,
    /// The rule's fingerprint: kept state of another is not taken up again.
    pub fingerprint: u64,
    /// None: there is nothing to keep any more.
    pub body: Option<Json>,
}

/// Which twins the engine must know before it can go on.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    pub devices: Vec<DeviceId>,
    /// Patterns: every device that they match.
    pub selectors: Vec<Selector>,
}

impl std::fmt::Display for ActId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.run, self.step, self.nth)
    }
}
