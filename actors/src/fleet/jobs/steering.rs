//! The course of jobs: they are made, paused, resumed, canceled, tried again and forgotten, and roll-outs go on stage
//! by stage, or are broken off.
//!
//! A change of many of a job's devices at once waits until none of them has its turn: a device that is done must not
//! be called canceled because the word for that was on its way first.

use std::sync::Arc;

use actix::fut::ActorFutureExt;
use actix::{AsyncContext, Context, WrapFuture};
use tokio::sync::oneshot;
use tracing::info;

use super::Jobs;
use super::creation::{AT_ONCE, JobParts, registered_since};
use super::rollout::withdraw;
use super::run::{JobRun, SteerRequest};
use crate::mailbox::send_reply;
use crate::messages::jobs::{JobRefusal, JobViewer, MakeJob, Steer, SteerJob};
use twinhub_access::Reach;
use twinhub_domain::fleet::job::{JobCounts, JobSweep};
use twinhub_domain::fleet::rollout::RolloutDecision;
use twinhub_domain::fleet::{JobAction, JobId, JobSignal, JobStatus, RecordChange, StepState};
use twinhub_domain::{Cause, Input};
use twinhub_store::{JobOp, StepSweep};

/// The reason of the failure of a job that is for no device.
const NOBODY: &str = "no device matched: nothing was done";

impl Jobs {
    pub(super) fn steer(&mut self, steer_job: SteerJob, ctx: &mut Context<Self>) {
        let SteerJob { id, viewer, steer, cause, reply } = steer_job;
        let JobViewer { reach, name: _, author } = viewer;
        self.steer_by(id, SteerRequest { steer, reach, author, reason: None, cause, reply }, ctx);
    }

    /// Cancels a job for a reason of the hub's own.
    pub(super) fn stop(&mut self, id: JobId, reason: &'static str, ctx: &mut Context<Self>) {
        let (reach, cause, reply) = (Reach::everywhere(), Cause::of_job(id), oneshot::channel().0);
        let steer = Steer::Cancel;
        self.steer_by(
            id,
            SteerRequest { steer, reach, author: None, reason: Some(reason), cause, reply },
            ctx,
        );
    }

    fn steer_by(&mut self, id: JobId, request: SteerRequest, ctx: &mut Context<Self>) {
        let steer = request.steer;
        match self.table.runs.get_mut(&id) {
            Some(run) => {
                run.waiting_requests.push_back(request);
                self.apply_waiting_requests(id, ctx);
                if self.table.runs.get(&id).is_some_and(JobRun::is_through) {
                    self.count(id, ctx); // it may have come to its end while it was paused
                }
                self.feed(ctx);
            }
            None if steer == Steer::Retry => {
                let then = move |this: &mut Self, ctx: &mut Context<Self>| match this.table.runs.get_mut(&id)
                {
                    Some(run) => {
                        run.waiting_requests.push_back(request); // others were faster
                        this.apply_waiting_requests(id, ctx);
                    }
                    None => this.apply(id, request, ctx),
                };
                self.count_late(id, ctx, Box::new(then));
            }
            None => self.apply(id, request, ctx),
        }
    }

    /// Does what is wanted of a job, as far as it can be done now.
    pub(super) fn apply_waiting_requests(&mut self, id: JobId, ctx: &mut Context<Self>) {
        while let (Some(run), Some(job)) = (self.table.runs.get_mut(&id), self.table.jobs.get(&id)) {
            if run.writing || job.status == JobStatus::Preparing {
                return;
            }
            let Some(request) = run.waiting_requests.front() else { return };
            let changes_many = match request.steer {
                Steer::Cancel | Steer::Retry => true,
                Steer::Pause => job.action.rollout().is_some(),
                Steer::Resume | Steer::Remove => false,
            };
            let changes_many = changes_many
                && signal_of(request.steer).is_some_and(|signal| job.status.after(signal).is_some());
            if changes_many && run.in_flight > 0 {
                return;
            }
            let Some(request) = run.waiting_requests.pop_front() else { return };
            if !changes_many {
                self.apply(id, request, ctx);
                continue;
            }
            run.writing = true;
            let then = move |this: &mut Self, ctx: &mut Context<Self>| {
                if let Some(run) = this.table.runs.get_mut(&id) {
                    run.writing = false;
                }
                this.apply(id, request, ctx);
                this.apply_waiting_requests(id, ctx);
                this.feed(ctx);
            };
            return self.count_then(id, ctx, Box::new(then));
        }
    }

