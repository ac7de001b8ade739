//! Dispatch of a job's input to its devices: they are read from the store page by page and dispatched one by one, a few
//! at once; jobs that run at the same time rotate. How far the jobs have come is counted in the store when something
//! was committed, and announced now and then.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::fut::ActorFutureExt;
use actix::{AsyncContext, Context, WrapFuture};
use tracing::{error, warn};

use super::makers;
use super::progress::TELL_EVERY_MS;
use super::run::JobRun;
use super::{Jobs, places};
use crate::backoff::{STORE_AGAIN, TWIN};
use crate::mailbox::try_send_unbounded;
use crate::messages::supervisor::{Deliver, IfUnknown};
use twinhub_access::Reach;
use twinhub_domain::fleet::{Job, JobId, JobSignal, JobStatus, JobStep, RecordChange, StepState};
use twinhub_domain::receipt::{InputOutcome, NotAccepted};
use twinhub_domain::{Cause, CommandId, DeviceId, DeviceNumber};
use twinhub_mqtt::receipt;
use twinhub_store::{JobCounts, JobDevice, JobDevicePage, JobDeviceQuery, JobOp, StepSweep, StoreError};

/// Dispatches under way at once, of all jobs. They share a commit, and other traffic waits for that commit:
/// many more would slow it down, and many fewer the job.
const AT_ONCE: usize = 16;
/// Between two batches of dispatches jobs rest so many times as long as a dispatch takes, so that most commits are
/// other traffic's alone. Where the hub is busy a dispatch takes longer, and jobs give way the more.
const REST: f64 = 1.5;
const LONGEST_REST: Duration = Duration::from_millis(100);
/// Devices read from the store with one query.
const PAGE: u64 = 1_000;
/// The next page is read when so few are left.
const FEW: usize = 200;
/// A dispatch that is lost on its way, because its twin died, is tried so often.
const MOST_TRIES: u32 = 4;
/// Passes over the devices that are still queued after all were dispatched.
const MOST_PASSES: u32 = 3;
/// A dispatch may be late by so much on a coarse clock.
const SHORTEST_WAIT: Duration = Duration::from_millis(5);
const LONGEST_WAIT: Duration = Duration::from_millis(100);

/// The store counts for a twentieth of the time at most, unless it would rest for longer than
/// [`Settings::longest_rest`](crate::Settings::longest_rest).
const COUNT_REST: u32 = 20;
/// The interval of checks for counts and announcements that are due.
const TICK: Duration = Duration::from_millis(125);

/// The work that goes on after a count.
pub(super) type JobContinuation = Box<dyn FnOnce(&mut Jobs, &mut Context<Jobs>)>;

/// The dispatch of a job's input to one device.
#[derive(Clone)]
struct DeviceDispatch {
    job: JobId,
    device: DeviceId,
    number: DeviceNumber,
    tries: u32,
}

impl Jobs {
    /// All its devices are stored, and none is changed but by its dispatch: the job may run.
    pub(super) fn ready(&mut self, id: JobId, ctx: &mut Context<Self>) {
        if let Some(run) = self.table.runs.get_mut(&id) {
            run.writing = false;
        }
        self.apply_waiting_requests(id, ctx);
        self.feed(ctx);
        self.tick_later(ctx);
    }

    /// Dispatches as many inputs as may be in flight, one for each job in rotation, and rests.
    pub(super) fn feed(&mut self, ctx: &mut Context<Self>) {
        if !self.begun || self.resting {
            return;
        }
        let mut running = self.table.running();
        for id in &running {
            self.read_on(*id, ctx);
        }
        let (mut in_flight, mut faults) = (self.table.in_flight(), Vec::new());
        while in_flight < AT_ONCE && !running.is_empty() {
            let id = self.table.next_in_rotation(&running);
            if let Some(reason) = self.fault_of_next(id) {
                running.retain(|other| *other != id);
                faults.push((id, reason));
                continue;
            }
            match self.next_dispatch(id, ctx) {
                Some(dispatch) => {
                    in_flight += 1;
                    self.resting = true;
                    self.dispatch(dispatch, ctx);
                }
                None => running.retain(|other| *other != id),
            }
        }
        if self.resting {
            ctx.run_later(self.turns.times(REST).min(LONGEST_REST), |this, ctx| {
                this.resting = false;
                this.feed(ctx);
            });
        }
        if faults.is_empty() {
            return;
        }
        let resting = std::mem::replace(&mut self.resting, true); // each stop feeds the others, who were fed just now
        for (id, reason) in faults {
            self.stop(id, reason, ctx);
        }
        self.resting = resting;
    }

