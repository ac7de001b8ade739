//! The supervisor: finds the twin an input is for, starts it from the store where it is not in memory,
//! starts it again where it died, and puts idle ones away.

mod serials;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use actix::{
    Actor, ActorFutureExt, Addr, Arbiter, ArbiterHandle, AsyncContext, Context, Handler, WeakAddr, WrapFuture,
};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::warn;

use crate::backoff::{Backoff, STORE_AGAIN};
use crate::counters::{add, get, up};
use crate::mailbox::{send_reply, try_send_unbounded};
use crate::messages::journal::Barrier;
use crate::messages::supervisor::{Deliver, IfUnknown, ReadTwin, TwinStopped};
use crate::messages::twin::{ApplyInput, ReadState, UnloadTwin};
use crate::twin::{TwinActor, TwinDeps};
use serials::{Owners, Sorted};
use twinhub_domain::receipt::NotAccepted;
use twinhub_domain::{DeviceId, DeviceNumber, Refusal, Twin};
use twinhub_store::{Store, StoreError};

/// Twins loaded with one query at most.
const MOST_IN_LOAD: usize = 500;
/// A twin's mailbox has no bound: the bound is at the ingress (see `try_send_unbounded`), and one that is met gives
/// every sender a place in a second queue, for nothing.
const MAILBOX: usize = 0;
/// The wait before a twin that died starts again; doubled for each death within [`QUIET`].
const RESTART: Backoff = Backoff::doubling(Duration::from_millis(50), Duration::from_secs(10));
/// A twin that lived this long is forgiven its earlier deaths.
const QUIET: Duration = Duration::from_secs(60);

/// The condition on which twins leave memory.
#[derive(Clone, Copy, Debug)]
pub struct IdlePolicy {
    pub after: Duration,
    /// Only while more twins than this are in memory.
    pub above: u64,
}

/// The actor that starts, stops and finds twins.
pub struct Supervisor {
    twins: HashMap<DeviceId, Slot>,
    /// Ids whose twins are to be loaded, in order of arrival.
    to_load: Vec<DeviceId>,
    loading: bool,
    next_number: i64,
    next_incarnation: u32,
    deaths: HashMap<DeviceId, Deaths>,
    idle: Option<IdlePolicy>,
    started: Instant,
    arbiters: Vec<ArbiterHandle>,
    make_deps: Option<MakeTwinDeps>,
    deps: Option<Arc<TwinDeps>>,
}

/// The surroundings hold the supervisor's own address, so they are made as it starts.
type MakeTwinDeps = Box<dyn FnOnce(Addr<Supervisor>) -> TwinDeps + Send>;

enum Slot {
    Live {
        /// Weak: a third as large, and ninety bytes less on the heap. A twin does not end for want of
        /// addresses, see its `started`.
        addr: WeakAddr<TwinActor>,
        incarnation: u32,
        /// Seconds since the supervisor's start at which it was last spoken to.
        used: u32,
    },
    /// Being loaded, or waiting for the old incarnation's outcomes to be committed.
    Coming(Vec<TwinRequest>),
    /// Told to leave, and not yet gone. Boxed: seldom met, and every slot is as large as the largest.
    Leaving(Box<Leaving>),
}

struct Leaving {
    incarnation: u32,
    waiting: Vec<TwinRequest>,
}

/// The result of a load.
type Loaded = (Vec<Twin>, Owners);

#[expect(clippy::large_enum_variant, reason = "nearly all are the large one")]
enum TwinRequest {
    Deliver(Deliver),
    ReadTwin(ReadTwin),
}

struct Deaths {
    count: u32,
    last: Instant,
}

