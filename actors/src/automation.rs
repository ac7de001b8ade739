//! Automation: the rules, live. It follows the feed, lets the pure [`Engine`] say what is to be done, has it
//! done through the same doors that people use, and keeps what the engine must remember.
//!
//! # What is durable
//! The engine's memory is a function of the sequence and the time. It is kept, with the place in the sequence up
//! to which it is true, a moment after what it did; a crash in between makes the same runs again, by the same
//! names, and whoever is asked for a thing twice knows it by that name.
//!
//! # The order of time
//! Before the engine's time goes on, everything that happened until then has been seen: a timer that is due waits
//! for the journal, and for the feed to come as far. So the live run is the one that a backtest makes of the same
//! events.

pub mod files;
mod library;
#[cfg(test)]
pub mod look;
mod perform;
mod reading;
mod requests;
mod starting;

pub use perform::appending;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use actix::{Actor, ActorFutureExt, Addr, AsyncContext, Context, Handler, Message, WrapFuture};
use tokio::sync::{broadcast, oneshot};
use tracing::{error, warn};

use self::library::Library;
use crate::alarms::Alarms;
use crate::counters::{Counters, add, get, up};
use crate::domain::alarm::{Originator, Severity};
use crate::domain::event::{RunCause, Source};
use crate::domain::rules::{
    Act, ActId, ActResult, Deed, Engine, Kept, RuleId, RunEntry, RunId, RunOutcome, Signal, Step,
};
use crate::domain::{Cause, Clock, DeviceId, DeviceNumber, Event, EventBody, Recorded, Timestamp};
use crate::feed::Feed;
use crate::journal::Journal;
use crate::messages::alarms::Raise;
use crate::messages::automation::{Due, Flush, LoadFiles};
use crate::messages::journal::Barrier;
use crate::messages::timers::ArmAutomation;
use crate::mqtt::listening::Listening;
use crate::post::post;
use crate::receipt::Receipt;
use crate::store::{self, AutomationState, Progress, Store};
use crate::supervisor::Supervisor;
use crate::timers::Timers;
use crate::webhooks::Webhooks;

/// What is to be kept gathers for so long: one commit for many runs, beside what they ask for.
const GATHER: Duration = Duration::from_millis(25);
/// The place in the sequence is kept so often at least while it moves.
const KEEP_PLACE_EVERY: Duration = Duration::from_secs(2);
/// What was asked for holds the engine's time back no longer than this.
const LONGEST_HOLD_MS: u64 = 2_000;
/// A clock that was set forward by more than this is as good as a time in which the hub was down.
const JUMP_MS: i64 = 10_000;
/// What the alarm of a rule that was stopped is called.
const STOPPED: &str = "rule-stopped";

/// What automation works with.
pub struct Around {
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    pub journal: Addr<Journal>,
    pub feed: Addr<Feed>,
    pub supervisor: Addr<Supervisor>,
    pub timers: Addr<Timers>,
    pub alarms: Addr<Alarms>,
    pub webhooks: Addr<Webhooks>,
    pub counters: Arc<Counters>,
    /// The topics that rules listen to.
    pub listening: Arc<Listening>,
    /// The keys that webhooks are signed with.
    pub keys: Arc<RwLock<Keys>>,
}

/// Keys by rule and step.
pub type Keys = BTreeMap<(RuleId, u32), String>;

type Batch = Arc<[Arc<Recorded>]>;
type Later = Box<dyn FnOnce(&mut Automation, &mut Context<Automation>)>;

/// See the module.
pub struct Automation {
    around: Arc<Around>,
    library: Library,
    engine: Engine,
    phase: Phase,
    /// None while it is read from.
    live: Option<broadcast::Receiver<Batch>>,
    /// A batch that came while the engine waited for twins.
    stash: Option<Batch>,
    /// The last event that the engine has seen.
    cursor: u64,
    /// The last that is kept as seen.
    kept: u64,
    news: News,
    /// The rules that people were told of, by name and fingerprint.
    told: BTreeMap<RuleId, u64>,
    /// Acts that were not answered yet.
    under_way: usize,
    /// Since when there are any, on the clock that only counts.
    busy_since: u64,
    /// A save is under way in [`GATHER`].
    gathering: bool,
    /// The moment that the engine's time is to go on to, once it has seen everything up to there in the sequence.
    due: Option<(Timestamp, u64)>,
    /// It waits for the journal before the time goes on.
    comes_due: bool,
    armed: Option<Timestamp>,
    /// The clock on the wall and the one that only counts, when they were last compared.
    compared: (Timestamp, u64),
}

