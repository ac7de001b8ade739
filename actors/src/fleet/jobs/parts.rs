//! What is to become of many of a job's devices becomes durable part by part: one commit for all of them would make
//! other traffic wait for it.

use actix::Context;

use super::Jobs;
use super::making::AT_ONCE;
use crate::messages::jobs::JobTold;
use twinhub_domain::Cause;
use twinhub_domain::fleet::RecordChange;
use twinhub_store::{JobOp, Sweep};

impl Jobs {
    /// Commits all parts of a sweep but the last, which `last` commits with what else belongs to it.
    pub(super) fn sweep_parts(
        &mut self,
        sweep: Sweep,
        ctx: &mut Context<Self>,
        last: impl FnOnce(&mut Self, JobOp, &mut Context<Self>) + 'static,
    ) {
        let (from, end) = sweep.places;
        let total = self.jobs.get(&sweep.job).map_or(0, |job| job.total);
        let to = from.saturating_add(AT_ONCE as u64);
        if to >= end.min(total) {
            return last(self, JobOp::Sweep(sweep), ctx);
        }
        let part = Sweep { places: (from, to), ..sweep.clone() };
        let rest = Sweep { places: (to, end), ..sweep };
        self.note(vec![JobOp::Sweep(part)], ctx, move |this, ctx| this.sweep_parts(rest, ctx, last));
    }

    /// Takes a job out of the store, from this place of its devices on. The record goes last: after a crash the job
    /// is there still, and can be removed again.
    pub(super) fn take_out(
        &mut self,
        told: JobTold,
        from: u64,
        cause: Cause,
        ctx: &mut Context<Self>,
        then: impl FnOnce(&mut Self, &mut Context<Self>) + 'static,
    ) {
        let to = from + AT_ONCE as u64;
        if to >= told.job.total {
            return self.write(&told, RecordChange::Removed, Vec::new(), cause, ctx, then);
        }
        let part = JobOp::Forget { job: told.job.id, places: (from, to) };
        self.note(vec![part], ctx, move |this, ctx| this.take_out(told, to, cause, ctx, then));
    }
}