    fn apply(&mut self, id: JobId, request: SteerRequest, ctx: &mut Context<Self>) {
        let Some(view) = self.table.view(id) else {
            return self.answer(request.reply, Err(JobRefusal::Unknown(id)), ctx);
        };
        let status = view.job.status;
        let refused = JobRefusal::Status { status, steer: request.steer };
        let Some(signal) = signal_of(request.steer) else {
            if !status.is_final() || view.job.sweeping.is_some() {
                return self.answer(request.reply, Err(refused), ctx);
            }
            let reply = request.reply;
            return self.remove(id, request.cause, ctx, |_, _| drop(reply.send(Ok(view))));
        };
        if status.after(signal).is_none() {
            return self.answer(request.reply, Err(refused), ctx);
        }
        if signal == JobSignal::Retry && view.progress.count(StepState::Failed) == 0 {
            return self.answer(request.reply, Err(JobRefusal::NothingFailed), ctx);
        }
        let _ = self.table.signal(id, signal, request.reason); // it fits
        let sweeping = self.table.jobs.get(&id).and_then(|job| job.sweeping);
        let SteerRequest { reach, author, cause, reply, .. } = request;
        if signal == JobSignal::Retry
            && let Some(job) = self.table.jobs.get_mut(&id)
        {
            job.maker = author.map(|author| author.to_string().into());
        }
        let answer = move |this: &mut Self, _: &mut Context<Self>| {
            if let Some(view) = this.table.view(id) {
                send_reply(reply, Ok(view));
            }
        };
        match sweeping {
            Some(JobSweep::Retry) => self.begin_retry(id, reach, cause, ctx, answer),
            Some(sweeping) => self.begin_sweep(id, sweeping, cause, ctx, answer),
            None if signal == JobSignal::Pause && self.table.rollout(id).is_some() => {
                self.table.begin_anew(id);
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
        let Some(view) = self.table.view(id) else { return };
        self.table.jobs.remove(&id);
        self.deps.counters.changes_of_jobs.forget(id);
        if let Some(run) = self.table.runs.remove(&id) {
            for request in run.waiting_requests {
                self.answer(request.reply, Err(JobRefusal::Unknown(id)), ctx);
            }
        }
        self.take_out(view, 0, cause, ctx, then);
    }

    /// Goes on with a sweep that a crash has cut short. A retry has found its devices before that was written down.
    pub(super) fn sweep(&mut self, id: JobId, sweeping: JobSweep, cause: Cause, ctx: &mut Context<Self>) {
        self.begin_sweep(id, sweeping, cause, ctx, |_, _| {});
    }

    /// Has all devices of a job that are in one state come into another, part by part, and then calls `then`.
    fn begin_sweep(
        &mut self,
        id: JobId,
        sweeping: JobSweep,
        cause: Cause,
        ctx: &mut Context<Self>,
        then: impl FnOnce(&mut Self, &mut Context<Self>) + 'static,
    ) {
        self.table.begin_anew(id);
        self.sweep_all(id, sweeping, cause, ctx, then);
    }

    /// Has those devices of a job that failed have another turn, and then calls `then`: first those stand in it that
    /// were registered since, as far as `reach` goes.
    fn begin_retry(
        &mut self,
        id: JobId,
        reach: Reach,
        cause: Cause,
        ctx: &mut Context<Self>,
        then: impl FnOnce(&mut Self, &mut Context<Self>) + 'static,
    ) {
        let Some(made_at) = self.table.jobs.get(&id).map(|job| job.created_at) else { return };
        self.table.begin_anew(id);
        let registered = registered_since(Arc::clone(&self.deps), id, made_at, reach).into_actor(self);
        ctx.spawn(registered.map(move |registered, this, ctx| {
            this.commit_parts(registered, ctx, move |this, ctx| {
                this.sweep_all(id, JobSweep::Retry, cause, ctx, then);
            });
        }));
    }

    /// Commits changes of a job's devices part by part, if there are any, and then calls `then`.
    fn commit_parts(
        &mut self,
        mut ops: Vec<JobOp>,
        ctx: &mut Context<Self>,
        then: impl FnOnce(&mut Self, &mut Context<Self>) + 'static,
    ) {
        if ops.is_empty() {
            return then(self, ctx);
        }
        let rest = ops.split_off(AT_ONCE.min(ops.len()));
        self.commit_steps(ops, ctx, move |this, ctx| this.commit_parts(rest, ctx, then));
    }

    fn sweep_all(
        &mut self,
        id: JobId,
        sweeping: JobSweep,
        cause: Cause,
        ctx: &mut Context<Self>,
        then: impl FnOnce(&mut Self, &mut Context<Self>) + 'static,
    ) {
        let total = self.table.jobs.get(&id).map_or(0, |job| job.total);
        let withdraws = sweeping == JobSweep::Cancel && self.table.has_tasks(id);
        let (sweep, of_last) = (self.table.change_of(id, sweeping), cause.clone());
        let last = move |this: &mut Self, last: JobOp, ctx: &mut Context<Self>| {
            this.end_sweep(id, sweeping, last, of_last, ctx, then);
        };
        if total <= AT_ONCE as u64 && !withdraws {
            return self.sweep_parts(sweep, ctx, last);
        }
        // The wanted state is written down first, so that a crash cannot leave half of it.
        self.put(id, RecordChange::Changed, Vec::new(), cause, ctx, move |this, ctx| {
            if !withdraws {
                return this.sweep_parts(sweep, ctx, last);
            }
            this.withdraw(id, StepState::Canceled, ctx, move |this, ctx| {
                this.count_then(id, ctx, Box::new(move |this, ctx| this.sweep_parts(sweep, ctx, last)));
            });
        });
    }

    /// Commits all parts of a sweep but the last, which `last` commits with what else belongs to it.
    pub(super) fn sweep_parts(
        &mut self,
        sweep: StepSweep,
        ctx: &mut Context<Self>,
        last: impl FnOnce(&mut Self, JobOp, &mut Context<Self>) + 'static,
    ) {
        let (from, end) = sweep.places;
        let total = self.table.jobs.get(&sweep.job).map_or(0, |job| job.total);
        let to = from.saturating_add(AT_ONCE as u64);
        if to >= end.min(total) {
            return last(self, JobOp::Sweep(sweep), ctx);
        }
        let part = StepSweep { places: (from, to), ..sweep.clone() };
        let rest = StepSweep { places: (to, end), ..sweep };
        self.commit_steps(vec![JobOp::Sweep(part)], ctx, move |this, ctx| this.sweep_parts(rest, ctx, last));
    }

    fn end_sweep(
        &mut self,
        id: JobId,
        sweeping: JobSweep,
        last: JobOp,
        cause: Cause,
        ctx: &mut Context<Self>,
        then: impl FnOnce(&mut Self, &mut Context<Self>) + 'static,
    ) {
        if let Some(job) = self.table.jobs.get_mut(&id) {
            job.sweeping = None;
        }
        if let Some(run) = self.table.runs.get_mut(&id) {
            run.counting.sweep(sweeping);
        }
        self.put(id, RecordChange::Changed, vec![last], cause, ctx, move |this, ctx| {
            if let Some(run) = this.table.runs.get_mut(&id) {
                run.counting.swept();
            }
            then(this, ctx);
            this.ready(id, ctx);
            this.count(id, ctx);
        });
    }

    pub(super) fn make(&mut self, make: MakeJob, ctx: &mut Context<Self>) {
        let id = JobId(crate::clock::new_id());
        let (job, parts) = JobParts::new(id, make, self.deps.clock.now());
        self.table.jobs.insert(id, job);
        let mut run = self.table.new_run(id);
        run.writing = true;
        self.table.runs.insert(id, run);
        self.write_part(parts, RecordChange::Made, ctx);
    }

    /// Writes the next part down. With the last the job runs.
    fn write_part(&mut self, mut parts: JobParts, change: RecordChange, ctx: &mut Context<Self>) {
        let (id, cause) = (parts.id, parts.cause.clone());
        let (part, is_last) = parts.next();
        let ops = vec![part];
        let is_for_nobody = self.table.jobs.get(&id).is_some_and(|job| job.total == 0);
        let then = move |this: &mut Self, ctx: &mut Context<Self>| {
            if let (Some(reply), Some(view)) = (parts.reply.take(), this.table.view(id)) {
                send_reply(reply, view);
            }
            if !is_last {
                return this.write_part(parts, RecordChange::Changed, ctx);
            }
            if let Some(view) = this.table.view(id) {
                send_reply(parts.prepared, view);
            }
            this.ready(id, ctx);
            this.look_at_makers(ctx); // whose rights may have ended meanwhile
            if is_for_nobody {
                this.end(id, ctx);
            }
        };
        if is_for_nobody {
            // The caller meant devices: this must not look as if it had been done.
            let _ = self.table.signal(id, JobSignal::BreakOff, Some(NOBODY)); // it was being prepared
            if let Some(job) = self.table.jobs.get_mut(&id) {
                job.sweeping = None; // there is nobody to be called back
            }
        } else if is_last {
            let _ = self.table.signal(id, JobSignal::Prepared, None); // it was being prepared
        }
        if is_last || change == RecordChange::Made {
            self.put(id, change, ops, cause, ctx, then);
        } else {
            self.commit_steps(ops, ctx, then);
        }
    }

    /// The hub stopped while it was being made. No device was dispatched, and the other devices of the job are unknown.
    pub(super) fn break_off(&mut self, id: JobId, ctx: &mut Context<Self>) {
        const WHY: &str = "the hub stopped while the job was being made: nothing was done";
        let _ = self.table.signal(id, JobSignal::BreakOff, Some(WHY)); // it was being prepared
        self.sweep(id, JobSweep::Cancel, Cause::of_job(id), ctx);
    }

    /// It is known how far it has come with its stage and with all of it: does it go on?
    pub(super) fn judge(
        &mut self,
        id: JobId,
        through: bool,
        of_stage: &JobCounts,
        of_all: &JobCounts,
        ctx: &mut Context<Self>,
    ) {
        let now = self.deps.clock.now();
        let Some((rollout, stage)) = self.table.rollout(id) else { return };
        let next = rollout.next(stage, through, of_stage, of_all, rollout.expires <= now);
        if let Some(run) = self.table.runs.get_mut(&id).filter(|_| !matches!(next, RolloutDecision::Widen(_)))
        {
            run.patient_until = None;
        }
        match next {
            RolloutDecision::Wait => {}
            RolloutDecision::Stage(next) => {
                info!(job = %id, stage = next, "the next stage of a roll-out begins");
                if let Some(job) = self.table.jobs.get_mut(&id) {
                    job.stage = Some(next);
                }
                self.go_further(id, ctx);
            }
            RolloutDecision::Widen(devices) => self.widen(id, devices, ctx),
            RolloutDecision::Abort(why) => {
                if let Some(run) = self.table.runs.get_mut(&id) {
                    run.aborting = Some(why);
                }
                self.abort(id, ctx);
            }
        }
    }

    /// Has further devices join a stage in which nobody is there, once one of those had the time to come in which a
    /// device must show progress. Before that it waits: a fleet that is away as a whole for a moment would have its
    /// task as a whole, and all of it would begin at once when it returns.
    fn widen(&mut self, id: JobId, devices: u64, ctx: &mut Context<Self>) {
        let now = self.deps.clock.now();
        let (Some(run), Some(job)) = (self.table.runs.get_mut(&id), self.table.jobs.get_mut(&id)) else {
            return;
        };
        let (JobAction::Firmware(rollout), Some(stage)) = (&mut job.action, job.stage) else { return };
        if *run.patient_until.get_or_insert(now.plus_millis(rollout.timeout.ms())) > now {
            return;
        }
        run.patient_until = None;
        info!(job = %id, stage, devices, "no device of a roll-out's stage is online, others join it");
        rollout.widen(stage, devices);
        self.go_further(id, ctx);
    }

    /// More devices may have their turns, once that is durable.
    fn go_further(&mut self, id: JobId, ctx: &mut Context<Self>) {
        if let Some(run) = self.table.runs.get_mut(&id) {
            run.read_further();
        }
        self.table.hold(id, true);
        self.put(id, RecordChange::Changed, Vec::new(), Cause::of_job(id), ctx, move |this, ctx| {
            this.table.hold(id, false);
            this.ready(id, ctx);
            this.count(id, ctx);
        });
    }

    /// Breaks a roll-out off that is to be, once none of its devices has its turn.
    pub(super) fn abort(&mut self, id: JobId, ctx: &mut Context<Self>) {
        let Some(run) = self.table.runs.get_mut(&id).filter(|run| run.in_flight == 0) else { return };
        let Some(why) = run.aborting.take() else { return };
        info!(job = %id, %why, "a roll-out is broken off");
        if self.table.signal(id, JobSignal::Abort, Some(&format!("aborted: {why}"))) {
            self.sweep(id, JobSweep::Cancel, Cause::of_job(id), ctx);
        }
    }

    /// Has those fail that a roll-out never came to before its time was over. Those that have their task fail by
    /// themselves.
    pub(super) fn expire(&mut self, id: JobId, ctx: &mut Context<Self>) {
        let now = self.deps.clock.now();
        let is_running = self.table.jobs.get(&id).is_some_and(|job| job.status == JobStatus::Running);
        let is_over = self.table.rollout(id).is_some_and(|(rollout, _)| rollout.expires <= now);
        // Nothing else changes many of them meanwhile.
        let may = |run: &&mut JobRun| !run.expired && !run.writing && run.aborting.is_none();
        let Some(run) = self.table.runs.get_mut(&id).filter(|run| is_running && is_over && may(run)) else {
            return;
        };
        (run.expired, run.writing) = (true, true);
        let sweep = StepSweep {
            job: id,
            from: vec![StepState::Queued],
            places: (run.give_rest_up(), u64::MAX),
            to: StepState::Failed,
            detail: "the roll-out's time was over before its turn came".into(),
            at: now,
        };
        self.sweep_parts(sweep, ctx, move |this, last, ctx| {
            this.commit_steps(vec![last], ctx, move |this, ctx| {
                this.ready(id, ctx);
                this.count(id, ctx);
            });
        });
    }

    /// Calls back what devices of a paused roll-out have not begun with: those that are away would get it when
    /// they return. They have their turn anew when it goes on.
    pub(super) fn hold_back(&mut self, id: JobId, ctx: &mut Context<Self>) {
        self.table.hold(id, true);
        self.withdraw(id, StepState::Queued, ctx, move |this, ctx| {
            let ready = move |this: &mut Self, ctx: &mut Context<Self>| {
                this.ready(id, ctx);
                this.count(id, ctx); // what failed meanwhile was not judged
            };
            this.count_then(id, ctx, Box::new(ready));
        });
    }

    /// Calls back what devices have not begun with, which are `to` be in this state, and then goes on.
    pub(super) fn withdraw(
        &self,
        id: JobId,
        to: StepState,
        ctx: &mut Context<Self>,
        then: impl FnOnce(&mut Self, &mut Context<Self>) + 'static,
    ) {
        let reason = self.table.jobs.get(&id).and_then(|job| job.reason.clone());
        let usual =
            if to == StepState::Queued { "the roll-out is paused" } else { "the roll-out was canceled" };
        let input =
            Input::WithdrawUpdate { job: Some(id), to, reason: reason.unwrap_or_else(|| usual.into()) };
        let withdrawn = withdraw(Arc::clone(&self.deps), id, self.table.reach(id), input);
        ctx.spawn(withdrawn.into_actor(self).map(|(), this, ctx| then(this, ctx)));
    }
}

/// Its signal to a job; none for its end.
fn signal_of(steer: Steer) -> Option<JobSignal> {
    match steer {
        Steer::Pause => Some(JobSignal::Pause),
        Steer::Resume => Some(JobSignal::Resume),
        Steer::Cancel => Some(JobSignal::Cancel),
        Steer::Retry => Some(JobSignal::Retry),
        Steer::Remove => None,
    }
}
