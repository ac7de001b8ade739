//! Pausing, resuming, canceling, trying again and forgetting.
//!
//! What changes many of a job's devices at once waits until none of them has its turn: a device that is done must not
//! be called canceled because the word for that was on its way first.

use actix::Context;
use tokio::sync::oneshot;

use super::Jobs;
use super::making::AT_ONCE;
use super::run::Run;
use crate::messages::jobs::{JobRefusal, JobTold, Steer, SteerJob};
use twinhub_domain::Cause;
use twinhub_domain::fleet::job::Sweeping;
use twinhub_domain::fleet::{JobId, JobSignal, JobStatus, RecordChange, StepState};
use twinhub_store::{JobOp, Sweep};

/// Something that a person wants of a job.
pub(super) struct Wish {
    steer: Steer,
    cause: Cause,
    reply: oneshot::Sender<Result<JobTold, JobRefusal>>,
}

impl Jobs {
    pub(super) fn steer(&mut self, asked: SteerJob, ctx: &mut Context<Self>) {
        let SteerJob { id, steer, cause, reply } = asked;
        let wish = Wish { steer, cause, reply };
        match self.runs.get_mut(&id) {
            Some(run) => {
                run.wishes.push_back(wish);
                self.grant_wishes(id, ctx);
                if self.runs.get(&id).is_some_and(Run::is_through) {
                    self.count(id, ctx); // it may have come to its end while it was paused
                }
                self.feed(ctx);
            }
            None if steer == Steer::Retry => {
                let then = move |this: &mut Self, ctx: &mut Context<Self>| match this.runs.get_mut(&id) {
                    Some(run) => {
                        run.wishes.push_back(wish); // others were faster
                        this.grant_wishes(id, ctx);
                    }
                    None => this.grant(id, wish, ctx),
                };
                self.count_late(id, ctx, Box::new(then));
            }
            None => self.grant(id, wish, ctx),
        }
    }

    /// Does what is wanted of a job, as far as it can be done now.
    pub(super) fn grant_wishes(&mut self, id: JobId, ctx: &mut Context<Self>) {
        while let (Some(run), Some(job)) = (self.runs.get_mut(&id), self.jobs.get(&id)) {
            if run.writing || job.status == JobStatus::Preparing {
                return;
            }
            let Some(wish) = run.wishes.front() else { return };
            let changes_many = match wish.steer {
                Steer::Cancel | Steer::Retry => true,
                Steer::Pause => job.action.rollout().is_some(),
                Steer::Resume | Steer::Remove => false,
            };
            let changes_many = changes_many
                && signal_of(wish.steer).is_some_and(|signal| job.status.after(signal).is_some());
            if changes_many && run.in_flight > 0 {
                return;
            }
            let Some(wish) = run.wishes.pop_front() else { return };
            if !changes_many {
                self.grant(id, wish, ctx);
                continue;
            }
            run.writing = true;
            let then = move |this: &mut Self, ctx: &mut Context<Self>| {
                if let Some(run) = this.runs.get_mut(&id) {
                    run.writing = false;
                }
                this.grant(id, wish, ctx);
                this.grant_wishes(id, ctx);
                this.feed(ctx);
            };
            return self.count_then(id, ctx, Box::new(then));
        }
    }

    fn grant(&mut self, id: JobId, wish: Wish, ctx: &mut Context<Self>) {
        let Some(told) = self.told(id) else {
            return self.answer(wish.reply, Err(JobRefusal::Unknown(id)), ctx);
        };
        let status = told.job.status;
        let refused = JobRefusal::Status { status, steer: wish.steer };
        let Some(signal) = signal_of(wish.steer) else {
            if !status.is_final() || told.job.sweeping.is_some() {
                return self.answer(wish.reply, Err(refused), ctx);
            }
            let reply = wish.reply;
            return self.remove(id, wish.cause, ctx, |_, _| drop(reply.send(Ok(told))));
        };
        if status.after(signal).is_none() {
            return self.answer(wish.reply, Err(refused), ctx);
        }
        if signal == JobSignal::Retry && told.progress.count(StepState::Failed) == 0 {
            return self.answer(wish.reply, Err(JobRefusal::NothingFailed), ctx);
        }
        let _ = self.signal(id, signal, None); // it fits
        let sweeping = self.jobs.get(&id).and_then(|job| job.sweeping);
        let Wish { cause, reply, .. } = wish;
        let answer = move |this: &mut Self, _: &mut Context<Self>| {
            if let Some(told) = this.told(id) {
                let _ = reply.send(Ok(told)); // whoever asked may have gone
            }
        };
        match sweeping {
            Some(sweeping) => self.begin_sweep(id, sweeping, cause, ctx, answer),
            None if signal == JobSignal::Pause && self.rollout(id).is_some() => {
                self.begin_anew(id);
                // It is paused with that, and calling many tasks back takes its time.
                self.put(id, RecordChange::Changed, Vec::new(), cause, ctx, move |this, ctx| {
                    answer(this, ctx);
                    this.hold_back(id, ctx);
                });
            }
            None => self.put(id, RecordChange::Changed, Vec::new(), cause, ctx, answer),
        }
    }

