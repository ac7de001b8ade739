//! Making a job: its devices are written down, part by part, before the first of them has its turn.

use tokio::sync::oneshot;

use crate::messages::jobs::{JobView, MakeJob};
use twinhub_domain::alarm::who;
use twinhub_domain::fleet::{Job, JobId, JobStep, StepState};
use twinhub_domain::{Cause, DeviceId, DeviceNumber, Refusal, Timestamp};
use twinhub_store::{JobDevice, JobOp};

/// Devices that are written down with one commit: more would make other traffic wait for it.
pub(super) const AT_ONCE: usize = 500;

/// The parts of a job that are still to be written down.
pub(super) struct JobParts {
    pub id: JobId,
    rows: std::vec::IntoIter<JobDevice>,
    pub cause: Cause,
    pub reply: Option<oneshot::Sender<JobView>>,
    pub prepared: oneshot::Sender<JobView>,
}

impl JobParts {
    /// The job that is asked for, and what is to be written down of it.
    pub fn new(id: JobId, make: MakeJob, now: Timestamp) -> (Job, Self) {
        let MakeJob { action, description, rate, devices, skipped, unknown, cause, reply, prepared } = make;
        let known =
            devices.into_iter().map(|(device, number)| (device, number, JobStep::new(id, StepState::Queued)));
        let skipped = skipped
            .into_iter()
            .map(|(device, number, why)| (device, number, JobStep::new(id, StepState::Skipped).because(why)));
        let unknown = (1..).zip(unknown).map(|(n, device)| {
            // Nobody's number: no twin will ever say that it is done.
            let why = Refusal::Unknown(device.to_string()).to_string();
            (device, DeviceNumber(-n), JobStep::new(id, StepState::Failed).because(why))
        });
        let row = |(place, (device, number, step)): (u64, (DeviceId, DeviceNumber, JobStep))| JobDevice {
            device,
            number,
            place,
            step,
            at: now,
        };
        let rows: Vec<JobDevice> = (0..).zip(known.chain(skipped).chain(unknown)).map(row).collect();
        let mut job = Job::new(id, action, &who(&cause), rows.len() as u64, now);
        (job.description, job.rate) = (description, rate);
        for row in &rows {
            *job.counts.entry(row.step.state).or_default() += 1;
        }
        (job, Self { id, rows: rows.into_iter(), cause, reply: Some(reply), prepared })
    }

    /// The next part, and whether it is the last.
    pub fn next(&mut self) -> (JobOp, bool) {
        let part = JobOp::Devices(self.rows.by_ref().take(AT_ONCE).collect());
        (part, self.rows.len() == 0)
    }
}
