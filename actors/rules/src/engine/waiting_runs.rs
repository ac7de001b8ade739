//! Runs that wait: for a time, for a condition, for a command to be executed.

use super::EffectId;
use super::index::RuleIndex;
use super::run::{RunState, RunWait};
use super::run_loop::RunLoop;
use super::scope::ScopeKey;
use super::state::Followup;
use crate::action::{ActionKind, WaitAction};
use crate::expression::Dependency;
use crate::model::Condition;
use twinhub_domain::command::{CommandChange, CommandStep};
use twinhub_domain::run::{RunId, RunOutcome};
use twinhub_domain::{CommandStatus, DeviceId, Timestamp};

/// A condition about the time is looked at so often, in ms, at whole multiples of it.
const LOOK_MS: i64 = 60_000;

/// When a condition that is waited for is looked at though nothing happens.
pub(super) fn next_look(until: &Condition, now: Timestamp) -> Option<Timestamp> {
    let next = || Timestamp::from_millis((now.millis().div_euclid(LOOK_MS) + 1) * LOOK_MS);
    asks_the_time(until).then(next)
}

/// Does it depend on the time, so that it can come to hold though nothing happens? Of an expression its text tells: that
/// is wrong where a device or a property is called so, and costs a look a minute then.
fn asks_the_time(condition: &Condition) -> bool {
    match condition {
        Condition::Expression(expression) => {
            let mut words = expression.text().split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            words.any(|word| word == "now" || word == "age")
        }
        Condition::Time { .. } => true,
        Condition::All(parts) | Condition::Any(parts) => parts.iter().any(asks_the_time),
        Condition::Not(part) => asks_the_time(part),
    }
}

/// The devices that the condition looks at that a run waits for; none where it waits for something else.
pub(super) fn waited_for(index: &RuleIndex, key: ScopeKey, run: &RunState) -> Vec<DeviceId> {
    if !matches!(run.waits, RunWait::Condition { .. }) {
        return Vec::new();
    }
    let action = index.action(key.rule, run.list, run.at).map(|action| &action.kind);
    let Some(ActionKind::Wait(WaitAction { until, .. })) = action else { return Vec::new() };
    let ids = until.dependencies().into_iter().filter_map(|dependency| match dependency {
        Dependency::Device(id) => Some(id),
        Dependency::TriggerDevice => run.entry.device.clone(),
    });
    ids.collect()
}

impl RunLoop<'_> {
    /// The time of a run has come.
    pub fn run_is_due(&mut self, id: RunId, at: Timestamp) {
        let Some((key, mut run)) = self.state.take_run(id) else { return };
        match run.waits {
            RunWait::Delay { .. } => {
                run.settle_line("ok", "");
                self.go_on(key, run, at);
            }
            RunWait::Confirm { .. } => self.not_confirmed(key, run, at),
            RunWait::Condition { until, .. } => {
                self.look_at_wait(key, run, until.is_some_and(|until| until <= at), at);
            }
            RunWait::Turn(_) | RunWait::Acts { .. } => self.state.put_run(key, run),
        }
    }

    /// Something happened to a device that the condition of a run looks at.
    pub fn look_again(&mut self, id: RunId, at: Timestamp) {
        if let Some((key, run)) = self.state.take_run(id) {
            self.look_at_wait(key, run, false, at);
        }
    }

    fn look_at_wait(&mut self, key: ScopeKey, mut run: RunState, is_late: bool, at: Timestamp) {
        let action = self.action(key, &run).map(|action| &action.kind);
        let Some(ActionKind::Wait(WaitAction { until, .. })) = action else {
            return self.state.put_run(key, run);
        };
        match self.evaluator().condition(key.rule, until, &run.entry, at) {
            Err(_) => {
                self.finish(key, run, RunOutcome::Failed { reason: "panic".into() }, at);
                self.die(key, at);
            }
            Ok(seen) if seen.holds == Some(true) => {
                self.state.runs.end_wait(run.entry.id);
                run.settle_line("ok", "");
                self.go_on(key, run, at);
            }
            Ok(seen) if is_late => {
                self.state.runs.end_wait(run.entry.id);
                run.settle_line("timeout", &format!("{} did not come to hold", seen.text));
                self.fail_step(key, run, "timeout", at);
            }
            Ok(_) => {
                if let RunWait::Condition { look, .. } = &mut run.waits
                    && look.is_some_and(|look| look <= at)
                {
                    *look = next_look(until, at);
                }
                self.state.put_run(key, run);
            }
        }
    }

    /// A command came further: it may be one that a run waits for.
    pub fn command_progressed(&mut self, change: &CommandChange, at: Timestamp) {
        if let CommandStep::Queued(request) = &change.step
            && let Some(effect) = request.idempotency_key.as_deref().and_then(EffectId::parse)
            && let Some((key, mut run)) = self.state.take_run(effect.run)
        {
            for confirm in run.confirms.iter_mut().filter(|c| c.nth == effect.nth && run.at == effect.step) {
                confirm.command = Some(change.id);
                self.state.runs.confirm(change.id, effect.run);
            }
            self.state.put_run(key, run);
        }
        let status = change.step.status();
        if !status.is_final() || matches!(change.step, CommandStep::Late(_)) {
            return;
        }
        let Some(id) = self.state.runs.end_confirm(change.id) else { return };
        let Some((key, mut run)) = self.state.take_run(id) else { return };
        for confirm in run.confirms.iter_mut().filter(|confirm| confirm.command == Some(change.id)) {
            confirm.status = Some(status);
        }
        match run.waits {
            RunWait::Confirm { .. } => self.confirmed(key, run, at),
            _ => self.state.put_run(key, run),
        }
    }

    /// Goes on where all commands were executed; gives up where one cannot be any more.
    pub fn confirmed(&mut self, key: ScopeKey, run: RunState, at: Timestamp) {
        let failed =
            |status: Option<CommandStatus>| status.is_some_and(|status| status != CommandStatus::Executed);
        if run.confirms.iter().any(|confirm| failed(confirm.status)) {
            self.not_confirmed(key, run, at);
        } else if run.confirms.iter().all(|confirm| confirm.status.is_some()) {
            self.go_on(key, run, at);
        } else {
            self.state.say(run.entry.clone(), false);
            self.state.follow_up(Followup::Turns(key, at));
            self.state.put_run(key, run);
        }
    }

    fn not_confirmed(&mut self, key: ScopeKey, mut run: RunState, at: Timestamp) {
        for confirm in std::mem::take(&mut run.confirms) {
            if let Some(command) = confirm.command {
                self.state.runs.end_confirm(command);
            }
            let Some(line) = run.entry.actions.get_mut(confirm.line as usize) else { continue };
            match confirm.status {
                Some(CommandStatus::Executed) => {}
                Some(status) => {
                    line.result = "not_confirmed".into();
                    line.detail = format!("the command is {}", status.as_str()).into();
                }
                None => {
                    line.result = "not_confirmed".into();
                    line.detail = "the device did not say in time that it has done it".into();
                }
            }
        }
        self.fail_step(key, run, "not_confirmed", at);
    }
}
