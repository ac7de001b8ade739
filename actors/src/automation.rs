//! Automation: the rules, live. It follows the feed, lets the pure [`Engine`] say what is to be done, has it
//! done through the same messages that people's requests use, and keeps what the engine must remember.
//!
//! # What is durable
//! The engine's memory is a function of the sequence and the time. It is kept, with the place in the sequence up
//! to which it is true, a moment after what it did; a crash in between makes the same runs again, by the same
//! names, and a receiver that is asked twice knows the effect by that name.
//!
//! # The order of time
//! Before the engine's time goes on, everything that happened until then has been seen: a timer that is due waits
//! for the journal, and for the feed to come as far. So the live run is the one that a backtest makes of the same
//! events.

mod announcements;
mod authors;
mod confined;
pub mod files;
mod following;
#[cfg(test)]
pub mod idle_check;
mod library;
mod pending;
mod perform;
mod reading;
mod requests;
mod signed;
mod starting;
mod templates;

pub(crate) use reading::query_of;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use actix::{Actor, ActorFutureExt, Addr, AsyncContext, Context, Handler, Message, WrapFuture};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::oneshot;
use tracing::warn;

use self::announcements::Announcements;
pub use self::authors::Authors;
use self::following::{EventFollower, NextStep};
use self::library::Library;
use self::pending::{PendingWrites, signal_event};
use self::signed::SignedDeliveries;
use crate::alarms::Alarms;
use crate::counters::{Counters, add, get, up};
use crate::feed::Feed;
use crate::journal::Journal;
use crate::mailbox::{send_reply, try_send_unbounded};
use crate::messages::automation::{AutomationDue, Flush, LoadFiles};
use crate::messages::journal::Barrier;
use crate::messages::timers::ArmAutomation;
use crate::supervisor::Supervisor;
use crate::timers::Timers;
use crate::webhooks::Webhooks;
use twinhub_domain::run::{AutomationSignal, RuleId};
use twinhub_domain::{Cause, Clock, Event, Recorded, Timestamp};
use twinhub_mqtt::rule_topics::RuleTopics;
use twinhub_rules::analysis::Warning;
use twinhub_rules::file::SecretNames;
use twinhub_rules::{Effect, EffectId, EffectRequest, EffectResult, Engine, EngineOutput};
use twinhub_store::{AutomationState, EngineProgress, Store};

/// The time for which writes gather: one commit for many runs, beside what they ask for.
const GATHER: Duration = Duration::from_millis(25);
/// Without rules the feed is looked at so often: far less than a feed keeps comes meanwhile.
const REST: Duration = Duration::from_millis(20);
/// The place in the sequence is kept so often at least while it moves.
const KEEP_PLACE_EVERY: Duration = Duration::from_secs(2);

/// The parts that automation works with.
pub struct AutomationDeps {
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
    pub rule_topics: Arc<RuleTopics>,
    /// The keys that webhooks are signed with.
    pub keys: Arc<RwLock<RuleKeys>>,
    /// The secrets that rules may sign with.
    pub secrets: SecretNames,
    pub authors: Authors,
}

/// Keys by rule and step.
pub type RuleKeys = BTreeMap<(RuleId, u32), String>;

type DeferredWork = Box<dyn FnOnce(&mut Automation, &mut Context<Automation>)>;

/// The rules, live.
pub struct Automation {
    deps: Arc<AutomationDeps>,
    library: Library,
    engine: Engine,
    phase: AutomationPhase,
    following: EventFollower,
    pending: PendingWrites,
    announcements: Announcements,
    signed: SignedDeliveries,
}

enum AutomationPhase {
    /// It waits for the store and the first files.
    Starting {
        state: Option<AutomationState>,
        files: Option<LoadFiles>,
        later: Vec<DeferredWork>,
    },
    /// The engine waits for twins or for the past.
    Reading {
        later: Vec<DeferredWork>,
    },
    Running,
}

