//! The engine: takes the events of the one sequence and the time, and gives back what is to be done.
//!
//! # How time goes
//! Its time never goes back. [`Engine::observe`] first lets the time go on to when the event was received, with
//! all that is due before; [`Engine::advance`] lets it go on where nothing happens. Whatever falls due does so at
//! its own time, in order, however late it is told: so the same events give the same runs whenever they come.
//! Only [`Signal::Started`](super::Signal) is different: from `down_since` to it nothing was heard, and what fell
//! due in between is treated as each rule says (`across_downtime`, `missed`).
//!
//! # What it keeps
//! By rule and device (number 0 for what has none) a scope: latches, deadlines, runs, cooldowns. Scopes that
//! changed are told by [`Engine::take_changes`], to be kept with the place in the sequence up to which they are
//! true. Started anew from them, with the events after that place, it makes the same runs again, by the same
//! names.

use serde::{Deserialize, Serialize};

use super::expression::Twins;
use super::model::{LogLevel, Rule, RuleId, Selector};
use super::record::{RunEntry, RunId};
use crate::domain::alarm::{Originator, Severity};
use crate::domain::{
    Cause, CommandId, CommandRequest, DeviceId, DeviceNumber, Json, Mode, Object, Recorded, Timestamp, Twin,
};

/// See the module.
#[derive(Debug, Default)]
pub struct Engine {
    rules: Vec<Rule>,
    now: Timestamp,
}

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

impl Engine {
    /// An engine without rules, its time standing at `now`.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self { rules: Vec::new(), now }
    }

    /// Takes these rules in place of those it has. Rules with the same fingerprint keep all that waits; runs of
    /// others are given up, and entries say so.
    pub fn exchange(&mut self, rules: Vec<Rule>) -> Step {
        self.rules = rules;
        Step::default()
    }

    /// The twins that its rules look at and that it does not know yet.
    #[must_use]
    pub fn wants(&self) -> Wanted {
        Wanted::default()
    }

    /// A twin as it stands at the engine's place in the sequence.
    pub fn know(&mut self, _twin: Twin) {}

    /// Takes up what was kept. To be called after [`Engine::exchange`] and [`Engine::know`], before any event.
    pub fn restore(&mut self, _kept: Vec<Kept>) {}

    /// Whether `rule` runs; remembered, and so kept over a reload. The signal
    /// [`Enabled`](super::Signal::Enabled) does the same.
    pub fn set_enabled(&mut self, _rule: &RuleId, _enabled: bool) {}

    /// The next event of the sequence.
    pub fn observe(&mut self, _recorded: &Recorded) -> Step {
        Step::default()
    }

    /// Lets the time go on to `now`.
    pub fn advance(&mut self, now: Timestamp) -> Step {
        self.now = self.now.max(now);
        Step::default()
    }

    /// An act was done, or could not be.
    pub fn done(&mut self, _act: ActId, _result: ActResult, _now: Timestamp) -> Step {
        Step::default()
    }

    /// When something is next due.
    #[must_use]
    pub fn next(&self) -> Option<Timestamp> {
        None
    }

    /// Its time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Scopes that changed since this was last asked.
    pub fn take_changes(&mut self) -> Vec<Kept> {
        Vec::new()
    }

    /// Acts that have not been answered: to be done again after a restart, by the same names.
    #[must_use]
    pub fn unanswered(&self) -> Vec<Act> {
        Vec::new()
    }

    /// Is a rule listening to this topic?
    #[must_use]
    pub fn listens_to(&self, _topic: &str) -> bool {
        false
    }

    /// The rules, in the order of their names.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }
}

/// How a rule stands.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    pub enabled: bool,
    pub stopped: Option<Box<str>>,
    pub next_at: Option<Timestamp>,
}

impl Engine {
    /// How a rule stands.
    #[must_use]
    pub fn standing(&self, _rule: &RuleId) -> Standing {
        Standing::default()
    }
}

/// The keys of a rule's webhooks, by their step.
#[must_use]
pub fn webhook_keys(_rule: &Rule) -> Vec<(u32, super::model::Secret)> {
    Vec::new()
}

impl Twins for Engine {
    fn twin(&self, _id: &str) -> Option<&Twin> {
        None
    }
}

impl std::fmt::Display for ActId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.run, self.step, self.nth)
    }
}
