//! The alarms: holds the active ones, so that two rules that raise the same one at once make one of it. A request
//! changes its memory at once, becomes durable by the journal, and is answered after that.
//!
//! An alarm that is over leaves memory as soon as the store has it so; to be acknowledged later it is looked up
//! there.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use actix::{Actor, ActorFutureExt, Addr, AsyncContext, Context, Handler, Message, WrapFuture};
use tracing::{info, warn};
use uuid::ContextV7;

use crate::backoff::until_answered;
use crate::clock::new_id_at;
use crate::counters::Counters;
use crate::journal::Journal;
use crate::log_throttle::LogThrottle;
use crate::mailbox::{send_reply, try_send_unbounded};
use crate::messages::alarms::{
    Acknowledge, AlarmReply, Clear, ClearType, ForgetDeviceAlarms, Raise, SettleLimits,
};
use crate::messages::journal::Append;
use crate::places::Places;
use twinhub_access::Reach;
use twinhub_domain::alarm::{ActiveAlarms, Alarm, AlarmChange, AlarmId, AlarmStep, Raised, Severity, who};
use twinhub_domain::cause::Source;
use twinhub_domain::receipt::{Accepted, Receipt};
use twinhub_domain::{Cause, Clock, DeviceId, DeviceNumber, Event, EventBody, Timestamp};
use twinhub_store::{AlarmQuery, AutomationChanges, Store};

/// Alarms read from the store with one query.
const PAGE: u64 = 1_000;
/// The beginning of the types of alarms about limits, before the reading's name.
const OF_LIMIT: &str = "limit.";
/// The name in the causes of these.
const BY_LIMITS: &str = "limits";

/// A change of an alarm is settled.
#[derive(Message)]
#[rtype(result = "()")]
struct AlarmChangeSettled {
    id: AlarmId,
}

/// The actor of the alarms.
pub struct Alarms {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    journal: Addr<Journal>,
    counters: Arc<Counters>,
    places: Arc<Places>,
    book: ActiveAlarms,
    /// Alarms whose changes are on their way to the store, as they are after them, and the number of those changes. The
    /// store's rows of these are behind.
    unsettled: HashMap<AlarmId, (Alarm, u32)>,
    /// The requests that wait for an alarm's look-up.
    waiting_requests: HashMap<AlarmId, Vec<AlarmRequest>>,
    /// Devices that were removed: any later input about them is late.
    gone: HashSet<DeviceNumber>,
    ids: ContextV7,
    pending: Arc<AtomicU32>,
    log_throttle: LogThrottle,
}

/// Something for an alarm that is known by its id.
struct AlarmRequest {
    what: AlarmRequestKind,
    reach: Reach,
    cause: Cause,
    reply: AlarmCallback,
}

#[derive(Clone, Copy)]
enum AlarmRequestKind {
    Clear,
    Acknowledge,
}

/// Called with the result once that is durable; none where there is no such alarm.
type AlarmCallback = Box<dyn FnOnce(Option<AlarmReply>) + Send>;

