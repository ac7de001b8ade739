//! Writing a backup.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType, Header};
use twinhub_domain::Timestamp;
use twinhub_domain::text::hex;
use twinhub_store::sql::copy_database;

use super::contents::SourceFile;
use super::manifest::FORMAT;
use super::{
    ABOUT, BackedUpFile, BackupError, BackupManifest, BackupSource, DATABASE, MANIFEST, Progress, unreadable,
    unwritable,
};

const TEXT: &str = "\
A backup of a twinhub, a hub for twins of devices.

twinhub verify FILE          reads all of it, and says whether it is whole
twinhub restore FILE DIR     makes a data folder of it: start with --data-dir DIR

manifest.json, at its end, lists the files with their hashes. A backup with the hub's key (data/secret.key)
opens all secrets that the hub keeps: treat it as you treat them.
";
/// The rights of a backup and of the files in it: its owner's alone.
const PRIVATE: u32 = 0o600;
const PRIVATE_FOLDER: u32 = 0o700;
/// The interval in which a person is told how far the copy of the database is.
const TELL_EVERY: Duration = Duration::from_millis(200);
/// The part of a backup's name that says that it is not whole.
pub(super) const UNFINISHED: &str = ".part";

/// Writes a backup into the new file `to`, with `now` as its time. A hub that runs goes on meanwhile. Blocks.
///
/// # Errors
/// Names what cannot be read or written; `to` is not there then.
pub fn write(
    source: &BackupSource,
    to: &Path,
    now: Timestamp,
    progress: &mut Progress<'_>,
) -> Result<BackupManifest, BackupError> {
    if to.exists() {
        return Err(BackupError::Exists { path: to.to_owned() });
    }
    if !source.database.is_file() {
        return Err(BackupError::NoDatabase { path: source.database.clone() });
    }
    let workshop = Workshop::make(to).map_err(unwritable(to))?;
    let manifest = write_archive(source, &workshop, now, progress)?;
    // It fails where another file has come to be there.
    match fs::hard_link(workshop.archive(), to) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists || to.exists() => {
            return Err(BackupError::Exists { path: to.to_owned() });
        }
        // A disk of the network, or a stick, may know no second names.
        Err(_) => fs::rename(workshop.archive(), to).map_err(unwritable(to))?,
    }
    sync_folder_of(to).map_err(unwritable(to))?;
    Ok(manifest)
}

/// The folder beside a backup in which it is made, until this is dropped. What a killed program left in it is removed by the next.
struct Workshop(PathBuf);

impl Workshop {
    fn make(backup: &Path) -> io::Result<Self> {
        let mut name = backup.file_name().unwrap_or_default().to_owned();
        name.push(UNFINISHED);
        let folder = backup.with_file_name(name);
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        DirBuilder::new().mode(PRIVATE_FOLDER).create(&folder)?;
        Ok(Self(folder))
    }

    fn archive(&self) -> PathBuf {
        self.0.join("archive")
    }

    fn database(&self) -> PathBuf {
        self.0.join("database")
    }

