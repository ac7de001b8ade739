//! What people ask of automation: rules made, changed, removed, switched, looked at and set off.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use actix::{AsyncContext, Context, Handler};
use tokio::sync::oneshot;
use tracing::{info, warn};

use super::perform::append;
use super::{Automation, Keys};
use crate::messages::automation::{
    DeleteRule, EnableRule, Expect, PutRule, ReadRules, RuleRefusal, RuleStands, RuleStood, RulesRead, Tell,
};
use twinhub_domain::receipt::Settled;
use twinhub_domain::run::{RuleId, Signal};
use twinhub_domain::{Cause, EntityTags, Event, Json, Timestamp};
use twinhub_rules::analysis::{Warning, analyse, of_running};
use twinhub_rules::engine::webhook_keys;
use twinhub_rules::file::parse_rule_with;
use twinhub_rules::model::{Secret, TriggerKind};
use twinhub_rules::{Problem, Rule, Twins as _, veil};
use twinhub_store::{Automation as Kept, RuleRecord};

/// For so long what people should look at is not looked for again.
const WARNINGS_LAST_MS: u64 = 5_000;

type Reply = oneshot::Sender<Result<RuleStood, RuleRefusal>>;

impl Automation {
    /// Takes `rules` in place of those that run.
    pub(super) fn take_rules(&mut self, rules: Vec<Rule>, ctx: &mut Context<Self>) {
        self.around.count_rules(rules.len());
        self.around.listening.listen_to(topics(&rules));
        *self.around.keys.write().unwrap_or_else(std::sync::PoisonError::into_inner) = keys(&rules);
        let step = self.engine.exchange(rules);
        self.warned = None;
        self.tell_broken();
        for record in self.library.records() {
            if let Some(enabled) = record.enabled {
                self.engine.set_enabled(&record.id, enabled);
            }
        }
        self.take(step, true, ctx);
    }

    /// Says in the log and in health what is wrong with rules, in the log once each.
    fn tell_broken(&mut self) {
        let broken = self.library.broken();
        let line = |path: &str, problem: &Problem| match problem {
            Problem { line: 0, .. } => format!("{path}: {}", problem.sentence()),
            Problem { line, column, .. } => format!("{path}:{line}:{column}: {}", problem.sentence()),
        };
        let all =
            broken.iter().flat_map(|(path, problems)| problems.iter().map(move |each| line(path, each)));
        let now: BTreeSet<String> = all.collect();
        for told in now.difference(&self.told_broken) {
            warn!("{told}");
        }
        let first = |(path, problems): &(Arc<str>, Vec<Problem>)| Some(line(path, problems.first()?));
        self.around.counters.broken_rules.set(broken.iter().filter_map(first).collect());
        self.told_broken = now;
    }

    /// Tells what has changed since it was told last, once it is known whom the rules speak of.
    pub(super) fn tell_of_change(&mut self) {
        let now: BTreeMap<RuleId, u64> =
            self.engine.rules().iter().map(|rule| (rule.id.clone(), rule.fingerprint)).collect();
        let before = std::mem::replace(&mut self.told, now);
        let now = &self.told;
        let names = |rules: &BTreeMap<RuleId, u64>, wanted: &dyn Fn(&RuleId, u64) -> bool| {
            let rules = rules.iter().filter(|(id, print)| wanted(id, **print));
            rules.map(|(id, _)| id.clone()).collect::<Vec<_>>()
        };
        let loaded = names(now, &|id, _| !before.contains_key(id));
        let changed = names(now, &|id, print| before.get(id).is_some_and(|was| *was != print));
        let gone = names(&before, &|id, _| !now.contains_key(id));
        if loaded.is_empty() && changed.is_empty() && gone.is_empty() {
            return;
        }
        let warnings = self.warnings().into_iter().map(|warning| warning.message.into()).collect();
        let event = self.signal(Signal::Rules { loaded, changed, gone, warnings }, Cause::hub());
        self.news.events.push(event);
    }