enum Phase {
    /// It waits for the store and the first files.
    Starting {
        state: Option<AutomationState>,
        files: Option<LoadFiles>,
        later: Vec<Later>,
    },
    /// The engine waits for twins or for the past.
    Reading {
        later: Vec<Later>,
    },
    Running,
}

/// What is to be kept and told with the next save.
#[derive(Default)]
struct News {
    entries: BTreeMap<RunId, RunEntry>,
    events: Vec<Event>,
    scopes: Vec<Kept>,
    /// What one rule said of another.
    rules: Vec<store::RuleRecord>,
}

/// An act was done.
#[derive(Message)]
#[rtype(result = "()")]
struct Done {
    act: ActId,
    result: ActResult,
    /// The engine's time and the clock's when it was asked for.
    asked: (Timestamp, Timestamp),
}

impl Automation {
    /// Automation that begins with the first [`LoadFiles`].
    #[must_use]
    pub fn new(around: Around) -> Self {
        let now = around.clock.now();
        let compared = (now, around.clock.uptime_ms());
        Self {
            around: Arc::new(around),
            library: Library::default(),
            engine: Engine::new(now),
            phase: Phase::Starting { state: None, files: None, later: Vec::new() },
            live: None,
            stash: None,
            cursor: 0,
            kept: 0,
            news: News::default(),
            told: BTreeMap::new(),
            under_way: 0,
            busy_since: 0,
            gathering: false,
            due: None,
            comes_due: false,
            armed: None,
            compared,
        }
    }

    /// Does it now, or as soon as the engine is ready.
    fn when_ready(
        &mut self,
        ctx: &mut Context<Self>,
        what: impl FnOnce(&mut Self, &mut Context<Self>) + 'static,
    ) {
        match &mut self.phase {
            Phase::Starting { later, .. } | Phase::Reading { later } => later.push(Box::new(what)),
            Phase::Running => what(self, ctx),
        }
    }

    /// The engine is ready: does what waited for it, and follows the feed.
    fn run(&mut self, ctx: &mut Context<Self>) {
        let later = match std::mem::replace(&mut self.phase, Phase::Running) {
            Phase::Starting { later, .. } | Phase::Reading { later } => later,
            Phase::Running => Vec::new(),
        };
        if let Some(batch) = self.stash.take() {
            self.took(&batch, ctx);
        }
        self.after(ctx);
        self.pull(ctx);
        for what in later {
            self.when_ready(ctx, what); // one of them may send the engine reading again
        }
    }

    /// Waits for the next batch of the feed.
    fn pull(&mut self, ctx: &mut Context<Self>) {
        let Some(mut live) = self.live.take() else { return }; // it is waited for already
        let next = async move {
            let got = live.recv().await;
            (live, got)
        };
        ctx.spawn(next.into_actor(self).map(|(live, got), this, ctx| {
            this.live = Some(live);
            match (got, &this.phase) {
                (Ok(batch), Phase::Running) => {
                    this.took(&batch, ctx);
                    this.take_more(ctx);
                }
                (Ok(batch), _) => return this.stash = Some(batch),
                (Err(broadcast::error::RecvError::Lagged(_)), _) => return this.catch_up(ctx),
                (Err(broadcast::error::RecvError::Closed), _) => return, // the hub goes down
            }
            this.pull(ctx);
        }));
    }

    /// What has come meanwhile, without a wait between.
    fn take_more(&mut self, ctx: &mut Context<Self>) {
        while let Some(live) = &mut self.live
            && let Ok(batch) = live.try_recv()
        {
            self.took(&batch, ctx);
        }
        self.after(ctx);
    }

    fn took(&mut self, batch: &[Arc<Recorded>], ctx: &mut Context<Self>) {
        for recorded in batch {
            if recorded.seq > self.cursor {
                self.see(recorded, true, ctx);
            }
        }
    }

    /// The engine sees the next event.
    fn see(&mut self, recorded: &Recorded, is_new: bool, ctx: &mut Context<Self>) {
        self.cursor = recorded.seq;
        let step = self.engine.observe(recorded);
        self.take(step, is_new, ctx);
    }

