//! The engine's output and input: what is to be done, what came of it, what is to be stored.

use serde::{Deserialize, Serialize};

use super::Effect;
use crate::model::Selector;
use twinhub_domain::run::RuleId;
use twinhub_domain::run::{RunEntry, RunId};
use twinhub_domain::{Cause, CommandId, DeviceId, DeviceNumber, Json};

/// The output of a step: in the order in which it is to be done and told.
#[derive(Clone, Debug, Default)]
pub struct EngineOutput {
    pub effects: Vec<EffectRequest>,
    /// Entries of the journal of runs, new ones and ones that came further (the same id again).
    pub entries: Vec<JournalEntry>,
    /// Rules that were stopped: by the breaker or by a panic.
    pub stopped: Vec<(RuleId, Box<str>)>,
}

/// An entry, and whether people are to be told of it: not where it only counts a repeat.
#[derive(Clone, Debug)]
pub struct JournalEntry {
    pub entry: RunEntry,
    pub tell: bool,
}

/// Something to be done. Its result comes back by [`Engine::done`](super::Engine::done).
#[derive(Clone, Debug)]
pub struct EffectRequest {
    pub id: EffectId,
    pub rule: RuleId,
    /// The cause that the twin writes down: the rule, the run and its depth.
    pub cause: Cause,
    pub effect: Effect,
}

/// The id of an effect of a run. As text (`{run}:{step}:{nth}`) it is the idempotency key of what it asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EffectId {
    pub run: RunId,
    /// The step in the rule's program.
    pub step: u32,
    /// The place of the device among those that the step is for.
    pub nth: u32,
}

/// The result of an effect.
#[derive(Clone, Debug, Default)]
pub struct EffectResult {
    /// The place in the sequence of what it brought about.
    pub seq: Option<u64>,
    /// The command that it asked for.
    pub command: Option<CommandId>,
    /// Anything else that it made: a delivery's id, an alarm's.
    pub made: Option<Box<str>>,
    /// The stable word of what was wrong, and a sentence.
    pub failed: Option<(Box<str>, String)>,
}

/// The part of the engine that is stored: of one rule and one device.
#[derive(Clone, Debug, PartialEq)]
pub struct ScopeSnapshot {
    pub rule: RuleId,
    /// 0: what is no device's.
    pub device: DeviceNumber,
    /// The rule's fingerprint: stored state of another is not taken up again.
    pub fingerprint: u64,
    /// None: there is nothing to store any more.
    pub body: Option<Json>,
}

/// The twins that the engine must know before it can go on.
#[derive(Clone, Debug, Default)]
pub struct MissingTwins {
    pub devices: Vec<DeviceId>,
    /// Patterns: every device that they match.
    pub selectors: Vec<Selector>,
}

impl EffectId {
    /// Reads it back from the idempotency key that it is.
    #[must_use]
    pub fn parse(key: &str) -> Option<Self> {
        let mut parts = key.split(':');
        let (run, step, nth) = (parts.next()?, parts.next()?, parts.next()?);
        Some(Self { run: RunId::parse(run)?, step: step.parse().ok()?, nth: nth.parse().ok()? })
    }
}

impl std::fmt::Display for EffectId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.run, self.step, self.nth)
    }
}

impl EffectResult {
    /// It failed: the stable word of what was wrong, and a sentence.
    #[must_use]
    pub fn failed(word: &str, detail: impl Into<String>) -> Self {
        Self { failed: Some((word.into(), detail.into())), ..Self::default() }
    }
}
