//! The jobs: one thing done to many devices, each exactly once.
//!
//! A job's devices are rows of the store, and a device's turn is an input for its twin like any other. The twin's
//! outcome says how far the job has come with it, in the commit that makes the outcome durable: so whatever happens,
//! the devices that had no turn yet are those that the store calls `queued`, and a crash makes nobody's turn come
//! twice. What no twin can say (there is no such device, it would not) the jobs write down themselves.

mod creation;
mod dispatch;
mod makers;
mod progress;
mod rollout;
mod run;
mod steering;
mod table;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use actix::fut::ActorFutureExt;
use actix::{Actor, AsyncContext, Context, Handler, Message, WrapFuture};
use tokio::sync::oneshot;
use tracing::{error, info};

use self::creation::AT_ONCE;
use self::makers::MakerLooks;
use self::table::JobTable;
use super::{FleetDeps, RecordEntry, RecordRepository};
use crate::backoff::until_answered;
use crate::counters::get;
use crate::mailbox::{send_reply, try_send_unbounded};
use crate::messages::jobs::{
    JobPage, JobRefusal, JobView, JobViewer, ListJobs, MakeJob, ShowJob, StartJobs, SteerJob, StopJobs,
};
use crate::messages::timers::ClockMoved;
use twinhub_access::Reach;
use twinhub_domain::Cause;
use twinhub_domain::fleet::job::TurnTime;
use twinhub_domain::fleet::{Job, JobAction, JobId, JobStatus, RecordChange, RecordKind};
use twinhub_domain::receipt::InputOutcome;
use twinhub_mqtt::receipt;
use twinhub_store::{FleetRecord, JobOp, JobPlace, Store};

/// Jobs that came to their end are remembered, so many of them.
const REMEMBERED: usize = 1_000;

/// The actor of all jobs.
pub struct Jobs {
    repository: RecordRepository,
    deps: Arc<FleetDeps>,
    table: JobTable,
    /// Changes of jobs that are on their way to the store.
    unsettled: usize,
    turns: TurnTime,
    looks: MakerLooks,
    /// Nobody gets a turn just now, so that other traffic has its own.
    resting: bool,
    ticking: bool,
    /// The hub has started, and is not shutting down.
    begun: bool,
}

impl Jobs {
    /// They read what the store knows of them as they start.
    #[must_use]
    pub fn new(deps: Arc<FleetDeps>) -> Self {
        Self {
            repository: RecordRepository::new(RecordKind::Job, Arc::clone(&deps)),
            table: JobTable::new(Arc::clone(&deps.clock)),
            deps,
            unsettled: 0,
            turns: TurnTime::default(),
            looks: MakerLooks::default(),
            resting: false,
            ticking: false,
            begun: false,
        }
    }

    fn load(&mut self, records: &[FleetRecord]) {
        self.table.jobs.append(&mut parsed(records));
    }

    /// Goes on with what was under way when the hub stopped.
    fn resume(&mut self, ctx: &mut Context<Self>) {
        self.begun = true;
        let ids: Vec<JobId> = self.table.jobs.keys().copied().collect();
        for id in ids {
            if self.table.runs.contains_key(&id) {
                continue; // made since, by a template that goes on
            }
            let Some(job) = self.table.jobs.get(&id) else { continue };
            let (status, sweeping) = (job.status, job.sweeping);
            if status.is_final()
                && sweeping.is_none()
                && self.table.view(id).is_none_or(|view| is_over(&view))
            {
                continue;
            }
            info!(job = %id, status = status.as_str(), "going on with a job");
            let run = self.table.new_run(id);
            self.table.runs.insert(id, run);
            match (status, sweeping) {
                (JobStatus::Preparing, _) => self.break_off(id, ctx),
                (_, Some(sweeping)) => self.sweep(id, sweeping, Cause::of_job(id), ctx),
                (JobStatus::Paused, _) if self.table.rollout(id).is_some() => self.hold_back(id, ctx),
                _ => self.count(id, ctx),
            }
        }
        self.feed(ctx);
        self.tick_later(ctx);
        self.watch_makers(ctx);
        self.look_at_makers(ctx);
    }