    /// Does what a step of the engine came to, and all that follows from it at once.
    fn take(&mut self, step: Step, is_new: bool, ctx: &mut Context<Self>) {
        let mut steps = vec![step];
        while let Some(Step { acts, entries, stopped }) = steps.pop() {
            for entry in entries {
                self.note(entry.entry, entry.tell);
            }
            for (rule, why) in stopped {
                self.tell_stopped(&rule, why);
            }
            for act in acts {
                match act.deed {
                    Deed::Enable { ref rule, enabled } => {
                        let rule = rule.clone();
                        self.enable_by_rule(rule, enabled, &act.cause);
                        steps.push(self.engine.done(act.id, ActResult::default(), self.around.clock.now()));
                    }
                    _ => self.perform(act, is_new, ctx),
                }
            }
        }
    }

    fn perform(&mut self, act: Act, is_new: bool, ctx: &Context<Self>) {
        self.under_way += 1;
        let (around, me, id) = (Arc::clone(&self.around), ctx.address(), act.id);
        let asked = (self.engine.now(), around.clock.now());
        if self.under_way == 1 {
            self.busy_since = around.clock.uptime_ms();
        }
        up(&around.counters.rule_acts);
        // Beside the actor: it would look at all of them again whenever one of them moves.
        actix_rt::spawn(async move {
            let result = perform::perform(&around, act, is_new).await;
            let _ = post(&me, Done { act: id, result, asked }); // gone, it does it again at the next start
        });
    }

    fn note(&mut self, entry: RunEntry, tell: bool) {
        let counters = &self.around.counters;
        match entry.outcome {
            RunOutcome::NotRun { .. } => up(&counters.rule_refusals),
            RunOutcome::Running => {}
            _ => up(&counters.rule_runs),
        }
        if tell {
            let event = self.event_of(&entry);
            self.news.events.push(event);
        }
        self.news.entries.insert(entry.id, entry);
    }

    fn event_of(&self, entry: &RunEntry) -> Event {
        let run = RunCause { id: entry.id, depth: entry.depth, even_in_manual: false };
        let cause = Cause { run: Some(Arc::new(run)), ..Cause::new(Source::Rule, entry.rule.as_str()) };
        let device = entry.device.clone().unwrap_or_else(DeviceId::none);
        let now = self.around.clock.now();
        let body = EventBody::Rule(Box::new(entry.clone()));
        Event { device, number: entry.number, at: now, received_at: now, body, cause }
    }

    fn signal(&self, signal: Signal, cause: Cause) -> Event {
        let now = self.around.clock.now();
        let body = EventBody::Signal(Box::new(signal));
        let (device, number) = (DeviceId::none(), DeviceNumber::default());
        Event { device, number, at: now, received_at: now, body, cause }
    }

    /// A rule was stopped, by the breaker or by a panic: people are told by an alarm.
    fn tell_stopped(&mut self, rule: &RuleId, why: Box<str>) {
        error!(%rule, "rule stopped: {why}");
        let raise = Raise {
            of: Originator::Rule(rule.clone()),
            number: DeviceNumber::default(),
            alarm_type: STOPPED.into(),
            severity: Severity::Major,
            message: format!("the rule was stopped: {why}"),
            rule: Some(rule.clone()),
            cause: Cause::new(Source::Rule, rule.as_str()),
            reply: oneshot::channel().0, // nobody waits for it
        };
        let _ = post(&self.around.alarms, raise); // it goes with us
        let signal = self.signal(Signal::Stopped { rule: rule.clone(), why }, Cause::hub());
        self.news.events.push(signal);
    }

    /// After anything: what changed is kept soon, and the next deadline is waited for.
    fn after(&mut self, ctx: &mut Context<Self>) {
        self.gather(ctx);
        self.go_on(ctx);
        if let Some(next) = self.engine.next()
            && self.armed.is_none_or(|armed| next < armed)
        {
            self.armed = Some(next);
            let _ = post(&self.around.timers, ArmAutomation { at: next }); // it goes with us
        }
    }

    /// What is new is kept in a moment, with all that comes until then.
    fn gather(&mut self, ctx: &mut Context<Self>) {
        self.news.scopes.extend(self.engine.take_changes());
        if !self.news.is_empty() && !self.gathering {
            self.gathering = true;
            ctx.run_later(GATHER, |this, _| {
                this.gathering = false;
                this.save();
            });
        }
    }

