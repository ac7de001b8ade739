//! The last entry of a backup: what is in it.

use serde::{Deserialize, Serialize};
use twinhub_domain::Timestamp;

/// The version of what stands where in a backup.
pub const FORMAT: u32 = 1;

/// The list of what is in a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupManifest {
    pub format: u32,
    /// The version of the program that wrote it.
    pub twinhub: String,
    pub created_at: Timestamp,
    /// The last place in the sequence: everything in the backup is as it was after that event.
    pub seq: u64,
    /// Is the hub's own key in it?
    pub with_key: bool,
    /// All files, in the order in which they stand in it.
    pub files: Vec<BackedUpFile>,
}

/// A file in a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackedUpFile {
    /// Its place: `data/twinhub.db`.
    pub path: String,
    /// In bytes.
    pub size: u64,
    /// In hexadecimal digits.
    pub sha256: String,
}

impl BackupManifest {
    /// The bytes of all files.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }
}