/// An effect was done.
#[derive(Message)]
#[rtype(result = "()")]
struct EffectDone {
    id: EffectId,
    result: EffectResult,
    requested_at: EffectRequestTime,
}

/// Rights of some people or keys have ended.
#[derive(Message)]
#[rtype(result = "()")]
struct AuthorsChanged;

/// When an effect was requested.
#[derive(Clone, Copy)]
struct EffectRequestTime {
    /// By the engine's time.
    at: Timestamp,
    /// By the clock that only counts.
    uptime_ms: u64,
    /// [`EventFollower::moves`] then.
    moves: u32,
}

impl Automation {
    /// Automation that begins with the first [`LoadFiles`].
    #[must_use]
    pub fn new(deps: AutomationDeps) -> Self {
        let now = deps.clock.now();
        Self {
            deps: Arc::new(deps),
            library: Library::default(),
            engine: Engine::new(now),
            phase: AutomationPhase::Starting { state: None, files: None, later: Vec::new() },
            following: EventFollower::default(),
            pending: PendingWrites::default(),
            announcements: Announcements::default(),
            signed: SignedDeliveries::default(),
        }
    }

    /// Does it now, or as soon as the engine is ready.
    fn when_ready(
        &mut self,
        ctx: &mut Context<Self>,
        what: impl FnOnce(&mut Self, &mut Context<Self>) + 'static,
    ) {
        match &mut self.phase {
            AutomationPhase::Starting { later, .. } | AutomationPhase::Reading { later } => {
                later.push(Box::new(what));
            }
            AutomationPhase::Running => what(self, ctx),
        }
    }

    /// The engine is ready: does what waited for it, and follows the feed.
    fn run(&mut self, ctx: &mut Context<Self>) {
        let later = match std::mem::replace(&mut self.phase, AutomationPhase::Running) {
            AutomationPhase::Starting { later, .. } | AutomationPhase::Reading { later } => later,
            AutomationPhase::Running => Vec::new(),
        };
        self.after(ctx);
        self.read_feed(ctx);
        for what in later {
            self.when_ready(ctx, what); // one of them may send the engine reading again
        }
    }

    /// Does what a step of the engine came to, and all that follows from it at once.
    fn process_output(&mut self, step: EngineOutput, is_new: bool, ctx: &mut Context<Self>) {
        let mut steps = vec![step];
        while let Some(EngineOutput { effects, entries, stopped }) = steps.pop() {
            for entry in entries {
                self.pending.add(&self.deps, entry.entry, entry.tell);
            }
            for (rule, why) in stopped {
                self.pending.stopped(&self.deps, &rule, why);
            }
            for request in effects {
                if let Some(refused) = self.refused(&request) {
                    steps.push(self.engine.done(request.id, refused, self.engine.now()));
                    continue;
                }
                if let Effect::Enable { rule, enabled } = &request.effect {
                    self.enable_by_rule(rule.clone(), *enabled, &request.cause);
                } else if !perform::at_once(&request) {
                    self.perform(request, is_new, ctx);
                    continue;
                }
                // Done at once: what fires next, in the same breath, finds it so.
                steps.push(self.engine.done(request.id, EffectResult::default(), self.engine.now()));
            }
        }
    }

    /// The result of an action that the author of its rule may not have done now; none where they may.
    fn refused(&self, request: &EffectRequest) -> Option<EffectResult> {
        let author = self.library.record(&request.rule)?.author.as_ref()?;
        self.deps.authors.refusal(author, &request.effect).or_else(|| {
            let Effect::Enable { rule, .. } = &request.effect else { return None };
            let (by, other) = (self.deps.authors.caller(author)?, self.library.find(rule)?);
            let why = || format!("the rule `{rule}` is not in the scope of the author of the rule");
            (!self.sees(&by, other)).then(|| EffectResult::failed(authors::OUT_OF_SCOPE, why()))
        })
    }