    /// What people should look at in the rules as they stand. Looking at ten thousand of them takes a while, so it
    /// is looked for once, and again where devices may have come since.
    pub(super) fn warnings(&mut self) -> Vec<Warning> {
        let now = self.around.clock.uptime_ms();
        if let Some((found, warnings)) = &self.warned
            && now.saturating_sub(*found) < WARNINGS_LAST_MS
        {
            return warnings.clone();
        }
        let rules: Vec<&Rule> = self.engine.rules().iter().collect();
        let warnings =
            analyse(&rules, &|id| self.engine.twin(id).is_some(), &|id| self.engine.groups().contains(id));
        let warnings = of_running(warnings, &|id| self.engine.is_enabled(id).unwrap_or(true));
        self.warned = Some((now, warnings.clone()));
        warnings
    }

    fn stands(&self, rule: &Rule) -> RuleStands {
        let record = self.library.record(&rule.id);
        RuleStands {
            rule: Arc::new(rule.clone()),
            sent: record.and_then(|record| record.body.clone()),
            enabled: self.engine.is_enabled(&rule.id).unwrap_or(rule.enabled),
            stopped: self.engine.stopped(&rule.id).map(Into::into),
            next_at: self.engine.next_of(&rule.id),
            created_at: record.map(|record| record.created_at),
            updated_at: record.map(|record| record.updated_at),
        }
    }

    fn stood(&mut self, id: &RuleId) -> Result<RuleStood, RuleRefusal> {
        let warnings = self.warnings().into_iter().filter(|warning| warning.rules.contains(id)).collect();
        let rule = self.library.find(id).ok_or_else(|| RuleRefusal::Unknown(id.clone()))?;
        Ok(RuleStood { stands: self.stands(rule), warnings })
    }

    fn put(&mut self, request: PutRule, ctx: &mut Context<Self>) {
        let PutRule { body, expect, if_tag, cause, reply } = request;
        let id = body.get("id").and_then(Json::as_str).and_then(|id| RuleId::parse(id).ok());
        let before = id.and_then(|id| self.library.record(&id)).and_then(|record| record.body.as_ref());
        let before = before.filter(|_| expect != Expect::New);
        let body = match veil::restore(&body, before) {
            Ok(body) => body,
            Err(problems) => return refuse(reply, RuleRefusal::Problems(problems)),
        };
        let rule = match parse_rule_with(&body, &self.around.secrets) {
            Ok((rule, _)) => rule,
            Err(problems) => return refuse(reply, RuleRefusal::Problems(problems)),
        };
        let may_put = self.library.may_put(&rule.id, expect).and_then(|()| self.check_tag(&rule.id, if_tag));
        if let Err(refusal) = may_put {
            return refuse(reply, refusal);
        }
        let before = self.library.record(&rule.id);
        let now = self.said_at(before);
        let record = RuleRecord {
            id: rule.id.clone(),
            body: Some(body),
            enabled: None, // as the rule says
            created_at: before.map_or(now, |record| record.created_at),
            updated_at: now,
        };
        info!(rule = %rule.id, by = %cause.by, "rule taken in");
        self.keep(Vec::new(), vec![record.clone()], ctx, move |this, settled, ctx| {
            if settled.is_err() {
                return refuse(reply, RuleRefusal::Lost);
            }
            let (id, enabled) = (rule.id.clone(), rule.enabled);
            this.library.put(rule, record);
            this.exchange(ctx, move |this, _| {
                this.engine.set_enabled(&id, enabled);
                this.warned = None;
                let _ = reply.send(this.stood(&id)); // whoever waited may have gone
            });
        });
    }

