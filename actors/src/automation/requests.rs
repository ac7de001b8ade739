//! People's requests to automation: rules made, changed, removed, switched, looked at and set off.

use std::sync::Arc;

use actix::{ActorFutureExt as _, AsyncContext, Context, Handler, WrapFuture as _};
use tokio::sync::oneshot;
use tracing::{info, warn};

use super::confined::RuleBounds;
use super::perform::append;
use super::signed::{self, DeliveryKey, Signer};
use super::templates::TemplateChanges;
use super::{AuthorsChanged, Automation};
use crate::mailbox::{send_reply, try_send_unbounded};
use crate::messages::automation::{
    DeleteRule, EnableRule, PutRule, PutRuleReply, ReadRules, RuleCaller, RuleExistence, RuleRefusal,
    RuleView, RulesRead, SendSignal, SendSigned, TemplateRules,
};
use twinhub_domain::cause::Source;
use twinhub_domain::receipt::InputOutcome;
use twinhub_domain::run::{AutomationSignal, RuleId};
use twinhub_domain::{Cause, EntityTags, Event, Json};
use twinhub_rules::file::{SHORTEST_SECRET, parse_rule_with};
use twinhub_rules::model::TriggerKind;
use twinhub_rules::{Rule, redaction};
use twinhub_store::{AutomationChanges as Kept, RuleRecord};

type RuleReply = oneshot::Sender<Result<PutRuleReply, RuleRefusal>>;

impl Automation {
    fn view(&self, rule: &Rule) -> RuleView {
        let record = self.library.record(&rule.id);
        RuleView {
            rule: Arc::new(rule.clone()),
            sent: record.and_then(|record| record.body.clone()),
            enabled: self.engine.is_enabled(&rule.id).unwrap_or(rule.enabled),
            stopped: self.engine.stopped(&rule.id).map(Into::into),
            next_at: self.engine.next_of(&rule.id),
            created_at: record.map(|record| record.created_at),
            updated_at: record.map(|record| record.updated_at),
        }
    }

    fn put_reply(&mut self, id: &RuleId) -> Result<PutRuleReply, RuleRefusal> {
        let warnings = self.warnings().into_iter().filter(|warning| warning.rules.contains(id)).collect();
        let rule = self.library.find(id).ok_or_else(|| RuleRefusal::Unknown(id.clone()))?;
        Ok(PutRuleReply { stands: self.view(rule), warnings })
    }

    fn put(&mut self, request: PutRule, ctx: &mut Context<Self>) {
        let PutRule { body, by, expect, if_tag, cause, reply } = request;
        let id = body.get("id").and_then(Json::as_str).and_then(|id| RuleId::parse(id).ok());
        let before = id.and_then(|id| self.library.record(&id)).and_then(|record| record.body.as_ref());
        let before = before.filter(|_| expect != RuleExistence::New);
        let body = match redaction::restore(&body, before) {
            Ok(body) => body,
            Err(problems) => return refuse(reply, RuleRefusal::Problems(problems)),
        };
        let rule = match parse_rule_with(&body, &self.deps.secrets) {
            Ok((rule, _)) => rule,
            Err(problems) => return refuse(reply, RuleRefusal::Problems(problems)),
        };
        let may_put =
            self.check_known(&rule.id, &by, expect).and_then(|()| self.library.may_put(&rule.id, expect));
        let may_put = may_put.and_then(|()| self.check_tag(&rule.id, if_tag));
        let may_put = may_put.and_then(|()| self.check_bounds(&rule, &by));
        if let Err(refusal) = may_put {
            return refuse(reply, refusal);
        }
        let record = self.library.record_of_body(&rule.id, Some(body), by.author, self.deps.clock.now());
        info!(rule = %rule.id, by = %cause.by, "rule taken in");
        self.keep(Vec::new(), vec![record.clone()], ctx, move |this, settled, ctx| {
            if settled.is_err() {
                return refuse(reply, RuleRefusal::Lost);
            }
            let (id, enabled) = (rule.id.clone(), rule.enabled);
            this.library.put(rule, record);
            this.exchange(ctx, move |this, _| {
                this.engine.set_enabled(&id, enabled);
                this.announcements.forget_warnings();
                send_reply(reply, this.put_reply(&id));
            });
        });
    }

