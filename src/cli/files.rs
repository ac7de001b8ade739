//! `twinhub devices import` and `export`: files that go into a running hub and come out of it.

mod export;
pub(crate) mod help;
mod import;
mod report;
mod upload;

use clap::{Args, Subcommand};

use crate::cli::rules::Failed;
use crate::import_export::columns::Table;

/// What is done with files of one kind of thing.
#[derive(Args, Debug)]
pub struct FilesArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Take in a file, line by line: JSON Lines or CSV
    Import(import::ImportArgs),
    /// Write a file that can be imported again
    Export(export::ExportArgs),
}

/// Does it. False where a line was refused: it was said already.
///
/// # Errors
/// A file cannot be read, or the hub be reached.
pub async fn run(table: &'static Table, args: FilesArgs) -> Result<bool, Failed> {
    let done = match args.action {
        Action::Import(args) => import::run(table, args).await,
        Action::Export(args) => export::run(table, args).await.map(|()| true),
    };
    done.map_err(Failed::Misused) // that a line was refused is no such failure
}

/// What a file is called in what is said: `-` is the standard input or output.
fn is_standard(file: &std::path::Path) -> bool {
    file.as_os_str() == "-"
}
