//! Automation's stored data, and the queries for it.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use twinhub_access::{Reach, SecretId, UserId};
use twinhub_domain::alarm::{Alarm, Severity};
use twinhub_domain::run::{RuleId, RunEntry, RunId};
use twinhub_domain::{DeviceNumber, Object, Timestamp};
use twinhub_rules::ScopeSnapshot;
use twinhub_rules::engine::Delivery;

/// Automation's part of a commit. Of several values for the same thing in one batch the last counts.
#[derive(Clone, Debug, Default)]
pub struct AutomationChanges {
    /// The place in the sequence up to which the engine has come, and its time.
    pub progress: Option<EngineProgress>,
    /// Scopes of the engine that changed. Those of removed devices are not taken any more.
    pub kept: Vec<ScopeSnapshot>,
    /// Runs, new or come further. Rule, device, beginning and parent of a run stay as they were told first, and so
    /// does whether it ran at all. A run whose device is removed stays and is no device's (number 0) then.
    pub runs: Vec<RunEntry>,
    /// As they are now. Originator, type and when it was raised first stay. Those of removed devices go.
    pub alarms: Vec<Alarm>,
    pub rules: Vec<RuleRecord>,
    pub deliveries: Vec<DeliveryRecord>,
}

/// The engine's progress.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EngineProgress {
    pub seq: u64,
    pub time: Timestamp,
}

/// The stored state of a rule beside its file: the text of one that was made over the API, or a switch. A record
/// without either is removed.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleRecord {
    pub id: RuleId,
    /// The rule as it was sent, where it was made over the API.
    pub body: Option<Object>,
    /// The switch that people have set; none: as the rule's own text has it.
    pub enabled: Option<bool>,
    /// The author of that text, with whose rights the rule acts; none: it acts as the hub.
    pub author: Option<RuleAuthor>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// The author of a rule, or of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleAuthor {
    User(UserId),
    /// A key, a user's own or a service account's, by its id.
    Key(SecretId),
}

impl RuleAuthor {
    /// The author with the text that [`Self::fmt`](fmt::Display::fmt) writes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text.split_once(':')? {
            ("user", id) => Uuid::try_parse(id).ok().map(|id| Self::User(UserId(id))),
            ("key", id) => SecretId::parse(id).map(Self::Key),
            _ => None,
        }
    }
}

impl fmt::Display for RuleAuthor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(UserId(id)) => write!(f, "user:{id}"),
            Self::Key(id) => write!(f, "key:{}", id.as_str()),
        }
    }
}

/// A request outward, on its way or done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeliveryRecord {
    pub id: Uuid,
    pub rule: RuleId,
    pub run: RunId,
    pub delivery: Delivery,
    pub status: DeliveryStatus,
    pub attempts: u16,
    /// The time of the next attempt.
    pub next_at: Timestamp,
    /// The error of the last attempt; after success the answer's status.
    pub detail: Box<str>,
    pub created_at: Timestamp,
    pub ended_at: Option<Timestamp>,
}

/// The status of a request outward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryStatus {
    Waiting,
    Delivered,
    Failed,
}

/// A query for runs, and their order.
#[derive(Clone, Debug, Default)]
pub struct RunQuery {
    /// Runs that a device within it had a part in, and none beyond it.
    pub reach: Reach,
    pub rule: Option<RuleId>,
    /// Runs that this device fired, or that acted upon it, whatever came of that. An action names an id: it means the
    /// device that has this id when the run is committed. So an action upon an id without a device belongs to no
    /// device, also when one of that id comes later. A removed device has no part in any run any more, and another
    /// device of its id has none in earlier runs.
    pub device: Option<DeviceNumber>,
    /// The run that brought them about.
    pub parent: Option<RunId>,
    /// `running`, `done`, `failed`, `aborted`, `not_run`; empty means all.
    pub outcomes: Vec<String>,
    /// By when they began: from here on, inclusive.
    pub from: Option<Timestamp>,
    /// Up to here, exclusive.
    pub to: Option<Timestamp>,
    pub newest_first: bool,
    /// Only those behind this place, in the order asked for. The total counts the others too.
    pub after: Option<RunPlace>,
    pub offset: u64,
    pub limit: u64,
}

/// The place of a run in a list: runs that are added or deleted elsewhere do not move it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RunPlace {
    /// When the run began.
    pub at: Timestamp,
    /// The number that the store gave it as it was written first: each run has a larger one than those before it.
    pub seq: u64,
}

/// A page of runs.
#[derive(Clone, Debug, Default)]
pub struct RunPage {
    pub runs: Vec<RunEntry>,
    pub total: u64,
    /// Where the next page begins; none on the last.
    pub next: Option<RunPlace>,
}

/// A query for alarms; the newest raised come first.
#[derive(Clone, Debug, Default)]
pub struct AlarmQuery {
    /// Alarms of devices within it alone.
    pub reach: Reach,
    pub active: Option<bool>,
    pub acknowledged: Option<bool>,
    pub at_least: Option<Severity>,
    pub device: Option<DeviceNumber>,
    /// The rule that raised them last, or that they are about.
    pub rule: Option<RuleId>,
    pub alarm_type: Option<String>,
    /// By when they were raised first: from here on, inclusive.
    pub from: Option<Timestamp>,
    /// Up to here, exclusive.
    pub to: Option<Timestamp>,
    pub offset: u64,
    pub limit: u64,
}

/// A page of alarms.
#[derive(Clone, Debug, Default)]
pub struct AlarmPage {
    pub alarms: Vec<Alarm>,
    pub total: u64,
}

/// A query for requests outward; the newest come first.
#[derive(Clone, Debug, Default)]
pub struct DeliveryQuery {
    pub status: Option<DeliveryStatus>,
    pub run: Option<RunId>,
    pub offset: u64,
    pub limit: u64,
}

/// A page of requests outward.
#[derive(Clone, Debug, Default)]
pub struct DeliveryPage {
    pub deliveries: Vec<DeliveryRecord>,
    pub total: u64,
}

/// The stored state that the engine loads at start.
#[derive(Clone, Debug, Default)]
pub struct AutomationState {
    pub progress: Option<EngineProgress>,
    pub kept: Vec<ScopeSnapshot>,
    pub rules: Vec<RuleRecord>,
}

impl AutomationChanges {
    /// Is there nothing in it?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Self { progress, kept, runs, alarms, rules, deliveries } = self;
        progress.is_none()
            && kept.is_empty()
            && runs.is_empty()
            && alarms.is_empty()
            && rules.is_empty()
            && deliveries.is_empty()
    }

    /// Merges later writes into these.
    pub fn absorb(&mut self, later: Self) {
        let Self { progress, kept, runs, alarms, rules, deliveries } = later;
        self.progress = progress.or(self.progress);
        self.kept.extend(kept);
        self.runs.extend(runs);
        self.alarms.extend(alarms);
        self.rules.extend(rules);
        self.deliveries.extend(deliveries);
    }
}
