//! One hub at a time: exclusive locks on the data folder and on the database's file. The kernel lets a lock go when
//! its process ends, however it ends, so a hub that was killed never stands in the way of the next start.
//!
//! The data folder has the file `lock`. A SQLite database, which need not lie in that folder, has a file beside it
//! (`twinhub.db.lock`), so that two hubs with folders of their own cannot use one database either. Each lock file
//! holds the process id of its owner.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use crate::config::Database;

/// The lock's name in the data folder.
const IN_FOLDER: &str = "lock";
/// The ending that is added to the name of a database's file.
const BESIDE_DATABASE: &str = ".lock";

/// The locks that are held while it lives.
#[derive(Debug)]
pub struct Locks {
    held: Vec<File>,
}

/// The reason why the locks cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error("{what} {} is in use by another twinhub{}: {remedy}", path.display(), by(holder.as_deref()))]
    Held { what: &'static str, path: PathBuf, holder: Option<String>, remedy: &'static str },
    #[error("cannot lock {}: {source}", path.display())]
    Unusable { path: PathBuf, source: io::Error },
}

fn by(holder: Option<&str>) -> String {
    holder.map(|pid| format!(" (process {pid})")).unwrap_or_default()
}

impl Locks {
    /// Locks the data folder, which must be there, and the database.
    ///
    /// # Errors
    /// Another process has one of them, or a lock file cannot be made.
    pub fn take(data_dir: &Path, database: &Database) -> Result<Self, LockError> {
        let remedy = "end that one first, or give this one a folder of its own with --data-dir";
        let folder =
            lock(&data_dir.join(IN_FOLDER)).map_err(|why| why.about("the data folder", data_dir, remedy))?;
        let mut locks = Self::of_database(database)?;
        locks.held.push(folder);
        Ok(locks)
    }

    /// Locks the database alone: for what works on it without a data folder.
    ///
    /// # Errors
    /// As [`Locks::take`].
    pub fn of_database(database: &Database) -> Result<Self, LockError> {
        let Some(file) = database.file() else { return Ok(Self { held: Vec::new() }) };
        let remedy = "end that one first, or name another database";
        let file = settled(&file);
        let mut name = OsString::from(&file);
        name.push(BESIDE_DATABASE);
        let beside = lock(Path::new(&name)).map_err(|why| why.about("the database", &file, remedy))?;
        Ok(Self { held: vec![beside] })
    }
}

/// The process that has the data folder locked; none where none has. It changes nothing.
#[must_use]
pub fn holder_of(data_dir: &Path) -> Option<u32> {
    let mut file = File::open(data_dir.join(IN_FOLDER)).ok()?;
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => holder(&mut file)?.parse().ok(),
        _ => None,
    }
}

/// The reason why one lock file cannot be taken.
enum LockFailure {
    Held(Option<String>),
    Unusable(PathBuf, io::Error),
}

impl LockFailure {
    fn about(self, what: &'static str, path: &Path, remedy: &'static str) -> LockError {
        match self {
            Self::Held(holder) => LockError::Held { what, path: path.into(), holder, remedy },
            Self::Unusable(path, source) => LockError::Unusable { path, source },
        }
    }
}

fn lock(path: &Path) -> Result<File, LockFailure> {
    let unusable = |source| LockFailure::Unusable(path.into(), source);
    // Not truncated: it may be another's, whose process id stands in it.
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(unusable)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(LockFailure::Held(holder(&mut file))),
        Err(TryLockError::Error(source)) => return Err(unusable(source)),
    }
    let write = |file: &mut File| {
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())
    };
    // The holder's id is there for people; the lock holds without it (a full disk).
    if let Err(error) = write(&mut file) {
        tracing::warn!(path = %path.display(), %error, "could not write the process id into the lock file");
    }
    Ok(file)
}

/// The process that holds the lock, where it has written that down.
fn holder(file: &mut File) -> Option<String> {
    let mut text = String::new();
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse::<u32>().ok().map(|pid| pid.to_string())
}

/// The file by its one true path, so that links to it lead to the same lock. It need not be there yet.
fn settled(file: &Path) -> PathBuf {
    if let Ok(path) = file.canonicalize() {
        return path;
    }
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match (folder.canonicalize(), file.file_name()) {
        (Ok(folder), Some(name)) => folder.join(name),
        _ => file.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(dir: &Path, database: &Path) -> Result<Locks, String> {
        Locks::take(dir, &Database::File(database.into())).map_err(|error| error.to_string())
    }

    #[test]
    fn a_folder_is_locked_once_and_free_again_afterwards() {
        let dir = tempfile::tempdir().unwrap();
        let database = dir.path().join("twinhub.db");
        let first = take(dir.path(), &database).unwrap();
        let text = take(dir.path(), &database).unwrap_err();
        let expected = format!(
            "the data folder {} is in use by another twinhub (process {}): end that one first",
            dir.path().display(),
            std::process::id()
        );
        assert!(text.starts_with(&expected), "{text}");
        assert_eq!(holder_of(dir.path()), Some(std::process::id()));
        drop(first);
        assert_eq!(holder_of(dir.path()), None);
        drop(take(dir.path(), &database).unwrap());
    }

    #[test]
    fn a_database_in_memory_has_no_lock() {
        for url in ["sqlite::memory:", "sqlite://x?mode=memory"] {
            assert!(Locks::of_database(&Database::Url(url.into())).unwrap().held.is_empty(), "{url}");
        }
    }

    #[test]
    fn a_database_is_locked_whatever_path_leads_to_it() {
        let dir = tempfile::tempdir().unwrap();
        let folder = |name: &str| {
            let path = dir.path().join(name);
            std::fs::create_dir(&path).unwrap();
            path
        };
        let (one, other, shared) = (folder("one"), folder("other"), folder("shared"));
        let database = shared.join("twins.db");
        std::fs::write(&database, "").unwrap();
        let link = dir.path().join("link.db");
        std::os::unix::fs::symlink(&database, &link).unwrap();
        let url = Database::Url(format!("sqlite://{}?mode=rwc", link.display()));
        let first = Locks::take(&one, &url).unwrap();
        let text = take(&other, &database).unwrap_err();
        assert!(text.starts_with(&format!("the database {} is in use", database.display())), "{text}");
        drop(first);
        drop(take(&other, &database).unwrap());
    }
}
