//! The triggers that an event may concern: found before the twin takes it in, and looked at after.

use super::firing::Firing;
use super::index::RuleIndex;
use super::latch::{Latch, Pending, TriggerLevel};
use super::scope::ScopeKey;
use super::state::{EngineState, Followup};
use super::trigger_context::{
    alarm_data, changed_data, command_data, event_data, stale, stands, state_data, word,
};
use super::trigger_ref::{self, TriggerRef};
use super::watched_twins::{WatchedTwins, property, value_at};
use crate::expression::Twins as _;
use crate::model::{Trigger, TriggerKind};
use twinhub_domain::run::{RunId, RunKind, WhyNot};
use twinhub_domain::twin::Arrival;
use twinhub_domain::{DeviceId, Event, EventBody, Json, Object, Recorded, Timestamp, Twin, TwinChange};

/// A trigger that an event may concern, and what it looks at as it was before.
pub(super) struct TriggerCandidate {
    trigger_ref: TriggerRef,
    before: Option<Json>,
    /// The event is a reading that came late: the twin is past it.
    is_late: bool,
    /// The type of the command that came further, where it is known.
    command_type: Option<Box<str>>,
}

/// The triggers that an event may concern. To be called before the twin takes it in.
pub(super) fn collect(world: &WatchedTwins, index: &RuleIndex, event: &Event) -> Vec<TriggerCandidate> {
    let mut hits = Vec::new();
    if event.cause.retained || event.cause.is_of_the_past() {
        return hits; // it says how things stood
    }
    let known = world.devices.get(&event.device);
    let twin = known.and_then(|known| known.twin.as_deref());
    let watch = known.map_or(&[][..], |known| &known.watch);
    let mut add =
        |trigger_ref: TriggerRef, before: Option<Json>, is_late: bool, command_type: Option<Box<str>>| {
            hits.push(TriggerCandidate { trigger_ref, before, is_late, command_type });
        };
    let arrival = match event.body {
        EventBody::Telemetry { claimed, .. } => Some(Arrival { received: event.received_at, claimed }),
        _ => None,
    };
    let mut reported = |name: &str| {
        let is_late = |twin: &Twin, arrival| {
            // The hub's clock may have been set back since the twin was last heard.
            let set_back = twin.is_ahead_of(event.received_at);
            twin.reported.get(name).is_some_and(|property| {
                let known =
                    if set_back { property.at().min(event.received_at.into()) } else { property.at() };
                Arrival::is_late(arrival, event.at, known, property.claimed_at().is_some())
            })
        };
        for trigger_ref in trigger_ref::of_property(watch, name, index) {
            let before =
                twin.and_then(|twin| property(&twin.reported, trigger_ref::property(trigger_ref, index)));
            let is_late = twin.zip(arrival).is_some_and(|(twin, arrival)| is_late(twin, arrival));
            add(trigger_ref, before.map(|(value, _)| value.clone()), is_late, None);
        }
    };
    match &event.body {
        EventBody::Telemetry { readings, .. } => readings.iter().for_each(|reading| reported(&reading.name)),
        EventBody::Twin(TwinChange { patch, .. }) => {
            let changed = patch.reported();
            changed.into_iter().flat_map(Object::iter).for_each(|(name, _)| reported(name));
        }
        _ => {}
    }
    if matches!(event.body, EventBody::Twin(_) | EventBody::Presence { .. }) {
        for trigger_ref in trigger_ref::of_class(watch, trigger_ref::DOCUMENT) {
            if let TriggerKind::Changed { path, .. } = &index.trigger(*trigger_ref).kind {
                let before = twin.and_then(|twin| value_at(twin, path));
                add(*trigger_ref, before, false, None);
            }
        }
    }
    match &event.body {
        EventBody::Presence { .. } => {
            let before = twin.map(|twin| Json::from(twin.presence.status.as_str()));
            let trigger_refs = trigger_ref::of_class(watch, trigger_ref::PRESENCE);
            trigger_refs.iter().for_each(|trigger_ref| add(*trigger_ref, before.clone(), false, None));
        }
        EventBody::Command(change) => {
            let trigger_refs = trigger_ref::of_class(watch, trigger_ref::COMMAND);
            let known = || twin.and_then(|twin| twin.command(change.id));
            let named =
                if trigger_refs.is_empty() { None } else { known().map(|c| c.request.command_type.clone()) };
            trigger_refs.iter().for_each(|trigger_ref| add(*trigger_ref, None, false, named.clone()));
        }
        EventBody::Alarm(_) => {
            let trigger_refs = trigger_ref::of_class(watch, trigger_ref::ALARM).iter().chain(&index.alarms);
            trigger_refs.for_each(|trigger_ref| add(*trigger_ref, None, false, None));
        }
        _ => {}
    }
    for trigger_ref in trigger_ref::of_class(watch, trigger_ref::EVENT) {
        add(*trigger_ref, None, false, None);
    }
    if hits.len() > 1 {
        hits.sort_by_key(|hit| (index.rank(hit.trigger_ref.rule), hit.trigger_ref.trigger));
        hits.dedup_by_key(|hit| (hit.trigger_ref.rule, hit.trigger_ref.trigger));
    }
    hits
}

/// Looks at triggers, and fires them.
pub(super) struct Triggers<'a> {
    pub index: &'a RuleIndex,
    pub world: &'a WatchedTwins,
    pub state: &'a mut EngineState,
}

