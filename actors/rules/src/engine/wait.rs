//! Runs that wait: for a time, for a condition, for a command to be executed.

use super::deed::parse_act;
use super::drive::settle_line;
use super::run::{Run, Waits};
use super::scope::Key;
use super::state::Job;
use super::work::Work;
use crate::expression::Dependency;
use crate::model::{Condition, What};
use twinhub_domain::command::{CommandChange, Step as CommandStep};
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

impl Work<'_> {
    /// The time of a run has come.
    pub fn run_is_due(&mut self, id: RunId, at: Timestamp) {
        let Some((key, mut run)) = self.take_run(id) else { return };
        match run.waits {
            Waits::Delay { .. } => {
                settle_line(&mut run, "ok", "");
                self.go_on(key, run, at);
            }
            Waits::Confirm { .. } => self.not_confirmed(key, run, at),
            Waits::Condition { until, .. } => {
                self.look_at_wait(key, run, until.is_some_and(|until| until <= at), at);
            }
            Waits::Turn(_) | Waits::Acts { .. } => self.put_run(key, run),
        }
    }

    /// Something happened to a device: runs may have waited for it.
    pub fn look_again(&mut self, device: &DeviceId, at: Timestamp) {
        let Some(waiting) = self.state.waiting.get(device) else { return };
        let ids: Vec<RunId> = waiting.iter().map(|(_, _, id)| *id).collect();
        for id in ids {
            if let Some((key, run)) = self.take_run(id) {
                self.look_at_wait(key, run, false, at);
            }
            self.drain();
        }
    }

    fn look_at_wait(&mut self, key: Key, mut run: Run, is_late: bool, at: Timestamp) {
        let Some(What::Wait { until, .. }) = self.action(key, &run).map(|action| &action.what) else {
            return self.put_run(key, run);
        };
        let seen = self.look(key.rule, until, (&run.entry.trigger.data, run.entry.device.as_ref()), at);
        match seen {
            Err(_) => {
                self.finish(key, run, RunOutcome::Failed { reason: "panic".into() }, at);
                self.stop(key.rule, "an action died: a fault of the program", at);
            }
            Ok(seen) if seen.holds == Some(true) => {
                self.unlink_wait(&run);
                settle_line(&mut run, "ok", "");
                self.go_on(key, run, at);
            }
            Ok(seen) if is_late => {
                self.unlink_wait(&run);
                settle_line(&mut run, "timeout", &format!("{} did not come to hold", seen.text));
                self.fail_step(key, run, "timeout", at);
            }
            Ok(_) => {
                if let Waits::Condition { look, .. } = &mut run.waits
                    && look.is_some_and(|look| look <= at)
                {
                    *look = next_look(until, at);
                }
                self.put_run(key, run);
            }
        }
    }

    /// Remembers by device what a run waits for.
    pub fn link_wait(&mut self, key: Key, run: &Run) {
        let name = (self.book.rank(key.rule), key.device, run.entry.id);
        for device in self.waits_for(key, run) {
            self.state.waiting.entry(device).or_default().insert(name);
        }
    }

    pub fn unlink_wait(&mut self, run: &Run) {
        let Some(rule) = self.book.find(&run.entry.rule) else { return };
        let key = Key { rule, device: run.entry.number };
        let name = (self.book.rank(rule), key.device, run.entry.id);
        for device in self.waits_for(key, run) {
            if let Some(waiting) = self.state.waiting.get_mut(&device) {
                waiting.remove(&name);
                if waiting.is_empty() {
                    self.state.waiting.remove(&device);
                }
            }
        }
    }

    fn waits_for(&self, key: Key, run: &Run) -> Vec<DeviceId> {
        if !matches!(run.waits, Waits::Condition { .. }) {
            return Vec::new();
        }
        let Some(What::Wait { until, .. }) = self.action(key, run).map(|action| &action.what) else {
            return Vec::new();
        };
        let ids = until.dependencies().into_iter().filter_map(|dependency| match dependency {
            Dependency::Device(id) => Some(id),
            Dependency::TriggerDevice => run.entry.device.clone(),
        });
        ids.collect()
    }

    /// A command came further: it may be one that a run waits for.
    pub fn command_came(&mut self, change: &CommandChange, at: Timestamp) {
        if let CommandStep::Queued(request) = &change.step
            && let Some(act) = request.idempotency_key.as_deref().and_then(parse_act)
            && let Some((key, mut run)) = self.take_run(act.run)
        {
            for confirm in run.confirms.iter_mut().filter(|c| c.nth == act.nth && run.at == act.step) {
                confirm.command = Some(change.id);
                self.state.confirming.insert(change.id, act.run);
            }
            self.put_run(key, run);
        }
        let status = change.step.status();
        if !status.is_final() || matches!(change.step, CommandStep::Late(_)) {
            return;
        }
        let Some(id) = self.state.confirming.remove(&change.id) else { return };
        let Some((key, mut run)) = self.take_run(id) else { return };
        for confirm in run.confirms.iter_mut().filter(|confirm| confirm.command == Some(change.id)) {
            confirm.status = Some(status);
        }
        match run.waits {
            Waits::Confirm { .. } => self.confirmed(key, run, at),
            _ => self.put_run(key, run),
        }
    }

    /// Goes on where all commands were executed; gives up where one cannot be any more.
    pub fn confirmed(&mut self, key: Key, run: Run, at: Timestamp) {
        let failed =
            |status: Option<CommandStatus>| status.is_some_and(|status| status != CommandStatus::Executed);
        if run.confirms.iter().any(|confirm| failed(confirm.status)) {
            self.not_confirmed(key, run, at);
        } else if run.confirms.iter().all(|confirm| confirm.status.is_some()) {
            self.go_on(key, run, at);
        } else {
            self.state.say(run.entry.clone(), false);
            self.state.jobs.push_back(Job::Turns(key, at));
            self.put_run(key, run);
        }
    }

    fn not_confirmed(&mut self, key: Key, mut run: Run, at: Timestamp) {
        for confirm in std::mem::take(&mut run.confirms) {
            if let Some(command) = confirm.command {
                self.state.confirming.remove(&command);
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
