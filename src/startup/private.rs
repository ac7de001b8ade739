//! What the hub keeps is its owner's alone: its folder is 0700 and its files are 0600.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::Mode;
use tracing::{info, warn};

use crate::config::Database;

const FOLDER: u32 = 0o700;
const FILE: u32 = 0o600;
/// Everything in a data folder that is ours, but for the parts of a database.
const OURS: [&str; 7] =
    ["firmware", "instance", "instance.new", "lock", "lost+found", "secret.key", "secret.key.new"];
/// What a database's file is followed by in the names of its parts.
const PARTS: [&str; 5] = ["", "-wal", "-shm", "-journal", ".lock"];

/// From now on nobody else may read what this process makes. A folder that is there already stays as it is, so this
/// comes before anything is made, and [`tighten`] after.
pub fn from_now_on() {
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
}

/// Takes from others what an earlier version, or somebody's hand, has let them read. Of a folder that holds other
/// things too only our own files.
pub fn tighten(data_dir: &Path, database: &Database) {
    let mut paths = Vec::new();
    let database = database.file();
    let names: Vec<String> = database.iter().flat_map(|file| parts(file)).collect();
    let mut foreign = Vec::new();
    for entry in fs::read_dir(data_dir).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if OURS.contains(&name.as_str()) || name.starts_with("twinhub.db") || names.contains(&name) {
            collect(&entry.path(), &mut paths);
        } else {
            foreign.push(name);
        }
    }
    if let Some(file) = &database {
        let folder = file.parent().unwrap_or(Path::new("."));
        paths.extend(parts(file).into_iter().map(|name| folder.join(name)).filter(|path| path.is_file()));
    }
    if foreign.is_empty() {
        paths.push(data_dir.to_owned());
    } else if is_open(data_dir) {
        warn!(folder = %data_dir.display(), foreign = %foreign[0],
            "the data folder holds other things too, so its mode stays as it is: others may list it");
    }
    paths.sort_unstable();
    paths.dedup();
    let open: Vec<&PathBuf> = paths.iter().filter(|path| is_open(path)).collect();
    let mut tightened = 0_usize;
    for path in open {
        match close(path) {
            Ok(()) => tightened += 1,
            Err(error) => {
                warn!(path = %path.display(), %error, "others may read it, and its mode cannot be changed");
            }
        }
    }
    if tightened > 0 {
        info!(folder = %data_dir.display(), tightened, "others could read the hub's data: not any more");
    }
}

/// The names of a database's file and of those beside it.
fn parts(file: &Path) -> Vec<String> {
    let Some(name) = file.file_name().and_then(|name| name.to_str()) else { return Vec::new() };
    PARTS.iter().map(|part| format!("{name}{part}")).collect()
}

/// A file, or a folder with all that is in it. Links lead elsewhere and are left alone.
fn collect(path: &Path, found: &mut Vec<PathBuf>) {
    let Ok(kind) = fs::symlink_metadata(path) else { return };
    if kind.is_symlink() {
        return;
    }
    found.push(path.to_owned());
    if kind.is_dir() {
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            collect(&entry.path(), found);
        }
    }
}

fn is_open(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|kind| kind.permissions().mode() & 0o077 != 0)
}

fn close(path: &Path) -> io::Result<()> {
    let mode = if path.is_dir() { FOLDER } else { FILE };
    fs::set_permissions(path, Permissions::from_mode(mode))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn loose(dir: &Path, names: &[&str]) {
        for name in names {
            fs::create_dir_all(dir.join(name).parent().unwrap()).unwrap();
            fs::write(dir.join(name), "").unwrap();
            fs::set_permissions(dir.join(name), Permissions::from_mode(0o644)).unwrap();
        }
        fs::set_permissions(dir, Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn a_folder_of_ours_is_closed_with_all_that_is_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let names = ["twinhub.db", "twinhub.db-wal", "instance", "firmware/a.bin"];
        loose(dir.path(), &names);
        tighten(dir.path(), &Database::File(dir.path().join("twinhub.db")));
        assert_eq!(names.map(|name| mode(&dir.path().join(name))), [0o600; 4]);
        assert_eq!((mode(dir.path()), mode(&dir.path().join("firmware"))), (0o700, 0o700));
    }

    #[test]
    fn what_is_not_ours_stays_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        loose(dir.path(), &["twinhub.db", "photo.jpg"]);
        tighten(dir.path(), &Database::File(dir.path().join("twinhub.db")));
        let modes = ["twinhub.db", "photo.jpg", "."].map(|name| mode(&dir.path().join(name)));
        assert_eq!(modes, [0o600, 0o644, 0o755]);
    }

    #[test]
    fn a_database_elsewhere_is_closed_and_its_folder_is_not() {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        loose(other.path(), &["hub.db", "hub.db-wal", "else.db"]);
        tighten(dir.path(), &Database::File(other.path().join("hub.db")));
        let modes = ["hub.db", "hub.db-wal", "else.db", "."].map(|name| mode(&other.path().join(name)));
        assert_eq!(modes, [0o600, 0o600, 0o644, 0o755]);
    }
}
