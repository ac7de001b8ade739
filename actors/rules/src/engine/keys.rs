//! The part of a rule's program that the senders of its webhooks must know.

use super::program::{self, List, Op};
use crate::action::ActionKind;
use crate::model::{Rule, WebhookSecret};

/// The keys that a rule's webhooks are signed with, by the step that sends them (`Delivery::step`): those of
/// `on_release` count on from the last of `actions`.
#[must_use]
pub fn webhook_keys(rule: &Rule) -> Vec<(u32, WebhookSecret)> {
    let (mut keys, mut first) = (Vec::new(), 0);
    for list in [List::Actions, List::OnRelease] {
        let actions = list.of(rule);
        let program = program::compile(actions);
        for (step, op) in (first..).zip(program.iter()) {
            let Op::Do(place) = op else { continue };
            if let Some(ActionKind::Webhook(webhook)) = place.action(actions).map(|action| &action.kind)
                && let Some(secret) = &webhook.secret
            {
                keys.push((step, secret.clone()));
            }
        }
        first += u32::try_from(program.len()).unwrap_or_default();
    }
    keys
}
