//! Shapes of rules, of what they did, and of what they would have done.
#![expect(dead_code, reason = "described, never made")]

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use crate::api::alarms::schema::DeliveryItem;
use crate::api::schema::words::{
    RuleMode, RuleOrigin, RuleStatus, RunKind, RunOutcome, RunRole, TriggerKind, WhyNot,
};
use crate::api::schema::{Object, TriggerCause};
use crate::http::problem::RuleError;

/// A rule.
#[derive(ToSchema)]
pub struct RuleItem {
    #[schema(example = "greenhouse-cool")]
    id: String,
    alias: String,
    /// Its alias, or its id.
    #[schema(example = "Cool the greenhouse")]
    name: String,
    description: String,
    enabled: bool,
    /// The same as `enabled`.
    is_enabled: bool,
    /// The same as `enabled`.
    enabled_status: bool,
    status: RuleStatus,
    /// The reason why it was stopped.
    stopped_reason: Option<String>,
    origin: RuleOrigin,
    /// Below the rules folder.
    #[schema(example = "greenhouse.yaml")]
    file: Option<String>,
    /// The template that it is of; it changes with that alone.
    template_id: Option<String>,
    mode: RuleMode,
    /// By whose clock it goes: its own `timezone`, its file's, or that of its first schedule; `UTC` without any.
    #[schema(example = "Europe/Berlin")]
    timezone: String,
    priority: i16,
    /// Their kinds.
    triggers: Vec<TriggerKind>,
    /// Its triggers and conditions, as they were written.
    trigger_conditions: serde_json::Value,
    /// Its schedule, where it was written with one; else null, and among `triggers` and `trigger_conditions`.
    schedule: serde_json::Value,
    /// As they were written.
    actions: serde_json::Value,
    last_run: Option<LastRun>,
    /// When it ran last.
    #[schema(format = DateTime)]
    last_triggered: Option<String>,
    /// When its next time trigger is due.
    #[schema(format = DateTime)]
    next_at: Option<String>,
    /// Warnings about it, for people.
    warnings: Vec<WarningItem>,
    /// Null for a rule of a file that nobody has switched.
    #[schema(format = DateTime)]
    created_at: Option<String>,
    #[schema(format = DateTime)]
    updated_at: Option<String>,
}

/// The last run of a rule.
#[derive(ToSchema)]
pub struct LastRun {
    id: String,
    #[schema(format = DateTime)]
    at: String,
    outcome: RunOutcome,
    /// The device that set it off.
    device_id: Option<String>,
}

/// A rule with all that is written in it.
#[derive(ToSchema)]
pub struct RuleDetail {
    #[schema(inline)]
    #[serde(flatten)]
    item: RuleItem,
    /// As it was written.
    rule: Object,
}

/// A rule: the shape of rule files (`/api/automation/schema.json`), or the form `name, trigger_conditions, actions,
/// schedule, enabled_status`.
#[derive(ToSchema)]
#[schema(example = json!({
    "id": "greenhouse-cool",
    "triggers": [{"numeric": "greenhouse.temperature", "above": 28, "release": 26, "for": "5m"}],
    "conditions": ["fan.mode != \"manual\""],
    "actions": [{"command": "fan", "type": "set", "parameters": {"power": "on"}}],
}))]
pub struct NewRule {
    /// 1 to 128 of `A-Z a-z 0-9 . _ : -`; made from the name when none is given.
    id: Option<String>,
    alias: Option<String>,
    description: Option<String>,
    enabled: Option<bool>,
    /// `single` (by default), `restart`, `queued` or `parallel`.
    mode: Option<String>,
    triggers: Option<Vec<Object>>,
    /// Expressions, or objects with `all`, `any`, `not` or `time`; all must hold.
    conditions: Option<Vec<Object>>,
    actions: Option<Vec<Object>>,
    on_release: Option<Vec<Object>>,
    /// Of the other form.
    name: Option<String>,
    /// Of the other form: conditions nested in `and` and `or`.
    trigger_conditions: Option<Object>,
    /// Of the other form.
    schedule: Option<serde_json::Value>,
    /// Of the other form.
    enabled_status: Option<bool>,
}

/// A rule was taken away.
#[derive(ToSchema)]
pub struct RuleRemoved {
    id: String,
    message: String,
}

