//! Reading a backup: all of it, against its list.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use sha2::{Digest as _, Sha256};
use tar::Archive;
use tempfile::TempDir;
use twinhub_domain::text::hex;
use twinhub_store::SqlStore;
use twinhub_store::sql::{SqlOptions, StoredAmount};

use super::manifest::FORMAT;
use super::write::HashedReader;
use super::{ABOUT, BackupError, BackupManifest, DATABASE, MANIFEST, Progress, unreadable, unwritable};
use crate::config::Database;

/// A longer list of files is none.
const LONGEST_MANIFEST: u64 = 64 << 20;

/// A backup that is whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    pub manifest: BackupManifest,
    /// The content of its database, all of which could be read.
    pub stored: StoredAmount,
}

/// Reads all of a backup: the hashes of its files, its database and all that is stored in that. It is unpacked into the folder
/// for temporary files (`TMPDIR`).
///
/// # Errors
/// It is no backup, or damaged: the error says where.
pub async fn verify(path: &Path, progress: &mut Progress<'_>) -> Result<Verified, BackupError> {
    let folder = TempDir::with_prefix("twinhub-verify-").map_err(unwritable(&std::env::temp_dir()))?;
    let database = folder.path().join("twinhub.db");
    let manifest = read(path, progress, &mut |name, content| {
        if name == DATABASE {
            let mut file = File::create_new(&database)?;
            io::copy(content, &mut file)?;
        }
        Ok(())
    })?;
    let damaged = |what| BackupError::Damaged { path: path.to_owned(), what };
    let options = SqlOptions { migrate: false, ..SqlOptions::default() };
    let store = SqlStore::open(&Database::File(database).url(), options).await;
    let store = store.map_err(|error| damaged(error.to_string()))?;
    let looked = async {
        progress("checking the database", 0, 0);
        if let Some(damage) = store.damages().await?.into_iter().next() {
            return Ok(Err(damage));
        }
        store.look_through(|read, all| progress("reading what is stored", read, all)).await.map(Ok)
    };
    let looked = looked.await;
    store.close().await;
    let stored = match looked {
        Ok(Ok(stored)) => stored,
        Ok(Err(damage)) => return Err(damaged(damage)),
        Err(error) => return Err(damaged(error.to_string())),
    };
    if stored.seq != manifest.seq {
        return Err(damaged(format!("its database ends at {}, and not at {}", stored.seq, manifest.seq)));
    }
    Ok(Verified { manifest, stored })
}

/// Reads all files of a backup and compares them with its list. `take` is given each, by its name.
pub(super) fn read(
    path: &Path,
    progress: &mut Progress<'_>,
    take: &mut dyn FnMut(&str, &mut dyn Read) -> io::Result<()>,
) -> Result<BackupManifest, BackupError> {
    let no_backup = |why: String| BackupError::NoBackup { path: path.to_owned(), why };
    let damaged = |what: String| BackupError::Damaged { path: path.to_owned(), what };
    let file = File::open(path).map_err(unreadable(path))?;
    let all = file.metadata().map_err(unreadable(path))?.len();
    let mut archive = Archive::new(BufReader::new(file));
    let (mut found, mut manifest, mut done) = (HashMap::new(), None, 0);
    let mut is_first = true;
    for entry in archive.entries().map_err(unreadable(path))? {
        let mut entry = match entry {
            Ok(entry) => entry,
            Err(error) if is_first => return Err(no_backup(error.to_string())),
            Err(error) => return Err(damaged(error.to_string())),
        };
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if is_first && name != ABOUT {
            return Err(no_backup(format!("it begins with {name}")));
        }
        is_first = false;
        if name == MANIFEST {
            let mut text = Vec::new();
            entry
                .take(LONGEST_MANIFEST)
                .read_to_end(&mut text)
                .map_err(|error| damaged(error.to_string()))?;
            manifest = Some(parse(path, &text)?);
            continue;
        }
        let mut told = |bytes| {
            done += bytes;
            progress("reading", done, all);
        };
        let mut content = HashedReader { content: &mut entry, hash: Sha256::new(), told: &mut told };
        if name != ABOUT {
            take(&name, &mut content).map_err(|error| damaged(format!("{name}: {error}")))?;
        }
        let size = io::copy(&mut content, &mut io::sink());
        size.map_err(|error| damaged(format!("{name}: {error}")))?;
        let hash = hex(&content.hash.finalize());
        found.insert(name, hash);
    }
    if is_first {
        return Err(no_backup("it is empty".to_owned()));
    }
    let manifest = manifest.ok_or_else(|| damaged("it ends before its list of files".to_owned()))?;
    for file in &manifest.files {
        match found.get(&file.path) {
            None => return Err(damaged(format!("{} is missing", file.path))),
            Some(hash) if *hash != file.sha256 => {
                return Err(damaged(format!("{} is not what was backed up: its hash is another", file.path)));
            }
            Some(_) => {}
        }
    }
    if !found.contains_key(DATABASE) {
        return Err(damaged(format!("{DATABASE} is missing")));
    }
    Ok(manifest)
}

fn parse(path: &Path, text: &[u8]) -> Result<BackupManifest, BackupError> {
    #[derive(serde::Deserialize)]
    struct ManifestVersion {
        format: u32,
        twinhub: String,
    }
    let damaged = |error: serde_json::Error| BackupError::Damaged {
        path: path.to_owned(),
        what: format!("{MANIFEST}: {error}"),
    };
    let ManifestVersion { format, twinhub } = serde_json::from_slice(text).map_err(damaged)?;
    if format != FORMAT {
        return Err(BackupError::Newer { path: path.to_owned(), format, version: twinhub });
    }
    serde_json::from_slice(text).map_err(damaged)
}
