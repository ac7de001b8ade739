//! A run goes on: step by step through its program, until it waits or comes to its end.

use std::sync::Arc;

use super::deed::kind_of;
use super::fire::{BY_RULE, Firing, data};
use super::program::{Op, Place};
use super::run::{Confirm, Open, Run, Waits};
use super::scope::Key;
use super::state::Job;
use super::work::Work;
use super::{Act, ActId, ActResult};
use crate::domain::event::{RunCause, Source};
use crate::domain::fingerprint::Fingerprint;
use crate::domain::rules::model::{Action, OnError, RuleId, What};
use crate::domain::rules::record::{ActionSeen, RunId, RunKind, RunOutcome};
use crate::domain::{Cause, DeviceId, Json, Object, Timestamp};

/// What comes after a step.
enum After {
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
        let at = at.max(run.entry.at);
        run.entry.outcome = outcome;
        run.entry.ended_at = Some(at);
        if run.entry.kind != RunKind::Release
            && let Some(cooldown) = self.book.rule(key.rule).cooldown
        {
            let device = run.entry.device.clone();
            self.state.scope(key, device.as_ref()).rests_until = Some(at.plus_millis(cooldown));
        }
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

    /// Asks the world for what an action says, of each device.
    fn ask_world(
        &mut self,
        key: Key,
        run: &mut Run,
        place: &Place,
        action: &Action,
        asked: Vec<super::deed::Asked>,
        at: Timestamp,
    ) -> After {
        let kind = kind_of(&action.what);
        if asked.is_empty() {
            self.line(run, place, kind, None, Json::Null, at, "skipped").detail = "no device fits".into();
            return After::Next;
        }
        let (mut open, mut failed) = (Vec::new(), None);
        run.confirms.clear();
        for (nth, mut asked) in (0u32..).zip(asked) {
            let (held, is_some_left) = self.arbitrate(key, &action.what, &mut asked);
            let line = self.line(run, place, kind, asked.device.clone(), asked.data.clone(), at, "waiting");
            if let Some(held) = held {
                line.detail = format!("outranked: {held}").into();
            }
            if !is_some_left {
                line.result = "outranked".into();
                failed.get_or_insert_with(|| Box::from("outranked"));
                continue;
            }
            let line = u32::try_from(run.entry.actions.len() - 1).unwrap_or(u32::MAX);
            let id = ActId { run: run.entry.id, step: run.at, nth };
            if let What::Run { rule } = &action.what {
                self.call(run, rule, id, at);
            } else if let Some(deed) = self.deed(key, run, &action.what, &asked, id) {
                if let (What::Command { confirm: Some(_), .. }, Some(device)) = (&action.what, asked.device) {
                    run.confirms.push(Confirm { nth, line, device, command: None, status: None });
                }
                let cause = self.cause(key, run);
                self.state.act(Act { id, rule: run.entry.rule.clone(), cause, deed });
            }
            open.push(Open { nth, line });
        }
        if open.is_empty() {
            return self.failed(key, action, failed.as_deref().unwrap_or("outranked"));
        }
        run.waits = Waits::Acts { open, failed };
        After::Waits
    }

    /// Another rule is to run, for the same device.
    fn call(&mut self, run: &Run, rule: &RuleId, id: ActId, at: Timestamp) {
        let fail = |word: &str, detail: String| ActResult {
            failed: Some((word.into(), detail)),
            ..ActResult::default()
        };
        let Some(other) = self.book.find(rule) else {
            let result = fail("unknown_rule", format!("there is no rule {rule}"));
            return self.state.jobs.push_back(Job::Answer(id, result, at));
        };
        if !self.state.is_enabled(self.book, other) {
            let result = fail("disabled", format!("{rule} is disabled"));
            return self.state.jobs.push_back(Job::Answer(id, result, at));
        }
        let device = run.entry.device.clone().map(|device| (device, run.entry.number));
        let mut seen = run.entry.trigger.data.clone();
        seen.merge(&data("", "run", [("rule", run.entry.rule.as_str().into())]));
        let mut firing = Firing::new(other, BY_RULE, "run", device, seen, at);
        let key = super::work::key(self.book.find(&run.entry.rule).unwrap_or(other), None);
        firing.cause = Some(self.cause(key, run));
        firing.kind = RunKind::Called;
        firing.seq = run.entry.trigger.seq;
        firing.what = name_of(id);
        firing.caller = Some(id);
        self.state.jobs.push_back(Job::Fire(Box::new(firing)));
    }