impl Alarms {
    /// The alarms that `store` knows; they are read as it starts.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        journal: Addr<Journal>,
        counters: Arc<Counters>,
        places: Arc<Places>,
    ) -> Self {
        Self {
            store,
            clock,
            journal,
            counters,
            places,
            book: ActiveAlarms::default(),
            unsettled: HashMap::new(),
            waiting_requests: HashMap::new(),
            gone: HashSet::new(),
            ids: ContextV7::new(),
            pending: Arc::default(),
            log_throttle: LogThrottle::default(),
        }
    }

    fn handle_request(&mut self, id: AlarmId, request: AlarmRequest, ctx: &mut Context<Self>) {
        if let Some(waiting) = self.waiting_requests.get_mut(&id) {
            waiting.push(request); // each finds what the one before it made of it
            return;
        }
        if let Some(alarm) = self.known(id) {
            return self.apply_request(&alarm, request, ctx);
        }
        self.waiting_requests.insert(id, vec![request]);
        let found = look_up(Arc::clone(&self.store), id);
        ctx.spawn(found.into_actor(self).map(move |found, this, ctx| this.found(id, found, ctx)));
    }

    /// Answers the requests that waited for this alarm, in order.
    fn found(&mut self, id: AlarmId, found: Option<Alarm>, ctx: &mut Context<Self>) {
        for request in self.waiting_requests.remove(&id).into_iter().flatten() {
            match self.known(id).or_else(|| found.clone()) {
                Some(alarm) => self.apply_request(&alarm, request, ctx),
                None => (request.reply)(None),
            }
        }
    }

    /// The alarm as it is in memory, where it is; if not, the store knows all of it.
    fn known(&self, id: AlarmId) -> Option<Alarm> {
        self.unsettled.get(&id).map(|(alarm, _)| alarm).or_else(|| self.book.get(id)).cloned()
    }

    fn apply_request(
        &mut self,
        alarm: &Alarm,
        AlarmRequest { what, reach, cause, reply }: AlarmRequest,
        ctx: &mut Context<Self>,
    ) {
        if !reach.is_everywhere() && !self.places.read().has_number(&reach, alarm.number) {
            return reply(None);
        }
        let (now, by) = (self.clock.now(), who(&cause));
        let change = match what {
            AlarmRequestKind::Clear => alarm.clear(&by, now),
            AlarmRequestKind::Acknowledge => alarm.acknowledge(&by, now),
        };
        match change {
            Some(change) => {
                self.book.put(change.alarm.clone());
                self.commit(change, cause, now, reply, ctx);
            }
            None => self.answer_later(Some(alarm.clone()), reply),
        }
    }

    fn commit(
        &mut self,
        change: AlarmChange,
        cause: Cause,
        now: Timestamp,
        reply: AlarmCallback,
        ctx: &mut Context<Self>,
    ) {
        self.log(&change);
        let alarm = change.alarm.clone();
        let id = alarm.id;
        let (latest, changes) = self.unsettled.entry(id).or_insert_with(|| (alarm.clone(), 0));
        latest.clone_from(&alarm);
        *changes += 1;
        self.count();
        let device = alarm.originator.device().cloned();
        let event = Event {
            // An alarm about a rule is no device's, whichever device fired it.
            number: if device.is_some() { alarm.number } else { DeviceNumber(0) },
            device: device.unwrap_or_else(DeviceId::none),
            at: now.into(),
            received_at: now,
            body: EventBody::Alarm(Box::new(change)),
            cause,
        };
        let automation = AutomationChanges { alarms: vec![alarm.clone()], ..AutomationChanges::default() };
        let me = ctx.address();
        let receipt = Receipt::new(move |settled| {
            // Lost only when the hub shuts down; then no caller may be told that it was done.
            if let Ok(Accepted { seq, .. }) = settled {
                let _ = try_send_unbounded(&me, AlarmChangeSettled { id });
                reply(Some(AlarmReply { alarm: Some(alarm), seq }));
            }
        });
        self.append(vec![event], automation, receipt);
    }

    /// Alarms that begin and end are in the log too: an operator may look nowhere else.
    fn log(&mut self, AlarmChange { step, alarm }: &AlarmChange) {
        let word = match step {
            AlarmStep::Raised => "raised",
            AlarmStep::Cleared => "cleared",
            AlarmStep::Repeated | AlarmStep::Acknowledged => return,
        };
        let Some(left_out) = self.log_throttle.permit(&alarm.alarm_type, self.clock.uptime_ms()) else {
            return;
        };
        let device = alarm.originator.device().map(tracing::field::display);
        let rule = alarm.rule.as_ref().map(tracing::field::display);
        let (alarm_type, severity, message) = (&*alarm.alarm_type, alarm.severity.as_str(), &*alarm.message);
        if *step == AlarmStep::Raised && alarm.severity >= Severity::Major {
            warn!(alarm_type, device, rule, severity, message, left_out, "alarm {word}");
        } else {
            info!(alarm_type, device, rule, severity, message, left_out, "alarm {word}");
        }
    }

    /// Answers a request that changed nothing. The alarm in the answer may be on its way to the store still, so the
    /// answer follows that.
    fn answer_later(&self, alarm: Option<Alarm>, reply: AlarmCallback) {
        let receipt = Receipt::new(move |settled| {
            if settled.is_ok() {
                reply(Some(AlarmReply { alarm, seq: None }));
            }
        });
        self.append(Vec::new(), AutomationChanges::default(), receipt);
    }

    fn append(&self, events: Vec<Event>, automation: AutomationChanges, receipt: Receipt) {
        self.pending.fetch_add(1, Ordering::AcqRel);
        let append = Append {
            automation: (!automation.is_empty()).then(|| Box::new(automation)),
            pending: Arc::clone(&self.pending),
            ..Append::beside_twins(events, receipt)
        };
        // Without a journal the hub is shutting down, and the receipt is lost.
        let _ = try_send_unbounded(&self.journal, append);
    }

    /// The next alarm's id, in the order of time.
    fn next_id(&self, now: Timestamp) -> AlarmId {
        AlarmId(new_id_at(&self.ids, now))
    }

    fn count(&self) {
        self.counters.alarms_active.store(self.book.len() as u64, Ordering::Relaxed);
    }
}

