//! `import`: a file into a running hub, a few thousand lines at a time.

use std::fs::File;
use std::io::{IsTerminal as _, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};

use super::is_standard;
use super::plain_input::PlainInput;
use super::report::ImportReportView;
use super::upload::FileUpload;
use crate::cli::remote::{HubArgs, Remote};
use crate::import_export::columns::Table;
use crate::import_export::{Format, RowReader};

/// The arguments of `import`.
#[derive(Args, Debug)]
pub struct ImportArgs {
    #[command(flatten)]
    file: ImportedFileArgs,
    /// The treatment of a line about something that is there already
    #[arg(long, value_name = "WHAT", default_value = "refuse")]
    existing: ExistingRows,
    /// Make tokens for new devices; they are added to the report, which other users cannot read then
    #[arg(long, requires = "report")]
    tokens: bool,
}

/// The arguments of any import.
#[derive(Args, Debug)]
pub struct ImportedFileArgs {
    /// The file, compressed by gzip or not; `-` is the standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The format of the file [default: as its name or its first bytes say]
    #[arg(long, value_name = "FORMAT")]
    format: Option<FileFormat>,
    /// Change nothing: say what would be refused
    #[arg(long)]
    dry_run: bool,
    /// Write every refused line with its reason to this file, as JSON Lines
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    #[command(flatten)]
    hub: HubArgs,
}

/// The way in for the lines of a file.
pub struct ImportWay<'a> {
    /// More parameters of the request: `&existing=skip`.
    pub parameters: String,
    /// Lines in a request.
    pub lines: usize,
    /// The report has tokens.
    pub tokens: bool,
    pub file: &'a ImportedFileArgs,
}

/// The format of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FileFormat {
    /// A JSON object a line
    Jsonl,
    /// Comma-separated values with a line of names above
    Csv,
}

/// The treatment of a line about something that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExistingRows {
    /// The line is refused
    Refuse,
    /// The fields of the line are changed, the rest stays
    Update,
    /// The line is passed over
    Skip,
}

/// Lines of records in a request.
const LINES: usize = 2_000;
/// Bytes that are read at once.
const PIECE: usize = 64 << 10;
/// The interval of progress lines where there is no terminal.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);

impl FileFormat {
    /// The format of a file of this name.
    pub fn of_name(path: &Path) -> Option<Self> {
        if path.extension()?.eq_ignore_ascii_case("gz") {
            return Self::of_name(Path::new(path.file_stem()?));
        }
        match path.extension()?.to_ascii_lowercase().to_str()? {
            "csv" | "tsv" => Some(Self::Csv),
            "jsonl" | "ndjson" => Some(Self::Jsonl),
            _ => None,
        }
    }
}

impl From<FileFormat> for Format {
    fn from(format: FileFormat) -> Self {
        match format {
            FileFormat::Jsonl => Self::Jsonl,
            FileFormat::Csv => Self::Csv,
        }
    }
}

impl ExistingRows {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::Update => "update",
            Self::Skip => "skip",
        }
    }
}

/// Imports records. False where a line was refused.
pub async fn run(table: &'static Table, args: ImportArgs) -> Result<bool> {
    let ImportArgs { file, existing, tokens } = args;
    let parameters = format!("&existing={}&tokens={tokens}", existing.as_str());
    carry_out(table, ImportWay { parameters, lines: LINES, tokens, file: &file }).await
}

/// Takes the lines of a file in, which are of this table. False where one was refused.
///
/// # Errors
/// The file cannot be read, or the hub be reached.
pub(in crate::cli) async fn carry_out(table: &'static Table, way: ImportWay<'_>) -> Result<bool> {
    let args = way.file;
    let hub = Remote::new(&args.hub)?;
    let name = if is_standard(&args.file) { "stdin".into() } else { args.file.display().to_string() };
    let (mut input, size) = open(&args.file).with_context(|| format!("cannot read {name}"))?;
    let format = args.format.or_else(|| FileFormat::of_name(&args.file)).map(Format::from);
    let mut reader = RowReader::new(table, format, None);
    let report = ImportReportView::new(&name, args.report.as_deref(), way.tokens)?;
    let mut upload = FileUpload::new(table, hub, &way, report);
    let mut progress = ImportProgress::new(size);
    let mut piece = vec![0; PIECE];
    loop {
        let count = input.read(&mut piece).with_context(|| format!("cannot read {name}"))?;
        let read = input.position();
        match count {
            0 => reader.end(),
            count => reader.push(&piece[..count]),
        }
        while let Some(row) = reader.next_row().map_err(|fault| anyhow!("{name}: {fault}"))? {
            upload.take(row);
            if upload.is_full() {
                upload.send(&progress.bar).await?;
                progress.show(read, &upload.report);
            }
        }
        if count == 0 {
            break;
        }
    }
    upload.send(&progress.bar).await?;
    progress.bar.finish_and_clear();
    upload.report.finish(&reader.decimal_commas())
}

impl ImportedFileArgs {
    /// Is nothing to be changed?
    pub fn is_dry_run(&self) -> bool {
        self.dry_run
    }
}

/// A file that is read, or the standard input.
type FileInput = PlainInput<Box<dyn Read>>;

/// Opens a file; with its size, where it has one.
fn open(path: &Path) -> std::io::Result<(FileInput, Option<u64>)> {
    if is_standard(path) {
        let input: Box<dyn Read> = Box::new(std::io::stdin().lock());
        return Ok((PlainInput::new(input)?, None));
    }
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    let input: Box<dyn Read> = Box::new(file);
    Ok((PlainInput::new(input)?, metadata.is_file().then_some(metadata.len())))
}

/// The progress: a bar on a terminal, a line now and then elsewhere.
struct ImportProgress {
    bar: ProgressBar,
    began: Instant,
    shown: Instant,
}

impl ImportProgress {
    fn new(size: Option<u64>) -> Self {
        let (bar, template) = match size {
            Some(size) => (ProgressBar::new(size), "{bar:40} {percent:>3} %  {msg}, {eta} left"),
            None => (ProgressBar::new_spinner(), "{spinner} {msg}"),
        };
        let style = ProgressStyle::with_template(template);
        let bar = bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { bar, began: Instant::now(), shown: Instant::now() }
    }

    fn show(&mut self, read: u64, report: &ImportReportView) {
        let rate = u128::from(report.lines) * 1_000 / self.began.elapsed().as_millis().max(1);
        let shown = format!("{} lines, {rate}/s, {} refused", report.lines, report.refused);
        if !std::io::stderr().is_terminal() && self.shown.elapsed() >= PROGRESS_EVERY {
            self.shown = Instant::now();
            eprintln!("{shown}");
        }
        self.bar.set_position(read);
        self.bar.set_message(shown);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_files_are() {
        let of = |name: &str| FileFormat::of_name(Path::new(name));
        assert_eq!(of("pumps.csv"), Some(FileFormat::Csv));
        assert_eq!(of("a.b/PUMPS.JSONL"), Some(FileFormat::Jsonl));
        assert_eq!(of("pumps.csv.GZ"), Some(FileFormat::Csv));
        assert_eq!(of(".gz"), None);
        assert_eq!(of("pumps.txt"), None);
        assert_eq!(of("-"), None);
    }
}
