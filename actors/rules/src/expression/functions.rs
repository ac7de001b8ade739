//! The functions, and their results. They fit CEL's standard ones.

use std::borrow::Cow;

use chrono::{DateTime, Datelike as _, Timelike as _};
use chrono_tz::Tz;

use super::operators::LONGEST_TEXT;
use super::value::{Unknown, Value, span_text};
use twinhub_domain::Timestamp;
use twinhub_domain::duration::duration_ms;
use twinhub_domain::json::EXACT;
use twinhub_domain::text::composed;

/// A function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    Size,
    Contains,
    StartsWith,
    EndsWith,
    Int,
    Double,
    Text,
    Bool,
    Duration,
    Timestamp,
    Abs,
    Min,
    Max,
    Round,
    Floor,
    Ceil,
    Lower,
    Upper,
    Trim,
    Part(TimePart),
}

/// A part of a time, or of a length of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimePart {
    FullYear,
    /// From 0.
    Month,
    /// Of the month, from 1.
    Date,
    /// From 0.
    DayOfMonth,
    /// Sunday is 0.
    DayOfWeek,
    /// From 0.
    DayOfYear,
    Hours,
    Minutes,
    Seconds,
    Milliseconds,
}

/// The call form of a function.
#[derive(Clone, Copy, PartialEq, Eq)]
enum CallStyle {
    /// `size(x)`
    Global,
    /// `x.contains(y)`
    Member,
    Either,
}

