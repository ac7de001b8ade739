//! The interpreter: runs the stateful dialects between the links and the supervisor, wakes them by their deadlines and
//! performs their effects.
//!
//! Effects that depend on a binding are never durable before it: bindings are sent to the journal first, and the
//! journal commits in order and leaves nothing out. A message is acknowledged when its bindings and all of its inputs
//! are durable.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use actix::{Actor, Addr, AsyncContext as _, Context, Handler, Message};
use bytes::Bytes;
use tracing::{error, warn};

use crate::binding::record;
use crate::ingress::InputDelivery;
use crate::journal::Journal;
use crate::mailbox::try_send_unbounded;
use crate::messages::dialects::{DialectsDue, EffectsCommitted, Interpret, StatefulPublish};
use crate::messages::journal::Append;
use crate::messages::timers::{ArmDialects, ClockMoved};
use crate::timers::Timers;
use twinhub_domain::cause::Source;
use twinhub_domain::fleet::RecordKind;
use twinhub_domain::receipt::Receipt;
use twinhub_domain::{Clock, Object, Timestamp};
use twinhub_mqtt::dialects::{
    AddedDialects, Binding, BindingId, DecodeError, Decoded, DialectEvent, DialectMessage, Dialects, Effects,
    MakeStateful, StatefulDialect, StatefulId,
};
use twinhub_mqtt::receipt;
use twinhub_mqtt::{IncomingMessage, Room};
use twinhub_store::{FleetChanges, FleetRecord, Store, StoreError};

/// The shortest wait for a deadline, in ms: one in the past would come again at once.
const SOONEST_MS: i64 = 10;

/// Gives the interpreter its way to the twins. What came of the dialects before is performed then.
#[derive(Message)]
#[rtype(result = "()")]
pub struct StartInterpreter {
    pub delivery: InputDelivery,
}

/// The parts that the interpreter works with.
pub struct InterpreterDeps {
    pub dialects: Arc<Dialects>,
    pub journal: Addr<Journal>,
    pub timers: Addr<Timers>,
    pub clock: Arc<dyn Clock>,
}

/// The actor that runs the stateful dialects.
pub struct Interpreter {
    deps: InterpreterDeps,
    running: Vec<RunningDialect>,
    /// None before [`StartInterpreter`].
    delivery: Option<InputDelivery>,
    /// The effects to perform once it has begun.
    early: Vec<(StatefulId, Effects, EventOrigin)>,
    /// The next wake-up, as far as the timers know.
    armed: Option<Timestamp>,
}

/// A stateful dialect while it runs.
struct RunningDialect {
    make: MakeStateful,
    /// None: it panics as it begins.
    machine: Option<Box<dyn StatefulDialect>>,
    /// All that it has kept. It begins with that again where it panicked.
    kept: BTreeMap<BindingId, Object>,
}

/// The origin of an event, and the receipt that waits for its effects.
struct EventOrigin {
    /// The message; where there was none, an empty one with the dialect's name as its topic.
    message: IncomingMessage,
    source: Source,
    receipt: Receipt,
    room: Option<Room>,
}

/// The failure of an event.
enum EventFailure {
    Rejected(DecodeError),
    Panicked,
}

impl Interpreter {
    /// An interpreter whose dialects have begun with their stored bindings: they have their state, and messages to
    /// devices go out in them, before anything else starts.
    ///
    /// # Errors
    /// The store does not give the bindings.
    pub async fn load(
        store: &dyn Store,
        added: &AddedDialects,
        deps: InterpreterDeps,
    ) -> Result<Self, StoreError> {
        let mut this = Self { deps, running: Vec::new(), delivery: None, early: Vec::new(), armed: None };
        if added.stateful().is_empty() {
            return Ok(this);
        }
        let records = store.records(RecordKind::Dialect).await?;
        for (id, make) in this.deps.dialects.stateful_ids().zip(added.stateful()) {
            let name = this.deps.dialects.name(id);
            let own = records.iter().filter_map(|record| {
                let binding = record.id.strip_prefix(name)?.strip_prefix('/')?;
                Some((BindingId::parse(binding).ok()?, record.body.clone()?))
            });
            let mut running = RunningDialect { make: Arc::clone(make), machine: None, kept: own.collect() };
            let effects = running.begin(name, this.deps.clock.now());
            this.deps.dialects.set_encoders(id, &effects.encoders);
            this.running.push(running);
            this.early.push((id, effects, EventOrigin::of_dialect(name)));
        }
        Ok(this)
    }

