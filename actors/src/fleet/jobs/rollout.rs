//! Roll-outs of firmware: a job whose devices have their turns stage by stage, as long as it goes well.
//!
//! A device that is away has its task all the same, and is told when it returns; its row says `queued` till then. So a
//! roll-out that is called off has to call those tasks back, before what is queued is called canceled, and so has one
//! that is paused.

use std::sync::Arc;

use actix::fut::ActorFutureExt;
use actix::{AsyncContext, Context, WrapFuture};
use futures_util::{StreamExt as _, stream};
use tracing::info;

use super::Jobs;
use super::run::Run;
use crate::backoff::until_answered;
use crate::fleet::{Around, deliver};
use crate::messages::supervisor::IfUnknown;
use twinhub_domain::fleet::job::{JobCounts, Sweeping};
use twinhub_domain::fleet::rollout::Next;
use twinhub_domain::fleet::{JobAction, JobId, JobSignal, JobStatus, RecordChange, Rollout, StepState};
use twinhub_domain::{Cause, Input};
use twinhub_store::{JobDevice, JobDeviceQuery, Sweep};

/// Tasks that are called back at once.
const AT_ONCE: usize = 64;
/// Devices read from the store with one query.
const PAGE: u64 = 1_000;

impl Jobs {
    /// The roll-out that this job is, and the stage that it is in.
    pub(super) fn rollout(&self, id: JobId) -> Option<(&Rollout, u32)> {
        let job = self.jobs.get(&id)?;
        Some((job.action.rollout()?, job.stage.unwrap_or(1)))
    }

    /// Up to which place devices may have their turns now.
    pub(super) fn reach(&self, id: JobId) -> u64 {
        self.rollout(id).map_or(u64::MAX, |(rollout, stage)| rollout.stage(stage).1)
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
        let now = self.around.clock.now();
        let Some((rollout, stage)) = self.rollout(id) else { return };
        let next = rollout.next(stage, through, of_stage, of_all, rollout.expires <= now);
        if let Some(run) = self.runs.get_mut(&id).filter(|_| !matches!(next, Next::Widen(_))) {
            run.patient_until = None;
        }
        match next {
            Next::Wait => {}
            Next::Stage(next) => {
                info!(job = %id, stage = next, "the next stage of a roll-out begins");
                if let Some(job) = self.jobs.get_mut(&id) {
                    job.stage = Some(next);
                }
                self.go_further(id, ctx);
            }
            Next::Widen(devices) => self.widen(id, devices, ctx),
            Next::Abort(why) => {
                if let Some(run) = self.runs.get_mut(&id) {
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
        let now = self.around.clock.now();
        let (Some(run), Some(job)) = (self.runs.get_mut(&id), self.jobs.get_mut(&id)) else { return };
        let (JobAction::Firmware(rollout), Some(stage)) = (&mut job.action, job.stage) else { return };
        if *run.patient_until.get_or_insert(now.plus_millis(rollout.timeout.ms())) > now {
            return;
        }
        run.patient_until = None;
        info!(job = %id, stage, devices, "nobody of a roll-out's stage is there, others join it");
        rollout.widen(stage, devices);
        self.go_further(id, ctx);
    }

    /// More devices may have their turns, once that is durable.
    fn go_further(&mut self, id: JobId, ctx: &mut Context<Self>) {
        if let Some(run) = self.runs.get_mut(&id) {
            run.read_further();
        }
        self.hold(id, true);
        self.put(id, RecordChange::Changed, Vec::new(), Cause::of_job(id), ctx, move |this, ctx| {
            this.hold(id, false);
            this.ready(id, ctx);
            this.count(id, ctx);
        });
    }

    /// Breaks a roll-out off that is to be, once none of its devices has its turn.
    pub(super) fn abort(&mut self, id: JobId, ctx: &mut Context<Self>) {
        let Some(run) = self.runs.get_mut(&id).filter(|run| run.in_flight == 0) else { return };
        let Some(why) = run.aborting.take() else { return };
        info!(job = %id, %why, "a roll-out is broken off");
        if self.signal(id, JobSignal::Abort, Some(&format!("aborted: {why}"))) {
            self.sweep(id, Sweeping::Cancel, Cause::of_job(id), ctx);
        }
    }

    /// Has those fail that a roll-out never came to before its time was over. Those that have their task fail by
    /// themselves.
    pub(super) fn expire(&mut self, id: JobId, ctx: &mut Context<Self>) {
        let now = self.around.clock.now();
        let is_running = self.jobs.get(&id).is_some_and(|job| job.status == JobStatus::Running);
        let is_over = self.rollout(id).is_some_and(|(rollout, _)| rollout.expires <= now);
        // Nothing else changes many of them meanwhile.
        let may = |run: &&mut Run| !run.expired && !run.writing && run.aborting.is_none();
        let Some(run) = self.runs.get_mut(&id).filter(|run| is_running && is_over && may(run)) else {
            return;
        };
        (run.expired, run.writing) = (true, true);
        let sweep = Sweep {
            job: id,
            from: vec![StepState::Queued],
            places: (run.give_rest_up(), u64::MAX),
            to: StepState::Failed,
            detail: "the roll-out's time was over before its turn came".into(),
            at: now,
        };
        self.sweep_parts(sweep, ctx, move |this, last, ctx| {
            this.note(vec![last], ctx, move |this, ctx| {
                this.ready(id, ctx);
                this.count(id, ctx);
            });
        });
    }

    /// Calls back what devices of a paused roll-out have not begun with: those that are away would be told of it when
    /// they return. They have their turn anew when it goes on.
    pub(super) fn hold_back(&mut self, id: JobId, ctx: &mut Context<Self>) {
        self.hold(id, true);
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
        let reason = self.jobs.get(&id).and_then(|job| job.reason.clone());
        let usual =
            if to == StepState::Queued { "the roll-out is paused" } else { "the roll-out was canceled" };
        let input =
            Input::WithdrawUpdate { job: Some(id), to, reason: reason.unwrap_or_else(|| usual.into()) };
        let withdrawn = withdraw(Arc::clone(&self.around), id, self.reach(id), input);
        ctx.spawn(withdrawn.into_actor(self).map(|(), this, ctx| then(this, ctx)));
    }

    fn hold(&mut self, id: JobId, writing: bool) {
        if let Some(run) = self.runs.get_mut(&id) {
            run.writing = writing;
        }
    }
}

async fn withdraw(around: Arc<Around>, job: JobId, reach: u64, input: Input) {
    let (around, input, cause) = (&*around, &input, &Cause::of_job(job));
    let mut from = 0;
    loop {
        let states = [StepState::Queued, StepState::Notified];
        let query = JobDeviceQuery::stretch(job, &states, (from, reach), PAGE);
        let page = until_answered("whom a roll-out calls back", || around.store.job_devices(&query)).await;
        let Some(last) = page.devices.last() else { return };
        from = last.place + 1;
        let call_back = |JobDevice { device, number, .. }| async move {
            // One that refuses is gone, and its task with it.
            let _ = deliver(around, &device, input, cause, IfUnknown::RefuseUnless(number)).await;
        };
        stream::iter(page.devices).for_each_concurrent(AT_ONCE, call_back).await;
    }
}
