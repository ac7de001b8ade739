//! The tree of an expression: small, because ten thousand rules have one.

use regex::Regex;

use super::functions::Function;
use super::name::Name;
use super::operators::Operator;

/// A part, with its place in the text.
#[derive(Debug)]
pub struct Node {
    // Sixteen bits do: see `LONGEST`.
    start: u16,
    end: u16,
    /// The depth of nested parts, this one counted.
    pub depth: u8,
    pub kind: Kind,
}

/// The kinds of parts.
#[derive(Debug)]
pub enum Kind {
    Null,
    Bool(bool),
    Int(i128),
    Double(f64),
    Text(Box<str>),
    List(Box<[Node]>),
    Map(Box<[(Node, Node)]>),
    Name(Box<Name>),
    /// A variable of `all`, `exists`, …, by its number from outside.
    Local(u8),
    Member(Box<(Node, Box<str>)>),
    Index(Box<(Node, Node)>),
    /// Is it there?
    Has(Box<Node>),
    Not(Box<Node>),
    Negate(Box<Node>),
    Binary(Operator, Box<(Node, Node)>),
    And(Box<[Node]>),
    Or(Box<[Node]>),
    Choose(Box<(Node, Node, Node)>),
    Call(Function, Box<[Node]>),
    Matches(Box<(Node, Regex)>),
    /// A range, and the expression for each of its items.
    Each(Each, Box<(Node, Node)>),
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

impl Node {
    /// A part of the text from `start` to `end`. Both fit: the text was found short enough before.
    pub fn new(kind: Kind, start: usize, end: usize, depth: u8) -> Self {
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
            Kind::Null
            | Kind::Bool(_)
            | Kind::Int(_)
            | Kind::Double(_)
            | Kind::Text(_)
            | Kind::Name(_)
            | Kind::Local(_) => {}
            Kind::List(items) | Kind::And(items) | Kind::Or(items) | Kind::Call(_, items) => {
                items.iter().for_each(|item| item.walk(seen));
            }
            Kind::Map(entries) => {
                for (key, value) in entries {
                    key.walk(seen);
                    value.walk(seen);
                }
            }
            Kind::Has(of) | Kind::Not(of) | Kind::Negate(of) => of.walk(seen),
            Kind::Member(parts) => parts.0.walk(seen),
            Kind::Matches(parts) => parts.0.walk(seen),
            Kind::Index(parts) | Kind::Binary(_, parts) | Kind::Each(_, parts) => {
                parts.0.walk(seen);
                parts.1.walk(seen);
            }
            Kind::Choose(parts) => {
                parts.0.walk(seen);
                parts.1.walk(seen);
                parts.2.walk(seen);
            }
        }
    }
}
