//! A simulated world for the engine, with a clock that is moved by hand: real twins, devices that obey at once, and
//! nothing else. The effects of the rules come back to them as events, as in the live hub.

mod perform;

use std::collections::{BTreeMap, HashMap, VecDeque};

use uuid::Builder;

use crate::engine::{Effect, EffectRequest, EffectResult, Engine, EngineOutput, ScopeSnapshot};
use crate::model::Rule;
use twinhub_domain::alarm::{Alarm, AlarmStep, Originator, Severity};
use twinhub_domain::cause::Source;
use twinhub_domain::event::ChangeKind;
use twinhub_domain::run::AutomationSignal;
use twinhub_domain::run::RuleId;
use twinhub_domain::run::{RunEntry, RunId};
use twinhub_domain::twin::presence::FIRST_SILENCE_MS;
use twinhub_domain::twin::{Patch, SilenceRule};
use twinhub_domain::{
    Cause, CommandId, CommandStatus, DeviceId, DeviceNumber, Event, EventBody, Input, Object, Recorded,
    Refusal, Timestamp, Twin, TwinChange,
};

/// More effects than these come of rules that set each other off for ever.
const MOST_EFFECTS: usize = 100_000;

/// The simulated world.
pub(crate) struct Sim {
    pub engine: Engine,
    rules: Vec<Rule>,
    twins: BTreeMap<DeviceId, Twin>,
    alarms: HashMap<(Originator, Box<str>), Alarm>,
    snapshots: BTreeMap<(RuleId, DeviceNumber), ScopeSnapshot>,
    pub now: Timestamp,
    names: u64,
    /// The status that commands come to.
    commands: CommandStatus,
    queue: VecDeque<u64>,
    /// Everything that happened, in its order.
    pub log: Vec<Recorded>,
    /// The effects of the rules, with their results.
    pub done: Vec<PerformedEffect>,
    /// The entries of the journal, in the order in which they were begun.
    pub entries: Vec<RunEntry>,
    places: HashMap<RunId, usize>,
    pub stopped: Vec<(RuleId, Box<str>)>,
    /// The events upon which the hub dies when it has stored the effects, and has performed none.
    #[cfg(test)]
    pub dies_within: std::collections::HashSet<u64>,
}

/// Something that a rule did.
#[derive(Clone, Debug)]
pub(crate) struct PerformedEffect {
    pub at: Timestamp,
    pub effect: Effect,
    /// The fault, where there was one.
    pub failed: Option<Box<str>>,
}

impl Sim {
    /// A world at `now` with these rules, and with the devices that they name.
    pub fn new(rules: &[Rule], devices: &[DeviceId], commands: CommandStatus, now: Timestamp) -> Self {
        let mut sim = Self {
            engine: Engine::new(now),
            rules: rules.to_vec(),
            twins: BTreeMap::new(),
            alarms: HashMap::new(),
            snapshots: BTreeMap::new(),
            now,
            names: 0,
            commands,
            queue: VecDeque::new(),
            log: Vec::new(),
            done: Vec::new(),
            entries: Vec::new(),
            places: HashMap::new(),
            stopped: Vec::new(),
            #[cfg(test)]
            dies_within: std::collections::HashSet::new(),
        };
        sim.engine.exchange(rules.to_vec());
        for id in sim.engine.wants().devices.iter().chain(devices) {
            sim.make(id);
        }
        sim
    }

    /// Gives the engine the twins. To be called before any event.
    pub fn begin(&mut self) {
        self.twins.values().for_each(|twin| self.engine.know(twin.clone()));
        self.store();
    }

    /// The twin of a device, made where there is none: claimed, online, in mode `schedule`.
    pub fn make(&mut self, id: &DeviceId) -> &mut Twin {
        let number = DeviceNumber(i64::try_from(self.twins.len()).unwrap_or(i64::MAX).saturating_add(1));
        let now = self.now;
        self.twins.entry(id.clone()).or_insert_with(|| {
            let mut twin = Twin::new(id.clone(), number, now);
            // A new twin refuses neither.
            let _ = twin.apply(Input::Register(Box::default()), now, &Cause::hub());
            let online = Input::Presence { online: true, details: Object::default() };
            let _ = twin.apply(online, now, &Cause::new(Source::Mqtt, ""));
            twin
        })
    }

