//! Rules that stand for what they wrote: while one of a higher priority holds a property or a type of command of a
//! device, one of a lower does not write it.

use std::collections::HashMap;

use super::index::RuleIndex;
use super::scope::{HeldThing, ScopeKey};
use twinhub_domain::DeviceId;
use twinhub_domain::run::RuleId;

/// The scopes that hold something, by what they hold.
#[derive(Debug, Default)]
pub(super) struct HeldIndex {
    by_held: HashMap<(DeviceId, HeldThing), Vec<ScopeKey>>,
}

impl HeldIndex {
    pub fn add(&mut self, key: ScopeKey, held: (DeviceId, HeldThing)) {
        self.by_held.entry(held).or_default().push(key);
    }

    pub fn release(&mut self, key: ScopeKey, held: &(DeviceId, HeldThing)) {
        if let Some(keys) = self.by_held.get_mut(held) {
            keys.retain(|holder| *holder != key);
            if keys.is_empty() {
                self.by_held.remove(held);
            }
        }
    }

    /// The rule of the highest priority above that of `key`'s that holds it.
    pub fn above<'a>(
        &self,
        index: &'a RuleIndex,
        key: ScopeKey,
        held: &(DeviceId, HeldThing),
    ) -> Option<&'a RuleId> {
        let mine = index.rule(key.rule).priority;
        let holders = self.by_held.get(held)?.iter().filter(|holder| holder.rule != key.rule);
        let higher = holders.map(|holder| index.rule(holder.rule)).filter(|rule| rule.priority > mine);
        higher.max_by_key(|rule| rule.priority).map(|rule| &rule.id)
    }

    pub fn clear(&mut self) {
        self.by_held.clear();
    }
}