/// All that are active, the newest first, however often the store has to be asked.
async fn load(store: Arc<dyn Store>) -> Vec<Alarm> {
    let mut alarms = Vec::new();
    loop {
        let offset = alarms.len() as u64;
        let query = AlarmQuery { active: Some(true), offset, limit: PAGE, ..AlarmQuery::default() };
        let page = until_answered("the active alarms", || store.alarms(&query)).await;
        let is_last = (page.alarms.len() as u64) < PAGE;
        alarms.extend(page.alarms);
        if is_last {
            return alarms;
        }
    }
}

async fn look_up(store: Arc<dyn Store>, id: AlarmId) -> Option<Alarm> {
    until_answered("an alarm", || store.alarm(id)).await
}

impl Actor for Alarms {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        // Whatever comes waits until it is known what is active: it would be made a second time.
        ctx.wait(load(Arc::clone(&self.store)).into_actor(self).map(|alarms, this, _| {
            for alarm in alarms.into_iter().rev() {
                this.book.put(alarm);
            }
            this.count();
        }));
    }
}

impl Handler<Raise> for Alarms {
    type Result = ();

    fn handle(&mut self, raise: Raise, ctx: &mut Context<Self>) {
        let Raise { of, number, alarm_type, severity, message, rule, cause, reply } = raise;
        let reply: AlarmCallback = callback_for(reply);
        if of.device().is_some() && self.gone.contains(&number) {
            return self.answer_later(None, reply);
        }
        let run = cause.run.as_ref().map(|run| run.id);
        let raised = Raised { of, number, alarm_type, severity, message: message.into(), rule, run };
        let now = self.clock.now();
        let change = self.book.raise(self.next_id(now), raised, now);
        self.commit(change, cause, now, reply, ctx);
    }
}

impl Handler<ClearType> for Alarms {
    type Result = ();

    fn handle(&mut self, clear: ClearType, ctx: &mut Context<Self>) {
        let ClearType { of, alarm_type, cause, reply } = clear;
        let now = self.clock.now();
        let reply: AlarmCallback = callback_for(reply);
        match self.book.clear(&of, &alarm_type, &who(&cause), now) {
            Some(change) => self.commit(change, cause, now, reply, ctx),
            None => self.answer_later(None, reply),
        }
    }
}

impl Handler<SettleLimits> for Alarms {
    type Result = ();

