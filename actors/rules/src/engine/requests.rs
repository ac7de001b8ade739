//! The effects that a run asks for, and their results.

use std::sync::Arc;

use super::action_context::{ActionRequest, Requested};
use super::evaluator::Evaluator;
use super::firing::{BY_RULE, Firing, data};
use super::program::ActionPath;
use super::run::{ActionLine, AwaitedCommand, OpenRequest, RunState, RunWait};
use super::run_loop::{RunLoop, StepResult};
use super::scope::{HeldThing, ScopeKey};
use super::scopes::RuleScopes;
use super::state::Followup;
use super::{Effect, EffectId, EffectRequest, EffectResult};
use crate::action::{Action, ActionKind, CommandAction};
use crate::model::Rule;
use twinhub_domain::cause::{RunCause, Source};
use twinhub_domain::fingerprint::Fingerprint;
use twinhub_domain::run::{RuleId, RunEntry, RunKind, RunOutcome};
use twinhub_domain::{Cause, CommandId, DeviceId, Json, Timestamp};

impl RunLoop<'_> {
    /// Asks the world for what an action says, of each device.
    pub fn request(
        &mut self,
        key: ScopeKey,
        run: &mut RunState,
        place: &ActionPath,
        action: &Action,
        action_requests: Vec<ActionRequest>,
        at: Timestamp,
    ) -> StepResult {
        let word = action.kind.word();
        if action_requests.is_empty() {
            run.line(ActionLine::new(place, word, Json::Null, "skipped"), at).detail =
                "no device fits".into();
            return StepResult::Next;
        }
        let (mut open, mut failed) = (Vec::new(), None);
        run.confirms.clear();
        for (nth, mut action_request) in (0u32..).zip(action_requests) {
            let (held, is_some_left) = self.arbitrate(key, &mut action_request);
            let line = ActionLine::new(place, word, action_request.data().into(), "waiting");
            let line = run.line(line.of(action_request.device.clone()), at);
            if let Some(held) = held {
                line.detail = format!("outranked: {held}").into();
            }
            if !is_some_left {
                line.result = "outranked".into();
                failed.get_or_insert_with(|| Box::from("outranked"));
                continue;
            }
            let line = u32::try_from(run.entry.actions.len() - 1).unwrap_or(u32::MAX);
            let id = EffectId { run: run.entry.id, step: run.at, nth };
            match action_request.what {
                Requested::Run(rule) => self.call(run, &rule, id, at),
                Requested::Effect(effect) => {
                    if let (Some(_), Some(device)) = (confirm_of(action), action_request.device) {
                        run.confirms.push(AwaitedCommand { nth, line, device, command: None, status: None });
                    }
                    let request = request(self.index.rule(key.rule), &run.entry, id, effect);
                    self.state.output.effects.push(request);
                }
            }
            self.state.action_requests += 1;
            open.push(OpenRequest { nth, line, order: self.state.action_requests });
        }
        if open.is_empty() {
            return self.failed(key, action, failed.as_deref().unwrap_or("outranked"));
        }
        run.waits = RunWait::Acts { open, failed };
        StepResult::Waits
    }

    /// Leaves out of what is asked what a rule of higher priority holds. Gives a sentence on what that was; with
    /// nothing left, there is nothing to ask.
    fn arbitrate(&mut self, key: ScopeKey, action_request: &mut ActionRequest) -> (Option<String>, bool) {
        let Some(device) = action_request.device.clone().filter(|_| self.index.is_ranked) else {
            return (None, true);
        };
        match &mut action_request.what {
            Requested::Effect(Effect::Command { request, .. }) => {
                let command_type = &request.command_type;
                match self.hold(key, (&device, HeldThing::Command(command_type.clone()))) {
                    Some(holder) => (Some(format!("{holder} holds {command_type} of {device}")), false),
                    None => (None, true),
                }
            }
            Requested::Effect(Effect::Desired { set, .. }) => {
                let names: Vec<Box<str>> = set.iter().map(|(name, _)| name.into()).collect();
                let mut refused = Vec::new();
                for name in names {
                    if let Some(holder) = self.hold(key, (&device, HeldThing::Property(name.clone()))) {
                        refused.push(format!("{holder} holds {name} of {device}"));
                        set.remove(&name);
                    }
                }
                let is_some_left = !set.is_empty() || refused.is_empty();
                ((!refused.is_empty()).then(|| refused.join(", ")), is_some_left)
            }
            _ => (None, true),
        }
    }

    /// Holds it, unless a rule of higher priority does: gives that rule.
    fn hold(&mut self, key: ScopeKey, (device, hold): (&DeviceId, HeldThing)) -> Option<RuleId> {
        let held = (device.clone(), hold);
        let holder = self.state.scopes.holds.above(self.index, key, &held).cloned();
        if holder.is_none() {
            self.state.scopes.hold(key, held);
        }
        holder
    }

    /// Another rule is to run, for the same device.
    fn call(&mut self, run: &RunState, rule: &RuleId, id: EffectId, at: Timestamp) {
        let Some(other) = self.index.find(rule) else {
            let result = EffectResult::failed("unknown_rule", format!("there is no rule {rule}"));
            return self.state.follow_up(Followup::Answer(id, result, at));
        };
        if !self.state.is_enabled(self.index, other) {
            let result = EffectResult::failed("disabled", format!("{rule} is disabled"));
            return self.state.follow_up(Followup::Answer(id, result, at));
        }
        let device = run.entry.device.clone().map(|device| (device, run.entry.number));
        let mut seen = run.entry.trigger.data.clone();
        seen.merge(&data("", "run", [("rule", run.entry.rule.as_str().into())]));
        let mut firing = Firing::new(other, BY_RULE, "run", device, seen, at);
        let caller = self.index.find(&run.entry.rule).unwrap_or(other);
        firing.cause = Some(cause(self.index.rule(caller), &run.entry));
        firing.kind = RunKind::Called;
        firing.seq = run.entry.trigger.seq;
        firing.what = name_of(id);
        firing.caller = Some(id);
        self.state.fire(firing);
    }

    /// An effect that was asked for was done, or could not be.
    pub fn answer(&mut self, id: EffectId, result: EffectResult, at: Timestamp) {
        let Some((key, mut run)) = self.state.take_run(id.run) else { return };
        let RunWait::Acts { open, failed } = &mut run.waits else { return self.state.put_run(key, run) };
        let place = open.iter().position(|open| open.nth == id.nth);
        let (Some(place), true) = (place, run.at == id.step) else { return self.state.put_run(key, run) };
        let line = &mut run.entry.actions[open.remove(place).line as usize];
        let EffectResult { seq, command, made, failed: fault } = result;
        (line.seq, line.made) = (seq, made.or_else(|| command.map(|id| id.to_string().into())));
        let is_over = open.is_empty();
        match fault {
            None => {
                line.result = "ok".into();
                confirm_by(&mut run.confirms, id.nth, command);
            }
            Some((word, detail)) => {
                if &*word != "skipped" && failed.is_none() {
                    *failed = Some(word.clone());
                }
                (line.result, line.detail) = (word, detail.into());
                run.confirms.retain(|confirm| confirm.nth != id.nth);
            }
        }
        if let Some(command) = command
            && run.confirms.iter().any(|confirm| confirm.command == Some(command) && confirm.status.is_none())
        {
            self.state.runs.confirm(command, run.entry.id);
        }
        if is_over { self.answered(key, run, at) } else { self.state.put_run(key, run) }
    }

    /// All that a step asked for was answered.
    fn answered(&mut self, key: ScopeKey, mut run: RunState, at: Timestamp) {
        let Some(action) = self.action(key, &run) else {
            return self.finish(key, run, RunOutcome::Done, at);
        };
        let RunWait::Acts { failed, .. } = &mut run.waits else { return };
        if let Some(word) = failed.take()
            && let StepResult::End(outcome) = self.failed(key, action, &word)
        {
            return self.finish(key, run, outcome, at);
        }
        match (confirm_of(action), run.confirms.is_empty()) {
            (Some(ms), false) => {
                run.waits = RunWait::Confirm { until: at.plus_millis(ms) };
                self.confirmed(key, run, at);
            }
            _ => self.go_on(key, run, at),
        }
    }
}

