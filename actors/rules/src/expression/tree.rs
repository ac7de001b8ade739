//! The tree of an expression: small, because ten thousand rules have one.

use regex::Regex;

use super::functions::Function;
use super::name::Name;
use super::operators::Operator;

/// A part, with its place in the text.
#[derive(Debug)]
pub struct ExpressionNode {
    // Sixteen bits do: see `LONGEST`.
    start: u16,
    end: u16,
    /// The depth of nested parts, this one counted.
    pub depth: u8,
    pub kind: ExpressionKind,
}

/// The kinds of parts.
#[derive(Debug)]
pub enum ExpressionKind {
    Null,
    Bool(bool),
    Int(i128),
    Double(f64),
    Text(Box<str>),
    List(Box<[ExpressionNode]>),
    Map(Box<[(ExpressionNode, ExpressionNode)]>),
    Name(Box<Name>),
    /// A variable of `all`, `exists`, …, by its number from outside.
    Local(u8),
    Member(Box<(ExpressionNode, Box<str>)>),
    Index(Box<(ExpressionNode, ExpressionNode)>),
    /// Is it there?
    Has(Box<ExpressionNode>),
    Not(Box<ExpressionNode>),
    Negate(Box<ExpressionNode>),
    Binary(Operator, Box<(ExpressionNode, ExpressionNode)>),
    And(Box<[ExpressionNode]>),
    Or(Box<[ExpressionNode]>),
    Choose(Box<(ExpressionNode, ExpressionNode, ExpressionNode)>),
    Call(Function, Box<[ExpressionNode]>),
    Matches(Box<(ExpressionNode, Regex)>),
    /// A range, and the expression for each of its items.
    Each(Each, Box<(ExpressionNode, ExpressionNode)>),
}

/// The operation on each item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Each {
    All,
    Exists,
    ExistsOne,
    Map,
    Filter,
}

impl ExpressionNode {
    /// A part of the text from `start` to `end`. Both fit: the text was found short enough before.
    pub fn new(kind: ExpressionKind, start: usize, end: usize, depth: u8) -> Self {
        let fit = |at: usize| u16::try_from(at).unwrap_or(u16::MAX);
        Self { start: fit(start), end: fit(end), depth, kind }
    }

    pub fn start(&self) -> usize {
        usize::from(self.start)
    }

    pub fn end(&self) -> usize {
        usize::from(self.end)
    }

    /// As it is written in `text`, which is the whole expression's.
    pub fn text<'t>(&self, text: &'t str) -> &'t str {
        text.get(self.start()..self.end()).unwrap_or_default()
    }

    /// Calls `seen` with this part and all within it.
    pub fn walk<'n>(&'n self, seen: &mut dyn FnMut(&'n Self)) {
        seen(self);
        match &self.kind {
            ExpressionKind::Null
            | ExpressionKind::Bool(_)
            | ExpressionKind::Int(_)
            | ExpressionKind::Double(_)
            | ExpressionKind::Text(_)
            | ExpressionKind::Name(_)
            | ExpressionKind::Local(_) => {}
            ExpressionKind::List(items)
            | ExpressionKind::And(items)
            | ExpressionKind::Or(items)
            | ExpressionKind::Call(_, items) => {
                items.iter().for_each(|item| item.walk(seen));
            }
            ExpressionKind::Map(entries) => {
                for (key, value) in entries {
                    key.walk(seen);
                    value.walk(seen);
                }
            }
            ExpressionKind::Has(of) | ExpressionKind::Not(of) | ExpressionKind::Negate(of) => of.walk(seen),
            ExpressionKind::Member(parts) => parts.0.walk(seen),
            ExpressionKind::Matches(parts) => parts.0.walk(seen),
            ExpressionKind::Index(parts)
            | ExpressionKind::Binary(_, parts)
            | ExpressionKind::Each(_, parts) => {
                parts.0.walk(seen);
                parts.1.walk(seen);
            }
            ExpressionKind::Choose(parts) => {
                parts.0.walk(seen);
                parts.1.walk(seen);
                parts.2.walk(seen);
            }
        }
    }
}