    fn interpret(&mut self, id: StatefulId, event: DialectEvent, origin: EventOrigin, ctx: &Context<Self>) {
        let now = self.deps.clock.now();
        let Some(running) = self.running.get_mut(id.place()) else { return };
        match running.take(event, now) {
            Ok(effects) => self.perform(id, effects, origin, ctx),
            Err(EventFailure::Rejected(error)) => self.reject(id, origin, error),
            Err(EventFailure::Panicked) => {
                let name = self.deps.dialects.name(id);
                error!(dialect = name, topic = %origin.message.topic, "a dialect panicked, restarting it with its bindings");
                let effects = running.begin(name, now);
                let detail = "the dialect panicked on this message".to_owned();
                self.reject(id, origin, DecodeError::Other { reason: "poison", detail });
                self.perform(id, effects, EventOrigin::of_dialect(name), ctx);
            }
        }
    }

    fn perform(&mut self, id: StatefulId, effects: Effects, origin: EventOrigin, ctx: &Context<Self>) {
        let Some(delivery) = self.delivery.clone() else { return self.early.push((id, effects, origin)) };
        let Effects { keep, encoders, inputs, bad, publishes, tell_committed } = effects;
        let EventOrigin { message, source, receipt, room } = origin;
        let me = ctx.address();
        let whole = Receipt::new(move |settled| {
            if let Some(number) = tell_committed.filter(|_| settled.is_ok()) {
                // Or the hub is shutting down.
                let _ = try_send_unbounded(&me, EffectsCommitted { dialect: id, number });
            }
            receipt.settle(settled);
            drop(room);
        });
        let records = self.records(id, keep);
        let is_appended = !records.is_empty() || !publishes.is_empty();
        let mut parts = receipt::split(whole, 1 + usize::from(is_appended));
        if is_appended && let Some(receipt) = parts.pop() {
            let fleet = (!records.is_empty()).then(|| Box::new(FleetChanges { records, jobs: Vec::new() }));
            let append = Append { fleet, outgoing: publishes, ..Append::beside_twins(Vec::new(), receipt) };
            // Without it the hub is shutting down, and the receipt is lost.
            let _ = try_send_unbounded(&self.deps.journal, append);
        }
        // The messages that twins encode from now on come to the journal after the bindings, too.
        self.deps.dialects.set_encoders(id, &encoders);
        if let Some(receipt) = parts.pop() {
            delivery.deliver_interpreted(message, source, Decoded { inputs, bad }, receipt);
        }
        self.arm();
    }

    /// The bindings as the store keeps them.
    fn records(&mut self, id: StatefulId, keep: Vec<Binding>) -> Vec<FleetRecord> {
        let (name, now) = (self.deps.dialects.name(id), self.deps.clock.now());
        let records = keep.iter().map(|binding| record(name, binding, now)).collect();
        if let Some(running) = self.running.get_mut(id.place()) {
            running.keep(keep);
        }
        records
    }

    fn reject(&mut self, id: StatefulId, origin: EventOrigin, error: DecodeError) {
        let EventOrigin { message, source, receipt, room } = origin;
        match &self.delivery {
            Some(delivery) if source == Source::Mqtt => delivery.reject(&message, error, receipt),
            _ => warn!(dialect = self.deps.dialects.name(id), %error, "a dialect failed without a message"),
        }
        drop(room);
        self.arm();
    }

    /// Arms the timers for the first deadline.
    fn arm(&mut self) {
        let machines = self.running.iter().filter_map(|running| running.machine.as_ref());
        let Some(first) = machines.filter_map(|machine| machine.deadline()).min() else { return };
        if self.armed.is_none_or(|armed| first < armed) {
            self.armed = Some(first);
            let at = first.max(self.deps.clock.now().plus_millis(SOONEST_MS));
            // Gone, it is asked again at the next start.
            let _ = try_send_unbounded(&self.deps.timers, ArmDialects { at });
        }
    }

    fn interpret_for_each(
        &mut self,
        ctx: &Context<Self>,
        event: impl Fn(&dyn StatefulDialect) -> Option<DialectEvent>,
    ) {
        for id in self.deps.dialects.stateful_ids() {
            let machine = self.running.get(id.place()).and_then(|running| running.machine.as_deref());
            if let Some(event) = machine.and_then(&event) {
                let origin = EventOrigin::of_dialect(self.deps.dialects.name(id));
                self.interpret(id, event, origin, ctx);
            }
        }
    }
}

