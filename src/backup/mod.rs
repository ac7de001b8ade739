//! Backups: all that a hub keeps, in one file.
//!
//! A backup is a tar archive, which any tool shows. Its first entry says in words what it is, its last, `manifest.json`, lists
//! each file with its size and SHA-256 hash, and tells the place in the sequence that all of it is true to. The database is
//! copied as it is at one moment, while the hub goes on; firmware images never change, and are taken before and after.
//!
//! The hub's own key comes along unless it is left out: without it the sealed secrets of the backup cannot be opened, and no
//! device, key or session of then is known any more.
//!
//! A file is written beside its name and renamed once it is durable, so that no part of a backup is taken for one. It knows
//! no HTTP; the command line and the schedule share it.

mod contents;
mod folder;
mod manifest;
mod read;
mod restore;
mod write;

use std::io;
use std::path::{Path, PathBuf};

use twinhub_store::StoreError;

pub use self::contents::{BackupSource, FOLDER};
pub use self::folder::{BackupFolder, is_name, name_at};
pub use self::manifest::{BackedUpFile, BackupManifest};
pub use self::read::{Verified, verify};
pub use self::restore::{Restored, is_half_restored, restore};
pub use self::write::write;

/// The name of a backup's first entry.
const ABOUT: &str = "about-this-backup.txt";
/// The name of its last.
const MANIFEST: &str = "manifest.json";
/// The folders in it: the data folder, and the rule files.
const DATA: &str = "data";
const RULES: &str = "rules";
/// The names of the database, the hub's key and the configuration in it.
const DATABASE: &str = "data/twinhub.db";
const KEY: &str = "data/secret.key";
const CONFIGURATION: &str = "twinhub.toml";

/// It is told what is being done, and how much of how much is done.
pub type Progress<'a> = dyn FnMut(&'static str, u64, u64) + Send + 'a;

/// The reason why there is no backup, or none that can be used.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("{} is there already: a backup never takes the place of another file", path.display())]
    Exists { path: PathBuf },
    #[error("only a SQLite database can be backed up by twinhub: use the tools of {database}")]
    NotSqlite { database: String },
    #[error("there is no database at {} yet", path.display())]
    NoDatabase { path: PathBuf },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{} is no backup of twinhub: {why}", path.display())]
    NoBackup { path: PathBuf, why: String },
    #[error("the backup {} is damaged: {what}", path.display())]
    Damaged { path: PathBuf, what: String },
    #[error("the backup {} is of format {format}, and this program knows {} alone: use the version that wrote it, {version}",
        path.display(), manifest::FORMAT)]
    Newer { path: PathBuf, format: u32, version: String },
    #[error("{} holds {found} already: a backup is restored into an empty folder", folder.display())]
    NotEmpty { folder: PathBuf, found: String },
}

/// Reading failed at this path.
fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> BackupError {
    move |source| BackupError::Read { path: path.to_owned(), source }
}

/// Writing failed at this path.
fn unwritable(path: &Path) -> impl FnOnce(io::Error) -> BackupError {
    move |source| BackupError::Write { path: path.to_owned(), source }
}