    fn perform(&mut self, request: EffectRequest, is_new: bool, ctx: &Context<Self>) {
        let refused = self.refused(&request);
        self.following.under_way += 1;
        let (deps, me, id) = (Arc::clone(&self.deps), ctx.address(), request.id);
        let uptime_ms = deps.clock.uptime_ms();
        let requested_at =
            EffectRequestTime { at: self.engine.now(), uptime_ms, moves: self.following.moves };
        up(&deps.counters.rule_acts);
        // Beside the actor: it would look at all of them again whenever one of them moves.
        actix_rt::spawn(async move {
            let result = match refused {
                Some(refused) => refused,
                None => perform::perform(&deps, request, is_new).await,
            };
            // Gone, it does it again at the next start.
            let _ = try_send_unbounded(&me, EffectDone { id, result, requested_at });
        });
    }

    /// After anything: what changed is kept soon, and the next deadline is waited for.
    fn after(&mut self, ctx: &mut Context<Self>) {
        self.process_queue(ctx);
        self.load_missing_twins(ctx);
        self.read_feed(ctx);
        if let Some(next) = self.engine.next()
            && self.following.arm(next)
        {
            let _ = try_send_unbounded(&self.deps.timers, ArmAutomation { at: next }); // it goes with us
        }
    }

    /// Waits for the next batch of the feed.
    fn read_feed(&mut self, ctx: &mut Context<Self>) {
        if !matches!(self.phase, AutomationPhase::Running) {
            return;
        }
        if self.following.rests() {
            if self.following.begin_rest() {
                ctx.run_later(REST, |this, ctx| {
                    this.following.end_rest();
                    this.read_feed(ctx);
                });
            }
            return;
        }
        let Some(mut live) = self.following.feed() else { return };
        let next = async move {
            let got = live.recv().await;
            (live, got)
        };
        ctx.spawn(next.into_actor(self).map(|(live, got), this, ctx| {
            this.following.live = Some(live);
            match got {
                Ok(batch) => {
                    this.following.enqueue(&batch);
                    if this.following.take_missing() {
                        this.catch_up(ctx);
                    } else {
                        this.after(ctx);
                    }
                }
                Err(RecvError::Lagged(_)) => this.catch_up(ctx),
                Err(RecvError::Closed) => return, // the hub is shutting down
            }
            this.read_feed(ctx);
        }));
    }

    /// The engine sees what has come by now, in the midst of a rest too. False: the feed has dropped some of it, which is
    /// being read now.
    fn see_what_came(&mut self, ctx: &mut Context<Self>) -> bool {
        self.following.enqueue_waiting();
        self.process_queue(ctx);
        let is_missing = self.following.take_missing();
        if is_missing {
            self.catch_up(ctx);
        }
        !is_missing
    }

    /// The engine sees what waits to be seen, and its time goes on as far as everything was seen.
    fn process_queue(&mut self, ctx: &mut Context<Self>) {
        while matches!(self.phase, AutomationPhase::Running) {
            match self.following.next(&self.engine, self.deps.clock.uptime_ms()) {
                Some(NextStep::See(recorded)) => {
                    if recorded.seq > self.following.cursor {
                        self.observe(&recorded, true, ctx);
                    }
                }
                Some(NextStep::Advance(to)) => {
                    let step = self.engine.advance(to);
                    self.process_output(step, true, ctx);
                    self.load_missing_twins(ctx);
                }
                None => return,
            }
        }
    }

    /// The engine sees the next event.
    fn observe(&mut self, recorded: &Recorded, is_new: bool, ctx: &mut Context<Self>) {
        self.following.mark_seen(recorded);
        let step = self.engine.observe(recorded);
        self.process_output(step, is_new, ctx);
    }