impl Supervisor {
    /// A supervisor that gives the next new device the number `next_number` and spreads its twins over
    /// `arbiters`.
    pub fn new(
        next_number: i64,
        idle: Option<IdlePolicy>,
        arbiters: Vec<ArbiterHandle>,
        surroundings: impl FnOnce(Addr<Self>) -> TwinDeps + Send + 'static,
    ) -> Self {
        Self {
            twins: HashMap::new(),
            to_load: Vec::new(),
            loading: false,
            next_number,
            next_incarnation: 1,
            deaths: HashMap::new(),
            idle,
            started: Instant::now(),
            arbiters,
            make_deps: Some(Box::new(surroundings)),
            deps: None,
        }
    }

    fn deps(&self) -> &Arc<TwinDeps> {
        // `started` has set it, and no message is handled before that.
        self.deps.as_ref().expect("the supervisor has started")
    }

    fn forward(&mut self, device: DeviceId, message: TwinRequest, ctx: &mut Context<Self>) {
        let now = self.seconds();
        match self.twins.entry(device) {
            Entry::Occupied(mut slot) => match slot.get_mut() {
                Slot::Live { addr, used, .. } => {
                    *used = now;
                    let Err(message) = send(addr, message) else { return };
                    // It has died and `TwinStopped` is on its way to us: wait for the new one.
                    let device = slot.key().clone();
                    *slot.get_mut() = Slot::Coming(vec![*message]);
                    self.restart(device, ctx);
                }
                Slot::Coming(waiting) => waiting.push(message),
                Slot::Leaving(leaving) => leaving.waiting.push(message),
            },
            Entry::Vacant(slot) => {
                self.to_load.push(slot.key().clone());
                slot.insert(Slot::Coming(vec![message]));
                self.load(ctx);
            }
        }
    }

    /// Loads waiting twins, one query at a time: ids that come meanwhile share the next.
    fn load(&mut self, ctx: &mut Context<Self>) {
        if self.loading || self.to_load.is_empty() {
            return;
        }
        self.loading = true;
        let ids: Vec<_> = self.to_load.drain(..self.to_load.len().min(MOST_IN_LOAD)).collect();
        let serials = ids.iter().filter_map(|id| Some((id.clone(), self.serial_waiting_for(id)?))).collect();
        let store = Arc::clone(&self.deps().store);
        let query = async move {
            let loaded = load_with_owners(&*store, &ids, serials).await;
            (ids, loaded)
        };
        ctx.spawn(query.into_actor(self).map(|(ids, loaded), this, ctx| {
            this.loading = false;
            this.loaded(ids, loaded, ctx);
            this.load(ctx);
        }));
    }

    fn loaded(&mut self, ids: Vec<DeviceId>, loaded: Result<Loaded, StoreError>, ctx: &mut Context<Self>) {
        let (twins, mut owners) = match loaded {
            Ok(loaded) => loaded,
            Err(error) => {
                warn!(%error, twins = ids.len(), "could not load twins, trying again");
                let retry = tokio::time::sleep(STORE_AGAIN).into_actor(self);
                ctx.spawn(retry.map(move |(), this, ctx| {
                    this.to_load.extend(ids);
                    this.load(ctx);
                }));
                return;
            }
        };
        let mut found: HashMap<DeviceId, Twin> =
            twins.into_iter().map(|twin| (twin.id.clone(), twin)).collect();
        for id in ids {
            let Some(Slot::Coming(waiting)) = self.twins.remove(&id) else { continue };
            let waiting: Vec<_> = match found.remove(&id) {
                Some(twin) => {
                    self.start(twin);
                    waiting
                }
                None => match serials::sort(&id, waiting, &mut owners) {
                    Ok(Sorted { elsewhere, here }) => {
                        let (owner, theirs) = elsewhere.unwrap_or_else(|| (id.clone(), Vec::new()));
                        for message in theirs {
                            self.forward(owner.clone(), message, ctx);
                        }
                        self.begin(&id, here)
                    }
                    Err(waiting) => {
                        self.twins.insert(id.clone(), Slot::Coming(waiting));
                        self.to_load.push(id);
                        continue;
                    }
                },
            };
            for message in waiting {
                self.forward(id.clone(), message, ctx);
            }
        }
    }

