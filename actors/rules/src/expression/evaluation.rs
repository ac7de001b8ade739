//! Evaluation: Kleene's logic above, values below.

use std::borrow::Cow;
use std::rc::Rc;

use super::operators::{Operator, OperatorError};
use super::tree::{Each, ExpressionKind, ExpressionNode};
use super::value::{Unknown, Value};
use super::{EvaluationScope, TermSeen};
use twinhub_domain::Object;
use twinhub_domain::fleet::Version;

/// The most steps of an evaluation: a millisecond's worth. Only functions over lists come near it.
const MOST_STEPS: u32 = 20_000;

/// The cost of a name's lookup beyond a step, and of reading its number;
const NAME: u32 = 3;
/// and to keep a value in a list, which is copied once more when the list is whole.
const KEPT: u32 = 2;

/// An evaluation in progress.
pub struct Evaluation<'s, 'a> {
    text: &'s str,
    scope: &'s EvaluationScope<'a>,
    steps: u32,
    locals: Vec<Value<'a>>,
    /// The values of the names in the term that is being evaluated.
    values: Object,
    /// None: no reason is wanted, and nothing is written down. A filter is evaluated so for each of thousands.
    terms: Option<Vec<TermSeen>>,
}

type MaybeKnown<'a> = Result<Value<'a>, Unknown>;

impl<'s, 'a> Evaluation<'s, 'a> {
    pub fn new(text: &'s str, scope: &'s EvaluationScope<'a>) -> Self {
        Self { terms: Some(Vec::new()), ..Self::quiet(text, scope) }
    }

    /// An evaluation that writes nothing down, and gives no reasons for unknowns.
    pub fn quiet(text: &'s str, scope: &'s EvaluationScope<'a>) -> Self {
        Self { text, scope, steps: MOST_STEPS, locals: Vec::new(), values: Object::default(), terms: None }
    }

    /// The terms that were looked at.
    pub fn into_terms(self) -> Vec<TermSeen> {
        self.terms.unwrap_or_default()
    }

    /// The truth of `node`; its terms are written down.
    pub fn condition(&mut self, node: &'a ExpressionNode) -> Option<bool> {
        match &node.kind {
            ExpressionKind::Not(of) => self.condition(of).map(|holds| !holds),
            ExpressionKind::And(parts) => self.chain(parts, false),
            ExpressionKind::Or(parts) => self.chain(parts, true),
            ExpressionKind::Choose(parts) => {
                let (condition, yes, no) = &**parts;
                match self.condition(condition) {
                    Some(true) => self.condition(yes),
                    Some(false) => self.condition(no),
                    None => {
                        let (yes, no) = (self.condition(yes), self.condition(no));
                        yes.filter(|_| yes == no)
                    }
                }
            }
            _ => self.term(node),
        }
    }

    /// A chain that is settled by the first part that comes to `settled`.
    fn chain(&mut self, parts: &'a [ExpressionNode], settled: bool) -> Option<bool> {
        let mut holds = Some(!settled);
        for part in parts {
            match self.condition(part) {
                Some(found) if found == settled => return Some(settled),
                Some(_) => {}
                None => holds = None,
            }
        }
        holds
    }

    fn term(&mut self, node: &'a ExpressionNode) -> Option<bool> {
        let found = self.truth(node);
        let Some(terms) = &mut self.terms else { return found.ok() };
        let values = std::mem::take(&mut self.values);
        let (holds, unknown) = match found {
            Ok(holds) => (Some(holds), None),
            Err(Unknown(why)) => (None, Some(why.into())),
        };
        terms.push(TermSeen { text: node.text(self.text).into(), values, holds, unknown });
        holds
    }

    fn truth(&mut self, node: &'a ExpressionNode) -> Result<bool, Unknown> {
        match self.value(node)? {
            Value::Bool(holds) => Ok(holds),
            other => Err(self.not_a(node, &other, "true or false")),
        }
    }

