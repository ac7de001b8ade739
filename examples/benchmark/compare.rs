//! Two builds of the program beside each other: every part is measured with the old and the new one in alternation, and
//! each figure of the new one is set against the old one's of the same turn. A figure that the program has no part in
//! (a limit of the machine) shows by its spread what chance does to all others.

use serde_json::{Map, Value, json};

use crate::report::{BenchmarkReport, ReportRow, figure, median};

/// The figures of both builds, in turns.
#[derive(Default)]
pub struct PairedReport(Vec<PairedRow>);

struct PairedRow {
    name: String,
    unit: &'static str,
    /// Old and new of each turn.
    turns: Vec<(f64, f64)>,
}

impl PairedReport {
    /// Adds a turn. A figure that only one of the builds gives is left out.
    pub fn add_turn(&mut self, old: BenchmarkReport, new: &BenchmarkReport) {
        for ReportRow { name, value, unit, .. } in old.rows {
            let same = |row: &&ReportRow| row.name == name && row.unit == unit;
            let Some(other) = new.rows.iter().find(same) else { continue };
            let turn = (value, other.value);
            match self.0.iter_mut().find(|row| row.name == name && row.unit == unit) {
                Some(row) => row.turns.push(turn),
                None => self.0.push(PairedRow { name, unit, turns: vec![turn] }),
            }
        }
    }

    /// The table, and a line of JSON: each figure's medians, and its ratios in order.
    pub fn print(&self) {
        println!(
            "\n{:<64} {:>10} {:>10} {:<6} {:>7} {:>7} {:>7}",
            "what", "old", "new", "", "least", "new÷old", "most"
        );
        println!("{}", "─".repeat(118));
        let mut results = Map::new();
        for PairedRow { name, unit, turns } in &self.0 {
            let [old, new] = [|turn: &(f64, f64)| turn.0, |turn: &(f64, f64)| turn.1]
                .map(|side| median(turns.iter().map(side).collect()));
            let mut ratios: Vec<f64> =
                turns.iter().filter(|(old, _)| *old != 0.0).map(|(old, new)| new / old).collect();
            ratios.sort_unstable_by(f64::total_cmp);
            let [least, most] =
                [ratios.first(), ratios.last()].map(|ratio| ratio.copied().unwrap_or(f64::NAN));
            let middle = if ratios.is_empty() { f64::NAN } else { median(ratios.clone()) };
            println!(
                "{name:<64} {:>10} {:>10} {unit:<6} {least:>7.2} {middle:>7.2} {most:>7.2}",
                figure(old),
                figure(new)
            );
            results.insert(format!("{name} [{unit}]"), json!({ "old": old, "new": new, "ratios": ratios }));
        }
        println!("\n{}", Value::Object(results));
    }
}
