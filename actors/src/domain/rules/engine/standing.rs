//! How rules stand, for people to see, and what of a program others must know.

use super::program::{List, Op};
use super::{Engine, program};
use crate::domain::Timestamp;
use crate::domain::rules::model::{Rule, RuleId, Secret, What};

/// How a rule stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// By its own word, or by what people and other rules said.
    pub enabled: bool,
    /// Why it was stopped, where the breaker or a panic did.
    pub stopped: Option<Box<str>>,
    /// When one of its triggers by the clock is due next, if it runs.
    pub next_at: Option<Timestamp>,
}

impl Engine {
    /// How a rule stands; one that is not there does not run.
    #[must_use]
    pub fn standing(&self, rule: &RuleId) -> Standing {
        let Some(rule) = self.book.find(rule) else { return Standing::default() };
        let level = &self.state.levels[rule as usize];
        let enabled = self.state.is_enabled(&self.book, rule);
        let runs = enabled && level.stopped.is_none();
        Standing { enabled, stopped: level.stopped.clone(), next_at: level.due().filter(|_| runs) }
    }
}

/// The keys that a rule's webhooks are signed with, by the step that sends them (`Delivery::step`): those of
/// `on_release` count on from the last of `actions`.
#[must_use]
pub fn webhook_keys(rule: &Rule) -> Vec<(u32, Secret)> {
    let (mut keys, mut first) = (Vec::new(), 0);
    for list in [List::Actions, List::OnRelease] {
        let actions = list.of(rule);
        let program = program::compile(actions);
        for (step, op) in (first..).zip(program.iter()) {
            let Op::Do(place) = op else { continue };
            if let Some(What::Webhook(webhook)) = place.action(actions).map(|action| &action.what)
                && let Some(secret) = &webhook.secret
            {
                keys.push((step, secret.clone()));
            }
        }
        first += u32::try_from(program.len()).unwrap_or_default();
    }
    keys
}
