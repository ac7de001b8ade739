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

mod announcements;
pub mod files;
mod following;
mod library;
#[cfg(test)]
pub mod look;
mod pending;
mod perform;
mod reading;
mod requests;
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
use self::following::{EventFollower, NextStep};
use self::library::Library;
use self::pending::{PendingWrites, signal_event};
use crate::alarms::Alarms;
use crate::counters::{Counters, add, get, up};
use crate::feed::Feed;
use crate::journal::Journal;
use crate::messages::automation::{Due, Flush, LoadFiles};
use crate::messages::journal::Barrier;
use crate::messages::timers::ArmAutomation;
use crate::post::post;
use crate::supervisor::Supervisor;
use crate::timers::Timers;
use crate::webhooks::Webhooks;
use twinhub_domain::run::{AutomationSignal, RuleId};
use twinhub_domain::{Cause, Clock, Event, Recorded, Timestamp};
use twinhub_mqtt::listening::Listening;
use twinhub_rules::analysis::Warning;
use twinhub_rules::file::SecretNames;
use twinhub_rules::{Effect, EffectId, EffectRequest, EffectResult, Engine, EngineOutput};
use twinhub_store::{AutomationState, EngineProgress, Store};

/// The time for which writes gather: one commit for many runs, beside what they ask for.
const GATHER: Duration = Duration::from_millis(25);
/// The place in the sequence is kept so often at least while it moves.
const KEEP_PLACE_EVERY: Duration = Duration::from_secs(2);

/// The parts that automation works with.
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
    /// The secrets that rules may sign with.
    pub secrets: SecretNames,
}

/// Keys by rule and step.
pub type Keys = BTreeMap<(RuleId, u32), String>;

type Later = Box<dyn FnOnce(&mut Automation, &mut Context<Automation>)>;

/// The rules, live.
pub struct Automation {
    around: Arc<Around>,
    library: Library,
    engine: Engine,
    phase: Phase,
    following: EventFollower,
    pending: PendingWrites,
    announcements: Announcements,
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

/// An effect was done.
#[derive(Message)]
#[rtype(result = "()")]
struct Done {
    id: EffectId,
    result: EffectResult,
    asked: Asked,
}

/// When an effect was asked for.
#[derive(Clone, Copy)]
struct Asked {
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
    pub fn new(around: Around) -> Self {
        let now = around.clock.now();
        Self {
            around: Arc::new(around),
            library: Library::default(),
            engine: Engine::new(now),
            phase: Phase::Starting { state: None, files: None, later: Vec::new() },
            following: EventFollower::default(),
            pending: PendingWrites::default(),
            announcements: Announcements::default(),
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
        self.after(ctx);
        self.pull(ctx);
        for what in later {
            self.when_ready(ctx, what); // one of them may send the engine reading again
        }
    }

    /// Does what a step of the engine came to, and all that follows from it at once.
    fn take(&mut self, step: EngineOutput, is_new: bool, ctx: &mut Context<Self>) {
        let mut steps = vec![step];
        while let Some(EngineOutput { effects, entries, stopped }) = steps.pop() {
            for entry in entries {
                self.pending.note(&self.around, entry.entry, entry.tell);
            }
            for (rule, why) in stopped {
                self.pending.stopped(&self.around, &rule, why);
            }
            for request in effects {
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

    fn perform(&mut self, request: EffectRequest, is_new: bool, ctx: &Context<Self>) {
        self.following.under_way += 1;
        let (around, me, id) = (Arc::clone(&self.around), ctx.address(), request.id);
        let uptime_ms = around.clock.uptime_ms();
        let asked = Asked { at: self.engine.now(), uptime_ms, moves: self.following.moves };
        up(&around.counters.rule_acts);
        // Beside the actor: it would look at all of them again whenever one of them moves.
        actix_rt::spawn(async move {
            let result = perform::perform(&around, request, is_new).await;
            let _ = post(&me, Done { id, result, asked }); // gone, it does it again at the next start
        });
    }

    /// After anything: what changed is kept soon, and the next deadline is waited for.
    fn after(&mut self, ctx: &mut Context<Self>) {
        self.go_on(ctx);
        self.gather(ctx);
        self.pull(ctx);
        if let Some(next) = self.engine.next()
            && self.following.arm(next)
        {
            let _ = post(&self.around.timers, ArmAutomation { at: next }); // it goes with us
        }
    }

    /// Waits for the next batch of the feed.
    fn pull(&mut self, ctx: &mut Context<Self>) {
        if !matches!(self.phase, Phase::Running) {
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
                    this.following.take(&batch);
                    this.after(ctx);
                }
                Err(RecvError::Lagged(_)) => this.catch_up(ctx),
                Err(RecvError::Closed) => return, // the hub is shutting down
            }
            this.pull(ctx);
        }));
    }

