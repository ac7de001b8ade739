//! The memory of a rule and a device, and of a rule as a whole.

use serde::{Deserialize, Serialize};

use super::latch::Latch;
use super::run::{RunState, earlier};
use twinhub_domain::run::{RunId, WhyNot};
use twinhub_domain::{DeviceId, DeviceNumber, Timestamp};

/// The key of a scope: ordered by device, so that all of one device's stand together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ScopeKey {
    /// 0: what is no device's.
    pub device: DeviceNumber,
    /// The rule's place in the index.
    pub rule: u32,
}

/// The memory of a rule and a device. One that is as it was at first is not kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct ScopeState {
    /// The device's id; none for what is no device's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceId>,
    /// By trigger; those that are not here are armed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub latches: Vec<(u16, Latch)>,
    /// The runs that go on and those that wait for their turn, in the order in which they were fired.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<RunState>,
    /// It rests until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rests_until: Option<Timestamp>,
    /// When the last runs began, as many as the breaker looks at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recent: Vec<Timestamp>,
    /// The last entry, where it was one that did not run: the same again is counted there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folded: Option<Box<FoldedEntry>>,
    /// The things that its rule has written, while it holds them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held: Vec<(DeviceId, HeldThing)>,
}

/// A thing that can be held: a property that was desired, a type of command.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum HeldThing {
    Property(Box<str>),
    Command(Box<str>),
}

/// The memory of an entry, so that the same again can be counted there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct FoldedEntry {
    pub id: RunId,
    pub at: Timestamp,
    pub count: u32,
    pub index: u16,
    pub why: WhyNot,
    /// The condition that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<u16>,
}

/// The memory of a rule as a whole.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct RuleState {
    /// The word of people and other rules.
    pub enabled: Option<bool>,
    /// The reason why it was stopped.
    pub stopped: Option<Box<str>>,
    /// Of its triggers by the clock: up to when they are dealt with, and when they are due next.
    pub clocks: Vec<ClockTrigger>,
    /// It was not there when the hub went down: it missed nothing.
    pub is_new: bool,
}

/// A trigger by the clock.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ClockTrigger {
    pub trigger: u16,
    pub done: Timestamp,
    pub next: Option<Timestamp>,
}

impl ScopeKey {
    /// The scope of a rule and a device, or of what is no device's.
    pub fn new(rule: u32, device: Option<&(DeviceId, DeviceNumber)>) -> Self {
        Self { device: device.map_or(DeviceNumber(0), |(_, number)| *number), rule }
    }

    /// The scope of what is no device's.
    pub fn of_rule(rule: u32) -> Self {
        Self::new(rule, None)
    }
}

impl ScopeState {
    /// Is there nothing worth remembering in it?
    pub fn is_empty(&self) -> bool {
        let Self { device: _, latches, runs, rests_until, recent, folded, held } = self;
        latches.is_empty()
            && runs.is_empty()
            && rests_until.is_none()
            && recent.is_empty()
            && folded.is_none()
            && held.is_empty()
    }

    /// When something in it is due next.
    pub fn due(&self) -> Option<Timestamp> {
        let latches = self.latches.iter().filter_map(|(_, latch)| match latch {
            Latch::Pending(pending) => Some(pending.until),
            Latch::Fired { .. } => None,
        });
        latches.chain(self.runs.iter().filter_map(RunState::due)).min()
    }

    /// The latch of a trigger; none: it is armed.
    pub fn latch(&self, trigger: u16) -> Option<&Latch> {
        self.latches.iter().find(|(of, _)| *of == trigger).map(|(_, latch)| latch)
    }

    /// Sets a trigger's latch, or arms it.
    pub fn set_latch(&mut self, trigger: u16, latch: Option<Latch>) {
        self.latches.retain(|(of, _)| *of != trigger);
        if let Some(latch) = latch {
            self.latches.push((trigger, latch));
            self.latches.sort_by_key(|(of, _)| *of);
        }
    }

    /// Does its rule still stand for what it wrote: does a run go on, or does what it ran for?
    pub fn is_holding(&self) -> bool {
        let fired = |latch: &Latch| matches!(latch, Latch::Fired { ran: Some(_) });
        !self.runs.is_empty() || self.latches.iter().any(|(_, latch)| fired(latch))
    }

    /// Forgets what time has made void.
    pub fn tidy(&mut self, now: Timestamp, breaker_ms: i64) {
        if self.rests_until.is_some_and(|until| until <= now) {
            self.rests_until = None;
        }
        let from = now.plus_millis(-breaker_ms);
        self.recent.retain(|at| *at > from);
    }
}

impl RuleState {
    /// When one of its triggers is due next.
    pub fn due(&self) -> Option<Timestamp> {
        self.clocks.iter().fold(None, |due, clock| earlier(due, clock.next))
    }
}
