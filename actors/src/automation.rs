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
mod following;
mod keeping;
mod library;
#[cfg(test)]
pub mod look;
mod perform;
mod reading;
mod requests;
mod starting;
mod templates;

pub(crate) use reading::query_of;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use actix::{Actor, Addr, AsyncContext, Context, Handler, Message};
use tokio::sync::broadcast;

use self::keeping::News;
use self::library::Library;
use crate::alarms::Alarms;
use crate::counters::{Counters, add, up};
use crate::feed::Feed;
use crate::journal::Journal;
use crate::messages::automation::{Due, Flush, LoadFiles};
use crate::messages::timers::ArmAutomation;
use crate::post::post;
use crate::sparing::Sparing;
use crate::supervisor::Supervisor;
use crate::timers::Timers;
use crate::webhooks::Webhooks;
use twinhub_domain::run::RuleId;
use twinhub_domain::{Clock, Recorded, Timestamp};
use twinhub_mqtt::listening::Listening;
use twinhub_rules::analysis::Warning;
use twinhub_rules::file::SecretNames;
use twinhub_rules::{Act, ActId, ActResult, Deed, Engine, Step};
use twinhub_store::{AutomationState, Store};

/// The place in the sequence is kept so often at least while it moves.
const KEEP_PLACE_EVERY: Duration = Duration::from_secs(2);

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
    /// What rules may sign with.
    pub secrets: SecretNames,
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
    /// Events that came and were not seen yet.
    queue: VecDeque<Arc<Recorded>>,
    /// The last event that the engine has seen.
    cursor: u64,
    /// The last that is kept as seen.
    kept: u64,
    news: News,
    /// Rules of which a change is on its way to the store, and how many changes.
    changing: BTreeMap<RuleId, usize>,
    /// The rules that people were told of, by name and fingerprint.
    told: BTreeMap<RuleId, u64>,
    /// What is wrong with rules, as the log was told last.
    told_broken: BTreeSet<String>,
    /// Failed runs in the log.
    loud: Sparing,
    /// What people should look at, and when that was found, on the clock that only counts.
    warned: Option<(u64, Vec<Warning>)>,
    /// Acts that were not answered yet.
    under_way: usize,
    /// Since when they hold the time back, on the clock that only counts.
    held_since: Option<u64>,
    /// What is new is kept in a moment.
    gathering: bool,
    /// The moment that the engine's time is to go on to, once it has seen everything up to there in the sequence.
    due: Option<(Timestamp, u64)>,
    /// It waits for the journal before the time goes on.
    comes_due: bool,
    armed: Option<Timestamp>,
    /// How often it has seen that the clock was set.
    moves: u32,
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

/// An act was done.
#[derive(Message)]
#[rtype(result = "()")]
struct Done {
    act: ActId,
    result: ActResult,
    asked: Asked,
}

/// When an act was asked for.
#[derive(Clone, Copy)]
struct Asked {
    /// By the engine's time.
    at: Timestamp,
    /// By the clock that only counts.
    uptime_ms: u64,
    /// [`Automation::moves`] then.
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
            live: None,
            queue: VecDeque::new(),
            cursor: 0,
            kept: 0,
            news: News::default(),
            changing: BTreeMap::new(),
            told: BTreeMap::new(),
            told_broken: BTreeSet::new(),
            loud: Sparing::default(),
            warned: None,
            under_way: 0,
            held_since: None,
            gathering: false,
            due: None,
            comes_due: false,
            armed: None,
            moves: 0,
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
                    Deed::Enable { rule, enabled } => self.enable_by_rule(rule, enabled, &act.cause),
                    Deed::Log { level, message } => perform::log(&act.rule, level, &message),
                    _ => {
                        self.perform(act, is_new, ctx);
                        continue;
                    }
                }
                // Done at once: what fires next, in the same breath, finds it so.
                steps.push(self.engine.done(act.id, ActResult::default(), self.engine.now()));
            }
        }
    }

    fn perform(&mut self, act: Act, is_new: bool, ctx: &Context<Self>) {
        self.under_way += 1;
        let (around, me, id) = (Arc::clone(&self.around), ctx.address(), act.id);
        let uptime_ms = around.clock.uptime_ms();
        let asked = Asked { at: self.engine.now(), uptime_ms, moves: self.moves };
        up(&around.counters.rule_acts);
        // Beside the actor: it would look at all of them again whenever one of them moves.
        actix_rt::spawn(async move {
            let result = perform::perform(&around, act, is_new).await;
            let _ = post(&me, Done { act: id, result, asked }); // gone, it does it again at the next start
        });
    }

    /// After anything: what changed is kept soon, and the next deadline is waited for.
    fn after(&mut self, ctx: &mut Context<Self>) {
        self.go_on(ctx);
        self.gather(ctx);
        self.pull(ctx);
        if let Some(next) = self.engine.next()
            && self.armed.is_none_or(|armed| next < armed)
        {
            self.armed = Some(next);
            let _ = post(&self.around.timers, ArmAutomation { at: next }); // it goes with us
        }
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

    fn handle(&mut self, Done { act, result, asked }: Done, ctx: &mut Context<Self>) {
        self.under_way -= 1;
        // So long after the engine's own time as it took: that may be behind the clock's. Where the clock was set since,
        // that time is no more.
        let took = self.around.clock.uptime_ms().saturating_sub(asked.uptime_ms);
        let done_at = asked.at.plus_millis(i64::try_from(took).unwrap_or(i64::MAX));
        let now = if asked.moves == self.moves { done_at } else { self.engine.now() };
        let step = self.engine.done(act, result, now);
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