    fn delete(&mut self, DeleteRule { id, if_tag, cause, reply }: DeleteRule, ctx: &mut Context<Self>) {
        let may_go = self.library.may_put(&id, Expect::There).and_then(|()| self.check_tag(&id, if_tag));
        if let Err(refusal) = may_go {
            let _ = reply.send(Err(refusal)); // whoever waited may have gone
            return;
        }
        let now = self.around.clock.now();
        let record =
            RuleRecord { id: id.clone(), body: None, enabled: None, created_at: now, updated_at: now };
        info!(rule = %id, by = %cause.by, "rule removed");
        self.keep(Vec::new(), vec![record], ctx, move |this, settled, ctx| {
            if settled.is_err() {
                let _ = reply.send(Err(RuleRefusal::Lost)); // whoever waited may have gone
                return;
            }
            this.library.remove(&id);
            this.exchange(ctx, move |_, _| {
                let _ = reply.send(Ok(())); // whoever waited may have gone
            });
        });
    }

    fn enable(&mut self, enable: EnableRule, ctx: &mut Context<Self>) {
        let EnableRule { id, enabled, if_tag, cause, reply } = enable;
        if self.library.find(&id).is_none() {
            return refuse(reply, RuleRefusal::Unknown(id));
        }
        if let Err(refusal) = self.check_tag(&id, if_tag) {
            return refuse(reply, refusal);
        }
        let record = self.switched(&id, enabled);
        let event = self.signal(Signal::Enabled { rule: id.clone(), enabled }, cause);
        self.keep(vec![event], vec![record.clone()], ctx, move |this, settled, ctx| {
            if settled.is_err() {
                return refuse(reply, RuleRefusal::Lost);
            }
            this.library.note(record);
            this.engine.set_enabled(&id, enabled);
            this.warned = None;
            this.after(ctx);
            let _ = reply.send(this.stood(&id)); // whoever waited may have gone
        });
    }

    fn switched(&self, id: &RuleId, enabled: bool) -> RuleRecord {
        let before = self.library.record(id);
        let now = self.said_at(before);
        RuleRecord {
            id: id.clone(),
            body: before.and_then(|record| record.body.clone()),
            enabled: Some(enabled),
            created_at: before.map_or(now, |record| record.created_at),
            updated_at: now,
        }
    }

    /// Is the rule one of those that the change is for? A change that is on its way makes another of it, and a rule
    /// that cannot be read is none.
    fn check_tag(&self, id: &RuleId, if_tag: Option<EntityTags>) -> Result<(), RuleRefusal> {
        let Some(expected) = if_tag else { return Ok(()) };
        if self.changing.contains_key(id) {
            return Err(RuleRefusal::Changing(id.clone()));
        }
        let current = self.library.find(id).map(|rule| self.stands(rule).tag()).unwrap_or_default();
        if expected.contain(&current) { Ok(()) } else { Err(RuleRefusal::Version { current, expected }) }
    }

    /// When something is said of a rule, now: later than what was said before, whatever the clock shows, as its tag
    /// must be another.
    fn said_at(&self, before: Option<&RuleRecord>) -> Timestamp {
        let now = self.around.clock.now();
        before.map_or(now, |before| now.max(before.updated_at.plus_millis(1)))
    }

    /// A rule switches another. Durable with the run that did it.
    pub(super) fn enable_by_rule(&mut self, id: RuleId, enabled: bool, cause: &Cause) {
        if self.library.find(&id).is_none() {
            warn!(rule = %id, by = %cause.by, "a rule is to be switched that is not there");
            return;
        }
        let record = self.switched(&id, enabled);
        self.library.note(record.clone());
        self.engine.set_enabled(&id, enabled);
        self.warned = None;
        let event = self.signal(Signal::Enabled { rule: id, enabled }, cause.clone());
        self.news.events.push(event);
        self.news.rules.push(record);
    }

    fn tell(&mut self, Tell { signal, cause, reply }: Tell, ctx: &mut Context<Self>) {
        let refusal = match &signal {
            Signal::Run { rule, .. } if self.library.find(rule).is_none() => {
                Some(RuleRefusal::Unknown(rule.clone()))
            }
            Signal::Webhook { name, .. } if !self.engine.has_webhook(name) => {
                Some(RuleRefusal::NoWebhook(name.to_string()))
            }
            _ => None,
        };
        if let Some(refusal) = refusal {
            let _ = reply.send(Err(refusal)); // whoever waited may have gone
            return;
        }
        let event = self.signal(signal, cause);
        self.commit(vec![event], Kept::default(), ctx, move |_, settled, _| {
            let seq = settled.ok().and_then(|taken| taken.seq);
            let _ = reply.send(seq.ok_or(RuleRefusal::Lost)); // whoever waited may have gone
        });
    }

