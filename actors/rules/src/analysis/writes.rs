//! The writes of rules: every effect that another rule could meet.

use super::{each_action, overlap};
use crate::model::{Action, Rule, Selector, What};
use twinhub_domain::alarm::Severity;
use twinhub_domain::run::RuleId;
use twinhub_domain::{Json, Mode};

/// An effect of a rule.
#[derive(Clone, Debug)]
pub struct Write<'a> {
    pub effect: Effect<'a>,
    /// The devices that it reaches; empty where the effect has no device.
    pub to: Vec<&'a Selector>,
    /// The effect comes when the trigger's condition ends (`on_release`).
    pub release: bool,
}

/// The kinds of effects.
#[derive(Clone, Debug)]
pub enum Effect<'a> {
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
pub fn writes(rule: &Rule) -> Vec<Write<'_>> {
    let mut writes = Vec::new();
    each_action(&rule.actions, &mut |action| add(rule, action, false, &mut writes));
    each_action(&rule.on_release, &mut |action| add(rule, action, true, &mut writes));
    writes
}

fn add<'a>(rule: &'a Rule, action: &'a Action, release: bool, writes: &mut Vec<Write<'a>>) {
    let mut push = |effect, to| writes.push(Write { effect, to, release });
    match &action.what {
        What::Desired { to, set } => {
            let Json::Object(properties) = set.json() else { return };
            for (name, template) in properties.iter() {
                let value = Some(template).filter(|template| !filled_in(template));
                push(Effect::Desired { name, value, template }, devices(rule, to));
            }
        }
        What::Command { to, command_type, parameters, .. } => {
            push(Effect::Command { command_type, parameters: parameters.json() }, devices(rule, to));
        }
        What::Mode { of, mode, .. } => push(Effect::Mode(*mode), devices(rule, of)),
        What::Alarm { alarm_type, severity, of, .. } => {
            let of = of.as_ref().unwrap_or(&Selector::Trigger);
            push(Effect::Raise { alarm_type, severity: *severity }, devices(rule, of));
        }
        What::Clear { alarm_type, of } => {
            let of = of.as_ref().unwrap_or(&Selector::Trigger);
            push(Effect::Clear { alarm_type }, devices(rule, of));
        }
        What::Publish { topic, .. } if topic.is_plain() => {
            push(Effect::Publish { topic: topic.text() }, Vec::new());
        }
        What::Run { rule } => push(Effect::Run { rule }, Vec::new()),
        _ => {}
    }
}

/// The devices that a selector of an action means: `trigger.device` is one that fires the rule.
fn devices<'a>(rule: &'a Rule, selector: &'a Selector) -> Vec<&'a Selector> {
    match selector {
        Selector::Trigger => {
            rule.triggers.iter().filter_map(|trigger| overlap::selector_of(&trigger.kind)).collect()
        }
        other => vec![other],
    }
}

/// Is there something to fill in?
fn filled_in(json: &Json) -> bool {
    match json {
        Json::String(text) => text.contains("{{") || text.contains("{%"),
        Json::Array(items) => items.iter().any(filled_in),
        Json::Object(object) => object.iter().any(|(_, value)| filled_in(value)),
        _ => false,
    }
}
