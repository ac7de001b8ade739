//! The report of a migration: all rows at fault, and a count of everything.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::row::{CellFault, SeedDocument};
use crate::cli::rules::print::line;

/// Lines of one kind on the screen.
const SHOWN: usize = 50;

/// The report of one migration.
pub struct MigrationReport {
    file: Option<(BufWriter<File>, String)>,
    counts: Vec<KindCount>,
    faults: ShownLines,
    notes: ShownLines,
    left: Vec<String>,
}

/// The kinds of things that come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DocumentKind {
    Groups,
    Devices,
    Readings,
    Rules,
    Layouts,
}

/// The outcome of the things of one kind.
struct KindCount {
    kind: DocumentKind,
    created: u64,
    /// They were there already.
    known: u64,
}

/// Lines of which the first are shown.
#[derive(Default)]
struct ShownLines {
    first: Vec<String>,
    all: usize,
}

impl DocumentKind {
    /// The kind of a document.
    pub fn of(document: &SeedDocument) -> Self {
        match document {
            SeedDocument::Group(_) => Self::Groups,
            SeedDocument::Device(_) | SeedDocument::Dispositivo(_) => Self::Devices,
            SeedDocument::Sample(_) => Self::Readings,
            SeedDocument::Rule(_) => Self::Rules,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Groups => "groups",
            Self::Devices => "devices",
            Self::Readings => "readings",
            Self::Rules => "rules",
            Self::Layouts => "layouts",
        }
    }
}

impl MigrationReport {
    /// A report of which `file` has every fault.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn new(file: Option<&Path>) -> Result<Self> {
        let open = |path: &Path| -> Result<_> {
            let shown = path.display().to_string();
            let file = File::create(path).with_context(|| format!("cannot write {shown}"))?;
            Ok((BufWriter::new(file), shown))
        };
        let file = file.map(open).transpose()?;
        let (faults, notes) = (ShownLines::default(), ShownLines::default());
        Ok(Self { file, counts: Vec::new(), faults, notes, left: Vec::new() })
    }

    /// Things of this kind came in, or were there already.
    pub fn count(&mut self, kind: DocumentKind, created: u64, known: u64) {
        match self.counts.iter_mut().find(|count| count.kind == kind) {
            Some(count) => {
                count.created += created;
                count.known += known;
            }
            None => self.counts.push(KindCount { kind, created, known }),
        }
    }

    /// A cell, or all of a row, did not come in.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn fault(&mut self, table: &str, fault: &CellFault) -> Result<()> {
        let CellFault { rowid, column, reason } = fault;
        let place = if column.is_empty() { String::new() } else { format!(" {column}:") };
        self.faults.add(format!("{table} {rowid}:{place} {reason}"));
        let row = json!({ "table": table, "rowid": rowid, "column": column, "error": reason });
        self.write(&row)
    }

    /// Something is other here than there.
    pub fn note(&mut self, note: String) {
        self.notes.add(note);
    }

    /// Something was not taken over.
    pub fn left(&mut self, what: &str, reason: &str) {
        self.left.push(format!("not taken over: {what}: {reason}"));
    }

    /// Tells all of it. False where something was at fault.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn finish(mut self, is_dry: bool) -> Result<bool> {
        if let Some((file, name)) = &mut self.file {
            file.flush().with_context(|| format!("cannot write {name}"))?;
        }
        self.faults.print()?;
        self.notes.print()?;
        for left in &self.left {
            line(left)?;
        }
        for KindCount { kind, created, known } in &self.counts {
            let done = if is_dry { "would be sent" } else { "taken over" };
            let known = if *known > 0 { format!(", {known} there already") } else { String::new() };
            line(&format!("{}: {created} {done}{known}", kind.as_str()))?;
        }
        match self.faults.all {
            0 => {}
            1 => line("one cell or row is at fault")?,
            count => line(&format!("{count} cells or rows are at fault"))?,
        }
        Ok(self.faults.all == 0)
    }

    fn write(&mut self, value: &Value) -> Result<()> {
        let Some((file, name)) = &mut self.file else { return Ok(()) };
        writeln!(file, "{value}").with_context(|| format!("cannot write {name}"))
    }
}

impl ShownLines {
    fn add(&mut self, text: String) {
        self.all += 1;
        if self.first.len() < SHOWN {
            self.first.push(text);
        }
    }

    fn print(&self) -> Result<()> {
        for text in &self.first {
            line(text)?;
        }
        match self.all - self.first.len() {
            0 => Ok(()),
            more => line(&format!("… and {more} more")),
        }
    }
}
