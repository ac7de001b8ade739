//! What automation keeps, and how it is asked for.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use twinhub_domain::alarm::{Alarm, Severity};
use twinhub_domain::run::{RuleId, RunEntry, RunId};
use twinhub_domain::{DeviceNumber, Object, Timestamp};
use twinhub_rules::ScopeSnapshot;
use twinhub_rules::engine::Delivery;

/// Automation's part of a commit. What is said twice in one batch counts as it was said last.
#[derive(Clone, Debug, Default)]
pub struct Automation {
    /// The place in the sequence up to which the engine has come, and its time.
    pub progress: Option<Progress>,
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

/// How far the engine has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    pub seq: u64,
    pub time: Timestamp,
}

/// What is known of a rule beside its file: one that was made over the API, or a word on whether it runs.
/// A record without either is removed.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleRecord {
    pub id: RuleId,
    /// The rule as it was sent, where it was made over the API.
    pub body: Option<Object>,
    /// What people said; none: as the rule says itself.
    pub enabled: Option<bool>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
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
    /// When it is tried (again).
    pub next_at: Timestamp,
    /// What was wrong the last time; after success the answer's status.
    pub detail: Box<str>,
    pub created_at: Timestamp,
    pub ended_at: Option<Timestamp>,
}

/// What became of a request outward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryStatus {
    Waiting,
    Delivered,
    Failed,
}

/// Which runs, in which order.
#[derive(Clone, Debug, Default)]
pub struct RunQuery {
    pub rule: Option<RuleId>,
    /// Which fired them or was acted upon by them, whatever came of that. An action knows an id: it stands for the
    /// device that is so called when the run is committed. So an action upon what is no device is nobody's, also when
    /// one of that id comes later; a device that is removed has no part in any run any more, and another of its
    /// id has none in what was done before.
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
    pub offset: u64,
    pub limit: u64,
}

/// A page of runs.
#[derive(Clone, Debug, Default)]
pub struct RunPage {
    pub runs: Vec<RunEntry>,
    pub total: u64,
}

/// Which alarms; the newest raised come first.
#[derive(Clone, Debug, Default)]
pub struct AlarmQuery {
    pub active: Option<bool>,
    pub acknowledged: Option<bool>,
    pub at_least: Option<Severity>,
    pub device: Option<DeviceNumber>,
    /// Which raised them last, or which they are about.
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

/// Which requests outward; the newest come first.
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

/// What the engine takes up at start.
#[derive(Clone, Debug, Default)]
pub struct AutomationState {
    pub progress: Option<Progress>,
    pub kept: Vec<ScopeSnapshot>,
    pub rules: Vec<RuleRecord>,
}

impl Automation {
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

    /// Takes in what was said later.
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
