//! A look at the disk: its space, and the hub's files on it.

use std::fs;
use std::path::{Path, PathBuf};

use super::DataPlaces;

/// The space of a file system, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskSpace {
    /// Free for the hub.
    pub free: u64,
    pub total: u64,
    /// Files that can be made; none where the file system has no such limit.
    pub free_files: Option<u64>,
}

/// The hub's files, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoredFiles {
    /// The database, with its log.
    pub database: u64,
    pub firmware: u64,
    /// The backups that the hub writes by itself.
    pub backups: u64,
}

impl DiskSpace {
    /// The space where the database lies, or will; none where that cannot be seen.
    #[must_use]
    pub fn at(places: &DataPlaces) -> Option<Self> {
        let folder = places.database.as_deref().and_then(Path::parent).unwrap_or(&places.data_dir);
        let folder = std::path::absolute(folder).ok()?;
        // The folder may not be there yet.
        let disk = folder.ancestors().find_map(|folder| rustix::fs::statvfs(folder).ok())?;
        Some(Self {
            free: disk.f_bavail.saturating_mul(disk.f_frsize),
            total: disk.f_blocks.saturating_mul(disk.f_frsize),
            free_files: (disk.f_files > 0).then_some(disk.f_favail),
        })
    }
}

impl StoredFiles {
    /// The files in these places. What is not there has no bytes.
    #[must_use]
    pub fn at(places: &DataPlaces) -> Self {
        let database = places.database.as_ref().map_or(0, |file| {
            let part = |ending: &str| {
                let mut name = file.clone().into_os_string();
                name.push(ending);
                fs::metadata(PathBuf::from(name)).map_or(0, |file| file.len())
            };
            ["", "-wal", "-shm"].into_iter().map(part).sum()
        });
        Self {
            database,
            firmware: folder(&places.data_dir.join("firmware")),
            backups: folder(&places.backups),
        }
    }
}

/// The bytes of the files in a folder.
fn folder(path: &Path) -> u64 {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.metadata().ok())
        .filter(fs::Metadata::is_file)
        .map(|file| file.len())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hubs_files_are_summed_by_kind() {
        let folder = tempfile::TempDir::new().unwrap();
        let data = folder.path().join("data");
        for (name, size) in
            [("twinhub.db", 7), ("twinhub.db-wal", 5), ("other", 100), ("firmware/a", 3), ("backups/b", 2)]
        {
            let path = data.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, vec![0; size]).unwrap();
        }
        let places = DataPlaces {
            database: Some(data.join("twinhub.db")),
            backups: data.join("backups"),
            data_dir: data,
        };
        assert_eq!(StoredFiles::at(&places), StoredFiles { database: 12, firmware: 3, backups: 2 });
        let space = DiskSpace::at(&places).unwrap();
        assert!(space.free > 0 && space.free <= space.total, "{space:?}");
    }
}
