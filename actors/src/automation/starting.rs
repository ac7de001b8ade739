//! The start of automation, and its start anew with other rules: what it needs is read from the store first.

use std::sync::{Arc, PoisonError};

use actix::{ActorFutureExt, AsyncContext, Context, Handler, WrapFuture};
use tracing::{info, warn};

use super::library::Library;
use super::reading::{self, EngineTwins};
use super::signed;
use super::{Automation, AutomationPhase, RuleKeys};
use crate::backoff::until_answered;
use crate::mailbox::send_reply;
use crate::messages::automation::LoadFiles;
use crate::messages::feed::{LiveFeed, SubscribeFeed};
use twinhub_domain::Cause;
use twinhub_domain::clock::CLOCK_JUMP_MS;
use twinhub_domain::run::AutomationSignal;
use twinhub_rules::engine::webhook_keys;
use twinhub_rules::model::TriggerKind;
use twinhub_rules::{Engine, Rule};
use twinhub_store::AutomationState;

impl Automation {
    /// Asks what was kept.
    pub(super) fn ask_store(&mut self, ctx: &mut Context<Self>) {
        let deps = Arc::clone(&self.deps);
        let asked = async move { until_answered("what rules left", || deps.store.automation()).await };
        ctx.spawn(asked.into_actor(self).map(|kept, this, ctx| {
            if let AutomationPhase::Starting { state, .. } = &mut this.phase {
                *state = Some(kept);
            }
            this.begin(ctx);
        }));
    }

    /// Begins, once what was kept and the files are there.
    fn begin(&mut self, ctx: &mut Context<Self>) {
        let AutomationPhase::Starting { state, files, .. } = &mut self.phase else { return };
        if state.is_none() || files.is_none() {
            return;
        }
        let (Some(state), Some(LoadFiles { files, done })) = (state.take(), files.take()) else { return };
        let AutomationState { progress, kept, rules } = state;
        self.library = Library::new(rules, &self.deps.secrets);
        self.library.load(files);
        self.engine = Engine::new(progress.map_or_else(|| self.deps.clock.now(), |progress| progress.time));
        let rules = self.library.rules();
        self.take_rules(rules, ctx);
        let (deps, wanted) = (Arc::clone(&self.deps), self.engine.wants());
        let after = progress.map(|progress| progress.seq);
        let read = async move {
            let Ok(LiveFeed { seq, events }) = deps.feed.send(SubscribeFeed).await else { return None };
            // As of a moment later, perhaps: what became of groups since is seen again, and does no harm.
            let tree = Arc::new(reading::groups(&*deps.store).await);
            let known = reading::twins(&*deps.store, wanted, &tree).await;
            let past = reading::events(&*deps.store, after.unwrap_or(seq), seq).await;
            Some((seq, events, tree, known, past))
        };
        ctx.spawn(read.into_actor(self).map(move |read, this, ctx| {
            let Some((seq, events, tree, known, past)) = read else { return }; // the hub is shutting down
            this.following.live = Some(events);
            this.engine.know_groups(tree);
            this.add_twins(known);
            this.engine.restore(kept);
            // The store has the twins as they were last; the engine goes on a little before that.
            this.engine.rewind(past.iter().map(|recorded| &**recorded));
            let again = this.engine.unanswered();
            this.following.cursor = after.unwrap_or(seq);
            this.pending.written = this.following.cursor;
            // These may have been acted upon before the hub stopped: a receiver that is asked again knows it.
            for recorded in &past {
                this.observe(recorded, false, ctx);
            }
            this.following.cursor = seq;
            for request in again {
                this.perform(request, false, ctx);
            }
            if progress.is_some() {
                let (seen, now) = (this.engine.now(), this.deps.clock.now());
                let is_ahead = seen.millis() - now.millis() > CLOCK_JUMP_MS;
                // That the clock was set back meanwhile is announced before any actor starts, as far as the store knows
                // the time: not where rules have seen a later one, and nothing happened since.
                let signal = if is_ahead {
                    AutomationSignal::ClockMoved { from: seen, to: now, while_down: true }
                } else {
                    AutomationSignal::Started { down_since: seen }
                };
                let event = this.signal(signal, Cause::hub());
                // Before all else: what was due meanwhile is not to pass for something that falls due now.
                this.pending.events.insert(0, event);
                this.save();
            }
            this.announce_change();
            let rules = this.engine.rules();
            let enabled = rules.iter().filter(|rule| this.engine.is_enabled(&rule.id) == Some(true)).count();
            info!(rules = rules.len(), enabled, "rules read");
            this.run(ctx);
            if let Some(done) = done {
                send_reply(done, ());
            }
        }));
    }

