//! Ways that are measured beside each other: in turns, so that all have their share of a machine that is faster at one
//! time than at another.

use crate::report::{Aim, BenchmarkReport, median};

/// Turns of each way; the median counts.
pub const TURNS: usize = 5;

/// The order of the ways in a turn: there and back, so that none always follows the same other.
pub fn order(turn: usize, ways: usize) -> impl Iterator<Item = usize> {
    (0..ways).map(move |way| if turn.is_multiple_of(2) { way } else { ways - 1 - way })
}

/// The figures of ways that are measured in turns, by the ways' names.
pub struct Compared {
    what: String,
    unit: &'static str,
    ways: Vec<(&'static str, Vec<f64>)>,
}

impl Compared {
    /// No figures yet of `what`, for these ways.
    pub fn new(what: impl Into<String>, unit: &'static str, ways: &[&'static str]) -> Self {
        let ways = ways.iter().map(|name| (*name, Vec::new())).collect();
        Self { what: what.into(), unit, ways }
    }

    /// Adds a figure of a way.
    pub fn add(&mut self, way: usize, value: f64) {
        if let Some((_, values)) = self.ways.get_mut(way) {
            values.push(value);
        }
    }

    /// Reports the median of each way.
    pub fn report(&self, report: &mut BenchmarkReport) {
        for (way, (name, _)) in self.ways.iter().enumerate() {
            report.add(format!("{}, {name}", self.what), self.median(way), self.unit, Aim::None);
        }
    }

    /// Reports how many times the median of one way another's is.
    pub fn report_ratio(&self, report: &mut BenchmarkReport, way: usize, other: usize) {
        let (Some((one, _)), Some((by, _))) = (self.ways.get(way), self.ways.get(other)) else { return };
        let ratio = self.median(way) / self.median(other);
        report.add(format!("  {}, {one} ÷ {by}", self.what), ratio, "×", Aim::None);
    }

    fn median(&self, way: usize) -> f64 {
        self.ways.get(way).map_or(0.0, |(_, values)| median(values.clone()))
    }
}