    fn delete(&mut self, DeleteRule { id, by, if_tag, cause, reply }: DeleteRule, ctx: &mut Context<Self>) {
        let is_known = self.check_known(&id, &by, RuleExistence::There);
        let may_go = is_known
            .and_then(|()| self.library.may_put(&id, RuleExistence::There))
            .and_then(|()| self.check_tag(&id, if_tag));
        if let Err(refusal) = may_go {
            send_reply(reply, Err(refusal));
            return;
        }
        let now = self.deps.clock.now();
        let record = RuleRecord {
            id: id.clone(),
            body: None,
            enabled: None,
            author: None,
            created_at: now,
            updated_at: now,
        };
        info!(rule = %id, by = %cause.by, "rule removed");
        self.keep(Vec::new(), vec![record], ctx, move |this, settled, ctx| {
            if settled.is_err() {
                send_reply(reply, Err(RuleRefusal::Lost));
                return;
            }
            this.library.remove(&id);
            this.exchange(ctx, move |_, _| {
                send_reply(reply, Ok(()));
            });
        });
    }

    fn enable(&mut self, enable: EnableRule, ctx: &mut Context<Self>) {
        let EnableRule { id, by, enabled, if_tag, cause, reply } = enable;
        if let Err(refusal) = self.check_known(&id, &by, RuleExistence::There) {
            return refuse(reply, refusal);
        }
        if self.library.find(&id).is_none() {
            return refuse(reply, RuleRefusal::Unknown(id));
        }
        if let Err(refusal) = self.check_tag(&id, if_tag) {
            return refuse(reply, refusal);
        }
        let record = self.library.record_of_switch(&id, enabled, self.deps.clock.now());
        let event = self.signal(AutomationSignal::Enabled { rule: id.clone(), enabled }, cause);
        self.keep(vec![event], vec![record.clone()], ctx, move |this, settled, ctx| {
            if settled.is_err() {
                return refuse(reply, RuleRefusal::Lost);
            }
            this.library.set_record(record);
            this.engine.set_enabled(&id, enabled);
            this.announcements.forget_warnings();
            this.after(ctx);
            send_reply(reply, this.put_reply(&id));
        });
    }

    /// Is the rule one of those that the change is for? A change that is on its way makes another of it, and a rule
    /// that cannot be read is none.
    fn check_tag(&self, id: &RuleId, if_tag: Option<EntityTags>) -> Result<(), RuleRefusal> {
        let Some(expected) = if_tag else { return Ok(()) };
        if self.library.is_changing(id) {
            return Err(RuleRefusal::Changing(id.clone()));
        }
        let current = self.library.find(id).map(|rule| self.view(rule).tag()).unwrap_or_default();
        if expected.contain(&current) { Ok(()) } else { Err(RuleRefusal::Version { current, expected }) }
    }

    /// A rule switches another. Durable with the run that did it.
    pub(super) fn enable_by_rule(&mut self, id: RuleId, enabled: bool, cause: &Cause) {
        if self.library.find(&id).is_none() {
            warn!(rule = %id, by = %cause.by, "a rule is to be switched that is not there");
            return;
        }
        let record = self.library.record_of_switch(&id, enabled, self.deps.clock.now());
        self.library.set_record(record.clone());
        self.engine.set_enabled(&id, enabled);
        self.announcements.forget_warnings();
        let event = self.signal(AutomationSignal::Enabled { rule: id, enabled }, cause.clone());
        self.pending.events.push(event);
        self.pending.rules.push(record);
    }

    fn send_signal(&mut self, SendSignal { signal, by, cause, reply }: SendSignal, ctx: &mut Context<Self>) {
        let refusal = match &signal {
            AutomationSignal::Run { rule, .. }
                if self.library.find(rule).is_none_or(|rule| !self.sees(&by, rule)) =>
            {
                Some(RuleRefusal::Unknown(rule.clone()))
            }
            AutomationSignal::Webhook { name, .. } if !self.sees_webhook(&by, name) => {
                Some(RuleRefusal::NoWebhook(name.to_string()))
            }
            _ => None,
        };
        if let Some(refusal) = refusal {
            send_reply(reply, Err(refusal));
            return;
        }
        let event = self.signal(signal, cause);
        self.commit(vec![event], Kept::default(), ctx, move |_, settled, _| {
            let seq = settled.ok().and_then(|taken| taken.seq);
            send_reply(reply, seq.ok_or(RuleRefusal::Lost));
        });
    }