    /// Commits what is said of rules. Until it goes on they are on their way to be others.
    pub(super) fn keep(
        &mut self,
        events: Vec<Event>,
        rules: Vec<RuleRecord>,
        ctx: &mut Context<Self>,
        then: impl FnOnce(&mut Self, Settled, &mut Context<Self>) + 'static,
    ) {
        let ids: Vec<RuleId> = rules.iter().map(|record| record.id.clone()).collect();
        for id in &ids {
            *self.changing.entry(id.clone()).or_default() += 1;
        }
        self.commit(events, Kept { rules, ..Kept::default() }, ctx, move |this, settled, ctx| {
            for id in &ids {
                match this.changing.get_mut(id) {
                    Some(changes) if *changes > 1 => *changes -= 1,
                    _ => drop(this.changing.remove(id)),
                }
            }
            then(this, settled, ctx);
        });
    }

    /// Commits, and then goes on in the actor.
    pub(super) fn commit(
        &self,
        events: Vec<Event>,
        kept: Kept,
        ctx: &mut Context<Self>,
        then: impl FnOnce(&mut Self, Settled, &mut Context<Self>) + 'static,
    ) {
        use actix::{ActorFutureExt as _, WrapFuture as _};
        let journal = self.around.journal.clone();
        let work = async move { append(&journal, events, Vec::new(), kept).await };
        ctx.spawn(work.into_actor(self).map(move |settled, this, ctx| {
            this.when_ready(ctx, move |this, ctx| then(this, settled, ctx));
        }));
    }
}

fn refuse(reply: Reply, refusal: RuleRefusal) {
    let _ = reply.send(Err(refusal)); // whoever waited may have gone
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
fn keys(rules: &[Rule]) -> Keys {
    let mut keys = Keys::new();
    for rule in rules {
        for (step, secret) in webhook_keys(rule) {
            let key = match secret {
                Secret::Text(text) => Some(text.to_string()),
                Secret::Environment(name) => std::env::var(&*name).ok(),
            };
            match key {
                Some(key) => {
                    keys.insert((rule.id.clone(), step), key);
                }
                None => warn!(rule = %rule.id, "the environment has no key for its webhook"),
            }
        }
    }
    keys
}

impl Handler<ReadRules> for Automation {
    type Result = ();

    fn handle(&mut self, ReadRules { reply }: ReadRules, ctx: &mut Context<Self>) {
        self.when_ready(ctx, |this, _| {
            let rules = this.engine.rules().iter().map(|rule| this.stands(rule)).collect();
            let read = RulesRead { rules, broken: this.library.broken(), warnings: this.warnings() };
            let _ = reply.send(read); // whoever waited may have gone
        });
    }
}

impl Handler<PutRule> for Automation {
    type Result = ();

    fn handle(&mut self, request: PutRule, ctx: &mut Context<Self>) {
        self.when_ready(ctx, |this, ctx| this.put(request, ctx));
    }
}

impl Handler<DeleteRule> for Automation {
    type Result = ();

    fn handle(&mut self, request: DeleteRule, ctx: &mut Context<Self>) {
        self.when_ready(ctx, |this, ctx| this.delete(request, ctx));
    }
}

impl Handler<EnableRule> for Automation {
    type Result = ();

    fn handle(&mut self, request: EnableRule, ctx: &mut Context<Self>) {
        self.when_ready(ctx, |this, ctx| this.enable(request, ctx));
    }
}

impl Handler<Tell> for Automation {
    type Result = ();

    fn handle(&mut self, request: Tell, ctx: &mut Context<Self>) {
        self.when_ready(ctx, |this, ctx| this.tell(request, ctx));
    }
}
