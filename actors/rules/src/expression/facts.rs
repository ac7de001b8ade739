//! Necessary conditions of an expression, as far as they can be read from it: to decide whether two conditions can hold
//! at once.

use super::name::{Name, Root};
use super::operators::Operator;
use super::tree::{ExpressionKind, ExpressionNode};
use super::{DeviceId, Expression};
use twinhub_domain::{Json, Number};

/// Something that must be so.
#[derive(Clone, Debug, PartialEq)]
pub struct Fact {
    /// None: the device that fired the rule.
    pub device: Option<DeviceId>,
    /// `power`, `desired.power`, `mode`: a reported one is without `reported` before it.
    pub path: Box<str>,
    pub bound: Bound,
}

/// The range of a value.
#[derive(Clone, Debug, PartialEq)]
pub enum Bound {
    Is(Json),
    IsNot(Json),
    /// Above the first, below the second; inclusive where the flag is set.
    Within {
        low: Option<(Number, bool)>,
        high: Option<(Number, bool)>,
    },
}

impl Fact {
    /// Can the two never hold at once? False where that is undecidable.
    #[must_use]
    pub fn excludes(&self, other: &Self) -> bool {
        self.device == other.device && self.path == other.path && self.bound.excludes(&other.bound)
    }
}

impl Bound {
    /// Can no value lie within both?
    #[must_use]
    pub fn excludes(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Is(a), Self::Is(b)) => a != b,
            (Self::Is(a), Self::IsNot(b)) | (Self::IsNot(b), Self::Is(a)) => a == b,
            (Self::Is(value), within @ Self::Within { .. })
            | (within @ Self::Within { .. }, Self::Is(value)) => {
                value.as_number().is_some_and(|value| !within.holds(value))
            }
            (Self::Within { low: a_low, high: a_high }, Self::Within { low: b_low, high: b_high }) => {
                beyond(a_low.as_ref(), b_high.as_ref()) || beyond(b_low.as_ref(), a_high.as_ref())
            }
            (Self::IsNot(_), _) | (_, Self::IsNot(_)) => false,
        }
    }

    fn holds(&self, value: &Number) -> bool {
        let Self::Within { low, high } = self else { return true };
        low.as_ref().is_none_or(|(low, itself)| value > low || (*itself && value == low))
            && high.as_ref().is_none_or(|(high, itself)| value < high || (*itself && value == high))
    }
}

/// Is nothing both above `low` and below `high`?
fn beyond(low: Option<&(Number, bool)>, high: Option<&(Number, bool)>) -> bool {
    match (low, high) {
        (Some((low, low_itself)), Some((high, high_itself))) => {
            low > high || (low == high && !(*low_itself && *high_itself))
        }
        _ => false,
    }
}

impl Expression {
    /// Necessary conditions of the expression, as far as they can be read from it.
    #[must_use]
    pub fn facts(&self) -> Vec<Fact> {
        let mut facts = Vec::new();
        collect(&self.0.root, true, &mut facts);
        facts
    }
}

fn collect(node: &ExpressionNode, holds: bool, facts: &mut Vec<Fact>) {
    match &node.kind {
        ExpressionKind::And(parts) if holds => parts.iter().for_each(|part| collect(part, true, facts)),
        ExpressionKind::Or(parts) if !holds => parts.iter().for_each(|part| collect(part, false, facts)),
        ExpressionKind::Not(of) => collect(of, !holds, facts),
        ExpressionKind::Name(name) => facts.extend(fact(name, Bound::Is(holds.into()))),
        ExpressionKind::Binary(operator, parts) => {
            let (name, literal, operator) = match (&parts.0.kind, &parts.1.kind) {
                (ExpressionKind::Name(name), literal) => (name, literal, *operator),
                (literal, ExpressionKind::Name(name)) => (name, literal, turned(*operator)),
                _ => return,
            };
            let bound = json(literal).and_then(|literal| bound(operator, literal, holds));
            facts.extend(bound.and_then(|bound| fact(name, bound)));
        }
        _ => {}
    }
}

fn fact(name: &Name, bound: Bound) -> Option<Fact> {
    let device = match &name.root {
        Root::Device(id) => Some(id.clone()),
        Root::TriggerDevice => None,
        Root::Itself | Root::Trigger | Root::Now => return None,
    };
    let path = match &*name.path {
        [first, rest @ ..] if **first == *"reported" && !rest.is_empty() => rest.join("."),
        path => path.join("."),
    };
    Some(Fact { device, path: path.into(), bound })
}

fn bound(operator: Operator, literal: Json, holds: bool) -> Option<Bound> {
    let number = || literal.as_number().cloned();
    let low = |itself| Some(Bound::Within { low: Some((number()?, itself)), high: None });
    let high = |itself| Some(Bound::Within { low: None, high: Some((number()?, itself)) });
    match (operator, holds) {
        (Operator::Equal, true) | (Operator::NotEqual, false) => Some(Bound::Is(literal)),
        (Operator::Equal, false) | (Operator::NotEqual, true) => Some(Bound::IsNot(literal)),
        (Operator::Greater, true) | (Operator::LessOrEqual, false) => low(false),
        (Operator::GreaterOrEqual, true) | (Operator::Less, false) => low(true),
        (Operator::Less, true) | (Operator::GreaterOrEqual, false) => high(false),
        (Operator::LessOrEqual, true) | (Operator::Greater, false) => high(true),
        _ => None,
    }
}

/// The operator with its sides exchanged.
fn turned(operator: Operator) -> Operator {
    match operator {
        Operator::Less => Operator::Greater,
        Operator::LessOrEqual => Operator::GreaterOrEqual,
        Operator::Greater => Operator::Less,
        Operator::GreaterOrEqual => Operator::LessOrEqual,
        Operator::In => Operator::Add, // it says nothing that is read here
        other => other,
    }
}

fn json(kind: &ExpressionKind) -> Option<Json> {
    Some(match kind {
        ExpressionKind::Bool(value) => (*value).into(),
        ExpressionKind::Int(value) => Json::Number(Number::whole(*value)),
        ExpressionKind::Double(value) => Json::Number(Number::from_f64(*value)?),
        ExpressionKind::Text(text) => Json::String(text.clone()),
        _ => return None,
    })
}
