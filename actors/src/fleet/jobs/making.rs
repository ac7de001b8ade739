//! Making a job: its devices are written down, part by part, before the first of them has its turn.

use actix::Context;
use tokio::sync::oneshot;

use super::Jobs;
use crate::messages::jobs::{JobTold, MakeJob};
use twinhub_domain::alarm::who;
use twinhub_domain::fleet::job::Sweeping;
use twinhub_domain::fleet::{Job, JobId, JobSignal, RecordChange, Step, StepState};
use twinhub_domain::{Cause, DeviceId, DeviceNumber, Refusal};
use twinhub_store::{JobDevice, JobOp};

/// Devices that are written down with one commit: more would make other traffic wait for it.
pub(super) const AT_ONCE: usize = 500;
/// Why a job that is for no device has failed.
const NOBODY: &str = "no device matched: nothing was done";

/// What is still to be written down of a job.
struct Parts {
    id: JobId,
    rows: std::vec::IntoIter<JobDevice>,
    cause: Cause,
    reply: Option<oneshot::Sender<JobTold>>,
    prepared: oneshot::Sender<JobTold>,
}

impl Jobs {
    pub(super) fn make(&mut self, make: MakeJob, ctx: &mut Context<Self>) {
        let MakeJob { action, description, rate, devices, skipped, unknown, cause, reply, prepared } = make;
        let (id, now) = (JobId(crate::clock::new_id()), self.around.clock.now());
        let known =
            devices.into_iter().map(|(device, number)| (device, number, Step::new(id, StepState::Queued)));
        let skipped = skipped
            .into_iter()
            .map(|(device, number, why)| (device, number, Step::new(id, StepState::Skipped).because(why)));
        let unknown = (1..).zip(unknown).map(|(n, device)| {
            // Nobody's number: no twin will ever say that it is done.
            let why = Refusal::Unknown(device.to_string()).to_string();
            (device, DeviceNumber(-n), Step::new(id, StepState::Failed).because(why))
        });
        let row = |(place, (device, number, step)): (u64, (DeviceId, DeviceNumber, Step))| JobDevice {
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
        self.jobs.insert(id, job);
        let mut run = self.new_run(id);
        run.writing = true;
        self.runs.insert(id, run);
        let parts = Parts { id, rows: rows.into_iter(), cause, reply: Some(reply), prepared };
        self.write_part(parts, RecordChange::Made, ctx);
    }

    /// Writes the next part down. With the last the job runs.
    fn write_part(&mut self, mut parts: Parts, change: RecordChange, ctx: &mut Context<Self>) {
        let (id, cause) = (parts.id, parts.cause.clone());
        let ops = vec![JobOp::Devices(parts.rows.by_ref().take(AT_ONCE).collect())];
        let is_last = parts.rows.len() == 0;
        let is_for_nobody = self.jobs.get(&id).is_some_and(|job| job.total == 0);
        let then = move |this: &mut Self, ctx: &mut Context<Self>| {
            if let (Some(reply), Some(told)) = (parts.reply.take(), this.told(id)) {
                let _ = reply.send(told); // whoever asked may have gone
            }
            if !is_last {
                return this.write_part(parts, RecordChange::Changed, ctx);
            }
            if let Some(told) = this.told(id) {
                let _ = parts.prepared.send(told); // so may have whoever waited
            }
            this.ready(id, ctx);
            if is_for_nobody {
                this.end(id, ctx);
            }
        };
        if is_for_nobody {
            // Whoever asked meant somebody: this must not look as if it had been done.
            let _ = self.signal(id, JobSignal::BreakOff, Some(NOBODY)); // it was being prepared
            if let Some(job) = self.jobs.get_mut(&id) {
                job.sweeping = None; // there is nobody to be called back
            }
        } else if is_last {
            let _ = self.signal(id, JobSignal::Prepared, None); // it was being prepared
        }
        if is_last || change == RecordChange::Made {
            self.put(id, change, ops, cause, ctx, then);
        } else {
            self.note(ops, ctx, then);
        }
    }

    /// The hub went down while it was being made. Nobody had a turn, and it is not known who else was to have one.
    pub(super) fn break_off(&mut self, id: JobId, ctx: &mut Context<Self>) {
        const WHY: &str = "the hub stopped while the job was being made: nothing was done";
        let _ = self.signal(id, JobSignal::BreakOff, Some(WHY)); // it was being prepared
        self.sweep(id, Sweeping::Cancel, Cause::of_job(id), ctx);
    }
}
