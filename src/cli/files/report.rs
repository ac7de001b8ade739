//! The report of an import: each refused line as it is known, to the screen and to a file, and a count of all.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::cli::rules::print::line;
use crate::import_export::{DecimalCommas, LineFault};

/// Refused lines on the screen where a file has all of them.
const SHOWN: u64 = 50;

/// The report of one import.
pub struct ImportReportView {
    /// The name of the imported file.
    name: String,
    file: Option<(BufWriter<File>, String)>,
    pub lines: u64,
    pub refused: u64,
    created: u64,
    updated: u64,
    skipped: u64,
    shown: u64,
    /// Refused, and the hub did not say which.
    untold: u64,
    dry_run: bool,
    /// Refused before they were sent, and not reported yet.
    waiting: Vec<Value>,
}

impl ImportReportView {
    /// About the file called `name`; written to `file`, too. Tokens in it are private, and shown only
    /// once: what the file has of an import that was broken off stays there.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn new(name: &str, file: Option<&Path>, has_tokens: bool) -> Result<Self> {
        let file = file.map(|path| -> Result<_> {
            let shown = path.display().to_string();
            let file = if has_tokens { secret(path) } else { File::create(path) };
            Ok((BufWriter::new(file.with_context(|| format!("cannot write {shown}"))?), shown))
        });
        Ok(Self {
            name: name.to_owned(),
            file: file.transpose()?,
            lines: 0,
            refused: 0,
            created: 0,
            updated: 0,
            skipped: 0,
            shown: 0,
            untold: 0,
            dry_run: false,
            waiting: Vec::new(),
        })
    }

    /// A line that need not be sent.
    pub fn refuse_here(&mut self, number: u64, id: Option<&str>, fault: &LineFault) {
        let LineFault { column, field, code, error } = fault;
        let mut refused = json!({ "line": number, "id": id, "field": field, "code": code, "error": error });
        if let Some(column) = column {
            refused["column"] = (*column).into();
        }
        self.waiting.push(refused);
        self.lines += 1;
        self.refused += 1;
    }

    /// Takes the hub's report of the lines that were sent; none where none were. Lines that were refused here are
    /// reported with them, in the order of the lines.
    ///
    /// # Errors
    /// It cannot be written, or the hub has broken off.
    pub fn take(&mut self, answer: &Value) -> Result<()> {
        let count = |name: &str| answer[name].as_u64().unwrap_or_default();
        self.lines += count("lines");
        self.refused += count("refused");
        self.created += count("created");
        self.updated += count("updated");
        self.skipped += count("skipped");
        self.untold += count("more_refusals");
        self.dry_run |= answer["dry_run"] == true;
        let list = |name: &str| answer[name].as_array().cloned().unwrap_or_default();
        let mut refusals = std::mem::take(&mut self.waiting);
        refusals.extend(list("refusals"));
        refusals.sort_by_key(|refused| refused["line"].as_u64());
        for refused in &refusals {
            self.write(refused)?;
            self.shown += 1;
            if self.file.is_none() || self.shown <= SHOWN {
                line(&self.refusal(refused))?;
            }
        }
        for made in list("tokens") {
            self.write(&made)?;
        }
        self.flush()?; // the devices are there, and nobody tells their tokens again
        let broken = &answer["broken_off"];
        if let Some(error) = broken["error"].as_str() {
            let summary = self.summary();
            bail!("{}: broken off at line {}: {error} ({summary})", self.name, broken["line"]);
        }
        Ok(())
    }

    /// Tells what it came to, and how decimal commas were read. False where a line was refused.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn finish(mut self, commas: &[DecimalCommas]) -> Result<bool> {
        self.flush()?;
        if let Some((_, file)) = self.file.as_ref().filter(|_| self.shown > SHOWN) {
            line(&format!("… and {} more, in {file}", self.shown - SHOWN))?;
        }
        if self.untold > 0 {
            line(&format!("… and {} more, which the hub does not tell one by one", self.untold))?;
        }
        for read in commas {
            line(&commas_note(read))?;
        }
        line(&self.summary())?;
        Ok(self.refused == 0)
    }

    /// `pumps.csv:17: settings.heartbeat: expected …`
    fn refusal(&self, refused: &Value) -> String {
        let number = &refused["line"];
        let column = refused["column"].as_u64().map_or_else(String::new, |column| format!(":{column}"));
        let text = |name: &str| refused[name].as_str().unwrap_or_default().to_owned();
        let field = refused["field"].as_str().map(str::to_owned);
        let fault = LineFault { column: None, field, code: "", error: text("error") };
        let place = match fault.field.as_deref() {
            Some(field) if !field.is_empty() => format!("{field}: "),
            _ => String::new(),
        };
        format!("{}:{number}{column}: {place}{}", self.name, fault.detail())
    }

    fn summary(&self) -> String {
        let counts = [
            (self.created, if self.dry_run { "would be created" } else { "created" }),
            (self.updated, if self.dry_run { "would be updated" } else { "updated" }),
            (self.skipped, "skipped"),
            (self.refused, "refused"),
        ];
        let counts =
            counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"));
        let counts: Vec<_> = counts.collect();
        let lines = if self.lines == 1 { "line" } else { "lines" };
        let counts = if counts.is_empty() { "nothing to do".into() } else { counts.join(", ") };
        format!("{} {lines}: {counts}", self.lines)
    }

    fn write(&mut self, value: &Value) -> Result<()> {
        let Some((file, name)) = &mut self.file else { return Ok(()) };
        writeln!(file, "{value}").with_context(|| format!("cannot write {name}"))
    }

    fn flush(&mut self) -> Result<()> {
        let Some((file, name)) = &mut self.file else { return Ok(()) };
        file.flush().with_context(|| format!("cannot write {name}"))
    }
}

