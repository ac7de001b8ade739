//! Filters: expressions over one twin, asked of thousands. What a filter is true of is found; what it is false of
//! is not, and neither is what it is not known of.

use std::cmp::Ordering;
use std::sync::Arc;

use super::evaluation::Evaluation;
use super::name::{Name, Root};
use super::parser::{Names, Parser};
use super::tree::{Kind, Node};
use super::value::Value;
use super::{BadExpression, Nobody, Scope, Twins};
use crate::domain::{Object, Timestamp, Twin};

/// Twins are sorted by this many characters of a text, as lists sort them.
const KEY: usize = 190;

/// A filter: `reported.battery < 20 && status == "online" && tag.floor == "2"`. Clones share it.
#[derive(Clone, Debug)]
pub struct Filter(Arc<Source>);

#[derive(Debug)]
struct Source {
    text: Box<str>,
    root: Node,
}

/// One thing of a twin, to sort by: `reported.temperature`, `tags.floor`, `battery`.
#[derive(Clone, Debug)]
pub struct Field(Arc<Name>);

/// What a twin is sorted by. Numbers come first, then what is true or false, then texts, then what has no order;
/// what a twin does not have comes last.
#[derive(Clone, Debug, PartialEq)]
pub enum SortKey {
    /// Times too, in ms. The nearest double, and what it lacks of a whole number that no double holds.
    Number(f64, i64),
    Bool(bool),
    Text(Box<str>),
    Other,
    Missing,
}

impl Filter {
    /// Compiles `text`.
    ///
    /// # Errors
    /// As for [`Expression::compile`](super::Expression::compile); another twin than the one that is looked at; what
    /// can be neither true nor false.
    pub fn compile(text: &str) -> Result<Self, BadExpression> {
        let root = Parser::parse(text, Names::OfTwin)?;
        let filter = Self(Arc::new(Source { text: text.into(), root }));
        if filter.constant() == Some(None) {
            let why = "this is neither true nor false of any twin: write a condition, battery < 20";
            return Err(BadExpression::new(filter.0.root.start(), why));
        }
        Ok(filter)
    }

    /// As it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// Is it true of this twin at `now`?
    #[must_use]
    pub fn matches(&self, twin: &Twin, now: Timestamp) -> bool {
        look(twin, now, |scope| self.holds(scope)) == Some(true)
    }

    fn holds(&self, scope: &Scope<'_>) -> Option<bool> {
        Evaluation::quiet(&self.0.text, scope).condition(&self.0.root)
    }

    /// What it always comes to, where it names nothing.
    fn constant(&self) -> Option<Option<bool>> {
        let mut named = false;
        self.0.root.walk(&mut |node| named |= matches!(node.kind, Kind::Name(_)));
        let nothing = Object::default();
        let scope = Scope { twins: &Nobody, now: Timestamp::default(), trigger: &nothing, device: None };
        (!named).then(|| self.holds(&scope))
    }
}

impl PartialEq for Filter {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}

impl Field {
    /// The thing that `text` names, as in a filter.
    ///
    /// # Errors
    /// It names nothing, or is more than a name.
    pub fn compile(text: &str) -> Result<Self, BadExpression> {
        let root = Parser::parse(text, Names::OfTwin)?;
        let start = root.start();
        match root.kind {
            Kind::Name(name) if name.root == Root::Itself => Ok(Self(Arc::from(name))),
            _ => Err(BadExpression::new(
                start,
                "to sort by, one thing of a twin is named: temperature, tags.floor, last_seen",
            )),
        }
    }

    /// What `twin` is sorted by at `now`.
    #[must_use]
    pub fn key(&self, twin: &Twin, now: Timestamp) -> SortKey {
        look(twin, now, |scope| {
            self.0.find(scope).map_or(SortKey::Missing, |found| SortKey::of(&found.value()))
        })
    }
}

impl SortKey {
    /// A text, as far as twins are sorted by it.
    #[must_use]
    pub fn text(text: &str) -> Self {
        let end = text.char_indices().nth(KEY).map_or(text.len(), |(end, _)| end);
        Self::Text(text[..end].into())
    }

    /// A time.
    #[must_use]
    pub fn time(at: Timestamp) -> Self {
        Self::whole(at.millis().into())
    }

    /// Which comes first. Turned round, what there is comes in the other direction, each kind in its place.
    #[must_use]
    pub fn compare(&self, other: &Self, descending: bool) -> Ordering {
        let order = match (self, other) {
            (Self::Number(one, rest), Self::Number(other, other_rest)) => {
                one.total_cmp(other).then(rest.cmp(other_rest))
            }
            (Self::Bool(one), Self::Bool(other)) => one.cmp(other),
            (Self::Text(one), Self::Text(other)) => one.cmp(other),
            _ => return self.kind().cmp(&other.kind()),
        };
        if descending { order.reverse() } else { order }
    }

    fn of(value: &Value<'_>) -> Self {
        match value {
            Value::Null => Self::Missing,
            Value::Bool(value) => Self::Bool(*value),
            Value::Int(value) => Self::whole(*value),
            Value::Span(ms) => Self::whole((*ms).into()),
            Value::Double(value) => Self::double(*value),
            Value::Text(text) => Self::text(text),
            Value::Time(at) => Self::time(*at),
            Value::Array(_) | Value::Object(_) | Value::List(_) | Value::Map(_) => Self::Other,
        }
    }

    /// A number that is no whole one.
    #[must_use]
    pub fn double(value: f64) -> Self {
        Self::Number(value + 0.0, 0) // no -0
    }

    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "the rest is kept beside it"
    )]
    fn whole(value: i128) -> Self {
        let nearest = value as f64;
        let rest = value.saturating_sub(nearest as i128).clamp(i64::MIN.into(), i64::MAX.into());
        Self::Number(nearest, rest as i64)
    }

    fn kind(&self) -> u8 {
        match self {
            Self::Number(..) => 0,
            Self::Bool(_) => 1,
            Self::Text(_) => 2,
            Self::Other => 3,
            Self::Missing => 4,
        }
    }
}

/// The one twin that is looked at, whatever it is called.
struct Only<'a>(&'a Twin);

impl Twins for Only<'_> {
    fn twin(&self, _id: &str) -> Option<&Twin> {
        Some(self.0)
    }
}

fn look<T>(twin: &Twin, now: Timestamp, with: impl FnOnce(&Scope<'_>) -> T) -> T {
    let nothing = Object::default();
    with(&Scope { twins: &Only(twin), now, trigger: &nothing, device: Some(&twin.id) })
}
