//! The engine: takes the events of the one sequence and the time, and gives back effects.
//!
//! # How time goes
//! Its time goes back only where the hub's clock was set back ([`AutomationSignal::ClockMoved`](twinhub_domain::run::AutomationSignal)):
//! then every wait for the end of a time span waits for as long as before, and the clocks of rules go by the new time.
//! [`Engine::observe`] first advances the time to when the event was received, with everything that is due before;
//! [`Engine::advance`] advances it where nothing happens. Everything due runs at its own time, in order, however late
//! the call comes: so the same events give the same runs whenever they come. Only
//! [`AutomationSignal::Started`](twinhub_domain::run::AutomationSignal) is different: from `down_since` to it nothing was heard, and
//! everything due in between is treated by each rule's settings (`across_downtime`, `missed`).
//!
//! # What it keeps
//! By rule and device (number 0 for what has none) a scope: latches, deadlines, runs, cooldowns. Scopes that
//! changed are told by [`Engine::take_changes`], to be kept with the place in the sequence up to which they are
//! true. Started anew from them, with the events after that place, it makes the same runs again, by the same
//! names.
//!
//! # Its parts
//! - The index of the rules: `index`, with `program`, `targets`, `watch` and `keys`.
//! - The twins and groups: `world`, `regroup`, `rewind`.
//! - The memory: `state`, of `scopes` (with `scope`, `timers`, `holds`) and `run_index`; `checkpoint` stores it and takes
//!   it up.
//! - What fires: `triggers` (with `trigger_context` and `latch`), `signals`, `clock`.
//! - What becomes of a firing: `firing`, `arbitration`, `refusal`.
//! - How a run goes on: `run_loop`, `requests`, `waiting`; `evaluator` and `action_context` are what it reads.
//! - One step of all that, and how the time goes on: `stepper`, `due`, `moved`.
//! - What is said: `output`, `effect`.

mod action_context;
mod arbitration;
mod checkpoint;
mod clock;
mod clock_shift;
mod due;
mod effect;
mod evaluator;
mod firing;
mod group_changes;
mod held_index;
mod index;
mod keys;
mod latch;
mod output;
mod program;
mod refusal;
mod requests;
mod rewind;
mod run;
mod run_index;
mod run_loop;
mod scope;
mod scopes;
mod signals;
mod state;
mod stepper;
mod targets;
mod timers;
mod trigger_context;
mod trigger_ref;
mod triggers;
mod waiting_runs;
mod watched_twins;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use self::evaluator::Evaluator;
use self::index::RuleIndex;
use self::state::EngineState;
use self::stepper::Stepper;
use self::watched_twins::WatchedTwins;
use super::expression::Twins;
use super::model::{Rule, TriggerKind, WebhookSecret};
use twinhub_domain::fleet::GroupTree;
use twinhub_domain::run::AutomationSignal;
use twinhub_domain::run::RuleId;
use twinhub_domain::{EventBody, Recorded, Timestamp, Twin};

pub use self::effect::{Delivery, Effect};
pub use self::keys::webhook_keys;
pub use self::output::{
    EffectId, EffectRequest, EffectResult, EngineOutput, JournalEntry, MissingTwins, ScopeSnapshot,
};
pub use self::state::EngineCounts;

pub(crate) use self::action_context::{ActionContext, ActionFault, ActionRequest};
pub(crate) use self::effect::{EXPECTABLE, Expectable, Subject};

/// The rules at work.
#[derive(Debug, Default)]
pub struct Engine {
    index: RuleIndex,
    world: WatchedTwins,
    state: EngineState,
}

