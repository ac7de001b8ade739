//! Evaluations of what rules say, by the twins as they stand. A panic in one is the rule's alone.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::action_context::{ActionContext, ActionFault, ActionRequest};
use super::index::RuleIndex;
use super::run::RunState;
use super::scope::ScopeKey;
use super::watched_twins::WatchedTwins;
use crate::action::ActionKind;
use crate::expression::EvaluationScope;
use crate::model::Condition;
use twinhub_domain::Timestamp;
use twinhub_domain::run::{ConditionSeen, RuleId, RunEntry};

/// Reads the rules and the twins, and changes nothing.
pub(super) struct Evaluator<'a> {
    pub index: &'a RuleIndex,
    pub world: &'a WatchedTwins,
    /// A rule that dies when it is looked at. Only in tests.
    pub dies: Option<&'a RuleId>,
}

/// An evaluation died: a fault of the program.
#[derive(Clone, Copy, Debug)]
pub(super) struct EvaluationPanic;

impl Evaluator<'_> {
    /// Evaluates a condition of a run's rule.
    pub fn condition(
        &self,
        rule: u32,
        condition: &Condition,
        entry: &RunEntry,
        now: Timestamp,
    ) -> Result<ConditionSeen, EvaluationPanic> {
        let (trigger, device) = (&entry.trigger.data, entry.device.as_ref());
        let scope = EvaluationScope { twins: self.world, now, trigger, device };
        self.guard(rule, || condition.evaluate(&scope))
    }

    /// Fills an action in: for each device that it is for, what is asked.
    pub fn ask(
        &self,
        key: ScopeKey,
        run: &RunState,
        action: &ActionKind,
        now: Timestamp,
    ) -> Result<Vec<ActionRequest>, ActionFault> {
        let context = self.context(key, run, now);
        self.guard(key.rule, || action.behaviour().ask(&context))
            .unwrap_or_else(|_| Err(("panic".into(), "it died: a fault of the program".to_owned())))
    }

    /// The context for filling in the action that a run stands at.
    pub fn context<'b>(&'b self, key: ScopeKey, run: &'b RunState, now: Timestamp) -> ActionContext<'b> {
        let step = self.index.step_of_both(key.rule, run.list, run.at);
        ActionContext { world: self.world, rule: self.index.rule(key.rule), entry: &run.entry, step, now }
    }

    /// Runs what belongs to a rule so that its death is the rule's alone.
    pub fn guard<T>(&self, rule: u32, what: impl FnOnce() -> T) -> Result<T, EvaluationPanic> {
        catch_unwind(AssertUnwindSafe(|| {
            assert!(self.dies != Some(&self.index.rule(rule).id), "a rule that dies in a test");
            what()
        }))
        .map_err(|_| EvaluationPanic)
    }
}
