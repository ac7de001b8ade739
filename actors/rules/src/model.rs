//! A rule, checked: everything in it makes sense by itself. The devices and groups in it may not exist (yet).

use std::fmt;
use std::sync::Arc;

use chrono::Weekday;
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::action::Action;
use super::expression::Expression;
pub use super::selector::{Glob, Selector};
use twinhub_domain::alarm::Severity;
use twinhub_domain::run::RuleId;
use twinhub_domain::{CommandStatus, EventKind, Json, Number, Object, Status};

/// A rule: triggers, conditions and actions. Its parts are shared: a copy costs little.
#[derive(Clone, Debug)]
pub struct Rule {
    pub id: RuleId,
    /// Its display name; empty where it has only its id.
    pub alias: Box<str>,
    pub description: Box<str>,
    pub origin: RuleOrigin,
    /// The switch in its text. People and other rules can set another, which is stored apart.
    pub enabled: bool,
    pub mode: RunMode,
    /// Runs at once (parallel) or waiting (queued) at most, for each device that triggers it.
    pub max: u16,
    /// While a rule of a higher priority holds a property, one of a lower does not write it.
    pub priority: i16,
    /// The rule may drive devices in manual mode too.
    pub even_in_manual: bool,
    /// The rest after a run in ms, for each device that triggers it.
    pub cooldown: Option<i64>,
    pub breaker: Breaker,
    pub on_error: OnError,
    pub triggers: Arc<[Trigger]>,
    /// All must hold.
    pub conditions: Arc<[Condition]>,
    pub actions: Arc<[Action]>,
    /// Run when the trigger's condition ends, if the rule ran for it.
    pub on_release: Arc<[Action]>,
    /// A hash of its behaviour: timers live on over a reload while it stays. Alias, description, tests, whether it is
    /// enabled and its place do not count.
    pub fingerprint: u64,
    /// The rule as it was written, as JSON: the API's answer.
    pub source: SourceDocument,
}

impl Rule {
    /// The zone by whose clock it goes: its own, or that of its first schedule. `source` is its source.
    #[must_use]
    pub fn zone(&self, source: &Object) -> Tz {
        let own = source.get("timezone").and_then(Json::as_str).and_then(|name| name.parse().ok());
        let of_schedule = || {
            self.triggers.iter().find_map(|trigger| match &trigger.kind {
                TriggerKind::Cron { cron, .. } => Some(cron.zone),
                _ => None,
            })
        };
        own.or_else(of_schedule).unwrap_or(Tz::UTC)
    }
}

/// A document as it was written, seldom looked at: as text it takes a third of the memory that its parts take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceDocument(Arc<str>);

impl SourceDocument {
    /// The parsed document.
    #[must_use]
    pub fn object(&self) -> Object {
        serde_json::from_str(&self.0).unwrap_or_default() // it was an object when it was written
    }
}

impl From<Object> for SourceDocument {
    fn from(object: Object) -> Self {
        Self(Json::Object(object).to_string().into())
    }
}

impl Default for SourceDocument {
    fn default() -> Self {
        Object::default().into()
    }
}

/// The origin of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RuleOrigin {
    /// A rule file, by its path below the rules folder: read-only for the API.
    File(Arc<str>),
    Api,
    /// A template, by its id: it changes with that, and is read-only for the API.
    Template(Arc<str>),
}

/// The treatment of a trigger while the rule still runs for the same device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunMode {
    /// The trigger is ignored.
    #[default]
    Single,
    /// The run is given up and begins anew.
    Restart,
    /// The trigger waits until the run is over.
    Queued,
    /// Both run.
    Parallel,
}

/// The treatment of later actions after one that failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnError {
    #[default]
    Stop,
    Continue,
}

/// The treatment of a deadline over a time in which the hub was down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AcrossDowntime {
    /// The deadline stays: the time went on.
    #[default]
    Hold,
    /// The deadline begins again at the start.
    Restart,
}

/// More runs than these for one device within this time stop the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breaker {
    pub runs: u16,
    pub within_ms: i64,
}

