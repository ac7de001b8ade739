//! The rules about a device.

use twinhub_rules::action::{Action, Reference, each_action};
use twinhub_rules::expression::Dependency;
use twinhub_rules::model::Condition;
use twinhub_rules::{Placed, Rule};

/// Does the rule look at this twin, or do something to it?
#[must_use]
pub fn mentions(rule: &Rule, twin: &Placed<'_>) -> bool {
    let triggers =
        || rule.triggers.iter().any(|trigger| trigger.kind.selector().is_some_and(|of| of.means(twin)));
    let conditions = || rule.conditions.iter().any(|condition| of_condition(condition, twin));
    triggers() || conditions() || of_actions(&rule.actions, twin) || of_actions(&rule.on_release, twin)
}

fn of_condition(condition: &Condition, twin: &Placed<'_>) -> bool {
    match condition {
        Condition::Expression(expression) => expression
            .dependencies()
            .iter()
            .any(|on| matches!(on, Dependency::Device(device) if *device == twin.twin.id)),
        Condition::Time { .. } => false,
        Condition::All(parts) | Condition::Any(parts) => parts.iter().any(|part| of_condition(part, twin)),
        Condition::Not(part) => of_condition(part, twin),
    }
}

fn of_actions(actions: &[Action], twin: &Placed<'_>) -> bool {
    let mut found = false;
    each_action(actions, &mut |action| {
        action.kind.references(&mut |reference| {
            found |= match reference {
                Reference::Devices(of) => of.means(twin),
                Reference::Condition(condition) => of_condition(condition, twin),
                _ => false,
            };
        });
    });
    found
}
