//! The run loop: a run goes on step by step through its program, until it waits or comes to its end.

use super::evaluator::Evaluator;
use super::index::RuleIndex;
use super::program::{Op, Place};
use super::run::{ActionLine, RunState, Waits};
use super::scope::ScopeKey;
use super::state::{EngineState, Followup};
use super::targets;
use super::waiting::next_look;
use super::world::World;
use crate::action::{Action, ActionKind, DelayAction, WaitAction};
use crate::model::OnError;
use twinhub_domain::run::{RunId, RunKind, RunOutcome};
use twinhub_domain::{Json, Object, Timestamp};

/// Drives the runs that have begun.
pub(super) struct RunLoop<'a> {
    pub index: &'a RuleIndex,
    pub world: &'a World,
    pub state: &'a mut EngineState,
}

/// The course of a run after a step.
pub(super) enum After {
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
                None => After::End(RunOutcome::Done),
                Some(Op::Jump(to)) => After::At(*to),
                Some(Op::NoBranch(place)) => {
                    let line = run.line(ActionLine::new(place, "choose", Json::Null, "skipped"), at);
                    line.detail = "no branch holds".into();
                    After::Next
                }
                Some(Op::Branch { choose, branch, otherwise }) => {
                    self.branch(key, &mut run, choose, *branch, *otherwise, at)
                }
                Some(Op::Do(place)) => match place.action(run.list.of(rule)) {
                    Some(action) => self.step(key, &mut run, place, action, at),
                    None => After::Next,
                },
            };
            match after {
                After::Next => run.at += 1,
                After::At(step) => run.at = step,
                After::Waits => {
                    if !matches!(run.waits, Waits::Acts { .. }) {
                        self.state.say(run.entry.clone(), false); // people can see what it waits for
                        self.state.follow_up(Followup::Turns(key, at)); // others know now how it stands
                    }
                    self.state.link_wait(index, key, &run);
                    return self.state.put_run(key, run);
                }
                After::End(outcome) => return self.finish(key, run, outcome, at),
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
        choose: &Place,
        branch: u16,
        otherwise: u32,
        at: Timestamp,
    ) -> After {
        let list = run.list.of(self.index.rule(key.rule));
        let Some(condition) = choose.condition(list, branch) else { return After::At(otherwise) };
        match self.evaluator().condition(key.rule, condition, &run.entry, at) {
            Err(_) => self.die(key, at),
            Ok(seen) if seen.holds == Some(true) => {
                let taken = [("branch", Json::from(i64::from(branch))), ("if", Json::String(seen.text))];
                let taken: Object = taken.into_iter().collect();
                run.line(ActionLine::new(choose, "choose", taken.into(), "ok"), at);
                After::Next
            }
            Ok(_) => After::At(otherwise),
        }
    }

    fn step(
        &mut self,
        key: ScopeKey,
        run: &mut RunState,
        place: &Place,
        action: &Action,
        at: Timestamp,
    ) -> After {
        let word = action.kind.word();
        match &action.kind {
            ActionKind::Delay(DelayAction { ms }) => {
                let until = at.plus_millis(*ms);
                let data: Object = [("until", Json::from(until.to_string()))].into_iter().collect();
                run.line(ActionLine::new(place, word, data.into(), "waiting"), at);
                run.waits = Waits::Delay { until };
                After::Waits
            }
            ActionKind::Wait(WaitAction { until, timeout }) => {
                let Ok(seen) = self.evaluator().condition(key.rule, until, &run.entry, at) else {
                    return self.die(key, at);
                };
                let holds = seen.holds == Some(true);
                let data: Object = [("until", Json::String(seen.text))].into_iter().collect();
                run.line(ActionLine::new(place, word, data.into(), if holds { "ok" } else { "waiting" }), at);
                if holds {
                    return After::Next;
                }
                let deadline = timeout.map(|ms| at.plus_millis(ms));
                run.waits = Waits::Condition { until: deadline, look: next_look(until, at) };
                After::Waits
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
        run.waits = Waits::Acts { open: Vec::new(), failed: None };
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
            After::End(outcome) => self.finish(key, run, outcome, at),
            _ => self.go_on(key, run, at),
        }
    }

    /// The action that a run stands at.
    pub fn action(&self, key: ScopeKey, run: &RunState) -> Option<&'a Action> {
        self.index.action(key.rule, run.list, run.at)
    }

    pub fn failed(&self, key: ScopeKey, action: &Action, word: &str) -> After {
        match action.on_error.unwrap_or(self.index.rule(key.rule).on_error) {
            OnError::Stop => After::End(RunOutcome::Failed { reason: word.into() }),
            OnError::Continue => After::Next,
        }
    }

    pub fn die(&mut self, key: ScopeKey, at: Timestamp) -> After {
        self.state.stop(self.index, key.rule, "an action died: a fault of the program", at);
        After::End(RunOutcome::Failed { reason: "panic".into() })
    }

    pub fn evaluator(&self) -> Evaluator<'_> {
        Evaluator { index: self.index, world: self.world, dies: self.state.dies() }
    }
}
