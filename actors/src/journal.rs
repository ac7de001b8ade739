//! The journal: the one place where events become durable. It gathers the twins' outcomes and commits them group by
//! group; the store gives every event its place in the sequence. While one group is being committed the next gathers, so a lone
//! message waits for nothing and a flood shares its commits. Only after the commit are receipts settled, subscribers
//! notified and messages sent to devices.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use actix::{Actor, ActorFutureExt, Addr, AsyncContext, Context, Handler, WrapFuture};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::{error, info};

use crate::backoff::Backoff;
use crate::counters::{Counters, add, up};
use crate::feed::Feed;
use crate::fine_timer::FineTimer;
use crate::gathering::GatherPace;
use crate::mailbox::{send_reply, try_send_unbounded};
use crate::messages::feed::Committed;
use crate::messages::journal::{Append, Barrier, CloseJournal, OutgoingDelivered};
use crate::messages::outbox::PublishAll;
use crate::outbox::Outbox;
use crate::places::Places;
use twinhub_domain::receipt::{Accepted, Receipt};
use twinhub_domain::{Clock, CommandStatus, Recorded};
use twinhub_store::{Batch, BatchPlace, CommandRecord, Head, JobOp, Store, StoreError};

/// The wait before a failed commit is tried again; doubled for each further one.
const COMMIT: Backoff = Backoff::doubling(Duration::from_millis(20), Duration::from_secs(1));
/// Delivered messages leave the outbox with the next commit, or after this alone: a commit for them at once would delay
/// the device's answer, which is on its way just then.
const SENT_WAIT: Duration = Duration::from_millis(100);

/// The parts that the journal works with.
pub struct JournalDeps {
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    pub feed: Addr<Feed>,
    pub outbox: Addr<Outbox>,
    /// Told of each commit before anybody else.
    pub places: Arc<Places>,
    pub counters: Arc<Counters>,
}

/// The actor that commits events.
pub struct Journal {
    deps: JournalDeps,
    most_in_commit: usize,
    waiting: VecDeque<Append>,
    sent: Vec<u64>,
    /// `sent` has waited long enough for company.
    sent_is_due: bool,
    committing: bool,
    /// The time since which [`GatherPace`] counts.
    started: std::time::Instant,
    pace: GatherPace,
    /// Waits while a group fills; none while it does, and where the system has none.
    fill_timer: Option<FineTimer>,
    /// The next group fills before it is committed.
    is_filling: bool,
    /// Outcomes received, and outcomes committed: a barrier waits until the second reaches the first.
    appended: u64,
    committed: u64,
    barriers: VecDeque<(u64, oneshot::Sender<()>)>,
    closed: bool,
    /// Told when it is closed and nothing is left to commit.
    closing: Vec<oneshot::Sender<()>>,
}

/// A group on its way to the store, with the receipts of its senders.
struct CommitGroup {
    batch: Batch,
    owed: Vec<OwedReceipt>,
    /// When its commit began, as [`crate::slow_messages::SlowMessages`] counts.
    begun: u64,
}

struct OwedReceipt {
    receipt: Receipt,
    taken: Accepted,
    /// The `seq` of its last event, relative to the group's place.
    last: Option<u64>,
    pending: Arc<std::sync::atomic::AtomicU32>,
}

impl Journal {
    /// A journal that goes on from the store's state `head`.
    #[must_use]
    pub fn new(deps: JournalDeps, head: &Head, most_in_commit: usize) -> Self {
        deps.counters.seq.store(head.seq, Ordering::Relaxed);
        Self {
            deps,
            most_in_commit: most_in_commit.max(1),
            waiting: VecDeque::new(),
            sent: Vec::new(),
            sent_is_due: false,
            committing: false,
            started: std::time::Instant::now(),
            pace: GatherPace::default(),
            fill_timer: None,
            is_filling: false,
            appended: 0,
            committed: 0,
            barriers: VecDeque::new(),
            closed: false,
            closing: Vec::new(),
        }
    }

    fn commit_next(&mut self, ctx: &mut Context<Self>) {
        if self.committing {
            return;
        }
        if self.waiting.is_empty() && !self.sent_is_due {
            for reply in self.closing.drain(..) {
                send_reply(reply, ());
            }
            return;
        }
        if !self.closed && !self.sent_is_due && self.goes_on_filling(ctx) {
            return;
        }
        self.committing = true;
        self.sent_is_due = false;
        self.pace.begins(self.started.elapsed());
        let mut group = self.next_group();
        let (store, counters) = (Arc::clone(&self.deps.store), Arc::clone(&self.deps.counters));
        let work = async move {
            let done = commit(&*store, &mut group.batch, &counters).await;
            done.map(|place| (group, place))
        };
        ctx.spawn(work.into_actor(self).map(|done, this, ctx| {
            this.committing = false;
            match done {
                Ok((group, place)) => {
                    this.pace.ends(this.started.elapsed());
                    this.settle(group, place);
                }
                Err(problem) => this.give_up(&problem),
            }
            this.commit_next(ctx);
        }));
    }

