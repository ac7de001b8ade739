//! The fleet's stored data, and the queries for it.

use twinhub_access::Reach;
pub use twinhub_domain::fleet::job::JobCounts;
use twinhub_domain::fleet::{JobId, JobStep, RecordKind, StepState};
use twinhub_domain::{DeviceId, DeviceNumber, Object, Timestamp};

/// The fleet's part of a commit.
#[derive(Clone, Debug, Default)]
pub struct FleetChanges {
    /// Of several changes of one record the last counts.
    pub records: Vec<FleetRecord>,
    /// In order.
    pub jobs: Vec<JobOp>,
}

/// A group, a template, an image, a job or a dialect's binding, as it is now.
#[derive(Clone, Debug, PartialEq)]
pub struct FleetRecord {
    pub kind: RecordKind,
    /// 128 characters at most.
    pub id: Box<str>,
    /// None: it is removed. With a job go its devices.
    pub body: Option<Object>,
    pub updated_at: Timestamp,
}

/// Something that becomes of a job's devices. Committed again, each is harmless.
#[derive(Clone, Debug)]
pub enum JobOp {
    /// Devices that the job is for. Those that it has already stay as they are.
    Devices(Vec<JobDevice>),
    /// The job came further with one of its devices. A device in a final state stays there, but for one that had failed
    /// and is done after all.
    Step { number: DeviceNumber, at: Timestamp, step: JobStep },
    /// All of its devices in one of these states, at one of these places, come into another.
    Sweep(StepSweep),
    /// Its devices from this place on, up to that, exclusive, are forgotten.
    Forget { job: JobId, places: (u64, u64) },
}

/// See [`JobOp::Sweep`].
#[derive(Clone, Debug)]
pub struct StepSweep {
    pub job: JobId,
    pub from: Vec<StepState>,
    /// From this place on, up to that, exclusive.
    pub places: (u64, u64),
    pub to: StepState,
    pub detail: Box<str>,
    pub at: Timestamp,
}

/// One of a job's devices.
#[derive(Clone, Debug, PartialEq)]
pub struct JobDevice {
    pub device: DeviceId,
    pub number: DeviceNumber,
    /// Its place in the job's order, from 0.
    pub place: u64,
    /// The job's progress with the device.
    pub step: JobStep,
    pub at: Timestamp,
}

/// A query for a job's devices. They come by their places.
#[derive(Clone, Debug)]
pub struct JobDeviceQuery {
    pub job: JobId,
    /// Without the devices beyond it; those that were removed are beyond nothing.
    pub reach: Reach,
    /// Empty means all.
    pub states: Vec<StepState>,
    pub device: Option<DeviceNumber>,
    /// From this place on, up to that, exclusive; none: all.
    pub places: Option<(u64, u64)>,
    pub offset: u64,
    pub limit: u64,
    /// Counts the devices on all pages, which reads all of them.
    pub counted: bool,
}

/// A page of a job's devices.
#[derive(Clone, Debug, Default)]
pub struct JobDevicePage {
    pub devices: Vec<JobDevice>,
    /// The number on all pages; 0 where no count was requested.
    pub total: u64,
}

/// Where the devices of a job are, as far as there are any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JobPlace {
    /// Some are within reach.
    pub has_within: bool,
    /// Some are beyond it.
    pub has_beyond: bool,
}

impl JobDeviceQuery {
    /// All of a job's devices, counted.
    #[must_use]
    pub fn of(job: JobId) -> Self {
        let (states, limit) = (Vec::new(), u64::MAX);
        Self {
            job,
            reach: Reach::everywhere(),
            states,
            device: None,
            places: None,
            offset: 0,
            limit,
            counted: true,
        }
    }

    /// At most `limit` of the devices in these states, at places from one on, up to another, exclusive: for a caller
    /// that goes through all of them, and counts none.
    #[must_use]
    pub fn stretch(job: JobId, states: &[StepState], places: (u64, u64), limit: u64) -> Self {
        let (states, places) = (states.to_vec(), Some(places));
        Self { states, places, limit, counted: false, ..Self::of(job) }
    }
}

impl JobOp {
    /// The job whose devices it is about; none where it is about none.
    #[must_use]
    pub fn job(&self) -> Option<JobId> {
        match self {
            Self::Devices(devices) => devices.first().map(|device| device.step.job),
            Self::Step { step, .. } => Some(step.job),
            Self::Sweep(sweep) => Some(sweep.job),
            Self::Forget { job, .. } => Some(*job),
        }
    }
}

impl FleetChanges {
    /// Is there nothing in it?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Self { records, jobs } = self;
        records.is_empty() && jobs.is_empty()
    }

    /// Merges later writes into these.
    pub fn absorb(&mut self, later: Self) {
        let Self { records, jobs } = later;
        self.records.extend(records);
        self.jobs.extend(jobs);
    }
}
