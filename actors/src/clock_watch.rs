//! Watches whether the wall clock was set, and has all parts follow that go by it.
//!
//! Small steps, as time services make them, are followed at once. A larger one is announced in the log and in the one
//! sequence, with both times; only when that is durable does the hub's own clock follow. So everything dated by the new
//! time comes behind the announcement in the sequence, for rules and for all readers of the past.

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorFutureExt, Addr, AsyncContext, Context, Handler, WrapFuture};
use tracing::warn;

use crate::archive::Archive;
use crate::fleet::jobs::Jobs;
use crate::interpreter::Interpreter;
use crate::journal::Journal;
use crate::mailbox::try_send_unbounded;
use crate::messages::journal::Append;
use crate::messages::timers::{ClockMoved, Tick};
use crate::timers::Timers;
use twinhub_domain::clock::CLOCK_JUMP_MS;
use twinhub_domain::run::AutomationSignal;
use twinhub_domain::{Cause, Clock, DeviceId, DeviceNumber, Event, EventBody, Timestamp};
use twinhub_mqtt::receipt;

/// The interval between two comparisons of the clocks.
const COMPARE_EVERY: Duration = Duration::from_secs(1);

/// Watches the system's clock for steps.
pub struct ClockWatch {
    pub clock: Arc<dyn Clock>,
    pub journal: Addr<Journal>,
    pub timers: Addr<Timers>,
    pub archive: Addr<Archive>,
    pub jobs: Addr<Jobs>,
    pub interpreter: Addr<Interpreter>,
    /// A move is being announced.
    pub is_moving: bool,
}

impl ClockWatch {
    fn compare(&mut self, ctx: &mut Context<Self>) {
        let by_ms = self.clock.ahead_ms();
        if self.is_moving || by_ms == 0 {
            return;
        }
        if by_ms.abs() <= CLOCK_JUMP_MS {
            self.clock.follow(by_ms);
            return;
        }
        self.is_moving = true;
        let from = self.clock.now();
        let moved = ClockMoved { from, to: from.plus_millis(by_ms) };
        let (journal, jobs, timers) = (self.journal.clone(), self.jobs.clone(), self.timers.clone());
        let (archive, interpreter) = (self.archive.clone(), self.interpreter.clone());
        let follow = async move {
            if tell(&journal, moved, false).await {
                // Before the clock follows: nothing is to be deleted, or to expire, in between. Who is gone is shutting
                // down.
                let _ = archive.send(moved).await;
                let _ = jobs.send(moved).await;
                let _ = interpreter.send(moved).await;
                let _ = timers.send(moved).await;
            }
        };
        ctx.spawn(follow.into_actor(self).map(|(), this, _| this.is_moving = false));
    }
}

/// Says in the log and in the sequence that the clock was set. True once that is durable.
pub async fn tell(journal: &Addr<Journal>, ClockMoved { from, to }: ClockMoved, while_down: bool) -> bool {
    let by_ms = to.millis().saturating_sub(from.millis());
    warn!(%from, %to, by_ms, while_down, "the clock was set: schedules and rules go on by the new time");
    let (receipt, settled) = receipt::channel();
    let event = event(AutomationSignal::ClockMoved { from, to, while_down }, to);
    let append =
        Append::with_kept(vec![event], Vec::new(), twinhub_store::AutomationChanges::default(), receipt);
    try_send_unbounded(journal, append).is_ok() && settled.await.is_ok_and(|settled| settled.is_ok())
}

fn event(signal: AutomationSignal, at: Timestamp) -> Event {
    Event {
        device: DeviceId::none(),
        number: DeviceNumber::default(),
        at: at.into(),
        received_at: at,
        body: EventBody::Signal(Box::new(signal)),
        cause: Cause::hub(),
    }
}

impl Actor for ClockWatch {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.run_interval(COMPARE_EVERY, Self::compare);
    }
}

impl Handler<Tick> for ClockWatch {
    type Result = ();

    fn handle(&mut self, _: Tick, ctx: &mut Context<Self>) {
        self.compare(ctx);
    }
}
