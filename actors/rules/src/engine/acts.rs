//! What a run asks of the world, and the world's answers.

use std::sync::Arc;

use super::deed::{Asked, kind_of};
use super::drive::After;
use super::fire::{BY_RULE, Firing, data};
use super::program::Place;
use super::run::{Confirm, Open, Run, Waits};
use super::scope::Key;
use super::state::Job;
use super::work::Work;
use super::{Act, ActId, ActResult};
use crate::model::{Action, What};
use twinhub_domain::cause::{RunCause, Source};
use twinhub_domain::fingerprint::Fingerprint;
use twinhub_domain::run::RuleId;
use twinhub_domain::run::{RunKind, RunOutcome};
use twinhub_domain::{Cause, CommandId, Json, Timestamp};

impl Work<'_> {
    /// Asks the world for what an action says, of each device.
    pub fn ask_world(
        &mut self,
        key: Key,
        run: &mut Run,
        place: &Place,
        action: &Action,
        asked: Vec<Asked>,
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
            self.state.asked += 1;
            open.push(Open { nth, line, order: self.state.asked });
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

    /// What the world writes down as the cause of what a run does.
    pub fn cause(&self, key: Key, run: &Run) -> Cause {
        let even_in_manual = self.book.rule(key.rule).even_in_manual;
        let above = RunCause { id: run.entry.id, depth: run.entry.depth, even_in_manual };
        let mut cause = Cause::new(Source::Rule, run.entry.rule.as_str());
        cause.run = Some(Arc::new(above));
        cause
    }
}

/// What is known of an accepted command. The world that has none, as over the past, has done it.
fn confirm_by(confirms: &mut Vec<Confirm>, nth: u32, command: Option<CommandId>) {
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