    /// Does the next group go on filling? Looks again when that is over.
    fn goes_on_filling(&mut self, ctx: &mut Context<Self>) -> bool {
        let (now, waiting) = (self.started.elapsed(), self.waiting.len());
        let fill = self.pace.fill_for(now, waiting, self.most_in_commit);
        if fill.is_zero() || self.is_filling {
            return !fill.is_zero();
        }
        let Some(timer) = self.fill_timer.take() else { return false };
        self.is_filling = true;
        let filled = async move {
            let has_passed = timer.wait(fill).await;
            has_passed.then_some(timer) // one that does not wait is of no use
        };
        ctx.spawn(filled.into_actor(self).map(|timer, this, ctx| {
            (this.fill_timer, this.is_filling) = (timer, false);
            this.commit_next(ctx);
        }));
        true
    }

    /// Stops for good where another program writes to the store, so the sequence is not ours any more. Outcomes that
    /// are not committed lose their receipts, so no sender has an acknowledgement for them.
    fn give_up(&mut self, problem: &StoreError) {
        error!(%problem, "another program writes to this hub's database: stopping, unacknowledged messages have to come again");
        self.closed = true;
        self.waiting.clear();
        self.sent.clear();
        self.sent_is_due = false;
        self.barriers.clear();
        self.closing.clear();
        self.deps.counters.store_failing.store(1, Ordering::Release);
        self.deps.counters.store_lost.set();
    }

    /// Makes a group of waiting outcomes, as many as one commit takes. Its places are relative, see [`Batch`].
    fn next_group(&mut self) -> CommitGroup {
        let mut events = Vec::with_capacity(self.waiting.len());
        let sent = std::mem::take(&mut self.sent);
        let mut batch = Batch { sent, ..Batch::empty(self.deps.clock.now()) };
        let mut seq = BatchPlace::RELATIVE.first_seq - 1;
        let mut latest = HashMap::new();
        let mut owed = Vec::with_capacity(self.waiting.len());
        while events.len() < self.most_in_commit
            && let Some(append) = self.waiting.pop_front()
        {
            let Append {
                events: happened,
                state,
                removed,
                commands,
                outgoing,
                automation,
                fleet,
                receipt,
                taken,
                pending,
            } = append;
            let last = (!happened.is_empty()).then(|| seq + happened.len() as u64);
            for event in happened {
                seq += 1;
                events.push(Arc::new(Recorded::new(seq, event)));
            }
            batch.twins.extend(state.map(|twin| (seq, *twin)));
            for record in commands {
                // Of one that changed more than once in this batch, the last.
                latest.insert(record.command.id, record);
            }
            if let Some(automation) = automation {
                batch.automation.absorb(*automation);
            }
            if let Some(fleet) = fleet {
                batch.fleet.absorb(*fleet);
            }
            batch.removed.extend(removed.map(|number| (seq, number)));
            for mut message in outgoing {
                message.id = BatchPlace::RELATIVE.first_outgoing + batch.outgoing.len() as u64;
                batch.outgoing.push(message);
            }
            owed.push(OwedReceipt { receipt, taken, last, pending });
        }
        batch.events = events.into();
        batch.commands = latest.into_values().collect();
        CommitGroup { batch, owed, begun: self.deps.counters.slow.now() }
    }

    /// Settles a group after the commit: the feed first, because people wait there in real time.
    fn settle(&mut self, CommitGroup { batch, owed, begun }: CommitGroup, place: BatchPlace) {
        let counters = Arc::clone(&self.deps.counters);
        let mut timed = counters.slow.committed(begun, &batch.events);
        let removed = batch.removed.iter().map(|(_, number)| *number);
        self.deps.places.commit(batch.twins.iter().map(|(_, twin)| twin), removed);
        if let Some(last) = batch.events.last() {
            counters.seq.store(last.seq, Ordering::Relaxed);
            add(&counters.events, batch.events.len() as u64);
            // The feed and the outbox live as long as the journal; if not, the hub is shutting down.
            let _ = try_send_unbounded(&self.deps.feed, Committed { events: batch.events });
        }
        let is_over = |record: &&CommandRecord| record.command.status != CommandStatus::Sent;
        let over: Vec<_> = batch.commands.iter().filter(is_over).map(|record| record.command.id).collect();
        if !batch.outgoing.is_empty() || !over.is_empty() {
            let _ = try_send_unbounded(&self.deps.outbox, PublishAll { outgoing: batch.outgoing, over });
        }
        if !batch.fleet.jobs.is_empty() {
            add(&counters.job_changes, batch.fleet.jobs.len() as u64);
            counters.changes_of_jobs.note(batch.fleet.jobs.iter().filter_map(JobOp::job));
        }
        add(&counters.inputs_committed, owed.len() as u64);
        self.committed += owed.len() as u64;
        for OwedReceipt { mut receipt, mut taken, last, pending } in owed {
            taken.seq = last.map(|last| place.seq(last)).or(taken.seq);
            if taken.repeated {
                up(&counters.inputs_repeated);
            }
            pending.fetch_sub(1, Ordering::AcqRel);
            timed.add(&mut receipt, taken.seq);
            receipt.settle(Ok(taken));
        }
        timed.settled();
        self.release_barriers();
    }