    /// The value of `node`, to be shown as a whole.
    pub fn whole(&mut self, node: &'a ExpressionNode) -> MaybeKnown<'a> {
        let value = self.value(node)?;
        self.spend(cost(&value))?;
        Ok(value)
    }

    /// The value of `node`.
    fn value(&mut self, node: &'a ExpressionNode) -> MaybeKnown<'a> {
        self.spend(1)?;
        match &node.kind {
            ExpressionKind::Null => Ok(Value::Null),
            ExpressionKind::Bool(value) => Ok(Value::Bool(*value)),
            ExpressionKind::Int(value) => Ok(Value::Int(*value)),
            ExpressionKind::Double(value) => Ok(Value::Double(*value)),
            ExpressionKind::Text(text) => self.own_text(text),
            ExpressionKind::Name(name) => {
                self.spend(NAME)?;
                let text = node.text(self.text);
                let found = name.find(self.scope);
                let found = found.ok_or_else(|| self.unknown(|| name.why(self.scope, text).0))?;
                let value = found.value();
                if let Value::Array(_) | Value::Object(_) = value {
                    self.spend(16)?; // it is shown as a whole
                }
                if self.terms.is_some() && self.values.get(text).is_none() {
                    self.values.insert(text, found.to_json());
                }
                Ok(value)
            }
            ExpressionKind::Local(which) => {
                let local = self.locals.get(usize::from(*which));
                if let Some(Value::Text(Cow::Owned(text))) = local {
                    let bytes = text.len(); // they are copied
                    self.spend(steps_of(bytes))?;
                }
                let local = self.locals.get(usize::from(*which)).cloned();
                local.ok_or_else(|| "nothing has that name".into()) // never: the parser saw to it
            }
            ExpressionKind::List(items) => {
                let items: Result<Vec<_>, _> = items.iter().map(|item| self.value(item)).collect();
                Ok(Value::List(items?.into()))
            }
            ExpressionKind::Map(entries) => {
                let mut map = Vec::with_capacity(entries.len());
                for (key, value) in entries {
                    map.push((self.value(key)?, self.value(value)?));
                }
                Ok(Value::Map(map.into()))
            }
            ExpressionKind::Member(parts) => {
                let of = self.value(&parts.0)?;
                let key = Value::Text(Cow::Borrowed(&parts.1));
                self.member(&parts.0, &of, &key, &parts.1)
            }
            ExpressionKind::Index(parts) => self.index(&parts.0, &parts.1),
            ExpressionKind::Has(of) => self.has(of),
            ExpressionKind::Not(of) => Ok(Value::Bool(!self.truth(of)?)),
            ExpressionKind::Negate(of) => match self.value(of)? {
                Value::Int(value) => {
                    value.checked_neg().map(Value::Int).ok_or_else(|| "the number becomes too large".into())
                }
                Value::Double(value) => Ok(Value::Double(-value)),
                Value::Span(ms) => Ok(Value::Span(ms.saturating_neg())),
                other => Err(self.not_a(of, &other, "a number")),
            },
            ExpressionKind::Binary(operator, parts) => self.binary(*operator, &parts.0, &parts.1),
            ExpressionKind::And(parts) => self.inner_chain(parts, false),
            ExpressionKind::Or(parts) => self.inner_chain(parts, true),
            ExpressionKind::Choose(parts) => {
                if self.truth(&parts.0)? {
                    self.value(&parts.1)
                } else {
                    self.value(&parts.2)
                }
            }
            ExpressionKind::Call(function, arguments) => {
                let values: Result<Vec<_>, _> = arguments.iter().map(|node| self.value(node)).collect();
                let values = values?;
                values.iter().try_for_each(|value| self.spend(cost(value)))?;
                function.call(&values).unwrap_or_else(|| {
                    let kinds: Vec<_> = arguments
                        .iter()
                        .zip(&values)
                        .map(|(node, value)| format!("`{}` is {}", node.text(self.text), value.kind()))
                        .collect();
                    Err(Unknown(format!("`{}` cannot be: {}", node.text(self.text), kinds.join(", "))))
                })
            }
            ExpressionKind::Matches(parts) => match self.value(&parts.0)? {
                Value::Text(text) => {
                    self.spend(cost(&Value::Text(text.clone())))?;
                    Ok(Value::Bool(parts.1.is_match(&text)))
                }
                other => Err(self.not_a(&parts.0, &other, "text")),
            },
            ExpressionKind::Each(each, parts) => self.each(*each, &parts.0, &parts.1),
        }
    }

    fn own_text(&mut self, text: &'a str) -> MaybeKnown<'a> {
        self.spend(steps_of(text.len()))?;
        Ok(Value::Text(Cow::Borrowed(text)))
    }

    fn binary(
        &mut self,
        operator: Operator,
        left: &'a ExpressionNode,
        right: &'a ExpressionNode,
    ) -> MaybeKnown<'a> {
        let (a, b) = (self.value(left)?, self.value(right)?);
        self.spend(cost(&a).saturating_add(cost(&b)))?;
        if is_version(left) || is_version(right) {
            self.spend(4)?;
            if let Some(holds) = operator.of_versions(&a, &b) {
                return Ok(Value::Bool(holds));
            }
        }
        operator.apply(&a, &b).map_err(|problem| {
            let (left_text, right_text) = (left.text(self.text), right.text(self.text));
            self.unknown(|| match problem {
                OperatorError::Other(why) => format!("`{left_text}` with `{right_text}`: {why}"),
                OperatorError::NotIn => format!("`{right_text}` is {}, not a list", b.kind()),
                OperatorError::Types => match (&left.kind, &right.kind) {
                    // The value that is written out is right; the one that came is not.
                    (other, literal) if is_literal(literal) && !is_literal(other) => {
                        format!("`{left_text}` is {}, not {}", a.kind(), b.kind())
                    }
                    (literal, other) if is_literal(literal) && !is_literal(other) => {
                        format!("`{right_text}` is {}, not {}", b.kind(), a.kind())
                    }
                    _ => format!("`{left_text}` is {} and `{right_text}` is {}", a.kind(), b.kind()),
                },
            })
        })
    }

    /// As [`Evaluation::chain`], within a value.
    fn inner_chain(&mut self, parts: &'a [ExpressionNode], settled: bool) -> MaybeKnown<'a> {
        let mut unknown = None;
        for part in parts {
            match self.truth(part) {
                Ok(found) if found == settled => return Ok(Value::Bool(settled)),
                Ok(_) => {}
                Err(why) => unknown = unknown.or(Some(why)),
            }
        }
        unknown.map_or(Ok(Value::Bool(!settled)), Err)
    }

    fn member(
        &self,
        node: &'a ExpressionNode,
        of: &Value<'a>,
        key: &Value<'a>,
        shown: &str,
    ) -> MaybeKnown<'a> {
        let text = node.text(self.text);
        match of {
            Value::Object(_) | Value::Map(_) => {
                of.get(key).ok_or_else(|| self.unknown(|| format!("`{text}` has no `{shown}`")))
            }
            other => Err(self.not_a(node, other, "an object")),
        }
    }

    fn index(&mut self, of: &'a ExpressionNode, index: &'a ExpressionNode) -> MaybeKnown<'a> {
        let (value, key) = (self.value(of)?, self.value(index)?);
        let text = of.text(self.text);
        match (&value, &key) {
            (Value::Array(_) | Value::List(_), Value::Int(index)) => {
                let item = usize::try_from(*index).ok().and_then(|index| value.item(index));
                item.ok_or_else(|| self.unknown(|| format!("`{text}` has no item {index}")))
            }
            (Value::Array(_) | Value::List(_), other) => Err(self.not_a(index, other, "a whole number")),
            _ => self.member(of, &value, &key, index.text(self.text)),
        }
    }

    /// Is it there? Its object may be missing too.
    fn has(&mut self, of: &'a ExpressionNode) -> MaybeKnown<'a> {
        let found = match &of.kind {
            ExpressionKind::Name(name) => {
                let text = of.text(self.text);
                let found = name.find(self.scope);
                if let Some(found) = found.as_ref().filter(|_| self.terms.is_some()) {
                    self.values.insert(text, found.to_json());
                }
                found.is_some()
            }
            _ => self.value(of).is_ok(),
        };
        self.spend(0)?; // what cost too much has not been found missing
        Ok(Value::Bool(found))
    }

    fn each(&mut self, each: Each, range: &'a ExpressionNode, body: &'a ExpressionNode) -> MaybeKnown<'a> {
        let of = self.value(range)?;
        self.spend(cost(&of))?;
        let Some(items) = of.range() else { return Err(self.not_a(range, &of, "a list")) };
        let (mut kept, mut count, mut unknown) = (Vec::new(), 0, None);
        for item in items {
            self.spend(1)?;
            self.locals.push(item.clone());
            let found = if each == Each::Map { self.value(body) } else { self.truth(body).map(Value::Bool) };
            self.locals.pop();
            match (each, found) {
                (Each::All, Ok(Value::Bool(false))) => return Ok(Value::Bool(false)),
                (Each::Exists, Ok(Value::Bool(true))) => return Ok(Value::Bool(true)),
                (Each::ExistsOne, Ok(Value::Bool(true))) => count += 1,
                (Each::Filter, Ok(Value::Bool(true))) => {
                    self.spend(KEPT)?;
                    kept.push(item);
                }
                (Each::Map, Ok(value)) => {
                    self.spend(KEPT)?;
                    kept.push(value);
                }
                (_, Ok(_)) => {}
                (_, Err(why)) => unknown = unknown.or(Some(why)),
            }
        }
        if let Some(why) = unknown {
            return Err(why);
        }
        Ok(match each {
            Each::All => Value::Bool(true),
            Each::Exists => Value::Bool(false),
            Each::ExistsOne => Value::Bool(count == 1),
            Each::Map | Each::Filter => Value::List(Rc::from(kept)),
        })
    }

    fn not_a(&self, node: &'a ExpressionNode, value: &Value<'_>, wanted: &str) -> Unknown {
        self.unknown(|| format!("`{}` is {}, not {wanted}", node.text(self.text), value.kind()))
    }

    /// Not known, and `why` where that is asked for.
    fn unknown(&self, why: impl FnOnce() -> String) -> Unknown {
        Unknown(if self.terms.is_some() { why() } else { String::new() })
    }

    fn spend(&mut self, steps: u32) -> Result<(), Unknown> {
        match self.steps.checked_sub(steps).filter(|left| *left > 0) {
            Some(left) => {
                self.steps = left;
                Ok(())
            }
            None => {
                self.steps = 0;
                Err("it goes through too much: it costs too much time".into())
            }
        }
    }
}

/// Does it name a version? Such a text is compared as one: `1.2.0` comes before `1.10.0`.
fn is_version(node: &ExpressionNode) -> bool {
    match &node.kind {
        ExpressionKind::Name(name) => name.is_version(),
        ExpressionKind::Member(parts) => Version::is_named(&parts.1),
        _ => false,
    }
}

fn is_literal(kind: &ExpressionKind) -> bool {
    matches!(
        kind,
        ExpressionKind::Bool(_)
            | ExpressionKind::Int(_)
            | ExpressionKind::Double(_)
            | ExpressionKind::Text(_)
            | ExpressionKind::List(_)
            | ExpressionKind::Map(_)
    )
}

/// The cost of copying or scanning this many bytes, in steps.
fn steps_of(bytes: usize) -> u32 {
    u32::try_from(bytes / 64).unwrap_or(u32::MAX)
}

/// The cost of scanning all of a value, in steps. Lists may share their items, so that scanning them costs more than
/// their memory: the cost is counted as the scan goes.
fn cost(value: &Value<'_>) -> u32 {
    let mut left = MOST_STEPS;
    count(value, &mut left);
    MOST_STEPS - left
}

fn count(value: &Value<'_>, left: &mut u32) {
    let mut many = |size: usize| {
        *left = left.saturating_sub(u32::try_from(size).unwrap_or(u32::MAX));
        *left > 0
    };
    match value {
        Value::Text(text) => {
            many(text.len() / 64); // as `steps_of`
        }
        Value::Array(items) if many(items.len()) => {
            items.iter().for_each(|item| count(&Value::of(item), left));
        }
        Value::Object(object) if many(object.len()) => {
            object.iter().for_each(|(_, item)| count(&Value::of(item), left));
        }
        Value::List(items) if many(items.len()) => items.iter().for_each(|item| count(item, left)),
        Value::Map(entries) if many(entries.len()) => {
            for (key, value) in entries.iter() {
                count(key, left);
                count(value, left);
            }
        }
        _ => {}
    }
}
