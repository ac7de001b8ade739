//! `twinhub devices import` and `export`: files that go into a running hub and come out of it.

mod export;
pub(crate) mod help;
mod import;
mod plain_input;
mod report;
mod upload;

pub(in crate::cli) use self::export::save;
pub(in crate::cli) use self::import::{FileFormat, ImportWay, ImportedFileArgs, carry_out};

use clap::{Args, Subcommand};

use crate::cli::rules::CommandFailed;
use crate::import_export::columns::Table;

/// The commands for files of one kind of thing.
#[derive(Args, Debug)]
pub struct FilesArgs {
    #[command(subcommand)]
    action: FilesAction,
}

/// An action with a file.
#[derive(Debug, Subcommand)]
pub enum FilesAction {
    /// Take in a file, line by line: JSON Lines or CSV
    Import(import::ImportArgs),
    /// Write a file that can be imported again
    Export(export::ExportArgs),
}

/// Carries it out. False where a line was refused and reported.
///
/// # Errors
/// A file cannot be read, or the hub be reached.
pub async fn run(table: &'static Table, args: FilesArgs) -> Result<bool, CommandFailed> {
    run_action(table, args.action).await
}

/// The same for one of the actions.
///
/// # Errors
/// As [`run`].
pub async fn run_action(table: &'static Table, action: FilesAction) -> Result<bool, CommandFailed> {
    let done = match action {
        FilesAction::Import(args) => import::run(table, args).await,
        FilesAction::Export(args) => export::run(table, args).await.map(|()| true),
    };
    done.map_err(CommandFailed::Misused) // that a line was refused is no such failure
}

/// Is this file the standard input or output, `-`?
fn is_standard(file: &std::path::Path) -> bool {
    file.as_os_str() == "-"
}
