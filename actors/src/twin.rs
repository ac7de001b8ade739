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
use crate::messages::alarms::Forget;
use crate::messages::dialects::Spoken;
use crate::messages::journal::{Append, Barrier};
use crate::messages::supervisor::{IfUnknown, TwinStopped};
use crate::messages::timers::Arm;
use crate::messages::twin::{PutAway, Read, Take};
use crate::post::post;
use crate::roster::{Own, Roster};
use crate::silence::HeardSince;
use crate::timers::Timers;
use twinhub_domain::fleet::Step;
use twinhub_domain::reading::{Telemetry, Window};
use twinhub_domain::receipt::{NotTaken, Receipt, Taken};
use twinhub_domain::twin::{Repeat, SharedDetails};
use twinhub_domain::{
    Clock, Command, CommandId, DeviceId, DeviceNumber, Event, Input, Kind, Outcome, Outgoing, Publish,
    Refusal, Timestamp, Twin,
};
use twinhub_mqtt::dialects::{Dialects, Encoded, Hearing};
use twinhub_mqtt::subscribers::Subscribers;
use twinhub_rules::device_template::apply;
use twinhub_store::{CommandRecord, Fleet, JobOp, Record, Store, StoreError};

/// Questions that twins put to the store at once.
pub const LOOKUPS: usize = 8;

/// The parts that every twin needs, shared by all: a twin itself carries one pointer to it.
pub struct Surroundings {
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    pub journal: Addr<Journal>,
    pub supervisor: Recipient<TwinStopped>,
    pub timers: Addr<Timers>,
    pub alarms: Addr<Alarms>,
    pub heard: Arc<HeardSince>,
    /// The templates that devices can have.
    pub catalog: Arc<CatalogNow>,
    pub roster: Arc<Roster>,
    /// The dialects that devices speak.
    pub dialects: Arc<Dialects>,
    /// The receiver of messages in dialects that have a state.
    pub interpreter: Recipient<Spoken>,
    /// The listeners to messages for devices.
    pub subscribers: Arc<Subscribers>,
    /// Room for questions to the store.
    pub lookups: Semaphore,
    /// The times of devices that are believed.
    pub window: Window,
    /// The values that the twins in memory have in common.
    pub common: Mutex<SharedDetails>,
    pub counters: Arc<Counters>,
}

