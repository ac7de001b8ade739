//! The context of a trigger: how what it looks at stands, and what `trigger` is in conditions and messages.

use super::firing::data;
use super::index::becomes;
use super::latch::{TriggerLevel, threshold};
use super::watched_twins::{property, value_at};
use crate::model::{Path, Trigger, TriggerKind};
use twinhub_domain::alarm::{AlarmChange, Originator};
use twinhub_domain::command::CommandChange;
use twinhub_domain::{DeviceId, Event, EventKind, Json, Number, Object, ReadingTime, Timestamp, Twin};

/// The standing of what a trigger looks at; none where that is not known.
pub(super) fn stands(trigger: &Trigger, twin: &Twin) -> Option<TriggerLevel> {
    let is_so = |is_so: bool| Some(if is_so { TriggerLevel::Holds } else { TriggerLevel::Over });
    match &trigger.kind {
        TriggerKind::Numeric { property: name, above, below, release, .. } => {
            let number = property(&twin.reported, name)?.0.as_number()?;
            Some(threshold(number, above.as_ref(), below.as_ref(), release.as_ref()))
        }
        TriggerKind::Changed { path, to: Some(to), .. } => is_so(value_at(twin, path).as_ref() == Some(to)),
        TriggerKind::Presence { status, .. } => is_so(twin.presence.status == *status),
        _ => None,
    }
}

/// The reason why a trigger's value is too old to fire anything, where it is.
pub(super) fn stale(trigger: &Trigger, twin: &Twin, now: Timestamp) -> Option<String> {
    let TriggerKind::Numeric { property: name, max_age: Some(most), .. } = &trigger.kind else { return None };
    let age = now.millis() - property(&twin.reported, name)?.1.floor().millis();
    (age > *most).then(|| format!("the value is {} s old, and may be {} s", age / 1_000, most / 1_000))
}

/// The value of `trigger` where a trigger looks at a state.
pub(super) fn state_data(trigger: &Trigger, twin: &Twin, previous: Option<Json>, now: Timestamp) -> Object {
    match &trigger.kind {
        TriggerKind::Numeric { property: name, above, below, .. } => {
            let found = property(&twin.reported, name);
            let limit = |limit: &Option<Number>| limit.clone().map_or(Json::Null, Json::Number);
            let seen = [
                ("device", Json::from(twin.id.as_str())),
                ("property", Json::from(&**name)),
                ("value", found.map_or(Json::Null, |(value, _)| value.clone())),
                ("previous", previous.unwrap_or_default()),
                ("at", found.map_or(now.into(), |(_, at)| at).to_string().into()),
                ("above", limit(above)),
                ("below", limit(below)),
            ];
            data(&trigger.id, "numeric", seen)
        }
        TriggerKind::Changed { path, .. } => {
            changed_data(trigger, &twin.id, path, value_at(twin, path), previous, now.into())
        }
        kind => {
            let seen = [
                ("device", Json::from(twin.id.as_str())),
                ("value", twin.presence.status.as_str().into()),
                ("previous", previous.unwrap_or_default()),
                ("at", now.to_string().into()),
            ];
            data(&trigger.id, word(kind), seen)
        }
    }
}

pub(super) fn changed_data(
    trigger: &Trigger,
    device: &DeviceId,
    path: &Path,
    value: Option<Json>,
    previous: Option<Json>,
    at: ReadingTime,
) -> Object {
    let property = match path {
        Path::Reported(name) => name.to_string(),
        Path::Desired(name) => format!("desired.{name}"),
        Path::Tag(name) => format!("tags.{name}"),
        Path::Configuration(name) => format!("configuration.{name}"),
        Path::Mode => "mode".to_owned(),
        Path::Status => "status".to_owned(),
        Path::Profile(name) => name.to_string(),
    };
    let seen = [
        ("device", Json::from(device.as_str())),
        ("property", property.into()),
        ("value", value.unwrap_or_default()),
        ("previous", previous.unwrap_or_default()),
        ("at", at.to_string().into()),
    ];
    data(&trigger.id, "changed", seen)
}