impl Triggers<'_> {
    /// Looks at a trigger that an event may concern, now that the twin has taken it in.
    pub fn look_at(&mut self, hit: TriggerCandidate, recorded: &Recorded) {
        let event = &recorded.event;
        if !self.state.is_enabled(self.index, hit.trigger_ref.rule) {
            return;
        }
        let trigger = self.index.trigger(hit.trigger_ref);
        let fired = match (&trigger.kind, &event.body) {
            (TriggerKind::Numeric { .. }, _) => {
                if hit.is_late {
                    return;
                }
                return self.look_at_state(&hit, trigger, true, recorded);
            }
            (TriggerKind::Changed { path, from, to, .. }, _) => {
                let value = self.world.twin(event.device.as_str()).and_then(|twin| value_at(twin, path));
                let is_from = from.is_none() || *from == hit.before;
                if to.is_some() {
                    let comes = value != hit.before && is_from;
                    return self.look_at_state(&hit, trigger, comes, recorded);
                }
                if value == hit.before || !is_from {
                    return;
                }
                Some(changed_data(trigger, &event.device, path, value, hit.before, event.at))
            }
            (TriggerKind::Presence { status, .. }, EventBody::Presence { .. }) => {
                let comes = hit.before.as_ref().and_then(Json::as_str) != Some(status.as_str());
                return self.look_at_state(&hit, trigger, comes, recorded);
            }
            (TriggerKind::Event { kinds, data: wanted, .. }, _) => event_data(trigger, kinds, wanted, event),
            (TriggerKind::Command { .. }, EventBody::Command(change)) => {
                command_data(trigger, change, hit.command_type, event)
            }
            (TriggerKind::Alarm { .. }, EventBody::Alarm(change)) => alarm_data(trigger, change, event),
            _ => None,
        };
        if let Some(data) = fired {
            let word = word(&trigger.kind);
            let device = (!event.device.is_none()).then(|| (event.device.clone(), event.number));
            let TriggerRef { rule, trigger, .. } = hit.trigger_ref;
            let firing = Firing::new(rule, trigger, word, device, data, event.received_at);
            self.state.fire(firing.by(recorded.seq, &event.cause));
        }
    }

    /// A trigger that looks at a state. `comes`: the state may have come about with this event.
    fn look_at_state(&mut self, hit: &TriggerCandidate, trigger: &Trigger, comes: bool, recorded: &Recorded) {
        let event = &recorded.event;
        let (number, at) = (hit.trigger_ref.trigger, event.received_at);
        let key = ScopeKey { device: event.number, rule: hit.trigger_ref.rule };
        let Some(twin) = self.world.twin(event.device.as_str()) else { return };
        let stands = stands(trigger, twin);
        let latch = self.state.scopes.get(key).and_then(|scope| scope.latch(number));
        let previous = hit.before.clone();
        let firing = || {
            let device = Some((event.device.clone(), event.number));
            let data = state_data(trigger, twin, previous, at);
            let word = word(&trigger.kind);
            Firing::new(key.rule, number, word, device, data, at).by(recorded.seq, &event.cause)
        };
        match (latch, stands) {
            (None, Some(TriggerLevel::Holds)) if comes => match trigger.for_ms {
                Some(for_ms) => {
                    let pending = Pending {
                        since: at,
                        until: at.plus_millis(for_ms),
                        seq: recorded.seq,
                        cause: event.cause.clone(),
                        previous: hit.before.clone(),
                    };
                    let latch = Latch::Pending(Box::new(pending));
                    self.state.scopes.entry(key, Some(&event.device)).set_latch(number, Some(latch));
                }
                None => self.fire_latch(firing(), stale(trigger, twin, at)),
            },
            (Some(Latch::Pending(_)), stands) if stands != Some(TriggerLevel::Holds) => {
                self.state.scopes.entry(key, None).set_latch(number, None);
            }
            (Some(Latch::Fired { ran }), Some(TriggerLevel::Over)) => {
                let ran = *ran;
                self.state.scopes.entry(key, None).set_latch(number, None);
                self.release(firing(), ran);
            }
            _ => {}
        }
    }

    /// A trigger fires that is armed. What is too old fires nothing, and leaves it armed.
    fn fire_latch(&mut self, mut firing: Firing, stale: Option<String>) {
        if let Some(why) = stale {
            return self.state.follow_up(Followup::PassOver(Box::new(firing), WhyNot::Stale, why));
        }
        firing.latch = true;
        let key = ScopeKey::new(firing.rule, firing.device.as_ref());
        let device = firing.device.as_ref().map(|(id, _)| id);
        let latch = Latch::Fired { ran: None };
        self.state.scopes.entry(key, device).set_latch(firing.index, Some(latch));
        self.state.fire(firing);
    }

    /// Ends what a trigger fired for.
    fn release(&mut self, mut firing: Firing, ran: Option<RunId>) {
        let Some(ran) = ran else { return };
        if !self.index.rule(firing.rule).on_release.is_empty() {
            firing.kind = RunKind::Release;
            firing.latch = true;
            firing.after = Some(ran);
            self.state.fire(firing);
        }
    }

    /// A `for` is over: does it still hold?
    pub fn latch_is_due(
        &mut self,
        key: ScopeKey,
        number: u16,
        pending: Pending,
        device: Option<DeviceId>,
        at: Timestamp,
    ) {
        self.state.scopes.entry(key, None).set_latch(number, None);
        let trigger = self.index.rule(key.rule).triggers.get(usize::from(number));
        let (Some(device), Some(trigger)) = (device, trigger) else { return };
        let Some(twin) = self.world.twin(device.as_str()) else { return };
        if stands(trigger, twin) != Some(TriggerLevel::Holds) {
            return;
        }
        let stale = stale(trigger, twin, at);
        let mut data = state_data(trigger, twin, pending.previous, at);
        data.insert("since", pending.since.to_string().into());
        let device = Some((device, key.device));
        let firing = Firing::new(key.rule, number, word(&trigger.kind), device, data, at);
        self.fire_latch(firing.by(pending.seq, &pending.cause), stale);
    }
}
