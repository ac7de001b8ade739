//! The actor that holds one device's twin. It hands each outcome to the journal and performs nothing.

use std::collections::HashSet;
use std::future::pending;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use actix::{
    Actor, ActorContext, ActorFutureExt, Addr, AsyncContext, Context, Handler, Recipient, WrapFuture,
};
use tokio::sync::{Semaphore, oneshot};
use tracing::warn;

use crate::alarms::Alarms;
use crate::backoff::until_answered;
use crate::binding::record;
use crate::catalog::CatalogNow;
use crate::counters::{Counters, down, up};
use crate::journal::Journal;
use crate::known_devices::{DeviceAccess, KnownDevices, WatchedPlace};
use crate::limit_watch::LimitWatch;
use crate::mailbox::{send_reply, try_send_unbounded};
use crate::messages::alarms::ForgetDeviceAlarms;
use crate::messages::dialects::StatefulPublish;
use crate::messages::journal::{Append, Barrier};
use crate::messages::supervisor::{IfUnknown, TwinStopped};
use crate::messages::timers::Arm;
use crate::messages::twin::{ApplyInput, ReadState, UnloadTwin};
use crate::silence::HeardSince;
use crate::timers::Timers;
use crate::twin_registry::{TwinHandle, TwinRegistry};
use twinhub_domain::fleet::JobStep;
use twinhub_domain::reading::{ClockWindow, Telemetry};
use twinhub_domain::receipt::{Accepted, NotAccepted, Receipt};
use twinhub_domain::twin::{Repeat, SharedDetails};
use twinhub_domain::{
    Clock, Command, CommandId, DeviceId, DeviceNumber, Event, EventKind, Input, Outcome, Outgoing, Publish,
    ReadingTime, Refusal, Timestamp, Twin,
};
use twinhub_mqtt::dialects::{DialectListeners, Dialects, Encoded};
use twinhub_mqtt::subscribers::Subscribers;
use twinhub_rules::device_template::apply;
use twinhub_store::{CommandRecord, FleetChanges, FleetRecord, JobOp, Store, StoreError};

/// Questions that twins put to the store at once.
pub const LOOKUPS: usize = 8;

/// The parts that every twin needs, shared by all: a twin itself carries one pointer to it.
pub struct TwinDeps {
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    pub journal: Addr<Journal>,
    pub supervisor: Recipient<TwinStopped>,
    pub timers: Addr<Timers>,
    pub alarms: Addr<Alarms>,
    pub heard: Arc<HeardSince>,
    /// The templates that devices can have.
    pub catalog: Arc<CatalogNow>,
    pub registry: Arc<TwinRegistry>,
    /// The devices that clients spoke of.
    pub devices: Arc<KnownDevices>,
    /// The dialects that devices speak.
    pub dialects: Arc<Dialects>,
    /// The receiver of messages in dialects that have a state.
    pub interpreter: Recipient<StatefulPublish>,
    /// The listeners to messages for devices.
    pub subscribers: Arc<Subscribers>,
    /// Room for questions to the store.
    pub lookups: Semaphore,
    /// The times of devices that are believed.
    pub window: ClockWindow,
    /// The values that the twins in memory have in common.
    pub common: Mutex<SharedDetails>,
    pub counters: Arc<Counters>,
}