    /// The reason why a job may not go on with the device that is next: it may be elsewhere by now, or its maker's rights
    /// may end further up.
    fn fault_of_next(&self, id: JobId) -> Option<&'static str> {
        let (_, _, number) = self.table.runs.get(&id)?.next.front()?;
        makers::fault(&self.deps, self.table.jobs.get(&id)?, *number)
    }

    /// Stops the jobs whose makers may not go on with them: one look at a time.
    pub(super) fn look_at_makers(&mut self, ctx: &mut Context<Self>) {
        if !self.looks.begin(self.deps.tree.version()) {
            return;
        }
        let mut confined = Vec::new();
        let ids: Vec<JobId> = self.table.runs.keys().copied().collect();
        for id in ids {
            confined.extend(self.check_rights(id, ctx).map(|reach| (id, reach)));
        }
        let store = Arc::clone(&self.deps.store);
        let look = async move {
            let mut beyond = Vec::new();
            for (id, reach) in confined {
                let found = places(Arc::clone(&store), vec![id], reach).await;
                beyond.extend(found.get(&id).is_some_and(|place| place.has_beyond).then_some(id));
            }
            beyond
        };
        ctx.spawn(look.into_actor(self).map(|beyond, this, ctx| {
            for id in beyond {
                this.stop(id, makers::BEYOND, ctx);
            }
            if this.looks.end() {
                this.look_at_makers(ctx);
            }
        }));
    }

    /// Stops a job whose maker may not go on with any; the devices that they reach, where it is not so and that is not all.
    fn check_rights(&mut self, id: JobId, ctx: &mut Context<Self>) -> Option<Reach> {
        let maker = makers::maker_of(self.table.jobs.get(&id)?)?;
        match makers::reach_of(&self.deps, &maker) {
            None => {
                self.stop(id, makers::MAY_NOT, ctx);
                None
            }
            reach => reach.filter(|reach| !reach.is_everywhere()),
        }
    }

    fn next_dispatch(&mut self, id: JobId, ctx: &mut Context<Self>) -> Option<DeviceDispatch> {
        let run = self.table.runs.get_mut(&id)?;
        if run.next.is_empty() {
            return None;
        }
        if run.pace.take(self.deps.clock.uptime_ms(), 1) == 0 {
            if !run.waiting_for_pace {
                run.waiting_for_pace = true;
                let wait = Duration::from_millis(run.pace.wait_ms().unwrap_or_default());
                ctx.run_later(wait.clamp(SHORTEST_WAIT, LONGEST_WAIT), move |this, ctx| {
                    if let Some(run) = this.table.runs.get_mut(&id) {
                        run.waiting_for_pace = false;
                    }
                    this.feed(ctx);
                });
            }
            return None;
        }
        let (_, device, number) = run.next.pop_front()?;
        run.in_flight += 1;
        Some(DeviceDispatch { job: id, device, number, tries: 1 })
    }

    fn dispatch(&self, dispatch: DeviceDispatch, ctx: &mut Context<Self>) {
        let Some(job) = self.table.jobs.get(&dispatch.job) else { return };
        let (receipt, settled) = receipt::channel();
        let deliver = Deliver {
            device: dispatch.device.clone(),
            input: job.action.input(
                job.id,
                job.round,
                CommandId(crate::clock::new_id()),
                self.deps.clock.now(),
            ),
            cause: Cause::of_job(job.id),
            receipt,
            if_unknown: IfUnknown::RefuseUnless(dispatch.number),
            if_version: None,
            want_twin: false,
        };
        let _ = try_send_unbounded(&self.deps.supervisor, deliver); // dropped, its receipt says so
        let (settled, since) = (settled.into_actor(self), Instant::now());
        ctx.spawn(settled.map(move |settled, this, ctx| {
            this.turns.one_took(since.elapsed());
            this.settled(dispatch, settled.unwrap_or(Err(NotAccepted::Lost)), ctx);
        }));
    }

    fn settled(&mut self, mut dispatch: DeviceDispatch, settled: InputOutcome, ctx: &mut Context<Self>) {
        match settled {
            Ok(_) => self.dispatch_is_over(dispatch.job, ctx),
            Err(NotAccepted::Refused(refusal)) => {
                // That a device is not to be updated now says nothing of the image.
                let is_rollout = self.table.rollout(dispatch.job).is_some();
                let state = if is_rollout { StepState::Skipped } else { StepState::Failed };
                self.give_up(dispatch, state, &refusal.to_string(), ctx);
            }
            Err(NotAccepted::Lost) if !self.begun => {} // the hub is shutting down
            Err(NotAccepted::Lost) => {
                if let Some(wait) = TWIN.at_most(MOST_TRIES).wait(dispatch.tries) {
                    dispatch.tries += 1;
                    ctx.run_later(wait, move |this, ctx| this.dispatch(dispatch, ctx));
                    return;
                }
                error!(job = %dispatch.job, device_id = %dispatch.device, "a device's twin panicked on a job's input, skipping it");
                let why = format!("its twin died of it {} times: see the log", dispatch.tries);
                self.give_up(dispatch, StepState::Failed, &why, ctx);
            }
        }
    }

    fn give_up(&self, dispatch: DeviceDispatch, state: StepState, why: &str, ctx: &mut Context<Self>) {
        let step = JobStep::new(dispatch.job, state).because(why);
        let op = JobOp::Step { number: dispatch.number, at: self.deps.clock.now(), step };
        self.commit_steps(vec![op], ctx, move |this, ctx| this.dispatch_is_over(dispatch.job, ctx));
    }

    fn dispatch_is_over(&mut self, id: JobId, ctx: &mut Context<Self>) {
        let Some(run) = self.table.runs.get_mut(&id) else { return };
        run.in_flight -= 1;
        if run.in_flight == 0 {
            self.abort(id, ctx);
            self.apply_waiting_requests(id, ctx);
        }
        if self.table.runs.get(&id).is_some_and(JobRun::is_through) {
            self.count(id, ctx);
        }
        self.feed(ctx);
    }

    /// Reads the next devices, if it is time to.
    fn read_on(&mut self, id: JobId, ctx: &mut Context<Self>) {
        let reach = self.table.reach(id);
        let Some(run) = self.table.runs.get_mut(&id) else { return };
        if run.reading || run.all_read || run.next.len() > FEW {
            return;
        }
        run.reading = true;
        let store = self.deps.store.clone();
        let query = JobDeviceQuery::stretch(id, &[StepState::Queued], (run.read_to, reach), PAGE);
        let (serial, page) = (run.serial, async move { store.job_devices(&query).await });
        ctx.spawn(page.into_actor(self).map(move |page, this, ctx| {
            this.page_read((id, serial), page, ctx);
        }));
    }

    fn page_read(
        &mut self,
        (id, serial): (JobId, u64),
        page: Result<JobDevicePage, StoreError>,
        ctx: &mut Context<Self>,
    ) {
        let Some(run) = self.table.run(id, serial) else { return };
        let page = match page {
            Ok(page) => page,
            Err(error) => {
                warn!(job = %id, %error, "could not read a job's devices, trying again");
                ctx.run_later(STORE_AGAIN, move |this, ctx| {
                    if let Some(run) = this.table.run(id, serial) {
                        run.reading = false;
                    }
                    this.feed(ctx);
                });
                return;
            }
        };
        run.reading = false;
        run.all_read = (page.devices.len() as u64) < PAGE;
        for JobDevice { device, number, place, .. } in page.devices {
            run.read_to = place + 1;
            run.next.push_back((place, device, number));
        }
        if run.is_through() {
            self.count(id, ctx);
        }
        self.feed(ctx);
    }

    /// All were dispatched, and some are queued still: they are dispatched again.
    pub(super) fn pass_again(&mut self, id: JobId, ctx: &mut Context<Self>) {
        let Some(run) = self.table.runs.get_mut(&id) else { return };
        (run.read_to, run.all_read) = (0, false);
        run.passes += 1;
        if run.passes <= MOST_PASSES {
            return self.feed(ctx);
        }
        error!(job = %id, "devices had their turns and are queued still, giving them up");
        run.writing = true;
        let sweep = StepSweep {
            job: id,
            from: vec![StepState::Queued],
            places: (0, u64::MAX),
            to: StepState::Failed,
            detail: "nothing came of its turns".into(),
            at: self.deps.clock.now(),
        };
        self.sweep_parts(sweep, ctx, move |this, last, ctx| {
            this.commit_steps(vec![last], ctx, move |this, ctx| this.ready(id, ctx));
        });
    }

    pub(super) fn tick_later(&mut self, ctx: &mut Context<Self>) {
        if self.ticking || self.table.runs.is_empty() {
            return;
        }
        self.ticking = true;
        ctx.run_later(TICK, |this, ctx| {
            this.ticking = false;
            this.tick(ctx);
            this.tick_later(ctx);
        });
    }

    fn tick(&mut self, ctx: &mut Context<Self>) {
        let (uptime_ms, now) = (self.deps.clock.uptime_ms(), self.deps.clock.now());
        let instant = tokio::time::Instant::now();
        if self.looks.are_before(self.deps.tree.version()) {
            self.look_at_makers(ctx);
        }
        let ids: Vec<JobId> = self.table.runs.keys().copied().collect();
        for id in ids {
            self.expire(id, ctx);
            let changes = self.deps.counters.changes_of_jobs.of(id);
            let is_due = |run: &JobRun| {
                // Where somebody was waited for long enough, that nothing changed is news.
                let has_waited = run.patient_until.is_some_and(|until| until <= now);
                run.counting.is_due(uptime_ms, instant, (!has_waited).then_some(changes))
            };
            if self.table.runs.get(&id).is_some_and(is_due) {
                self.count(id, ctx);
            }
        }
    }

    /// Counts the progress of a job by now: a count under way is discarded, and it is counted anew.
    pub(super) fn count(&mut self, id: JobId, ctx: &mut Context<Self>) {
        let Some(run) = self.table.runs.get_mut(&id) else { return };
        if !run.counting.begin() {
            return;
        }
        run.counting.at_ms = self.deps.clock.uptime_ms();
        let began = tokio::time::Instant::now();
        // Both before the store is asked: what it answers is no older.
        let changes = &self.deps.counters.changes_of_jobs;
        changes.watch(id);
        let (changes, is_through) = (changes.of(id), run.is_through());
        let (serial, store) = (run.serial, self.deps.store.clone());
        let stage = self.table.rollout(id).map(|(rollout, stage)| rollout.stage(stage));
        let counts = async move {
            let of_stage = match stage {
                Some(stage) => store.job_counts(id, Some(stage)).await?,
                None => JobCounts::new(),
            };
            // After the stage: nobody is in it who is not in all of it.
            Ok::<_, StoreError>((store.job_counts(id, None).await?, of_stage))
        };
        ctx.spawn(counts.into_actor(self).map(move |counts, this, ctx| {
            let rest = began.elapsed().saturating_mul(COUNT_REST).min(this.deps.longest_rest);
            let Some(run) = this.table.run(id, serial) else { return };
            run.counting.rests_until = tokio::time::Instant::now() + rest;
            if !run.counting.end() {
                return this.count(id, ctx);
            }
            let (counts, of_stage) = match counts {
                Ok(counts) => counts,
                Err(error) => {
                    warn!(job = %id, %error, "could not count a job's devices, trying again");
                    run.counting.as_of = None; // before long
                    return;
                }
            };
            run.counting.as_of = Some(changes);
            run.counting.counts = counts;
            let waiting = std::mem::take(&mut run.counting.waiting);
            this.counted(id, is_through, &of_stage, ctx);
            for then in waiting {
                then(this, ctx);
            }
        }));
    }

    /// Calls `then` when it is known how far the job has come by now.
    pub(super) fn count_then(&mut self, id: JobId, ctx: &mut Context<Self>, then: JobContinuation) {
        let Some(run) = self.table.runs.get_mut(&id) else { return };
        run.counting.waiting.push(then);
        self.count(id, ctx);
    }

    /// Calls `then` when it is known how a job without a run stands. Of a roll-out that can still change: a device that
    /// had failed may come up with the version after all, and nobody counts that by himself any more.
    pub(super) fn count_late(&mut self, id: JobId, ctx: &mut Context<Self>, then: JobContinuation) {
        let has_failed = |job: &Job| job.counts.contains_key(&StepState::Failed);
        let may_change = |job: &Job| job.action.rollout().is_some() && has_failed(job);
        if self.table.runs.contains_key(&id) || !self.table.jobs.get(&id).is_some_and(may_change) {
            return then(self, ctx);
        }
        let store = self.deps.store.clone();
        let counts = async move { store.job_counts(id, None).await };
        ctx.spawn(counts.into_actor(self).map(move |counts, this, ctx| {
            match (counts, this.table.jobs.get_mut(&id)) {
                (Ok(counts), Some(job)) if !this.table.runs.contains_key(&id) && job.counts != counts => {
                    job.counts = counts;
                }
                (Err(error), _) => {
                    warn!(job = %id, %error, "could not count a roll-out's devices, reporting the last count");
                    return then(this, ctx);
                }
                _ => return then(this, ctx),
            }
            this.put(id, RecordChange::Progressed, Vec::new(), Cause::of_job(id), ctx, then);
        }));
    }

    /// `is_through`: every device had been dispatched before the count.
    fn counted(&mut self, id: JobId, is_through: bool, of_stage: &JobCounts, ctx: &mut Context<Self>) {
        let (now_ms, now) = (self.deps.clock.uptime_ms(), self.deps.clock.now());
        let (Some(run), Some(job)) = (self.table.runs.get_mut(&id), self.table.jobs.get(&id)) else { return };
        let progress = run.progress(job, now);
        run.counting.speed.note(now_ms, progress.ended());
        let is_free = run.in_flight == 0 && !run.writing && run.waiting_requests.is_empty();
        // Of one whose removal a crash has cut short there are fewer than it had.
        let all_ended = progress.under_way() == 0 && progress.count(StepState::Queued) == 0;
        let is_running = job.status == JobStatus::Running;
        if is_running && is_free && is_through && all_ended {
            let _ = self.table.signal(id, JobSignal::Finish, None); // it runs
            return self.end(id, ctx);
        }
        if job.status.is_final() && is_free && progress.under_way() == 0 {
            return self.end(id, ctx);
        }
        let (is_rollout, is_paused) = (job.action.rollout().is_some(), job.status == JobStatus::Paused);
        if is_running && is_free && is_through && !is_rollout && progress.count(StepState::Queued) > 0 {
            return self.pass_again(id, ctx);
        }
        if is_rollout && (is_running || is_paused) && !run.writing && run.aborting.is_none() {
            self.judge(id, is_running && is_free && is_through, of_stage, &progress.counts, ctx);
        }
        let Some(run) = self.table.runs.get_mut(&id) else { return };
        if run.counting.announced != progress.counts && now_ms >= run.counting.announced_ms + TELL_EVERY_MS {
            run.counting.announced = progress.counts;
            run.counting.announced_ms = now_ms;
            self.put(id, RecordChange::Progressed, Vec::new(), Cause::of_job(id), ctx, |_, _| {});
        }
    }

    /// The job is over: it is announced for the last time.
    pub(super) fn end(&mut self, id: JobId, ctx: &mut Context<Self>) {
        self.put(id, RecordChange::Progressed, Vec::new(), Cause::of_job(id), ctx, |_, _| {});
        self.table.runs.remove(&id);
        self.deps.counters.changes_of_jobs.forget(id);
        self.forget(ctx);
    }
}