    pub(super) fn remove(
        &mut self,
        id: JobId,
        cause: Cause,
        ctx: &mut Context<Self>,
        then: impl FnOnce(&mut Self, &mut Context<Self>) + 'static,
    ) {
        let Some(told) = self.told(id) else { return };
        self.jobs.remove(&id);
        self.around.counters.changes_of_jobs.forget(id);
        if let Some(run) = self.runs.remove(&id) {
            for wish in run.wishes {
                self.answer(wish.reply, Err(JobRefusal::Unknown(id)), ctx);
            }
        }
        self.take_out(told, 0, cause, ctx, then);
    }

    /// Goes on with a sweep that a crash has cut short.
    pub(super) fn sweep(&mut self, id: JobId, sweeping: Sweeping, cause: Cause, ctx: &mut Context<Self>) {
        self.begin_sweep(id, sweeping, cause, ctx, |_, _| {});
    }

    /// Has all devices of a job that are in one state come into another, part by part, and then calls `then`.
    fn begin_sweep(
        &mut self,
        id: JobId,
        sweeping: Sweeping,
        cause: Cause,
        ctx: &mut Context<Self>,
        then: impl FnOnce(&mut Self, &mut Context<Self>) + 'static,
    ) {
        self.begin_anew(id);
        let total = self.jobs.get(&id).map_or(0, |job| job.total);
        let withdraws = sweeping == Sweeping::Cancel && self.has_tasks(id);
        let (sweep, of_last) = (self.change_of(id, sweeping), cause.clone());
        let last = move |this: &mut Self, last: JobOp, ctx: &mut Context<Self>| {
            this.end_sweep(id, sweeping, last, of_last, ctx, then);
        };
        if total <= AT_ONCE as u64 && !withdraws {
            return self.sweep_parts(sweep, ctx, last);
        }
        // What is wanted is written down first, so that a crash cannot leave half of it.
        self.put(id, RecordChange::Changed, Vec::new(), cause, ctx, move |this, ctx| {
            if !withdraws {
                return this.sweep_parts(sweep, ctx, last);
            }
            this.withdraw(id, StepState::Canceled, ctx, move |this, ctx| {
                this.count_then(id, ctx, Box::new(move |this, ctx| this.sweep_parts(sweep, ctx, last)));
            });
        });
    }

    /// Those who are queued when many were changed are read anew; till then nobody has a turn.
    fn begin_anew(&mut self, id: JobId) {
        let mut run = self.new_run(id);
        if let Some(before) = self.runs.remove(&id) {
            run.wishes = before.wishes;
        }
        run.writing = true;
        self.runs.insert(id, run);
    }

    fn end_sweep(
        &mut self,
        id: JobId,
        sweeping: Sweeping,
        last: JobOp,
        cause: Cause,
        ctx: &mut Context<Self>,
        then: impl FnOnce(&mut Self, &mut Context<Self>) + 'static,
    ) {
        if let Some(job) = self.jobs.get_mut(&id) {
            job.sweeping = None;
        }
        if let Some(run) = self.runs.get_mut(&id) {
            run.counting.sweep(sweeping);
        }
        self.put(id, RecordChange::Changed, vec![last], cause, ctx, move |this, ctx| {
            if let Some(run) = this.runs.get_mut(&id) {
                run.counting.swept();
            }
            then(this, ctx);
            this.ready(id, ctx);
            this.count(id, ctx);
        });
    }

    /// Devices may have tasks of it that they have not begun with.
    fn has_tasks(&self, id: JobId) -> bool {
        self.jobs.get(&id).is_some_and(|job| job.action.rollout().is_some() && job.started_at.is_some())
    }

    fn change_of(&self, id: JobId, sweeping: Sweeping) -> Sweep {
        let (from, to, detail) = sweeping.change();
        let at = self.around.clock.now();
        // One that was broken off says why.
        let reason = self.jobs.get(&id).and_then(|job| job.reason.clone());
        let detail = reason.filter(|_| sweeping == Sweeping::Cancel).unwrap_or_else(|| detail.into());
        Sweep { job: id, from: vec![from], places: (0, u64::MAX), to, detail, at }
    }
}

/// What it is to a job; none for its end.
fn signal_of(steer: Steer) -> Option<JobSignal> {
    match steer {
        Steer::Pause => Some(JobSignal::Pause),
        Steer::Resume => Some(JobSignal::Resume),
        Steer::Cancel => Some(JobSignal::Cancel),
        Steer::Retry => Some(JobSignal::Retry),
        Steer::Remove => None,
    }
}
