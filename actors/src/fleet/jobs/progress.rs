//! How far the jobs have come: counted in the store when something was committed, and told now and then.

use std::time::Duration;

use actix::fut::ActorFutureExt;
use actix::{AsyncContext, Context, WrapFuture};
use tokio::time::Instant;
use tracing::warn;

use super::Jobs;
use super::run::Run;
use twinhub_domain::fleet::job::{Progress, Speed, Sweeping};
use twinhub_domain::fleet::{Job, JobId, JobSignal, JobStatus, RecordChange, StepState};
use twinhub_domain::{Cause, Timestamp};
use twinhub_store::{JobCounts, StoreError};

/// A job is counted so often at most: counting reads all its devices.
const COUNT_EVERY_MS: u64 = 250;
/// And the store counts for a twentieth of the time at most, unless it would rest for longer than
/// [`Settings::longest_rest`](crate::Settings::longest_rest).
const REST: u32 = 20;
/// It is told of so often at most.
const TELL_EVERY_MS: u64 = 1_000;
/// So often it is looked at whether something is to be counted or told.
const TICK: Duration = Duration::from_millis(125);

/// What goes on after a count.
pub(super) type Then = Box<dyn FnOnce(&mut Jobs, &mut Context<Jobs>)>;

/// What is known of a job's devices.
pub(super) struct Counting {
    counts: JobCounts,
    /// How many changes of the job's devices were committed when it was counted; none: it was not.
    as_of: Option<u64>,
    at_ms: u64,
    /// The store is not asked again before this, by a clock that nobody moves: it measures the store.
    rests_until: Instant,
    under_way: bool,
    /// Asked for again while it was under way.
    again: bool,
    /// A sweep is in `counts` and on its way to the store: what the store counts meanwhile is older.
    is_ahead: bool,
    /// What waits for a count that is begun from now on.
    waiting: Vec<Then>,
    told: JobCounts,
    told_ms: u64,
    speed: Speed,
}

impl Counting {
    pub(super) fn new(counts: JobCounts) -> Self {
        Self {
            told: counts.clone(),
            counts,
            as_of: None,
            at_ms: 0,
            rests_until: Instant::now(),
            under_way: false,
            again: false,
            is_ahead: false,
            waiting: Vec::new(),
            told_ms: 0,
            speed: Speed::default(),
        }
    }

    /// Is it time to count again, after so many changes; none: whether there were any or not?
    fn is_due(&self, uptime_ms: u64, now: Instant, changes: Option<u64>) -> bool {
        let is_time = uptime_ms >= self.at_ms + COUNT_EVERY_MS && now >= self.rests_until;
        is_time && !self.under_way && changes.is_none_or(|changes| self.as_of != Some(changes))
    }

    /// May a count begin? One that is under way is followed by another, and what is on its way to the store is counted
    /// once it is there.
    fn begin(&mut self) -> bool {
        self.again = self.under_way;
        let may_begin = !self.under_way && !self.is_ahead;
        self.under_way |= may_begin;
        may_begin
    }

    /// A count has its answer. True where that is told; else it is counted again.
    fn end(&mut self) -> bool {
        self.under_way = false;
        !std::mem::take(&mut self.again)
    }

    /// What was in one state is in another now, and soon in the store.
    pub(super) fn sweep(&mut self, sweeping: Sweeping) {
        self.is_ahead = true;
        self.again = self.under_way;
        let (from, to, _) = sweeping.change();
        if let Some(count) = self.counts.remove(&from) {
            *self.counts.entry(to).or_default() += count;
        }
    }

    /// The store has the sweep too.
    pub(super) fn swept(&mut self) {
        self.is_ahead = false;
    }
}

impl Run {
    pub(super) fn progress(&self, job: &Job, now: Timestamp) -> Progress {
        let progress = Progress { counts: self.counting.counts.clone(), ..stored(job) };
        if job.status != JobStatus::Running {
            return progress;
        }
        let left = job.total.saturating_sub(progress.ended());
        let (per_second, eta) = (self.counting.speed.per_second(), self.counting.speed.eta(left, now));
        Progress { per_second, eta, ..progress }
    }
}

/// What is known of a job that is not under way.
pub(super) fn stored(job: &Job) -> Progress {
    Progress { counts: job.counts.clone(), total: job.total, ..Progress::default() }
}

