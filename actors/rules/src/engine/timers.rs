//! When which scope is due next; those of one moment in the order in which rules have their turn.

use std::collections::{BTreeSet, HashMap};

use super::index::RuleIndex;
use super::scope::ScopeKey;
use twinhub_domain::{DeviceNumber, Timestamp};

/// A deadline for each scope that has one.
#[derive(Debug, Default)]
pub(super) struct ScopeTimers {
    /// With the rank of the rule.
    queue: BTreeSet<(Timestamp, u32, DeviceNumber)>,
    due: HashMap<ScopeKey, Timestamp>,
}

impl ScopeTimers {
    /// When anything is due.
    pub fn next(&self) -> Option<Timestamp> {
        self.queue.first().map(|(at, ..)| *at)
    }

    /// The scope that is due first, up to `until`, and when. It has no deadline then.
    pub fn pop(&mut self, index: &RuleIndex, until: Timestamp) -> Option<(Timestamp, ScopeKey)> {
        let (at, rank, device) = *self.queue.first()?;
        if at > until {
            return None;
        }
        self.queue.pop_first();
        let key = ScopeKey { device, rule: index.of_rank(rank) };
        self.due.remove(&key);
        Some((at, key))
    }

    /// Sets a scope's deadline, or takes it away.
    pub fn set(&mut self, index: &RuleIndex, key: ScopeKey, due: Option<Timestamp>) {
        let rank = index.rank(key.rule);
        let before = match due {
            Some(due) => self.due.insert(key, due),
            None => self.due.remove(&key),
        };
        if before == due {
            return;
        }
        if let Some(before) = before {
            self.queue.remove(&(before, rank, key.device));
        }
        if let Some(due) = due {
            self.queue.insert((due, rank, key.device));
        }
    }

    pub fn clear(&mut self) {
        self.queue.clear();
        self.due.clear();
    }
}
