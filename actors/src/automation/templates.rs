//! The rules of templates: they stand beside those of the API, and change with their templates alone. Pure.

use std::collections::BTreeMap;

use tracing::warn;

use super::library::Library;
use twinhub_domain::run::RuleId;
use twinhub_domain::{Object, Timestamp};
use twinhub_rules::Rule;
use twinhub_rules::file::{SecretNames, parse_rule_with};
use twinhub_store::RuleRecord;

/// The changes of the rules of templates.
pub(super) struct TemplateChanges {
    pub taken: BTreeMap<RuleId, (Rule, RuleRecord)>,
    pub gone: Vec<RuleId>,
    now: Timestamp,
}

impl TemplateChanges {
    /// The rules of all templates are these now.
    pub fn new(
        library: &Library,
        rules: &BTreeMap<RuleId, Object>,
        secrets: &SecretNames,
        now: Timestamp,
    ) -> Self {
        let mut taken: BTreeMap<RuleId, (Rule, RuleRecord)> = BTreeMap::new();
        for (id, body) in rules {
            let before = library.record(id);
            if before.is_some_and(|record| record.body.as_ref() == Some(body)) {
                continue;
            }
            let record = RuleRecord {
                id: id.clone(),
                body: Some(body.clone()),
                // The switch stays as somebody has set it, whatever else of the rule changes.
                enabled: before.and_then(|record| record.enabled),
                // None: whoever changes templates reaches all devices, and rules that reach beyond these are taken from
                // admins alone.
                author: None,
                created_at: before.map_or(now, |record| record.created_at),
                updated_at: now,
            };
            match parse_rule_with(body, secrets) {
                Ok((rule, _)) => drop(taken.insert(id.clone(), (rule, record))),
                Err(problems) => {
                    warn!(rule = %id, ?problems, "a template's rule is invalid, skipping it");
                }
            }
        }
        let known = library.records().map(|record| &record.id);
        let gone = known.filter(|id| id.template().is_some() && !rules.contains_key(*id)).cloned().collect();
        Self { taken, gone, now }
    }

    pub fn is_empty(&self) -> bool {
        self.taken.is_empty() && self.gone.is_empty()
    }

    /// The records to be stored.
    pub fn records(&self) -> Vec<RuleRecord> {
        let no_more = |id: &RuleId| RuleRecord {
            id: id.clone(),
            body: None,
            enabled: None,
            author: None,
            created_at: self.now,
            updated_at: self.now,
        };
        self.taken.values().map(|(_, record)| record.clone()).chain(self.gone.iter().map(no_more)).collect()
    }

    /// Takes them into the library. Gives the rules that nobody has switched, and whether they run.
    pub fn apply(self, library: &mut Library) -> Vec<(RuleId, bool)> {
        let mut as_written = Vec::new();
        for (rule, record) in self.taken.into_values() {
            as_written.extend(record.enabled.is_none().then(|| (rule.id.clone(), rule.enabled)));
            library.put(rule, record);
        }
        for id in &self.gone {
            library.remove(id);
        }
        as_written
    }
}