impl TwinDeps {
    /// Has a twin hold what others have, too, together with them. Most have nothing new of it: they need no turn.
    fn share(&self, twin: &mut Twin) {
        if !twin.is_shared() {
            twin.share(&mut self.common.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }
}

/// The actor of one device's twin.
pub struct TwinActor {
    /// Others read it too: see [`TwinRegistry`].
    twin: TwinHandle,
    incarnation: u32,
    /// The twin was stopped on request.
    orderly: bool,
    /// The next wake-up, as far as the timers know.
    armed: Option<Timestamp>,
    /// Outcomes handed to the journal and not yet committed.
    pending: Arc<AtomicU32>,
    limits: LimitWatch,
    deps: Arc<TwinDeps>,
}

impl TwinActor {
    /// An actor for `twin`, as the store knows it. `incarnation` comes back when it stops.
    #[must_use]
    pub fn new(mut twin: Twin, incarnation: u32, deps: Arc<TwinDeps>) -> Self {
        up(&deps.counters.twins);
        // As it was read, what it shares with others is its own.
        let catalog = deps.catalog.now();
        twin.setup.share_layer(|own| match catalog.get(&own.template) {
            Some(template) if template.layer == own => Arc::clone(&template.layer),
            _ => own,
        });
        deps.share(&mut twin);
        let number = twin.number;
        let twin = TwinHandle::new(twin);
        deps.registry.insert(number, &twin);
        let limits = LimitWatch::default();
        Self { twin, incarnation, orderly: false, armed: None, pending: Arc::default(), limits, deps }
    }

    fn apply(&mut self, take: ApplyInput, ctx: &mut Context<Self>) {
        let ApplyInput { input, cause, receipt, want_twin, if_unknown, if_version } = take;
        let now = self.deps.clock.now();
        let deleted = matches!(input, Input::Delete);
        let (is_of_device, is_of_life) = (input.is_of_device(), matches!(input, Input::SetLifecycle { .. }));
        let woken = matches!(input, Input::Wake { .. });
        if woken {
            self.armed = None; // by this wake
        }
        // Held until the journal has the outcome: a reader that has seen it can then wait for its commit.
        let mut twin = self.twin.write();
        let TwinDeps { subscribers, dialects, .. } = &*self.deps;
        let (catalog, listeners) = (|| self.deps.catalog.now(), &DialectListeners { subscribers, dialects });
        let (was_new, had_limits) = (twin.is_new(), twin.has_limits());
        // No word of a device changes its rights, and its messages are the many.
        let rights = |twin: &Twin| (DeviceAccess::of(twin), WatchedPlace::of(twin));
        let rights_before = (!is_of_device || was_new).then(|| rights(&twin));
        let begun = match (twin.is_new(), if_unknown) {
            (_, IfUnknown::RefuseUnless(number)) if twin.number != number => {
                Err(Refusal::Unknown(twin.id.to_string()))
            }
            (false, _) | (true, IfUnknown::Begin) => Ok(Outcome::default()),
            (true, IfUnknown::Appear) => apply(&mut twin, Input::Appear, now, &cause, listeners, catalog),
            (true, IfUnknown::Refuse | IfUnknown::RefuseUnless(_)) => {
                Err(Refusal::Unknown(twin.id.to_string()))
            }
        };
        let outcome = begun.and_then(|mut outcome| {
            twin.check_version(if_version.as_ref())?;
            outcome.join(apply(&mut twin, input, now, &cause, listeners, catalog)?);
            Ok(outcome)
        });
        let deleted = deleted && outcome.is_ok(); // or it was for one who had the id before, and this one lives on
        match outcome {
            // Woken too early, as most are: nobody waits to hear that nothing came of it.
            Ok(outcome) if woken && outcome == Outcome::default() => {
                receipt.settle(Ok(Accepted::default()));
                self.limits.look(&twin, had_limits, now, &self.deps.alarms);
            }
            Ok(outcome) => {
                self.deps.share(&mut twin);
                self.commit(&twin, outcome, deleted, receipt, want_twin);
                match deleted {
                    // A reader finds no twin from now on, before the first subscriber gets the event.
                    true => *twin = Twin::new(twin.id.clone(), twin.number, now),
                    false => self.limits.look(&twin, had_limits, now, &self.deps.alarms),
                }
            }
            Err(refusal) => {
                if was_new && !twin.is_new() {
                    // It appeared, and nobody will hear of it: it appears with what is taken.
                    *twin = Twin::new(twin.id.clone(), twin.number, now);
                }
                let counters = &self.deps.counters;
                up(&counters.inputs_refused);
                if is_of_device && refusal.is_of_service() {
                    up(&counters.messages_out_of_service);
                    counters.out_of_service.note(twin.number);
                }
                receipt.settle(Err(NotAccepted::Refused(refusal)));
            }
        }
        if let Some(before) = rights_before {
            self.deps.devices.changed(&twin.id, &before, &rights(&twin));
        }
        if deleted || is_of_life && !twin.lifecycle().is_out_of_service() {
            self.deps.counters.out_of_service.forget(twin.number);
        }
        drop(twin);
        if deleted {
            self.leave(ctx);
        } else {
            self.arm(now);
        }
    }

    /// Arms the timers for the next deadline. An entry for later than that is left as it is: woken too early, a twin
    /// finds nothing to do and arms again, which costs less than a message for each change.
    fn arm(&mut self, now: Timestamp) {
        let twin = self.twin.read();
        let silent = twin.silent_at(self.deps.heard.hearing(), now);
        let Some(at) = [twin.wake_at(now), silent, self.limits.due_at()].into_iter().flatten().min() else {
            return;
        };
        if self.armed.is_none_or(|armed| at < armed) {
            self.armed = Some(at);
            let _ = try_send_unbounded(&self.deps.timers, Arm { device: twin.id.clone(), at });
        }
    }

    fn leave(&mut self, ctx: &mut Context<Self>) {
        self.orderly = true;
        ctx.stop();
    }

    fn commit(&self, twin: &Twin, outcome: Outcome, deleted: bool, receipt: Receipt, want_twin: bool) {
        let Outcome { events, publishes, commands, steps, repeated, rejected } = outcome;
        // Readings are the many: the twin's row follows them later. All else is few and is written now.
        let beyond_readings = events.iter().any(|event: &Event| event.kind() != EventKind::Telemetry);
        let state = (beyond_readings && !deleted).then(|| Box::new(twin.clone()));
        let taken = Accepted {
            seq: None,
            version: twin.version,
            repeated,
            twin: want_twin.then(|| Box::new(twin.clone())),
            commands: commands.clone(),
            rejected,
        };
        // A repeat has changed none of the commands it gives back.
        let changed = if repeated { Vec::new() } else { commands };
        let record = |command| CommandRecord { device: twin.id.clone(), number: twin.number, command };
        let mut fleet = self.fleet(twin.number, steps);
        let mut outgoing = Vec::with_capacity(publishes.len());
        for publish in publishes {
            self.encode(&twin.id, publish, &mut outgoing, &mut fleet.records);
        }
        self.pending.fetch_add(1, Ordering::AcqRel);
        let append = Append {
            events,
            state,
            removed: deleted.then_some(twin.number),
            commands: changed.into_iter().map(record).collect(),
            outgoing,
            automation: None,
            fleet: (!fleet.is_empty()).then(|| Box::new(fleet)),
            receipt,
            taken,
            pending: Arc::clone(&self.pending),
        };
        if try_send_unbounded(&self.deps.journal, append).is_err() {
            warn!(device_id = %twin.id, "the journal has stopped, an outcome is lost with it");
        }
        if deleted {
            // Or the hub is shutting down.
            let _ = try_send_unbounded(&self.deps.alarms, ForgetDeviceAlarms { number: twin.number });
        }
    }

    fn fleet(&self, number: DeviceNumber, steps: Vec<JobStep>) -> FleetChanges {
        if steps.is_empty() {
            return FleetChanges::default();
        }
        let at = self.deps.clock.now();
        let jobs = steps.into_iter().map(|step| JobOp::Step { number, at, step }).collect();
        FleetChanges { jobs, ..FleetChanges::default() }
    }

    /// Says something in the dialect that the device speaks. What that has to keep of it is committed with it.
    fn encode(
        &self,
        device: &DeviceId,
        publish: Publish,
        outgoing: &mut Vec<Outgoing>,
        records: &mut Vec<FleetRecord>,
    ) {
        let TwinDeps { dialects, clock, interpreter, .. } = &*self.deps;
        let (dialect, Encoded { messages, keep }) = dialects.encode(device, &publish);
        let purpose = publish.purpose(device).map(Box::new);
        outgoing.extend(messages.into_iter().map(|message| Outgoing { purpose: purpose.clone(), ..message }));
        let Some(dialect) = dialect else { return };
        let (name, now) = (dialects.name(dialect), clock.now());
        records.extend(keep.iter().map(|binding| record(name, binding, now)));
        // Before the journal, and so before the device can answer.
        let spoken = StatefulPublish { dialect, device: device.clone(), publish, kept: keep };
        let _ = try_send_unbounded(interpreter, spoken); // gone, the hub shuts down
    }

    /// The look-up that an input needs in the store: is this old message a repeat; what is the status of a command that
    /// the twin has let go.
    fn needed_lookup(&self, input: &Input) -> Option<StoreLookup> {
        let twin = self.twin.read();
        match input {
            Input::Telemetry(telemetry) => self.message_lookup(&twin, std::slice::from_ref(telemetry)),
            Input::Batch(samples) => self.message_lookup(&twin, samples),
            Input::Command { request, known: None, is_new: false, .. } => {
                let key = request.idempotency_key.as_deref()?;
                twin.command_with_key(key).is_none().then(|| StoreLookup::Key(key.into()))
            }
            Input::CommandResult { id, known: None, .. } | Input::Cancel { id, known: None } => {
                twin.command(*id).is_none().then_some(StoreLookup::Command(*id))
            }
            _ => None,
        }
    }

    /// The samples that are from before the twin's memory of repeats.
    fn message_lookup(&self, twin: &Twin, samples: &[Telemetry]) -> Option<StoreLookup> {
        if samples.iter().all(|sample| sample.at.is_none()) {
            return None; // the twin alone can know those
        }
        let now = self.deps.clock.now();
        let is_old = |sample: &&Telemetry| twin.repeat(sample, now) == Repeat::AskStore;
        let known_by = |sample: &Telemetry| {
            let filed = twin.file(sample, now).ok()?;
            Some((filed.at, filed.identity?))
        };
        let old: Vec<_> = samples.iter().filter(is_old).filter_map(known_by).collect();
        (!old.is_empty()).then_some(StoreLookup::Messages(old))
    }

    fn apply_after_lookup(&mut self, question: StoreLookup, take: ApplyInput, ctx: &mut Context<Self>) {
        let deps = Arc::clone(&self.deps);
        let (device, number) = {
            let twin = self.twin.read();
            (twin.id.clone(), twin.number)
        };
        let is_all_stored = self.pending.load(Ordering::Acquire) == 0;
        let lookup = async move {
            // Events that were handed over before must be in the store before the store is asked.
            if !is_all_stored {
                committed(&deps.journal).await;
            }
            question.ask(&deps, &device, number).await
        };
        ctx.spawn(
            lookup.into_actor(self).map(move |found, actor, ctx| actor.apply_with_lookup(found, take, ctx)),
        );
    }

    fn apply_with_lookup(&mut self, found: LookupResult, mut take: ApplyInput, ctx: &mut Context<Self>) {
        match (found, &mut take.input) {
            (LookupResult::Repeats(known), input) => {
                let now = self.deps.clock.now();
                if !self.remove_repeats(&known, input, now) {
                    let outcome = Outcome { repeated: true, ..Outcome::default() };
                    return self.commit(&self.twin.read(), outcome, false, take.receipt, take.want_twin);
                }
            }
            (
                LookupResult::Command(command),
                Input::Command { known, .. }
                | Input::CommandResult { known, .. }
                | Input::Cancel { known, .. },
            ) => *known = Some(command),
            _ => {}
        }
        self.apply(take, ctx);
    }

    /// Takes the samples out of `input` that are `known`. False where none is left.
    fn remove_repeats(&self, known: &HashSet<u64>, input: &mut Input, now: Timestamp) -> bool {
        let twin = self.twin.read();
        let is_new = |sample: &Telemetry| {
            let identity = twin.file(sample, now).ok().and_then(|filed| filed.identity);
            identity.is_none_or(|identity| !known.contains(&identity))
        };
        match input {
            Input::Telemetry(telemetry) => is_new(telemetry),
            Input::Batch(samples) => {
                let mut left = std::mem::take(samples).into_vec();
                left.retain(is_new);
                *samples = left.into();
                !samples.is_empty()
            }
            _ => true,
        }
    }

    /// Readings are judged by the window that is set, whichever interface they came through.
    fn set_window(&self, input: &mut Input) {
        match input {
            Input::Telemetry(telemetry) => telemetry.window = self.deps.window,
            Input::Batch(samples) => samples.iter_mut().for_each(|sample| sample.window = self.deps.window),
            _ => {}
        }
    }
}

/// A look-up that only the store can answer.
enum StoreLookup {
    Messages(Vec<(ReadingTime, u64)>),
    Key(Box<str>),
    Command(CommandId),
}

/// The answer.
enum LookupResult {
    Nothing,
    /// The identities of messages that have been here.
    Repeats(HashSet<u64>),
    Command(Box<Command>),
}

impl StoreLookup {
    /// Asks until there is an answer: a store that is slow or away must cost no message. As many ask at once as the
    /// store answers at once, or the last of thousands would wait longer than its patience.
    async fn ask(self, deps: &TwinDeps, device: &DeviceId, number: DeviceNumber) -> LookupResult {
        until_answered(device.as_str(), || async {
            let _turn = deps.lookups.acquire().await; // never closed, and given back before the wait
            self.look_up(&*deps.store, number).await
        })
        .await
    }

    async fn look_up(&self, store: &dyn Store, number: DeviceNumber) -> Result<LookupResult, StoreError> {
        let found = match self {
            Self::Messages(messages) => {
                let known = store.has_messages(number, messages).await?;
                return Ok(if known.is_empty() {
                    LookupResult::Nothing
                } else {
                    LookupResult::Repeats(known)
                });
            }
            Self::Key(key) => store.command_with_key(number, key).await?,
            Self::Command(id) => store.command(*id).await?.filter(|record| record.number == number),
        };
        Ok(found.map_or(LookupResult::Nothing, |record| LookupResult::Command(Box::new(record.command))))
    }
}

/// Waits until everything sent to the journal before is committed.
async fn committed(journal: &Addr<Journal>) {
    let (reply, done) = oneshot::channel();
    if try_send_unbounded(journal, Barrier { reply }).is_ok() {
        let _ = done.await; // an error means that the hub shuts down
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

impl Handler<ApplyInput> for TwinActor {
    type Result = ();

    fn handle(&mut self, mut take: ApplyInput, ctx: &mut Context<Self>) {
        self.deps.counters.slow.taken_up(&mut take.receipt);
        self.set_window(&mut take.input);
        match self.needed_lookup(&take.input) {
            Some(question) => self.apply_after_lookup(question, take, ctx),
            None => self.apply(take, ctx),
        }
    }
}

impl Handler<ReadState> for TwinActor {
    type Result = ();

    fn handle(&mut self, ReadState { reply }: ReadState, _: &mut Context<Self>) {
        let twin = {
            let twin = self.twin.read();
            (!twin.is_new()).then(|| Box::new(twin.clone()))
        };
        if self.pending.load(Ordering::Acquire) == 0 {
            send_reply(reply, twin);
            return;
        }
        let journal = self.deps.journal.clone();
        actix::spawn(async move {
            committed(&journal).await;
            let _ = reply.send(twin);
        });
    }
}

impl Handler<UnloadTwin> for TwinActor {
    type Result = ();

    fn handle(&mut self, _: UnloadTwin, ctx: &mut Context<Self>) {
        self.leave(ctx);
    }
}

/// However it ends, by order or by a panic, the supervisor is notified.
impl Drop for TwinActor {
    fn drop(&mut self) {
        down(&self.deps.counters.twins);
        let twin = self.twin.read();
        self.deps.registry.remove(twin.number, &self.twin, !twin.is_new());
        let (device, incarnation, orderly) = (twin.id.clone(), self.incarnation, self.orderly);
        let stopped = TwinStopped { device, incarnation, orderly };
        let _ = try_send_unbounded(&self.deps.supervisor, stopped); // a hub that shuts down has no supervisor
    }
}
