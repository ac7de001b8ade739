//! The run loop: a run goes on step by step through its program, until it waits or comes to its end.

use super::evaluator::Evaluator;
use super::index::RuleIndex;
use super::program::{ActionPath, Op};
use super::run::{ActionLine, RunState, RunWait};
use super::scope::ScopeKey;
use super::state::{EngineState, Followup};
use super::targets;
use super::waiting_runs::next_look;
use super::watched_twins::WatchedTwins;
use crate::action::{Action, ActionKind, DelayAction, WaitAction};
use crate::model::OnError;
use twinhub_domain::run::{RunId, RunKind, RunOutcome};
use twinhub_domain::{Json, Object, Timestamp};

/// Drives the runs that have begun.
pub(super) struct RunLoop<'a> {
    pub index: &'a RuleIndex,
    pub world: &'a WatchedTwins,
    pub state: &'a mut EngineState,
}

/// The course of a run after a step.
pub(super) enum StepResult {
    Next,
    /// It goes on at this step.
    At(u32),
    Waits,
    End(RunOutcome),
}

impl<'a> RunLoop<'a> {
    /// Goes on with a run that waits for nothing.
    pub fn drive(&mut self, id: RunId, at: Timestamp) {
        let Some((key, mut run)) = self.state.take_run(id) else { return };
        let index = self.index;
        let (rule, program) = (index.rule(key.rule), index.program(key.rule, run.list));
        loop {
            let after = match program.get(run.at as usize) {
                None => StepResult::End(RunOutcome::Done),
                Some(Op::Jump(to)) => StepResult::At(*to),
                Some(Op::NoBranch(place)) => {
                    let line = run.line(ActionLine::new(place, "choose", Json::Null, "skipped"), at);
                    line.detail = "no branch holds".into();
                    StepResult::Next
                }
                Some(Op::Branch { choose, branch, otherwise }) => {
                    self.branch(key, &mut run, choose, *branch, *otherwise, at)
                }
                Some(Op::Do(place)) => match place.action(run.list.of(rule)) {
                    Some(action) => self.step(key, &mut run, place, action, at),
                    None => StepResult::Next,
                },
            };
            match after {
                StepResult::Next => run.at += 1,
                StepResult::At(step) => run.at = step,
                StepResult::Waits => {
                    if !matches!(run.waits, RunWait::Acts { .. }) {
                        self.state.say(run.entry.clone(), false); // people can see what it waits for
                        self.state.follow_up(Followup::Turns(key, at)); // others know now how it stands
                    }
                    self.state.link_wait(index, key, &run);
                    return self.state.put_run(key, run);
                }
                StepResult::End(outcome) => return self.finish(key, run, outcome, at),
            }
        }
    }

    /// The run comes to its end.
    pub fn finish(&mut self, key: ScopeKey, mut run: RunState, outcome: RunOutcome, at: Timestamp) {
        self.state.unlink(&run);
        run.entry.outcome = outcome;
        run.entry.ended_at = Some(at.max(run.entry.at)); // the clock may have been set back since it began
        if run.entry.kind != RunKind::Release
            && let Some(cooldown) = self.index.rule(key.rule).cooldown
        {
            let scope = self.state.scopes.entry(key, run.entry.device.as_ref());
            scope.rests_until = Some(at.plus_millis(cooldown));
        }
        run.entry.targets = targets::named(self.index, key.rule, run.list);
        self.state.say(run.entry, true);
        self.state.scopes.touch(key);
        self.state.follow_up(Followup::Turns(key, at));
    }

