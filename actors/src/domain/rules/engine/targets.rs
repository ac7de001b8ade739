//! Whom a rule's actions are for, whether they come to be done or not: a run that leaves a device alone is told of in
//! that device's journal too.

use std::collections::BTreeSet;

use super::program::List;
use super::work::Work;
use crate::domain::DeviceId;
use crate::domain::rules::model::{Action, Selector, What};

/// A run is filed under so many devices at most that it left alone: a pattern may fit thousands.
const MOST: usize = 100;

/// By what actions choose devices; the one that fired the rule is left out, which the run names itself.
pub(super) fn of(actions: &[Action]) -> Box<[Selector]> {
    let mut found = Vec::new();
    collect(actions, &mut found);
    found.into_iter().cloned().collect()
}

fn collect<'a>(actions: &'a [Action], found: &mut Vec<&'a Selector>) {
    for action in actions {
        match &action.what {
            What::Command { to: of, .. } | What::Desired { to: of, .. } | What::Mode { of, .. } => {
                found.push(of);
            }
            What::Alarm { of, .. } | What::Clear { of, .. } => found.extend(of),
            What::Choose { branches, otherwise } => {
                branches.iter().for_each(|(_, actions)| collect(actions, found));
                collect(otherwise, found);
            }
            What::Publish { .. }
            | What::Webhook(_)
            | What::Wait { .. }
            | What::Log { .. }
            | What::Delay { .. }
            | What::Run { .. }
            | What::Enable { .. }
            | What::Disable { .. } => {}
        }
    }
    found.retain(|of| !matches!(of, Selector::Trigger));
}

impl Work<'_> {
    /// The devices that the actions of a list name: one of them may stand in a branch that was not taken.
    pub fn named_targets(&self, rule: u32, list: List) -> Vec<DeviceId> {
        let named = self.book.targets(rule, list).iter().filter_map(|of| match of {
            Selector::Device(id) => Some(id.clone()),
            _ => None,
        });
        named.take(MOST).collect()
    }

    /// The devices that the actions of a list are for, each once.
    pub fn targets(&self, rule: u32, list: List) -> Vec<DeviceId> {
        let mut found = BTreeSet::new();
        for selector in self.book.targets(rule, list) {
            found.extend(self.world.choose(selector, None));
            if found.len() >= MOST {
                break;
            }
        }
        found.into_iter().take(MOST).collect()
    }
}