    /// A deadline is due: the engine's time goes on once it has seen all that happened before.
    fn advance_time(&mut self, ctx: &mut Context<Self>) {
        self.following.armed = None;
        let now = self.deps.clock.now();
        self.following.comes_due = true;
        let (reply, committed) = oneshot::channel();
        let _ = try_send_unbounded(&self.deps.journal, Barrier { reply }); // gone, the wait ends
        ctx.spawn(committed.into_actor(self).map(move |committed, this, ctx| {
            this.following.comes_due = false;
            if committed.is_ok() {
                this.following.due = Some((now, get(&this.deps.counters.seq)));
                this.when_ready(ctx, Self::after);
            }
        }));
    }

    /// Keeps what is new in a moment, with all that comes until then.
    fn load_missing_twins(&mut self, ctx: &mut Context<Self>) {
        self.pending.scopes.extend(self.engine.take_changes());
        if !self.pending.is_empty() && !self.pending.is_scheduled {
            self.pending.is_scheduled = true;
            ctx.run_later(GATHER, |this, _| {
                this.pending.is_scheduled = false;
                this.save();
            });
        }
    }

    /// Commits what is new, with the place up to which it is true.
    fn save(&mut self) {
        self.pending.scopes.extend(self.engine.take_changes());
        let progress = EngineProgress { seq: self.following.cursor, time: self.engine.now() };
        let Some(append) = self.pending.take(progress) else { return };
        // The journal commits it before everything that is sent to it later; it tries for ever.
        if try_send_unbounded(&self.deps.journal, append).is_err() {
            warn!("the journal has stopped, the last rule runs are repeated at the next start");
        }
    }

    /// The warnings to people about the rules as they stand.
    fn warnings(&mut self) -> Vec<Warning> {
        self.announcements.warnings(&self.engine, self.deps.clock.uptime_ms())
    }

    fn signal(&self, signal: AutomationSignal, cause: Cause) -> Event {
        signal_event(&*self.deps.clock, signal, cause)
    }
}

impl Actor for Automation {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.run_interval(KEEP_PLACE_EVERY, |this, ctx| {
            if matches!(this.phase, AutomationPhase::Running) {
                this.after(ctx); // where something has held the time for too long
                this.save();
            }
        });
        self.ask_store(ctx);
        self.watch_authors(ctx);
    }
}

impl Handler<AuthorsChanged> for Automation {
    type Result = ();

    fn handle(&mut self, _: AuthorsChanged, ctx: &mut Context<Self>) {
        self.when_ready(ctx, Self::disable_orphans);
    }
}

impl Handler<EffectDone> for Automation {
    type Result = ();

    fn handle(&mut self, EffectDone { id, result, requested_at }: EffectDone, ctx: &mut Context<Self>) {
        self.following.under_way -= 1;
        // So long after the engine's own time as it took: that may be behind the clock's. Where the clock was set
        // since, that time is no more.
        let took = self.deps.clock.uptime_ms().saturating_sub(requested_at.uptime_ms);
        let done_at = requested_at.at.plus_millis(i64::try_from(took).unwrap_or(i64::MAX));
        let now = if requested_at.moves == self.following.moves { done_at } else { self.engine.now() };
        let step = self.engine.done(id, result, now);
        self.process_output(step, true, ctx);
        self.after(ctx);
    }
}

impl Handler<AutomationDue> for Automation {
    type Result = ();

    fn handle(&mut self, _: AutomationDue, ctx: &mut Context<Self>) {
        self.when_ready(ctx, Self::advance_time);
    }
}

impl Handler<Flush> for Automation {
    type Result = ();

    fn handle(&mut self, Flush { reply }: Flush, ctx: &mut Context<Self>) {
        if matches!(self.phase, AutomationPhase::Running) {
            // What it has not seen is behind its place, and seen after the next start.
            let _ = self.see_what_came(ctx);
            self.save();
        }
        send_reply(reply, ());
    }
}

impl AutomationDeps {
    fn count_rules(&self, rules: usize) {
        self.counters.rules.store(rules as u64, Ordering::Relaxed);
        add(&self.counters.rule_loads, 1);
    }
}
