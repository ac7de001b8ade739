//! The rules of a template: written as in rule files, for the devices that have it.
//!
//! A trigger without a device means the devices of the template: `numeric: temperature` and `changed: mode` (a property
//! without a dot), `{property: motor.rpm}` without a `device`, `event` and `alarm` without one, and `presence` and
//! `command` with nothing behind them. A trigger with devices means those.

use crate::FileProblem;
use crate::file::{SecretNames, parse_rule_with};
use twinhub_domain::json::{Json, Object};
use twinhub_domain::run::RuleId;

/// A template has at most this many rules.
const MOST: usize = 100;
/// The words that triggers are known by.
const KINDS: [&str; 10] =
    ["numeric", "changed", "event", "presence", "command", "alarm", "cron", "every", "mqtt", "webhook"];

/// Do the rules of a template check out? They may sign with these variables.
///
/// # Errors
/// Everything that is wrong with them, by pointers into the template.
pub(super) fn check(template: &str, rules: &Object, secrets: &SecretNames) -> Result<(), Vec<FileProblem>> {
    if rules.len() > MOST {
        let message = format!("a template has {MOST} rules at most, this one has {}", rules.len());
        return Err(vec![problem("/rules".into(), message)]);
    }
    let mut problems = Vec::new();
    for (name, rule) in rules.iter() {
        let place = format!("/rules/{}", name.replace('~', "~0").replace('/', "~1"));
        let id = match RuleId::of_template(template, name) {
            Ok(id) => id,
            Err(detail) => {
                problems.push(problem(place, detail));
                continue;
            }
        };
        let Json::Object(rule) = rule else {
            problems.push(problem(place, format!("expected a rule, found {}", rule.kind())));
            continue;
        };
        if rule.get("id").is_some() {
            let message = "a rule of a template is called by its name there: it has no `id`";
            problems.push(problem(format!("{place}/id"), message.into()));
        }
        if let Err(wrong) = parse_rule_with(&whole(template, &id, rule), secrets) {
            let within = |problem: FileProblem| FileProblem {
                pointer: format!("{place}{}", problem.pointer),
                ..problem
            };
            problems.extend(wrong.into_iter().map(within));
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// The rule as automation takes it.
pub(super) fn whole(template: &str, id: &RuleId, rule: &Object) -> Object {
    let mut whole = rule.clone();
    whole.insert("id", id.as_str().into());
    let ours = || Json::Object([("template", template.into())].into_iter().collect());
    let triggers = match rule.get("triggers") {
        Some(Json::Array(triggers)) => {
            Json::Array(triggers.iter().map(|trigger| of_devices(trigger, ours)).collect())
        }
        Some(trigger @ Json::Object(_)) => of_devices(trigger, ours),
        _ => return whole,
    };
    whole.insert("triggers", triggers);
    whole
}

/// The trigger with the devices `ours`, where it names none itself.
fn of_devices(trigger: &Json, ours: impl Fn() -> Json) -> Json {
    let Json::Object(trigger) = trigger else { return trigger.clone() };
    let mut whole = trigger.clone();
    let kind = match KINDS.into_iter().find(|kind| trigger.get(kind).is_some()) {
        Some(kind) => kind,
        // Without the word there is nothing else that they could be.
        None if trigger.get("becomes").is_some() => "presence",
        None if trigger.get("status").is_some() || trigger.get("type").is_some() => "command",
        None => return whole.into(),
    };
    match (kind, trigger.get(kind)) {
        ("numeric" | "changed", Some(Json::String(property))) if !property.contains('.') => {
            let place = [("device", ours()), ("property", Json::String(property.clone()))];
            whole.insert(kind, Json::Object(place.into_iter().collect()));
        }
        ("numeric" | "changed", Some(Json::Object(place))) if !has_value(place, "device") => {
            let mut place = place.clone();
            place.insert("device", ours());
            whole.insert(kind, place.into());
        }
        ("event" | "alarm", _) if !has_value(trigger, "device") => {
            whole.insert("device", ours());
        }
        ("presence" | "command", None | Some(Json::Null)) => {
            whole.insert(kind, ours());
        }
        ("presence" | "command", Some(Json::Object(nobody))) if nobody.is_empty() => {
            whole.insert(kind, ours());
        }
        _ => {}
    }
    whole.into()
}

fn has_value(object: &Object, key: &str) -> bool {
    object.get(key).is_some_and(|value| *value != Json::Null)
}

fn problem(pointer: String, message: String) -> FileProblem {
    FileProblem { line: 0, column: 0, pointer, message, hint: None }
}