    /// Commits what is new, with the place up to which it is true.
    fn save(&mut self) {
        self.news.scopes.extend(self.engine.take_changes());
        if self.news.is_empty() && self.cursor == self.kept {
            return;
        }
        let News { entries, events, scopes, rules } = std::mem::take(&mut self.news);
        self.kept = self.cursor;
        let kept = store::Automation {
            progress: Some(Progress { seq: self.cursor, time: self.engine.now() }),
            kept: scopes,
            runs: entries.into_values().collect(),
            rules,
            ..store::Automation::default()
        };
        let journal = self.around.journal.clone();
        // The journal does it before all that is told to it later; it tries for ever.
        let append = appending(events, Vec::new(), kept, Receipt::nobody());
        if post(&journal, append).is_err() {
            warn!("the journal is gone, what rules did last is made again at the next start");
        }
    }

    /// A deadline is due: the engine's time goes on once it has seen all that happened before.
    fn come_due(&mut self, ctx: &mut Context<Self>) {
        self.armed = None;
        let now = self.around.clock.now();
        if self.has_jumped(now) {
            return;
        }
        self.comes_due = true;
        let (reply, committed) = oneshot::channel();
        let _ = post(&self.around.journal, Barrier { reply }); // gone, the wait ends
        ctx.spawn(committed.into_actor(self).map(move |committed, this, ctx| {
            this.comes_due = false;
            if committed.is_ok() {
                this.due = Some((now, get(&this.around.counters.seq)));
                this.when_ready(ctx, Self::after);
            }
        }));
    }

    /// Lets the engine's time go on, where it has seen enough for that.
    fn go_on(&mut self, ctx: &mut Context<Self>) {
        while let Some((now, seq)) = self.due
            && self.cursor >= seq
            && matches!(self.phase, Phase::Running)
            && !self.holds_time()
        {
            // From one deadline to the next, so that what comes of one is done before the next.
            let to = self.engine.next().map_or(now, |next| next.min(now));
            if to == now {
                self.due = None;
            }
            let step = self.engine.advance(to);
            self.take(step, true, ctx);
            self.gather(ctx);
        }
    }

    /// Time does not go on before what was asked for is done, unless that takes too long.
    fn holds_time(&self) -> bool {
        self.under_way > 0 && self.around.clock.uptime_ms().saturating_sub(self.busy_since) < LONGEST_HOLD_MS
    }

    /// Was the clock set forward? Then what fell due in between is treated as after a time of being down.
    fn has_jumped(&mut self, now: Timestamp) -> bool {
        let uptime = self.around.clock.uptime_ms();
        let (then, counted) = std::mem::replace(&mut self.compared, (now, uptime));
        let passed = i64::try_from(uptime.saturating_sub(counted)).unwrap_or(i64::MAX);
        let jumped = now.millis() - then.millis() - passed > JUMP_MS;
        if jumped {
            let down_since = then.plus_millis(passed);
            let event = self.signal(Signal::Started { down_since }, Cause::hub());
            self.news.events.push(event);
            self.save();
        }
        jumped
    }
}

impl News {
    fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.events.is_empty() && self.scopes.is_empty() && self.rules.is_empty()
    }
}

impl Actor for Automation {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.run_interval(KEEP_PLACE_EVERY, |this, ctx| {
            if matches!(this.phase, Phase::Running) {
                this.go_on(ctx); // where something has held the time for too long
                this.save();
            }
        });
        self.ask_store(ctx);
    }
}

impl Handler<Done> for Automation {
    type Result = ();

    fn handle(&mut self, Done { act, result, asked }: Done, ctx: &mut Context<Self>) {
        self.under_way -= 1;
        // So long after the engine's own time as it took: that may be behind the clock's.
        let took = self.around.clock.now().millis() - asked.1.millis();
        let step = self.engine.done(act, result, asked.0.plus_millis(took.max(0)));
        self.take(step, true, ctx);
        self.after(ctx);
    }
}

impl Handler<Due> for Automation {
    type Result = ();

    fn handle(&mut self, _: Due, ctx: &mut Context<Self>) {
        self.when_ready(ctx, Self::come_due);
    }
}

impl Handler<Flush> for Automation {
    type Result = ();

    fn handle(&mut self, Flush { reply }: Flush, _: &mut Context<Self>) {
        if matches!(self.phase, Phase::Running) {
            self.save();
        }
        let _ = reply.send(()); // whoever waited may have gone
    }
}

impl Around {
    fn count_rules(&self, rules: usize) {
        self.counters.rules.store(rules as u64, Ordering::Relaxed);
        add(&self.counters.rule_loads, 1);
    }
}