    /// Stores a job as it is now with an event, and commits `ops` with it. Then `then` goes on.
    fn put(
        &mut self,
        id: JobId,
        change: RecordChange,
        ops: Vec<JobOp>,
        cause: Cause,
        ctx: &mut Context<Self>,
        then: impl FnOnce(&mut Self, &mut Context<Self>) + 'static,
    ) {
        let Some(mut view) = self.table.view(id) else { return };
        view.job.counts.clone_from(&view.progress.counts);
        self.table.jobs.insert(id, view.job.clone());
        self.write(&view, change, ops, cause, ctx, then);
    }

    /// The same for one that need not be there any more.
    fn write(
        &mut self,
        view: &JobView,
        change: RecordChange,
        ops: Vec<JobOp>,
        cause: Cause,
        ctx: &mut Context<Self>,
        then: impl FnOnce(&mut Self, &mut Context<Self>) + 'static,
    ) {
        // The job's work in hand is nobody's business, and a crash must not make it forgotten.
        let (id, kept) = (view.job.id.to_string(), view.job.to_object());
        let entry = RecordEntry { id: &id, change, stored: kept, in_event: view.document() };
        let (receipt, settled) = receipt::channel();
        self.repository.put_entry(entry, ops, cause, receipt);
        self.unsettled += 1;
        let settled = settled.into_actor(self);
        ctx.spawn(settled.map(|settled, this, ctx| {
            this.unsettled -= 1;
            if is_durable(&settled) {
                then(this, ctx);
            }
        }));
    }

    /// Takes a job out of the store, from this place of its devices on. The record goes last: after a crash the job
    /// is there still, and can be removed again.
    pub(super) fn take_out(
        &mut self,
        view: JobView,
        from: u64,
        cause: Cause,
        ctx: &mut Context<Self>,
        then: impl FnOnce(&mut Self, &mut Context<Self>) + 'static,
    ) {
        let to = from + AT_ONCE as u64;
        if to >= view.job.total {
            return self.write(&view, RecordChange::Removed, Vec::new(), cause, ctx, then);
        }
        let part = JobOp::Forget { job: view.job.id, places: (from, to) };
        self.commit_steps(vec![part], ctx, move |this, ctx| this.take_out(view, to, cause, ctx, then));
    }

    /// Commits what becomes of a job's devices. Then `then` goes on.
    fn commit_steps(
        &self,
        ops: Vec<JobOp>,
        ctx: &mut Context<Self>,
        then: impl FnOnce(&mut Self, &mut Context<Self>) + 'static,
    ) {
        let (receipt, settled) = receipt::channel();
        self.repository.commit_job_ops(ops, receipt);
        ctx.spawn(settled.into_actor(self).map(|settled, this, ctx| {
            if is_durable(&settled) {
                then(this, ctx);
            }
        }));
    }

    /// Answers a question with what is durable: what is on its way to the store goes before it.
    fn answer<T: 'static>(&self, reply: oneshot::Sender<T>, answer: T, ctx: &mut Context<Self>) {
        if self.unsettled == 0 {
            send_reply(reply, answer);
            return;
        }
        self.commit_steps(Vec::new(), ctx, |_, _| drop(reply.send(answer)));
    }

    /// Commits fail, and changes of jobs wait for them: what is durable, the store alone knows.
    fn is_held_up(&self) -> bool {
        self.unsettled > 0 && get(&self.deps.counters.store_failing) == 1
    }

    /// Answers a question with what the store has.
    fn answer_stored<T: 'static>(
        &self,
        reply: oneshot::Sender<T>,
        ctx: &mut Context<Self>,
        answer: impl FnOnce(&BTreeMap<JobId, Job>) -> T + 'static,
    ) {
        let records = self.repository.clone().load().into_actor(self);
        ctx.spawn(records.map(|records, _, _| drop(reply.send(answer(&parsed(&records)))))); // may have gone
    }

    /// The oldest jobs beyond those that are remembered go.
    fn forget(&mut self, ctx: &mut Context<Self>) {
        for id in self.table.oldest_beyond(REMEMBERED) {
            self.remove(id, Cause::hub(), ctx, |_, _| {});
        }
    }
}

/// Rights of some people or keys have ended.
#[derive(Message)]
#[rtype(result = "()")]
struct MakersChanged;

impl Jobs {
    /// Looks at the makers of jobs whenever rights end.
    fn watch_makers(&self, ctx: &Context<Self>) {
        let (mut changes, me) = (self.deps.directory.changes(), ctx.address().downgrade());
        actix_rt::spawn(async move {
            while changes.changed().await.is_ok()
                && let Some(me) = me.upgrade()
                && try_send_unbounded(&me, MakersChanged).is_ok()
            {}
        });
    }
}

