//! The archive: answers queries from the store, and now and then has the store compact its events. Reads go beside the
//! writer and beside each other.

use std::sync::Arc;
use std::time::Duration;

use actix::fut::ActorFutureExt;
use actix::{Actor, AsyncContext, Context, Handler, Message, ResponseFuture, SpawnHandle, WrapFuture};
use tracing::warn;

use crate::clock::retention::RetentionClock;
use crate::messages::archive::{
    BucketHistory, FindAlarm, FindCertificate, FindCommand, FindEvents, FindExtent, FindPastEvents, FindRun,
    FindSerial, FindSerialHolder, FindToken, LastRuns, ListAlarms, ListCommands, ListDeliveries, ListDevices,
    ListJobDevices, ListRuns, LoadTwins, PastEvents, RawHistory, ReadingStatistics, Replay, ReplayPage,
    SerialHolder, StopCompaction,
};
use crate::messages::timers::ClockMoved;
use twinhub_domain::{Clock, Timestamp};
use twinhub_store::{ClockDoubt, Head, Replayed, Store, StoreError};

/// The interval in which old entries of the audit are looked for, in ms: they are few.
const AUDIT_EVERY_MS: u64 = 60 * 60 * 1_000;

/// The actor that reads from the store and maintains it.
pub struct Archive {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    retention: RetentionClock,
    /// The doubt about the clock as it is stored.
    kept: ClockDoubt,
    maintain_every: Duration,
    /// The retention of the audit, in ms; none: for good.
    keep_audit_ms: Option<i64>,
    /// The uptime at which old entries of the audit were looked for, in ms.
    audit_expired_at: Option<u64>,
    /// The next making of order, or the wait for it.
    maintaining: Option<SpawnHandle>,
}

impl Archive {
    /// An archive over `store`, whose state at the hub's start was `head`.
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        head: &Head,
        maintain_every: Duration,
        keep_audit: Option<Duration>,
    ) -> Self {
        let mut retention = RetentionClock::new(head.doubt, clock.uptime_ms());
        if let Some(last) = head.at {
            retention.moved(clock.now().millis().saturating_sub(last.millis()), clock.uptime_ms());
        }
        let (kept, maintaining) = (head.doubt, None);
        let keep_audit_ms = keep_audit.map(|keep| i64::try_from(keep.as_millis()).unwrap_or(i64::MAX));
        let audit_expired_at = None;
        Self { store, clock, retention, kept, maintain_every, keep_audit_ms, audit_expired_at, maintaining }
    }

    /// Has old entries of the audit removed, where it is time for that.
    fn expire_audit(&mut self, now: Timestamp) -> impl Future<Output = ()> + use<> {
        let uptime = self.clock.uptime_ms();
        let is_due = self.audit_expired_at.is_none_or(|at| uptime.saturating_sub(at) >= AUDIT_EVERY_MS);
        if is_due {
            self.audit_expired_at = Some(uptime);
        }
        let keep_ms = self.keep_audit_ms.filter(|_| is_due);
        let work = keep_ms.map(|keep_ms| (keep_ms, Arc::clone(&self.store).access()));
        async move {
            if let Some((keep_ms, store)) = work
                && let Err(error) = store.expire_audit(now.plus_millis(-keep_ms)).await
            {
                warn!(%error, "could not remove old entries of the audit, trying again in an hour");
            }
        }
    }

    /// Has the store keep how far the clock is doubted, where that is another than before.
    fn keep_doubt(&mut self) -> impl Future<Output = ()> + use<> {
        let (store, doubt) = (Arc::clone(&self.store), self.retention.doubt());
        let is_new = std::mem::replace(&mut self.kept, doubt) != doubt;
        async move {
            if is_new && let Err(error) = store.doubt(doubt).await {
                warn!(%error, "could not store that the clock leapt ahead: a start before it is set right may delete data");
            }
        }
    }

    fn maintain_later(&mut self, ctx: &mut Context<Self>) {
        let every = self.maintain_every;
        let next = async move { tokio::time::sleep(every).await }.into_actor(self);
        let next = next.then(|(), this: &mut Self, _| {
            let store = Arc::clone(&this.store);
            let now = this.retention.now(this.clock.now(), this.clock.uptime_ms());
            let (doubted, audit) = (this.keep_doubt(), this.expire_audit(now));
            let work = async move {
                doubted.await;
                audit.await;
                if let Err(error) = store.maintain(now).await {
                    warn!(%error, "could not put the store in order, trying again");
                }
            };
            work.into_actor(this)
        });
        let next = next.map(|(), this: &mut Self, ctx| this.maintain_later(ctx));
        self.maintaining = Some(ctx.spawn(next));
    }
}

