//! The devices that a rule's actions are for, whether they come to be done or not: a run that leaves a device alone is
//! told of in that device's journal too.

use std::collections::BTreeSet;

use super::index::RuleIndex;
use super::program::List;
use super::watched_twins::WatchedTwins;
use crate::action::{Action, Reference, each_action};
use crate::model::{Rule, Selector};
use twinhub_domain::DeviceId;
use twinhub_domain::run::RuleId;

/// A run is filed under so many devices at most that it left alone: a pattern may fit thousands.
const MOST: usize = 100;

/// By what actions choose devices, and those of the `rules` that they run; the one that fired the rule is left out,
/// which the run names itself. `rules` stand in the order of their ids.
pub(super) fn of(actions: &[Action], rules: &[Rule]) -> Box<[Selector]> {
    let (mut found, mut run) = (Vec::new(), BTreeSet::new());
    collect(actions, &mut found, &mut run);
    let mut looked_at = BTreeSet::new();
    while let Some(id) = run.pop_first() {
        if looked_at.insert(id)
            && let Ok(place) = rules.binary_search_by(|rule| rule.id.cmp(id))
        {
            let mut further = BTreeSet::new();
            collect(&rules[place].actions, &mut found, &mut further);
            run.extend(further.difference(&looked_at));
        }
    }
    found.into_iter().cloned().collect()
}

fn collect<'a>(actions: &'a [Action], found: &mut Vec<&'a Selector>, run: &mut BTreeSet<&'a RuleId>) {
    each_action(actions, &mut |action| {
        action.kind.references(&mut |reference| match reference {
            Reference::Devices(Selector::Trigger) => {}
            Reference::Devices(of) => found.push(of),
            Reference::Runs(rule) => {
                run.insert(rule);
            }
            _ => {}
        });
    });
}

/// The devices that the actions of a list name: one of them may stand in a branch that was not taken.
pub(super) fn named(index: &RuleIndex, rule: u32, list: List) -> Vec<DeviceId> {
    let named = index.targets(rule, list).iter().filter_map(|of| match of {
        Selector::Device(id) => Some(id.clone()),
        _ => None,
    });
    named.take(MOST).collect()
}

/// The devices that the actions of a list are for, each once.
pub(super) fn all(index: &RuleIndex, world: &WatchedTwins, rule: u32, list: List) -> Vec<DeviceId> {
    let mut found = BTreeSet::new();
    for selector in index.targets(rule, list) {
        found.extend(world.choose(selector, None));
        if found.len() >= MOST {
            break;
        }
    }
    found.into_iter().take(MOST).collect()
}