    fn serial_waiting_for(&self, id: &DeviceId) -> Option<Box<str>> {
        let Some(Slot::Coming(waiting)) = self.twins.get(id) else { return None };
        serials::of(waiting)
    }

    /// Begins an unknown device. Refuses inputs for known devices only; starts a new twin if any input is left for it,
    /// and gives those back.
    fn begin(&mut self, id: &DeviceId, waiting: Vec<TwinRequest>) -> Vec<TwinRequest> {
        let mut left = Vec::new();
        for message in waiting {
            match message {
                TwinRequest::ReadTwin(ReadTwin { reply, .. }) if left.is_empty() => {
                    send_reply(reply, None);
                }
                TwinRequest::Deliver(deliver)
                    if left.is_empty()
                        && matches!(deliver.if_unknown, IfUnknown::Refuse | IfUnknown::RefuseUnless(_)) =>
                {
                    up(&self.deps().counters.inputs_refused);
                    deliver.receipt.settle(Err(NotAccepted::Refused(Refusal::Unknown(id.to_string()))));
                }
                message => left.push(message),
            }
        }
        if !left.is_empty() {
            let number = DeviceNumber(self.next_number);
            self.next_number += 1;
            self.start(Twin::new(id.clone(), number, self.deps().clock.now()));
        }
        left
    }

    fn start(&mut self, twin: Twin) {
        let id = twin.id.clone();
        let incarnation = self.next_incarnation;
        self.next_incarnation = self.next_incarnation.wrapping_add(1);
        let deps = Arc::clone(self.deps());
        let addr = TwinActor::start_in_arbiter(&self.arbiter(&id), move |ctx| {
            ctx.set_mailbox_capacity(MAILBOX);
            TwinActor::new(twin, incarnation, deps)
        });
        self.twins.insert(id, Slot::Live { addr: addr.downgrade(), incarnation, used: self.seconds() });
    }

    fn arbiter(&self, id: &DeviceId) -> ArbiterHandle {
        let mut hasher = DefaultHasher::new();
        id.hash(&mut hasher);
        #[expect(clippy::cast_possible_truncation, reason = "any bits of a hash will do")]
        let index = hasher.finish() as usize % self.arbiters.len().max(1);
        self.arbiters.get(index).cloned().unwrap_or_else(Arbiter::current)
    }

    /// Starts a twin again from the store once the outcomes of its last incarnation are in there.
    fn restart(&mut self, device: DeviceId, ctx: &mut Context<Self>) {
        let wait = self.note_death(&device);
        let journal = self.deps().journal.clone();
        let ready = async move {
            tokio::time::sleep(wait).await;
            let (reply, committed) = oneshot::channel();
            if try_send_unbounded(&journal, Barrier { reply }).is_ok() {
                let _ = committed.await; // an error means that the hub shuts down
            }
        };
        ctx.spawn(ready.into_actor(self).map(move |(), this, ctx| {
            this.to_load.push(device);
            this.load(ctx);
        }));
    }

    /// The wait before this device's twin starts again.
    fn note_death(&mut self, device: &DeviceId) -> Duration {
        let now = Instant::now();
        self.deaths.retain(|_, deaths| now - deaths.last < QUIET);
        match self.deaths.get(device) {
            None => Duration::ZERO,
            Some(deaths) => RESTART.wait(deaths.count).unwrap_or(RESTART.longest),
        }
    }

    /// Remembers the death of a twin, for the back-off.
    fn died(&mut self, device: &DeviceId) {
        up(&self.deps().counters.twins_restarted);
        let now = Instant::now();
        let deaths = self.deaths.entry(device.clone()).or_insert(Deaths { count: 0, last: now });
        deaths.count += 1;
        deaths.last = now;
    }