impl Engine {
    /// An engine without rules, its time standing at `now`.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        let mut engine = Self::default();
        engine.state.now = now;
        engine
    }

    /// Takes these rules in place of those it has. Rules with the same fingerprint keep all that waits; runs of
    /// others are given up, and entries say so.
    pub fn exchange(&mut self, rules: Vec<Rule>) -> EngineOutput {
        let before = std::mem::replace(&mut self.index, RuleIndex::new(rules));
        self.world.watch(&self.index, &before);
        self.state.take_over(&self.index, &before, self.state.now);
        self.output()
    }

    /// The twins that its rules look at and that it does not know yet. Also asked after an exchange while it runs.
    #[must_use]
    pub fn wants(&self) -> MissingTwins {
        self.world.wanted()
    }

    /// Sets the groups as of the engine's place in the sequence. To be called before twins are set; the engine follows
    /// their changes.
    pub fn know_groups(&mut self, tree: Arc<GroupTree>) {
        self.world.know_groups(tree);
    }

    /// The groups as it knows them.
    #[must_use]
    pub fn groups(&self) -> &Arc<GroupTree> {
        &self.world.tree
    }

    /// Sets a twin as of the engine's place in the sequence.
    pub fn know(&mut self, twin: Twin) {
        self.world.know(twin, &self.index);
    }

    /// Takes up what was kept. To be called after [`Engine::exchange`] and [`Engine::know`], before any event.
    pub fn restore(&mut self, snapshots: Vec<ScopeSnapshot>) {
        self.state.restore(&self.index, snapshots);
    }

    /// Takes twins that are ahead of the engine's place in the sequence back to before `past`, which is everything that
    /// happened in between. To be called after [`Engine::know`], before those events.
    pub fn rewind<'a>(&mut self, past: impl Iterator<Item = &'a Recorded> + Clone) {
        let now = self.state.now;
        self.world.rewind(past, now, &self.index);
    }

    /// Enables or disables `rule`; stored, and so kept over a reload. The signal
    /// [`Enabled`](twinhub_domain::run::AutomationSignal::Enabled) does the same. The next step has its consequences.
    pub fn set_enabled(&mut self, rule: &RuleId, enabled: bool) {
        let now = self.state.now;
        self.stepper().enable(rule, enabled, now);
    }

    /// The next event of the sequence.
    pub fn observe(&mut self, recorded: &Recorded) -> EngineOutput {
        let by_new_clock = self.state.moved.and_then(|moved| moved.translate(recorded));
        let is_over = |moved: clock_shift::ClockShift| moved.is_over(recorded.event.received_at);
        if by_new_clock.is_none() && self.state.moved.is_some_and(is_over) {
            self.state.moved = None;
        }
        self.observe_in_time(by_new_clock.as_ref().unwrap_or(recorded))
    }

    /// A moment by the clock as it goes now: one that was read just before the clock was set is taken along.
    #[must_use]
    pub fn by_new_clock(&self, at: Timestamp) -> Timestamp {
        self.state.moved.map_or(at, |moved| moved.by_new_clock(at))
    }

    fn observe_in_time(&mut self, recorded: &Recorded) -> EngineOutput {
        self.world.begin();
        let event = &recorded.event;
        match &event.body {
            EventBody::Signal(signal) => {
                let mut stepper = self.stepper();
                if !matches!(**signal, AutomationSignal::Started { .. } | AutomationSignal::ClockMoved { .. })
                {
                    stepper.advance(event.received_at);
                }
                stepper.signal(signal, recorded);
            }
            _ if event.device.is_none() => {
                self.stepper().advance(event.received_at);
                self.look_at(recorded);
            }
            _ => {
                self.stepper().advance(event.received_at);
                if self.world.ensure_known(event, &self.index) || !self.index.alarms.is_empty() {
                    self.look_at(recorded);
                }
            }
        }
        self.output()
    }

    /// Lets the time go on to `now`.
    pub fn advance(&mut self, now: Timestamp) -> EngineOutput {
        self.stepper().advance(now);
        self.output()
    }

    /// An effect that was asked for was done, or could not be.
    pub fn done(&mut self, id: EffectId, result: EffectResult, now: Timestamp) -> EngineOutput {
        let now = now.max(self.state.now);
        let mut stepper = self.stepper();
        stepper.run_loop().answer(id, result, now);
        stepper.drain();
        self.output()
    }

    /// The next deadline.
    #[must_use]
    pub fn next(&self) -> Option<Timestamp> {
        self.state.scopes.next()
    }

    /// Its time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.state.now
    }

    /// Scopes that changed since this was last asked.
    pub fn take_changes(&mut self) -> Vec<ScopeSnapshot> {
        self.state.take_changes(&self.index)
    }

    /// Effects whose requests have not been answered: to be done again after a restart, by the same names.
    #[must_use]
    pub fn unanswered(&self) -> Vec<EffectRequest> {
        let evaluator = Evaluator { index: &self.index, world: &self.world, dies: None };
        evaluator.unanswered(&self.state.scopes)
    }

    /// Is a rule listening to this topic?
    #[must_use]
    pub fn listens_to(&self, topic: &str) -> bool {
        self.index.topics.iter().any(|trigger| match &self.index.trigger(*trigger).kind {
            TriggerKind::Mqtt { topic: filter, .. } => signals::topic_fits(filter, topic),
            _ => false,
        })
    }

    /// Has a rule a webhook of this name?
    #[must_use]
    pub fn has_webhook(&self, name: &str) -> bool {
        self.index.webhooks.iter().any(|trigger| match &self.index.trigger(*trigger).kind {
            TriggerKind::Webhook { name: of, .. } => **of == *name,
            _ => false,
        })
    }

    /// The secrets of the webhook of this name, with the rules that have them and run.
    pub fn webhook_secrets<'a>(
        &'a self,
        name: &'a str,
    ) -> impl Iterator<Item = (&'a Rule, &'a WebhookSecret)> {
        let triggers =
            self.index.webhooks.iter().filter(|found| self.state.is_enabled(&self.index, found.rule));
        triggers.filter_map(move |found| match &self.index.trigger(*found).kind {
            TriggerKind::Webhook { name: of, secret: Some(secret) } if **of == *name => {
                Some((self.index.rule(found.rule), secret))
            }
            _ => None,
        })
    }

    /// The rules, in the order of their names.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.index.rules
    }

    /// Is the rule enabled, by its own text and by people's switch? None where there is no such rule.
    #[must_use]
    pub fn is_enabled(&self, rule: &RuleId) -> Option<bool> {
        Some(self.state.is_enabled(&self.index, self.index.find(rule)?))
    }

    /// The reason why a rule was stopped, where it was.
    #[must_use]
    pub fn stopped(&self, rule: &RuleId) -> Option<&str> {
        self.state.scopes.rule(self.index.find(rule)?).stopped.as_deref()
    }

    /// The next occurrence of a rule's triggers by the clock, while it is enabled.
    #[must_use]
    pub fn next_of(&self, rule: &RuleId) -> Option<Timestamp> {
        let rule = self.index.find(rule)?;
        self.state.scopes.rule(rule).due().filter(|_| self.state.is_enabled(&self.index, rule))
    }

    /// Counts of its work since it began.
    #[must_use]
    pub fn counts(&self) -> EngineCounts {
        self.state.counts
    }

    /// From now on this rule dies when it is looked at.
    #[cfg(test)]
    pub(crate) fn dies_in_tests(&mut self, rule: &RuleId) {
        self.state.dies = Some(rule.clone());
    }

    fn stepper(&mut self) -> Stepper<'_> {
        Stepper { index: &self.index, world: &self.world, state: &mut self.state }
    }

    /// An event of a device that a rule may look at.
    fn look_at(&mut self, recorded: &Recorded) {
        let event = &recorded.event;
        let hits = triggers::collect(&self.world, &self.index, event);
        let gone = self.world.fold(event, &self.index);
        let mut stepper = self.stepper();
        if watched_twins::is_deletion(event) {
            stepper.forget_device(event.number, event.received_at);
        }
        for (trigger_ref, number) in gone {
            stepper.unwatch(trigger_ref, number);
        }
        stepper.look_at_hits(hits, recorded);
        if let EventBody::Command(change) = &event.body {
            stepper.command_progressed(change, event.received_at);
        }
        stepper.look_again(&event.device, event.received_at);
        // Where its time was ahead of the event's, what this began may be due.
        let now = stepper.state.now;
        stepper.advance(now);
    }

    fn output(&mut self) -> EngineOutput {
        std::mem::take(&mut self.state.output)
    }
}

impl Twins for Engine {
    fn twin(&self, id: &str) -> Option<&Twin> {
        self.world.twin(id)
    }
}