impl RunningDialect {
    /// Begins, or begins again, with the stored bindings.
    fn begin(&mut self, name: &str, now: Timestamp) -> Effects {
        let bindings =
            self.kept.iter().map(|(id, body)| Binding { id: id.clone(), body: Some(body.clone()) });
        let bindings = bindings.collect();
        self.machine = catch_unwind(AssertUnwindSafe(|| (self.make)())).ok();
        match self.take(DialectEvent::Started(bindings), now) {
            Ok(effects) => effects,
            Err(EventFailure::Rejected(error)) => {
                warn!(dialect = name, %error, "a dialect does not start with its bindings");
                Effects::default()
            }
            Err(EventFailure::Panicked) => {
                error!(dialect = name, "a dialect panics at its start, its messages are rejected");
                self.machine = None;
                Effects::default()
            }
        }
    }

    fn take(&mut self, event: DialectEvent, now: Timestamp) -> Result<Effects, EventFailure> {
        let Some(machine) = &mut self.machine else { return Err(EventFailure::Rejected(not_running())) };
        // A machine that panicked is thrown away.
        match catch_unwind(AssertUnwindSafe(|| machine.take(event, now))) {
            Ok(taken) => taken.map_err(EventFailure::Rejected),
            Err(_) => Err(EventFailure::Panicked),
        }
    }

    fn keep(&mut self, bindings: Vec<Binding>) {
        for Binding { id, body } in bindings {
            match body {
                Some(body) => self.kept.insert(id, body),
                None => self.kept.remove(&id),
            };
        }
    }
}

impl EventOrigin {
    /// An event that no message brought.
    fn of_dialect(name: &str) -> Self {
        let message = IncomingMessage {
            topic: name.into(),
            payload: Bytes::new(),
            fire_and_forget: false,
            retained: false,
            for_twins: true,
            for_rules: false,
        };
        Self { message, source: Source::Hub, receipt: Receipt::ignored(), room: None }
    }
}

fn not_running() -> DecodeError {
    DecodeError::Other { reason: "dialect_failed", detail: "the dialect panics as it begins".into() }
}

impl Actor for Interpreter {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(0); // bounded at the ingress, see `try_send_unbounded`
    }
}

impl Handler<StartInterpreter> for Interpreter {
    type Result = ();

    fn handle(&mut self, StartInterpreter { delivery }: StartInterpreter, ctx: &mut Context<Self>) {
        self.delivery = Some(delivery);
        for (id, effects, origin) in std::mem::take(&mut self.early) {
            self.perform(id, effects, origin, ctx);
        }
    }
}

impl Handler<Interpret> for Interpreter {
    type Result = ();

    fn handle(&mut self, interpret: Interpret, ctx: &mut Context<Self>) {
        let Interpret { dialect, message, receipt, room } = interpret;
        let IncomingMessage { topic, payload, retained, .. } = message.clone();
        let event = DialectEvent::Message(DialectMessage { topic, payload, retained });
        self.interpret(dialect, event, EventOrigin { message, source: Source::Mqtt, receipt, room }, ctx);
    }
}

impl Handler<StatefulPublish> for Interpreter {
    type Result = ();

    fn handle(&mut self, spoken: StatefulPublish, ctx: &mut Context<Self>) {
        let StatefulPublish { dialect, device, publish, kept } = spoken;
        if let Some(running) = self.running.get_mut(dialect.place()) {
            running.keep(kept.clone());
        }
        let origin = EventOrigin::of_dialect(self.deps.dialects.name(dialect));
        self.interpret(dialect, DialectEvent::Published { device, publish, kept }, origin, ctx);
    }
}

impl Handler<EffectsCommitted> for Interpreter {
    type Result = ();

    fn handle(&mut self, EffectsCommitted { dialect, number }: EffectsCommitted, ctx: &mut Context<Self>) {
        let origin = EventOrigin::of_dialect(self.deps.dialects.name(dialect));
        self.interpret(dialect, DialectEvent::Committed(number), origin, ctx);
    }
}

impl Handler<DialectsDue> for Interpreter {
    type Result = ();

    fn handle(&mut self, _: DialectsDue, ctx: &mut Context<Self>) {
        self.armed = None;
        let now = self.deps.clock.now();
        let is_due = |machine: &dyn StatefulDialect| machine.deadline().is_some_and(|at| at <= now);
        self.interpret_for_each(ctx, |machine| is_due(machine).then_some(DialectEvent::Due));
        self.arm(); // woken too early, it waits on
    }
}

impl Handler<ClockMoved> for Interpreter {
    type Result = ();

    fn handle(&mut self, ClockMoved { from, to }: ClockMoved, ctx: &mut Context<Self>) {
        self.armed = None; // the timers send it to all, and each is armed anew
        self.interpret_for_each(ctx, |_| Some(DialectEvent::ClockMoved { from, to }));
    }
}