    /// A request that is signed counts as one of the author of the rule whose secret has signed it.
    fn send_signed(&mut self, sent: SendSigned, ctx: &mut Context<Self>) {
        let SendSigned { name, body, payload, signature, delivery, reply } = sent;
        if !signed::is_fresh(&signature, self.deps.clock.now()) {
            return send_reply(reply, Err(signed::STALE));
        }
        let signers = self.engine.webhook_secrets(&name).filter_map(|(rule, secret)| {
            let author = self.library.record(&rule.id).and_then(|record| record.author.as_ref());
            let caller = match author {
                Some(author) => self.deps.authors.sender(author)?,
                None => RuleCaller::default(), // files and templates are the hub's own
            };
            let key = signed::key(secret).filter(|key| key.chars().count() >= SHORTEST_SECRET)?;
            Some(Signer { rule: rule.id.clone(), key, caller })
        });
        let checked = signed::signed_by(signature, body, signers.collect());
        ctx.spawn(checked.into_actor(self).map(move |(signers, body), this, ctx| {
            let Some(signer) = signers.iter().find(|signer| this.sees_webhook(&signer.caller, &name)) else {
                return send_reply(reply, Err(signed::WRONG));
            };
            let keys = DeliveryKey::of(&name, &signer.rule, delivery, body, &signature);
            let Some(reply) = this.signed.begin(&keys, reply) else { return };
            let cause = Cause::new(Source::Rest, &format!("webhook:{name}"));
            let event = this.signal(AutomationSignal::Webhook { name, body: payload }, cause);
            this.commit(vec![event], Kept::default(), ctx, move |this, settled, _| {
                let seq = settled.ok().and_then(|taken| taken.seq);
                this.signed.end(keys, seq);
                send_reply(reply, seq.ok_or(RuleRefusal::Lost));
            });
        }));
    }

    fn take_template_rules(&mut self, request: TemplateRules, ctx: &mut Context<Self>) {
        let TemplateRules { rules, reply } = request;
        let now = self.deps.clock.now();
        let changes = TemplateChanges::new(&self.library, &rules, &self.deps.secrets, now);
        if changes.is_empty() {
            send_reply(reply, Ok(()));
            return;
        }
        info!(taken = changes.taken.len(), gone = changes.gone.len(), "rules of templates changed");
        self.keep(Vec::new(), changes.records(), ctx, move |this, settled, ctx| {
            if settled.is_err() {
                send_reply(reply, Err(RuleRefusal::Lost));
                return;
            }
            let as_written = changes.apply(&mut this.library);
            this.exchange(ctx, move |this, _| {
                for (id, enabled) in as_written {
                    this.engine.set_enabled(&id, enabled);
                }
                send_reply(reply, Ok(()));
            });
        });
    }

    /// Commits what is said of rules. Until it goes on they are on their way to be others.
    pub(super) fn keep(
        &mut self,
        events: Vec<Event>,
        rules: Vec<RuleRecord>,
        ctx: &mut Context<Self>,
        then: impl FnOnce(&mut Self, InputOutcome, &mut Context<Self>) + 'static,
    ) {
        let ids: Vec<RuleId> = rules.iter().map(|record| record.id.clone()).collect();
        self.library.begin_change(&ids);
        self.commit(events, Kept { rules, ..Kept::default() }, ctx, move |this, settled, ctx| {
            this.library.end_change(&ids);
            then(this, settled, ctx);
        });
    }

    /// Commits, and then goes on in the actor.
    pub(super) fn commit(
        &self,
        events: Vec<Event>,
        kept: Kept,
        ctx: &mut Context<Self>,
        then: impl FnOnce(&mut Self, InputOutcome, &mut Context<Self>) + 'static,
    ) {
        let journal = self.deps.journal.clone();
        let work = async move { append(&journal, events, Vec::new(), kept).await };
        ctx.spawn(work.into_actor(self).map(move |settled, this, ctx| {
            this.when_ready(ctx, move |this, ctx| then(this, settled, ctx));
        }));
    }
}

impl Automation {
    fn bounds<'a>(&'a self, caller: &'a RuleCaller) -> RuleBounds<'a> {
        RuleBounds { caller, places: self.deps.authors.places.read() }
    }

    /// Does the caller see this rule?
    pub(super) fn sees(&self, caller: &RuleCaller, rule: &Rule) -> bool {
        caller.reach.is_everywhere() || self.bounds(caller).beyond(rule, |id| self.library.find(id)).is_none()
    }

    /// Has a rule that the caller sees a webhook of this name, and none that they do not?
    pub(super) fn sees_webhook(&self, caller: &RuleCaller, name: &str) -> bool {
        let has = |rule: &&Rule| {
            rule.triggers.iter().any(
                |trigger| matches!(&trigger.kind, TriggerKind::Webhook { name: of, .. } if **of == *name),
            )
        };
        self.engine.has_webhook(name)
            && self.engine.rules().iter().filter(has).all(|rule| self.sees(caller, rule))
    }

