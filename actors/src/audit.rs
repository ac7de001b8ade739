//! The audit trail: the one way by which entries of the audit are written that no change of the accounts takes along.
//!
//! A caller's change is made durable by its own actor; its entry is appended after that, and the caller is answered after
//! both. So whatever was answered has its entry, and a crash can only lose the entry of a change that nobody was told of,
//! made in the few milliseconds between the two. While one append is being written the next entries gather, so many share
//! one commit. A store that fails keeps entries waiting, [`MOST_WAITING`] at most.

mod refusals;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use actix::{Actor, ActorContext, ActorFutureExt, Addr, AsyncContext, Context, Handler, Message, WrapFuture};
use tokio::sync::oneshot;
use tracing::{error, warn};
use twinhub_access::AuditEntry;
use twinhub_domain::Clock;
use twinhub_store::AccessStore;

use crate::backoff::STORE_AGAIN;
use crate::counters::Counters;
use crate::mailbox::send_reply;
use crate::messages::audit::{AppendAudit, FlushAudit, NoteRefusal};
use refusals::Refusals;

/// Entries that wait for a store that fails; further ones are dropped, counted and logged. Some MB.
const MOST_WAITING: usize = 10_000;
/// The interval in which refusals are written.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Writes refusals that are due.
#[derive(Message)]
#[rtype(result = "()")]
struct WriteRefusals;

/// Stops: the hub is shutting down.
#[derive(Message)]
#[rtype(result = "()")]
struct StopAudit;

/// The actor that appends to the audit.
pub struct AuditTrail {
    store: Arc<dyn AccessStore>,
    clock: Arc<dyn Clock>,
    counters: Arc<Counters>,
    waiting: Vec<AuditEntry>,
    /// Told when all that waits now is durable.
    owed: Vec<oneshot::Sender<()>>,
    refusals: Refusals,
    writing: bool,
}

impl AuditTrail {
    /// A trail that appends to `store`.
    #[must_use]
    pub fn new(store: Arc<dyn AccessStore>, clock: Arc<dyn Clock>, counters: Arc<Counters>) -> Self {
        let (waiting, owed, refusals, writing) = (Vec::new(), Vec::new(), Refusals::default(), false);
        Self { store, clock, counters, waiting, owed, refusals, writing }
    }

    fn add(&mut self, entries: Vec<AuditEntry>) {
        let room = MOST_WAITING.saturating_sub(self.waiting.len());
        if entries.len() > room {
            let dropped = entries.len() - room;
            self.counters.audit_dropped.fetch_add(dropped as u64, Ordering::Relaxed);
            error!(dropped, "entries of the audit are lost: the store does not take them in");
        }
        self.waiting.extend(entries.into_iter().take(room));
    }

    /// Writes what waits, unless that is being done.
    fn write(&mut self, ctx: &mut Context<Self>) {
        if self.writing {
            return;
        }
        if self.waiting.is_empty() {
            self.owed.drain(..).for_each(|reply| send_reply(reply, ()));
            return;
        }
        self.writing = true;
        let (entries, owed) = (std::mem::take(&mut self.waiting), std::mem::take(&mut self.owed));
        let store = Arc::clone(&self.store);
        // An append of which nobody knows whether it was made is made again: twice is better than not at all.
        let work = async move {
            let mut failed = false;
            while let Err(error) = store.append_audit(&entries).await {
                if !std::mem::replace(&mut failed, true) {
                    warn!(%error, entries = entries.len(), "the audit cannot be written, trying again");
                }
                tokio::time::sleep(STORE_AGAIN).await;
            }
        };
        ctx.spawn(work.into_actor(self).map(|(), this, ctx| {
            owed.into_iter().for_each(|reply| send_reply(reply, ()));
            this.writing = false;
            this.write(ctx);
        }));
    }
}

/// Has the trail write what it has, and stop. The store must not be asked any more after that.
pub(crate) async fn close(trail: &Addr<AuditTrail>) {
    let (reply, written) = oneshot::channel();
    // Gone is as good.
    if trail.send(FlushAudit { reply }).await.is_ok() {
        let _ = written.await;
    }
    let _ = trail.send(StopAudit).await;
}

impl Actor for AuditTrail {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.run_interval(LOOK_EVERY, |_, ctx| ctx.notify(WriteRefusals));
    }
}

impl Handler<AppendAudit> for AuditTrail {
    type Result = ();

    fn handle(&mut self, AppendAudit { entries, reply }: AppendAudit, ctx: &mut Context<Self>) {
        self.add(entries);
        self.owed.extend(reply);
        self.write(ctx);
    }
}

impl Handler<NoteRefusal> for AuditTrail {
    type Result = ();

    fn handle(&mut self, NoteRefusal(entry): NoteRefusal, _: &mut Context<Self>) {
        self.refusals.note(entry);
    }
}

impl Handler<FlushAudit> for AuditTrail {
    type Result = ();

    fn handle(&mut self, FlushAudit { reply }: FlushAudit, ctx: &mut Context<Self>) {
        let refused = self.refusals.take_all();
        self.add(refused);
        self.owed.push(reply);
        self.write(ctx);
    }
}

impl Handler<WriteRefusals> for AuditTrail {
    type Result = ();

    fn handle(&mut self, _: WriteRefusals, ctx: &mut Context<Self>) {
        // A hub that refuses nobody does not ask for the time twice a second.
        if !self.refusals.is_empty() {
            let due = self.refusals.take_due(self.clock.now());
            self.add(due);
        }
        self.write(ctx);
    }
}

impl Handler<StopAudit> for AuditTrail {
    type Result = ();

    fn handle(&mut self, _: StopAudit, ctx: &mut Context<Self>) {
        ctx.stop();
    }
}

#[cfg(test)]
mod tests;