    fn unload_idle(&mut self) {
        let Some(IdlePolicy { after, above }) = self.idle else { return };
        let now = self.seconds();
        let counters = Arc::clone(&self.deps().counters);
        let mut too_many = get(&counters.twins).saturating_sub(above);
        for slot in self.twins.values_mut() {
            let Slot::Live { addr, incarnation, used } = slot else { continue };
            if too_many == 0 {
                break;
            }
            if u64::from(now.saturating_sub(*used)) >= after.as_secs()
                && try_send_unbounded(addr, UnloadTwin).is_ok()
            {
                let leaving = Leaving { incarnation: *incarnation, waiting: Vec::new() };
                *slot = Slot::Leaving(Box::new(leaving));
                too_many -= 1;
                add(&counters.twins_put_away, 1);
            }
        }
    }

    fn seconds(&self) -> u32 {
        u32::try_from(self.started.elapsed().as_secs()).unwrap_or(u32::MAX)
    }
}

async fn load_with_owners(
    store: &dyn Store,
    ids: &[DeviceId],
    serials: Vec<(DeviceId, Box<str>)>,
) -> Result<Loaded, StoreError> {
    let twins = store.load(ids).await?;
    let owners = serials::owners(store, &twins, serials).await?;
    Ok((twins, owners))
}

fn send(to: &WeakAddr<TwinActor>, message: TwinRequest) -> Result<(), Box<TwinRequest>> {
    match message {
        TwinRequest::Deliver(Deliver {
            device,
            input,
            cause,
            receipt,
            if_unknown,
            if_version,
            want_twin,
        }) => try_send_unbounded(to, ApplyInput { input, cause, receipt, want_twin, if_unknown, if_version })
            .map_err(|take| {
                let ApplyInput { input, cause, receipt, want_twin, if_unknown, if_version } = take;
                Box::new(TwinRequest::Deliver(Deliver {
                    device,
                    input,
                    cause,
                    receipt,
                    if_unknown,
                    if_version,
                    want_twin,
                }))
            }),
        TwinRequest::ReadTwin(ReadTwin { device, reply }) => try_send_unbounded(to, ReadState { reply })
            .map_err(|ReadState { reply }| Box::new(TwinRequest::ReadTwin(ReadTwin { device, reply }))),
    }
}

impl Actor for Supervisor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        if let Some(make) = self.make_deps.take() {
            self.deps = Some(Arc::new(make(ctx.address())));
        }
        if let Some(idle) = self.idle {
            let often = (idle.after / 4).clamp(Duration::from_millis(100), Duration::from_secs(60));
            ctx.run_interval(often, |this, _| this.unload_idle());
        }
    }
}

impl Handler<Deliver> for Supervisor {
    type Result = ();

    fn handle(&mut self, deliver: Deliver, ctx: &mut Context<Self>) {
        self.forward(deliver.device.clone(), TwinRequest::Deliver(deliver), ctx);
    }
}

impl Handler<ReadTwin> for Supervisor {
    type Result = ();

    fn handle(&mut self, read: ReadTwin, ctx: &mut Context<Self>) {
        self.forward(read.device.clone(), TwinRequest::ReadTwin(read), ctx);
    }
}

impl Handler<TwinStopped> for Supervisor {
    type Result = ();

    fn handle(&mut self, stopped: TwinStopped, ctx: &mut Context<Self>) {
        let TwinStopped { device, incarnation: gone, orderly } = stopped;
        if !orderly {
            warn!(device_id = %device, "twin panicked, restarting it");
            self.died(&device);
        }
        match self.twins.get_mut(&device) {
            Some(Slot::Live { incarnation, .. }) if *incarnation == gone => {
                // Deleted or dead: the store will tell, once the last outcomes are in there.
                self.twins.insert(device.clone(), Slot::Coming(Vec::new()));
                self.restart(device, ctx);
            }
            Some(Slot::Leaving(leaving)) if leaving.incarnation == gone => {
                let waiting = std::mem::take(&mut leaving.waiting);
                if waiting.is_empty() {
                    self.twins.remove(&device);
                } else {
                    self.twins.insert(device.clone(), Slot::Coming(waiting));
                    self.restart(device, ctx);
                }
            }
            _ => {}
        }
    }
}
