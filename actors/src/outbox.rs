//! The outbox: publishes durable messages to devices, in order, until the broker has acknowledged them. Messages
//! without an acknowledgement when the connection goes are published again, and all after them too: a device may get a
//! message twice, but the last that it gets is the newest. A message that has waited past its time does not go out any
//! more, nor does a command that is over meanwhile.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, Recipient, WrapFuture};
use futures_util::future::{Either, FutureExt as _, ready};
use tracing::warn;

use crate::backoff::Backoff;
use crate::counters::{Counters, up};
use crate::mailbox::try_send_unbounded;
use crate::messages::journal::OutgoingDelivered;
use crate::messages::outbox::PublishAll;
use crate::messages::supervisor::{Deliver, IfUnknown};
use twinhub_domain::receipt::Receipt;
use twinhub_domain::twin::Downlink;
use twinhub_domain::{Cause, Clock, CommandAttempt, CommandId, Input, Outgoing, Purpose, PurposeKind};
use twinhub_mqtt::topics;
use twinhub_mqtt::{Link, LinkError, Published};

/// Messages on their way at once: enough to fill a connection, few enough to send again.
const WINDOW: usize = 64;
/// Publishing again after a failure.
const PUBLISH: Backoff = Backoff::doubling(Duration::from_millis(100), Duration::from_secs(5));

/// Gives the outbox its way out, and its way back to the journal.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Connect {
    pub link: Arc<dyn Link>,
    pub journal: Recipient<OutgoingDelivered>,
    /// The receiver of reports that a message had no listener.
    pub supervisor: Recipient<Deliver>,
}

/// A message on its way.
struct QueuedMessage {
    message: Outgoing,
    /// It is not to go out any more.
    over: AtomicBool,
}

/// The actor that publishes to devices.
pub struct Outbox {
    way: Option<Connect>,
    clock: Arc<dyn Clock>,
    counters: Arc<Counters>,
    /// Not yet handed to the link.
    queue: VecDeque<Arc<QueuedMessage>>,
    /// Handed to the link, in order, each with whether it was acknowledged. One leaves when it and all
    /// before it were.
    window: VecDeque<(Arc<QueuedMessage>, bool)>,
    in_flight: usize,
    /// The wait that a failure asks for before anything more is sent.
    failed: Option<Duration>,
    /// Failures since something was acknowledged.
    failures: u32,
}

impl Outbox {
    /// An outbox with the stored messages.
    #[must_use]
    pub fn new(kept: Vec<Outgoing>, clock: Arc<dyn Clock>, counters: Arc<Counters>) -> Self {
        let with_purpose = |mut message: Outgoing| {
            message.purpose = message.purpose.take().or_else(|| topics::purpose(&message).map(Box::new));
            QueuedMessage::new(message)
        };
        let queue = kept.into_iter().map(with_purpose).collect();
        Self {
            way: None,
            clock,
            counters,
            queue,
            window: VecDeque::new(),
            in_flight: 0,
            failed: None,
            failures: 0,
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
            let left = message.message.until.map(|until| until.millis() - self.clock.now().millis());
            let is_stale = left.is_some_and(|left| left <= 0) || message.over.load(Ordering::Relaxed);
            self.window.push_back((Arc::clone(&message), is_stale));
            if is_stale {
                // As good as acknowledged: its sender has decided anew.
                up(&self.counters.messages_stale);
                self.forget_acknowledged();
                continue;
            }
            self.in_flight += 1;
            let link = Arc::clone(&link);
            let expires_in = left.and_then(|left| u64::try_from(left).ok()).map(Duration::from_millis);
            let mut publish = Box::pin(async move {
                let published = link.publish(&message.message, expires_in).await;
                (message, published)
            });
            // Polled once here, because the first poll gives a message its place in the connection's
            // order, and an actor does not poll its futures in the order in which they were spawned.
            let publish = match publish.as_mut().now_or_never() {
                Some(published) => Either::Left(ready(published)),
                None => Either::Right(publish),
            };
            ctx.spawn(
                publish
                    .into_actor(self)
                    .map(|(message, result), this, ctx| this.published(&message, result, ctx)),
            );
        }
    }

    fn published(
        &mut self,
        sent: &QueuedMessage,
        result: Result<Published, LinkError>,
        ctx: &mut Context<Self>,
    ) {
        self.in_flight -= 1;
        match result {
            Ok(published) => {
                up(&self.counters.messages_out);
                let id = sent.message.id;
                let found = self.window.iter_mut().find(|(waiting, _)| waiting.message.id == id);
                if let Some((_, acknowledged)) = found {
                    *acknowledged = true;
                }
                if published == Published::Unheard {
                    self.report_unheard(sent);
                }
            }
            Err(error) => {
                if self.failed.is_none() {
                    warn!(%error, "could not publish, trying again");
                }
                self.failed = PUBLISH.wait(self.failures.saturating_add(1));
            }
        }
        self.forget_acknowledged();
        match self.failed {
            None => self.pump(ctx),
            Some(wait) if self.in_flight == 0 => {
                self.failures = self.failures.saturating_add(1);
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
            ids.push(message.message.id);
            self.window.pop_front();
        }
        if ids.is_empty() {
            return;
        }
        self.failures = 0;
        if let Some(Connect { journal, .. }) = &self.way {
            // A hub that shuts down publishes them once more.
            let _ = try_send_unbounded(journal, OutgoingDelivered { ids });
        }
    }

    /// Reports to the twin that its device did not get the message.
    fn report_unheard(&self, sent: &QueuedMessage) {
        let Some(Connect { supervisor, .. }) = &self.way else { return };
        let Some(Purpose { device, kind }) = sent.message.purpose.as_deref().cloned() else { return };
        let input = match kind {
            PurposeKind::Command(CommandAttempt { command: id, attempt }) => {
                Input::CommandUndelivered { id, attempt }
            }
            PurposeKind::Desired => Input::Undelivered(Downlink::Desired),
            PurposeKind::Firmware => Input::Undelivered(Downlink::Firmware),
        };
        let (cause, receipt) = (Cause::hub(), Receipt::ignored());
        let (if_unknown, if_version) = (IfUnknown::Refuse, None);
        let deliver = Deliver { device, input, cause, receipt, if_unknown, if_version, want_twin: false };
        let _ = try_send_unbounded(supervisor, deliver);
    }

    /// Drops waiting messages of these commands, and recalls those that the broker still has.
    fn recall(&mut self, over: &[CommandId]) {
        // Both may be many: a hundred thousand that wait, and all commands of one commit.
        let over: HashSet<CommandId> = over.iter().copied().collect();
        let waiting = self.queue.iter().chain(self.window.iter().map(|(waiting, _)| waiting));
        for waiting in waiting {
            if waiting.message.attempt().is_some_and(|attempt| over.contains(&attempt.command)) {
                waiting.over.store(true, Ordering::Relaxed);
            }
        }
        if let Some(Connect { link, .. }) = &self.way {
            for command in over {
                link.recall(command);
            }
        }
    }
}

impl QueuedMessage {
    fn new(message: Outgoing) -> Arc<Self> {
        Arc::new(Self { message, over: AtomicBool::new(false) })
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

    fn handle(&mut self, PublishAll { outgoing, over }: PublishAll, ctx: &mut Context<Self>) {
        self.queue.extend(outgoing.into_iter().map(QueuedMessage::new));
        if !over.is_empty() {
            self.recall(&over);
        }
        self.pump(ctx);
    }
}

#[cfg(test)]
mod tests;
