//! A rule file's own tests: given these values at these times, expect these actions. They run in virtual time on
//! the engine that runs live.

use super::model::Rule;
use crate::domain::{Json, Timestamp};

/// A test, read.
#[derive(Clone, Debug, Default)]
pub struct Test {
    /// What it is called; its number where it has no name.
    pub name: String,
    /// What happens, in order.
    pub given: Vec<Given>,
    /// The actions that must come of it, in order: `command fan`, `desired fan`, `alarm greenhouse-hot`,
    /// `clear greenhouse-hot`, `not condition`…
    pub expect: Vec<String>,
}

/// Something that happens in a test.
#[derive(Clone, Debug)]
pub struct Given {
    /// After the start of the test, in ms.
    pub at_ms: i64,
    /// `device.property`, `device.mode`, `device.status`, `mqtt topic`…
    pub what: String,
    pub value: Json,
}

/// How a test went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub name: String,
    /// None: it passed. Otherwise what was expected, what came instead and when.
    pub failure: Option<String>,
}

/// Runs a rule's tests, its file's other rules being there too.
#[must_use]
pub fn run(_rules: &[Rule], _of: usize, _tests: &[&Test], _start: Timestamp) -> Vec<Verdict> {
    Vec::new()
}