/// A run that was asked for.
#[derive(ToSchema)]
pub struct RunAccepted {
    rule_id: String,
    /// The place in the sequence of what asked for it; the run names it as `trigger.seq`. For callers who see all devices.
    #[schema(nullable = false)]
    seq: Option<u64>,
    /// The same as text: events since then have the run.
    cursor: String,
}

/// Something was taken in.
#[derive(ToSchema)]
pub struct EventAccepted {
    /// Its place in the sequence. Not for keys of a webhook alone, and for callers who see a part of the devices.
    #[schema(nullable = false)]
    seq: Option<u64>,
}

/// A run, or why there was none.
#[derive(ToSchema)]
pub struct RunItem {
    #[schema(example = "0198a5dd-ac96-774b-bcce-b302099a8057")]
    id: String,
    #[schema(example = "greenhouse-cool")]
    rule_id: String,
    /// The device that set it off; null for a time, a topic, a person.
    #[schema(example = "greenhouse")]
    device_id: Option<String>,
    #[schema(format = DateTime)]
    at: String,
    #[schema(format = DateTime)]
    ended_at: Option<String>,
    kind: RunKind,
    trigger: TriggerItem,
    conditions: Vec<ConditionItem>,
    outcome: RunOutcome,
    /// Of `not_run` alone.
    #[schema(nullable = false)]
    why: Option<WhyNot>,
    /// Of `not_run` alone: the same as a sentence.
    #[schema(nullable = false)]
    detail: Option<String>,
    /// Of `failed` and `aborted` alone.
    #[schema(nullable = false)]
    reason: Option<String>,
    actions: Vec<ActionItem>,
    /// The run that brought about what set this one off.
    parent_id: Option<String>,
    /// The number of runs above this one.
    depth: u8,
    /// The number of times in a row that the same was found.
    count: u32,
    /// When it was found last.
    #[schema(format = DateTime)]
    last_at: String,
    /// Of several the first. Only where runs are listed with `device_id=`.
    #[schema(nullable = false)]
    role: Option<RunRole>,
}

/// The trigger that set a rule off.
#[derive(ToSchema)]
pub struct TriggerItem {
    /// The place of the trigger in the rule, from 0.
    index: u16,
    #[schema(example = "numeric")]
    kind: String,
    /// The members of `trigger` in the rule's expressions.
    #[schema(example = json!({"value": 28.5, "property": "temperature"}))]
    data: Object,
    /// The event's place in the sequence.
    seq: Option<u64>,
    cause: Option<TriggerCause>,
}

/// A condition as it was found.
#[derive(ToSchema)]
pub struct ConditionItem {
    #[schema(example = "fan.mode != \"manual\"")]
    text: String,
    /// Null: it is not known.
    holds: Option<bool>,
    terms: Vec<TermItem>,
}

/// A part of a condition as it was found.
#[derive(ToSchema)]
pub struct TermItem {
    text: String,
    /// The value of each name in it.
    #[schema(example = json!({"fan.mode": "manual"}))]
    values: Object,
    holds: Option<bool>,
    /// The reason why it is not known.
    #[schema(nullable = false)]
    unknown: Option<String>,
}

/// An action as it went.
#[derive(ToSchema)]
pub struct ActionItem {
    #[schema(example = "actions[0]")]
    path: String,
    #[schema(example = "command")]
    kind: String,
    device_id: Option<String>,
    /// The arguments of the action; null of a kind that has none.
    data: serde_json::Value,
    #[schema(format = DateTime)]
    at: String,
    /// `ok`, `waiting`, `skipped`, or what was wrong: `manual_mode`, `unknown_device`, `outranked`…
    #[schema(example = "ok")]
    result: String,
    #[schema(nullable = false)]
    detail: Option<String>,
    /// The place in the sequence of what it brought about.
    #[schema(nullable = false)]
    seq: Option<u64>,
    /// The command, alarm or delivery that it made.
    #[schema(nullable = false)]
    made: Option<String>,
}

/// A run with its causes and effects.
#[derive(ToSchema)]
pub struct RunDetail {
    #[schema(inline)]
    #[serde(flatten)]
    item: RunItem,
    /// The runs that brought it about, the nearest first.
    above: Vec<RunItem>,
    /// The runs that it brought about.
    below: Vec<RunItem>,
    /// The requests that it sent. Left out where the caller has not the permission `administer`.
    #[schema(nullable = false)]
    deliveries: Option<Vec<DeliveryItem>>,
}