    /// Lets the time go on to `until`.
    pub fn go_to(&mut self, until: Timestamp) {
        loop {
            let mode_ends = self.twins.values().filter_map(|twin| twin.control.mode_until()).min();
            let due = self.engine.next();
            let next = due.into_iter().chain(mode_ends).min().filter(|next| *next <= until);
            let Some(next) = next else { break };
            self.now = self.now.max(next);
            self.wake();
            let step = self.engine.advance(self.now);
            self.take(step);
            self.settle();
        }
        self.now = self.now.max(until);
        let step = self.engine.advance(until);
        self.take(step);
        self.settle();
    }

    /// Something comes to a twin.
    pub fn tell(&mut self, id: &DeviceId, input: Input, cause: &Cause) -> Result<Option<CommandId>, Refusal> {
        self.make(id);
        let result = self.apply(id, input, cause);
        self.settle();
        result
    }

    /// Something happens to a twin, whatever it thinks of it.
    pub fn happen(&mut self, id: &DeviceId, body: EventBody, cause: &Cause) {
        let now = self.now;
        let twin = self.make(id);
        let (device, number) = (twin.id.clone(), twin.number);
        let event = Event { device, number, at: now.into(), received_at: now, body, cause: cause.clone() };
        twin.redo(&event);
        self.append(event);
        self.settle();
    }

    /// A signal comes.
    pub fn signal(&mut self, signal: AutomationSignal, cause: &Cause) {
        self.without_device(EventBody::Signal(Box::new(signal)), cause);
    }

    /// A group or its like changed.
    #[cfg(test)]
    pub fn fleet(&mut self, change: twinhub_domain::fleet::FleetChange) {
        self.without_device(EventBody::Fleet(Box::new(change)), &Cause::hub());
    }

    fn without_device(&mut self, body: EventBody, cause: &Cause) {
        self.append(Event {
            device: DeviceId::none(),
            number: DeviceNumber(0),
            at: self.now.into(),
            received_at: self.now,
            body,
            cause: cause.clone(),
        });
        self.settle();
    }

    /// Kills the hub, and starts it after `ms` with its stored state.
    pub fn down(&mut self, ms: i64) {
        let down_since = self.now;
        self.restart();
        self.now = self.now.plus_millis(ms);
        self.signal(AutomationSignal::Started { down_since }, &Cause::hub());
    }

    /// Moves the hub's clock by `by_ms`, forward or back.
    #[cfg(test)]
    pub fn set_clock(&mut self, by_ms: i64) {
        let from = self.now;
        self.now = from.plus_millis(by_ms);
        self.signal(AutomationSignal::ClockMoved { from, to: self.now, while_down: false }, &Cause::hub());
    }

    #[cfg(test)]
    pub fn engine_now(&self) -> Timestamp {
        self.engine.now()
    }

    /// A new engine loads the state that the one before had stored.
    pub fn restart(&mut self) {
        let mut engine = Engine::new(self.engine.now());
        engine.exchange(self.rules.clone());
        self.twins.values().for_each(|twin| engine.know(twin.clone()));
        engine.restore(self.snapshots.values().cloned().collect());
        self.engine = engine;
        for request in self.engine.unanswered() {
            self.request(request);
        }
        self.settle();
    }

    #[cfg(test)]
    pub fn stored(&self) -> Vec<ScopeSnapshot> {
        self.snapshots.values().cloned().collect()
    }

    #[cfg(test)]
    pub fn each_twin(&self, see: &mut dyn FnMut(&Twin)) {
        self.twins.values().for_each(see);
    }

    /// Other rules take the place of these.
    #[cfg(test)]
    pub fn exchange(&mut self, rules: &[Rule]) {
        self.rules = rules.to_vec();
        let step = self.engine.exchange(rules.to_vec());
        for id in self.engine.wants().devices {
            let twin = self.make(&id).clone();
            self.engine.know(twin);
        }
        self.take(step);
        self.settle();
    }

    fn apply(&mut self, id: &DeviceId, input: Input, cause: &Cause) -> Result<Option<CommandId>, Refusal> {
        let Some(twin) = self.twins.get_mut(id) else { return Err(Refusal::Unknown(id.to_string())) };
        let is_deletion = matches!(input, Input::Delete);
        let outcome = twin.apply(input, self.now, cause)?;
        if is_deletion {
            self.twins.remove(id);
        }
        let command = outcome.commands.first().map(|command| command.id);
        outcome.events.into_iter().for_each(|event| self.append(event));
        Ok(command)
    }

