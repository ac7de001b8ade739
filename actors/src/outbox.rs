//! The outbox: publishes to devices what the journal has made durable, in order, until the broker has
//! acknowledged it. What is not acknowledged when the connection goes is published again, and all after
//! it too: a device may hear a thing twice, but what it hears last is what was said last. What has waited
//! here past its time does not go out any more.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use actix::{Actor, ActorFutureExt, Addr, AsyncContext, Context, Handler, Message, WrapFuture};
use futures_util::future::{Either, FutureExt as _, ready};
use tracing::warn;

use crate::counters::{Counters, up};
use crate::domain::Clock;
use crate::journal::Journal;
use crate::messages::journal::Sent;
use crate::messages::outbox::PublishAll;
use crate::mqtt::{Link, LinkError, Outgoing};
use crate::post::post;

/// Messages on their way at once: enough to fill a connection, few enough to send again.
const WINDOW: usize = 64;
/// The wait after a failure; doubled for each further one.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Gives the outbox its way out, and its way back to the journal.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Connect {
    pub link: Arc<dyn Link>,
    pub journal: Addr<Journal>,
}

/// See the module.
pub struct Outbox {
    way: Option<Connect>,
    clock: Arc<dyn Clock>,
    counters: Arc<Counters>,
    /// Not yet handed to the link.
    queue: VecDeque<Arc<Outgoing>>,
    /// Handed to the link, in order, each with whether it was acknowledged. One leaves when it and all
    /// before it were.
    window: VecDeque<(Arc<Outgoing>, bool)>,
    in_flight: usize,
    /// The wait that a failure asks for before anything more is sent.
    failed: Option<Duration>,
    wait: Duration,
}

impl Outbox {
    /// An outbox with what the store has kept.
    #[must_use]
    pub fn new(kept: Vec<Outgoing>, clock: Arc<dyn Clock>, counters: Arc<Counters>) -> Self {
        let queue = kept.into_iter().map(Arc::new).collect();
        Self {
            way: None,
            clock,
            counters,
            queue,
            window: VecDeque::new(),
            in_flight: 0,
            failed: None,
            wait: FIRST_WAIT,
        }
    }

    fn pump(&mut self, ctx: &mut Context<Self>) {
        self.counters.outbox_waiting.store((self.queue.len() + self.window.len()) as u64, Ordering::Relaxed);
        let Some(Connect { link, .. }) = &self.way else { return };
        let link = Arc::clone(link);
        while self.failed.is_none()
            && self.window.len() < WINDOW
            && let Some(message) = self.queue.pop_front()
        {
            let left = message.until.map(|until| until.millis() - self.clock.now().millis());
            let is_stale = left.is_some_and(|left| left <= 0);
            self.window.push_back((Arc::clone(&message), is_stale));
            if is_stale {
                // As good as acknowledged: whoever wanted it has decided anew.
                up(&self.counters.messages_stale);
                self.forget_acknowledged();
                continue;
            }
            self.in_flight += 1;
            let link = Arc::clone(&link);
            let expires_in = left.and_then(|left| u64::try_from(left).ok()).map(Duration::from_millis);
            let mut publish = Box::pin(async move { (message.id, link.publish(&message, expires_in).await) });
            // Polled once here, because the first poll gives a message its place in the connection's
            // order, and an actor does not poll its futures in the order in which they were spawned.
            let publish = match publish.as_mut().now_or_never() {
                Some(published) => Either::Left(ready(published)),
                None => Either::Right(publish),
            };
            ctx.spawn(
                publish.into_actor(self).map(|(id, result), this, ctx| this.published(id, result, ctx)),
            );
        }
    }

    fn published(&mut self, id: u64, result: Result<(), LinkError>, ctx: &mut Context<Self>) {
        self.in_flight -= 1;
        match result {
            Ok(()) => {
                up(&self.counters.messages_out);
                if let Some((_, acknowledged)) = self.window.iter_mut().find(|(message, _)| message.id == id)
                {
                    *acknowledged = true;
                }
            }
            Err(error) => {
                if self.failed.is_none() {
                    warn!(%error, "could not publish, trying again");
                }
                self.failed = Some(self.wait);
            }
        }
        self.forget_acknowledged();
        match self.failed {
            None => self.pump(ctx),
            Some(wait) if self.in_flight == 0 => {
                self.wait = (self.wait * 2).min(LONGEST_WAIT);
                for (message, _) in self.window.drain(..).rev() {
                    self.queue.push_front(message);
                }
                ctx.run_later(wait, |this, ctx| {
                    this.failed = None;
                    this.pump(ctx);
                });
            }
            Some(_) => {}
        }
    }

    fn forget_acknowledged(&mut self) {
        let mut ids = Vec::new();
        while let Some((message, true)) = self.window.front() {
            ids.push(message.id);
            self.window.pop_front();
        }
        if ids.is_empty() {
            return;
        }
        self.wait = FIRST_WAIT;
        if let Some(Connect { journal, .. }) = &self.way {
            let _ = post(journal, Sent { ids }); // a hub that goes down publishes them once more
        }
    }
}

impl Actor for Outbox {
    type Context = Context<Self>;
}

impl Handler<Connect> for Outbox {
    type Result = ();

    fn handle(&mut self, way: Connect, ctx: &mut Context<Self>) {
        self.way = Some(way);
        self.pump(ctx);
    }
}

impl Handler<PublishAll> for Outbox {
    type Result = ();

    fn handle(&mut self, PublishAll { outgoing }: PublishAll, ctx: &mut Context<Self>) {
        self.queue.extend(outgoing.into_iter().map(Arc::new));
        self.pump(ctx);
    }
}
