//! How scopes are kept, and taken up again; and what becomes of them when rules change.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::book::Book;
use super::clock::{clocks, next, rule_key};
use super::run::Waits;
use super::scope::{Key, Level, Scope};
use super::state::State;
use super::work::Work;
use super::{Act, ActId, Kept};
use twinhub_domain::run::RuleId;
use twinhub_domain::run::RunOutcome;
use twinhub_domain::{DeviceNumber, Json, Timestamp};

/// A scope as it is kept: of device 0 with what is remembered of the rule.
#[derive(Debug, Default, Deserialize)]
struct Body {
    #[serde(default)]
    scope: Option<Scope>,
    #[serde(default)]
    rule: Option<OfRule>,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct OfRule {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    enabled: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stopped: Option<Box<str>>,
    /// By trigger: up to when it is dealt with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    clocks: Vec<(u16, Timestamp)>,
}

impl State {
    /// The scopes that changed, as they are kept.
    pub fn take_changes(&mut self, book: &Book) -> Vec<Kept> {
        let dirty = std::mem::take(&mut self.dirty);
        let kept = dirty.into_iter().map(|(rule, device)| {
            let Some(place) = book.find(&rule) else {
                return Kept { rule, device, fingerprint: 0, body: None };
            };
            let scope = self.scopes.get(&Key { device, rule: place });
            let of_rule = (device.0 == 0).then(|| OfRule::of(&self.levels[place as usize]));
            let of_rule = of_rule.filter(|of_rule| *of_rule != OfRule::default());
            let body = (scope.is_some() || of_rule.is_some()).then(|| to_json(scope, of_rule)).flatten();
            Kept { fingerprint: book.rule(place).fingerprint, rule, device, body }
        });
        kept.collect()
    }
}

fn to_json(scope: Option<&Scope>, of_rule: Option<OfRule>) -> Option<Json> {
    #[derive(Serialize)]
    struct Out<'a> {
        #[serde(skip_serializing_if = "Option::is_none")]
        scope: Option<&'a Scope>,
        #[serde(skip_serializing_if = "Option::is_none")]
        rule: Option<OfRule>,
    }
    let bytes = serde_json::to_vec(&Out { scope, rule: of_rule }).ok()?;
    Json::parse(&bytes).ok()
}

impl OfRule {
    fn of(level: &Level) -> Self {
        Self {
            enabled: level.enabled,
            stopped: level.stopped.clone(),
            clocks: level.clocks.iter().map(|clock| (clock.trigger, clock.done)).collect(),
        }
    }
}

