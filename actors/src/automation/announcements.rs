//! The news to people of the rules as a whole: which came, changed and went, what is wrong with them, and what should
//! be looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tracing::warn;

use super::library::Library;
use crate::counters::Counters;
use twinhub_domain::run::{AutomationSignal, RuleId};
use twinhub_rules::analysis::{Warning, analyse, of_running};
use twinhub_rules::{Engine, FileProblem, Rule, Twins as _};

/// For so long what people should look at is not looked for again.
const WARNINGS_LAST_MS: u64 = 5_000;

/// The last announced state.
#[derive(Default)]
pub(super) struct Announcements {
    /// The rules, by name and fingerprint.
    rules: BTreeMap<RuleId, u64>,
    /// The faults of rules.
    broken: BTreeSet<String>,
    /// The warnings to people, and when they were found, on the clock that only counts.
    warnings: Option<(u64, Vec<Warning>)>,
}

impl Announcements {
    /// Says in the log and in health what is wrong with rules, in the log once each.
    pub fn broken(&mut self, library: &Library, counters: &Counters) {
        let broken = library.broken();
        let line = |path: &str, problem: &FileProblem| match problem {
            FileProblem { line: 0, .. } => format!("{path}: {}", problem.sentence()),
            FileProblem { line, column, .. } => format!("{path}:{line}:{column}: {}", problem.sentence()),
        };
        let all =
            broken.iter().flat_map(|(path, problems)| problems.iter().map(move |each| line(path, each)));
        let now: BTreeSet<String> = all.collect();
        for error in now.difference(&self.broken) {
            warn!("{error}");
        }
        let first = |(path, problems): &(Arc<str>, Vec<FileProblem>)| Some(line(path, problems.first()?));
        counters.broken_rules.set(broken.iter().filter_map(first).collect());
        self.broken = now;
    }

    /// The changes since the last announcement; none where nothing has changed.
    pub fn change(&mut self, engine: &Engine, uptime_ms: u64) -> Option<AutomationSignal> {
        let now: BTreeMap<RuleId, u64> =
            engine.rules().iter().map(|rule| (rule.id.clone(), rule.fingerprint)).collect();
        let before = std::mem::replace(&mut self.rules, now);
        let now = &self.rules;
        let names = |rules: &BTreeMap<RuleId, u64>, wanted: &dyn Fn(&RuleId, u64) -> bool| {
            let rules = rules.iter().filter(|(id, print)| wanted(id, **print));
            rules.map(|(id, _)| id.clone()).collect::<Vec<_>>()
        };
        let loaded = names(now, &|id, _| !before.contains_key(id));
        let changed = names(now, &|id, print| before.get(id).is_some_and(|was| *was != print));
        let gone = names(&before, &|id, _| !now.contains_key(id));
        if loaded.is_empty() && changed.is_empty() && gone.is_empty() {
            return None;
        }
        let warnings = self.warnings(engine, uptime_ms);
        let warnings = warnings.into_iter().map(|warning| warning.message.into()).collect();
        Some(AutomationSignal::Rules { loaded, changed, gone, warnings })
    }

    /// The warnings to people about the rules as they stand. Looking at ten thousand of them takes a while, so they are
    /// looked for once, and again where devices may have come since.
    pub fn warnings(&mut self, engine: &Engine, uptime_ms: u64) -> Vec<Warning> {
        if let Some((found, warnings)) = &self.warnings
            && uptime_ms.saturating_sub(*found) < WARNINGS_LAST_MS
        {
            return warnings.clone();
        }
        let rules: Vec<&Rule> = engine.rules().iter().collect();
        let warnings = analyse(&rules, &|id| engine.twin(id).is_some(), &|id| engine.groups().contains(id));
        let warnings = of_running(warnings, &|id| engine.is_enabled(id).unwrap_or(true));
        self.warnings = Some((uptime_ms, warnings.clone()));
        warnings
    }

    /// Rules are others now: what people should look at is to be looked for again.
    pub fn forget_warnings(&mut self) {
        self.warnings = None;
    }
}
