//! Operators of two values.

use std::cmp::Ordering;

use super::value::{Unknown, Value};
use twinhub_domain::ReadingTime;
use twinhub_domain::clock::NS_IN_MS;
use twinhub_domain::fleet::Version;

/// An operator of two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
}

/// Texts do not grow beyond this, in bytes.
pub const LONGEST_TEXT: usize = 16_384;

impl Operator {
    /// Is it `==` or `!=`?
    pub fn equates(self) -> bool {
        matches!(self, Self::Equal | Self::NotEqual)
    }

    /// The operator that is written so, and how strongly it binds.
    pub fn parse(sign: &str) -> Option<(Self, u8)> {
        Some(match sign {
            "==" => (Self::Equal, 1),
            "!=" => (Self::NotEqual, 1),
            "<" => (Self::Less, 1),
            "<=" => (Self::LessOrEqual, 1),
            ">" => (Self::Greater, 1),
            ">=" => (Self::GreaterOrEqual, 1),
            "in" => (Self::In, 1),
            "+" => (Self::Add, 2),
            "-" => (Self::Subtract, 2),
            "*" => (Self::Multiply, 3),
            "/" => (Self::Divide, 3),
            "%" => (Self::Modulo, 3),
            _ => return None,
        })
    }

    /// Does it ask which comes first?
    pub fn orders(self) -> bool {
        matches!(self, Self::Less | Self::LessOrEqual | Self::Greater | Self::GreaterOrEqual)
    }

    /// The same of two texts that are versions, `firmware_version < "1.10.0"`; none where they are no texts, or it
    /// asks for something else.
    pub fn of_versions(self, left: &Value<'_>, right: &Value<'_>) -> Option<bool> {
        let Value::Text(one) = left else { return None };
        if self == Self::In {
            let is_it = |item: Value<'_>| matches!(item, Value::Text(text) if Version::is_same(one, &text));
            return right.items().map(|mut items| items.any(is_it));
        }
        let Value::Text(other) = right else { return None };
        match self {
            Self::Equal => Some(Version::is_same(one, other)),
            Self::NotEqual => Some(!Version::is_same(one, other)),
            Self::Less => Some(Version::compare(one, other).is_lt()),
            Self::LessOrEqual => Some(Version::compare(one, other).is_le()),
            Self::Greater => Some(Version::compare(one, other).is_gt()),
            Self::GreaterOrEqual => Some(Version::compare(one, other).is_ge()),
            _ => None,
        }
    }

    /// Applies it. An error about a type names neither side: the caller knows them.
    pub fn apply<'a>(self, left: &Value<'a>, right: &Value<'a>) -> Result<Value<'a>, OperatorError> {
        let ordered = |fits: fn(Ordering) -> bool| {
            let order = left.compare(right).ok_or(OperatorError::Types)?;
            Ok(Value::Bool(order.is_some_and(fits)))
        };
        match self {
            Self::Equal => Ok(Value::Bool(left.equals(right).ok_or(OperatorError::Types)?)),
            Self::NotEqual => Ok(Value::Bool(!left.equals(right).ok_or(OperatorError::Types)?)),
            Self::Less => ordered(Ordering::is_lt),
            Self::LessOrEqual => ordered(Ordering::is_le),
            Self::Greater => ordered(Ordering::is_gt),
            Self::GreaterOrEqual => ordered(Ordering::is_ge),
            Self::In => right.contains(left).map(Value::Bool).ok_or(OperatorError::NotIn),
            Self::Add => add(left, right),
            Self::Subtract => subtract(left, right),
            Self::Multiply => numbers(left, right, i128::checked_mul, |a, b| a * b),
            Self::Divide => match (left, right) {
                // 6 / 2 is whole, 5 / 2 is not: see the module's beginning.
                (Value::Int(a), Value::Int(b)) if *b != 0 && a.checked_rem(*b) == Some(0) => a
                    .checked_div(*b)
                    .map(Value::Int)
                    .ok_or(OperatorError::Other("the number becomes too large")),
                (_, Value::Int(0)) => Err(OperatorError::Other("it divides by zero")),
                (_, Value::Double(zero)) if *zero == 0.0 => Err(OperatorError::Other("it divides by zero")),
                _ => numbers(left, right, |_, _| None, |a, b| a / b),
            },
            Self::Modulo => match right {
                Value::Int(0) => Err(OperatorError::Other("it divides by zero")),
                Value::Double(zero) if *zero == 0.0 => Err(OperatorError::Other("it divides by zero")),
                _ => numbers(left, right, i128::checked_rem, |a, b| a % b),
            },
        }
    }
}

/// The reason why an operator does not apply.
pub enum OperatorError {
    /// The types do not fit together.
    Types,
    /// The right side is nothing that something could be in.
    NotIn,
    Other(&'static str),
}

impl From<&'static str> for OperatorError {
    fn from(why: &'static str) -> Self {
        Self::Other(why)
    }
}

impl From<&'static str> for Unknown {
    fn from(why: &'static str) -> Self {
        Self(why.into())
    }
}

fn add<'a>(left: &Value<'a>, right: &Value<'a>) -> Result<Value<'a>, OperatorError> {
    match (left, right) {
        (Value::Text(a), Value::Text(b)) => {
            if a.len() + b.len() > LONGEST_TEXT {
                return Err(OperatorError::Other("the text becomes too long"));
            }
            Ok(Value::Text(format!("{a}{b}").into()))
        }
        (Value::Time(at), Value::Span(ms)) | (Value::Span(ms), Value::Time(at)) => {
            Ok(Value::Time(at.plus_millis(*ms)))
        }
        (Value::Span(a), Value::Span(b)) => Ok(Value::Span(a.saturating_add(*b))),
        _ => numbers(left, right, i128::checked_add, |a, b| a + b),
    }
}

fn subtract<'a>(left: &Value<'a>, right: &Value<'a>) -> Result<Value<'a>, OperatorError> {
    // Lengths of time are whole milliseconds: what is beyond the last of them is cut.
    let between = |a: ReadingTime, b: ReadingTime| {
        i64::try_from((a.nanos() - b.nanos()) / i128::from(NS_IN_MS)).unwrap_or_default()
    };
    match (left, right) {
        (Value::Time(a), Value::Time(b)) => Ok(Value::Span(between(*a, *b))),
        (Value::Time(at), Value::Span(ms)) => Ok(Value::Time(at.plus_millis(ms.saturating_neg()))),
        (Value::Span(a), Value::Span(b)) => Ok(Value::Span(a.saturating_sub(*b))),
        (Value::Time(_), Value::Text(_)) | (Value::Text(_), Value::Time(_)) => {
            match (left.as_time(), right.as_time()) {
                (Some(a), Some(b)) => Ok(Value::Span(between(a, b))),
                _ => Err(OperatorError::Types),
            }
        }
        _ => numbers(left, right, i128::checked_sub, |a, b| a - b),
    }
}

fn numbers<'a>(
    left: &Value<'a>,
    right: &Value<'a>,
    whole: fn(i128, i128) -> Option<i128>,
    other: fn(f64, f64) -> f64,
) -> Result<Value<'a>, OperatorError> {
    if let (Value::Int(a), Value::Int(b)) = (left, right)
        && let Some(result) = whole(*a, *b)
    {
        return Ok(Value::Int(result));
    }
    let (Some(a), Some(b)) = (left.as_f64(), right.as_f64()) else { return Err(OperatorError::Types) };
    // A whole number that becomes too large goes on as the nearest other.
    let result = other(a, b);
    if result.is_finite() { Ok(Value::Double(result)) } else { Err("the number becomes too large".into()) }
}
