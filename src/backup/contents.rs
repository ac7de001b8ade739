//! The files of a hub that belong into a backup.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::folder::is_name;
use super::write::UNFINISHED;
use super::{BackupError, CONFIGURATION, DATA, DATABASE, KEY, RULES, unreadable};
use crate::config::Config;
use crate::startup::key;

/// Files in a data folder that are of a running hub alone, or of the database, which is copied by itself.
const NOT_KEPT: [&str; 6] = ["lock", "local.key", "local.key.new", "instance", "instance.new", "secret.key"];
/// The folder in it where the hub puts its own backups.
pub const FOLDER: &str = "backups";

/// The places of what a backup has in it.
#[derive(Clone, Debug)]
pub struct BackupSource {
    pub data_dir: PathBuf,
    /// The database's file.
    pub database: PathBuf,
    /// The hub's key; none: it is left out, and with it the other secret files.
    pub key: Option<PathBuf>,
    /// The folder with rule files, which need not be there.
    pub rules: PathBuf,
    /// The folder of the backups that the hub writes by itself: no backup has others in it.
    pub backups: PathBuf,
    /// The configuration file. It may have passwords in it, and comes along with the key alone.
    pub configuration: Option<PathBuf>,
}

/// A file to be taken along.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SourceFile {
    pub from: PathBuf,
    /// Its place in the backup.
    pub name: String,
}

impl BackupSource {
    /// The places as a configuration has them.
    ///
    /// # Errors
    /// The database is no SQLite file.
    pub fn of(config: &Config, with_key: bool) -> Result<Self, BackupError> {
        let database = config.database.file();
        let database =
            database.ok_or_else(|| BackupError::NotSqlite { database: config.database.to_string() })?;
        Ok(Self {
            data_dir: config.data_dir.clone(),
            database,
            key: with_key.then(|| key::place(config.key_file.as_deref(), &config.data_dir)),
            rules: config.rules.clone(),
            backups: config.backups(),
            configuration: config.file.clone(),
        })
    }

    /// All files but the database, in an order that is always the same. Links are followed: a folder may lie on another disk.
    pub(super) fn files(&self) -> Result<Vec<SourceFile>, BackupError> {
        let (mut files, mut seen) = (Vec::new(), HashSet::new());
        self.add_folder(&self.data_dir, DATA, &mut seen, &mut files)?;
        if self.rules.is_dir() {
            self.add_folder(&self.rules, RULES, &mut seen, &mut files)?;
        }
        if let Some(key) = self.key.as_ref().filter(|key| key.is_file()) {
            files.push(SourceFile { from: key.clone(), name: KEY.to_owned() });
            if let Some(file) = &self.configuration {
                files.push(SourceFile { from: file.clone(), name: CONFIGURATION.to_owned() });
            }
        }
        files.sort_by(|one, other| one.name.cmp(&other.name));
        files.dedup_by(|one, other| one.name == other.name);
        Ok(files)
    }

    /// Adds a folder, unless it was seen: a link may lead back.
    fn add_folder(
        &self,
        folder: &Path,
        name: &str,
        seen: &mut HashSet<PathBuf>,
        files: &mut Vec<SourceFile>,
    ) -> Result<(), BackupError> {
        let place = folder.canonicalize().map_err(unreadable(folder))?;
        if self.backups.canonicalize().is_ok_and(|backups| backups == place) || !seen.insert(place) {
            return Ok(());
        }
        for entry in fs::read_dir(folder).map_err(unreadable(folder))? {
            let entry = entry.map_err(unreadable(folder))?;
            let from = entry.path();
            // A link that leads nowhere, and a file that has gone meanwhile, have nothing to be kept.
            let Ok(kind) = fs::metadata(&from) else { continue };
            // A name that is no text is none of ours.
            let Ok(own) = entry.file_name().into_string() else { continue };
            let name = format!("{name}/{own}");
            if is_unfinished(&from) {
                // A backup into the data folder is made there, and is no part of itself.
            } else if kind.is_dir() {
                self.add_folder(&from, &name, seen, files)?;
            } else if kind.is_file() && self.is_kept(&from, &name) {
                files.push(SourceFile { from, name });
            }
        }
        Ok(())
    }

    /// Not what is of a running hub alone, of the database, half written, or secret where the key is left out.
    fn is_kept(&self, from: &Path, name: &str) -> bool {
        let in_data = name.strip_prefix(DATA).map(|name| name.trim_start_matches('/'));
        let is_database = self.database.parent() == from.parent()
            && self.database.file_name().zip(from.file_name()).is_some_and(|(database, file)| {
                file.to_string_lossy().starts_with(&*database.to_string_lossy())
            });
        let is_secret = from.extension().is_some_and(|ending| ending == "key");
        !is_database
            && name != DATABASE
            && !in_data.is_some_and(|name| NOT_KEPT.contains(&name))
            && !from.file_name().and_then(|name| name.to_str()).is_some_and(is_name)
            && (self.key.is_some() || !is_secret)
    }
}

/// Was it not made to its end?
fn is_unfinished(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == UNFINISHED.trim_start_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(source: &BackupSource) -> Vec<String> {
        source.files().unwrap().into_iter().map(|file| file.name).collect()
    }

    #[test]
    fn all_that_a_hub_keeps_is_taken_along() {
        let folder = tempfile::TempDir::new().unwrap();
        let (data, rules) = (folder.path().join("data"), folder.path().join("rules"));
        for name in [
            "data/twinhub.db",
            "data/twinhub.db-wal",
            "data/twinhub.db.lock",
            "data/lock",
            "data/local.key",
            "data/secret.key",
            "data/firmware/7f",
            "data/firmware/80.part",
            "data/tls/ca.key",
            "data/tls/ca.pem",
            "data/backups/old.tar",
            "data/twinhub-2026-12-01T08-30-05Z.tar",
            "data/own.tar.part/archive",
            "rules/hall/a.yaml",
            "twinhub.toml",
        ] {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, name).unwrap();
        }
        // Links are followed, but for one that leads back and one that leads nowhere.
        let disk = folder.path().join("disk");
        fs::create_dir(&disk).unwrap();
        fs::write(disk.join("b.yaml"), "").unwrap();
        for (to, link) in
            [(&disk, "rules/more"), (&rules, "rules/again"), (&disk.join("x"), "rules/gone.yaml")]
        {
            std::os::unix::fs::symlink(to, folder.path().join(link)).unwrap();
        }
        let mut source = BackupSource {
            database: data.join("twinhub.db"),
            key: Some(data.join("secret.key")),
            rules,
            backups: data.join("backups"),
            configuration: Some(folder.path().join("twinhub.toml")),
            data_dir: data,
        };
        let open = ["data/firmware/7f", "data/tls/ca.pem", "rules/hall/a.yaml", "rules/more/b.yaml"];
        let secret = ["data/secret.key", "data/tls/ca.key", "twinhub.toml"];
        let mut all = [&open[..], &secret].concat();
        all.sort_unstable();
        assert_eq!(names(&source), all);
        source.key = None;
        assert_eq!(names(&source), open);
        source.rules = folder.path().join("nowhere");
        assert_eq!(names(&source), open[..2]);
    }
}