/// `desired.setpoint: 120 decimal commas read as numbers, `21,5` as 21.5`
fn commas_note(DecimalCommas { column, cells, example, read_as }: &DecimalCommas) -> String {
    let (commas, numbers) = if *cells == 1 { ("comma", "a number") } else { ("commas", "numbers") };
    format!("{column}: {cells} decimal {commas} read as {numbers}, `{example}` as {read_as}")
}

/// A file that is added to, and that other users cannot read.
fn secret(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    {
        use std::fs::Permissions;
        use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
        let file = options.mode(0o600).open(path)?;
        file.set_permissions(Permissions::from_mode(0o600))?; // it may have been there
        Ok(file)
    }
    #[cfg(not(unix))]
    options.open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_where_and_what() {
        let report = ImportReportView::new("pumps.csv", None, false).unwrap();
        let check = |refused: Value, expected: &str| assert_eq!(report.refusal(&refused), expected);
        check(
            json!({ "line": 17, "field": "group_id", "error": "`group_id`: there is no group `hall`" }),
            "pumps.csv:17: group_id: there is no group `hall`",
        );
        check(json!({ "line": 3, "error": "device `a` is there" }), "pumps.csv:3: device `a` is there");
        check(
            json!({ "line": 4, "column": 9, "field": null, "error": "not JSON" }),
            "pumps.csv:4:9: not JSON",
        );
    }

    #[test]
    fn says_how_decimal_commas_were_read() {
        let read = |cells| DecimalCommas {
            column: "desired.t".into(),
            cells,
            example: "21,5".into(),
            read_as: "21.5".into(),
        };
        assert_eq!(commas_note(&read(4)), "desired.t: 4 decimal commas read as numbers, `21,5` as 21.5");
        assert_eq!(commas_note(&read(1)), "desired.t: 1 decimal comma read as a number, `21,5` as 21.5");
    }

    #[test]
    fn counts_what_there_was() {
        let mut report = ImportReportView::new("pumps.csv", None, false).unwrap();
        assert_eq!(report.summary(), "0 lines: nothing to do");
        report.refuse_here(2, Some("a"), &LineFault::of_line("bad_line", "2 cells, and 3 columns"));
        report.take(&json!({ "lines": 4, "created": 3, "skipped": 1, "refused": 0 })).unwrap();
        assert_eq!(report.summary(), "5 lines: 3 created, 1 skipped, 1 refused");
        let broken =
            report.take(&json!({ "lines": 1, "refused": 1, "broken_off": { "line": 9, "error": "away" } }));
        let error = broken.unwrap_err().to_string();
        assert!(error.starts_with("pumps.csv: broken off at line 9: away (6 lines: "), "{error}");
        assert!(!report.finish(&[]).unwrap());
    }

    #[test]
    fn tokens_are_kept_as_they_come_and_never_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.jsonl");
        std::fs::write(&path, "of before\n").unwrap();
        let mut report = ImportReportView::new("pumps.csv", Some(&path), true).unwrap();
        let made = json!({ "line": 2, "device_id": "a", "auth_token": "secret" });
        report.take(&json!({ "lines": 1, "created": 1, "tokens": [made] })).unwrap();
        let kept = || std::fs::read_to_string(&path).unwrap();
        assert_eq!(kept(), format!("of before\n{made}\n"), "the import is not over");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        drop(report);
        ImportReportView::new("pumps.csv", Some(&path), false).unwrap();
        assert_eq!(kept(), "", "what has no tokens can be told again");
    }

    #[test]
    fn what_the_hub_does_not_tell_is_counted() {
        let mut report = ImportReportView::new("groups.csv", None, false).unwrap();
        report.take(&json!({ "lines": 5, "refused": 5, "more_refusals": 5 })).unwrap();
        assert_eq!((report.untold, report.summary()), (5, "5 lines: 5 refused".into()));
    }
}
