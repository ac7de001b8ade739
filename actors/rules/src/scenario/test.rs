//! A rule's test, as read from a file: its events with their times, and the expected effects.
//!
//! # How it is run
//! - The clock is at [`Test::start`] (the runner's own where it is none) when the test begins; every `at_ms` is counted
//!   from there.
//! - Every device that the file's rules or the test name by their id is there from the beginning: claimed,
//!   online, in mode `schedule`, without properties. Then `initially` holds: it changes twins and fires nothing.
//! - The events of `given` happen in order. Events of the same time happen in the order of the list.
//! - The last values hold: the time goes on to `until_ms`, and everything due by then is part of the test.
//! - The effects of rules are performed. A command is answered at once, as by `commands`.

use crate::model::AlarmBecomes;
use twinhub_domain::alarm::Severity;
use twinhub_domain::run::WhyNot;
use twinhub_domain::{CommandStatus, DeviceId, Json, Mode, Object, Status, Timestamp};

/// A test, read.
#[derive(Clone, Debug, PartialEq)]
pub struct Test {
    /// Its name; its number (`1`) where it has none.
    pub name: String,
    /// The time of its clock at the beginning; none: the runner's choice.
    pub start: Option<Timestamp>,
    /// The state of twins before it begins. Only `Reported`, `Twin` and `Status`.
    pub initially: Vec<Happening>,
    /// The events, in order of time.
    pub given: Vec<GivenEvent>,
    /// The end of the test, in ms after its start. Where the file gives none: after the last of `given`, the longest
    /// `for`, `delay`, `confirm` and `timeout` of the rule and the longest `every` of the test.
    pub until_ms: i64,
    /// The status that each command of a rule comes to, at once. `Pending`: none comes.
    pub commands: CommandStatus,
    /// The outcome that must come of it. Expectations that are not `not` and no [`Expectation::NotRun`] must come in
    /// this order; others may come between them unless `exactly`. None at all: nothing may be done.
    pub expect: Vec<Expected>,
    /// No effect but the expected ones may come.
    pub exactly: bool,
}

/// An event of a test.
#[derive(Clone, Debug, PartialEq)]
pub struct GivenEvent {
    /// After the start of the test, in ms.
    pub at_ms: i64,
    pub what: Happening,
}

/// The kinds of events.
#[derive(Clone, Debug, PartialEq)]
pub enum Happening {
    /// The device reports these, in one message: plain values as readings, the others as they are.
    Reported {
        device: DeviceId,
        values: Object,
    },
    /// The twin's document changes: a merge patch by section (`desired`, `tags`, `configuration`, `mode`, `name`,
    /// `type`, `group_id`…).
    Twin {
        device: DeviceId,
        patch: Object,
    },
    /// The device comes or goes.
    Status {
        device: DeviceId,
        status: Status,
    },
    /// The newest command of the device (of this type) comes to this state. Where there is none, one is made.
    Command {
        device: DeviceId,
        command_type: Option<Box<str>>,
        status: CommandStatus,
    },
    /// An alarm of the device, or of the rule where there is no device.
    Alarm {
        device: Option<DeviceId>,
        alarm_type: Box<str>,
        severity: Severity,
        becomes: AlarmBecomes,
    },
    Mqtt {
        topic: Box<str>,
        payload: Json,
    },
    Webhook {
        name: Box<str>,
        body: Json,
    },
    /// A person runs the rule by hand, its conditions holding.
    Run,
    /// The hub is down for `ms`, and then starts again with its stored state.
    Down {
        ms: i64,
    },
}

/// An effect that must come, or must not.
#[derive(Clone, Debug, PartialEq)]
pub struct Expected {
    /// As it is written, for messages: `command fan`, `not stale`.
    pub text: Box<str>,
    /// The effect must not come, from any rule, at any time.
    pub not: bool,
    pub what: Expectation,
    /// Exactly then, in ms after the start.
    pub at_ms: Option<i64>,
    /// Members that it must have; of objects in it again the given ones. By action: `command`: `type`, `parameters`;
    /// `desired`: `set`; `alarm`: `severity`, `message`, `device`; `clear`: `device`; `publish`: `payload`, `retain`;
    /// `webhook`: `method`, `body`; `log`: `level`, `message`.
    pub details: Object,
}

/// The thing that is looked for.
#[derive(Clone, Debug, PartialEq)]
pub enum Expectation {
    /// An effect with this word.
    Effect {
        word: &'static str,
        /// Its subject; none: anything. The URL of a webhook and the message of a log are named by a part.
        subject: Option<Box<str>>,
        by_part: bool,
        /// `mode fan manual`.
        mode: Option<Mode>,
    },
    /// The rule was looked at and did not run, for this reason (`not condition`, `not stale`). `not` is false.
    /// It stands apart from the order of the others.
    NotRun(WhyNot),
}

impl Default for Test {
    fn default() -> Self {
        Self {
            name: String::new(),
            start: None,
            initially: Vec::new(),
            given: Vec::new(),
            until_ms: 0,
            commands: CommandStatus::Executed,
            expect: Vec::new(),
            exactly: false,
        }
    }
}
