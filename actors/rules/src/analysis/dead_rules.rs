//! Rules that can never fire, or never run.

use super::overlap::{EPOCH, facts};
use super::{MOST_WARNINGS, Warning, all_of};
use crate::model::{Condition, Rule, Trigger, TriggerKind};
use twinhub_domain::Timestamp;

pub fn never(rules: &[&Rule]) -> Vec<Warning> {
    let mut warnings = Vec::new();
    for rule in rules {
        let mut tell = |message: String| {
            if warnings.len() < MOST_WARNINGS {
                warnings.push(Warning::new("never", [rule.id.clone()], message));
            }
        };
        for (index, trigger) in rule.triggers.iter().enumerate() {
            if let Some(why) = never_fires(trigger) {
                tell(format!("trigger {} of `{}` can never fire: {why}", index + 1, rule.id));
            }
        }
        let mut impossible = false;
        all_of(&rule.conditions, &mut |condition| {
            if let Some(why) = never_holds(condition) {
                impossible = true;
                tell(format!("`{}` can never run: {why}", rule.id));
            }
        });
        if !impossible && let Some(why) = contradiction(rule) {
            tell(format!("`{}` can never run: {why}", rule.id));
        }
    }
    warnings
}

fn never_fires(trigger: &Trigger) -> Option<String> {
    match &trigger.kind {
        TriggerKind::Numeric { above: Some(above), below: Some(below), .. } if above == below => {
            Some(format!("nothing lies above {above} and below {below}"))
        }
        TriggerKind::Changed { from: Some(from), to: Some(to), .. } if from == to => {
            Some(format!("a change from {from} to {to} is none"))
        }
        TriggerKind::Cron { cron, .. } => {
            let next = cron.recurrence.after(Timestamp::from_millis(EPOCH));
            next.is_none().then(|| format!("`{}` names no time to come", cron.text))
        }
        _ => None,
    }
}

fn never_holds(condition: &Condition) -> Option<String> {
    match condition {
        Condition::Expression(expression) => match expression.constant()? {
            Some(true) => None,
            Some(false) => Some(format!("`{}` is never so", expression.text())),
            None => Some(format!("`{}` is never known", expression.text())),
        },
        Condition::Time { after: Some(after), before: Some(before), .. } if after == before => {
            Some(format!("no time is after {after} and before {before}"))
        }
        Condition::Time { .. } | Condition::Not(_) => None,
        Condition::All(parts) => parts.iter().find_map(never_holds),
        Condition::Any(parts) if parts.is_empty() => Some("`any` of nothing is never so".into()),
        Condition::Any(parts) => {
            let whys: Option<Vec<_>> = parts.iter().map(never_holds).collect();
            whys.map(|whys| whys.join(", and "))
        }
    }
}

/// Conditions that exclude each other, or the trigger: under every trigger.
fn contradiction(rule: &Rule) -> Option<String> {
    let mut first = None;
    for trigger in rule.triggers.iter() {
        // Whatever happened, a while later it may be otherwise.
        let facts = facts(rule, trigger);
        let pair = facts
            .iter()
            .enumerate()
            .find_map(|(index, a)| facts[index + 1..].iter().find(|b| a.excludes(b)).map(|_| a));
        let fact = pair?;
        let device = fact.device.as_ref().map_or("the device that fires it", |id| id.as_str());
        first = first
            .or_else(|| Some(format!("`{}` of {device} would have to be two things at once", fact.path)));
    }
    first
}
