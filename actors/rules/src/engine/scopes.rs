//! The engine's memory by rule and device, and by rule: what is stored of it, and when which part of it is due.

use std::collections::{BTreeMap, BTreeSet};

use super::clock::next;
use super::held_index::HeldIndex;
use super::index::RuleIndex;
use super::latch::Latch;
use super::run::earlier;
use super::scope::{HeldThing, RuleState, ScopeKey, ScopeState};
use super::timers::ScopeTimers;
use crate::model::AcrossDowntime;
use twinhub_domain::run::RuleId;
use twinhub_domain::{DeviceId, DeviceNumber, Timestamp};

/// The memory of all rules.
#[derive(Debug, Default)]
pub(super) struct RuleScopes {
    pub by_key: BTreeMap<ScopeKey, ScopeState>,
    /// By rule.
    pub rules: Vec<RuleState>,
    timers: ScopeTimers,
    /// The holds of the scopes.
    pub holds: HeldIndex,
    /// Scopes that were changed and not looked after yet.
    touched: BTreeSet<ScopeKey>,
    /// Scopes whose stored form is behind.
    pub dirty: BTreeSet<(RuleId, DeviceNumber)>,
}

impl RuleScopes {
    pub fn get(&self, key: ScopeKey) -> Option<&ScopeState> {
        self.by_key.get(&key)
    }

    /// A scope, to be changed.
    pub fn entry(&mut self, key: ScopeKey, device: Option<&DeviceId>) -> &mut ScopeState {
        self.touched.insert(key);
        let scope = self.by_key.entry(key).or_default();
        if scope.device.is_none() {
            scope.device = device.cloned();
        }
        scope
    }

    /// A scope that is there, to be changed.
    pub fn get_mut(&mut self, key: ScopeKey) -> Option<&mut ScopeState> {
        let scope = self.by_key.get_mut(&key)?;
        self.touched.insert(key);
        Some(scope)
    }

    pub fn rule(&self, rule: u32) -> &RuleState {
        &self.rules[rule as usize]
    }

    /// The memory of a rule, to be changed.
    pub fn rule_mut(&mut self, rule: u32) -> &mut RuleState {
        self.touched.insert(ScopeKey::of_rule(rule));
        &mut self.rules[rule as usize]
    }

    pub fn touch(&mut self, key: ScopeKey) {
        self.touched.insert(key);
    }

    /// Does the rule run?
    pub fn is_enabled(&self, index: &RuleIndex, rule: u32) -> bool {
        self.rule(rule).enabled.unwrap_or(index.rule(rule).enabled)
    }

    pub fn keys(&self) -> Vec<ScopeKey> {
        self.by_key.keys().copied().collect()
    }

    /// The scopes of a rule.
    pub fn keys_of(&self, rule: u32) -> Vec<ScopeKey> {
        self.by_key.keys().filter(|key| key.rule == rule).copied().collect()
    }

    /// The scopes of a device.
    pub fn keys_of_device(&self, device: DeviceNumber) -> Vec<ScopeKey> {
        let (first, last) = (ScopeKey { device, rule: 0 }, ScopeKey { device, rule: u32::MAX });
        self.by_key.range(first..=last).map(|(key, _)| *key).collect()
    }

    /// A scope stands for what it wrote.
    pub fn hold(&mut self, key: ScopeKey, held: (DeviceId, HeldThing)) {
        let scope = self.entry(key, None);
        if !scope.held.contains(&held) {
            scope.held.push(held.clone());
            self.holds.add(key, held);
        }
    }

    /// Drops a scope with all that points to it.
    pub fn forget(&mut self, key: ScopeKey) {
        self.touched.insert(key);
        let Some(scope) = self.by_key.remove(&key) else { return };
        for held in &scope.held {
            self.holds.release(key, held);
        }
    }

    /// Looks after the scopes that were changed: their timers, what they hold, whether they are worth keeping.
    pub fn settle(&mut self, index: &RuleIndex, now: Timestamp) {
        while let Some(key) = self.touched.pop_first() {
            self.dirty.insert((index.rule(key.rule).id.clone(), key.device));
            if let Some(scope) = self.by_key.get_mut(&key) {
                scope.tidy(now, index.rule(key.rule).breaker.within_ms);
                if !scope.held.is_empty() && !scope.is_holding() {
                    for held in std::mem::take(&mut scope.held) {
                        self.holds.release(key, &held);
                    }
                }
                if scope.is_empty() {
                    self.by_key.remove(&key);
                }
            }
            self.set_timer(index, key);
        }
    }

    /// When anything is due.
    pub fn next(&self) -> Option<Timestamp> {
        self.timers.next()
    }

    /// The scope that is due first, up to `until`, and when.
    pub fn pop_due(&mut self, index: &RuleIndex, until: Timestamp) -> Option<(Timestamp, ScopeKey)> {
        let (at, key) = self.timers.pop(index, until)?;
        self.touched.insert(key); // it gets its next time when it is looked after
        Some((at, key))
    }

    /// Makes the timers anew: the rules have other numbers now, or the clock was set.
    pub fn set_timers(&mut self, index: &RuleIndex) {
        self.timers.clear();
        let mut keys = self.keys();
        keys.extend(index.clocks.iter().map(|rule| ScopeKey::of_rule(*rule)));
        for key in keys {
            self.set_timer(index, key);
        }
    }

    fn set_timer(&mut self, index: &RuleIndex, key: ScopeKey) {
        let of_rule = if key.device.0 == 0 { self.rule(key.rule).due() } else { None };
        let due = earlier(of_rule, self.get(key).and_then(ScopeState::due));
        self.timers.set(index, key, due);
    }

    /// Everything of a trigger by the clock up to `done` is dealt with.
    pub fn set_clock(&mut self, index: &RuleIndex, rule: u32, place: usize, done: Timestamp) {
        if let Some(clock) = self.rule_mut(rule).clocks.get_mut(place) {
            clock.done = done;
            let trigger = index.rule(rule).triggers.get(usize::from(clock.trigger));
            clock.next = trigger.and_then(|trigger| next(trigger, done));
        }
    }

    /// A `for` that begins again over a time in which nothing was heard.
    pub fn restart_latches(&mut self, index: &RuleIndex, at: Timestamp) {
        for (key, scope) in &mut self.by_key {
            for (trigger, latch) in &mut scope.latches {
                let trigger = index.rule(key.rule).triggers.get(usize::from(*trigger));
                if let (Latch::Pending(pending), Some(trigger)) = (latch, trigger)
                    && trigger.across_downtime == AcrossDowntime::Restart
                {
                    pending.since = at;
                    pending.until = at.plus_millis(trigger.for_ms.unwrap_or_default());
                    self.touched.insert(*key);
                }
            }
        }
    }
}
