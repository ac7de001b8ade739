//! The files of a hub that belong into a backup.

use std::fs;
use std::path::{Path, PathBuf};

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
            configuration: config.file.clone(),
        })
    }

    /// All files but the database, in an order that is always the same.
    pub(super) fn files(&self) -> Result<Vec<SourceFile>, BackupError> {
        let mut files = Vec::new();
        self.add_folder(&self.data_dir, DATA, &mut files)?;
        if self.rules.is_dir() {
            self.add_folder(&self.rules, RULES, &mut files)?;
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

    fn add_folder(&self, folder: &Path, name: &str, files: &mut Vec<SourceFile>) -> Result<(), BackupError> {
        for entry in fs::read_dir(folder).map_err(unreadable(folder))? {
            let entry = entry.map_err(unreadable(folder))?;
            let (from, kind) = (entry.path(), entry.file_type().map_err(unreadable(folder))?);
            // A name that is no text is none of ours.
            let Ok(own) = entry.file_name().into_string() else { continue };
            let name = format!("{name}/{own}");
            if kind.is_dir() && name != format!("{DATA}/{FOLDER}") {
                self.add_folder(&from, &name, files)?;
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
            && from.extension().is_none_or(|ending| ending != "part")
            && (self.key.is_some() || !is_secret)
    }
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
            "rules/hall/a.yaml",
            "twinhub.toml",
        ] {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, name).unwrap();
        }
        let mut source = BackupSource {
            database: data.join("twinhub.db"),
            key: Some(data.join("secret.key")),
            rules,
            configuration: Some(folder.path().join("twinhub.toml")),
            data_dir: data,
        };
        let open = ["data/firmware/7f", "data/tls/ca.pem", "rules/hall/a.yaml"];
        let secret = ["data/secret.key", "data/tls/ca.key", "twinhub.toml"];
        let mut all = [open, secret].concat();
        all.sort_unstable();
        assert_eq!(names(&source), all);
        source.key = None;
        assert_eq!(names(&source), open);
        source.rules = folder.path().join("nowhere");
        assert_eq!(names(&source), open[..2]);
    }
}