/// Where the devices of jobs are.
async fn places(store: Arc<dyn Store>, jobs: Vec<JobId>, reach: Reach) -> HashMap<JobId, JobPlace> {
    until_answered("the places of jobs' devices", || store.job_places(&jobs, &reach)).await
}

fn parsed(records: &[FleetRecord]) -> BTreeMap<JobId, Job> {
    let mut jobs = BTreeMap::new();
    for record in records {
        let Some(body) = &record.body else { continue };
        match Job::parse(body) {
            Ok(job) => drop(jobs.insert(job.id, job)),
            Err(problem) => error!(job = %record.id, %problem, "cannot read a job, leaving it alone"),
        }
    }
    jobs
}

/// A job as it was last written.
fn as_stored(job: &Job) -> JobView {
    JobView { job: job.clone(), progress: progress::stored(job) }
}

/// Nothing more comes of it.
fn is_over(view: &JobView) -> bool {
    view.job.status.is_final() && view.job.sweeping.is_none() && view.progress.under_way() == 0
}

/// If not, the hub is shutting down.
fn is_durable(settled: &Result<InputOutcome, oneshot::error::RecvError>) -> bool {
    matches!(settled, Ok(Ok(_)))
}

impl Actor for Jobs {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        // Whatever comes waits until it is known what there is.
        ctx.wait(self.repository.clone().load().into_actor(self).map(|records, this, _| this.load(&records)));
    }
}

impl Handler<StartJobs> for Jobs {
    type Result = ();

    fn handle(&mut self, _: StartJobs, ctx: &mut Context<Self>) {
        self.resume(ctx);
    }
}

/// A roll-out has a span of time, which a clock that is set makes no longer and no shorter.
impl Handler<ClockMoved> for Jobs {
    type Result = ();

    fn handle(&mut self, ClockMoved { from, to }: ClockMoved, ctx: &mut Context<Self>) {
        let by_ms = to.millis().saturating_sub(from.millis());
        let ids: Vec<JobId> = self.table.runs.keys().copied().collect();
        for id in ids {
            if let Some(run) = self.table.runs.get_mut(&id) {
                run.patient_until = run.patient_until.map(|until| until.plus_millis(by_ms));
            }
            let job = self.table.jobs.get_mut(&id).filter(|job| !job.status.is_final());
            if let Some(JobAction::Firmware(rollout)) = job.map(|job| &mut job.action) {
                rollout.expires = rollout.expires.plus_millis(by_ms);
                self.put(id, RecordChange::Changed, Vec::new(), Cause::hub(), ctx, |_, _| {});
            }
        }
    }
}

impl Handler<MakersChanged> for Jobs {
    type Result = ();

    fn handle(&mut self, _: MakersChanged, ctx: &mut Context<Self>) {
        self.look_at_makers(ctx);
    }
}

impl Handler<StopJobs> for Jobs {
    type Result = ();

    fn handle(&mut self, _: StopJobs, _: &mut Context<Self>) {
        self.begun = false;
    }
}

impl Handler<MakeJob> for Jobs {
    type Result = ();

    fn handle(&mut self, make: MakeJob, ctx: &mut Context<Self>) {
        self.make(make, ctx);
    }
}

impl Handler<ShowJob> for Jobs {
    type Result = ();

    fn handle(&mut self, ShowJob { id, viewer, reply }: ShowJob, ctx: &mut Context<Self>) {
        self.when_shown(vec![id], viewer, reply, ctx, move |this, seen, reply, ctx| {
            if !seen.contains(&id) {
                return send_reply(reply, None);
            }
            if this.is_held_up() {
                return this.answer_stored(reply, ctx, move |jobs| jobs.get(&id).map(as_stored));
            }
            this.count_late(id, ctx, Box::new(move |this, ctx| this.answer(reply, this.table.view(id), ctx)));
        });
    }
}

impl Handler<ListJobs> for Jobs {
    type Result = ();

    fn handle(&mut self, list: ListJobs, ctx: &mut Context<Self>) {
        let ListJobs { status, kinds, viewer, offset, limit, reply } = list;
        let is_asked_for = move |job: &Job| {
            (status.is_empty() || status.contains(&job.status))
                && (kinds.is_empty() || kinds.iter().any(|kind| **kind == *job.action.kind()))
        };
        // Where the devices of the others are, the store need not find out. Held up, it has the status that is told.
        let is_held_up = self.is_held_up();
        let asked_for = self.table.jobs.values().filter(|job| is_held_up || is_asked_for(job));
        let jobs = asked_for.map(|job| job.id).collect();
        self.when_shown(jobs, viewer, reply, ctx, move |this, seen, reply, ctx| {
            let is_listed = move |job: &Job| is_asked_for(job) && seen.contains(&job.id);
            this.list(is_listed, (offset, limit), reply, ctx);
        });
    }
}

