//! The rules of templates: they stand beside those of the API, and change with their templates alone.

use std::collections::BTreeMap;

use actix::{Context, Handler};
use tracing::{info, warn};

use super::Automation;
use crate::messages::automation::{RuleRefusal, TemplateRules};
use twinhub_domain::run::RuleId;
use twinhub_rules::Rule;
use twinhub_rules::file::parse_rule_with;
use twinhub_store::RuleRecord;

impl Automation {
    fn take_template_rules(
        &mut self,
        TemplateRules { rules, reply }: TemplateRules,
        ctx: &mut Context<Self>,
    ) {
        let now = self.around.clock.now();
        let mut taken: BTreeMap<RuleId, (Rule, RuleRecord)> = BTreeMap::new();
        for (id, body) in &rules {
            let before = self.library.record(id);
            if before.is_some_and(|record| record.body.as_ref() == Some(body)) {
                continue;
            }
            let record = RuleRecord {
                id: id.clone(),
                body: Some(body.clone()),
                // Who switched it has switched it, whatever else of it changes.
                enabled: before.and_then(|record| record.enabled),
                created_at: before.map_or(now, |record| record.created_at),
                updated_at: now,
            };
            match parse_rule_with(body, &self.around.secrets) {
                Ok((rule, _)) => drop(taken.insert(id.clone(), (rule, record))),
                Err(problems) => {
                    warn!(rule = %id, ?problems, "a template's rule does not check out, leaving it");
                }
            }
        }
        let known = self.library.records().map(|record| &record.id);
        let gone: Vec<RuleId> =
            known.filter(|id| id.template().is_some() && !rules.contains_key(*id)).cloned().collect();
        if taken.is_empty() && gone.is_empty() {
            let _ = reply.send(Ok(())); // whoever waited may have gone
            return;
        }
        info!(taken = taken.len(), gone = gone.len(), "rules of templates changed");
        let no_more = |id: &RuleId| RuleRecord {
            id: id.clone(),
            body: None,
            enabled: None,
            created_at: now,
            updated_at: now,
        };
        let records = taken.values().map(|(_, record)| record.clone()).chain(gone.iter().map(no_more));
        let records = records.collect();
        self.keep(Vec::new(), records, ctx, move |this, settled, ctx| {
            if settled.is_err() {
                let _ = reply.send(Err(RuleRefusal::Lost)); // whoever waited may have gone
                return;
            }
            let mut as_written = Vec::new();
            for (rule, record) in taken.into_values() {
                as_written.extend(record.enabled.is_none().then(|| (rule.id.clone(), rule.enabled)));
                this.library.put(rule, record);
            }
            for id in &gone {
                this.library.remove(id);
            }
            this.exchange(ctx, move |this, _| {
                for (id, enabled) in as_written {
                    this.engine.set_enabled(&id, enabled);
                }
                let _ = reply.send(Ok(())); // whoever waited may have gone
            });
        });
    }
}

impl Handler<TemplateRules> for Automation {
    type Result = ();

    fn handle(&mut self, request: TemplateRules, ctx: &mut Context<Self>) {
        self.when_ready(ctx, |this, ctx| this.take_template_rules(request, ctx));
    }
}
