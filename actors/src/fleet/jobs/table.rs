//! The jobs and their runs, in memory. Pure.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use tracing::{info, warn};

use super::progress::{self, JobCounting};
use super::run::JobRun;
use crate::messages::jobs::JobView;
use twinhub_domain::Clock;
use twinhub_domain::fleet::job::{JobSweep, RateLimiter};
use twinhub_domain::fleet::{Job, JobId, JobSignal, JobStatus, Rollout, StepState};
use twinhub_store::StepSweep;

/// All jobs, and how far those have come that are under way.
pub(super) struct JobTable {
    clock: Arc<dyn Clock>,
    pub jobs: BTreeMap<JobId, Job>,
    /// Of jobs that are not at their end, or some of whose devices are not.
    pub runs: HashMap<JobId, JobRun>,
    /// The job whose device had the last turn.
    served: Option<JobId>,
    made_runs: u64,
}

impl JobTable {
    /// No jobs.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, jobs: BTreeMap::new(), runs: HashMap::new(), served: None, made_runs: 0 }
    }

    /// As far as a job has come.
    pub fn view(&self, id: JobId) -> Option<JobView> {
        let job = self.jobs.get(&id)?.clone();
        let progress = match self.runs.get(&id) {
            Some(run) => run.progress(&job, self.clock.now()),
            None => progress::stored(&job),
        };
        Some(JobView { job, progress })
    }

    /// Makes of a job what `signal` makes of it; false where it does not fit.
    pub fn signal(&mut self, id: JobId, signal: JobSignal, reason: Option<&str>) -> bool {
        let now = self.clock.now();
        let fits = self.jobs.get_mut(&id).is_some_and(|job| job.take(signal, reason, now));
        if fits {
            self.log(id, signal);
        }
        fits
    }

    /// Jobs that begin, stand still and end are in the log.
    pub fn log(&self, id: JobId, signal: JobSignal) {
        let Some(JobView { job, progress }) = self.view(id) else { return };
        let (action, status, devices) = (job.action.kind(), job.status.as_str(), job.total);
        let failed = progress.count(StepState::Failed);
        match signal {
            JobSignal::Prepared | JobSignal::Retry => info!(job = %id, action, devices, "job began"),
            JobSignal::Pause => info!(job = %id, action, "job paused"),
            JobSignal::Resume => info!(job = %id, action, "job resumed"),
            JobSignal::Finish | JobSignal::Cancel | JobSignal::BreakOff | JobSignal::Abort
                if failed > 0 || job.status == JobStatus::Failed =>
            {
                let reason = job.reason.as_deref();
                warn!(job = %id, action, status, devices, failed, reason, "job ended");
            }
            JobSignal::Finish | JobSignal::Cancel | JobSignal::BreakOff | JobSignal::Abort => {
                info!(job = %id, action, status, devices, "job ended");
            }
        }
    }

    /// The roll-out that this job is, and the stage that it is in.
    pub fn rollout(&self, id: JobId) -> Option<(&Rollout, u32)> {
        let job = self.jobs.get(&id)?;
        Some((job.action.rollout()?, job.stage.unwrap_or(1)))
    }

    /// Up to which place devices may have their turns now.
    pub fn reach(&self, id: JobId) -> u64 {
        self.rollout(id).map_or(u64::MAX, |(rollout, stage)| rollout.stage(stage).1)
    }

    /// Devices may have tasks of it that they have not begun with.
    pub fn has_tasks(&self, id: JobId) -> bool {
        self.jobs.get(&id).is_some_and(|job| job.action.rollout().is_some() && job.started_at.is_some())
    }

    pub fn new_run(&mut self, id: JobId) -> JobRun {
        self.made_runs += 1;
        let job = self.jobs.get(&id);
        let pace = RateLimiter::new(job.and_then(|job| job.rate), self.clock.uptime_ms());
        let counts = self.view(id).map(|view| view.progress.counts).unwrap_or_default();
        JobRun::new(self.made_runs, pace, JobCounting::new(counts))
    }

    /// Begins the job's run anew after many of its devices were changed: the queued ones are read anew, and none has
    /// a turn until then.
    pub fn begin_anew(&mut self, id: JobId) {
        let mut run = self.new_run(id);
        if let Some(before) = self.runs.remove(&id) {
            run.waiting_requests = before.waiting_requests;
        }
        run.writing = true;
        self.runs.insert(id, run);
    }

    /// The run that asked, unless another one stands in its place.
    pub fn run(&mut self, id: JobId, serial: u64) -> Option<&mut JobRun> {
        self.runs.get_mut(&id).filter(|run| run.serial == serial)
    }

    pub fn hold(&mut self, id: JobId, writing: bool) {
        if let Some(run) = self.runs.get_mut(&id) {
            run.writing = writing;
        }
    }

    fn may_run(&self, id: JobId) -> bool {
        let is_running = self.jobs.get(&id).is_some_and(|job| job.status == JobStatus::Running);
        is_running && self.runs.get(&id).is_some_and(|run| !run.is_held())
    }

    /// The jobs whose devices may have their turns now, in order.
    pub fn running(&self) -> Vec<JobId> {
        let mut running: Vec<JobId> = self.runs.keys().copied().filter(|id| self.may_run(*id)).collect();
        running.sort_unstable();
        running
    }

    /// The job of these that has a turn after the one that had the last.
    pub fn next_in_rotation(&mut self, running: &[JobId]) -> JobId {
        let after = running.partition_point(|id| Some(*id) <= self.served);
        let id = running[after % running.len()];
        self.served = Some(id);
        id
    }

    /// Devices whose turn it is, of all jobs.
    pub fn in_flight(&self) -> usize {
        self.runs.values().map(|run| run.in_flight).sum()
    }

    pub fn change_of(&self, id: JobId, sweeping: JobSweep) -> StepSweep {
        let (from, to, detail) = sweeping.change();
        let at = self.clock.now();
        // One that was broken off says why.
        let reason = self.jobs.get(&id).and_then(|job| job.reason.clone());
        let detail = reason.filter(|_| sweeping == JobSweep::Cancel).unwrap_or_else(|| detail.into());
        StepSweep { job: id, from: vec![from], places: (0, u64::MAX), to, detail, at }
    }

    /// The oldest of those that are over, beyond so many.
    pub fn oldest_beyond(&self, most: usize) -> Vec<JobId> {
        let ended = |job: &&Job| job.status.is_final() && job.sweeping.is_none();
        let mut over: Vec<_> = self.jobs.values().filter(ended).map(|job| (job.ended_at, job.id)).collect();
        let too_many = over.len().saturating_sub(most);
        over.sort_unstable();
        over.into_iter().take(too_many).map(|(_, id)| id).collect()
    }
}