impl Jobs {
    /// Goes on with those of `jobs` that the caller sees, at once where they reach all devices.
    fn when_seen(
        &mut self,
        jobs: Vec<JobId>,
        viewer: JobViewer,
        ctx: &mut Context<Self>,
        then: impl FnOnce(&mut Self, HashSet<JobId>, &mut Context<Self>) + 'static,
    ) {
        let JobViewer { reach, name, author: _ } = viewer;
        if reach.is_everywhere() {
            return then(self, jobs.into_iter().collect(), ctx);
        }
        let places = places(Arc::clone(&self.deps.store), jobs, reach).into_actor(self);
        ctx.spawn(places.map(move |places, this, ctx| {
            let seen = this.seen(&places, &name);
            then(this, seen, ctx);
        }));
    }

    /// The same for a caller who only looks: where nobody waits for the answer any more, it is not found out.
    fn when_shown<T: 'static>(
        &mut self,
        jobs: Vec<JobId>,
        viewer: JobViewer,
        mut reply: oneshot::Sender<T>,
        ctx: &mut Context<Self>,
        then: impl FnOnce(&mut Self, HashSet<JobId>, oneshot::Sender<T>, &mut Context<Self>) + 'static,
    ) {
        let JobViewer { reach, name, author: _ } = viewer;
        if reach.is_everywhere() {
            return then(self, jobs.into_iter().collect(), reply, ctx);
        }
        let places = places(Arc::clone(&self.deps.store), jobs, reach);
        let found = async move {
            let places = tokio::select! {
                places = places => Some(places),
                () = reply.closed() => None,
            };
            places.map(|places| (places, reply))
        };
        ctx.spawn(found.into_actor(self).map(move |found, this, ctx| {
            if let Some((places, reply)) = found {
                let seen = this.seen(&places, &name);
                then(this, seen, reply, ctx);
            }
        }));
    }

    /// The jobs that the caller of this name sees: those whose devices are all within their reach, and that have some
    /// there or are their own. Devices that were removed count neither way.
    fn seen(&self, places: &HashMap<JobId, JobPlace>, name: &str) -> HashSet<JobId> {
        let is_own = |id: &JobId| self.table.jobs.get(id).is_some_and(|job| *job.by == *name);
        let seen = places.iter().filter(|(id, place)| !place.has_beyond && (place.has_within || is_own(id)));
        seen.map(|(id, _)| *id).collect()
    }

    /// Answers with a page of those jobs of which `is_listed` is true.
    fn list(
        &mut self,
        is_listed: impl Fn(&Job) -> bool + 'static,
        (offset, limit): (usize, usize),
        reply: oneshot::Sender<JobPage>,
        ctx: &mut Context<Self>,
    ) {
        let page = move |jobs: &BTreeMap<JobId, Job>, view: &dyn Fn(&Job) -> Option<JobView>| {
            let found: Vec<&Job> = jobs.values().rev().filter(|job| is_listed(job)).collect();
            let total = found.len();
            let jobs = found.into_iter().skip(offset).take(limit).filter_map(view).collect();
            JobPage { jobs, total }
        };
        if self.is_held_up() {
            return self.answer_stored(reply, ctx, move |jobs| page(jobs, &|job| Some(as_stored(job))));
        }
        self.answer(reply, page(&self.table.jobs, &|job| self.table.view(job.id)), ctx);
    }
}

impl Handler<SteerJob> for Jobs {
    type Result = ();

    fn handle(&mut self, asked: SteerJob, ctx: &mut Context<Self>) {
        self.when_seen(vec![asked.id], asked.viewer.clone(), ctx, move |this, seen, ctx| {
            if this.table.jobs.contains_key(&asked.id) && seen.contains(&asked.id) {
                this.steer(asked, ctx);
            } else {
                let refusal = JobRefusal::Unknown(asked.id);
                this.answer(asked.reply, Err(refusal), ctx);
            }
        });
    }
}

#[cfg(test)]
mod tests;