type FunctionRow = (&'static str, Function, CallStyle, usize, usize);

/// Name, function, style, and how many arguments it takes at least and at most, the one before the dot counted.
const ALL: [FunctionRow; 31] = [
    ("size", Function::Size, CallStyle::Either, 1, 1),
    ("contains", Function::Contains, CallStyle::Member, 2, 2),
    ("startsWith", Function::StartsWith, CallStyle::Member, 2, 2),
    ("endsWith", Function::EndsWith, CallStyle::Member, 2, 2),
    ("int", Function::Int, CallStyle::Global, 1, 1),
    ("uint", Function::Int, CallStyle::Global, 1, 1),
    ("double", Function::Double, CallStyle::Global, 1, 1),
    ("string", Function::Text, CallStyle::Global, 1, 1),
    ("bool", Function::Bool, CallStyle::Global, 1, 1),
    ("duration", Function::Duration, CallStyle::Global, 1, 1),
    ("timestamp", Function::Timestamp, CallStyle::Global, 1, 1),
    ("abs", Function::Abs, CallStyle::Global, 1, 1),
    ("min", Function::Min, CallStyle::Global, 1, 16),
    ("max", Function::Max, CallStyle::Global, 1, 16),
    ("round", Function::Round, CallStyle::Global, 1, 2),
    ("floor", Function::Floor, CallStyle::Global, 1, 1),
    ("ceil", Function::Ceil, CallStyle::Global, 1, 1),
    ("lowerAscii", Function::Lower, CallStyle::Member, 1, 1),
    ("upperAscii", Function::Upper, CallStyle::Member, 1, 1),
    ("trim", Function::Trim, CallStyle::Member, 1, 1),
    ("getFullYear", Function::Part(TimePart::FullYear), CallStyle::Member, 1, 2),
    ("getMonth", Function::Part(TimePart::Month), CallStyle::Member, 1, 2),
    ("getDate", Function::Part(TimePart::Date), CallStyle::Member, 1, 2),
    ("getDayOfMonth", Function::Part(TimePart::DayOfMonth), CallStyle::Member, 1, 2),
    ("getDayOfWeek", Function::Part(TimePart::DayOfWeek), CallStyle::Member, 1, 2),
    ("getDayOfYear", Function::Part(TimePart::DayOfYear), CallStyle::Member, 1, 2),
    ("getHours", Function::Part(TimePart::Hours), CallStyle::Member, 1, 2),
    ("getMinutes", Function::Part(TimePart::Minutes), CallStyle::Member, 1, 2),
    ("getSeconds", Function::Part(TimePart::Seconds), CallStyle::Member, 1, 2),
    ("getMilliseconds", Function::Part(TimePart::Milliseconds), CallStyle::Member, 1, 2),
    ("abs", Function::Abs, CallStyle::Member, 1, 1),
];

/// Names that the parser itself handles, for the nearest name.
const MACROS: [&str; 7] = ["has", "all", "exists", "exists_one", "map", "filter", "matches"];

impl Function {
    /// The function that is called so.
    ///
    /// # Errors
    /// A sentence: it is not there, is called otherwise, or takes another number of arguments.
    pub fn find(name: &str, member: bool, arguments: usize) -> Result<Self, String> {
        let fits = |style: CallStyle| style == CallStyle::Either || (style == CallStyle::Member) == member;
        let mut named = ALL.iter().filter(|row| row.0 == name).peekable();
        let Some(first) = named.peek().copied() else {
            let names = ALL.iter().map(|row| row.0).chain(MACROS);
            let near =
                names.max_by(|a, b| strsim::jaro_winkler(a, name).total_cmp(&strsim::jaro_winkler(b, name)));
            let near = near.filter(|near| strsim::jaro_winkler(near, name) > 0.8);
            let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            return Err(format!("there is no function `{name}`{hint}"));
        };
        let Some(row) = named.find(|row| fits(row.2)) else {
            return Err(match first.2 {
                CallStyle::Member => format!("`{name}` is written behind a dot: x.{name}(…)"),
                _ => format!("`{name}` is called with its value: {name}(x)"),
            });
        };
        if !(row.3..=row.4).contains(&arguments) {
            let before = usize::from(member);
            let wants = match (row.3 - before, row.4 - before) {
                (0, 0) => "nothing between its brackets".into(),
                (1, 1) => "one value".into(),
                (least, most) if least == most => format!("{least} values"),
                (least, most) => format!("{least} to {most} values"),
            };
            return Err(format!("`{name}` takes {wants}, and not {}", arguments - before));
        }
        Ok(row.1)
    }

    /// Calls it. None: an argument's type does not fit.
    pub fn call<'a>(self, arguments: &[Value<'a>]) -> Option<Result<Value<'a>, Unknown>> {
        let first = arguments.first()?;
        let texts = || match arguments {
            [Value::Text(a), Value::Text(b)] => Some((composed(a), composed(b))),
            _ => None,
        };
        Some(Ok(match self {
            Self::Size => Value::Int(i128::try_from(first.size()?).unwrap_or(i128::MAX)),
            Self::Contains => {
                let (text, part) = texts()?;
                Value::Bool(text.contains(part.as_ref()))
            }
            Self::StartsWith => {
                let (text, part) = texts()?;
                Value::Bool(text.starts_with(part.as_ref()))
            }
            Self::EndsWith => {
                let (text, part) = texts()?;
                Value::Bool(text.ends_with(part.as_ref()))
            }
            Self::Int | Self::Double | Self::Text | Self::Bool => return self.convert(first),
            Self::Duration => match first {
                Value::Span(ms) => Value::Span(*ms),
                Value::Text(text) => match span_ms(text) {
                    Some(ms) => Value::Span(ms),
                    None => return Some(Err(Unknown(format!("\"{text}\" is no length of time")))),
                },
                _ => return None,
            },
            Self::Timestamp => match (first, first.as_time()) {
                (_, Some(at)) => Value::Time(at),
                (Value::Int(seconds), _) => {
                    let millis = seconds.saturating_mul(1_000).clamp(i64::MIN.into(), i64::MAX.into());
                    Value::Time(Timestamp::from_millis(i64::try_from(millis).unwrap_or_default()).into()) // just clamped
                }
                (Value::Text(text), _) => return Some(Err(Unknown(format!("\"{text}\" is no time")))),
                _ => return None,
            },
            Self::Min | Self::Max => {
                let given: Vec<Value<'a>> = match arguments {
                    [list] => list.items()?.collect(),
                    many => many.to_vec(),
                };
                return extreme(given, self == Self::Max);
            }
            Self::Abs => match first {
                Value::Int(value) => Value::Int(value.saturating_abs()),
                Value::Double(value) => Value::Double(value.abs()),
                Value::Span(ms) => Value::Span(ms.saturating_abs()),
                _ => return None,
            },
            Self::Round => return round(first, arguments.get(1)),
            Self::Floor => whole(first, f64::floor)?,
            Self::Ceil => whole(first, f64::ceil)?,
            Self::Lower | Self::Upper | Self::Trim => {
                let Value::Text(text) = first else { return None };
                Value::Text(match self {
                    Self::Lower => Cow::Owned(text.to_ascii_lowercase()),
                    Self::Upper => Cow::Owned(text.to_ascii_uppercase()),
                    _ => Cow::Owned(text.trim().to_owned()),
                })
            }
            Self::Part(part) => return part.of(first, arguments.get(1)),
        }))
    }

    fn convert<'a>(self, value: &Value<'a>) -> Option<Result<Value<'a>, Unknown>> {
        let unreadable = |text: &str, what: &str| Some(Err(Unknown(format!("\"{text}\" is {what}"))));
        Some(Ok(match (self, value) {
            (Self::Int, Value::Int(_))
            | (Self::Double, Value::Double(_))
            | (Self::Text, Value::Text(_))
            | (Self::Bool, Value::Bool(_)) => value.clone(),
            (Self::Int, Value::Double(_)) => whole(value, f64::trunc)?,
            (Self::Int, Value::Text(text)) => match text.parse() {
                Ok(whole) => Value::Int(whole),
                Err(_) => return unreadable(text, "no whole number"),
            },
            (Self::Int, Value::Time(at)) => Value::Int(at.floor().millis().div_euclid(1_000).into()),
            (Self::Double, Value::Int(_)) => Value::Double(value.as_f64()?),
            (Self::Double, Value::Text(text)) => match text.parse::<f64>().ok().filter(|v| v.is_finite()) {
                Some(number) => Value::Double(number),
                None => return unreadable(text, "no number"),
            },
            (Self::Double, Value::Span(_)) => Value::Double(span_seconds(value)?),
            (Self::Text, Value::Span(ms)) => Value::Text(span_text(*ms).into()),
            (Self::Text, value) => {
                let text = value.to_json();
                let text = text.as_str().map_or_else(|| text.to_string(), ToOwned::to_owned);
                if text.len() > LONGEST_TEXT {
                    return Some(Err("the text becomes too long".into()));
                }
                Value::Text(text.into())
            }
            (Self::Bool, Value::Text(text)) => match text.as_ref() {
                "true" | "True" | "TRUE" | "t" | "1" => Value::Bool(true),
                "false" | "False" | "FALSE" | "f" | "0" => Value::Bool(false),
                _ => return unreadable(text, "neither true nor false"),
            },
            _ => return None,
        }))
    }
}

