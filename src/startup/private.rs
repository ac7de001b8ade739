//! The hub's folder and files are private: no other user may read them, or write to them.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::Mode;
use tracing::{info, warn};

use crate::api::firmware;
use crate::backup;
use crate::config::Database;
use crate::startup::tls;

/// Says of a file's name whether the hub made it.
type IsOwnFile = fn(&str) -> bool;

/// The files in a data folder that are ours, but for the parts of a database.
const OURS: [&str; 8] = [
    "instance",
    "instance.new",
    "local.key",
    "local.key.new",
    "lock",
    "restore-unfinished",
    "secret.key",
    "secret.key.new",
];
/// The folders in it, of firmware images, of the hub's own authority and of its backups, and the files in them that are ours.
const FOLDERS: [(&str, IsOwnFile); 3] =
    [("firmware", firmware::is_file_name), (tls::FOLDER, is_of_authority), (backup::FOLDER, backup::is_name)];
/// A file system's own folder, where one is mounted as the data folder. It says nothing of what else is there.
const LOST: &str = "lost+found";
/// The endings of the names of a database's files.
const PARTS: [&str; 5] = ["", "-wal", "-shm", "-journal", ".lock"];

/// From now on no other user may read the files that this process makes. A folder that is there already stays as it is, so this
/// comes before anything is made, and [`tighten`] after.
pub fn from_now_on() {
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
}

/// Closes files to other users that an earlier version, or a person, has let them read. Of a folder that holds other
/// things too only our own files. What the owner may do with a file stays as it is.
pub fn tighten(data_dir: &Path, database: &Database) {
    let (paths, foreign) = find(data_dir, database);
    if let Some(foreign) = foreign.first().filter(|_| is_open(data_dir)) {
        warn!(folder = %data_dir.display(), %foreign,
            "the data folder holds other things too, so its mode stays as it is: others may list it");
    }
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

/// The files and folders that are the hub's alone, as far as they are there.
#[must_use]
pub fn files_of_hub(data_dir: &Path, database: &Database) -> Vec<PathBuf> {
    find(data_dir, database).0
}

/// The files and folders that are the hub's alone, and the names of other things in the data folder.
fn find(data_dir: &Path, database: &Database) -> (Vec<PathBuf>, Vec<String>) {
    let mut paths = Vec::new();
    let database = database.file();
    let names: Vec<String> = database.iter().flat_map(|file| parts(file)).collect();
    let is_ours = |name: &str| {
        OURS.contains(&name) || name.starts_with("twinhub.db") || names.iter().any(|part| part == name)
    };
    let mut foreign = Vec::new();
    for (name, is_file) in FOLDERS {
        let folder = data_dir.join(name);
        if fs::symlink_metadata(&folder).is_ok_and(|kind| kind.is_dir()) {
            let others = collect(&folder, is_file, &mut paths);
            if others.is_empty() {
                paths.push(folder);
            }
            foreign.extend(others);
        }
    }
    foreign.extend(collect(data_dir, is_ours, &mut paths));
    foreign.retain(|name| name != LOST && !FOLDERS.iter().any(|(folder, _)| name == *folder));
    if let Some(file) = &database {
        let folder = file.parent().unwrap_or(Path::new("."));
        paths.extend(parts(file).into_iter().map(|name| folder.join(name)).filter(|path| path.is_file()));
    }
    if foreign.is_empty() && data_dir.is_dir() {
        paths.push(data_dir.to_owned());
    }
    paths.sort_unstable();
    paths.dedup();
    (paths, foreign)
}

/// Is this the name of a file that the hub's own authority makes in its folder?
fn is_of_authority(name: &str) -> bool {
    matches!(name, "ca.key" | "ca.pem" | "ca.new" | "hub.key" | "hub.pem" | "hub.new")
}

/// The names of a database's file and of those beside it.
fn parts(file: &Path) -> Vec<String> {
    let Some(name) = file.file_name().and_then(|name| name.to_str()) else { return Vec::new() };
    PARTS.iter().map(|part| format!("{name}{part}")).collect()
}

/// Finds the files of a folder that are ours, and gives the names of all else in it. Links lead elsewhere and are left
/// alone.
fn collect(folder: &Path, is_ours: impl Fn(&str) -> bool, found: &mut Vec<PathBuf>) -> Vec<String> {
    let mut foreign = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        match entry.file_type() {
            Ok(kind) if kind.is_file() && is_ours(&name) => found.push(entry.path()),
            Ok(kind) if kind.is_symlink() && is_ours(&name) => {}
            _ => foreign.push(name),
        }
    }
    foreign
}

fn is_open(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|kind| kind.permissions().mode() & 0o077 != 0)
}

fn close(path: &Path) -> io::Result<()> {
    let mode = fs::metadata(path)?.permissions().mode();
    fs::set_permissions(path, Permissions::from_mode(mode & 0o7700))
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
        let names =
            ["twinhub.db", "twinhub.db-wal", "instance", "local.key", IMAGE, "tls/ca.key", "tls/hub.pem"];
        loose(dir.path(), &names);
        tighten(dir.path(), &Database::File(dir.path().join("twinhub.db")));
        assert_eq!(names.map(|name| mode(&dir.path().join(name))), [0o600; 7]);
        let folders = [".", "firmware", "tls"].map(|name| mode(&dir.path().join(name)));
        assert_eq!(folders, [0o700; 3]);
    }

    const IMAGE: &str = "firmware/019ab0c4-5d3e-7c11-8a3f-0123456789ab";

    #[test]
    fn a_folder_of_firmware_that_is_somebody_elses_stays_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let unfinished = IMAGE.replace('/', "/.upload-");
        let names = [IMAGE, &unfinished, "firmware/flash.sh", "firmware/src/a.c", "lost+found/x"];
        loose(dir.path(), &names);
        let script = dir.path().join("firmware/flash.sh");
        fs::set_permissions(&script, Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(dir.path().join("firmware"), Permissions::from_mode(0o755)).unwrap();
        tighten(dir.path(), &Database::File(dir.path().join("twinhub.db")));
        let modes = names.map(|name| mode(&dir.path().join(name)));
        assert_eq!(modes, [0o600, 0o600, 0o755, 0o644, 0o644]);
        assert_eq!((mode(&dir.path().join("firmware")), mode(dir.path())), (0o755, 0o755));
    }

    #[test]
    fn what_its_owner_may_do_stays() {
        let dir = tempfile::tempdir().unwrap();
        loose(dir.path(), &["secret.key", "twinhub.db", "lost+found/x"]);
        fs::set_permissions(dir.path().join("secret.key"), Permissions::from_mode(0o444)).unwrap();
        tighten(dir.path(), &Database::File(dir.path().join("twinhub.db")));
        let modes =
            ["secret.key", "twinhub.db", ".", "lost+found/x"].map(|name| mode(&dir.path().join(name)));
        assert_eq!(modes, [0o400, 0o600, 0o700, 0o644]);
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
