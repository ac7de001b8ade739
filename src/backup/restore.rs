//! Making a data folder of a backup.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Component, Path, PathBuf};

use super::write::sync_folder_of;
use super::{
    BackupError, BackupManifest, CONFIGURATION, DATA, Progress, RULES, read, unreadable, unwritable,
};

/// The file that lies in a folder while it is being filled: no hub starts on such a folder.
const RESTORING: &str = "restore-unfinished";

/// A folder that was made of a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    pub manifest: BackupManifest,
    /// The folder of the rule files of then, if there were any.
    pub rules: Option<PathBuf>,
    /// The configuration file of then, if it came along.
    pub configuration: Option<PathBuf>,
}

/// Makes the data folder `folder` of a backup. It must be empty, or not be there. The backup is read once before anything is
/// written, so that no damaged one is restored. Blocks.
///
/// # Errors
/// The backup is damaged, or the folder is not empty or cannot be written.
pub fn restore(backup: &Path, folder: &Path, progress: &mut Progress<'_>) -> Result<Restored, BackupError> {
    check_empty(folder)?;
    read::read(backup, progress, &mut |name, _| place(folder, name).map(drop))?;
    private_folders(folder).map_err(unwritable(folder))?;
    let unfinished = folder.join(RESTORING);
    let mark =
        create(&unfinished).and_then(|file| file.sync_all()).and_then(|()| sync_folder_of(&unfinished));
    mark.map_err(unwritable(&unfinished))?;
    let mut restored = (None, None);
    let manifest = read::read(backup, progress, &mut |name, content| {
        let to = place(folder, name)?;
        private_folders(to.parent().unwrap_or(folder))?;
        let mut file = create(&to)?;
        io::copy(content, &mut file)?;
        file.sync_all()?;
        sync_folder_of(&to)?;
        if name == CONFIGURATION {
            restored.1 = Some(to);
        } else if name.strip_prefix(RULES).is_some_and(|name| name.starts_with('/')) {
            restored.0 = Some(folder.join(RULES));
        }
        Ok(())
    })?;
    fs::remove_file(&unfinished)
        .and_then(|()| sync_folder_of(&unfinished))
        .map_err(unwritable(&unfinished))?;
    Ok(Restored { manifest, rules: restored.0, configuration: restored.1 })
}

/// Is the folder a part of a backup that was not restored to its end?
#[must_use]
pub fn is_half_restored(folder: &Path) -> bool {
    folder.join(RESTORING).exists()
}

fn check_empty(folder: &Path) -> Result<(), BackupError> {
    match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(unreadable(folder)(error)),
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(Err(error)) => Err(unreadable(folder)(error)),
            Some(Ok(entry)) if entry.file_name() == RESTORING => Err(BackupError::NotEmpty {
                folder: folder.to_owned(),
                found: "a part of a backup that was not restored to its end (remove that folder)".to_owned(),
            }),
            Some(Ok(entry)) => Err(BackupError::NotEmpty {
                folder: folder.to_owned(),
                found: entry.file_name().to_string_lossy().into_owned(),
            }),
        },
    }
}

/// The place of a file of a backup: what was in the data folder is in the folder itself, the rest beside it.
fn place(folder: &Path, name: &str) -> io::Result<PathBuf> {
    let own = name.strip_prefix(DATA).and_then(|name| name.strip_prefix('/')).unwrap_or(name);
    let path = Path::new(own);
    if own.is_empty() || !path.components().all(|part| matches!(part, Component::Normal(_))) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "its name leads out of the folder"));
    }
    Ok(folder.join(path))
}

fn private_folders(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}
