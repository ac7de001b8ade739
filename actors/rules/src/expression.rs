//! Expressions over twins, in CEL, with a third value: unknown.
//!
//! The language is the [Common Expression Language](https://cel.dev); the differences are listed here. The parser and
//! the evaluation are our own, small and bounded, for four reasons: every part of a condition has its place in the
//! text, so the journal shows it as it was written; nothing of a twin is copied to read it; a misspelt function is
//! found when a rule is loaded, and not when it is to run; and no text, however deep, costs stack or time. (The tests
//! hold it against the crate `cel`.)
//!
//! - A value that is not known, or has another type than its use needs, is *unknown*: `&&`, `||`, `!` and `?:` take it
//!   as Kleene's logic does (`false && unknown` is false). So `"5" == 5` is unknown where CEL gives false.
//! - Whole numbers and others mix: `28 < 28.5`, `5 == 5.0`, `1 + 0.5`, and `5 / 2` is `2.5`: a sensor that happens to
//!   send `5` and not `5.0` has not changed its meaning.
//! - A number beside a length of time counts seconds: `pump.power.age > duration("5m")`.
//! - Names are devices. `pump.power` is the value that `pump` has reported as `power`, short for `pump.reported.power`;
//!   `twin['pump-1'].power` where the id is no plain name; `device` is the one that fired the rule. The words of
//!   [`HEAD`] address the twin itself, `.quality`, `.age` (seconds), `.at` and `.changed_at` after a property the
//!   metadata of its value. `trigger` is the event that fired the rule, `now` the time.
//!
//! Not there: bytes, messages, `type`, optional values.

mod evaluation;
mod facts;
mod filter;
mod functions;
mod lexer;
mod mention;
mod name;
mod operators;
mod parser;
mod text;
mod tree;
mod twin_names;
mod value;

use std::sync::Arc;

use self::evaluation::Evaluation;
pub(super) use self::name::{Name, Root};
use self::parser::{Names, Parser};
use self::tree::{ExpressionKind, ExpressionNode};
use self::value::Unknown;
use twinhub_domain::run::TermSeen;
use twinhub_domain::{DeviceId, Json, Object, Timestamp, Twin};

pub use self::facts::{Bound, Fact};
pub use self::filter::{SortField, SortKey, TwinFilter};
pub use self::mention::Mention;
pub use self::name::{HEAD, member};

/// The longest expression, in bytes.
pub const LONGEST: usize = 4_096;

/// An expression, compiled. Clones share it.
#[derive(Clone, Debug)]
pub struct Expression(Arc<Compiled>);

#[derive(Debug)]
struct Compiled {
    text: Box<str>,
    root: ExpressionNode,
    dependencies: Box<[Dependency]>,
}

/// The reason why a text is no expression: a sentence, and where in the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct BadExpression {
    pub detail: String,
    /// In bytes from the start.
    pub at: usize,
}

/// A dependency of an expression.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Dependency {
    /// The twin of this device.
    Device(DeviceId),
    /// The device that fired the rule.
    TriggerDevice,
}

/// A lookup of twins for expressions.
pub trait Twins {
    /// The twin of this device as it is now.
    fn twin(&self, id: &str) -> Option<&Twin>;
}

/// The scope of an evaluation.
pub struct EvaluationScope<'a> {
    pub twins: &'a dyn Twins,
    pub now: Timestamp,
    /// The value of `trigger`.
    pub trigger: &'a Object,
    /// The device that fired the rule: `device`.
    pub device: Option<&'a DeviceId>,
}

/// The outcome of an expression.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluated {
    /// None: it is not known.
    pub holds: Option<bool>,
    /// The parts between `&&`, `||`, `!` and `?:` that were evaluated, in order. Parts that earlier ones had settled
    /// already are left out.
    pub terms: Vec<TermSeen>,
}

