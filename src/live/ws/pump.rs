//! The pump of one session: it holds the subscriptions, does what the client says, and passes frames to
//! the actor through a bounded outlet. It lives outside the actor, so a stalled connection cannot stop it.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::FuturesOrdered;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior};
use tracing::{debug, info};
use twinhub_actors::access::{Grant, Order};
use twinhub_actors::counters::add;
use twinhub_domain::cause::Source;
use twinhub_domain::twin::Change;
use twinhub_domain::{CommandId, CommandRequest, DeviceId, Input, Versions};

use super::said::{ClientFrame, Subscribe};
use super::wire;
use crate::api::commands::create::asked_for;
use crate::http::Access;
use crate::http::problem::ApiError;
use crate::live::subscription::{Ended, Gone, Outlet, Slots, Subscriptions, Told, in_group};

/// Frames that are passed to the actor at once.
pub(super) const BUNDLE: usize = 32;
/// How often a silent client is asked whether it is there.
const PING_EVERY: Duration = Duration::from_secs(15);
/// Who says nothing, and answers no ping, for this long is gone.
const SILENT_FOR: Duration = Duration::from_secs(60);
/// Changes of one session that wait for their commit. Beyond it the client waits, and then is told so.
const MOST_AT_ONCE: usize = 64;

/// What the actor sends.
pub(super) enum Out {
    Texts(Vec<String>),
    Ping,
    /// Close with 1001, and a reason.
    GoingDown,
}

/// When the client was last heard. Actor and pump live on one thread.
#[derive(Clone)]
pub(super) struct Heard(Rc<Cell<Instant>>);

/// Runs until the client leaves, is cut off, or the hub goes down.
pub(super) async fn run(
    access: &Access,
    outlet: Outlet<Out>,
    saying: mpsc::Receiver<ClientFrame>,
    heard: Heard,
) {
    let Ok(subscriptions) = Subscriptions::open(access).await else {
        let _ = outlet.send(Out::GoingDown).await; // nobody may be there any more
        return;
    };
    let hub = access.grant().by_way_of(Source::WebSocket);
    let pump =
        Pump { hub, outlet, subscriptions, prefix: Default::default(), changes: FuturesOrdered::new() };
    let Err(Gone) = pump.run(saying, &heard, access.state.closing()).await else { return };
    debug!("websocket client left");
}

struct Pump {
    hub: Grant,
    outlet: Outlet<Out>,
    subscriptions: Subscriptions,
    /// How the last event frame began: nearly always the next one begins the same.
    prefix: (Slots, String),
    /// Answers to changes that wait for their commit.
    changes: FuturesOrdered<LocalBoxFuture<'static, String>>,
}

