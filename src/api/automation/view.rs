//! Rules and runs as answers show them.

use twinhub_actors::messages::automation::RuleView;
use twinhub_domain::run::RunEntry;
use twinhub_domain::{DeviceId, DeviceNumber, Json, Object, Timestamp};
use twinhub_rules::analysis::Warning;
use twinhub_rules::model::{RuleOrigin, RunMode, TriggerKind};
use twinhub_rules::{Rule, redaction};

/// The kinds of triggers, by the words they have in files.
pub const TRIGGERS: [&str; 10] =
    ["numeric", "changed", "event", "presence", "command", "alarm", "cron", "every", "mqtt", "webhook"];

/// The word of a trigger's kind.
#[must_use]
pub fn kind_of(trigger: &TriggerKind) -> &'static str {
    match trigger {
        TriggerKind::Numeric { .. } => "numeric",
        TriggerKind::Changed { .. } => "changed",
        TriggerKind::Event { .. } => "event",
        TriggerKind::Presence { .. } => "presence",
        TriggerKind::Command { .. } => "command",
        TriggerKind::Alarm { .. } => "alarm",
        TriggerKind::Cron { .. } => "cron",
        TriggerKind::Every { .. } => "every",
        TriggerKind::Mqtt { .. } => "mqtt",
        TriggerKind::Webhook { .. } => "webhook",
    }
}

/// `running`, `disabled`, or `stopped` by the breaker or a panic.
#[must_use]
pub fn status(stands: &RuleView) -> &'static str {
    match stands {
        RuleView { stopped: Some(_), .. } => "stopped",
        RuleView { enabled: false, .. } => "disabled",
        _ => "running",
    }
}

/// `file`, `api` or `template`.
#[must_use]
pub fn origin(origin: &RuleOrigin) -> &'static str {
    match origin {
        RuleOrigin::File(_) => "file",
        RuleOrigin::Api => "api",
        RuleOrigin::Template(_) => "template",
    }
}

/// A rule as lists show it. `last` is its last run; `warnings` are those of all rules.
#[must_use]
pub fn rule(stands: &RuleView, last: Option<&RunEntry>, warnings: &[Warning]) -> Object {
    let rule = &*stands.rule;
    // In the words of whoever wrote it, in whichever form.
    let source = rule.source.object();
    let zone = rule.zone(&source);
    let written = &redaction::hide(&stands.sent.clone().unwrap_or(source));
    let (file, template) = match &rule.origin {
        RuleOrigin::File(path) => (Json::from(&**path), Json::Null),
        RuleOrigin::Api => (Json::Null, Json::Null),
        RuleOrigin::Template(id) => (Json::Null, Json::from(&**id)),
    };
    let name = if rule.alias.is_empty() { rule.id.as_str() } else { &*rule.alias };
    let kinds = rule.triggers.iter().map(|trigger| Json::from(kind_of(&trigger.kind)));
    [
        ("id", Json::from(rule.id.as_str())),
        ("alias", Json::from(&*rule.alias)),
        ("name", name.into()),
        ("description", Json::from(&*rule.description)),
        ("enabled", stands.enabled.into()),
        ("is_enabled", stands.enabled.into()),
        ("enabled_status", stands.enabled.into()),
        ("status", status(stands).into()),
        ("stopped_reason", stands.stopped.as_deref().map_or(Json::Null, Json::from)),
        ("origin", origin(&rule.origin).into()),
        ("file", file),
        ("template_id", template),
        ("mode", mode(rule.mode).into()),
        ("timezone", zone.name().into()),
        ("priority", i64::from(rule.priority).into()),
        ("triggers", Json::Array(kinds.collect())),
        ("trigger_conditions", trigger_conditions(written)),
        ("schedule", written.get("schedule").cloned().unwrap_or_default()),
        ("actions", written.get("actions").cloned().unwrap_or_default()),
        ("last_run", last.map_or(Json::Null, last_run)),
        ("last_triggered", time(last.map(|run| run.at))),
        ("next_at", time(stands.next_at)),
        ("warnings", about(rule, warnings)),
        ("created_at", time(stands.created_at)),
        ("updated_at", time(stands.updated_at)),
    ]
    .into_iter()
    .collect()
}

/// The same with the rule as it was written.
#[must_use]
pub fn whole(stands: &RuleView, last: Option<&RunEntry>, warnings: &[Warning]) -> Object {
    let mut object = rule(stands, last, warnings);
    object.insert("rule", redaction::hide(&stands.rule.source.object()).into());
    object
}

/// A run, or why there was none.
#[must_use]
pub fn run(entry: &RunEntry) -> Object {
    entry.data()
}

/// The same in a list of a device's runs: its `role` is `fired`, `acted_on` where another device fired, or `left_alone`
/// where an action is for it that was not done.
#[must_use]
pub fn run_of(entry: &RunEntry, device: Option<(&DeviceId, DeviceNumber)>) -> Object {
    let mut run = run(entry);
    if let Some((id, number)) = device {
        let was_acted_on = || entry.actions.iter().any(|action| action.device.as_ref() == Some(id));
        let role = match entry.number == number {
            true => "fired",
            false if was_acted_on() => "acted_on",
            false => "left_alone",
        };
        run.insert("role", Json::from(role));
    }
    run
}

/// `{code, rules, message}`
#[must_use]
pub fn warning(warning: &Warning) -> Json {
    let rules = warning.rules.iter().map(|rule| Json::from(rule.as_str()));
    let members = [
        ("code", Json::from(warning.code)),
        ("rules", Json::Array(rules.collect())),
        ("message", Json::from(&*warning.message)),
    ];
    Json::Object(members.into_iter().collect())
}

fn about(rule: &Rule, warnings: &[Warning]) -> Json {
    let about = warnings.iter().filter(|warning| warning.rules.contains(&rule.id));
    Json::Array(about.map(warning).collect())
}

fn mode(mode: RunMode) -> &'static str {
    match mode {
        RunMode::Single => "single",
        RunMode::Restart => "restart",
        RunMode::Queued => "queued",
        RunMode::Parallel => "parallel",
    }
}

/// The triggers and conditions, as they were written.
fn trigger_conditions(written: &Object) -> Json {
    if let Some(conditions) = written.get("trigger_conditions") {
        return conditions.clone();
    }
    let part = |name: &'static str| written.get(name).map(|value| (name, value.clone()));
    Json::Object(["triggers", "conditions"].into_iter().filter_map(part).collect())
}

/// `{id, at, outcome, device_id}`
fn last_run(entry: &RunEntry) -> Json {
    let members = [
        ("id", Json::from(entry.id.to_string())),
        ("at", entry.at.to_string().into()),
        ("outcome", entry.outcome.as_str().into()),
        ("device_id", entry.device.as_ref().map_or(Json::Null, |device| device.as_str().into())),
    ];
    Json::Object(members.into_iter().collect())
}

fn time(at: Option<Timestamp>) -> Json {
    at.map_or(Json::Null, |at| at.to_string().into())
}
