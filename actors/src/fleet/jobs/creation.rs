//! Making a job: its devices are written down, part by part, before the first of them has its turn; and those that were
//! unknown then, once they are known.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::backoff::until_answered;
use crate::fleet::FleetDeps;
use crate::messages::jobs::{JobView, MakeJob};
use twinhub_access::Reach;
use twinhub_domain::alarm::who;
use twinhub_domain::fleet::{Job, JobId, JobStep, StepState};
use twinhub_domain::{Cause, DeviceId, DeviceNumber, Refusal, Timestamp, Twin};
use twinhub_store::{JobDevice, JobDeviceQuery, JobOp, select};

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

/// The changes of a job by which those of its devices that were unknown when it was made, have been registered since,
/// and are within `reach` stand in it under their numbers. Without their numbers no turn of theirs would find them. A
/// device that is older than the job was beyond its maker's reach, so it stays unknown to the job for good.
pub(super) async fn registered_since(
    deps: Arc<FleetDeps>,
    job: JobId,
    made_at: Timestamp,
    reach: Reach,
) -> Vec<JobOp> {
    let mut ops = Vec::new();
    let mut from = 0;
    loop {
        let query = JobDeviceQuery::stretch(job, &[StepState::Failed], (from, u64::MAX), AT_ONCE as u64);
        let page =
            until_answered("the devices that a job failed with", || deps.store.job_devices(&query)).await;
        let Some(last) = page.devices.last() else { return ops };
        from = last.place + 1;
        let unknown = page.devices.iter().filter(|device| is_nobodys(device.number));
        let ids: Vec<DeviceId> = unknown.map(|device| device.device.clone()).collect();
        if ids.is_empty() {
            continue;
        }
        let twins = until_answered("the devices that were unknown to a job", || deps.store.load(&ids)).await;
        let is_found = |twin: &Twin| twin.created_at >= made_at && select::is_within(&reach, twin);
        let found = twins.into_iter().filter(is_found);
        let numbers: HashMap<DeviceId, DeviceNumber> = found.map(|twin| (twin.id, twin.number)).collect();
        for device in page.devices.into_iter().filter(|device| is_nobodys(device.number)) {
            if let Some(number) = numbers.get(&device.device).copied() {
                ops.push(JobOp::Forget { job, places: (device.place, device.place + 1) });
                ops.push(JobOp::Devices(vec![JobDevice { number, ..device }]));
            }
        }
    }
}

/// The number of the device that was unknown as the `n`th, from 1: no twin will ever say that it is done.
const fn nobodys(n: i64) -> DeviceNumber {
    DeviceNumber(-n)
}

fn is_nobodys(number: DeviceNumber) -> bool {
    number < DeviceNumber(0)
}

impl JobParts {
    /// The job that is asked for, and what is to be written down of it.
    pub fn new(id: JobId, make: MakeJob, now: Timestamp) -> (Job, Self) {
        let MakeJob { action, description, rate, devices, skipped, unknown, author, cause, reply, prepared } =
            make;
        let known =
            devices.into_iter().map(|(device, number)| (device, number, JobStep::new(id, StepState::Queued)));
        let skipped = skipped
            .into_iter()
            .map(|(device, number, why)| (device, number, JobStep::new(id, StepState::Skipped).because(why)));
        let unknown = (1..).zip(unknown).map(|(n, device)| {
            let why = Refusal::Unknown(device.to_string()).to_string();
            (device, nobodys(n), JobStep::new(id, StepState::Failed).because(why))
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
        job.maker = author.map(|author| author.to_string().into());
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
