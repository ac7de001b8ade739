//! Backtest: what rules would have done, over the events of the past.

use super::engine::Engine;
use super::record::RunEntry;
use crate::domain::{Recorded, Timestamp};

/// A replay on a virtual clock. Feed it every event in the order of the sequence, then finish it.
#[derive(Debug)]
pub struct Backtest {
    engine: Engine,
    from: Timestamp,
    to: Timestamp,
    runs: Vec<RunEntry>,
}

/// What differs between two sets of runs.
#[derive(Debug, Default)]
pub struct Difference {
    /// Runs of both, by their number.
    pub same: usize,
    pub only_first: Vec<RunEntry>,
    pub only_second: Vec<RunEntry>,
}

impl Backtest {
    /// A replay of `engine`'s rules that tells of runs in `from <= at < to`.
    #[must_use]
    pub fn new(engine: Engine, from: Timestamp, to: Timestamp) -> Self {
        Self { engine, from, to, runs: Vec::new() }
    }

    /// The next event.
    pub fn observe(&mut self, _recorded: &Recorded) {}

    /// Lets the time go on to the end, and gives the entries in their order.
    #[must_use]
    pub fn finish(self) -> Vec<RunEntry> {
        let _ = (self.engine, self.from, self.to);
        self.runs
    }
}

/// Compares what one version of a rule would have done with what another would have.
#[must_use]
pub fn difference(_first: &[RunEntry], _second: &[RunEntry]) -> Difference {
    Difference::default()
}
