//! Conditions: whether they hold, and why.

use chrono::{DateTime, Datelike as _, Timelike as _, Weekday};
use chrono_tz::Tz;

use super::expression::{Dependency, EvaluationScope};
use super::model::{Condition, TimeOfDay};
use twinhub_domain::Timestamp;
use twinhub_domain::run::{ConditionSeen, TermSeen};

impl Condition {
    /// Evaluates the condition in `scope`, with the parts that were evaluated. Parts that earlier ones had settled
    /// already are left out; an unknown goes through `all`, `any` and `not` as through `&&`, `||` and `!`.
    #[must_use]
    pub fn evaluate(&self, scope: &EvaluationScope<'_>) -> ConditionSeen {
        let mut terms = Vec::new();
        let holds = self.look(scope, &mut terms);
        ConditionSeen { text: self.text().into(), holds, terms }
    }

    /// The twins that it reads, each once.
    #[must_use]
    pub fn dependencies(&self) -> Vec<Dependency> {
        let mut found: Vec<Dependency> = Vec::new();
        self.each_expression(&mut |expression| {
            for dependency in expression.dependencies() {
                if !found.contains(dependency) {
                    found.push(dependency.clone());
                }
            }
        });
        found
    }

    /// Calls `seen` with every expression in it.
    pub fn each_expression<'a>(&'a self, seen: &mut dyn FnMut(&'a super::Expression)) {
        match self {
            Self::Expression(expression) => seen(expression),
            Self::Time { .. } => {}
            Self::All(parts) | Self::Any(parts) => parts.iter().for_each(|part| part.each_expression(seen)),
            Self::Not(part) => part.each_expression(seen),
        }
    }

    /// As it is written, in one line.
    #[must_use]
    pub fn text(&self) -> String {
        let list = |word: &str, parts: &[Self]| {
            let parts: Vec<_> = parts.iter().map(Self::text).collect();
            format!("{word}: [{}]", parts.join(", "))
        };
        match self {
            Self::Expression(expression) => expression.text().to_owned(),
            Self::Time { after, before, weekdays, zone } => time_text(*after, *before, weekdays, *zone),
            Self::All(parts) => list("all", parts),
            Self::Any(parts) => list("any", parts),
            Self::Not(part) => format!("not: {}", part.text()),
        }
    }

    fn look(&self, scope: &EvaluationScope<'_>, terms: &mut Vec<TermSeen>) -> Option<bool> {
        match self {
            Self::Expression(expression) => {
                let verdict = expression.evaluate(scope);
                terms.extend(verdict.terms);
                verdict.holds
            }
            Self::Time { after, before, weekdays, zone } => {
                let (at, holds) = time_holds(*after, *before, weekdays, *zone, scope.now);
                let values = [
                    ("time", at.format("%H:%M:%S").to_string().into()),
                    ("weekday", at.weekday().to_string().into()),
                ];
                terms.push(TermSeen {
                    text: time_text(*after, *before, weekdays, *zone).into(),
                    values: values.into_iter().collect(),
                    holds: Some(holds),
                    unknown: None,
                });
                Some(holds)
            }
            Self::All(parts) => chain(parts, false, scope, terms),
            Self::Any(parts) => chain(parts, true, scope, terms),
            Self::Not(part) => part.look(scope, terms).map(|holds| !holds),
        }
    }
}

/// Parts that are settled by the first that comes to `settled`.
fn chain(
    parts: &[Condition],
    settled: bool,
    scope: &EvaluationScope<'_>,
    terms: &mut Vec<TermSeen>,
) -> Option<bool> {
    let mut holds = Some(!settled);
    for part in parts {
        match part.look(scope, terms) {
            Some(found) if found == settled => return Some(settled),
            Some(_) => {}
            None => holds = None,
        }
    }
    holds
}

/// The wall-clock time, and whether it is in the span. The clock alone decides: in the night in which clocks are put
/// back, a span of the doubled hour holds twice; times that they are put forward over never come. The weekday is that
/// of the day on which the span began: `after: 22:00, before: 06:00` on Fridays goes on until Saturday morning.
fn time_holds(
    after: Option<TimeOfDay>,
    before: Option<TimeOfDay>,
    weekdays: &[Weekday],
    zone: Tz,
    now: Timestamp,
) -> (DateTime<Tz>, bool) {
    let at = DateTime::from_timestamp_millis(now.millis()).unwrap_or_default().with_timezone(&zone);
    let time = TimeOfDay(at.num_seconds_from_midnight());
    let today = at.weekday();
    let (within, began) = match (after, before) {
        (Some(after), Some(before)) if after > before => {
            (time >= after || time < before, if time < before { today.pred() } else { today })
        }
        (after, before) => {
            let from = after.is_none_or(|after| time >= after);
            (from && before.is_none_or(|before| time < before), today)
        }
    };
    (at, within && (weekdays.is_empty() || weekdays.contains(&began)))
}

fn time_text(after: Option<TimeOfDay>, before: Option<TimeOfDay>, weekdays: &[Weekday], zone: Tz) -> String {
    let mut text = "time".to_owned();
    for (word, at) in [("after", after), ("before", before)] {
        if let Some(at) = at {
            text.push_str(&format!(" {word} {at}"));
        }
    }
    if !weekdays.is_empty() {
        let days: Vec<_> = weekdays.iter().map(ToString::to_string).collect();
        text.push_str(&format!(" on {}", days.join(", ")));
    }
    text.push_str(&format!(" ({})", zone.name()));
    text
}

impl std::fmt::Display for TimeOfDay {
    /// `22:00`, `22:00:30`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 3_600, self.0 / 60 % 60)?;
        if self.0.is_multiple_of(60) { Ok(()) } else { write!(f, ":{:02}", self.0 % 60) }
    }
}

#[cfg(test)]
mod tests;