    fn branch(
        &mut self,
        key: ScopeKey,
        run: &mut RunState,
        choose: &ActionPath,
        branch: u16,
        otherwise: u32,
        at: Timestamp,
    ) -> StepResult {
        let list = run.list.of(self.index.rule(key.rule));
        let Some(condition) = choose.condition(list, branch) else { return StepResult::At(otherwise) };
        match self.evaluator().condition(key.rule, condition, &run.entry, at) {
            Err(_) => self.die(key, at),
            Ok(seen) if seen.holds == Some(true) => {
                let taken = [("branch", Json::from(i64::from(branch))), ("if", Json::String(seen.text))];
                let taken: Object = taken.into_iter().collect();
                run.line(ActionLine::new(choose, "choose", taken.into(), "ok"), at);
                StepResult::Next
            }
            Ok(_) => StepResult::At(otherwise),
        }
    }

    fn step(
        &mut self,
        key: ScopeKey,
        run: &mut RunState,
        place: &ActionPath,
        action: &Action,
        at: Timestamp,
    ) -> StepResult {
        let word = action.kind.word();
        match &action.kind {
            ActionKind::Delay(DelayAction { ms }) => {
                let until = at.plus_millis(*ms);
                let data: Object = [("until", Json::from(until.to_string()))].into_iter().collect();
                run.line(ActionLine::new(place, word, data.into(), "waiting"), at);
                run.waits = RunWait::Delay { until };
                StepResult::Waits
            }
            ActionKind::Wait(WaitAction { until, timeout }) => {
                let Ok(seen) = self.evaluator().condition(key.rule, until, &run.entry, at) else {
                    return self.die(key, at);
                };
                let holds = seen.holds == Some(true);
                let data: Object = [("until", Json::String(seen.text))].into_iter().collect();
                run.line(ActionLine::new(place, word, data.into(), if holds { "ok" } else { "waiting" }), at);
                if holds {
                    return StepResult::Next;
                }
                let deadline = timeout.map(|ms| at.plus_millis(ms));
                run.waits = RunWait::Condition { until: deadline, look: next_look(until, at) };
                StepResult::Waits
            }
            kind => match self.evaluator().ask(key, run, kind, at) {
                Err((fault, detail)) => {
                    let died = &*fault == "panic";
                    run.line(ActionLine::new(place, word, Json::Null, &fault), at).detail = detail.into();
                    if died { self.die(key, at) } else { self.failed(key, action, &fault) }
                }
                Ok(asked) => self.request(key, run, place, action, asked, at),
            },
        }
    }

    /// Goes on with the step after the one that it stands at.
    pub fn go_on(&mut self, key: ScopeKey, mut run: RunState, at: Timestamp) {
        run.at += 1;
        run.waits = RunWait::Acts { open: Vec::new(), failed: None };
        run.confirms.clear();
        self.state.follow_up(Followup::Drive(run.entry.id, at));
        self.state.put_run(key, run);
    }

    /// The step that a run stands at did not work out: ends the run or goes on, as it says.
    pub fn fail_step(&mut self, key: ScopeKey, run: RunState, word: &str, at: Timestamp) {
        let Some(action) = self.action(key, &run) else {
            return self.finish(key, run, RunOutcome::Done, at);
        };
        match self.failed(key, action, word) {
            StepResult::End(outcome) => self.finish(key, run, outcome, at),
            _ => self.go_on(key, run, at),
        }
    }

    /// The action that a run stands at.
    pub fn action(&self, key: ScopeKey, run: &RunState) -> Option<&'a Action> {
        self.index.action(key.rule, run.list, run.at)
    }

    pub fn failed(&self, key: ScopeKey, action: &Action, word: &str) -> StepResult {
        match action.on_error.unwrap_or(self.index.rule(key.rule).on_error) {
            OnError::Stop => StepResult::End(RunOutcome::Failed { reason: word.into() }),
            OnError::Continue => StepResult::Next,
        }
    }

    pub fn die(&mut self, key: ScopeKey, at: Timestamp) -> StepResult {
        self.state.stop(self.index, key.rule, "an action died: a fault of the program", at);
        StepResult::End(RunOutcome::Failed { reason: "panic".into() })
    }

    pub fn evaluator(&self) -> Evaluator<'_> {
        Evaluator { index: self.index, world: self.world, dies: self.state.dies() }
    }
}
