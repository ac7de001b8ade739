//! A job under way: its devices are read from the store page by page and get their turns one by one, a few of them
//! at once. Jobs that run at once take turns.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use actix::fut::ActorFutureExt;
use actix::{AsyncContext, Context, WrapFuture};
use tracing::{error, warn};

use super::Jobs;
use super::progress::Counting;
use super::steering::Wish;
use crate::backoff::{STORE_AGAIN, TWIN};
use crate::messages::supervisor::{Deliver, IfUnknown};
use crate::post::post;
use twinhub_domain::fleet::job::Pace;
use twinhub_domain::fleet::{JobId, JobStatus, Step, StepState};
use twinhub_domain::receipt::{NotTaken, Settled};
use twinhub_domain::{Cause, CommandId, DeviceId, DeviceNumber, Timestamp};
use twinhub_mqtt::receipt;
use twinhub_store::{JobDevice, JobDevicePage, JobDeviceQuery, JobOp, StoreError, Sweep};

/// Devices whose turn it is at once, of all jobs. They share a commit, and other traffic waits for that commit:
/// many more would slow it down, and many fewer the job.
const AT_ONCE: usize = 16;
/// Between two handfuls of turns jobs rest so many times as long as a turn takes, so that most commits are other
/// traffic's alone. Where the hub is busy a turn takes longer, and jobs give way the more.
const REST: f64 = 1.5;
const LONGEST_REST: Duration = Duration::from_millis(100);
/// Devices read from the store with one query.
const PAGE: u64 = 1_000;
/// The next page is read when so few are left.
const FEW: usize = 200;
/// A turn that is lost on its way, because its twin died, is tried so often.
const MOST_TRIES: u32 = 4;
/// Devices that are queued still after all had their turn are gone through again so often.
const MOST_PASSES: u32 = 3;
/// A turn may come so late by a coarse clock.
const SHORTEST_WAIT: Duration = Duration::from_millis(5);
const LONGEST_WAIT: Duration = Duration::from_millis(100);

/// See the module.
pub(super) struct Run {
    /// Another one may stand in its place when an answer comes.
    pub(super) serial: u64,
    pace: Pace,
    /// Read, and not handed out: by place.
    next: VecDeque<(u64, DeviceId, DeviceNumber)>,
    /// Places below this one were read.
    read_to: u64,
    reading: bool,
    /// There is nothing further to read.
    all_read: bool,
    passes: u32,
    /// Devices whose turn it is.
    pub(super) in_flight: usize,
    waiting_for_pace: bool,
    /// What people want of it and what cannot be done at once, in order.
    pub(super) wishes: VecDeque<Wish>,
    /// Its devices are being written down, or many of them are changed at once: nobody gets a turn.
    pub(super) writing: bool,
    pub(super) counting: Counting,
    /// Of a roll-out: why it is to be broken off, once none of its devices has its turn.
    pub(super) aborting: Option<String>,
    /// Of a roll-out in whose stage nobody is there: until when it waits for one to come.
    pub(super) patient_until: Option<Timestamp>,
    /// Those that it never came to have failed.
    pub(super) expired: bool,
}

/// A device's turn.
#[derive(Clone)]
struct Turn {
    job: JobId,
    device: DeviceId,
    number: DeviceNumber,
    tries: u32,
}

impl Run {
    pub(super) fn new(serial: u64, pace: Pace, counting: Counting) -> Self {
        Self {
            serial,
            pace,
            next: VecDeque::new(),
            read_to: 0,
            reading: false,
            all_read: false,
            passes: 1,
            in_flight: 0,
            waiting_for_pace: false,
            wishes: VecDeque::new(),
            writing: false,
            counting,
            aborting: None,
            patient_until: None,
            expired: false,
        }
    }

    /// There is more to read than there was.
    pub(super) fn read_further(&mut self) {
        self.all_read = false;
    }

    /// Nobody gets a turn any more of those that had none in this run: from which place on they are.
    pub(super) fn give_rest_up(&mut self) -> u64 {
        let from = self.next.front().map_or(self.read_to, |(place, ..)| *place);
        self.next.clear();
        from
    }

    /// Every device had its turn.
    pub(super) fn is_through(&self) -> bool {
        self.all_read && self.next.is_empty() && self.in_flight == 0
    }

    /// Nobody gets a turn just now.
    fn is_held(&self) -> bool {
        self.writing || !self.wishes.is_empty() || self.aborting.is_some()
    }
}

