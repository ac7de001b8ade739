//! The rules by where they come from: files and the API, and what people said of each. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::messages::automation::{RuleExistence, RuleFileRead, RuleRefusal};
use twinhub_domain::run::RuleId;
use twinhub_domain::{Object, Timestamp};
use twinhub_rules::file::{SecretNames, parse_rule_with};
use twinhub_rules::model::RuleOrigin;
use twinhub_rules::{FileProblem, Rule, RuleFile};
use twinhub_store::{RuleAuthor, RuleRecord};

/// The rules of all files and of the API.
#[derive(Debug, Default)]
pub struct Library {
    files: BTreeMap<Arc<str>, LoadedFile>,
    /// Made over the API.
    made: BTreeMap<RuleId, Rule>,
    records: BTreeMap<RuleId, RuleRecord>,
    /// Rules of the API that this program cannot read any more.
    unread: BTreeMap<RuleId, Vec<FileProblem>>,
    /// Rules of which a change is on its way to the store, and how many changes.
    changing: BTreeMap<RuleId, usize>,
}

/// A rule file: the version that runs, and what is wrong with the one that stands there.
#[derive(Debug, Default)]
struct LoadedFile {
    rules: Vec<Rule>,
    problems: Vec<FileProblem>,
}

impl Library {
    /// Takes what the store knows beside the files.
    pub fn new(records: Vec<RuleRecord>, secrets: &SecretNames) -> Self {
        let mut library = Self::default();
        for record in records {
            if let Some(body) = &record.body {
                match parse_rule_with(body, secrets) {
                    Ok((rule, _)) => {
                        library.made.insert(record.id.clone(), rule);
                    }
                    Err(problems) => {
                        library.unread.insert(record.id.clone(), problems);
                    }
                }
            }
            library.records.insert(record.id.clone(), record);
        }
        library
    }

    /// The files as they stand now, all of them. One that does not check out leaves what ran before.
    pub fn load(&mut self, files: Vec<RuleFileRead>) {
        let mut before = std::mem::take(&mut self.files);
        for RuleFileRead { path, read } in files {
            let file = match read {
                Ok(RuleFile { rules, .. }) => LoadedFile { rules, problems: Vec::new() },
                Err(problems) => {
                    LoadedFile { rules: before.remove(&path).unwrap_or_default().rules, problems }
                }
            };
            self.files.insert(path, file);
        }
        self.refuse_doubles();
    }

    /// A name stands for one rule: the second one, in the order of the paths and after the API, is left
    /// out, and its file says so.
    fn refuse_doubles(&mut self) {
        let mut taken: BTreeMap<RuleId, Arc<str>> =
            self.made.keys().map(|id| (id.clone(), Arc::from("the API"))).collect();
        for (path, file) in &mut self.files {
            let problems = &mut file.problems;
            file.rules.retain(|rule| {
                let message = match (rule.id.template(), taken.get(&rule.id)) {
                    (Some(_), _) => {
                        "rules of templates alone are called so: stand it in a template".to_owned()
                    }
                    (None, Some(whose)) => format!("there is a rule `{}` already, from {whose}", rule.id),
                    (None, None) => {
                        taken.insert(rule.id.clone(), Arc::clone(path));
                        return true;
                    }
                };
                let pointer = format!("/rules/{}", rule.id);
                problems.push(FileProblem { line: 0, column: 0, pointer, message, hint: None });
                false
            });
        }
    }

    /// All rules, in the order of their names.
    pub fn rules(&self) -> Vec<Rule> {
        let mut rules: Vec<Rule> = self.all().cloned().collect();
        rules.sort_unstable_by(|one, other| one.id.cmp(&other.id));
        rules
    }

    fn all(&self) -> impl Iterator<Item = &Rule> {
        self.made.values().chain(self.files.values().flat_map(|file| &file.rules))
    }

    /// The rule of this name.
    pub fn find(&self, id: &RuleId) -> Option<&Rule> {
        self.all().find(|rule| rule.id == *id)
    }

    /// People's word on a rule, where they gave one.
    pub fn record(&self, id: &RuleId) -> Option<&RuleRecord> {
        self.records.get(id)
    }