impl Actor for Archive {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.maintain_later(ctx);
    }
}

impl Handler<ClockMoved> for Archive {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, ClockMoved { from, to }: ClockMoved, _: &mut Context<Self>) -> ResponseFuture<()> {
        self.retention.moved(to.millis().saturating_sub(from.millis()), self.clock.uptime_ms());
        Box::pin(self.keep_doubt())
    }
}

impl Handler<StopCompaction> for Archive {
    type Result = ();

    fn handle(&mut self, _: StopCompaction, ctx: &mut Context<Self>) {
        // In its midst too: order that is half made is made again at the next start. Left running, it would
        // hold a connection beyond the end of the runtime that connections need to be given back in.
        if let Some(maintaining) = self.maintaining.take() {
            ctx.cancel_future(maintaining);
        }
    }
}

/// A handler that answers one message with one call of the store.
macro_rules! answer {
    ($message:ident: |$store:ident, $query:ident| $call:expr) => {
        impl Handler<$message> for Archive {
            type Result = ResponseFuture<<$message as Message>::Result>;

            fn handle(&mut self, $query: $message, _: &mut Context<Self>) -> Self::Result {
                let $store = Arc::clone(&self.store);
                Box::pin(async move { $call.await })
            }
        }
    };
}

answer!(ListDevices: |store, query| store.devices(&query.0));
answer!(FindToken: |store, query| store.find_token(&query.0));
answer!(FindCertificate: |store, query| store.find_certificate(&query.0));
answer!(FindSerial: |store, query| store.find_serial(&query.0));
answer!(RawHistory: |store, query| store.raw_history(&query.0));
answer!(BucketHistory: |store, query| store.bucket_history(&query.0));
answer!(ReadingStatistics: |store, query| store.statistics(&query.0));
answer!(FindExtent: |store, query| store.extent(query.0));
answer!(FindEvents: |store, query| store.events(&query.0));
answer!(LoadTwins: |store, query| store.load(&query.0));
answer!(Replay: |store, query| replay(&*store, query));
answer!(FindSerialHolder: |store, query| serial_holder(&*store, query));
answer!(ListCommands: |store, query| store.commands(&query.0));
answer!(FindCommand: |store, query| store.command(query.0));
answer!(ListRuns: |store, query| store.runs(&query.0));
answer!(FindRun: |store, query| store.run(query.0));
answer!(LastRuns: |store, query| store.last_runs(&query.0));
answer!(ListAlarms: |store, query| store.alarms(&query.0));
answer!(FindAlarm: |store, query| store.alarm(query.0));
answer!(ListDeliveries: |store, query| store.deliveries(&query.0));
answer!(ListJobDevices: |store, query| store.job_devices(&query.0));
answer!(FindPastEvents: |store, query| PastEvents::read(&*store, query));

async fn replay(store: &dyn Store, Replay { after, up_to, limit }: Replay) -> Result<ReplayPage, StoreError> {
    let Replayed { events, pruned } = store.replay(after, up_to, limit).await?;
    let range = events.first().zip(events.last()).map(|(first, last)| (first.seq, last.seq));
    Ok(ReplayPage { events, range, pruned })
}

async fn serial_holder(
    store: &dyn Store,
    FindSerialHolder(serial): FindSerialHolder,
) -> Result<SerialHolder, StoreError> {
    let found = store.find_serial(&serial).await?;
    Ok(found.map_or(SerialHolder::Nobody, |twin| SerialHolder::Device(twin.id)))
}
