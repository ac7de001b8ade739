//! The engine: takes the events of the one sequence and the time, and gives back effects.
//!
//! # How time goes
//! Its time goes back only where the hub's clock was set back ([`Signal::ClockMoved`](twinhub_domain::run::Signal)):
//! then every wait for the end of a time span waits for as long as before, and the clocks of rules go by the new time.
//! [`Engine::observe`] first advances the time to when the event was received, with everything that is due before;
//! [`Engine::advance`] advances it where nothing happens. Everything due runs at its own time, in order, however late
//! the call comes: so the same events give the same runs whenever they come. Only
//! [`Signal::Started`](twinhub_domain::run::Signal) is different: from `down_since` to it nothing was heard, and
//! everything due in between is treated by each rule's settings (`across_downtime`, `missed`).
//!
//! # What it keeps
//! By rule and device (number 0 for none) a scope: latches, deadlines, runs, cooldowns. [`Engine::take_changes`] gives
//! the changed scopes, to be stored with the place in the sequence up to which they are true. Started anew from them,
//! with the events after that place, the engine makes the same runs again, by the same names.

mod act;
mod acts;
mod book;
mod clock;
mod deed;
mod drive;
mod fire;
mod kept;
mod keys;
mod latch;
mod moved;
mod program;
mod refuse;
mod regroup;
mod rewind;
mod run;
mod scope;
mod sight;
mod signals;
mod state;
mod targets;
mod triggers;
mod turns;
mod wait;
mod watch;
mod work;
mod world;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use self::book::Book;
use self::state::State;
use self::work::Work;
use self::world::World;
use super::expression::Twins;
use super::model::{Rule, TriggerKind};
use twinhub_domain::fleet::Tree;
use twinhub_domain::run::RuleId;
use twinhub_domain::run::Signal;
use twinhub_domain::{EventBody, Recorded, Timestamp, Twin};

pub use self::act::{Act, ActId, ActResult, Deed, Delivery, Entry, Kept, Step, Wanted};
pub(super) use self::deed::{kind_of_deed, level_word, severity_word};
pub use self::keys::webhook_keys;
pub use self::state::Counts;

/// The rule engine: events in, effects out.
#[derive(Debug, Default)]
pub struct Engine {
    book: Book,
    world: World,
    state: State,
}

