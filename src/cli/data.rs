//! `twinhub data`: readings out of a running hub, and into it.

mod parquet;

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};

use crate::cli::files::{FileFormat, ImportWay, ImportedFileArgs, carry_out, save};
use crate::cli::remote::{HubArgs, Remote};
use crate::import_export::columns::READINGS;
use crate::import_export::{Format, ReadingsFormat};

/// The command `data`.
#[derive(Args)]
pub struct DataArgs {
    #[command(subcommand)]
    action: DataAction,
}

#[derive(Subcommand)]
enum DataAction {
    /// Write the readings of all devices, or of some, into a file
    #[command(after_help = EXPORT_HELP)]
    Export(ReadingsExportArgs),
    /// Take in readings of any age out of a file: JSON Lines, CSV or Parquet
    #[command(after_help = IMPORT_HELP)]
    Import(ReadingsImportArgs),
}

const EXPORT_HELP: &str = "Examples:

  twinhub data export readings.csv --from 2026-11-01 --to 2026-11-30
  twinhub data export readings.parquet --query type=pump
  twinhub data export --property temperature,humidity --query 'type=pump&tag.floor=2' | gzip > pumps.jsonl.gz

A file has its name once it is whole. Readings are in the order of devices and their times.";

const IMPORT_HELP: &str = "Each line has device_id, timestamp, sensor_type and value, and perhaps unit, quality_score and claimed_at, as an
export writes them. A reading that is there already is passed over, so that a file may be taken in again. The state of a twin
takes what is newer than it has; no device counts as heard, and no rule runs.

Examples:

  twinhub data import readings.csv.gz
  twinhub data import readings.parquet
  twinhub data import old.jsonl --timezone Europe/Madrid --dry-run";

/// Lines in a request: so many make few commits, and take a fraction of a second.
const LINES: usize = 50_000;

/// The arguments of `data import`.
#[derive(Args)]
struct ReadingsImportArgs {
    #[command(flatten)]
    file: ImportedFileArgs,
    /// The time zone of times that name none, such as Europe/Madrid [default: such lines are refused]
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,
    /// Refuse lines whose device is not known, and make none
    #[arg(long)]
    refuse_unknown: bool,
}

/// The arguments of `data export`.
#[derive(Args)]
struct ReadingsExportArgs {
    /// The file; `-` is the standard output
    #[arg(value_name = "FILE", default_value = "-")]
    file: PathBuf,
    /// The format of the file [default: as the file's name says, or jsonl]
    #[arg(long, value_name = "FORMAT")]
    format: Option<ReadingsFileFormat>,
    /// Only readings from this moment on: a time, or a date
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Only readings from before this moment; a date means to the end of that day [default: now]
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// Only these properties, parted by commas
    #[arg(long, value_name = "NAMES")]
    property: Option<String>,
    /// Only readings whose score is at least this, from 0 to 100; one without a score has nothing against it
    #[arg(long, value_name = "SCORE")]
    min_quality: Option<u8>,
    /// Only the devices that their list shows with these parameters: `type=pump&tag.floor=2`
    #[arg(long, value_name = "PARAMETERS")]
    query: Option<String>,
    #[command(flatten)]
    hub: HubArgs,
}

/// The format of a file of readings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ReadingsFileFormat {
    /// A JSON object a line
    Jsonl,
    /// Comma-separated values with a line of names above
    Csv,
    /// Columns, as data frames and databases read them
    Parquet,
}

impl From<ReadingsFileFormat> for ReadingsFormat {
    fn from(format: ReadingsFileFormat) -> Self {
        match format {
            ReadingsFileFormat::Jsonl => Self::Lines(Format::Jsonl),
            ReadingsFileFormat::Csv => Self::Lines(Format::Csv),
            ReadingsFileFormat::Parquet => Self::Parquet,
        }
    }
}

/// Does the name of a file say that it is a Parquet file?
fn is_parquet(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("parquet"))
}

/// Carries it out. False where a line was refused and reported.
///
/// # Errors
/// The hub cannot be asked or does not answer, or the file cannot be read or written.
pub async fn run(DataArgs { action }: DataArgs) -> Result<bool> {
    match action {
        DataAction::Export(args) => export(&args).await.map(|()| true),
        DataAction::Import(args) => import(&args).await,
    }
}

async fn export(args: &ReadingsExportArgs) -> Result<()> {
    let hub = Remote::new(&args.hub)?;
    let named = || FileFormat::of_name(&args.file).map(|format| ReadingsFormat::Lines(format.into()));
    let named = || if is_parquet(&args.file) { Some(ReadingsFormat::Parquet) } else { named() };
    let format = args.format.map(ReadingsFormat::from).or_else(named).unwrap_or_default();
    let mut path = format!("/api/data/export?format={}", format.as_str());
    for (name, value) in [("from", &args.from), ("to", &args.to), ("sensor_type", &args.property)] {
        path.extend(parameter(name, value.as_deref()));
    }
    path.extend(parameter("min_quality", args.min_quality.map(|score| score.to_string()).as_deref()));
    if let Some(query) = &args.query {
        path = format!("{path}&{}", query.trim_start_matches(['?', '&']));
    }
    save(&hub, &path, &args.file).await
}

async fn import(args: &ReadingsImportArgs) -> Result<bool> {
    let zone = parameter("timezone", args.timezone.as_deref());
    let unknown = args.refuse_unknown.then_some("refuse");
    let parameters = zone.into_iter().chain(parameter("unknown", unknown)).collect();
    let way = ImportWay { parameters, lines: LINES, tokens: false, file: &args.file };
    if is_parquet(args.file.path()) {
        return parquet::import(way).await;
    }
    carry_out(&READINGS, way).await
}

/// `&name=value`; none without a value.
fn parameter(name: &str, value: Option<&str>) -> Option<String> {
    let value: String = form_urlencoded::byte_serialize(value?.as_bytes()).collect();
    Some(format!("&{name}={value}"))
}