/// A place that an expression names, for static analysis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NamedPlace<'a> {
    /// None: the device that fired the rule.
    pub device: Option<&'a DeviceId>,
    /// The path behind the device: `["power"]`, `["desired", "power"]`, `["mode"]`.
    pub path: &'a [Box<str>],
}

impl Expression {
    /// Compiles `text`.
    ///
    /// # Errors
    /// Too long, too deep, or no CEL; a function that is not there; a device that is used as a value.
    pub fn compile(text: &str) -> Result<Self, BadExpression> {
        let root = Parser::parse(text, Names::OfDevices)?;
        let mut dependencies = Vec::new();
        root.walk(&mut |node| {
            if let ExpressionKind::Name(name) = &node.kind
                && let Some(dependency) = name.dependency()
                && !dependencies.contains(&dependency)
            {
                dependencies.push(dependency);
            }
        });
        Ok(Self(Arc::new(Compiled { text: text.into(), root, dependencies: dependencies.into() })))
    }

    /// As it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// Its dependencies, each once.
    #[must_use]
    pub fn dependencies(&self) -> &[Dependency] {
        &self.0.dependencies
    }

    /// Calls `seen` with every place of a twin that it names.
    pub fn places<'a>(&'a self, seen: &mut dyn FnMut(NamedPlace<'a>)) {
        self.0.root.walk(&mut |node| {
            if let ExpressionKind::Name(name) = &node.kind {
                match &name.root {
                    Root::Device(id) => seen(NamedPlace { device: Some(id), path: &name.path }),
                    Root::TriggerDevice => seen(NamedPlace { device: None, path: &name.path }),
                    Root::Itself | Root::Trigger | Root::Now => {}
                }
            }
        });
    }

    /// Its constant value, where it depends on nothing: `Some(None)` is never known.
    #[must_use]
    pub fn constant(&self) -> Option<Option<bool>> {
        let mut named = false;
        self.0.root.walk(&mut |node| named |= matches!(node.kind, ExpressionKind::Name(_)));
        if named {
            return None;
        }
        let nothing = Object::default();
        let scope =
            EvaluationScope { twins: &NoTwins, now: Timestamp::default(), trigger: &nothing, device: None };
        Some(self.evaluate(&scope).holds)
    }

    /// Its value, with its digits where it is a name and nothing else.
    ///
    /// # Errors
    /// The reason why it is not known.
    pub(super) fn fill(&self, scope: &EvaluationScope<'_>) -> Result<Json, String> {
        let root = &self.0.root;
        let found = match &root.kind {
            ExpressionKind::Name(name) => {
                let found = name.find(scope).map(|found| found.to_json());
                found.ok_or_else(|| name.why(scope, root.text(&self.0.text)))
            }
            _ => Evaluation::new(&self.0.text, scope).whole(root).map(|value| value.to_json()),
        };
        found.map_err(|Unknown(why)| why)
    }

    /// Evaluates it. Values that are not known, that have another type than their use needs, or that cost too much are
    /// unknown, and the terms have the reason.
    #[must_use]
    pub fn evaluate(&self, scope: &EvaluationScope<'_>) -> Evaluated {
        let mut evaluation = Evaluation::new(&self.0.text, scope);
        let holds = evaluation.condition(&self.0.root);
        Evaluated { holds, terms: evaluation.into_terms() }
    }
}

/// A lookup without twins.
struct NoTwins;

impl Twins for NoTwins {
    fn twin(&self, _id: &str) -> Option<&Twin> {
        None
    }
}

/// A lookup with one twin.
pub(super) struct OneTwin<'a>(pub &'a Twin);

impl Twins for OneTwin<'_> {
    fn twin(&self, id: &str) -> Option<&Twin> {
        Some(self.0).filter(|twin| twin.id.as_str() == id)
    }
}

impl BadExpression {
    pub(super) fn new(at: usize, detail: impl Into<String>) -> Self {
        Self { detail: detail.into(), at }
    }
}

#[cfg(test)]
mod tests;