pub(super) fn event_data(
    trigger: &Trigger,
    kinds: &[EventKind],
    wanted: &Object,
    event: &Event,
) -> Option<Object> {
    let kind = event.kind();
    if !kinds.is_empty() && !kinds.contains(&kind) {
        return None;
    }
    // Events of rules are none to a rule that did not ask for them: it would set itself off.
    if kind == EventKind::Rule && !kinds.contains(&EventKind::Rule) {
        return None;
    }
    let members = event.data();
    if !has(&members, wanted) {
        return None;
    }
    let seen = [
        ("device", id_or_null(&event.device)),
        ("event", kind.as_str().into()),
        ("data", members.into()),
        ("at", event.at.to_string().into()),
    ];
    Some(data(&trigger.id, "event", seen))
}

pub(super) fn command_data(
    trigger: &Trigger,
    change: &CommandChange,
    named: Option<Box<str>>,
    event: &Event,
) -> Option<Object> {
    use twinhub_domain::command::CommandStep;
    let TriggerKind::Command { command_type, status, .. } = &trigger.kind else { return None };
    let came_to = change.step.status();
    if matches!(change.step, CommandStep::Late(_)) || (!status.is_empty() && !status.contains(&came_to)) {
        return None;
    }
    let named = match &change.step {
        CommandStep::Queued(request) => Some(request.command_type.clone()),
        _ => named,
    };
    if command_type.is_some() && *command_type != named {
        return None;
    }
    let mut command = change.data();
    if let Some(named) = named {
        command.insert("type", Json::String(named));
    }
    let seen = [
        ("device", Json::from(event.device.as_str())),
        ("value", came_to.as_str().into()),
        ("command", command.into()),
        ("at", event.at.to_string().into()),
    ];
    Some(data(&trigger.id, "command", seen))
}

pub(super) fn alarm_data(trigger: &Trigger, change: &AlarmChange, event: &Event) -> Option<Object> {
    let TriggerKind::Alarm { alarm_type, at_least, becomes: wanted, .. } = &trigger.kind else { return None };
    let alarm = &change.alarm;
    let fits = becomes(change.step) == Some(*wanted)
        && alarm_type.as_ref().is_none_or(|wanted| *wanted == alarm.alarm_type)
        && at_least.is_none_or(|least| alarm.severity >= least);
    if !fits {
        return None;
    }
    let of = match &alarm.originator {
        Originator::Device(id) => ("device", id.as_str().into()),
        Originator::Rule(rule) => ("rule", rule.as_str().into()),
        Originator::Hub => ("hub", true.into()),
    };
    let members: Object = [
        ("type", Json::from(&*alarm.alarm_type)),
        ("severity", super::effect::severity_word(alarm.severity).into()),
        ("message", Json::from(&*alarm.message)),
        ("id", alarm.id.to_string().into()),
        of.clone(),
    ]
    .into_iter()
    .collect();
    let seen = [
        ("alarm", members.into()),
        ("value", Json::from(&*alarm.alarm_type)),
        of,
        ("at", event.at.to_string().into()),
    ];
    Some(data(&trigger.id, "alarm", seen))
}

/// Has `members` all members of `wanted`? Of objects in it, again those that are wanted.
pub(super) fn has(members: &Object, wanted: &Object) -> bool {
    wanted.iter().all(|(name, wanted)| match (members.get(name), wanted) {
        (Some(Json::Object(members)), Json::Object(wanted)) => has(members, wanted),
        (members, wanted) => members == Some(wanted),
    })
}

fn id_or_null(id: &DeviceId) -> Json {
    if id.is_none() { Json::Null } else { id.as_str().into() }
}

/// The word for a kind of trigger.
pub(super) fn word(kind: &TriggerKind) -> &'static str {
    match kind {
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