impl Work<'_> {
    /// Takes up what was kept.
    pub fn restore(&mut self, kept: Vec<Kept>) {
        for level in &mut self.state.levels {
            level.is_new = true;
        }
        for Kept { rule, device, fingerprint, body } in kept {
            let Some(place) = self.book.find(&rule) else {
                self.state.dirty.insert((rule, device)); // nobody asks for it any more
                continue;
            };
            if self.book.rule(place).fingerprint != fingerprint {
                self.state.dirty.insert((rule, device));
                continue;
            }
            let body: Option<Body> = body.and_then(|body| serde_json::from_str(&body.to_string()).ok());
            let Body { scope, rule: of_rule } = body.unwrap_or_default();
            if let Some(of_rule) = of_rule.filter(|_| device.0 == 0) {
                self.restore_level(place, of_rule);
            }
            if let Some(scope) = scope {
                self.state.scopes.insert(Key { device, rule: place }, scope);
            }
        }
        self.link_all();
        self.state.retime_all(self.book);
    }

    fn restore_level(&mut self, rule: u32, of_rule: OfRule) {
        let book = self.book;
        let level = &mut self.state.levels[rule as usize];
        level.is_new = false;
        level.enabled = of_rule.enabled.or(level.enabled);
        level.stopped = of_rule.stopped;
        for (trigger, done) in of_rule.clocks {
            if let Some(clock) = level.clocks.iter_mut().find(|clock| clock.trigger == trigger) {
                clock.done = done;
                clock.next = next(&book.rule(rule).triggers[usize::from(trigger)], done);
            }
        }
    }

    /// Finds again by what the runs are found.
    fn link_all(&mut self) {
        self.state.running.clear();
        self.state.waiting.clear();
        self.state.confirming.clear();
        self.state.holds.clear();
        let keys: Vec<Key> = self.state.scopes.keys().copied().collect();
        for key in keys {
            let Some(scope) = self.state.scopes.get(&key) else { continue };
            let scope = scope.clone();
            for run in &scope.runs {
                self.state.running.insert(run.entry.id, key);
                for confirm in run.confirms.iter().filter(|confirm| confirm.status.is_none()) {
                    self.state.confirming.extend(confirm.command.map(|command| (command, run.entry.id)));
                }
                if let Waits::Acts { open, .. } = &run.waits {
                    self.state.asked = open.iter().map(|open| open.order).fold(self.state.asked, u64::max);
                }
                self.link_wait(key, run);
            }
            for held in scope.held {
                self.state.holds.entry(held).or_default().push(key);
            }
        }
    }

    /// After an exchange of the rules: scopes of rules that did not change go on, the others are given up.
    pub fn take_over(
        &mut self,
        before: &Book,
        levels: Vec<Level>,
        scopes: BTreeMap<Key, Scope>,
        at: Timestamp,
    ) {
        let stays = |rule: u32| {
            let place = self.book.find(&before.rule(rule).id)?;
            (self.book.rule(place).fingerprint == before.rule(rule).fingerprint).then_some(place)
        };
        let places: Vec<Option<u32>> =
            (0..u32::try_from(before.rules.len()).unwrap_or(u32::MAX)).map(stays).collect();
        self.state.levels = (0u32..)
            .zip(&self.book.rules)
            .map(|(rule, _)| Level { clocks: clocks(self.book, rule, at), ..Level::default() })
            .collect();
        for ((old, level), place) in (0u32..).zip(levels).zip(&places) {
            let id = &before.rule(old).id;
            if let Some(place) = place {
                self.state.levels[*place as usize] = level;
            } else {
                self.state.dirty.insert((id.clone(), DeviceNumber(0)));
                // What people said of it holds for its new form, too.
                if let Some(place) = self.book.find(id) {
                    self.state.levels[place as usize].enabled = level.enabled;
                }
            }
        }
        let mut given_up = Vec::new();
        for (key, scope) in scopes {
            match places[key.rule as usize] {
                Some(rule) => {
                    self.state.scopes.insert(Key { rule, device: key.device }, scope);
                }
                None => {
                    self.state.dirty.insert((before.rule(key.rule).id.clone(), key.device));
                    given_up.extend(scope.runs);
                }
            }
        }
        for mut run in given_up {
            run.entry.outcome = RunOutcome::Aborted { reason: "changed".into() };
            run.entry.ended_at = Some(at);
            self.state.say(run.entry, true);
        }
        for rule in self.book.clocks.iter().copied() {
            // A new one must be known to have been there, should the hub go down now.
            self.state.dirty.insert((self.book.rule(rule).id.clone(), DeviceNumber(0)));
        }
        self.link_all();
        self.state.retime_all(self.book);
    }

    /// A rule runs from now on, or does not. Then it forgets all that it waited for, and is armed anew; what had
    /// stopped it is forgotten either way.
    pub fn enable(&mut self, id: &RuleId, enabled: bool, at: Timestamp) {
        let Some(rule) = self.book.find(id) else { return };
        let was_enabled = self.state.is_enabled(self.book, rule);
        let level = self.state.level(rule);
        level.enabled = Some(enabled);
        if enabled {
            level.stopped = None;
        }
        if was_enabled && !enabled {
            for key in self.keys_of(rule) {
                self.abort_all(key, "disabled", at);
                self.state.forget(key);
            }
        }
        self.state.touch(rule_key(rule));
        self.drain();
    }

    /// A device is gone, with all that was remembered of it.
    pub fn forget_device(&mut self, device: DeviceNumber, at: Timestamp) {
        let (first, last) = (Key { device, rule: 0 }, Key { device, rule: u32::MAX });
        let keys: Vec<Key> = self.state.scopes.range(first..=last).map(|(key, _)| *key).collect();
        for key in keys {
            self.abort_all(key, "device_deleted", at);
            self.state.forget(key);
        }
        self.drain();
    }

    /// Acts that have not been answered, made again from what was written down of them, in the order in which they
    /// were asked for.
    pub fn unanswered(&self, scopes: &BTreeMap<Key, Scope>) -> Vec<Act> {
        let mut acts = Vec::new();
        for (key, scope) in scopes {
            for run in &scope.runs {
                let (Waits::Acts { open, .. }, Some(action)) = (&run.waits, self.action(*key, run)) else {
                    continue;
                };
                for open in open {
                    let Some(line) = run.entry.actions.get(open.line as usize) else { continue };
                    let id = ActId { run: run.entry.id, step: run.at, nth: open.nth };
                    let asked = super::deed::Asked { device: line.device.clone(), data: line.data.clone() };
                    if let Some(deed) = self.deed(*key, run, &action.what, &asked, id) {
                        let (rule, cause) = (run.entry.rule.clone(), self.cause(*key, run));
                        acts.push((open.order, Act { id, rule, cause, deed }));
                    }
                }
            }
        }
        acts.sort_by_key(|(order, act)| (*order, act.id));
        acts.into_iter().map(|(_, act)| act).collect()
    }
}