impl Jobs {
    pub(super) fn new_run(&mut self, id: JobId) -> Run {
        self.made_runs += 1;
        let job = self.jobs.get(&id);
        let pace = Pace::new(job.and_then(|job| job.rate), self.around.clock.uptime_ms());
        let counts = self.told(id).map(|told| told.progress.counts).unwrap_or_default();
        Run::new(self.made_runs, pace, Counting::new(counts))
    }

    /// All its devices are written down, and none is changed but by its turn: it may run.
    pub(super) fn ready(&mut self, id: JobId, ctx: &mut Context<Self>) {
        if let Some(run) = self.runs.get_mut(&id) {
            run.writing = false;
        }
        self.grant_wishes(id, ctx);
        self.feed(ctx);
        self.tick_later(ctx);
    }

    /// Hands out as many turns as may be, one to each job after the other, and rests.
    pub(super) fn feed(&mut self, ctx: &mut Context<Self>) {
        if !self.begun || self.resting {
            return;
        }
        let mut running: Vec<JobId> = self.runs.keys().copied().filter(|id| self.may_run(*id)).collect();
        running.sort_unstable();
        for id in &running {
            self.read_on(*id, ctx);
        }
        let mut in_flight: usize = self.runs.values().map(|run| run.in_flight).sum();
        while in_flight < AT_ONCE && !running.is_empty() {
            // The next one after the one that was served last.
            let after = running.partition_point(|id| Some(*id) <= self.served);
            let id = running[after % running.len()];
            self.served = Some(id);
            match self.next_turn(id, ctx) {
                Some(turn) => {
                    in_flight += 1;
                    self.resting = true;
                    self.hand_out(turn, ctx);
                }
                None => running.retain(|other| *other != id),
            }
        }
        if self.resting {
            ctx.run_later(self.turns.times(REST).min(LONGEST_REST), |this, ctx| {
                this.resting = false;
                this.feed(ctx);
            });
        }
    }

    fn may_run(&self, id: JobId) -> bool {
        let is_running = self.jobs.get(&id).is_some_and(|job| job.status == JobStatus::Running);
        is_running && self.runs.get(&id).is_some_and(|run| !run.is_held())
    }

    fn next_turn(&mut self, id: JobId, ctx: &mut Context<Self>) -> Option<Turn> {
        let run = self.runs.get_mut(&id)?;
        if run.next.is_empty() {
            return None;
        }
        if run.pace.take(self.around.clock.uptime_ms(), 1) == 0 {
            if !run.waiting_for_pace {
                run.waiting_for_pace = true;
                let wait = Duration::from_millis(run.pace.wait_ms().unwrap_or_default());
                ctx.run_later(wait.clamp(SHORTEST_WAIT, LONGEST_WAIT), move |this, ctx| {
                    if let Some(run) = this.runs.get_mut(&id) {
                        run.waiting_for_pace = false;
                    }
                    this.feed(ctx);
                });
            }
            return None;
        }
        let (_, device, number) = run.next.pop_front()?;
        run.in_flight += 1;
        Some(Turn { job: id, device, number, tries: 1 })
    }

    fn hand_out(&self, turn: Turn, ctx: &mut Context<Self>) {
        let Some(job) = self.jobs.get(&turn.job) else { return };
        let (receipt, settled) = receipt::channel();
        let deliver = Deliver {
            device: turn.device.clone(),
            input: job.action.input(
                job.id,
                job.round,
                CommandId(crate::clock::new_id()),
                self.around.clock.now(),
            ),
            cause: Cause::of_job(job.id),
            receipt,
            if_unknown: IfUnknown::RefuseUnless(turn.number),
            if_version: None,
            want_twin: false,
        };
        let _ = post(&self.around.supervisor, deliver); // dropped, its receipt says so
        let (settled, since) = (settled.into_actor(self), Instant::now());
        ctx.spawn(settled.map(move |settled, this, ctx| {
            this.turns.one_took(since.elapsed());
            this.settled(turn, settled.unwrap_or(Err(NotTaken::Lost)), ctx);
        }));
    }

