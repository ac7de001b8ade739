//! Runs of rules as the rest of the domain knows them: their names, their records, and the signals that come to
//! automation from beyond the twins.

mod id;
mod record;
mod signal;

pub use id::{RuleId, RunId};
pub use record::{ActionSeen, ConditionSeen, RunEntry, RunKind, RunOutcome, TermSeen, TriggerSeen, WhyNot};
pub use signal::AutomationSignal;