impl Engine {
    /// An engine without rules, its time standing at `now`.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        let mut engine = Self::default();
        engine.state.now = now;
        engine
    }

    /// Replaces its rules by these. Rules with the same fingerprint keep their waits; runs of others are given up, with
    /// an entry each.
    pub fn exchange(&mut self, rules: Vec<Rule>) -> Step {
        let before = std::mem::replace(&mut self.book, Book::new(rules));
        self.world.turn_to(&self.book, &before);
        let (levels, scopes) =
            (std::mem::take(&mut self.state.levels), std::mem::take(&mut self.state.scopes));
        let now = self.state.now;
        self.work().take_over(&before, levels, scopes, now);
        self.say()
    }

    /// The twins that its rules look at and that it does not know yet. Also asked after an exchange while it runs.
    #[must_use]
    pub fn wants(&self) -> Wanted {
        self.world.wanted()
    }

    /// Sets the groups as of the engine's place in the sequence. To be called before twins are set; the engine follows
    /// their changes.
    pub fn know_groups(&mut self, tree: Arc<Tree>) {
        self.world.know_groups(tree);
    }

    /// The groups as it knows them.
    #[must_use]
    pub fn groups(&self) -> &Arc<Tree> {
        &self.world.tree
    }

    /// Sets a twin as of the engine's place in the sequence.
    pub fn know(&mut self, twin: Twin) {
        self.world.know(twin, &self.book);
    }

    /// Loads stored scopes. To be called after [`Engine::exchange`] and [`Engine::know`], before any event.
    pub fn restore(&mut self, kept: Vec<Kept>) {
        self.work().restore(kept);
    }

    /// Takes twins that are ahead of the engine's place in the sequence back to before `past`, which is everything that
    /// happened in between. To be called after [`Engine::know`], before those events.
    pub fn rewind<'a>(&mut self, past: impl Iterator<Item = &'a Recorded> + Clone) {
        let now = self.state.now;
        self.world.rewind(past, now, &self.book);
    }

    /// Enables or disables `rule`; stored, and so kept over a reload. The signal
    /// [`Enabled`](twinhub_domain::run::Signal::Enabled) does the same. The next step has its consequences.
    pub fn set_enabled(&mut self, rule: &RuleId, enabled: bool) {
        let now = self.state.now;
        self.work().enable(rule, enabled, now);
    }

    /// The next event of the sequence.
    pub fn observe(&mut self, recorded: &Recorded) -> Step {
        let by_new_clock = self.state.moved.and_then(|moved| moved.translate(recorded));
        let is_over = |moved: moved::Moved| moved.is_over(recorded.event.received_at);
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

    fn observe_in_time(&mut self, recorded: &Recorded) -> Step {
        self.world.begin();
        let event = &recorded.event;
        match &event.body {
            EventBody::Signal(signal) => {
                let mut work = self.work();
                if !matches!(**signal, Signal::Started { .. } | Signal::ClockMoved { .. }) {
                    work.advance(event.received_at);
                }
                work.signal(signal, recorded);
            }
            _ if event.device.is_none() => {
                self.work().advance(event.received_at);
                self.look_at(recorded);
            }
            _ => {
                self.work().advance(event.received_at);
                if self.world.meet(event, &self.book) || !self.book.alarms.is_empty() {
                    self.look_at(recorded);
                }
            }
        }
        self.say()
    }

    /// Lets the time go on to `now`.
    pub fn advance(&mut self, now: Timestamp) -> Step {
        self.work().advance(now);
        self.say()
    }

    /// An act was done, or could not be.
    pub fn done(&mut self, act: ActId, result: ActResult, now: Timestamp) -> Step {
        let now = now.max(self.state.now);
        let mut work = self.work();
        work.answer(act, result, now);
        work.drain();
        self.say()
    }

    /// The next deadline.
    #[must_use]
    pub fn next(&self) -> Option<Timestamp> {
        self.state.next()
    }

    /// Its time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.state.now
    }

    /// Scopes that changed since this was last asked.
    pub fn take_changes(&mut self) -> Vec<Kept> {
        self.state.take_changes(&self.book)
    }

    /// Acts that have not been answered: to be done again after a restart, by the same names.
    #[must_use]
    pub fn unanswered(&self) -> Vec<Act> {
        let mut nothing = State::default(); // it only looks
        let work = Work { book: &self.book, world: &self.world, state: &mut nothing };
        work.unanswered(&self.state.scopes)
    }

    /// Is a rule listening to this topic?
    #[must_use]
    pub fn listens_to(&self, topic: &str) -> bool {
        self.book.topics.iter().any(|spot| match &self.book.trigger(*spot).kind {
            TriggerKind::Mqtt { topic: filter, .. } => signals::topic_fits(filter, topic),
            _ => false,
        })
    }

    /// Has a rule a webhook of this name?
    #[must_use]
    pub fn has_webhook(&self, name: &str) -> bool {
        self.book.webhooks.iter().any(|spot| match &self.book.trigger(*spot).kind {
            TriggerKind::Webhook { name: of } => **of == *name,
            _ => false,
        })
    }

    /// The rules, in the order of their names.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.book.rules
    }

    /// Is the rule enabled, by its own text and by people's switch? None where there is no such rule.
    #[must_use]
    pub fn is_enabled(&self, rule: &RuleId) -> Option<bool> {
        Some(self.state.is_enabled(&self.book, self.book.find(rule)?))
    }

    /// Why a rule was stopped, where it was.
    #[must_use]
    pub fn stopped(&self, rule: &RuleId) -> Option<&str> {
        self.state.levels[self.book.find(rule)? as usize].stopped.as_deref()
    }

    /// The next occurrence of a rule's triggers by the clock, while it is enabled.
    #[must_use]
    pub fn next_of(&self, rule: &RuleId) -> Option<Timestamp> {
        let rule = self.book.find(rule)?;
        self.state.levels[rule as usize].due().filter(|_| self.state.is_enabled(&self.book, rule))
    }

    /// Counts of its work since it began.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.state.counts
    }

    /// From now on this rule dies when it is looked at.
    #[cfg(test)]
    pub(crate) fn dies_in_tests(&mut self, rule: &RuleId) {
        self.state.dies = Some(rule.clone());
    }

    fn work(&mut self) -> Work<'_> {
        Work { book: &self.book, world: &self.world, state: &mut self.state }
    }

    /// An event of a device that a rule may look at.
    fn look_at(&mut self, recorded: &Recorded) {
        let event = &recorded.event;
        let hits = triggers::collect(&self.world, &self.book, event);
        let gone = self.world.fold(event, &self.book);
        let mut work = self.work();
        if world::is_deletion(event) {
            work.forget_device(event.number, event.received_at);
        }
        for (spot, number) in gone {
            work.unwatch(spot, number);
        }
        work.look_at_hits(hits, recorded);
        if let EventBody::Command(change) = &event.body {
            work.command_came(change, event.received_at);
            work.drain();
        }
        if !work.state.waiting.is_empty() {
            work.look_again(&event.device, event.received_at);
        }
        // Where its time was ahead of the event's, what this began may be due.
        let now = work.state.now;
        work.advance(now);
    }

    fn say(&mut self) -> Step {
        std::mem::take(&mut self.state.out)
    }
}

impl Twins for Engine {
    fn twin(&self, id: &str) -> Option<&Twin> {
        self.world.twin(id)
    }
}