    fn release_barriers(&mut self) {
        while let Some((at, _)) = self.barriers.front()
            && *at <= self.committed
            && let Some((_, reply)) = self.barriers.pop_front()
        {
            send_reply(reply, ());
        }
    }

    fn wait_for_all(&mut self, reply: oneshot::Sender<()>) {
        if self.deps.counters.store_lost.is_set() {
            return; // dropped: what is waited for never comes
        }
        self.barriers.push_back((self.appended, reply));
        self.release_barriers();
    }
}

/// Commits `batch`, however often that takes. A batch that may have been committed, because the answer
/// got lost, is committed again: the store knows it by the mark of its first try.
///
/// # Errors
/// [`StoreError::Conflict`] alone: no try can succeed.
async fn commit(store: &dyn Store, batch: &mut Batch, counters: &Counters) -> Result<BatchPlace, StoreError> {
    let nothing = batch.events.is_empty()
        && batch.outgoing.is_empty()
        && batch.sent.is_empty()
        && batch.twins.is_empty()
        && batch.removed.is_empty()
        && batch.automation.is_empty()
        && batch.fleet.is_empty();
    if nothing {
        return Ok(BatchPlace::RELATIVE); // repeats alone: they had only to wait for their originals
    }
    let mut tries = 0;
    loop {
        let began = Instant::now();
        match store.commit(batch).await {
            Ok(place) => {
                up(&counters.commits);
                add(&counters.commit_micros, u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX));
                if counters.store_failing.swap(0, Ordering::AcqRel) == 1 {
                    info!("the store takes commits again");
                }
                return Ok(place);
            }
            Err(problem @ StoreError::Conflict { .. }) => {
                up(&counters.commits_failed);
                return Err(problem);
            }
            Err(problem) => {
                up(&counters.commits_failed);
                if counters.store_failing.swap(1, Ordering::AcqRel) == 0 {
                    error!(%problem, events = batch.events.len(), "commit failed, trying again until it is done");
                }
                tries += 1;
                tokio::time::sleep(COMMIT.wait(tries).unwrap_or(COMMIT.longest)).await;
            }
        }
    }
}

impl Actor for Journal {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Context<Self>) {
        self.fill_timer = FineTimer::new(); // on the runtime of this thread
    }
}

impl Handler<Append> for Journal {
    type Result = ();

    fn handle(&mut self, mut append: Append, ctx: &mut Context<Self>) {
        if self.closed {
            return; // its receipt is lost, so no caller is told that it was accepted
        }
        self.deps.counters.slow.handed_over(&mut append.receipt);
        self.appended += 1;
        self.pace.arrives(self.started.elapsed());
        self.waiting.push_back(append);
        self.commit_next(ctx);
    }
}

impl Handler<Barrier> for Journal {
    type Result = ();

    fn handle(&mut self, Barrier { reply }: Barrier, _: &mut Context<Self>) {
        self.wait_for_all(reply);
    }
}

impl Handler<OutgoingDelivered> for Journal {
    type Result = ();

    fn handle(&mut self, OutgoingDelivered { ids }: OutgoingDelivered, ctx: &mut Context<Self>) {
        if self.deps.counters.store_lost.is_set() {
            return;
        }
        if self.sent.is_empty() {
            ctx.run_later(SENT_WAIT, |this, ctx| {
                this.sent_is_due = !this.sent.is_empty();
                this.commit_next(ctx);
            });
        }
        self.sent.extend(ids);
    }
}

impl Handler<CloseJournal> for Journal {
    type Result = ();

    fn handle(&mut self, CloseJournal { reply }: CloseJournal, ctx: &mut Context<Self>) {
        if self.deps.counters.store_lost.is_set() {
            return; // dropped: what is waited for never comes
        }
        self.closed = true;
        self.closing.push(reply);
        self.sent_is_due = !self.sent.is_empty();
        self.commit_next(ctx);
    }
}
