//! The progress of a job: the counts of its devices, and when they are counted again.

use tokio::time::Instant;

use super::dispatch::JobContinuation;
use super::run::JobRun;
use twinhub_domain::Timestamp;
use twinhub_domain::fleet::job::{JobProgress, JobSpeed, JobSweep};
use twinhub_domain::fleet::{Job, JobStatus};
use twinhub_store::JobCounts;

/// A job is counted so often at most: counting reads all its devices.
const COUNT_EVERY_MS: u64 = 250;
/// It is announced so often at most.
pub(super) const TELL_EVERY_MS: u64 = 1_000;
/// The counts of a job's devices.
pub(super) struct JobCounting {
    pub(super) counts: JobCounts,
    /// The number of changes of the job's devices that were committed when it was counted; none: it was not.
    pub(super) as_of: Option<u64>,
    pub(super) at_ms: u64,
    /// The store is not asked again before this, by a clock that nobody moves: it measures the store.
    pub(super) rests_until: Instant,
    under_way: bool,
    /// Asked for again while it was under way.
    again: bool,
    /// A sweep is in `counts` and on its way to the store: what the store counts meanwhile is older.
    is_ahead: bool,
    /// The work that waits for a count that is begun from now on.
    pub(super) waiting: Vec<JobContinuation>,
    pub(super) announced: JobCounts,
    pub(super) announced_ms: u64,
    pub(super) speed: JobSpeed,
}

impl JobCounting {
    pub(super) fn new(counts: JobCounts) -> Self {
        Self {
            announced: counts.clone(),
            counts,
            as_of: None,
            at_ms: 0,
            rests_until: Instant::now(),
            under_way: false,
            again: false,
            is_ahead: false,
            waiting: Vec::new(),
            announced_ms: 0,
            speed: JobSpeed::default(),
        }
    }

    /// Is it time to count again, after so many changes; none: whether there were any or not?
    pub(super) fn is_due(&self, uptime_ms: u64, now: Instant, changes: Option<u64>) -> bool {
        let is_time = uptime_ms >= self.at_ms + COUNT_EVERY_MS && now >= self.rests_until;
        is_time && !self.under_way && changes.is_none_or(|changes| self.as_of != Some(changes))
    }

    /// May a count begin? One that is under way is followed by another, and what is on its way to the store is counted
    /// once it is there.
    pub(super) fn begin(&mut self) -> bool {
        self.again = self.under_way;
        let may_begin = !self.under_way && !self.is_ahead;
        self.under_way |= may_begin;
        may_begin
    }

    /// A count has its answer. True where that is announced; else it is counted again.
    pub(super) fn end(&mut self) -> bool {
        self.under_way = false;
        !std::mem::take(&mut self.again)
    }

    /// The devices in one state are in another now, and soon in the store.
    pub(super) fn sweep(&mut self, sweeping: JobSweep) {
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

impl JobRun {
    pub(super) fn progress(&self, job: &Job, now: Timestamp) -> JobProgress {
        let progress = JobProgress { counts: self.counting.counts.clone(), ..stored(job) };
        if job.status != JobStatus::Running {
            return progress;
        }
        let left = job.total.saturating_sub(progress.ended());
        let (per_second, eta) = (self.counting.speed.per_second(), self.counting.speed.eta(left, now));
        JobProgress { per_second, eta, ..progress }
    }
}

/// The known progress of a job that is not under way.
pub(super) fn stored(job: &Job) -> JobProgress {
    JobProgress { counts: job.counts.clone(), total: job.total, ..JobProgress::default() }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use twinhub_domain::fleet::StepState;

    #[test]
    fn it_is_counted_when_there_is_something_new_and_the_store_has_rested() {
        let now = Instant::now();
        let (rested, rests) = (now, now + Duration::from_millis(1));
        let counting = |as_of, rests_until, under_way| JobCounting {
            as_of,
            at_ms: 1_000,
            rests_until,
            under_way,
            ..JobCounting::new(JobCounts::new())
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
    fn counts_from_before_a_sweep_are_not_announced() {
        let counts: JobCounts = [(StepState::Done, 8), (StepState::Queued, 52)].into_iter().collect();
        let mut counting = JobCounting::new(counts);
        assert!(counting.begin());
        counting.sweep(JobSweep::Cancel);
        assert_eq!(counting.counts, [(StepState::Done, 8), (StepState::Canceled, 52)].into_iter().collect());
        assert!(!counting.end(), "it was counted before");
        assert!(!counting.begin(), "the store does not have it yet");
        counting.swept();
        assert!(counting.begin());
        assert!(counting.end());
    }
}
