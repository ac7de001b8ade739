//! Checkpoints: how scopes are stored and taken up again, and what becomes of them when rules change.

use serde::{Deserialize, Serialize};

use super::ScopeSnapshot;
use super::clock::{clocks, next};
use super::index::RuleIndex;
use super::scope::{RuleState, ScopeKey, ScopeState};
use super::state::EngineState;
use crate::model::Rule;
use twinhub_domain::run::RunOutcome;
use twinhub_domain::{DeviceNumber, Json, Timestamp};

/// A scope as it is kept: of device 0 with what is remembered of the rule.
#[derive(Debug, Default, Deserialize)]
struct StoredScope {
    #[serde(default)]
    scope: Option<ScopeState>,
    #[serde(default)]
    rule: Option<StoredRule>,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct StoredRule {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    enabled: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stopped: Option<Box<str>>,
    /// By trigger: up to when it is dealt with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    clocks: Vec<(u16, Timestamp)>,
}

impl EngineState {
    /// The scopes that changed, as they are stored.
    pub fn take_changes(&mut self, index: &RuleIndex) -> Vec<ScopeSnapshot> {
        let dirty = std::mem::take(&mut self.scopes.dirty);
        let snapshots = dirty.into_iter().map(|(rule, device)| {
            let Some(place) = index.find(&rule) else {
                return ScopeSnapshot { rule, device, fingerprint: 0, body: None };
            };
            let scope = self.scopes.get(ScopeKey { device, rule: place });
            let of_rule = (device.0 == 0).then(|| StoredRule::of(self.scopes.rule(place)));
            let of_rule = of_rule.filter(|of_rule| *of_rule != StoredRule::default());
            let body = (scope.is_some() || of_rule.is_some()).then(|| to_json(scope, of_rule)).flatten();
            ScopeSnapshot { fingerprint: index.rule(place).fingerprint, rule, device, body }
        });
        snapshots.collect()
    }

    /// Takes up what was stored.
    pub fn restore(&mut self, index: &RuleIndex, snapshots: Vec<ScopeSnapshot>) {
        for rule in &mut self.scopes.rules {
            rule.is_new = true;
        }
        for ScopeSnapshot { rule, device, fingerprint, body } in snapshots {
            let Some(place) = index.find(&rule) else {
                self.scopes.dirty.insert((rule, device)); // nobody asks for it any more
                continue;
            };
            if index.rule(place).fingerprint != fingerprint {
                self.scopes.dirty.insert((rule, device));
                continue;
            }
            let body: Option<StoredScope> =
                body.and_then(|body| serde_json::from_str(&body.to_string()).ok());
            let StoredScope { scope, rule: of_rule } = body.unwrap_or_default();
            if let Some(of_rule) = of_rule.filter(|_| device.0 == 0) {
                of_rule.restore(&mut self.scopes.rules[place as usize], index.rule(place));
            }
            if let Some(scope) = scope {
                self.scopes.by_key.insert(ScopeKey { device, rule: place }, scope);
            }
        }
        self.link_all(index);
        self.scopes.set_timers(index);
    }

    /// After an exchange of the rules: scopes of rules that did not change go on, the others are given up.
    pub fn take_over(&mut self, index: &RuleIndex, before: &RuleIndex, at: Timestamp) {
        let rules = std::mem::take(&mut self.scopes.rules);
        let scopes = std::mem::take(&mut self.scopes.by_key);
        let stays = |rule: u32| {
            let place = index.find(&before.rule(rule).id)?;
            (index.rule(place).fingerprint == before.rule(rule).fingerprint).then_some(place)
        };
        let places: Vec<Option<u32>> =
            (0..u32::try_from(before.rules.len()).unwrap_or(u32::MAX)).map(stays).collect();
        self.scopes.rules = (0u32..)
            .zip(&index.rules)
            .map(|(rule, _)| RuleState { clocks: clocks(index, rule, at), ..RuleState::default() })
            .collect();
        for ((old, state), place) in (0u32..).zip(rules).zip(&places) {
            let id = &before.rule(old).id;
            if let Some(place) = place {
                self.scopes.rules[*place as usize] = state;
            } else {
                self.scopes.dirty.insert((id.clone(), DeviceNumber(0)));
                // The switch that people set for it holds for its new form, too.
                if let Some(place) = index.find(id) {
                    self.scopes.rules[place as usize].enabled = state.enabled;
                }
            }
        }
        let mut given_up = Vec::new();
        for (key, scope) in scopes {
            match places[key.rule as usize] {
                Some(rule) => {
                    self.scopes.by_key.insert(ScopeKey { rule, device: key.device }, scope);
                }
                None => {
                    self.scopes.dirty.insert((before.rule(key.rule).id.clone(), key.device));
                    given_up.extend(scope.runs);
                }
            }
        }
        for mut run in given_up {
            run.entry.outcome = RunOutcome::Aborted { reason: "changed".into() };
            run.entry.ended_at = Some(at);
            self.say(run.entry, true);
        }
        for rule in index.clocks.iter().copied() {
            // A new one must be known to have been there, should the hub go down now.
            self.scopes.dirty.insert((index.rule(rule).id.clone(), DeviceNumber(0)));
        }
        self.link_all(index);
        self.scopes.set_timers(index);
    }
}

fn to_json(scope: Option<&ScopeState>, of_rule: Option<StoredRule>) -> Option<Json> {
    #[derive(Serialize)]
    struct ScopeRow<'a> {
        #[serde(skip_serializing_if = "Option::is_none")]
        scope: Option<&'a ScopeState>,
        #[serde(skip_serializing_if = "Option::is_none")]
        rule: Option<StoredRule>,
    }
    let bytes = serde_json::to_vec(&ScopeRow { scope, rule: of_rule }).ok()?;
    Json::parse(&bytes).ok()
}

impl StoredRule {
    fn of(state: &RuleState) -> Self {
        Self {
            enabled: state.enabled,
            stopped: state.stopped.clone(),
            clocks: state.clocks.iter().map(|clock| (clock.trigger, clock.done)).collect(),
        }
    }

    fn restore(self, state: &mut RuleState, rule: &Rule) {
        state.is_new = false;
        state.enabled = self.enabled.or(state.enabled);
        state.stopped = self.stopped;
        for (trigger, done) in self.clocks {
            if let Some(clock) = state.clocks.iter_mut().find(|clock| clock.trigger == trigger) {
                clock.done = done;
                clock.next = next(&rule.triggers[usize::from(trigger)], done);
            }
        }
    }
}