    fn handle(&mut self, settle: SettleLimits, ctx: &mut Context<Self>) {
        let SettleLimits { of, number, alarming } = settle;
        if self.gone.contains(&number) {
            return;
        }
        let (now, cause) = (self.clock.now(), Cause::new(Source::Hub, BY_LIMITS));
        let goes_on = |alarm_type: &str| {
            let reading = alarm_type.strip_prefix(OF_LIMIT);
            reading.is_none_or(|reading| alarming.iter().any(|fault| *fault.reading == *reading))
        };
        let of_device = self.book.of_originator(&of).filter(|alarm| alarm.number == number);
        let over: Vec<Box<str>> = of_device
            .map(|alarm| alarm.alarm_type.clone())
            .filter(|alarm_type| !goes_on(alarm_type))
            .collect();
        for alarm_type in over {
            if let Some(change) = self.book.clear(&of, &alarm_type, &who(&cause), now) {
                self.commit(change, cause.clone(), now, Box::new(drop), ctx);
            }
        }
        for fault in alarming.into_iter().filter(|fault| fault.begins) {
            let alarm_type: Box<str> = format!("{OF_LIMIT}{}", fault.reading).into();
            if self.book.of(&of, &alarm_type).is_some_and(|alarm| alarm.number == number) {
                continue; // told before the twin was last begun
            }
            let raised = Raised {
                of: of.clone(),
                number,
                alarm_type,
                severity: Severity::Warning,
                message: fault.message.into(),
                rule: None,
                run: None,
            };
            let change = self.book.raise(self.next_id(now), raised, now);
            self.commit(change, cause.clone(), now, Box::new(drop), ctx);
        }
    }
}

/// A reply where there always is a result.
fn callback_for(reply: tokio::sync::oneshot::Sender<AlarmReply>) -> AlarmCallback {
    Box::new(move |answer| {
        if let Some(answer) = answer {
            send_reply(reply, answer);
        }
    })
}

impl Handler<Clear> for Alarms {
    type Result = ();

    fn handle(&mut self, Clear { id, reach, cause, reply }: Clear, ctx: &mut Context<Self>) {
        let reply: AlarmCallback = Box::new(move |answer| send_reply(reply, answer));
        self.handle_request(id, AlarmRequest { what: AlarmRequestKind::Clear, reach, cause, reply }, ctx);
    }
}

impl Handler<Acknowledge> for Alarms {
    type Result = ();

    fn handle(&mut self, Acknowledge { id, reach, cause, reply }: Acknowledge, ctx: &mut Context<Self>) {
        let reply: AlarmCallback = Box::new(move |answer| send_reply(reply, answer));
        self.handle_request(
            id,
            AlarmRequest { what: AlarmRequestKind::Acknowledge, reach, cause, reply },
            ctx,
        );
    }
}

impl Handler<ForgetDeviceAlarms> for Alarms {
    type Result = ();

    fn handle(&mut self, ForgetDeviceAlarms { number }: ForgetDeviceAlarms, _: &mut Context<Self>) {
        self.gone.insert(number);
        let now = self.clock.now();
        let forgotten = self.book.forget(number);
        self.count();
        // The store has removed what it had. What was on its way to it then may come behind that, and must not
        // be active for ever.
        let late = forgotten.into_iter().filter(|alarm| self.unsettled.contains_key(&alarm.id));
        let cleared = late.filter_map(|alarm| alarm.clear(&who(&Cause::hub()), now));
        let alarms: Vec<Alarm> = cleared.map(|change| change.alarm).collect();
        if !alarms.is_empty() {
            self.append(
                Vec::new(),
                AutomationChanges { alarms, ..AutomationChanges::default() },
                Receipt::ignored(),
            );
        }
    }
}

impl Handler<AlarmChangeSettled> for Alarms {
    type Result = ();

    fn handle(&mut self, AlarmChangeSettled { id }: AlarmChangeSettled, _: &mut Context<Self>) {
        if let Some((_, changes)) = self.unsettled.get_mut(&id) {
            *changes -= 1;
            if *changes == 0 {
                self.unsettled.remove(&id);
            }
        }
    }
}

#[cfg(test)]
mod tests;
