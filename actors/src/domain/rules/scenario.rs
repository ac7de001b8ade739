//! A rule file's own tests: given these values at these times, expect these actions. They run in virtual time on
//! the engine that runs live.

pub mod test;

pub use test::{Expected, Given, Happening, Test, Wanted};

use super::model::Rule;
use crate::domain::Timestamp;

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
