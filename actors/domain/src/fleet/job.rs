//! Jobs: one action on many devices, each exactly once, with the result of each.

mod action;
mod entry;
mod progress;
mod rate_limiter;
mod status;

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use action::JobAction;
pub use entry::{Job, JobSweep};
pub use progress::{JobCounts, JobProgress, JobSpeed};
pub use rate_limiter::{RateLimiter, TurnTime};
pub use status::{JobSignal, JobStatus};

use crate::command::CommandId;

/// A job's id: a UUID of version 7, so ids sort by the time at which they were made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(pub Uuid);

/// A job's progress with one device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StepState {
    /// No action was taken yet.
    Queued,
    /// The device has a command to carry out, and has not reported its result.
    Asked,
    /// The device was notified of new firmware.
    Notified,
    Downloading,
    Downloaded,
    Verified,
    Updating,
    /// Done; of firmware: the device runs it.
    Done,
    Failed,
    /// There was nothing to do, or it was not to be done.
    Skipped,
    /// The job was canceled before it came to this device.
    Canceled,
}

/// A step of a job with the device of the twin. It becomes durable with its effect: in one commit, so that no crash
/// makes a device's turn come twice.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct JobStep {
    pub job: JobId,
    pub state: StepState,
    /// The reason, where it failed, was skipped or is held.
    pub detail: Box<str>,
    /// The device's progress by its own report, of 100.
    pub percent: Option<u8>,
    /// The command that it has to carry out.
    pub command: Option<CommandId>,
}

impl JobId {
    /// Takes a UUID's text as an id.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Uuid::try_parse(text).ok().map(Self)
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl StepState {
    pub const ALL: [Self; 11] = [
        Self::Queued,
        Self::Asked,
        Self::Notified,
        Self::Downloading,
        Self::Downloaded,
        Self::Verified,
        Self::Updating,
        Self::Done,
        Self::Failed,
        Self::Skipped,
        Self::Canceled,
    ];

    /// The word for it on the wire and in the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Asked => "asked",
            Self::Notified => "notified",
            Self::Downloading => "downloading",
            Self::Downloaded => "downloaded",
            Self::Verified => "verified",
            Self::Updating => "updating",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Canceled => "canceled",
        }
    }

    /// The state with this name.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }

    /// May `later` replace it? A final state stays; but a step that was done counts as done, also after it was given
    /// up.
    #[must_use]
    pub fn gives_way_to(self, later: Self) -> bool {
        !self.is_final() || self == Self::Failed && later == Self::Done
    }

    /// Is the state final, unless the job is tried again?
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Skipped | Self::Canceled)
    }
}

impl JobStep {
    /// A step without further details.
    #[must_use]
    pub fn new(job: JobId, state: StepState) -> Self {
        Self { job, state, detail: "".into(), percent: None, command: None }
    }

    /// With the reason.
    #[must_use]
    pub fn because(self, detail: impl Into<Box<str>>) -> Self {
        Self { detail: detail.into(), ..self }
    }
}
