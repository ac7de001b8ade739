//! Files with secrets, written whole or not at all.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::SystemTime;

use super::TlsError;

/// The state of a file, by which a change is seen: its inode, length and time of change. None where there is none.
pub(super) type FileStamp = Option<(u64, u64, Option<SystemTime>)>;

/// The present state of the file that `path` leads to.
pub(super) fn stamp(path: &Path) -> FileStamp {
    let data = fs::metadata(path).ok()?;
    Some((data.ino(), data.len(), data.modified().ok()))
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|source| TlsError::Unreadable { path: path.to_owned(), source })
}

/// Writes a file that its owner alone may read.
pub(super) fn write_private(path: &Path, text: &str) -> Result<(), TlsError> {
    let write = || -> io::Result<()> {
        let fresh = path.with_extension("new");
        let _ = fs::remove_file(&fresh); // there is none but after a crash
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&fresh, path)
    };
    write().map_err(|source| TlsError::Unwritable { path: path.to_owned(), source })
}