    fn settled(&mut self, mut turn: Turn, settled: Settled, ctx: &mut Context<Self>) {
        match settled {
            Ok(_) => self.turn_is_over(turn.job, ctx),
            Err(NotTaken::Refused(refusal)) => {
                // That a device is not to be updated now says nothing of the image.
                let is_rollout = self.rollout(turn.job).is_some();
                let state = if is_rollout { StepState::Skipped } else { StepState::Failed };
                self.give_up(turn, state, &refusal.to_string(), ctx);
            }
            Err(NotTaken::Lost) if !self.begun => {} // the hub goes down
            Err(NotTaken::Lost) => {
                if let Some(wait) = TWIN.at_most(MOST_TRIES).wait(turn.tries) {
                    turn.tries += 1;
                    ctx.run_later(wait, move |this, ctx| this.hand_out(turn, ctx));
                    return;
                }
                error!(job = %turn.job, device_id = %turn.device, "a device's twin dies of a job, leaving it out");
                let why = format!("its twin died of it {} times: see the log", turn.tries);
                self.give_up(turn, StepState::Failed, &why, ctx);
            }
        }
    }

    fn give_up(&self, turn: Turn, state: StepState, why: &str, ctx: &mut Context<Self>) {
        let step = Step::new(turn.job, state).because(why);
        let op = JobOp::Step { number: turn.number, at: self.around.clock.now(), step };
        self.note(vec![op], ctx, move |this, ctx| this.turn_is_over(turn.job, ctx));
    }

    fn turn_is_over(&mut self, id: JobId, ctx: &mut Context<Self>) {
        let Some(run) = self.runs.get_mut(&id) else { return };
        run.in_flight -= 1;
        if run.in_flight == 0 {
            self.abort(id, ctx);
            self.grant_wishes(id, ctx);
        }
        if self.runs.get(&id).is_some_and(Run::is_through) {
            self.count(id, ctx);
        }
        self.feed(ctx);
    }

    /// The run that asked, unless another one stands in its place.
    pub(super) fn run(&mut self, id: JobId, serial: u64) -> Option<&mut Run> {
        self.runs.get_mut(&id).filter(|run| run.serial == serial)
    }

    /// Reads the next devices, if it is time to.
    fn read_on(&mut self, id: JobId, ctx: &mut Context<Self>) {
        let reach = self.reach(id);
        let Some(run) = self.runs.get_mut(&id) else { return };
        if run.reading || run.all_read || run.next.len() > FEW {
            return;
        }
        run.reading = true;
        let store = self.around.store.clone();
        let query = JobDeviceQuery::stretch(id, &[StepState::Queued], (run.read_to, reach), PAGE);
        let (serial, page) = (run.serial, async move { store.job_devices(&query).await });
        ctx.spawn(page.into_actor(self).map(move |page, this, ctx| {
            this.page_read((id, serial), page, ctx);
        }));
    }

    fn page_read(
        &mut self,
        (id, serial): (JobId, u64),
        page: Result<JobDevicePage, StoreError>,
        ctx: &mut Context<Self>,
    ) {
        let Some(run) = self.run(id, serial) else { return };
        let page = match page {
            Ok(page) => page,
            Err(error) => {
                warn!(job = %id, %error, "could not read a job's devices, trying again");
                ctx.run_later(STORE_AGAIN, move |this, ctx| {
                    if let Some(run) = this.run(id, serial) {
                        run.reading = false;
                    }
                    this.feed(ctx);
                });
                return;
            }
        };
        run.reading = false;
        run.all_read = (page.devices.len() as u64) < PAGE;
        for JobDevice { device, number, place, .. } in page.devices {
            run.read_to = place + 1;
            run.next.push_back((place, device, number));
        }
        if run.is_through() {
            self.count(id, ctx);
        }
        self.feed(ctx);
    }

    /// All had their turn, and some are queued still: they get another.
    pub(super) fn pass_again(&mut self, id: JobId, ctx: &mut Context<Self>) {
        let Some(run) = self.runs.get_mut(&id) else { return };
        (run.read_to, run.all_read) = (0, false);
        run.passes += 1;
        if run.passes <= MOST_PASSES {
            return self.feed(ctx);
        }
        error!(job = %id, "devices had their turns and are queued still, giving them up");
        run.writing = true;
        let sweep = Sweep {
            job: id,
            from: vec![StepState::Queued],
            places: (0, u64::MAX),
            to: StepState::Failed,
            detail: "nothing came of its turns".into(),
            at: self.around.clock.now(),
        };
        self.sweep_parts(sweep, ctx, move |this, last, ctx| {
            this.note(vec![last], ctx, move |this, ctx| this.ready(id, ctx));
        });
    }
}