    /// An act was answered.
    pub fn answer(&mut self, act: ActId, result: ActResult, at: Timestamp) {
        let Some((key, mut run)) = self.take_run(act.run) else { return };
        let Waits::Acts { open, failed } = &mut run.waits else { return self.put_run(key, run) };
        let place = open.iter().position(|open| open.nth == act.nth);
        let (Some(place), true) = (place, run.at == act.step) else { return self.put_run(key, run) };
        let line = &mut run.entry.actions[open.remove(place).line as usize];
        let ActResult { seq, command, made, failed: fault } = result;
        (line.seq, line.made) = (seq, made.or_else(|| command.map(|id| id.to_string().into())));
        let is_over = open.is_empty();
        match fault {
            None => {
                line.result = "ok".into();
                confirm_by(&mut run.confirms, act.nth, command);
            }
            Some((word, detail)) => {
                if &*word != "skipped" && failed.is_none() {
                    *failed = Some(word.clone());
                }
                (line.result, line.detail) = (word, detail.into());
                run.confirms.retain(|confirm| confirm.nth != act.nth);
            }
        }
        if let Some(command) = command
            && run.confirms.iter().any(|confirm| confirm.command == Some(command) && confirm.status.is_none())
        {
            self.state.confirming.insert(command, run.entry.id);
        }
        if is_over { self.answered(key, run, at) } else { self.put_run(key, run) }
    }

    /// All acts of a step were answered.
    fn answered(&mut self, key: Key, mut run: Run, at: Timestamp) {
        let Some(action) = self.action(key, &run) else { return self.finish(key, run, RunOutcome::Done, at) };
        let Waits::Acts { failed, .. } = &mut run.waits else { return };
        if let Some(word) = failed.take()
            && let After::End(outcome) = self.failed(key, action, &word)
        {
            return self.finish(key, run, outcome, at);
        }
        match (&action.what, run.confirms.is_empty()) {
            (What::Command { confirm: Some(ms), .. }, false) => {
                run.waits = Waits::Confirm { until: at.plus_millis(*ms) };
                self.confirmed(key, run, at);
            }
            _ => self.go_on(key, run, at),
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

    fn failed(&self, key: Key, action: &Action, word: &str) -> After {
        match action.on_error.unwrap_or(self.book.rule(key.rule).on_error) {
            OnError::Stop => After::End(RunOutcome::Failed { reason: word.into() }),
            OnError::Continue => After::Next,
        }
    }

    fn die(&mut self, key: Key, at: Timestamp) -> After {
        self.stop(key.rule, "an action died: a fault of the program", at);
        After::End(RunOutcome::Failed { reason: "panic".into() })
    }

    /// What the world writes down as the cause of what a run does.
    pub fn cause(&self, key: Key, run: &Run) -> Cause {
        let even_in_manual = self.book.rule(key.rule).even_in_manual;
        let above = RunCause { id: run.entry.id, depth: run.entry.depth, even_in_manual };
        let mut cause = Cause::new(Source::Rule, run.entry.rule.as_str());
        cause.run = Some(Arc::new(above));
        cause
    }

    /// Writes a line into the run's entry.
    #[expect(clippy::too_many_arguments, reason = "a line has so many parts")]
    fn line<'r>(
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

/// What is known of an accepted command. The world that has none, as over the past, has done it.
fn confirm_by(confirms: &mut Vec<Confirm>, nth: u32, command: Option<crate::domain::CommandId>) {
    match command {
        None => confirms.retain(|confirm| confirm.nth != nth || confirm.command.is_some()),
        Some(command) => {
            for confirm in confirms.iter_mut().filter(|confirm| confirm.nth == nth) {
                confirm.command = Some(command);
            }
        }
    }
}

/// A number that stands for an act.
fn name_of(act: ActId) -> i64 {
    let mut print = Fingerprint::default();
    print.field(act.run.0.as_bytes()).field(&act.step.to_le_bytes()).field(&act.nth.to_le_bytes());
    i64::from_le_bytes(print.value().to_le_bytes())
}

/// Writes into the last line of an entry how it went.
pub(super) fn settle_line(run: &mut Run, result: &str, detail: &str) {
    if let Some(line) = run.entry.actions.last_mut() {
        line.result = result.into();
        line.detail = detail.into();
    }
}
