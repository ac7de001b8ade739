//! Messages to the jobs.

use actix::Message;
use tokio::sync::oneshot;

use twinhub_access::Reach;
use twinhub_domain::fleet::job::JobProgress;
use twinhub_domain::fleet::{Job, JobAction, JobId, JobStatus};
use twinhub_domain::{Cause, DeviceId, DeviceNumber, Object};
use twinhub_store::RuleAuthor;

/// The hub has started: jobs that were under way at its shutdown go on.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct StartJobs;

/// Stops the jobs' dispatch: the hub shuts down.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct StopJobs;

/// Makes a job, which runs at once. Answered when it is durable: no crash makes it unknown after that. But one that
/// comes before all its devices are written down makes it fail, with nothing done.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct MakeJob {
    pub action: JobAction,
    pub description: Box<str>,
    /// Devices a second at most.
    pub rate: Option<f64>,
    /// In the order of their dispatch.
    pub devices: Vec<(DeviceId, DeviceNumber)>,
    /// Devices that it passes over, and why.
    pub skipped: Vec<(DeviceId, DeviceNumber, Box<str>)>,
    /// Devices that were named and are unknown: the job fails with each of them.
    pub unknown: Vec<DeviceId>,
    /// The user or key with whose rights it is made, and without which it does not go on; none: it is the hub's own.
    pub author: Option<RuleAuthor>,
    /// Its creator.
    pub cause: Cause,
    pub reply: oneshot::Sender<JobView>,
    /// Answered when all its devices are stored: from now on it comes to each of them, whatever happens.
    pub prepared: oneshot::Sender<JobView>,
}

/// Asks for a job. None if there is none.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ShowJob {
    pub id: JobId,
    pub viewer: JobViewer,
    pub reply: oneshot::Sender<Option<JobView>>,
}

/// Asks for a page of jobs, the newest first.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ListJobs {
    /// Empty means all.
    pub status: Vec<JobStatus>,
    /// Of these kinds of actions; empty means all.
    pub kinds: Vec<Box<str>>,
    pub viewer: JobViewer,
    pub offset: usize,
    pub limit: usize,
    pub reply: oneshot::Sender<JobPage>,
}

/// Steers a job. Answered after the commit.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct SteerJob {
    pub id: JobId,
    pub viewer: JobViewer,
    pub steer: Steer,
    pub cause: Cause,
    pub reply: oneshot::Sender<Result<JobView, JobRefusal>>,
}

/// The caller that a job is shown to, or steered by. Jobs are unknown to it that have a device beyond its reach, or none
/// within and another maker. By default it is one who reaches all devices.
#[derive(Clone, Debug, Default)]
pub struct JobViewer {
    pub reach: Reach,
    /// As jobs name their makers: `user:ann`.
    pub name: Box<str>,
    /// A job that they retry goes on with their rights.
    pub author: Option<RuleAuthor>,
}

/// The commands of people to a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Steer {
    Pause,
    Resume,
    Cancel,
    Retry,
    /// Forget the job, with the results of all its devices.
    Remove,
}

impl Steer {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Cancel => "cancel",
            Self::Retry => "retry",
            Self::Remove => "remove",
        }
    }
}

/// A job, and how far it has come.
#[derive(Clone, Debug)]
pub struct JobView {
    pub job: Job,
    pub progress: JobProgress,
}

/// A page of jobs.
#[derive(Clone, Debug, Default)]
pub struct JobPage {
    pub jobs: Vec<JobView>,
    /// The number on all pages.
    pub total: usize,
}

/// The reason why a job was not steered so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JobRefusal {
    #[error("there is no job `{0}`")]
    Unknown(JobId),
    #[error("the job is {}: it cannot be {}", status.as_str(), steer.participle())]
    Status { status: JobStatus, steer: Steer },
    #[error("none of the job's devices failed: there is nothing to try again")]
    NothingFailed,
}

impl Steer {
    /// `paused`, as in: cannot be paused.
    #[must_use]
    pub fn participle(self) -> &'static str {
        match self {
            Self::Pause => "paused",
            Self::Resume => "resumed",
            Self::Cancel => "canceled",
            Self::Retry => "retried",
            Self::Remove => "removed",
        }
    }
}

impl JobView {
    /// As events and answers show it.
    #[must_use]
    pub fn document(&self) -> Object {
        self.job.document(&self.progress)
    }
}
