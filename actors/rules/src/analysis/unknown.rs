//! Unknown names in rules.

use std::collections::{BTreeMap, BTreeSet};

use super::{MOST_WARNINGS, Warning, each_action_of};
use crate::action::Reference;
use crate::expression::Dependency;
use crate::model::{Condition, Rule, Selector};
use twinhub_domain::run::RuleId;

/// The number of names for which the nearest known one is searched.
const HINTED: usize = 50;

pub fn unknown(
    rules: &[&Rule],
    is_device: &dyn Fn(&str) -> bool,
    is_group: &dyn Fn(&str) -> bool,
) -> Vec<Warning> {
    let mut groups: BTreeMap<&str, BTreeSet<&RuleId>> = BTreeMap::new();
    let mut devices: BTreeMap<String, BTreeSet<&RuleId>> = BTreeMap::new();
    let mut others: BTreeMap<&RuleId, BTreeSet<&RuleId>> = BTreeMap::new();
    for rule in rules {
        each_selector(rule, &mut |selector| {
            if let Selector::Where { group: Some(group), .. } = selector {
                groups.entry(group).or_default().insert(&rule.id);
            }
        });
        each_device(rule, &mut |id| {
            devices.entry(id.to_owned()).or_default().insert(&rule.id);
        });
        each_action_of(rule, &mut |action| {
            action.kind.references(&mut |reference| {
                if let Reference::Runs(other) | Reference::Switches(other) = reference {
                    others.entry(other).or_default().insert(&rule.id);
                }
            });
        });
    }
    let (known, unknown): (Vec<_>, Vec<_>) = devices.iter().partition(|(id, _)| is_device(id));
    let known: Vec<&str> = known.into_iter().map(|(id, _)| id.as_str()).collect();
    let names: BTreeSet<&str> = rules.iter().map(|rule| rule.id.as_str()).collect();
    let mut warnings = Vec::new();
    for (index, (id, by)) in unknown.into_iter().take(MOST_WARNINGS).enumerate() {
        let hint = if index < HINTED { hint(id, known.iter().copied()) } else { String::new() };
        let message = format!("unknown device `{id}`{hint}");
        warnings.push(Warning::new("unknown_device", by.iter().map(|id| (*id).clone()), message));
    }
    for (id, by) in groups.into_iter().filter(|(id, _)| !is_group(id)).take(MOST_WARNINGS) {
        let message = format!("there is no group `{id}`");
        warnings.push(Warning::new("unknown_group", by.into_iter().cloned(), message));
    }
    let missing = others.iter().filter(|(id, _)| !names.contains(id.as_str())).take(MOST_WARNINGS);
    for (index, (id, by)) in missing.enumerate() {
        let hint = if index < HINTED { hint(id.as_str(), names.iter().copied()) } else { String::new() };
        let message = format!("there is no rule `{id}`{hint}");
        warnings.push(Warning::new("unknown_rule", by.iter().map(|id| (*id).clone()), message));
    }
    warnings
}

/// The nearest name, if it is near: a slip of the fingers in every four letters.
fn hint<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let slips = known.map(|other| (strsim::damerau_levenshtein(name, other), other));
    let nearest = slips.min().filter(|(slips, _)| *slips <= (name.len() / 4).max(1));
    nearest.map(|(_, other)| format!("; did you mean `{other}`?")).unwrap_or_default()
}

/// Calls `seen` with everything by which a rule chooses devices.
fn each_selector<'a>(rule: &'a Rule, seen: &mut dyn FnMut(&'a Selector)) {
    rule.triggers.iter().filter_map(|trigger| trigger.kind.selector()).for_each(&mut *seen);
    each_action_of(rule, &mut |action| {
        action.kind.references(&mut |reference| {
            if let Reference::Devices(of) = reference {
                seen(of);
            }
        });
    });
}

/// Calls `seen` with every device that a rule names, some more than once.
fn each_device(rule: &Rule, seen: &mut dyn FnMut(&str)) {
    each_selector(rule, &mut |of| {
        if let Selector::Device(id) = of {
            seen(id.as_str());
        }
    });
    let dependencies = |all: Vec<Dependency>, seen: &mut dyn FnMut(&str)| {
        for dependency in all {
            if let Dependency::Device(id) = dependency {
                seen(id.as_str());
            }
        }
    };
    let condition = |condition: &Condition, seen: &mut dyn FnMut(&str)| {
        dependencies(condition.dependencies(), seen);
    };
    rule.conditions.iter().for_each(|part| condition(part, seen));
    each_action_of(rule, &mut |action| {
        action.kind.references(&mut |reference| match reference {
            Reference::Text(text) => dependencies(text.dependencies(), seen),
            Reference::Document(document) => dependencies(document.dependencies(), seen),
            Reference::Condition(part) => condition(part, seen),
            Reference::Devices(_) | Reference::Actions(_) | Reference::Runs(_) | Reference::Switches(_) => {}
        });
    });
}
