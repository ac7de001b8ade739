//! The measurements, as a table for people and a line of JSON for machines.

use std::time::Duration;

use serde_json::{Map, Value, json};

/// The results so far.
#[derive(Default)]
pub struct BenchmarkReport {
    pub rows: Vec<ReportRow>,
}

/// One result.
pub struct ReportRow {
    pub name: String,
    pub value: f64,
    pub unit: &'static str,
    aim: Aim,
}

/// The aim for a number.
#[derive(Clone, Copy)]
pub enum Aim {
    /// It is there to compare with.
    None,
    Below(f64),
    AtLeast(f64),
}

impl BenchmarkReport {
    /// Adds a result, and shows it at once.
    pub fn add(&mut self, name: impl Into<String>, value: f64, unit: &'static str, aim: Aim) {
        let row = ReportRow { name: name.into(), value, unit, aim };
        println!("  {}", row.line());
        self.rows.push(row);
    }

    /// The table and the line of JSON.
    pub fn print(&self) {
        println!("\n{:<58} {:>12} {:<10} {:<16}", "what", "measured", "", "aim");
        println!("{}", "─".repeat(100));
        for row in &self.rows {
            println!("{}", row.line());
        }
        let results: Map<String, Value> =
            self.rows.iter().map(|row| (format!("{} [{}]", row.name, row.unit), json!(row.value))).collect();
        println!("\n{}", Value::Object(results));
    }
}

impl ReportRow {
    fn line(&self) -> String {
        let aim = match self.aim {
            Aim::None => String::new(),
            Aim::Below(most) => format!("< {}  {}", figure(most), mark(self.value < most)),
            Aim::AtLeast(least) => format!("≥ {}  {}", figure(least), mark(self.value >= least)),
        };
        format!("{:<58} {:>12} {:<10} {:<16}", self.name, figure(self.value), self.unit, aim)
    }
}

/// `percent` of the sorted `times` are not longer than this.
pub fn at(times: &[Duration], percent: usize) -> Duration {
    times.get(times.len().saturating_sub(1) * percent / 100).copied().unwrap_or_default()
}

/// The median of `values`; of an even number the larger of the two in the middle.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// In milliseconds.
pub fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

fn mark(met: bool) -> &'static str {
    if met { "met" } else { "MISSED" }
}

/// Three digits or so.
pub fn figure(value: f64) -> String {
    match value {
        v if v >= 100.0 => group(&format!("{v:.0}")),
        v if v >= 10.0 => format!("{v:.1}"),
        v => format!("{v:.2}"),
    }
}

/// `1234567` as `1,234,567`.
fn group(digits: &str) -> String {
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}
