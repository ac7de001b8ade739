//! The writes of rules: every effect that another rule could meet.

use crate::action::each_action;
use crate::model::{Rule, Selector};
use twinhub_domain::alarm::Severity;
use twinhub_domain::run::RuleId;
use twinhub_domain::{Json, Mode};

/// An effect of a rule.
#[derive(Clone, Debug)]
pub struct RuleWrite<'a> {
    pub kind: WriteKind<'a>,
    /// The devices that it reaches; empty where it is no device's.
    pub to: Vec<&'a Selector>,
    /// The effect comes when the trigger's condition ends (`on_release`).
    pub release: bool,
}

/// The kinds of effects.
#[derive(Clone, Debug)]
pub enum WriteKind<'a> {
    /// A property of `desired`; no value: it is filled in.
    Desired {
        name: &'a str,
        value: Option<&'a Json>,
        template: &'a Json,
    },
    Command {
        command_type: &'a str,
        parameters: &'a Json,
    },
    Mode(Mode),
    Raise {
        alarm_type: &'a str,
        severity: Severity,
    },
    Clear {
        alarm_type: &'a str,
    },
    /// A topic that is not filled in.
    Publish {
        topic: &'a str,
    },
    Run {
        rule: &'a RuleId,
    },
}

/// A rule's effects, those of `on_release` too.
pub fn writes(rule: &Rule) -> Vec<RuleWrite<'_>> {
    let mut writes = Vec::new();
    for (actions, release) in [(&rule.actions, false), (&rule.on_release, true)] {
        each_action(actions, &mut |action| {
            action.kind.behaviour().writes(&mut |kind, to| {
                let to = to.map(|to| devices(rule, to)).unwrap_or_default();
                writes.push(RuleWrite { kind, to, release });
            });
        });
    }
    writes
}

/// The devices that a selector of an action means: `trigger.device` is one that fires the rule.
fn devices<'a>(rule: &'a Rule, selector: &'a Selector) -> Vec<&'a Selector> {
    match selector {
        Selector::Trigger => rule.triggers.iter().filter_map(|trigger| trigger.kind.selector()).collect(),
        other => vec![other],
    }
}
