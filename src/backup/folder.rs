//! A folder of backups that the hub writes by itself: their names tell their times, and the oldest go.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use twinhub_domain::Timestamp;

use super::write::UNFINISHED;

/// The names of backups in such a folder: `twinhub-2026-12-01T08-30-00Z.tar`.
const BEGIN: &str = "twinhub-";
const END: &str = "Z.tar";

/// The name of a backup of this moment, in seconds. Names sort as their times do.
#[must_use]
pub fn name_at(now: Timestamp) -> String {
    let time = now.to_string();
    let seconds = time.split_once('.').map_or(&*time, |(seconds, _)| seconds).replace(':', "-");
    format!("{BEGIN}{seconds}{END}")
}

/// The time in such a name; none where it is another one.
fn time_of(name: &str) -> Option<Timestamp> {
    let time = name.strip_prefix(BEGIN)?.strip_suffix(END)?;
    let (date, time) = time.split_once('T')?;
    Timestamp::parse(&format!("{date}T{}Z", time.replace('-', ":")))
}

/// Is this the name of a backup of the hub's own?
#[must_use]
pub fn is_name(name: &str) -> bool {
    time_of(name).is_some()
}

/// A folder of backups.
#[derive(Clone, Debug)]
pub struct BackupFolder(PathBuf);

impl BackupFolder {
    /// The folder at `path`, which need not be there yet.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The backups in it and their times, the oldest first. Other files are passed over.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn backups(&self) -> io::Result<Vec<(Timestamp, PathBuf)>> {
        let entries = match fs::read_dir(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry?;
            if let Some(time) = entry.file_name().to_str().and_then(time_of) {
                found.push((time, entry.path()));
            }
        }
        found.sort();
        Ok(found)
    }

    /// Removes all but the newest `keep` backups, and what a killed program left half made.
    ///
    /// # Errors
    /// One cannot be removed.
    pub fn tidy(&self, keep: usize) -> io::Result<()> {
        let backups = self.backups()?;
        for (_, path) in &backups[..backups.len().saturating_sub(keep)] {
            fs::remove_file(path)?;
        }
        for entry in fs::read_dir(&self.0)? {
            let entry = entry?;
            let name = entry.file_name();
            let backup = name.to_str().and_then(|name| name.strip_suffix(UNFINISHED));
            if backup.and_then(time_of).is_some() && entry.file_type()?.is_dir() {
                fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_their_times() {
        let now = Timestamp::parse("2026-12-01T08:30:05.123Z").unwrap();
        assert_eq!(name_at(now), "twinhub-2026-12-01T08-30-05Z.tar");
        assert_eq!(time_of(&name_at(now)), Timestamp::parse("2026-12-01T08:30:05Z"));
        for other in
            ["twinhub-.tar", "twinhub-2026Z.tar", "mine.tar", "twinhub-2026-12-01T08-30-05Z.tar.part"]
        {
            assert_eq!(time_of(other), None, "{other}");
        }
    }

    #[test]
    fn the_newest_are_kept_and_other_files_left_alone() {
        let folder = tempfile::TempDir::new().unwrap();
        let backups = BackupFolder::new(folder.path().to_owned());
        let name = |second: i64| name_at(Timestamp::from_millis(second * 1_000));
        for file in [name(1), name(2), name(3), "mine.tar".into(), "notes".into()] {
            fs::write(folder.path().join(file), "").unwrap();
        }
        fs::create_dir(folder.path().join(name(4) + UNFINISHED)).unwrap();
        fs::create_dir(folder.path().join("mine.part")).unwrap();
        backups.tidy(2).unwrap();
        let mut left: Vec<String> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        let mut expected = vec![name(2), name(3), "mine.part".into(), "mine.tar".into(), "notes".into()];
        expected.sort();
        assert_eq!(left, expected);
        assert_eq!(backups.backups().unwrap().len(), 2);
        assert!(BackupFolder::new(folder.path().join("nowhere")).backups().unwrap().is_empty());
    }
}
