//! The rules about a device.

use twinhub_domain::fleet::Tree;
use twinhub_domain::{Json, Twin};
use twinhub_rules::Rule;
use twinhub_rules::action::{Action, Reference, each_action};
use twinhub_rules::expression::Dependency;
use twinhub_rules::model::{Condition, Selector, TriggerKind};

/// A twin and its groups: its own, and all above that.
pub struct Placed<'a> {
    pub twin: &'a Twin,
    pub groups: Vec<&'a str>,
}

impl<'a> Placed<'a> {
    /// A twin in this tree.
    #[must_use]
    pub fn new(twin: &'a Twin, tree: &'a Tree) -> Self {
        Self { twin, groups: tree.upward(twin.profile.text("group_id")).collect() }
    }
}

/// Does the rule look at this twin, or do something to it?
#[must_use]
pub fn mentions(rule: &Rule, twin: &Placed<'_>) -> bool {
    let triggers = || rule.triggers.iter().any(|trigger| of_trigger(&trigger.kind, twin));
    let conditions = || rule.conditions.iter().any(|condition| of_condition(condition, twin));
    triggers() || conditions() || of_actions(&rule.actions, twin) || of_actions(&rule.on_release, twin)
}

fn of_trigger(trigger: &TriggerKind, twin: &Placed<'_>) -> bool {
    match trigger {
        TriggerKind::Numeric { of, .. }
        | TriggerKind::Changed { of, .. }
        | TriggerKind::Event { of, .. }
        | TriggerKind::Presence { of, .. }
        | TriggerKind::Command { of, .. } => selects(of, twin),
        TriggerKind::Alarm { of, .. } => of.as_ref().is_some_and(|of| selects(of, twin)),
        TriggerKind::Cron { .. }
        | TriggerKind::Every { .. }
        | TriggerKind::Mqtt { .. }
        | TriggerKind::Webhook { .. } => false,
    }
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
                Reference::Devices(of) => selects(of, twin),
                Reference::Condition(condition) => of_condition(condition, twin),
                _ => false,
            };
        });
    });
    found
}

/// The device that fired is found with the trigger that it fires.
fn selects(selector: &Selector, placed: &Placed<'_>) -> bool {
    let twin = placed.twin;
    match selector {
        Selector::Device(device) => *device == twin.id,
        Selector::Glob(glob) => glob.matcher.is_match(twin.id.as_str()),
        Selector::Where { group, device_type, tags, template } => {
            group.as_deref().is_none_or(|wanted| placed.groups.contains(&wanted))
                && device_type.as_deref().is_none_or(|wanted| &*twin.profile.device_type == wanted)
                && template.as_deref().is_none_or(|wanted| twin.template_id() == Some(wanted))
                && tags
                    .iter()
                    .all(|(name, wanted)| twin.setup.tags.get(name).is_some_and(|tag| is(tag, wanted)))
        }
        Selector::Trigger => false,
    }
}

fn is(tag: &Json, wanted: &str) -> bool {
    tag.as_str().map_or_else(|| tag.to_string() == wanted, |text| text == wanted)
}
