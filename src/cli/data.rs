//! `twinhub data`: readings out of a running hub.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};

use crate::cli::files::{FileFormat, save};
use crate::cli::remote::{HubArgs, Remote};
use crate::import_export::Format;

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
}

const EXPORT_HELP: &str = "Examples:

  twinhub data export readings.csv --from 2026-11-01 --to 2026-11-30
  twinhub data export --property temperature,humidity --query 'type=pump&tag.floor=2' | gzip > pumps.jsonl.gz

A file has its name once it is whole. Readings are in the order of devices and their times.";

/// The arguments of `data export`.
#[derive(Args)]
struct ReadingsExportArgs {
    /// The file; `-` is the standard output
    #[arg(value_name = "FILE", default_value = "-")]
    file: PathBuf,
    /// The format of the file [default: as the file's name says, or jsonl]
    #[arg(long, value_name = "FORMAT")]
    format: Option<FileFormat>,
    /// Only readings from this moment on: a time, or a date
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Only readings from before this moment; a date means to the end of that day [default: now]
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// Only these properties, parted by commas
    #[arg(long, value_name = "NAMES")]
    property: Option<String>,
    /// Only the devices that their list shows with these parameters: `type=pump&tag.floor=2`
    #[arg(long, value_name = "PARAMETERS")]
    query: Option<String>,
    #[command(flatten)]
    hub: HubArgs,
}

/// Does it.
///
/// # Errors
/// The hub cannot be asked or does not answer, or the file cannot be written.
pub async fn run(DataArgs { action: DataAction::Export(args) }: DataArgs) -> Result<()> {
    let hub = Remote::new(&args.hub)?;
    let format = args.format.or_else(|| FileFormat::of_name(&args.file)).map_or(Format::Jsonl, Format::from);
    let mut path = format!("/api/data/export?format={}", format.as_str());
    for (name, value) in [("from", &args.from), ("to", &args.to), ("sensor_type", &args.property)] {
        if let Some(value) = value {
            let value = form_urlencoded::byte_serialize(value.as_bytes()).collect::<String>();
            path = format!("{path}&{name}={value}");
        }
    }
    if let Some(query) = &args.query {
        path = format!("{path}&{}", query.trim_start_matches(['?', '&']));
    }
    save(&hub, &path, &args.file).await
}
