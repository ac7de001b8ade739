//! Conditions as the engine asks for them.

use crate::domain::rules::expression::Scope as Sight;
use crate::domain::rules::model::Condition;
use crate::domain::rules::record::ConditionSeen;

/// How a condition is found.
pub(super) fn evaluate(condition: &Condition, sight: &Sight<'_>) -> ConditionSeen {
    condition.evaluate(sight)
}

/// Does it depend on the time, so that it can come to hold though nothing happens?
pub(super) fn asks_the_time(condition: &Condition) -> bool {
    match condition {
        Condition::Expression(expression) => {
            expression.text().contains("now") || expression.text().contains("age")
        }
        Condition::Time { .. } => true,
        Condition::All(parts) | Condition::Any(parts) => parts.iter().any(asks_the_time),
        Condition::Not(part) => asks_the_time(part),
    }
}