    /// Everything that people said.
    pub fn records(&self) -> impl Iterator<Item = &RuleRecord> {
        self.records.values()
    }

    /// Files that do not check out, and rules of the API that cannot be read.
    pub fn broken(&self) -> Vec<(Arc<str>, Vec<FileProblem>)> {
        let files = self.files.iter().filter(|(_, file)| !file.problems.is_empty());
        let files = files.map(|(path, file)| (Arc::clone(path), file.problems.clone()));
        let made =
            self.unread.iter().map(|(id, problems)| (Arc::from(format!("api:{id}")), problems.clone()));
        files.chain(made).collect()
    }

    /// May a rule of this name be made or changed over the API?
    ///
    /// # Errors
    /// It is there, it is not, or it stands in a file.
    pub fn may_put(&self, id: &RuleId, expect: RuleExistence) -> Result<(), RuleRefusal> {
        if let Some(template) = id.template() {
            return match self.find(id) {
                None if expect == RuleExistence::There => Err(RuleRefusal::Unknown(id.clone())),
                _ => Err(RuleRefusal::OfTemplate { id: id.clone(), template: template.into() }),
            };
        }
        match self.find(id).map(|rule| &rule.origin) {
            Some(RuleOrigin::File(path)) if expect == RuleExistence::There => {
                Err(RuleRefusal::InFile { id: id.clone(), path: Arc::clone(path) })
            }
            Some(_) if expect == RuleExistence::New => Err(RuleRefusal::Taken(id.clone())),
            None if expect == RuleExistence::There && !self.unread.contains_key(id) => {
                Err(RuleRefusal::Unknown(id.clone()))
            }
            None if expect == RuleExistence::New && self.unread.contains_key(id) => {
                Err(RuleRefusal::Taken(id.clone()))
            }
            _ => Ok(()),
        }
    }

    /// Takes a rule of the API in.
    pub fn put(&mut self, rule: Rule, record: RuleRecord) {
        self.unread.remove(&record.id);
        self.records.insert(record.id.clone(), record);
        self.made.insert(rule.id.clone(), rule);
    }

    /// Takes in what people said of a rule.
    pub fn set_record(&mut self, record: RuleRecord) {
        self.records.insert(record.id.clone(), record);
    }

    /// Removes a rule of the API.
    pub fn remove(&mut self, id: &RuleId) {
        self.unread.remove(id);
        self.records.remove(id);
        self.made.remove(id);
    }

    /// Changes of these rules are on their way to the store.
    pub fn begin_change(&mut self, ids: &[RuleId]) {
        for id in ids {
            *self.changing.entry(id.clone()).or_default() += 1;
        }
    }

    /// They have come there, or got lost.
    pub fn end_change(&mut self, ids: &[RuleId]) {
        for id in ids {
            match self.changing.get_mut(id) {
                Some(changes) if *changes > 1 => *changes -= 1,
                _ => drop(self.changing.remove(id)),
            }
        }
    }

    /// Is a change of this rule on its way?
    pub fn is_changing(&self, id: &RuleId) -> bool {
        self.changing.contains_key(id)
    }

    /// A rule with this body, said now. Whether it runs it says itself.
    pub fn record_of_body(
        &self,
        id: &RuleId,
        body: Option<Object>,
        author: Option<RuleAuthor>,
        now: Timestamp,
    ) -> RuleRecord {
        let before = self.record(id);
        let now = changed_at(before, now);
        let created_at = before.map_or(now, |record| record.created_at);
        RuleRecord { id: id.clone(), body, enabled: None, author, created_at, updated_at: now }
    }

    /// The rule switched, now.
    pub fn record_of_switch(&self, id: &RuleId, enabled: bool, now: Timestamp) -> RuleRecord {
        let before = self.record(id).map(|record| (record.body.clone(), record.author.clone()));
        let (body, author) = before.unwrap_or_default();
        RuleRecord { enabled: Some(enabled), ..self.record_of_body(id, body, author, now) }
    }
}

/// When something is said of a rule, now: later than what was said before, whatever the clock shows, as its tag must be
/// another.
fn changed_at(before: Option<&RuleRecord>, now: Timestamp) -> Timestamp {
    before.map_or(now, |before| now.max(before.updated_at.plus_millis(1)))
}