impl TimePart {
    fn of<'a>(self, value: &Value<'a>, zone: Option<&Value<'a>>) -> Option<Result<Value<'a>, Unknown>> {
        if let (Value::Span(ms), None) = (value, zone) {
            let part = match self {
                Self::Hours => ms / 3_600_000,
                Self::Minutes => ms / 60_000,
                Self::Seconds => ms / 1_000,
                Self::Milliseconds => ms % 1_000,
                _ => return None,
            };
            return Some(Ok(Value::Int(part.into())));
        }
        let zone = match zone {
            None => Tz::UTC,
            Some(Value::Text(name)) => match name.parse() {
                Ok(zone) => zone,
                Err(_) => return Some(Err(Unknown(format!("there is no time zone \"{name}\"")))),
            },
            Some(_) => return None,
        };
        let at = DateTime::from_timestamp_millis(value.as_time()?.floor().millis())?.with_timezone(&zone);
        let part = match self {
            Self::FullYear => i64::from(at.year()),
            Self::Month => i64::from(at.month0()),
            Self::Date => i64::from(at.day()),
            Self::DayOfMonth => i64::from(at.day0()),
            Self::DayOfWeek => i64::from(at.weekday().num_days_from_sunday()),
            Self::DayOfYear => i64::from(at.ordinal0()),
            Self::Hours => i64::from(at.hour()),
            Self::Minutes => i64::from(at.minute()),
            Self::Seconds => i64::from(at.second()),
            Self::Milliseconds => i64::from(at.nanosecond() / 1_000_000),
        };
        Some(Ok(Value::Int(part.into())))
    }
}