impl Jobs {
    pub(super) fn tick_later(&mut self, ctx: &mut Context<Self>) {
        if self.ticking || self.runs.is_empty() {
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
        let (uptime_ms, now) = (self.around.clock.uptime_ms(), self.around.clock.now());
        let instant = Instant::now();
        let ids: Vec<JobId> = self.runs.keys().copied().collect();
        for id in ids {
            self.expire(id, ctx);
            let changes = self.around.counters.changes_of_jobs.of(id);
            let is_due = |run: &Run| {
                // Where somebody was waited for long enough, that nothing changed is news.
                let has_waited = run.patient_until.is_some_and(|until| until <= now);
                run.counting.is_due(uptime_ms, instant, (!has_waited).then_some(changes))
            };
            if self.runs.get(&id).is_some_and(is_due) {
                self.count(id, ctx);
            }
        }
    }

    /// Counts how far a job has come with its devices by now: what was under way is not told, and it is counted anew.
    pub(super) fn count(&mut self, id: JobId, ctx: &mut Context<Self>) {
        let Some(run) = self.runs.get_mut(&id) else { return };
        if !run.counting.begin() {
            return;
        }
        run.counting.at_ms = self.around.clock.uptime_ms();
        let began = Instant::now();
        // Both before the store is asked: what it answers is no older.
        let changes = &self.around.counters.changes_of_jobs;
        changes.watch(id);
        let (changes, is_through) = (changes.of(id), run.is_through());
        let (serial, store) = (run.serial, self.around.store.clone());
        let stage = self.rollout(id).map(|(rollout, stage)| rollout.stage(stage));
        let counts = async move {
            let of_stage = match stage {
                Some(stage) => store.job_counts(id, Some(stage)).await?,
                None => JobCounts::new(),
            };
            // After the stage: nobody is in it who is not in all of it.
            Ok::<_, StoreError>((store.job_counts(id, None).await?, of_stage))
        };
        ctx.spawn(counts.into_actor(self).map(move |counts, this, ctx| {
            let rest = began.elapsed().saturating_mul(REST).min(this.around.longest_rest);
            let Some(run) = this.run(id, serial) else { return };
            run.counting.rests_until = Instant::now() + rest;
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
    pub(super) fn count_then(&mut self, id: JobId, ctx: &mut Context<Self>, then: Then) {
        let Some(run) = self.runs.get_mut(&id) else { return };
        run.counting.waiting.push(then);
        self.count(id, ctx);
    }

    /// Calls `then` when it is known how a job without a run stands. Of a roll-out that can still change: a device that
    /// had failed may come up with the version after all, and nobody counts that by himself any more.
    pub(super) fn count_late(&mut self, id: JobId, ctx: &mut Context<Self>, then: Then) {
        let has_failed = |job: &Job| job.counts.contains_key(&StepState::Failed);
        let may_change = |job: &Job| job.action.rollout().is_some() && has_failed(job);
        if self.runs.contains_key(&id) || !self.jobs.get(&id).is_some_and(may_change) {
            return then(self, ctx);
        }
        let store = self.around.store.clone();
        let counts = async move { store.job_counts(id, None).await };
        ctx.spawn(counts.into_actor(self).map(move |counts, this, ctx| {
            match (counts, this.jobs.get_mut(&id)) {
                (Ok(counts), Some(job)) if !this.runs.contains_key(&id) && job.counts != counts => {
                    job.counts = counts;
                }
                (Err(error), _) => {
                    warn!(job = %id, %error, "could not count how a roll-out stands, telling what was counted last");
                    return then(this, ctx);
                }
                _ => return then(this, ctx),
            }
            this.put(id, RecordChange::Progressed, Vec::new(), Cause::of_job(id), ctx, then);
        }));
    }

    /// `is_through`: every device had had its turn before it was counted.
    fn counted(&mut self, id: JobId, is_through: bool, of_stage: &JobCounts, ctx: &mut Context<Self>) {
        let (now_ms, now) = (self.around.clock.uptime_ms(), self.around.clock.now());
        let (Some(run), Some(job)) = (self.runs.get_mut(&id), self.jobs.get(&id)) else { return };
        let progress = run.progress(job, now);
        run.counting.speed.note(now_ms, progress.ended());
        let is_free = run.in_flight == 0 && !run.writing && run.wishes.is_empty();
        // Of one whose removal a crash has cut short there are fewer than it had.
        let all_ended = progress.under_way() == 0 && progress.count(StepState::Queued) == 0;
        let is_running = job.status == JobStatus::Running;
        if is_running && is_free && is_through && all_ended {
            let _ = self.signal(id, JobSignal::Finish, None); // it runs
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
        let Some(run) = self.runs.get_mut(&id) else { return };
        if run.counting.told != progress.counts && now_ms >= run.counting.told_ms + TELL_EVERY_MS {
            run.counting.told = progress.counts;
            run.counting.told_ms = now_ms;
            self.put(id, RecordChange::Progressed, Vec::new(), Cause::of_job(id), ctx, |_, _| {});
        }
    }

    /// Nothing more comes of it: it is told of for the last time.
    pub(super) fn end(&mut self, id: JobId, ctx: &mut Context<Self>) {
        self.put(id, RecordChange::Progressed, Vec::new(), Cause::of_job(id), ctx, |_, _| {});
        self.runs.remove(&id);
        self.around.counters.changes_of_jobs.forget(id);
        self.forget(ctx);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_counted_when_there_is_something_new_and_the_store_has_rested() {
        let now = Instant::now();
        let (rested, rests) = (now, now + Duration::from_millis(1));
        let counting = |as_of, rests_until, under_way| Counting {
            as_of,
            at_ms: 1_000,
            rests_until,
            under_way,
            ..Counting::new(JobCounts::new())
        };
        for (counting, now_ms, changes, expected) in [
            (counting(None, rested, false), 1_249, Some(0), false),
            (counting(None, rested, false), 1_250, Some(0), true),
            (counting(Some(7), rested, false), 1_250, Some(7), false),
            (counting(Some(7), rested, false), 1_250, Some(8), true),
            (counting(Some(7), rested, false), 1_250, None, true),
            (counting(Some(7), rests, false), 99_000, None, false),
            (counting(Some(7), rested, true), 99_000, Some(8), false),
        ] {
            assert_eq!(counting.is_due(now_ms, now, changes), expected, "at {now_ms} after {changes:?}");
        }
    }

    /// Or a job that is canceled would be shown with devices that are queued.
    #[test]
    fn what_was_counted_before_a_sweep_is_stored_is_not_told() {
        let counts: JobCounts = [(StepState::Done, 8), (StepState::Queued, 52)].into_iter().collect();
        let mut counting = Counting::new(counts);
        assert!(counting.begin());
        counting.sweep(Sweeping::Cancel);
        assert_eq!(counting.counts, [(StepState::Done, 8), (StepState::Canceled, 52)].into_iter().collect());
        assert!(!counting.end(), "it was counted before");
        assert!(!counting.begin(), "the store does not have it yet");
        counting.swept();
        assert!(counting.begin());
        assert!(counting.end());
    }
}
