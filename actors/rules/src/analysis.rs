//! Static analysis of rules: conflicting writes, cycles, rules that can never fire, unknown names.
//!
//! It warns only of what it can show: where it is undecidable whether two selectors overlap or two conditions hold at
//! once, it is silent. Ten thousand rules are compared by their writes and triggers, and not pair by pair.

mod conflict;
mod cycles;
mod dead_rules;
mod overlap;
mod unknown;
mod writes;

use super::action::{Action, ActionKind, each_action};
use super::model::{Condition, Rule};
use twinhub_domain::run::RuleId;
use writes::{RuleWrite, writes};

pub(crate) use writes::WriteKind;

/// So many warnings of a kind are told; beyond that nobody reads them.
const MOST_WARNINGS: usize = 500;

/// Something that people should look at. Never an error.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Warning {
    /// `conflict`, `circle`, `never`, `unknown_device`, `unknown_group`, `unknown_rule`.
    pub code: &'static str,
    /// The rules it is about.
    pub rules: Vec<RuleId>,
    /// A sentence.
    pub message: String,
}

/// Analyses all rules together. `is_device` is true of known devices, `is_group` of groups that exist.
#[must_use]
pub fn analyse(
    rules: &[&Rule],
    is_device: &dyn Fn(&str) -> bool,
    is_group: &dyn Fn(&str) -> bool,
) -> Vec<Warning> {
    let writes: Vec<Vec<RuleWrite<'_>>> = rules.iter().map(|rule| writes(rule)).collect();
    let mut warnings = conflict::conflicts(rules, &writes);
    warnings.extend(cycles::circles(rules, &writes));
    warnings.extend(dead_rules::never(rules));
    warnings.extend(unknown::unknown(rules, is_device, is_group));
    warnings
}

/// The warnings about rules that run: a disabled rule conflicts with none, and the devices that it alone names need not
/// be known.
#[must_use]
pub fn of_running(mut warnings: Vec<Warning>, runs: &dyn Fn(&RuleId) -> bool) -> Vec<Warning> {
    warnings.retain_mut(|warning| match warning.code {
        "circle" => warning.rules.iter().all(runs),
        "conflict" => warning.rules.iter().filter(|rule| runs(rule)).count() > 1,
        _ => {
            warning.rules.retain(|rule| runs(rule));
            !warning.rules.is_empty()
        }
    });
    warnings
}

impl Warning {
    fn new(code: &'static str, rules: impl IntoIterator<Item = RuleId>, message: impl Into<String>) -> Self {
        Self { code, rules: rules.into_iter().collect(), message: message.into() }
    }
}

/// The action by which a rule reaches beyond devices, in words.
#[must_use]
pub fn leaves_devices(rule: &Rule) -> Option<String> {
    let mut found = None;
    each_action_of(rule, &mut |action| {
        if matches!(action.kind, ActionKind::Publish(_) | ActionKind::Webhook(_)) {
            let word = action.kind.word();
            found =
                Some(format!("`{word}` reaches beyond the devices: a rule with it is an admin's to make"));
        }
    });
    found
}

/// Calls `seen` with every action of a rule.
fn each_action_of<'a>(rule: &'a Rule, seen: &mut dyn FnMut(&'a Action)) {
    each_action(&rule.actions, seen);
    each_action(&rule.on_release, seen);
}

/// The conditions of a rule that must all hold, those within `all` too.
fn all_of<'a>(conditions: &'a [Condition], seen: &mut dyn FnMut(&'a Condition)) {
    for condition in conditions {
        match condition {
            Condition::All(parts) => all_of(parts, seen),
            other => seen(other),
        }
    }
}

#[cfg(test)]
mod tests;