    /// The engine sees what waits to be seen, and its time goes on as far as everything was seen.
    fn go_on(&mut self, ctx: &mut Context<Self>) {
        while matches!(self.phase, Phase::Running) {
            match self.following.next(&self.engine, self.around.clock.uptime_ms()) {
                Some(NextStep::See(recorded)) => {
                    if recorded.seq > self.following.cursor {
                        self.see(&recorded, true, ctx);
                    }
                }
                Some(NextStep::Advance(to)) => {
                    let step = self.engine.advance(to);
                    self.take(step, true, ctx);
                    self.gather(ctx);
                }
                None => return,
            }
        }
    }

    /// The engine sees the next event.
    fn see(&mut self, recorded: &Recorded, is_new: bool, ctx: &mut Context<Self>) {
        self.following.see(recorded);
        let step = self.engine.observe(recorded);
        self.take(step, is_new, ctx);
    }

    /// A deadline is due: the engine's time goes on once it has seen all that happened before.
    fn come_due(&mut self, ctx: &mut Context<Self>) {
        self.following.armed = None;
        let now = self.around.clock.now();
        self.following.comes_due = true;
        let (reply, committed) = oneshot::channel();
        let _ = post(&self.around.journal, Barrier { reply }); // gone, the wait ends
        ctx.spawn(committed.into_actor(self).map(move |committed, this, ctx| {
            this.following.comes_due = false;
            if committed.is_ok() {
                this.following.due = Some((now, get(&this.around.counters.seq)));
                this.when_ready(ctx, Self::after);
            }
        }));
    }

    /// Keeps what is new in a moment, with all that comes until then.
    fn gather(&mut self, ctx: &mut Context<Self>) {
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
        // The journal does it before all that is told to it later; it tries for ever.
        if post(&self.around.journal, append).is_err() {
            warn!("the journal has stopped, the last rule runs are repeated at the next start");
        }
    }

    /// The warnings to people about the rules as they stand.
    fn warnings(&mut self) -> Vec<Warning> {
        self.announcements.warnings(&self.engine, self.around.clock.uptime_ms())
    }

    fn signal(&self, signal: AutomationSignal, cause: Cause) -> Event {
        signal_event(&*self.around.clock, signal, cause)
    }
}

impl Actor for Automation {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.run_interval(KEEP_PLACE_EVERY, |this, ctx| {
            if matches!(this.phase, Phase::Running) {
                this.after(ctx); // where something has held the time for too long
                this.save();
            }
        });
        self.ask_store(ctx);
    }
}

impl Handler<Done> for Automation {
    type Result = ();

    fn handle(&mut self, Done { id, result, asked }: Done, ctx: &mut Context<Self>) {
        self.following.under_way -= 1;
        // So long after the engine's own time as it took: that may be behind the clock's. Where the clock was set since,
        // that time is no more.
        let took = self.around.clock.uptime_ms().saturating_sub(asked.uptime_ms);
        let done_at = asked.at.plus_millis(i64::try_from(took).unwrap_or(i64::MAX));
        let now = if asked.moves == self.following.moves { done_at } else { self.engine.now() };
        let step = self.engine.done(id, result, now);
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