    /// Goes on unless there is a rule of this name that the caller is to change and does not see. That a name is taken
    /// they are told.
    pub(super) fn check_known(
        &self,
        id: &RuleId,
        caller: &RuleCaller,
        expect: RuleExistence,
    ) -> Result<(), RuleRefusal> {
        let is_hidden = self.library.find(id).is_some_and(|rule| !self.sees(caller, rule));
        match expect {
            RuleExistence::There if is_hidden => Err(RuleRefusal::Unknown(id.clone())),
            _ => Ok(()),
        }
    }

    /// Goes on where the caller may make this rule.
    pub(super) fn check_bounds(&self, rule: &Rule, caller: &RuleCaller) -> Result<(), RuleRefusal> {
        match self.bounds(caller).fault(rule, |id| self.library.find(id)) {
            Some(fault) => Err(RuleRefusal::Beyond(fault)),
            None => Ok(()),
        }
    }

    /// Looks at the authors of rules whenever rights end, and at the start.
    pub(super) fn watch_authors(&self, ctx: &Context<Self>) {
        let (mut changes, me) = (self.deps.authors.changes(), ctx.address().downgrade());
        actix_rt::spawn(async move {
            while let Some(me) = me.upgrade()
                && try_send_unbounded(&me, AuthorsChanged).is_ok()
            {
                drop(me); // it may go while nothing changes
                if changes.changed().await.is_err() {
                    return;
                }
            }
        });
    }

    /// The reason why the author of a rule may not have it act any more; none where they may, or it has none.
    fn disowned(&self, record: &RuleRecord) -> Option<String> {
        let Some(by) = self.deps.authors.caller(record.author.as_ref()?) else {
            return Some("its author was removed, or may not act any more".to_owned());
        };
        let rule = self.library.find(&record.id)?;
        // Only what it does is checked as it acts, and not what it looks at.
        let fault = self.bounds(&by).fault(rule, |id| self.library.find(id))?;
        Some(format!("its author could not make it any more: {fault}"))
    }

    /// Stops the rules whose authors may not act any more, or not so far.
    pub(super) fn disable_orphans(&mut self, ctx: &mut Context<Self>) {
        let enabled =
            self.library.records().filter(|record| self.engine.is_enabled(&record.id) == Some(true));
        let orphans = enabled.filter_map(|record| Some((record.id.clone(), self.disowned(record)?)));
        let orphans: Vec<(RuleId, String)> = orphans.collect();
        let is_any = !orphans.is_empty();
        for (id, why) in orphans {
            let id = &id;
            let record = self.library.record_of_switch(id, false, self.deps.clock.now());
            self.library.set_record(record.clone());
            self.engine.set_enabled(id, false);
            self.pending.rules.push(record);
            self.pending.stopped(&self.deps, id, why.into());
        }
        if is_any {
            self.announcements.forget_warnings();
            self.after(ctx);
            self.save();
        }
    }
}

fn refuse(reply: RuleReply, refusal: RuleRefusal) {
    send_reply(reply, Err(refusal));
}

impl Handler<ReadRules> for Automation {
    type Result = ();

    fn handle(&mut self, ReadRules { by, reply }: ReadRules, ctx: &mut Context<Self>) {
        self.when_ready(ctx, move |this, _| {
            let seen = this.engine.rules().iter().filter(|rule| this.sees(&by, rule));
            let rules = seen.map(|rule| this.view(rule)).collect();
            // The faults are told with names of others' devices in them.
            let (broken, warnings) = match by.reach.is_everywhere() {
                true => (this.library.broken(), this.warnings()),
                false => (Vec::new(), Vec::new()),
            };
            send_reply(reply, RulesRead { rules, broken, warnings });
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

impl Handler<SendSignal> for Automation {
    type Result = ();

    fn handle(&mut self, request: SendSignal, ctx: &mut Context<Self>) {
        self.when_ready(ctx, |this, ctx| this.send_signal(request, ctx));
    }
}

impl Handler<SendSigned> for Automation {
    type Result = ();

    fn handle(&mut self, request: SendSigned, ctx: &mut Context<Self>) {
        self.when_ready(ctx, |this, ctx| this.send_signed(request, ctx));
    }
}

impl Handler<TemplateRules> for Automation {
    type Result = ();

    fn handle(&mut self, request: TemplateRules, ctx: &mut Context<Self>) {
        self.when_ready(ctx, |this, ctx| this.take_template_rules(request, ctx));
    }
}
