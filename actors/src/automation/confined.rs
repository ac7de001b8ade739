//! Rules and callers with a scope: the rules that they see, and what those that they make may do. A rule is within a
//! caller's reach where all devices that it names, looks at and acts upon are, now and later.

use std::collections::BTreeSet;

use crate::messages::automation::RuleCaller;
use crate::places::PlacesRead;
use twinhub_domain::run::RuleId;
use twinhub_rules::action::{Action, Reference, each_action};
use twinhub_rules::analysis::leaves_devices;
use twinhub_rules::expression::Dependency;
use twinhub_rules::model::TriggerKind;
use twinhub_rules::{Rule, Selector};

/// The bounds of the rules of a caller.
pub(super) struct RuleBounds<'a> {
    pub caller: &'a RuleCaller,
    pub places: PlacesRead<'a>,
}

impl RuleBounds<'_> {
    /// The first thing in the rule that the caller may not write, in words: an action of a kind that is an admin's, or a
    /// thing beyond their reach.
    /// `find` gives the other rules that it runs or switches.
    pub fn fault<'r>(&self, rule: &'r Rule, find: impl Fn(&RuleId) -> Option<&'r Rule>) -> Option<String> {
        let kind = if self.caller.may_leave_devices { None } else { leaves_devices(rule) };
        kind.or_else(|| self.beyond(rule, find))
    }

    /// The first thing in the rule that lies beyond the caller's reach, in words.
    pub fn beyond<'r>(&self, rule: &'r Rule, find: impl Fn(&RuleId) -> Option<&'r Rule>) -> Option<String> {
        if self.caller.reach.is_everywhere() {
            return None;
        }
        // And of the rules that it runs or switches.
        let (mut open, mut seen) = (vec![rule], BTreeSet::from([&rule.id]));
        while let Some(rule) = open.pop() {
            let mut others = Vec::new();
            let beyond = self.part_beyond(rule, &mut others);
            if beyond.is_some() {
                return beyond;
            }
            for id in others {
                match find(id) {
                    Some(other) if seen.insert(&other.id) => open.push(other),
                    Some(_) => {}
                    None => return Some(format!("the rule `{id}` is not in your scope")),
                }
            }
        }
        None
    }

    fn part_beyond<'r>(&self, rule: &'r Rule, others: &mut Vec<&'r RuleId>) -> Option<String> {
        let triggers = rule.triggers.iter().find_map(|trigger| match &trigger.kind {
            TriggerKind::Mqtt { topic, .. } => Some(format!("the topic `{topic}` may be any device's")),
            TriggerKind::Alarm { of: None, .. } => {
                Some("an alarm trigger needs a device or a group of your scope".to_owned())
            }
            kind => kind.selector().and_then(|of| self.selector_beyond(of)),
        });
        let conditions =
            || rule.conditions.iter().find_map(|of| self.dependencies_beyond(&of.dependencies()));
        let beyond = triggers.or_else(conditions);
        beyond
            .or_else(|| self.actions_beyond(&rule.actions, others))
            .or_else(|| self.actions_beyond(&rule.on_release, others))
    }

    fn actions_beyond<'r>(&self, actions: &'r [Action], others: &mut Vec<&'r RuleId>) -> Option<String> {
        let mut beyond = None;
        each_action(actions, &mut |action| {
            action.kind.references(&mut |reference| {
                let found = match reference {
                    Reference::Devices(of) => self.selector_beyond(of),
                    Reference::Text(text) => self.dependencies_beyond(&text.dependencies()),
                    Reference::Document(document) => self.dependencies_beyond(&document.dependencies()),
                    Reference::Condition(condition) => self.dependencies_beyond(&condition.dependencies()),
                    Reference::Actions(_) => None, // they come one by one
                    Reference::Runs(rule) | Reference::Switches(rule) => {
                        others.push(rule);
                        None
                    }
                };
                beyond = beyond.take().or(found);
            });
        });
        beyond
    }

    fn dependencies_beyond(&self, dependencies: &[Dependency]) -> Option<String> {
        dependencies.iter().find_map(|on| match on {
            Dependency::Device(device) => self.selector_beyond(&Selector::Device(device.clone())),
            Dependency::TriggerDevice => None, // a trigger chose it
        })
    }

    fn selector_beyond(&self, of: &Selector) -> Option<String> {
        let reach = &self.caller.reach;
        match of {
            Selector::Trigger => None,
            Selector::Device(id) if self.places.has(reach, id) => None,
            Selector::Device(id) => Some(format!("the device `{id}` is not in your scope")),
            Selector::Where { group: Some(group), .. } if reach.contains_group(group) => None,
            Selector::Where { group: Some(group), .. } => {
                Some(format!("the group `{group}` is not in your scope"))
            }
            Selector::Where { .. } | Selector::Glob(_) => {
                Some("devices are chosen by their ids, or by a group of your scope".to_owned())
            }
        }
    }
}
