//! A run under way, as it is kept.

use serde::{Deserialize, Serialize};

use super::program::{ActionPath, List};
use twinhub_domain::run::{ActionSeen, RunEntry, RunId, RunKind};
use twinhub_domain::{CommandId, CommandStatus, DeviceId, Json, Timestamp};

/// A run that has not come to its end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct RunState {
    pub entry: RunEntry,
    pub list: List,
    /// The step of the program that it stands at.
    pub at: u32,
    pub waits: RunWait,
    /// The trigger whose latch it was fired by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latch: Option<u16>,
    /// It makes up for a time that passed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub made_up: bool,
    /// By so many ms the hub's clock was set since it was fired.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub shifted_ms: i64,
    /// Commands of this step that are to be executed before it goes on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub confirms: Vec<AwaitedCommand>,
}

/// The thing that a run waits for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum RunWait {
    /// Its turn.
    Turn(TurnWait),
    /// The answers to what it asked for in its step.
    Acts {
        open: Vec<OpenRequest>,
        /// The stable word of the first that failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failed: Option<Box<str>>,
    },
    Delay {
        until: Timestamp,
    },
    /// Its commands to be executed.
    Confirm {
        until: Timestamp,
    },
    /// A condition to hold.
    Condition {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
        /// When to look again though nothing happens: a condition about the time.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        look: Option<Timestamp>,
    },
}

/// The reason why it is not its turn yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum TurnWait {
    /// A run is about to come to its end or to a wait: what becomes of this one is decided then. So how long
    /// the hub takes over an effect changes nothing.
    Undecided,
    /// It stands in the queue.
    Queued,
    /// It is what is done when this run's trigger is over.
    After(RunId),
}

/// A request that is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OpenRequest {
    pub nth: u32,
    /// Its line among the entry's actions.
    pub line: u32,
    /// Its place among all effects that the engine asked for: after a restart they are done again in this order.
    #[serde(default)]
    pub order: u64,
}

/// A command that is waited for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct AwaitedCommand {
    pub nth: u32,
    pub line: u32,
    pub device: DeviceId,
    pub command: Option<CommandId>,
    /// The status that it came to.
    pub status: Option<CommandStatus>,
}

/// A line of a run's entry.
pub(super) struct ActionLine<'a> {
    place: &'a ActionPath,
    /// The word for its action.
    kind: &'a str,
    device: Option<DeviceId>,
    data: Json,
    result: &'a str,
}

impl<'a> ActionLine<'a> {
    /// One about no device.
    pub fn new(place: &'a ActionPath, kind: &'a str, data: Json, result: &'a str) -> Self {
        Self { place, kind, device: None, data, result }
    }

    /// The same about a device.
    pub fn of(self, device: Option<DeviceId>) -> Self {
        Self { device, ..self }
    }
}

impl RunState {
    /// Writes a line into the run's entry.
    pub fn line(&mut self, line: ActionLine<'_>, at: Timestamp) -> &mut ActionSeen {
        let ActionLine { place, kind, device, data, result } = line;
        let (path, kind, result) = (place.path(self.list), kind.into(), result.into());
        let detail = "".into();
        let line = ActionSeen { path, kind, device, data, at, result, detail, seq: None, made: None };
        self.entry.actions.push(line);
        let last = self.entry.actions.len() - 1;
        &mut self.entry.actions[last]
    }

    /// Writes into the last line of the entry how it went.
    pub fn settle_line(&mut self, result: &str, detail: &str) {
        if let Some(line) = self.entry.actions.last_mut() {
            line.result = result.into();
            line.detail = detail.into();
        }
    }

    /// When it was fired, by the clock as it goes now.
    pub fn fired_at(&self) -> Timestamp {
        self.entry.at.plus_millis(self.shifted_ms)
    }

    /// When it goes on though nothing happens.
    pub fn due(&self) -> Option<Timestamp> {
        match self.waits {
            RunWait::Turn(_) | RunWait::Acts { .. } => None,
            RunWait::Delay { until } | RunWait::Confirm { until } => Some(until),
            RunWait::Condition { until, look } => earlier(until, look),
        }
    }

    /// Has it begun?
    pub fn is_going(&self) -> bool {
        !matches!(self.waits, RunWait::Turn(_))
    }

    /// Is it going on with its rule's actions?
    pub fn is_main(&self) -> bool {
        self.is_going() && self.entry.kind != RunKind::Release
    }

    /// Is it about to come to its end or to a wait?
    pub fn is_hurrying(&self) -> bool {
        self.is_main() && matches!(self.waits, RunWait::Acts { .. })
    }
}

fn is_zero(millis: &i64) -> bool {
    *millis == 0
}

/// The earlier of two, where there are any.
pub(super) fn earlier(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
