//! `export`: what a running hub has, as a file that can be imported again.

use std::fs::File;
use std::io::{BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Args;
use futures_util::StreamExt as _;
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};

use super::import::FileFormat;
use super::is_standard;
use crate::cli::remote::{HubArgs, Remote};
use crate::import_export::Format;
use crate::import_export::columns::Table;

/// The arguments of `export`.
#[derive(Args, Debug)]
pub struct ExportArgs {
    /// The file; `-` is the standard output
    #[arg(value_name = "FILE", default_value = "-")]
    file: PathBuf,
    /// The format of the file [default: as the file's name says, or jsonl]
    #[arg(long, value_name = "FORMAT")]
    format: Option<FileFormat>,
    /// With the columns that only the hub writes: an import passes over them
    #[arg(long)]
    all: bool,
    /// Only those that the list shows with these parameters: `type=pump&tag.floor=2`
    #[arg(long, value_name = "PARAMETERS")]
    query: Option<String>,
    #[command(flatten)]
    hub: HubArgs,
}

/// Exports.
pub async fn run(table: &'static Table, args: ExportArgs) -> Result<()> {
    let hub = Remote::new(&args.hub)?;
    let format = args.format.or_else(|| FileFormat::of_name(&args.file)).map_or(Format::Jsonl, Format::from);
    let mut path = format!("/api/{}/export?format={}&all={}", table.name, format.as_str(), args.all);
    if let Some(query) = &args.query {
        path = format!("{path}&{}", query.trim_start_matches(['?', '&']));
    }
    save(&hub, &path, &args.file).await
}

/// Downloads what is at `path` into a file, which has its name once it is whole; `-` is the standard output.
pub(in crate::cli) async fn save(hub: &Remote, path: &str, file: &Path) -> Result<()> {
    let (warnings, pieces) = hub.download(path).await?;
    for warning in warnings {
        eprintln!("warning: {warning}");
    }
    if is_standard(file) {
        return copy(Box::pin(pieces), &mut std::io::stdout().lock()).await.map(|_| ());
    }
    let name = file.display();
    let unfinished = unfinished(file);
    let part = File::create(&unfinished).with_context(|| format!("cannot write {}", unfinished.display()))?;
    let mut part = BufWriter::new(part);
    let written = copy(Box::pin(pieces), &mut part).await.and_then(|size| {
        let part = part.into_inner().map_err(std::io::IntoInnerError::into_error);
        part.and_then(|part| part.sync_all()).with_context(|| format!("cannot write {name}"))?;
        std::fs::rename(&unfinished, file).with_context(|| format!("cannot write {name}"))?;
        Ok(size)
    });
    match written {
        Ok(size) => {
            eprintln!("{name}: {}", HumanBytes(size));
            Ok(())
        }
        Err(error) => {
            let _ = std::fs::remove_file(&unfinished); // a part is no export
            Err(error)
        }
    }
}

/// Copies what comes; how many bytes it was.
async fn copy(
    mut pieces: impl futures_util::Stream<Item = Result<bytes::Bytes>> + Unpin,
    to: &mut impl Write,
) -> Result<u64> {
    let style = ProgressStyle::with_template("{spinner} {bytes}, {bytes_per_sec}");
    let bar =
        ProgressBar::new_spinner().with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    let mut size = 0;
    while let Some(piece) = pieces.next().await {
        let piece = piece?;
        match to.write_all(&piece) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => break, // `… export | head`
            done => done.context("cannot write")?,
        }
        size += piece.len() as u64;
        bar.set_position(size);
    }
    match to.flush() {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => return Err(error).context("cannot write"),
        _ => {}
    }
    bar.finish_and_clear();
    Ok(size)
}

/// Where a file stands until it is whole: beside it.
fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    path.with_file_name(name)
}