    fn wake(&mut self) {
        let now = self.now;
        let due =
            self.twins.values().filter(|twin| twin.control.mode_until().is_some_and(|until| until <= now));
        let due: Vec<DeviceId> = due.map(|twin| twin.id.clone()).collect();
        let first_id = CommandId(Builder::from_custom_bytes(self.name(3)).into_uuid());
        for id in due {
            // It only lets the time go on.
            let hearing = SilenceRule { since: now, first_silence_ms: FIRST_SILENCE_MS };
            let _ = self.apply(&id, Input::Wake { hearing, first_id }, &Cause::hub());
        }
    }

    fn append(&mut self, event: Event) {
        let seq = u64::try_from(self.log.len()).unwrap_or(u64::MAX) + 1;
        self.log.push(Recorded::new(seq, event));
        self.queue.push_back(seq);
    }

    /// Feeds the engine all events so far, and performs its effects.
    fn settle(&mut self) {
        while let Some(seq) = self.queue.pop_front() {
            let Some(recorded) = usize::try_from(seq - 1).ok().and_then(|at| self.log.get(at)) else { break };
            let step = self.engine.observe(recorded);
            #[cfg(test)]
            let step = self.survive(seq, step);
            self.take(step);
        }
        self.store();
    }

    /// The rest of an event's work if the hub dies during it. Only where the twins are at the engine's place: of
    /// several events at once, upon the last.
    #[cfg(test)]
    fn survive(&mut self, seq: u64, step: EngineOutput) -> EngineOutput {
        if !self.queue.is_empty() || !self.dies_within.remove(&seq) {
            return step;
        }
        self.take(EngineOutput { effects: Vec::new(), ..step });
        self.store();
        self.restart();
        EngineOutput::default()
    }

    fn take(&mut self, step: EngineOutput) {
        let EngineOutput { effects, entries, stopped } = step;
        for entry in entries {
            let entry = entry.entry;
            match self.places.get(&entry.id) {
                Some(place) => self.entries[*place] = entry,
                None => {
                    self.places.insert(entry.id, self.entries.len());
                    self.entries.push(entry);
                }
            }
        }
        for (rule, why) in stopped {
            let of = Originator::Rule(rule.clone());
            self.alarm(of, "rule-stopped", AlarmStep::Raised, (Severity::Major, &why), &Cause::hub());
            self.stopped.push((rule, why));
        }
        effects.into_iter().for_each(|request| self.request(request));
    }

    fn request(&mut self, request: EffectRequest) {
        let EffectRequest { id, cause, effect, .. } = request;
        let result = if self.done.len() < MOST_EFFECTS {
            self.perform(&effect, &cause)
        } else {
            EffectResult::failed("too_many", "the rules never come to an end")
        };
        let failed = result.failed.as_ref().map(|(word, _)| word.clone());
        self.done.push(PerformedEffect { at: self.now, effect, failed });
        let step = self.engine.done(id, result, self.now);
        self.take(step);
    }

    fn store(&mut self) {
        for snapshots in self.engine.take_changes() {
            let name = (snapshots.rule.clone(), snapshots.device);
            if snapshots.body.is_some() {
                self.snapshots.insert(name, snapshots);
            } else {
                self.snapshots.remove(&name);
            }
        }
    }

    /// Bytes that are unique: names must be made without randomness.
    fn name(&mut self, what: u8) -> [u8; 16] {
        self.names += 1;
        let mut bytes = [what; 16];
        bytes[8..].copy_from_slice(&self.names.to_be_bytes());
        bytes
    }

    /// Changes the document of a twin, whichever side owns the part.
    pub fn patch(&mut self, id: &DeviceId, patch: Object) {
        let patch = Patch::read(patch);
        let body = EventBody::Twin(TwinChange { change: ChangeKind::Updated, patch });
        self.happen(id, body, &Cause::new(Source::Rest, "user:test"));
    }

    /// Sets up the state before the test: changes a twin without an event.
    pub fn set_up(&mut self, id: &DeviceId, body: EventBody) {
        let now = self.now;
        let twin = self.make(id);
        let (device, number) = (twin.id.clone(), twin.number);
        let cause = Cause::new(Source::Mqtt, "");
        twin.redo(&Event { device, number, at: now.into(), received_at: now, body, cause });
    }
}