    /// Gives the firmware images second names, so that one that is deleted meanwhile stays, and gives these. Images of another
    /// file system are copied.
    fn keep_images(&self, files: &BTreeMap<String, SourceFile>) -> io::Result<BTreeMap<String, PathBuf>> {
        let mut kept = BTreeMap::new();
        for file in files.values().filter(|file| file.name.starts_with("data/firmware/")) {
            let to = self.0.join(format!("image-{}", kept.len()));
            match fs::hard_link(&file.from, &to).or_else(|_| fs::copy(&file.from, &to).map(drop)) {
                Ok(()) => drop(kept.insert(file.name.clone(), to)),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(kept)
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0); // what is left of it is no backup, and the next removes it
    }
}

fn write_archive(
    source: &BackupSource,
    workshop: &Workshop,
    now: Timestamp,
    progress: &mut Progress<'_>,
) -> Result<BackupManifest, BackupError> {
    // Images that are there before the database is copied, and those that came until then: none that it names is missing.
    let mut files = by_name(source.files()?);
    let kept = workshop.keep_images(&files).map_err(unwritable(&workshop.0))?;
    let seq = copy(&source.database, &workshop.database(), progress)?;
    files.extend(by_name(source.files()?));
    for (name, from) in kept {
        files.insert(name.clone(), SourceFile { from, name });
    }
    let database = SourceFile { from: workshop.database(), name: DATABASE.to_owned() };
    let files: Vec<SourceFile> = std::iter::once(database).chain(files.into_values()).collect();

    let to = workshop.archive();
    let create = OpenOptions::new().write(true).create_new(true).mode(PRIVATE).open(&to);
    let mut archive = Builder::new(BufWriter::new(create.map_err(unwritable(&to))?));
    append(&mut archive, ABOUT, TEXT.as_bytes(), TEXT.len(), now).map_err(unwritable(&to))?;
    let all: u64 = files.iter().filter_map(|file| file.from.metadata().ok()).map(|file| file.len()).sum();
    let (mut done, mut listed) = (0, Vec::new());
    for SourceFile { from, name } in files {
        let mut told = |bytes| {
            done += bytes;
            progress("writing", done, all);
        };
        if let Some(file) = append_file(&mut archive, &to, &from, name, now, &mut told)? {
            listed.push(file);
        }
    }
    let manifest = BackupManifest {
        format: FORMAT,
        twinhub: env!("CARGO_PKG_VERSION").to_owned(),
        created_at: now,
        seq,
        with_key: source.key.is_some(),
        files: listed,
    };
    let text = serde_json::to_vec_pretty(&manifest).map_err(|error| unwritable(&to)(error.into()))?;
    let ended = append(&mut archive, MANIFEST, &*text, text.len(), now)
        .and_then(|()| archive.into_inner())
        .and_then(|file| file.into_inner().map_err(io::IntoInnerError::into_error))
        .and_then(|file| file.sync_all());
    ended.map_err(unwritable(&to))?;
    Ok(manifest)
}

/// Copies the database, and gives the last place in its sequence.
fn copy(from: &Path, to: &Path, progress: &mut Progress<'_>) -> Result<u64, BackupError> {
    let (done, all) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (done_here, all_here) = (Arc::clone(&done), Arc::clone(&all));
    std::thread::scope(|scope| {
        let caller = std::thread::current();
        let copying = scope.spawn(move || {
            let copied = copy_database(from, to, move |written, of| {
                done_here.store(written, Ordering::Relaxed);
                all_here.store(of, Ordering::Relaxed);
            });
            caller.unpark();
            copied
        });
        while !copying.is_finished() {
            std::thread::park_timeout(TELL_EVERY);
            progress("copying the database", done.load(Ordering::Relaxed), all.load(Ordering::Relaxed));
        }
        match copying.join() {
            Ok(copied) => Ok(copied?),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

fn by_name(files: Vec<SourceFile>) -> BTreeMap<String, SourceFile> {
    files.into_iter().map(|file| (file.name.clone(), file)).collect()
}

/// Appends a file; none where it has gone meanwhile.
fn append_file<W: Write>(
    archive: &mut Builder<W>,
    to: &Path,
    from: &Path,
    path: String,
    now: Timestamp,
    told: &mut dyn FnMut(u64),
) -> Result<Option<BackedUpFile>, BackupError> {
    let file = match File::open(from) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(unreadable(from))?,
    };
    let size = file.metadata().map_err(unreadable(from))?.len();
    let mut content = HashedReader { content: file.take(size), hash: Sha256::new(), told };
    append(archive, &path, &mut content, usize::try_from(size).unwrap_or(usize::MAX), now)
        .map_err(unwritable(to))?;
    if content.content.limit() > 0 {
        let source = io::Error::new(ErrorKind::UnexpectedEof, "it became shorter meanwhile: try again");
        return Err(BackupError::Read { path: from.to_owned(), source });
    }
    Ok(Some(BackedUpFile { path, size, sha256: hex(&content.hash.finalize()) }))
}

fn append<W: Write>(
    archive: &mut Builder<W>,
    name: &str,
    content: impl Read,
    size: usize,
    now: Timestamp,
) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Regular);
    header.set_size(size as u64);
    header.set_mode(PRIVATE);
    header.set_mtime(u64::try_from(now.millis() / 1_000).unwrap_or_default());
    archive.append_data(&mut header, name, content)
}

/// A content that is hashed as it is read.
pub(super) struct HashedReader<'a, R> {
    pub content: R,
    pub hash: Sha256,
    /// It is told the number of bytes of each read.
    pub told: &'a mut dyn FnMut(u64),
}

impl<R: Read> Read for HashedReader<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.content.read(buffer)?;
        self.hash.update(buffer.get(..read).unwrap_or_default());
        (self.told)(read as u64);
        Ok(read)
    }
}

/// Makes the names in the folder of `path` durable.
pub(super) fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}