/// Something that people should look at.
#[derive(Debug, Serialize, ToSchema)]
pub struct WarningItem {
    /// `conflict`, `circle`, `never`, `unknown_device`, `unknown_group` or `unknown_rule`.
    #[schema(example = "conflict")]
    pub code: &'static str,
    /// The rules that it is about.
    pub rules: Vec<String>,
    pub message: String,
}

/// A rule file that does not check out.
#[derive(Debug, Serialize, ToSchema)]
pub struct BrokenFile {
    /// Below the rules folder.
    #[schema(example = "greenhouse.yaml")]
    pub path: String,
    pub problems: Vec<RuleError>,
}

/// The verdict on a rule file.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct Checked {
    /// It checks out; its tests may fail all the same.
    pub ok: bool,
    /// The names of its rules.
    pub rules: Vec<String>,
    pub problems: Vec<RuleError>,
    pub warnings: Vec<WarningItem>,
    pub tests: Vec<CheckedTest>,
}

/// A test in a rule file, and how it went.
#[derive(Debug, Serialize, ToSchema)]
pub struct CheckedTest {
    pub rule: String,
    pub name: String,
    pub passed: bool,
    /// The result that was expected, and the one that came instead.
    pub failure: Option<String>,
    /// Actions that failed, each with its time and reason; also where the test passed.
    pub failed_actions: Vec<String>,
}

/// The outcome of a test.
#[derive(Debug, Serialize, ToSchema)]
pub struct TestVerdict {
    pub name: String,
    pub passed: bool,
    /// The result that was expected, and the one that came instead.
    pub failure: Option<String>,
    /// Actions that failed, each with its time and reason; also where the test passed.
    #[schema(example = json!(["5m actions/1 command fan: refused: the device was retired"]))]
    pub failed_actions: Vec<String>,
}

/// The runs that rules would have had.
#[derive(ToSchema)]
pub struct BacktestResult {
    #[schema(format = DateTime)]
    from: String,
    #[schema(format = DateTime)]
    to: String,
    rules: Vec<String>,
    /// 10,000 at most.
    runs: Vec<RunItem>,
    /// True where there are more runs than are listed.
    truncated: bool,
    /// By outcome: `{"done": 3, "not_run": 10}`.
    counts: BTreeMap<String, u64>,
    /// Beside what the version that runs would have done; null where none runs.
    compared: Option<Compared>,
    /// The number of events that were replayed.
    events: u64,
    /// The time that the replay took.
    #[schema(example = "1s 250ms")]
    took: String,
}

/// Two versions of a rule over the same past.
#[derive(ToSchema)]
pub struct Compared {
    /// Runs of both.
    same: u64,
    only_candidate: Vec<RunItem>,
    only_running: Vec<RunItem>,
}

/// A query for rules: the filter and the page.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct RuleListing {
    /// Rules that look at this device or do something to it.
    device_id: Option<String>,
    /// With a trigger of one of these kinds: `numeric`, `changed`, `event`, `presence`, `command`, `alarm`, `cron`,
    /// `every`, `mqtt`, `webhook`.
    r#type: Option<String>,
    /// The same, in another system's word.
    rule_type: Option<String>,
    enabled: Option<bool>,
    /// `running`, `disabled` or `stopped`.
    status: Option<String>,
    /// `file`, `api` or `template`.
    origin: Option<String>,
    /// Part of the id, alias or description.
    q: Option<String>,
    /// From 1.
    page: Option<u64>,
    /// 20 by default, 1,000 at most.
    limit: Option<u64>,
}

/// A query for runs: the filter and the page.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct JournalListing {
    /// Runs that this device set off, and runs with an action for it.
    device_id: Option<String>,
    /// One or several of `running`, `done`, `failed`, `aborted`, `not_run`.
    outcome: Option<String>,
    /// Runs that this run brought about.
    parent_id: Option<String>,
    /// Inclusive.
    from: Option<String>,
    /// Exclusive; a date means to the end of that day.
    to: Option<String>,
    /// `desc` (by default) or `asc`.
    order: Option<String>,
    /// Only runs behind this place: so the `next` in the `Link` of a page goes on, whatever comes in meanwhile. With `asc`
    /// a run that comes in later and began no later than the last one of the page before may stand in front of the place.
    after: Option<String>,
    /// From 1. In the place of `after`; `Link` then leads by numbers, and runs that come in between move the pages.
    page: Option<u64>,
    /// 20 by default, 1,000 at most.
    limit: Option<u64>,
}