impl Pump {
    async fn run(
        mut self,
        mut saying: mpsc::Receiver<ClientFrame>,
        heard: &Heard,
        mut closing: watch::Receiver<bool>,
    ) -> Result<(), Gone> {
        let mut tick = tokio::time::interval(PING_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.text(wire::hello(self.subscriptions.seq(), self.hub.now())).await?;
        loop {
            // Every branch loses nothing when another one is first.
            tokio::select! {
                biased;
                _ = closing.wait_for(|closing| *closing) => return self.outlet.send(Out::GoingDown).await,
                _ = tick.tick() => self.heartbeat(heard)?,
                said = saying.recv(), if self.changes.len() < MOST_AT_ONCE => {
                    self.said(said.ok_or(Gone)?).await?;
                }
                Some(answer) = self.changes.next(), if !self.changes.is_empty() => self.text(answer).await?,
                told = self.subscriptions.next() => match told {
                    Ok(told) => self.tell(told).await?,
                    Err(Ended) => return self.outlet.send(Out::GoingDown).await,
                },
            }
        }
    }

    fn heartbeat(&self, heard: &Heard) -> Result<(), Gone> {
        if heard.0.get().elapsed() > SILENT_FOR {
            info!("websocket client is silent, cut off");
            self.outlet.cut();
            return Err(Gone);
        }
        self.outlet.offer(Out::Ping); // where there is no room, plenty is on its way already
        Ok(())
    }

    async fn said(&mut self, said: ClientFrame) -> Result<(), Gone> {
        let answer = match said {
            ClientFrame::Subscribe(wish) => return self.subscribe(wish).await,
            ClientFrame::Unsubscribe { id } if self.subscriptions.unsubscribe(&id) => {
                self.prefix = Default::default(); // its place may be another's next
                wire::unsubscribed(&id)
            }
            ClientFrame::Unsubscribe { id } => {
                wire::error(Some(&id), "not_subscribed", "there is no subscription of this id")
            }
            ClientFrame::Ping { id } => wire::pong(id.as_deref()),
            ClientFrame::Desired { id, device, patch, if_version } => {
                let change = Change { patch: [("desired", patch.into())].into_iter().collect() };
                let if_version = if_version.map(Into::into);
                self.changes.push_back(Box::pin(make(self.hub.clone(), id, device, if_version, change)));
                return Ok(());
            }
            ClientFrame::Command { id, device, request } => {
                self.changes.push_back(Box::pin(ask(self.hub.clone(), id, device, request)));
                return Ok(());
            }
        };
        self.text(answer).await
    }

    async fn subscribe(&mut self, wish: Subscribe) -> Result<(), Gone> {
        let Subscribe { id, mut filter, group, since, snapshot } = wish;
        if let Some(group) = group {
            let as_of = self.subscriptions.seq();
            filter = match in_group(&self.hub, filter, &group, as_of).await {
                Ok(filter) => filter,
                Err(error) => return self.error(Some(&id), &error).await,
            };
        }
        self.prefix = Default::default(); // a slot may have another id now
        match self.subscriptions.subscribe(&id, filter, since, snapshot) {
            Ok((seq, told)) => {
                self.text(wire::subscribed(&id, seq)).await?;
                self.tell(told.into_iter().collect()).await
            }
            Err(error) => self.text(wire::error(Some(&id), error.code(), &error.to_string())).await,
        }
    }

    async fn tell(&mut self, told: Vec<Told>) -> Result<(), Gone> {
        let mut bundle = Vec::with_capacity(told.len().min(BUNDLE));
        for told in told {
            let frame = self.frame(&told);
            bundle.push(frame);
            if bundle.len() == BUNDLE {
                self.send(std::mem::take(&mut bundle)).await?;
            }
        }
        if bundle.is_empty() { Ok(()) } else { self.send(bundle).await }
    }

    fn frame(&mut self, told: &Told) -> String {
        let subscriptions = &self.subscriptions;
        match told {
            Told::Event { slots, event } => {
                if self.prefix.0 != *slots {
                    self.prefix = (*slots, wire::event_prefix(subscriptions.ids(*slots)));
                }
                wire::event(&self.prefix.1, event)
            }
            Told::Snapshot { slot, twins, last } => {
                let id = subscriptions.ids(Slots::one(*slot)).next().unwrap_or_default();
                wire::snapshot(id, twins, *last, self.hub.now())
            }
            Told::Lagged { missed, resume } => wire::lagged(*missed, *resume),
            Told::Resync { slots, seq } => wire::resync(*seq, subscriptions.ids(*slots)),
        }
    }

    async fn error(&self, id: Option<&str>, error: &ApiError) -> Result<(), Gone> {
        self.text(wire::error(id, error.code(), &error.to_string())).await
    }

    async fn text(&self, frame: String) -> Result<(), Gone> {
        self.send(vec![frame]).await
    }

    async fn send(&self, frames: Vec<String>) -> Result<(), Gone> {
        add(&self.hub.counters().frames_out, frames.len() as u64);
        self.outlet.send(Out::Texts(frames)).await
    }
}

/// Makes a change and gives back the answer to it.
async fn make(
    hub: Grant,
    id: Option<Box<str>>,
    device: DeviceId,
    if_version: Option<Versions>,
    change: Change,
) -> String {
    let input = Input::Change(Box::new(change));
    match hub.deliver(Order::new(device, input).if_version(if_version)).await {
        Ok(taken) => wire::result(id.as_deref(), taken.seq, taken.version),
        Err(error) => {
            let error = ApiError::from(error);
            wire::error(id.as_deref(), error.code(), &error.to_string())
        }
    }
}

/// Asks a device to do something and gives back the answer: that it is stored.
async fn ask(hub: Grant, id: Option<Box<str>>, device: DeviceId, request: Box<CommandRequest>) -> String {
    let command = CommandId(twinhub_actors::clock::new_id());
    let input = Input::Command { id: command, request, known: None, is_new: false };
    let taken = hub.deliver(Order::new(device, input)).await.map_err(ApiError::from);
    let asked =
        taken.and_then(|taken| Ok((asked_for(command, taken.repeated, taken.commands)?, taken.repeated)));
    match asked {
        Ok((command, repeated)) => wire::accepted(id.as_deref(), &command, repeated),
        Err(error) => wire::error(id.as_deref(), error.code(), &error.to_string()),
    }
}

impl Heard {
    /// Now.
    pub(super) fn now(&self) {
        self.0.set(Instant::now());
    }
}

impl Default for Heard {
    fn default() -> Self {
        Self(Rc::new(Cell::new(Instant::now())))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use twinhub_actors::access::Caller;
    use twinhub_actors::{Hub, Settings};
    use twinhub_domain::Timestamp;
    use twinhub_store::MemoryStore;
    use twinhub_testkit::ManualClock;

    use super::*;

    /// More than all that a session sends here, which nobody reads.
    const ROOM: usize = 100;

    async fn pump() -> (Pump, mpsc::Receiver<Out>) {
        let clock = ManualClock::at(Timestamp::from_millis(0));
        let hub = Hub::start(Arc::new(MemoryStore::default()), clock, Settings::default()).await.unwrap();
        let hub = hub.of(Caller::Anonymous, Source::WebSocket);
        let subscriptions = Subscriptions::open(&hub).await.unwrap();
        let (outlet, frames) = Outlet::new(ROOM, None);
        let changes = FuturesOrdered::new();
        (Pump { hub, outlet, subscriptions, prefix: Default::default(), changes }, frames)
    }

    #[actix_web::test]
    async fn who_is_silent_is_pinged_and_then_cut_off() {
        let (pump, mut frames) = pump().await;
        let (_said, saying) = mpsc::channel(1);
        let (_closing, closing) = watch::channel(false);
        tokio::time::pause();
        let (began, heard) = (Instant::now(), Heard::default());
        let ended = tokio::time::timeout(10 * SILENT_FOR, pump.run(saying, &heard, closing)).await;
        assert_eq!(ended.expect("it ends"), Err(Gone));
        let after = began.elapsed();
        assert!(after > SILENT_FOR && after <= SILENT_FOR + PING_EVERY, "{after:?}");
        let mut pings = 0;
        while let Some(frame) = frames.recv().await {
            pings += usize::from(matches!(frame, Out::Ping));
        }
        assert!(matches!(pings, 4 | 5), "at once, and every quarter of a minute: {pings}");
    }

    #[actix_web::test]
    async fn who_answers_now_and_then_stays() {
        let (pump, _frames) = pump().await;
        let (_said, saying) = mpsc::channel(1);
        let (_closing, closing) = watch::channel(false);
        tokio::time::pause();
        let heard = Heard::default();
        let answers = async {
            for _ in 0..20 {
                tokio::time::sleep(SILENT_FOR / 2).await;
                heard.now();
            }
        };
        tokio::select! {
            ended = pump.run(saying, &heard, closing) => panic!("it was cut off: {ended:?}"),
            () = answers => {}
        }
    }
}
