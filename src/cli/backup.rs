//! `twinhub backup`, `restore` and `verify`: all that a hub keeps, in one file and back.

use std::path::PathBuf;

use clap::Args;
use indicatif::HumanBytes;
use twinhub_actors::clock::HubClock;
use twinhub_domain::Clock as _;

use crate::backup::{self, BackupError, BackupManifest, BackupSource, Restored, Verified};
use crate::cli::print;
use crate::cli::rules::CommandFailed;
use crate::cli::work_bar::WorkBar;
use crate::config::{Config, Options};
use crate::startup::private;

/// The arguments of `backup`.
#[derive(Args)]
#[command(after_help = HELP)]
pub struct BackupArgs {
    /// The new file, or a folder in which it gets a name with its time
    #[arg(value_name = "FILE|DIR")]
    to: PathBuf,
    /// Leave the hub's key, its certificates' keys and the configuration out. The secrets in the backup open with that key
    /// alone, and without it no device, key or session of now is known any more
    #[arg(long)]
    without_key: bool,
    #[command(flatten)]
    options: Options,
}

const HELP: &str = "\
Give it the options that `serve` is started with, or none where they are in the file or the environment. A hub may run
meanwhile, and goes on: the backup is of one moment. Run it as the user who runs the hub.

It has the database, the firmware images, the rule files, the hub's own authority, its key and the configuration file, and is
written beside its name first, so that no part of a backup is taken for one. That takes twice its size for a while.";

/// The arguments of `restore`.
#[derive(Args)]
#[command(
    after_help = "It reads the backup once before it writes, so that a damaged one changes nothing. Start with\n\
    `--data-dir DIR` then."
)]
pub struct RestoreArgs {
    /// The backup
    #[arg(value_name = "FILE")]
    backup: PathBuf,
    /// The folder to fill; it must be empty, or not be there
    #[arg(value_name = "DIR", default_value = "data")]
    folder: PathBuf,
}

/// The arguments of `verify`.
#[derive(Args)]
#[command(after_help = "It unpacks the database into the folder for temporary files: TMPDIR names another.")]
pub struct VerifyArgs {
    /// The backup
    #[arg(value_name = "FILE")]
    backup: PathBuf,
}

/// Writes a backup.
///
/// # Errors
/// The configuration cannot be used, or there is no backup.
pub fn run(BackupArgs { to, without_key, options }: BackupArgs) -> Result<(), CommandFailed> {
    private::from_now_on();
    let config = Config::resolve(options).map_err(|error| CommandFailed::Misused(error.into()))?;
    let source = BackupSource::of(&config, !without_key).map_err(failed)?;
    let now = HubClock::new().now();
    let to = if to.is_dir() { to.join(backup::name_at(now)) } else { to };
    let bar = WorkBar::new();
    let written = backup::write(&source, &to, now, &mut |work, done, all| bar.tell(work, done, all));
    bar.end();
    let BackupManifest { seq, files, with_key, .. } = &written.map_err(failed)?;
    let size = to.metadata().map_or(0, |file| file.len());
    let key =
        if *with_key { "with the hub's key: keep it as you keep secrets" } else { "WITHOUT the hub's key" };
    let (to, files, size) = (to.display(), files.len(), HumanBytes(size));
    print(&format!("{to}: {size}, {files} files, up to event {seq}, {key}")).map_err(CommandFailed::Broke)
}

/// Makes a data folder of a backup.
///
/// # Errors
/// The backup cannot be used, or the folder is not empty.
pub fn run_restore(RestoreArgs { backup, folder }: &RestoreArgs) -> Result<(), CommandFailed> {
    private::from_now_on();
    let bar = WorkBar::new();
    let restored = backup::restore(backup, folder, &mut |work, done, all| bar.tell(work, done, all));
    bar.end();
    let Restored { manifest, rules, configuration } = restored.map_err(failed)?;
    let mut lines = vec![format!(
        "{}: the hub of {}, up to event {}; start it with --data-dir {}",
        folder.display(),
        manifest.created_at,
        manifest.seq,
        folder.display()
    )];
    if let Some(rules) = rules {
        lines.push(format!("its rule files: start with --rules {}", rules.display()));
    }
    if let Some(file) = configuration {
        lines.push(format!("its configuration: look through {}, and put it where you start", file.display()));
    }
    if !manifest.with_key {
        lines.push(
            "the hub's key is not in the backup: put the file secret.key of then into the folder, or secrets stay closed".to_owned(),
        );
    }
    print(&lines.join("\n")).map_err(CommandFailed::Broke)
}

/// Reads all of a backup.
///
/// # Errors
/// It is no backup, or damaged.
pub async fn run_verify(VerifyArgs { backup }: &VerifyArgs) -> Result<(), CommandFailed> {
    private::from_now_on();
    let bar = WorkBar::new();
    let verified = backup::verify(backup, &mut |work, done, all| bar.tell(work, done, all)).await;
    bar.end();
    let Verified { manifest, stored } = verified.map_err(failed)?;
    let text = format!(
        "{}: whole: {} files, {}; of {}, by twinhub {}, up to event {}, {} messages with readings, {} events in the journal{}",
        backup.display(),
        manifest.files.len(),
        HumanBytes(manifest.size()),
        manifest.created_at,
        manifest.twinhub,
        stored.seq,
        stored.messages,
        stored.events,
        if manifest.with_key { ", with the hub's key" } else { ", WITHOUT the hub's key" },
    );
    print(&text).map_err(CommandFailed::Broke)
}

fn failed(error: BackupError) -> CommandFailed {
    match error {
        BackupError::Exists { .. }
        | BackupError::NotEmpty { .. }
        | BackupError::NotSqlite { .. }
        | BackupError::NoDatabase { .. }
        | BackupError::NoBackup { .. }
        | BackupError::Newer { .. } => CommandFailed::Misused(error.into()),
        error => CommandFailed::Broke(error.into()),
    }
}