impl Surroundings {
    /// Has a twin hold what others have, too, together with them. Most have nothing new of it: they need no turn.
    fn share(&self, twin: &mut Twin) {
        if !twin.is_shared() {
            twin.share(&mut self.common.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }
}

/// The actor of one device's twin.
pub struct TwinActor {
    /// Others read it too: see [`Roster`].
    twin: Own,
    incarnation: u32,
    /// The twin was stopped on request.
    orderly: bool,
    /// The next wake-up, as far as the timers know.
    armed: Option<Timestamp>,
    /// Outcomes handed to the journal and not yet committed.
    pending: Arc<AtomicU32>,
    around: Arc<Surroundings>,
}

impl TwinActor {
    /// An actor for `twin`, as the store knows it. `incarnation` comes back when it stops.
    #[must_use]
    pub fn new(mut twin: Twin, incarnation: u32, around: Arc<Surroundings>) -> Self {
        up(&around.counters.twins);
        // As it was read, what it shares with others is its own.
        let catalog = around.catalog.now();
        twin.setup.share_layer(|own| match catalog.get(&own.template) {
            Some(template) if template.layer == own => Arc::clone(&template.layer),
            _ => own,
        });
        around.share(&mut twin);
        let number = twin.number;
        let twin = Own::new(twin);
        around.roster.enter(number, &twin);
        Self { twin, incarnation, orderly: false, armed: None, pending: Arc::default(), around }
    }

    fn take(&mut self, take: Take, ctx: &mut Context<Self>) {
        let Take { input, cause, receipt, want_twin, if_unknown, if_version } = take;
        let now = self.around.clock.now();
        let deleted = matches!(input, Input::Delete);
        let (is_of_device, is_of_life) = (input.is_of_device(), matches!(input, Input::SetLifecycle { .. }));
        let woken = matches!(input, Input::Wake { .. });
        if woken {
            self.armed = None; // by this wake
        }
        // Held until the journal has been told: who has seen what it does can then wait for its commit.
        let mut twin = self.twin.write();
        let Surroundings { subscribers, dialects, .. } = &*self.around;
        let (catalog, listeners) = (|| self.around.catalog.now(), &Hearing { subscribers, dialects });
        let was_new = twin.is_new();
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
            Ok(outcome) if woken && outcome == Outcome::default() => receipt.settle(Ok(Taken::default())),
            Ok(outcome) => {
                self.around.share(&mut twin);
                self.commit(&twin, outcome, deleted, receipt, want_twin);
                if deleted {
                    // Whoever looks from now on finds nobody, before the first is told of it.
                    *twin = Twin::new(twin.id.clone(), twin.number, now);
                }
            }
            Err(refusal) => {
                if was_new && !twin.is_new() {
                    // It appeared, and nobody will hear of it: it appears with what is taken.
                    *twin = Twin::new(twin.id.clone(), twin.number, now);
                }
                let counters = &self.around.counters;
                up(&counters.inputs_refused);
                if is_of_device && refusal.is_of_service() {
                    up(&counters.messages_out_of_service);
                    counters.out_of_service.note(twin.number);
                }
                receipt.settle(Err(NotTaken::Refused(refusal)));
            }
        }
        if deleted || is_of_life && !twin.lifecycle().is_out_of_service() {
            self.around.counters.out_of_service.forget(twin.number);
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
        let silent = twin.silent_at(self.around.heard.hearing(), now);
        let Some(at) = [twin.wake_at(now), silent].into_iter().flatten().min() else { return };
        if self.armed.is_none_or(|armed| at < armed) {
            self.armed = Some(at);
            let _ = post(&self.around.timers, Arm { device: twin.id.clone(), at });
        }
    }

    fn leave(&mut self, ctx: &mut Context<Self>) {
        self.orderly = true;
        ctx.stop();
    }

    fn commit(&self, twin: &Twin, outcome: Outcome, deleted: bool, receipt: Receipt, want_twin: bool) {
        let Outcome { events, publishes, commands, steps, repeated, rejected } = outcome;
        // Readings are the many: the twin's row follows them later. All else is few and is written now.
        let beyond_readings = events.iter().any(|event: &Event| event.kind() != Kind::Telemetry);
        let state = (beyond_readings && !deleted).then(|| Box::new(twin.clone()));
        let taken = Taken {
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
            self.say(&twin.id, publish, &mut outgoing, &mut fleet.records);
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
        if post(&self.around.journal, append).is_err() {
            warn!(device_id = %twin.id, "the journal has stopped, an outcome is lost with it");
        }
        if deleted {
            let _ = post(&self.around.alarms, Forget { number: twin.number }); // or the hub goes down
        }
    }

    fn fleet(&self, number: DeviceNumber, steps: Vec<Step>) -> Fleet {
        if steps.is_empty() {
            return Fleet::default();
        }
        let at = self.around.clock.now();
        let jobs = steps.into_iter().map(|step| JobOp::Step { number, at, step }).collect();
        Fleet { jobs, ..Fleet::default() }
    }

    /// Says something in the dialect that the device speaks. What that has to keep of it is committed with it.
    fn say(
        &self,
        device: &DeviceId,
        publish: Publish,
        outgoing: &mut Vec<Outgoing>,
        records: &mut Vec<Record>,
    ) {
        let Surroundings { dialects, clock, interpreter, .. } = &*self.around;
        let (dialect, Encoded { messages, keep }) = dialects.encode(device, &publish);
        let purpose = publish.purpose(device).map(Box::new);
        outgoing.extend(messages.into_iter().map(|message| Outgoing { purpose: purpose.clone(), ..message }));
        let Some(dialect) = dialect else { return };
        let (name, now) = (dialects.name(dialect), clock.now());
        records.extend(keep.iter().map(|binding| record(name, binding, now)));
        // Before the journal, and so before the device can answer.
        let spoken = Spoken { dialect, device: device.clone(), publish, kept: keep };
        let _ = post(interpreter, spoken); // gone, the hub shuts down
    }

    /// The look-up that an input needs in the store: is this old message a repeat; what is the status of a command that
    /// the twin has let go.
    fn question(&self, input: &Input) -> Option<Question> {
        let twin = self.twin.read();
        match input {
            Input::Telemetry(telemetry) => self.lookup(&twin, std::slice::from_ref(telemetry)),
            Input::Batch(samples) => self.lookup(&twin, samples),
            Input::Command { request, known: None, is_new: false, .. } => {
                let key = request.idempotency_key.as_deref()?;
                twin.command_with_key(key).is_none().then(|| Question::Key(key.into()))
            }
            Input::CommandResult { id, known: None, .. } | Input::Cancel { id, known: None } => {
                twin.command(*id).is_none().then_some(Question::Command(*id))
            }
            _ => None,
        }
    }

    /// The samples that are from before the twin's memory of repeats.
    fn lookup(&self, twin: &Twin, samples: &[Telemetry]) -> Option<Question> {
        if samples.iter().all(|sample| sample.at.is_none()) {
            return None; // the twin alone can know those
        }
        let now = self.around.clock.now();
        let is_old = |sample: &&Telemetry| twin.repeat(sample, now) == Repeat::AskStore;
        let known_by = |sample: &Telemetry| {
            let filed = twin.file(sample, now).ok()?;
            Some((filed.at, filed.identity?))
        };
        let old: Vec<_> = samples.iter().filter(is_old).filter_map(known_by).collect();
        (!old.is_empty()).then_some(Question::Messages(old))
    }

    fn take_once_known(&mut self, question: Question, take: Take, ctx: &mut Context<Self>) {
        let around = Arc::clone(&self.around);
        let (device, number) = {
            let twin = self.twin.read();
            (twin.id.clone(), twin.number)
        };
        let lookup = async move {
            // What was handed over before must be in the store before the store is asked.
            committed(&around.journal).await;
            question.ask(&around, &device, number).await
        };
        ctx.spawn(lookup.into_actor(self).map(move |found, actor, ctx| actor.take_knowing(found, take, ctx)));
    }

    fn take_knowing(&mut self, found: Known, mut take: Take, ctx: &mut Context<Self>) {
        match (found, &mut take.input) {
            (Known::Repeats(known), input) => {
                let now = self.around.clock.now();
                if !self.leave_out(&known, input, now) {
                    let outcome = Outcome { repeated: true, ..Outcome::default() };
                    return self.commit(&self.twin.read(), outcome, false, take.receipt, take.want_twin);
                }
            }
            (
                Known::Command(command),
                Input::Command { known, .. }
                | Input::CommandResult { known, .. }
                | Input::Cancel { known, .. },
            ) => *known = Some(command),
            _ => {}
        }
        self.take(take, ctx);
    }

    /// Takes the samples out of `input` that are `known`. False where none is left.
    fn leave_out(&self, known: &HashSet<u64>, input: &mut Input, now: Timestamp) -> bool {
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

    /// Readings are judged by the window that is set, whichever door they came through.
    fn set_window(&self, input: &mut Input) {
        match input {
            Input::Telemetry(telemetry) => telemetry.window = self.around.window,
            Input::Batch(samples) => samples.iter_mut().for_each(|sample| sample.window = self.around.window),
            _ => {}
        }
    }
}

/// A look-up that only the store can answer.
enum Question {
    Messages(Vec<(Timestamp, u64)>),
    Key(Box<str>),
    Command(CommandId),
}

/// The answer.
enum Known {
    Nothing,
    /// The identities of messages that have been here.
    Repeats(HashSet<u64>),
    Command(Box<Command>),
}

impl Question {
    /// Asks until there is an answer: a store that is slow or away must cost no message. As many ask at once as the
    /// store answers at once, or the last of thousands would wait longer than its patience.
    async fn ask(self, around: &Surroundings, device: &DeviceId, number: DeviceNumber) -> Known {
        until_answered(device.as_str(), || async {
            let _turn = around.lookups.acquire().await; // never closed, and given back before the wait
            self.look_up(&*around.store, number).await
        })
        .await
    }

    async fn look_up(&self, store: &dyn Store, number: DeviceNumber) -> Result<Known, StoreError> {
        let found = match self {
            Self::Messages(messages) => {
                let known = store.has_messages(number, messages).await?;
                return Ok(if known.is_empty() { Known::Nothing } else { Known::Repeats(known) });
            }
            Self::Key(key) => store.command_with_key(number, key).await?,
            Self::Command(id) => store.command(*id).await?.filter(|record| record.number == number),
        };
        Ok(found.map_or(Known::Nothing, |record| Known::Command(Box::new(record.command))))
    }
}

/// Waits until everything sent to the journal before is committed.
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

    fn handle(&mut self, mut take: Take, ctx: &mut Context<Self>) {
        self.set_window(&mut take.input);
        match self.question(&take.input) {
            Some(question) => self.take_once_known(question, take, ctx),
            None => self.take(take, ctx),
        }
    }
}

impl Handler<Read> for TwinActor {
    type Result = ();

    fn handle(&mut self, Read { reply }: Read, _: &mut Context<Self>) {
        let twin = {
            let twin = self.twin.read();
            (!twin.is_new()).then(|| Box::new(twin.clone()))
        };
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

/// However it ends, by order or by a panic, the supervisor is notified.
impl Drop for TwinActor {
    fn drop(&mut self) {
        down(&self.around.counters.twins);
        let twin = self.twin.read();
        self.around.roster.leave(twin.number, &self.twin, !twin.is_new());
        let (device, incarnation, orderly) = (twin.id.clone(), self.incarnation, self.orderly);
        let stopped = TwinStopped { device, incarnation, orderly };
        let _ = post(&self.around.supervisor, stopped); // a hub that goes down has no supervisor
    }
}