/// A trigger of a rule.
#[derive(Clone, Debug)]
pub struct Trigger {
    /// Its name in conditions and messages (`trigger.id`); empty where it has none.
    pub id: Box<str>,
    pub kind: TriggerKind,
    /// The time for which it must hold before it fires, in ms. Only `numeric`, `changed` with `to`, and `presence`.
    pub for_ms: Option<i64>,
    pub across_downtime: AcrossDowntime,
}

/// The kinds of triggers.
#[derive(Clone, Debug)]
pub enum TriggerKind {
    /// A number goes beyond a threshold. With both, it lies between them (`above` < `below`) or outside.
    Numeric {
        of: Selector,
        property: Box<str>,
        above: Option<Number>,
        below: Option<Number>,
        /// Armed again only when the value has come back this far. Without it: when it is not beyond any more.
        release: Option<Number>,
        /// Older values than this, in ms, fire nothing.
        max_age: Option<i64>,
    },
    /// Something in the twin's document changes.
    Changed { of: Selector, path: Path, from: Option<Json>, to: Option<Json> },
    /// Anything happens.
    Event {
        of: Selector,
        /// Empty: any.
        kinds: Vec<EventKind>,
        /// Members that the event's `data` must have.
        data: Object,
    },
    /// A device comes or goes.
    Presence { of: Selector, status: Status },
    /// A command comes to one of these states.
    Command { of: Selector, command_type: Option<Box<str>>, status: Vec<CommandStatus> },
    /// An alarm is raised, cleared or acknowledged.
    Alarm {
        of: Option<Selector>,
        alarm_type: Option<Box<str>>,
        at_least: Option<Severity>,
        becomes: AlarmBecomes,
    },
    /// At these times of the clock on the wall.
    Cron { cron: Cron, missed: MissedTimes, missed_within_ms: Option<i64> },
    /// At every whole multiple of `every_ms` since 1970-01-01T00:00Z.
    Every { every_ms: i64 },
    /// A message on a topic (`+` and `#` as in MQTT). Retained ones fire nothing.
    Mqtt { topic: Box<str>, payload: Option<Json> },
    /// A request to `/api/automation/webhooks/{name}`.
    Webhook {
        name: Box<str>,
        /// The key by which a request that is signed needs no other.
        secret: Option<WebhookSecret>,
    },
}

/// The times of a cron trigger.
#[derive(Clone, Debug)]
pub struct Cron {
    /// As it was written.
    pub text: Box<str>,
    /// The zone of its wall clock.
    pub zone: Tz,
    pub recurrence: Arc<twinhub_domain::schedule::Recurrence>,
}

/// The treatment of times that passed while the hub was down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MissedTimes {
    #[default]
    Skip,
    /// The last of them is made up for.
    RunOnce,
    /// Each of them is, in order.
    RunAll,
}

/// A change of an alarm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AlarmBecomes {
    #[default]
    Raised,
    Cleared,
    Acknowledged,
}

/// A place in a twin's document.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Path {
    /// A property that the device reports; deeper members by dots.
    Reported(Box<str>),
    Desired(Box<str>),
    Tag(Box<str>),
    Configuration(Box<str>),
    Mode,
    Status,
    /// A text of the head: `name`, `type`, `group_id`, `firmware_version`…
    Profile(Box<str>),
}

/// A condition.
#[derive(Clone, Debug)]
pub enum Condition {
    Expression(Expression),
    /// The time of day, from `after` (inclusive) to `before` (exclusive), over midnight where `after` is later.
    Time {
        after: Option<TimeOfDay>,
        before: Option<TimeOfDay>,
        weekdays: Vec<Weekday>,
        zone: Tz,
    },
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(Box<Condition>),
}

/// Seconds since midnight on the clock on the wall.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeOfDay(pub u32);

/// The key of a webhook's signatures, or the name of the environment variable that holds it.
#[derive(Clone, PartialEq, Eq)]
pub enum WebhookSecret {
    Text(Box<str>),
    Environment(Box<str>),
}

/// The level of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    Debug,
    #[default]
    Info,
    Warn,
    Error,
}

impl Default for Breaker {
    /// Six a second for ten seconds: no rule that steers a device means that.
    fn default() -> Self {
        Self { runs: 60, within_ms: 10_000 }
    }
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(_) => f.write_str("Text(…)"),
            Self::Environment(name) => f.debug_tuple("Environment").field(name).finish(),
        }
    }
}