    /// Takes the library's rules as they are now in place of those that run, then does `then`.
    pub(super) fn exchange(
        &mut self,
        ctx: &mut Context<Self>,
        then: impl FnOnce(&mut Self, &mut Context<Self>) + 'static,
    ) {
        // The new rules see what happens from now on.
        if !self.see_what_came(ctx) {
            return self.when_ready(ctx, |this, ctx| this.exchange(ctx, then));
        }
        let rules = self.library.rules();
        self.take_rules(rules, ctx);
        let (deps, wanted) = (Arc::clone(&self.deps), self.engine.wants());
        if wanted.devices.is_empty() && wanted.selectors.is_empty() {
            self.announce_change();
            self.after(ctx);
            return then(self, ctx);
        }
        self.phase = AutomationPhase::Reading { later: Vec::new() };
        let tree = Arc::clone(self.engine.groups());
        let read = async move { reading::twins(&*deps.store, wanted, &tree).await };
        ctx.spawn(read.into_actor(self).map(move |known, this, ctx| {
            this.add_twins(known);
            this.announce_change();
            this.run(ctx);
            then(this, ctx);
        }));
    }

    /// Reads what the feed has dropped because the engine was behind.
    pub(super) fn catch_up(&mut self, ctx: &mut Context<Self>) {
        let later = match std::mem::replace(&mut self.phase, AutomationPhase::Running) {
            AutomationPhase::Reading { later } | AutomationPhase::Starting { later, .. } => later,
            AutomationPhase::Running => Vec::new(),
        };
        self.phase = AutomationPhase::Reading { later };
        let after = self.following.queue.back().map_or(self.following.cursor, |last| last.seq);
        let deps = Arc::clone(&self.deps);
        let up_to = crate::counters::get(&deps.counters.seq);
        let read = async move { reading::events(&*deps.store, after, up_to).await };
        ctx.spawn(read.into_actor(self).map(move |past, this, ctx| {
            // Events that wait in the queue already come before; one that is there twice is seen once.
            this.following.queue.extend(past);
            this.run(ctx);
        }));
    }

    /// Takes `rules` in place of those that run.
    fn take_rules(&mut self, rules: Vec<Rule>, ctx: &mut Context<Self>) {
        self.deps.count_rules(rules.len());
        self.following.has_rules = !rules.is_empty();
        self.deps.rule_topics.set(topics(&rules));
        *self.deps.keys.write().unwrap_or_else(PoisonError::into_inner) = keys(&rules);
        let step = self.engine.exchange(rules);
        self.announcements.forget_warnings();
        self.announcements.broken(&self.library, &self.deps.counters);
        for record in self.library.records() {
            if let Some(enabled) = record.enabled {
                self.engine.set_enabled(&record.id, enabled);
            }
        }
        self.process_output(step, true, ctx);
    }

    /// Announces the changes since the last announcement, once the devices of the rules are known.
    fn announce_change(&mut self) {
        let uptime_ms = self.deps.clock.uptime_ms();
        if let Some(signal) = self.announcements.change(&self.engine, uptime_ms) {
            let event = self.signal(signal, Cause::hub());
            self.pending.events.push(event);
        }
    }

    fn add_twins(&mut self, EngineTwins { twins }: EngineTwins) {
        for twin in twins {
            self.engine.know(twin);
        }
    }
}

impl Handler<LoadFiles> for Automation {
    type Result = ();

    fn handle(&mut self, load: LoadFiles, ctx: &mut Context<Self>) {
        if let AutomationPhase::Starting { files: files @ None, .. } = &mut self.phase {
            *files = Some(load);
            return self.begin(ctx);
        }
        self.when_ready(ctx, move |this, ctx| {
            let LoadFiles { files, done } = load;
            this.library.load(files);
            this.exchange(ctx, move |_, _| {
                if let Some(done) = done {
                    send_reply(done, ());
                }
            });
        });
    }
}

/// The topics that rules listen to.
fn topics(rules: &[Rule]) -> Vec<String> {
    let triggers = rules.iter().flat_map(|rule| rule.triggers.iter());
    triggers
        .filter_map(|trigger| match &trigger.kind {
            TriggerKind::Mqtt { topic, .. } => Some(topic.to_string()),
            _ => None,
        })
        .collect()
}

/// The keys that webhooks are signed with. One that the environment does not have signs nothing, and is said.
fn keys(rules: &[Rule]) -> RuleKeys {
    let mut keys = RuleKeys::new();
    for rule in rules {
        for (step, secret) in webhook_keys(rule) {
            match signed::key(&secret) {
                Some(key) => {
                    keys.insert((rule.id.clone(), step), key);
                }
                None => warn!(rule = %rule.id, "the environment has no key for its webhook"),
            }
        }
    }
    keys
}