impl Evaluator<'_> {
    /// Requests that have not been answered, made again from what the journal has of them, in the order in which they
    /// were made.
    pub fn unanswered(&self, scopes: &RuleScopes) -> Vec<EffectRequest> {
        let mut requests = Vec::new();
        for (key, scope) in &scopes.by_key {
            for run in &scope.runs {
                let action = self.index.action(key.rule, run.list, run.at);
                let (RunWait::Acts { open, .. }, Some(action)) = (&run.waits, action) else { continue };
                let context = self.context(*key, run, run.entry.at);
                for open in open {
                    let Some(line) = run.entry.actions.get(open.line as usize) else { continue };
                    let Some(data) = line.data.as_object() else { continue };
                    let id = EffectId { run: run.entry.id, step: run.at, nth: open.nth };
                    let effect = action.kind.behaviour().read_back(&context, line.device.clone(), data);
                    if let Some(effect) = effect {
                        let request = request(self.index.rule(key.rule), &run.entry, id, effect);
                        requests.push((open.order, request));
                    }
                }
            }
        }
        requests.sort_by_key(|(order, request)| (*order, request.id));
        requests.into_iter().map(|(_, request)| request).collect()
    }
}

/// A run asks for an effect by this name.
fn request(rule: &Rule, entry: &RunEntry, id: EffectId, mut effect: Effect) -> EffectRequest {
    if let Effect::Command { request, .. } = &mut effect {
        request.idempotency_key = Some(id.to_string().into());
    }
    EffectRequest { id, rule: entry.rule.clone(), cause: cause(rule, entry), effect }
}

/// The cause that the world writes down for what a run of this rule does.
fn cause(rule: &Rule, entry: &RunEntry) -> Cause {
    let above = RunCause { id: entry.id, depth: entry.depth, even_in_manual: rule.even_in_manual };
    let mut cause = Cause::new(Source::Rule, entry.rule.as_str());
    cause.run = Some(Arc::new(above));
    cause
}

/// For so many ms an action waits for its commands to be executed.
fn confirm_of(action: &Action) -> Option<i64> {
    match &action.kind {
        ActionKind::Command(CommandAction { confirm, .. }) => *confirm,
        _ => None,
    }
}

/// Notes an accepted command. The world that has none, as over the past, has done it.
fn confirm_by(confirms: &mut Vec<AwaitedCommand>, nth: u32, command: Option<CommandId>) {
    match command {
        None => confirms.retain(|confirm| confirm.nth != nth || confirm.command.is_some()),
        Some(command) => {
            for confirm in confirms.iter_mut().filter(|confirm| confirm.nth == nth) {
                confirm.command = Some(command);
            }
        }
    }
}

/// A number that stands for a request.
fn name_of(id: EffectId) -> i64 {
    let mut print = Fingerprint::default();
    print.field(id.run.0.as_bytes()).field(&id.step.to_le_bytes()).field(&id.nth.to_le_bytes());
    i64::from_le_bytes(print.value().to_le_bytes())
}
