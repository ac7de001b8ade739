//! The engine at work within one step: it reads the rules and the twins, and changes what is remembered.

use super::arbitration::Arbiter;
use super::index::RuleIndex;
use super::run_loop::RunLoop;
use super::scope::ScopeKey;
use super::signals;
use super::state::{EngineState, Followup};
use super::trigger_ref::TriggerRef;
use super::triggers::{TriggerCandidate, Triggers};
use super::watched_twins::WatchedTwins;
use twinhub_domain::command::CommandChange;
use twinhub_domain::run::{AutomationSignal, RuleId};
use twinhub_domain::{DeviceId, DeviceNumber, Recorded, Timestamp};

/// Takes a step: has triggers fire, runs begin and go on, until nothing is left to do. Triggers, arbitration and run
/// loop know those after them in this list, and tell those before them by [`Followup`]s.
pub(super) struct Stepper<'a> {
    pub index: &'a RuleIndex,
    pub world: &'a WatchedTwins,
    pub state: &'a mut EngineState,
}

impl Stepper<'_> {
    /// Does all that is to be done now.
    pub fn drain(&mut self) {
        while let Some(followup) = self.state.followups.pop_front() {
            match followup {
                Followup::Fire(firing) => self.arbiter().fire(*firing),
                Followup::PassOver(firing, why, detail) => self.arbiter().pass_over(*firing, why, detail),
                Followup::Drive(run, at) => self.run_loop().drive(run, at),
                Followup::Answer(id, result, at) => self.run_loop().answer(id, result, at),
                Followup::Turns(key, at) => self.arbiter().start_waiting(key, at),
            }
        }
        self.state.settle(self.index);
    }

    /// Looks at the triggers that an event may concern, now that the twin has taken it in.
    pub fn look_at_hits(&mut self, hits: Vec<TriggerCandidate>, recorded: &Recorded) {
        for hit in hits {
            self.triggers().look_at(hit, recorded);
            self.drain();
        }
    }

    /// A command came further: it may be one that a run waits for.
    pub fn command_progressed(&mut self, change: &CommandChange, at: Timestamp) {
        self.run_loop().command_progressed(change, at);
        self.drain();
    }

    /// Something happened to a device: runs may have waited for it.
    pub fn look_again(&mut self, device: &DeviceId, at: Timestamp) {
        for run in self.state.runs.waiting_on(device) {
            self.run_loop().look_again(run, at);
            self.drain();
        }
    }

    /// Takes a signal in.
    pub fn signal(&mut self, signal: &AutomationSignal, recorded: &Recorded) {
        let at = recorded.event.received_at;
        match signal {
            AutomationSignal::Started { down_since } => return self.started(*down_since, at),
            AutomationSignal::ClockMoved { from, to, while_down } => {
                return self.moved(*from, *to, *while_down);
            }
            AutomationSignal::Enabled { rule, enabled } => self.enable(rule, *enabled, at),
            _ => {
                let runs = |rule| self.state.is_enabled(self.index, rule);
                for firing in signals::fired(self.index, &runs, recorded) {
                    self.state.fire(firing);
                    self.drain();
                }
            }
        }
        self.drain();
    }

    /// A trigger does not watch a device any more: it fits its pattern no longer.
    pub fn unwatch(&mut self, trigger_ref: TriggerRef, device: DeviceNumber) {
        if let Some(scope) = self.state.scopes.get_mut(ScopeKey { rule: trigger_ref.rule, device }) {
            scope.set_latch(trigger_ref.trigger, None);
        }
        self.state.settle(self.index);
    }

    /// A rule runs from now on, or does not. Then it forgets all that it waited for, and is armed anew; what had
    /// stopped it is forgotten either way.
    pub fn enable(&mut self, id: &RuleId, enabled: bool, at: Timestamp) {
        let Some(rule) = self.index.find(id) else { return };
        let was_enabled = self.state.is_enabled(self.index, rule);
        let state = self.state.scopes.rule_mut(rule);
        state.enabled = Some(enabled);
        if enabled {
            state.stopped = None;
        }
        if was_enabled && !enabled {
            for key in self.state.scopes.keys_of(rule) {
                self.state.forget(key, "disabled", at);
            }
        }
        self.drain();
    }

    /// A device is gone, with all that was remembered of it.
    pub fn forget_device(&mut self, device: DeviceNumber, at: Timestamp) {
        for key in self.state.scopes.keys_of_device(device) {
            self.state.forget(key, "device_deleted", at);
        }
        self.drain();
    }

    pub fn triggers(&mut self) -> Triggers<'_> {
        Triggers { index: self.index, world: self.world, state: self.state }
    }

    pub fn arbiter(&mut self) -> Arbiter<'_> {
        Arbiter { index: self.index, world: self.world, state: self.state }
    }

    pub fn run_loop(&mut self) -> RunLoop<'_> {
        RunLoop { index: self.index, world: self.world, state: self.state }
    }
}
