//! How the engine comes to see what happens: events in their order, and between them the time.
//!
//! When it is late, after a stall or a sleep of the machine, it goes from deadline to deadline, and what comes of one
//! is done before the next: then too it does what it would have done in time.

use actix::{ActorFutureExt, AsyncContext, Context, WrapFuture};
use tokio::sync::{broadcast, oneshot};

use super::{Automation, Phase};
use crate::counters::get;
use crate::messages::journal::Barrier;
use crate::post::post;
use twinhub_domain::run::Signal;
use twinhub_domain::{EventBody, Recorded, Timestamp};

/// A deadline that is told later than this is late.
const LATE_MS: i64 = 1_000;
/// What was asked for holds the time back no longer than this.
const LONGEST_HOLD_MS: u64 = 2_000;
/// No more is read from the feed while so many events wait to be seen.
const ENOUGH: usize = 10_000;

impl Automation {
    /// Waits for the next batch of the feed.
    pub(super) fn pull(&mut self, ctx: &mut Context<Self>) {
        if !matches!(self.phase, Phase::Running) || self.queue.len() >= ENOUGH {
            return;
        }
        let Some(mut live) = self.live.take() else { return }; // it is waited for already
        let next = async move {
            let got = live.recv().await;
            (live, got)
        };
        ctx.spawn(next.into_actor(self).map(|(live, got), this, ctx| {
            this.live = Some(live);
            match got {
                Ok(batch) => {
                    this.queue.extend(batch.iter().cloned());
                    this.take_more();
                    this.after(ctx);
                }
                Err(broadcast::error::RecvError::Lagged(_)) => this.catch_up(ctx),
                Err(broadcast::error::RecvError::Closed) => return, // the hub goes down
            }
            this.pull(ctx);
        }));
    }

    /// What has come meanwhile, without a wait between.
    fn take_more(&mut self) {
        while let Some(live) = &mut self.live
            && self.queue.len() < ENOUGH
            && let Ok(batch) = live.try_recv()
        {
            self.queue.extend(batch.iter().cloned());
        }
    }

    /// The engine sees what waits to be seen, and its time goes on as far as everything was seen.
    pub(super) fn go_on(&mut self, ctx: &mut Context<Self>) {
        while matches!(self.phase, Phase::Running) {
            let next = self.engine.next();
            if let Some(recorded) = self.queue.front() {
                let until = self.time_before(recorded);
                match next.filter(|next| *next <= until && until.millis() - next.millis() > LATE_MS) {
                    Some(_) if self.holds_time() => return,
                    Some(late) => self.advance(late, ctx),
                    None => {
                        let Some(recorded) = self.queue.pop_front() else { return }; // it is there
                        if recorded.seq > self.cursor {
                            self.see(&recorded, true, ctx);
                        }
                    }
                }
            } else if let Some((now, seq)) = self.due
                && self.cursor >= seq
            {
                let now = self.engine.by_new_clock(now);
                match next.filter(|next| now.millis() - next.millis() > LATE_MS) {
                    Some(_) if self.holds_time() => return,
                    Some(late) => self.advance(late, ctx),
                    None => {
                        self.due = None;
                        self.advance(now, ctx);
                    }
                }
            } else {
                return;
            }
        }
    }

    /// The engine sees the next event.
    pub(super) fn see(&mut self, recorded: &Recorded, is_new: bool, ctx: &mut Context<Self>) {
        self.cursor = recorded.seq;
        if let EventBody::Signal(signal) = &recorded.event.body
            && matches!(**signal, Signal::ClockMoved { .. })
        {
            self.moves = self.moves.wrapping_add(1);
        }
        let step = self.engine.observe(recorded);
        self.take(step, is_new, ctx);
    }

    fn advance(&mut self, to: Timestamp, ctx: &mut Context<Self>) {
        let step = self.engine.advance(to);
        self.take(step, true, ctx);
        self.gather(ctx);
    }

    /// Late as it is, what was asked for is done first, unless that takes too long.
    fn holds_time(&mut self) -> bool {
        if self.under_way == 0 {
            self.held_since = None;
            return false;
        }
        let now = self.around.clock.uptime_ms();
        let since = *self.held_since.get_or_insert(now);
        now.saturating_sub(since) < LONGEST_HOLD_MS
    }

    /// A deadline is due: the engine's time goes on once it has seen all that happened before.
    pub(super) fn come_due(&mut self, ctx: &mut Context<Self>) {
        self.armed = None;
        let now = self.around.clock.now();
        self.comes_due = true;
        let (reply, committed) = oneshot::channel();
        let _ = post(&self.around.journal, Barrier { reply }); // gone, the wait ends
        ctx.spawn(committed.into_actor(self).map(move |committed, this, ctx| {
            this.comes_due = false;
            if committed.is_ok() {
                this.due = Some((now, get(&this.around.counters.seq)));
                this.when_ready(ctx, Self::after);
            }
        }));
    }

    /// Up to when the engine's time goes on before it sees this.
    fn time_before(&self, recorded: &Recorded) -> Timestamp {
        let received = || self.engine.by_new_clock(recorded.event.received_at);
        match &recorded.event.body {
            EventBody::Signal(signal) => match **signal {
                Signal::Started { down_since } => down_since,
                Signal::ClockMoved { from, .. } => from,
                _ => received(),
            },
            _ => received(),
        }
    }
}