/// The ms of a duration as CEL writes it, where it may be negative and finer than a ms (`1h30m`, `-10s`, `100us`), or as
/// it is written everywhere else (`1h 30m`, `PT1H30M`).
pub fn span_ms(text: &str) -> Option<i64> {
    cel_ms(text).or_else(|| duration_ms(text).ok())
}

fn cel_ms(text: &str) -> Option<i64> {
    let (sign, mut rest) = text.strip_prefix('-').map_or((1.0, text), |rest| (-1.0, rest));
    if rest == "0" {
        return Some(0);
    }
    let mut total = 0.0;
    while !rest.is_empty() || total == 0.0 {
        let digits = rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(rest.len());
        let number: f64 = rest.get(..digits)?.parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        total += number
            * match &rest[..letters] {
                "d" => 86_400_000.0,
                "h" => 3_600_000.0,
                "m" => 60_000.0,
                "s" => 1_000.0,
                "ms" => 1.0,
                "us" => 0.001,
                "ns" => 0.000_001,
                _ => return None,
            };
        rest = &rest[letters..];
        if rest.is_empty() {
            break;
        }
    }
    const LONGEST_MS: f64 = 1e15; // 30,000 years
    #[expect(clippy::cast_possible_truncation, reason = "within the limit just checked")]
    (total <= LONGEST_MS).then_some((sign * total).round() as i64)
}

fn span_seconds(value: &Value<'_>) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "see `span_ms`: far below 2^53")]
    if let Value::Span(ms) = value { Some(*ms as f64 / 1_000.0) } else { None }
}

/// The nearest whole number by `how`; one that is too large for it stays as it is.
fn whole<'a>(value: &Value<'a>, how: fn(f64) -> f64) -> Option<Value<'a>> {
    match value {
        Value::Int(_) => Some(value.clone()),
        Value::Double(number) => {
            let number = how(*number);
            #[expect(clippy::cast_possible_truncation, reason = "within 2^53")]
            Some(if number.abs() <= EXACT { Value::Int(number as i128) } else { Value::Double(number) })
        }
        _ => None,
    }
}

fn round<'a>(value: &Value<'a>, places: Option<&Value<'a>>) -> Option<Result<Value<'a>, Unknown>> {
    let Some(places) = places else { return whole(value, f64::round).map(Ok) };
    let Value::Int(places) = places else { return None };
    if let Value::Int(_) = value
        && value.as_f64()?.abs() >= EXACT
    {
        return Some(Ok(value.clone())); // no double has its last digits
    }
    let places = i32::try_from((*places).clamp(0, 15)).ok()?;
    let factor = 10_f64.powi(places);
    let rounded = (value.as_f64()? * factor).round() / factor;
    Some(if rounded.is_finite() {
        Ok(Value::Double(rounded))
    } else {
        Err("the number becomes too large".into())
    })
}

fn extreme<'a>(given: Vec<Value<'a>>, largest: bool) -> Option<Result<Value<'a>, Unknown>> {
    let mut given = given.into_iter();
    let Some(mut best) = given.next() else {
        return Some(Err("an empty list has no least and no largest".into()));
    };
    for value in given {
        if value.compare(&best)?.is_some_and(|order| if largest { order.is_gt() } else { order.is_lt() }) {
            best = value;
        }
    }
    Some(Ok(best))
}
