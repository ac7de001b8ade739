//! The actor that holds one device's twin. It hands each outcome to the journal and performs nothing.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use actix::{Actor, ActorContext, ActorFutureExt, Addr, AsyncContext, Context, Handler, WrapFuture};
use tokio::sync::oneshot;
use tracing::warn;

use crate::counters::{Counters, down, up};
use crate::domain::twin::Repeat;
use crate::domain::{Clock, Event, Input, Kind, Outcome, Refusal, Telemetry, Twin};
use crate::journal::Journal;
use crate::messages::journal::{Append, Barrier};
use crate::messages::supervisor::{IfUnknown, TwinStopped};
use crate::messages::twin::{PutAway, Read, Take};
use crate::mqtt::topics;
use crate::post::post;
use crate::receipt::{NotTaken, Receipt, Taken};
use crate::store::Store;
use crate::supervisor::Supervisor;

/// What every twin needs, shared by all: a twin itself carries one pointer to it.
pub struct Surroundings {
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    pub journal: Addr<Journal>,
    pub supervisor: Addr<Supervisor>,
    pub counters: Arc<Counters>,
}

/// See the module.
pub struct TwinActor {
    twin: Twin,
    incarnation: u32,
    /// It was told to stop.
    orderly: bool,
    /// Outcomes handed to the journal and not yet committed.
    pending: Arc<AtomicU32>,
    around: Arc<Surroundings>,
}

impl TwinActor {
    /// An actor for `twin`, as the store knows it. `incarnation` comes back when it stops.
    #[must_use]
    pub fn new(twin: Twin, incarnation: u32, around: Arc<Surroundings>) -> Self {
        up(&around.counters.twins);
        Self { twin, incarnation, orderly: false, pending: Arc::default(), around }
    }

    fn take(&mut self, take: Take, ctx: &mut Context<Self>) {
        let Take { input, cause, receipt, want_twin, if_unknown } = take;
        let now = self.around.clock.now();
        let begun = match (self.twin.is_new(), if_unknown) {
            (false, _) | (true, IfUnknown::Begin) => Ok(Outcome::default()),
            (true, IfUnknown::Appear) => self.twin.apply(Input::Appear, now, &cause),
            (true, IfUnknown::Refuse) => Err(Refusal::Unknown(self.twin.id.to_string())),
        };
        let deleted = matches!(input, Input::Delete);
        let outcome = begun.and_then(|mut outcome| {
            let more = self.twin.apply(input, now, &cause)?;
            outcome.events.extend(more.events);
            outcome.publishes.extend(more.publishes);
            outcome.repeated = more.repeated;
            Ok(outcome)
        });
        match outcome {
            Ok(outcome) => self.commit(outcome, deleted, receipt, want_twin),
            Err(refusal) => {
                up(&self.around.counters.inputs_refused);
                receipt.settle(Err(NotTaken::Refused(refusal)));
            }
        }
        if deleted {
            self.leave(ctx);
        }
    }

    fn leave(&mut self, ctx: &mut Context<Self>) {
        self.orderly = true;
        ctx.stop();
    }

    fn commit(&self, outcome: Outcome, deleted: bool, receipt: Receipt, want_twin: bool) {
        let Outcome { events, publishes, repeated } = outcome;
        // Readings are the many: the twin's row follows them later. All else is few and is written now.
        let beyond_readings = events.iter().any(|event: &Event| event.kind() != Kind::Telemetry);
        let state = (beyond_readings && !deleted).then(|| Box::new(self.twin.clone()));
        let taken = Taken {
            seq: None,
            version: self.twin.version,
            repeated,
            twin: want_twin.then(|| Box::new(self.twin.clone())),
        };
        let outgoing = publishes.into_iter().map(|p| topics::outgoing(0, &self.twin.id, p)).collect();
        self.pending.fetch_add(1, Ordering::AcqRel);
        let append = Append {
            events,
            state,
            removed: deleted.then_some(self.twin.number),
            outgoing,
            receipt,
            taken,
            pending: Arc::clone(&self.pending),
        };
        if post(&self.around.journal, append).is_err() {
            warn!(device_id = %self.twin.id, "the journal is gone, an outcome is lost with it");
        }
    }

    /// An old message that carries its own time: only the store knows whether it has been here.
    fn take_unless_stored(&mut self, take: Take, telemetry: &Telemetry, ctx: &mut Context<Self>) {
        let (Some(at), Some(identity)) = (telemetry.at, telemetry.identity()) else {
            return self.take(take, ctx);
        };
        let (around, number) = (Arc::clone(&self.around), self.twin.number);
        let lookup = async move {
            // What was handed over before must be in the store before the store is asked.
            committed(&around.journal).await;
            around.store.has_message(number, at, identity).await
        };
        ctx.spawn(lookup.into_actor(self).map(move |found, actor, ctx| match found {
            Ok(false) => actor.take(take, ctx),
            Ok(true) => {
                let outcome = Outcome { repeated: true, ..Outcome::default() };
                actor.commit(outcome, false, take.receipt, take.want_twin);
            }
            Err(error) => {
                warn!(device_id = %actor.twin.id, %error, "could not look a repeat up");
                drop(take); // lost: it is tried again
            }
        }));
    }
}

/// Waits until all that was told to the journal before is committed.
async fn committed(journal: &Addr<Journal>) {
    let (reply, done) = oneshot::channel();
    if post(journal, Barrier { reply }).is_ok() {
        let _ = done.await; // an error means the hub goes down
    }
}

impl Actor for TwinActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        // The supervisor holds a weak address, so it takes something that never ends to keep the actor from
        // ending by itself. This is nothing at all: not even its box takes memory.
        ctx.spawn(pending().into_actor(self));
    }
}

impl Handler<Take> for TwinActor {
    type Result = ();

    fn handle(&mut self, take: Take, ctx: &mut Context<Self>) {
        if let Input::Telemetry(telemetry) = &take.input
            && self.twin.repeat(telemetry) == Repeat::AskStore
        {
            let telemetry = telemetry.clone();
            return self.take_unless_stored(take, &telemetry, ctx);
        }
        self.take(take, ctx);
    }
}

impl Handler<Read> for TwinActor {
    type Result = ();

    fn handle(&mut self, Read { reply }: Read, _: &mut Context<Self>) {
        let twin = (!self.twin.is_new()).then(|| Box::new(self.twin.clone()));
        if self.pending.load(Ordering::Acquire) == 0 {
            let _ = reply.send(twin); // whoever asked may have gone
            return;
        }
        let journal = self.around.journal.clone();
        actix::spawn(async move {
            committed(&journal).await;
            let _ = reply.send(twin);
        });
    }
}

impl Handler<PutAway> for TwinActor {
    type Result = ();

    fn handle(&mut self, _: PutAway, ctx: &mut Context<Self>) {
        self.leave(ctx);
    }
}

/// However it ends, by order or by a panic, the supervisor is told.
impl Drop for TwinActor {
    fn drop(&mut self) {
        down(&self.around.counters.twins);
        let (device, incarnation, orderly) = (self.twin.id.clone(), self.incarnation, self.orderly);
        let stopped = TwinStopped { device, incarnation, orderly };
        let _ = post(&self.around.supervisor, stopped); // a hub that goes down has no supervisor
    }
}
