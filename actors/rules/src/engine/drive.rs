//! A run goes on: step by step through its program, until it waits or comes to its end.

use super::deed::kind_of;
use super::program::{Op, Place};
use super::run::{Run, Waits};
use super::scope::Key;
use super::state::Job;
use super::work::Work;
use crate::model::{Action, OnError, What};
use twinhub_domain::run::{ActionSeen, RunId, RunKind, RunOutcome};
use twinhub_domain::{DeviceId, Json, Object, Timestamp};

/// What comes after a step.
pub(super) enum After {
    Next,
    /// It goes on at this step.
    At(u32),
    Waits,
    End(RunOutcome),
}

impl<'a> Work<'a> {
    /// Goes on with a run that waits for nothing.
    pub fn drive(&mut self, id: RunId, at: Timestamp) {
        let Some((key, mut run)) = self.take_run(id) else { return };
        let book = self.book;
        let (rule, program) = (book.rule(key.rule), book.program(key.rule, run.list));
        loop {
            let after = match program.get(run.at as usize) {
                None => After::End(RunOutcome::Done),
                Some(Op::Jump(to)) => After::At(*to),
                Some(Op::NoBranch(place)) => {
                    let detail = "no branch holds";
                    self.line(&mut run, place, "choose", None, Json::Null, at, "skipped").detail =
                        detail.into();
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
                        self.state.jobs.push_back(Job::Turns(key, at)); // others know now how it stands
                    }
                    self.link_wait(key, &run);
                    return self.put_run(key, run);
                }
                After::End(outcome) => return self.finish(key, run, outcome, at),
            }
        }
    }

    /// The run comes to its end.
    pub fn finish(&mut self, key: Key, mut run: Run, outcome: RunOutcome, at: Timestamp) {
        self.unlink(&run);
        run.entry.outcome = outcome;
        run.entry.ended_at = Some(at.max(run.entry.at)); // the clock may have been set back since it began
        if run.entry.kind != RunKind::Release
            && let Some(cooldown) = self.book.rule(key.rule).cooldown
        {
            let device = run.entry.device.clone();
            self.state.scope(key, device.as_ref()).rests_until = Some(at.plus_millis(cooldown));
        }
        run.entry.targets = self.named_targets(key.rule, run.list);
        self.state.say(run.entry, true);
        self.state.touch(key);
        self.state.jobs.push_back(Job::Turns(key, at));
    }

    fn branch(
        &mut self,
        key: Key,
        run: &mut Run,
        choose: &Place,
        branch: u16,
        otherwise: u32,
        at: Timestamp,
    ) -> After {
        let list = run.list.of(self.book.rule(key.rule));
        let Some(condition) = choose.condition(list, branch) else { return After::At(otherwise) };
        let seen = self.look(key.rule, condition, (&run.entry.trigger.data, run.entry.device.as_ref()), at);
        match seen {
            Err(_) => self.die(key, at),
            Ok(seen) if seen.holds == Some(true) => {
                let taken = [("branch", Json::from(i64::from(branch))), ("if", Json::String(seen.text))];
                let taken: Object = taken.into_iter().collect();
                self.line(run, choose, "choose", None, taken.into(), at, "ok");
                After::Next
            }
            Ok(_) => After::At(otherwise),
        }
    }

    fn step(&mut self, key: Key, run: &mut Run, place: &Place, action: &Action, at: Timestamp) -> After {
        let kind = kind_of(&action.what);
        match &action.what {
            What::Delay { ms } => {
                let until = at.plus_millis(*ms);
                let data: Object = [("until", Json::from(until.to_string()))].into_iter().collect();
                self.line(run, place, kind, None, data.into(), at, "waiting");
                run.waits = Waits::Delay { until };
                After::Waits
            }
            What::Wait { until, timeout } => {
                let sight = (&run.entry.trigger.data, run.entry.device.as_ref());
                let Ok(seen) = self.look(key.rule, until, sight, at) else { return self.die(key, at) };
                let holds = seen.holds == Some(true);
                let data: Object = [("until", Json::String(seen.text))].into_iter().collect();
                self.line(run, place, kind, None, data.into(), at, if holds { "ok" } else { "waiting" });
                if holds {
                    return After::Next;
                }
                let deadline = timeout.map(|ms| at.plus_millis(ms));
                run.waits = Waits::Condition { until: deadline, look: super::wait::next_look(until, at) };
                After::Waits
            }
            what => match self.ask(key, run, what, at) {
                Err(fault) => {
                    let died = &*fault.0 == "panic";
                    let line = self.line(run, place, kind, None, Json::Null, at, "");
                    (line.result, line.detail) = (fault.0.clone(), fault.1.into());
                    if died { self.die(key, at) } else { self.failed(key, action, &fault.0) }
                }
                Ok(asked) => self.ask_world(key, run, place, action, asked, at),
            },
        }
    }

    /// Goes on with the step after the one that it stands at.
    pub fn go_on(&mut self, key: Key, mut run: Run, at: Timestamp) {
        run.at += 1;
        run.waits = Waits::Acts { open: Vec::new(), failed: None };
        run.confirms.clear();
        self.state.jobs.push_back(Job::Drive(run.entry.id, at));
        self.put_run(key, run);
    }

    /// The step that a run stands at did not work out: ends the run or goes on, as it says.
    pub fn fail_step(&mut self, key: Key, run: Run, word: &str, at: Timestamp) {
        let Some(action) = self.action(key, &run) else { return self.finish(key, run, RunOutcome::Done, at) };
        match self.failed(key, action, word) {
            After::End(outcome) => self.finish(key, run, outcome, at),
            _ => self.go_on(key, run, at),
        }
    }

    /// The action that a run stands at.
    pub fn action(&self, key: Key, run: &Run) -> Option<&'a Action> {
        match self.book.program(key.rule, run.list).get(run.at as usize)? {
            Op::Do(place) => place.action(run.list.of(self.book.rule(key.rule))),
            _ => None,
        }
    }

    pub fn failed(&self, key: Key, action: &Action, word: &str) -> After {
        match action.on_error.unwrap_or(self.book.rule(key.rule).on_error) {
            OnError::Stop => After::End(RunOutcome::Failed { reason: word.into() }),
            OnError::Continue => After::Next,
        }
    }

    fn die(&mut self, key: Key, at: Timestamp) -> After {
        self.stop(key.rule, "an action died: a fault of the program", at);
        After::End(RunOutcome::Failed { reason: "panic".into() })
    }

    /// Writes a line into the run's entry.
    #[expect(clippy::too_many_arguments, reason = "a line has so many parts")]
    pub fn line<'r>(
        &self,
        run: &'r mut Run,
        place: &Place,
        kind: &str,
        device: Option<DeviceId>,
        data: Json,
        at: Timestamp,
        result: &str,
    ) -> &'r mut ActionSeen {
        let path = place.path(run.list);
        let (kind, result) = (kind.into(), result.into());
        run.entry.actions.push(ActionSeen {
            path,
            kind,
            device,
            data,
            at,
            result,
            detail: "".into(),
            seq: None,
            made: None,
        });
        let last = run.entry.actions.len() - 1;
        &mut run.entry.actions[last]
    }
}

/// Writes into the last line of an entry how it went.
pub(super) fn settle_line(run: &mut Run, result: &str, detail: &str) {
    if let Some(line) = run.entry.actions.last_mut() {
        line.result = result.into();
        line.detail = detail.into();
    }
}
