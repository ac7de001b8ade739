//! The arbitration of runs: run modes, cooldown, the breaker, the queue.

use super::firing::RunRefusal;
use super::index::RuleIndex;
use super::run::{RunState, RunWait, TurnWait};
use super::run_loop::RunLoop;
use super::scope::ScopeKey;
use super::state::EngineState;
use super::watched_twins::WatchedTwins;
use crate::model::RunMode;
use twinhub_domain::Timestamp;
use twinhub_domain::run::{RunId, RunKind, WhyNot};

/// So many firings wait for a decision at most: the world takes that long over effects only when it is stuck.
const MOST_UNDECIDED: usize = 1_000;

/// Decides which firings become runs, and when.
pub(super) struct Arbiter<'a> {
    pub index: &'a RuleIndex,
    pub world: &'a WatchedTwins,
    pub state: &'a mut EngineState,
}

impl Arbiter<'_> {
    /// The word of the mode, the cooldown and the breaker on a run whose conditions hold. `again`: it has waited for
    /// this decision.
    pub fn decide(
        &mut self,
        key: ScopeKey,
        mut run: RunState,
        at: Timestamp,
        again: bool,
    ) -> Result<(), RunRefusal> {
        let rule = self.index.rule(key.rule);
        let max = usize::from(rule.max.max(1));
        let (mut going, mut queued, mut undecided) = (0, 0, 0);
        if let Some(scope) = self.state.scopes.get(key) {
            for other in &scope.runs {
                match other.waits {
                    RunWait::Turn(TurnWait::Queued) => queued += 1,
                    RunWait::Turn(TurnWait::Undecided) => undecided += 1,
                    _ => going += usize::from(other.is_main()),
                }
            }
        }
        if self.is_unsettled(key) || (undecided > 0 && !again) {
            if undecided >= MOST_UNDECIDED {
                return Err(self.refuse_run(key, run, WhyNot::TooMany, "the hub does not come after"));
            }
            self.state.put_run(key, run);
            return Ok(());
        }
        let rests_until = self.state.scopes.get(key).and_then(|scope| scope.rests_until);
        if let Some(until) = rests_until.filter(|until| *until > run.fired_at())
            && run.entry.kind != RunKind::Manual
        {
            return Err(self.refuse_run(key, run, WhyNot::Cooldown, &format!("it rests until {until}")));
        }
        let mode = if run.made_up { RunMode::Queued } else { rule.mode };
        match mode {
            RunMode::Single if going > 0 => {
                let detail = "it still runs for this device, and its mode is single";
                return Err(self.refuse_run(key, run, WhyNot::StillRunning, detail));
            }
            RunMode::Parallel if going >= max => {
                return Err(self.refuse_run(key, run, WhyNot::TooMany, &format!("{going} run at once")));
            }
            RunMode::Queued if going > 0 && queued >= max && !run.made_up => {
                return Err(self.refuse_run(key, run, WhyNot::TooMany, &format!("{queued} wait already")));
            }
            RunMode::Queued if going > 0 => {
                run.waits = RunWait::Turn(TurnWait::Queued);
                self.state.say(run.entry.clone(), true);
                self.state.put_run(key, run);
                return Ok(());
            }
            RunMode::Restart => self.state.abort_where(key, "restart", at, RunState::is_main),
            RunMode::Single | RunMode::Queued | RunMode::Parallel => {}
        }
        self.begin(key, run, at)
    }

    /// Is a run about to come to its end or to a wait, so that what is to become of others is not clear yet?
    fn is_unsettled(&self, key: ScopeKey) -> bool {
        let Some(scope) = self.state.scopes.get(key) else { return false };
        let rule = self.index.rule(key.rule);
        let hurries = scope.runs.iter().any(RunState::is_hurrying);
        let going = scope.runs.iter().filter(|run| run.is_main()).count();
        hurries && (rule.mode != RunMode::Parallel || going >= usize::from(rule.max.max(1)))
    }

    fn begin(&mut self, key: ScopeKey, mut run: RunState, at: Timestamp) -> Result<(), RunRefusal> {
        let breaker = self.index.rule(key.rule).breaker;
        let from = run.fired_at().plus_millis(-breaker.within_ms);
        let device = run.entry.device.clone();
        let scope = self.state.scopes.entry(key, device.as_ref());
        scope.recent.retain(|began| *began > from);
        if !run.made_up && scope.recent.len() >= usize::from(breaker.runs) {
            let why = format!("{} runs within {} s", scope.recent.len(), breaker.within_ms / 1_000);
            let refusal = self.refuse_run(key, run, WhyNot::Stopped, &why);
            self.state.stop(self.index, key.rule, &why, at);
            return Err(refusal);
        }
        if !run.made_up {
            scope.recent.push(run.fired_at());
        }
        scope.folded = None;
        if let Some(latch) = run.latch {
            // The reason that it ran for was over, and is there again.
            let over = |other: &RunState| other.entry.kind == RunKind::Release && other.latch == Some(latch);
            self.state.abort_where(key, "restart", at, over);
        }
        self.state.counts.runs += 1;
        self.state.runs.remember(&run.entry);
        run.waits = RunWait::Acts { open: Vec::new(), failed: None };
        self.start(key, run, at);
        Ok(())
    }

    fn start(&mut self, key: ScopeKey, run: RunState, at: Timestamp) {
        let id = run.entry.id;
        self.state.say(run.entry.clone(), true);
        self.state.put_run(key, run);
        self.run_loop().drive(id, at);
    }

    pub fn put_after(&mut self, key: ScopeKey, mut run: RunState, after: RunId, at: Timestamp) -> RunId {
        let id = run.entry.id;
        let goes_on = |run: &RunState| run.entry.id == after;
        if self.state.scopes.get(key).is_some_and(|scope| scope.runs.iter().any(goes_on)) {
            run.waits = RunWait::Turn(TurnWait::After(after));
            self.state.put_run(key, run);
        } else {
            run.waits = RunWait::Acts { open: Vec::new(), failed: None };
            self.start(key, run, at);
        }
        id
    }

    /// Lets those begin whose turn has come.
    pub fn start_waiting(&mut self, key: ScopeKey, at: Timestamp) {
        while let Some(id) = self.next_turn(key) {
            let Some((_, mut run)) = self.state.take_run(id) else { return };
            match run.waits {
                RunWait::Turn(TurnWait::Undecided) => {
                    // The outcome is told by its entry.
                    let _ = self.decide(key, run, at, true);
                }
                RunWait::Turn(TurnWait::Queued) => {
                    let _ = self.begin(key, run, at);
                }
                _ => {
                    run.waits = RunWait::Acts { open: Vec::new(), failed: None };
                    self.start(key, run, at);
                }
            }
        }
    }

    fn next_turn(&self, key: ScopeKey) -> Option<RunId> {
        let runs = &self.state.scopes.get(key)?.runs;
        let is_busy = runs.iter().any(RunState::is_main);
        let is_unsettled = self.is_unsettled(key);
        let may = |run: &&RunState| match run.waits {
            RunWait::Turn(TurnWait::Undecided) => !is_unsettled,
            RunWait::Turn(TurnWait::Queued) => !is_busy,
            RunWait::Turn(TurnWait::After(before)) => !runs.iter().any(|other| other.entry.id == before),
            _ => false,
        };
        runs.iter().find(may).map(|run| run.entry.id)
    }

    fn run_loop(&mut self) -> RunLoop<'_> {
        RunLoop { index: self.index, world: self.world, state: self.state }
    }
}
