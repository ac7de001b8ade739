//! Filters: expressions over one twin, evaluated for thousands. Twins for which a filter is true are found; those for
//! which it is false or unknown are not.

use std::cmp::Ordering;
use std::sync::Arc;

use super::evaluation::Evaluation;
use super::mention::{self, Mention};
use super::name::{Name, Root};
use super::parser::{Names, Parser};
use super::tree::{ExpressionKind, ExpressionNode};
use super::value::Value;
use super::{BadExpression, EvaluationScope, NoTwins, Twins};
use twinhub_domain::fleet::Version;
use twinhub_domain::text::order_key;
use twinhub_domain::{Object, ReadingTime, Timestamp, Twin};

/// Twins are sorted by this many characters of a text, as lists sort them.
const KEY: usize = 190;

/// A filter: `reported.battery < 20 && status == "online" && tag.floor == "2"`. Clones share it.
#[derive(Clone, Debug)]
pub struct TwinFilter(Arc<FilterSource>);

#[derive(Debug)]
struct FilterSource {
    text: Box<str>,
    root: ExpressionNode,
}

/// A property of a twin, to sort by: `reported.temperature`, `tags.floor`, `battery`.
#[derive(Clone, Debug)]
pub struct SortField(Arc<SortSource>);

#[derive(Debug)]
struct SortSource {
    name: Name,
    mentions: Vec<Mention>,
}

/// The sort key of a twin. Numbers come first, then booleans, then versions where a version is asked for, then texts,
/// in which numbers sort as numbers, then values without an order; a twin without the value comes last.
#[derive(Clone, Debug, PartialEq)]
pub enum SortKey {
    /// Times too, in ms. The nearest double, and the remainder of a whole number that no double holds.
    Number(f64, i64),
    Bool(bool),
    Version(Box<Version>),
    Text(Box<str>),
    Other,
    Missing,
}

impl TwinFilter {
    /// Compiles `text`.
    ///
    /// # Errors
    /// As for [`Expression::compile`](super::Expression::compile); another twin than the one that is read; an
    /// expression that is no condition.
    pub fn compile(text: &str) -> Result<Self, BadExpression> {
        let root = Parser::parse(text, Names::OfTwin)?;
        let filter = Self(Arc::new(FilterSource { text: text.into(), root }));
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

    /// The names in it that devices may have or not.
    #[must_use]
    pub fn mentions(&self) -> Vec<Mention> {
        mention::mentions(&self.0.text, &self.0.root)
    }

    /// Finds a comparison that can never hold, whatever devices there are: `status == "onlin"`, `mode == manual`.
    ///
    /// # Errors
    /// The comparison, and its place.
    pub fn check(&self) -> Result<(), BadExpression> {
        mention::impossible(&self.0.text, &self.0.root)
            .map_or(Ok(()), |(at, why)| Err(BadExpression::new(at, why)))
    }

    /// Is it true of this twin at `now`?
    #[must_use]
    pub fn matches(&self, twin: &Twin, now: Timestamp) -> bool {
        look(twin, now, |scope| self.holds(scope)) == Some(true)
    }

    fn holds(&self, scope: &EvaluationScope<'_>) -> Option<bool> {
        Evaluation::quiet(&self.0.text, scope).condition(&self.0.root)
    }

    /// Its constant value, where it names nothing.
    fn constant(&self) -> Option<Option<bool>> {
        let mut named = false;
        self.0.root.walk(&mut |node| named |= matches!(node.kind, ExpressionKind::Name(_)));
        let nothing = Object::default();
        let scope =
            EvaluationScope { twins: &NoTwins, now: Timestamp::default(), trigger: &nothing, device: None };
        (!named).then(|| self.holds(&scope))
    }
}

impl PartialEq for TwinFilter {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}

impl SortField {
    /// The property that `text` names, as in a filter.
    ///
    /// # Errors
    /// The text names nothing, or is more than a name.
    pub fn compile(text: &str) -> Result<Self, BadExpression> {
        let root = Parser::parse(text, Names::OfTwin)?;
        let (start, mentions) = (root.start(), mention::mentions(text, &root));
        match root.kind {
            ExpressionKind::Name(name) if name.root == Root::Itself => {
                Ok(Self(Arc::new(SortSource { name: *name, mentions })))
            }
            _ => Err(BadExpression::new(
                start,
                "an order names one property of a twin: temperature, tags.floor, last_seen",
            )),
        }
    }

    /// The name itself, where devices may have it or not.
    #[must_use]
    pub fn mentions(&self) -> &[Mention] {
        &self.0.mentions
    }

    /// The sort key of `twin` at `now`.
    #[must_use]
    pub fn key(&self, twin: &Twin, now: Timestamp) -> SortKey {
        look(twin, now, |scope| {
            let Some(found) = self.0.name.find(scope) else { return SortKey::Missing };
            match found.value() {
                Value::Text(text) if self.0.name.is_version() => SortKey::version(&text),
                value => SortKey::of(&value),
            }
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

    /// The same, where numbers in it sort as numbers: `climate-2` before `climate-10`.
    #[must_use]
    pub fn ordered(text: &str) -> Self {
        Self::Text(order_key(text, KEY).into())
    }

    /// A version; a text where it is none.
    fn version(text: &str) -> Self {
        Version::parse(text).map_or_else(|| Self::ordered(text), |version| Self::Version(Box::new(version)))
    }

    /// A time.
    #[must_use]
    pub fn time(at: impl Into<ReadingTime>) -> Self {
        Self::whole(at.into().nanos())
    }

    /// The order of two keys. Descending turns values around, and leaves the order of their kinds.
    #[must_use]
    pub fn compare(&self, other: &Self, descending: bool) -> Ordering {
        let order = match (self, other) {
            (Self::Number(one, rest), Self::Number(other, other_rest)) => {
                one.total_cmp(other).then(rest.cmp(other_rest))
            }
            (Self::Bool(one), Self::Bool(other)) => one.cmp(other),
            (Self::Version(one), Self::Version(other)) => one.cmp(other),
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
            Value::Text(text) => Self::ordered(text),
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
            Self::Version(_) => 2,
            Self::Text(_) => 3,
            Self::Other => 4,
            Self::Missing => 5,
        }
    }
}

/// The one twin that is looked at, whatever it is called.
struct AnyNameTwin<'a>(&'a Twin);

impl Twins for AnyNameTwin<'_> {
    fn twin(&self, _id: &str) -> Option<&Twin> {
        Some(self.0)
    }
}

pub(super) fn look<T>(twin: &Twin, now: Timestamp, with: impl FnOnce(&EvaluationScope<'_>) -> T) -> T {
    let nothing = Object::default();
    with(&EvaluationScope { twins: &AnyNameTwin(twin), now, trigger: &nothing, device: Some(&twin.id) })
}
