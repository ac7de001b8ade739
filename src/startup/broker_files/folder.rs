//! The folder with Mosquitto's files, and the signal by which Mosquitto reads them anew.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Error, ErrorKind, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, kill_process};

const PASSWORDS: &str = "password_file";
const RIGHTS: &str = "acl_file";
/// Mosquitto runs as a user of its own, and reads them by the group of the folder.
const MODE: u32 = 0o640;

/// The folder.
#[derive(Clone, Debug)]
pub(crate) struct BrokerFolder(PathBuf);

impl BrokerFolder {
    pub fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Writes both files where they differ from what is there. True: one did.
    ///
    /// # Errors
    /// One cannot be written; the error names it.
    pub fn write(&self, passwords: &str, rights: &str) -> io::Result<bool> {
        // Rights first: nobody new comes in before it is known what they may do.
        let rights = replace(&self.0.join(RIGHTS), rights)?;
        let passwords = replace(&self.0.join(PASSWORDS), passwords)?;
        Ok(rights || passwords)
    }
}

fn replace(path: &Path, text: &str) -> io::Result<bool> {
    if fs::read(path).is_ok_and(|before| before == text.as_bytes()) {
        return Ok(false);
    }
    let named = |error: Error| Error::new(error.kind(), format!("{}: {error}", path.display()));
    let fresh = path.with_extension("new");
    let write = || {
        let _ = fs::remove_file(&fresh); // there is none but after a crash
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
        file.write_all(text.as_bytes())?;
        file.set_permissions(Permissions::from_mode(MODE))?;
        file.sync_all()?;
        fs::rename(&fresh, path)
    };
    write().map_err(named)?;
    Ok(true)
}

/// Has the process in a file read its files anew.
///
/// # Errors
/// There is no such file, no such process, or it is another user's.
pub(super) fn reload_by(pid_file: &Path) -> io::Result<()> {
    let text = fs::read_to_string(pid_file)?;
    let pid = text
        .trim()
        .parse()
        .map_err(|_| Error::new(ErrorKind::InvalidData, "there is no process id in it"))?;
    reload(pid)
}

/// Has a process read its files anew.
///
/// # Errors
/// There is none, or it is another user's.
pub(crate) fn reload(pid: i32) -> io::Result<()> {
    // 0 and less would mean groups of processes.
    let pid = Some(pid).filter(|pid| *pid > 1).and_then(Pid::from_raw).ok_or(ErrorKind::InvalidInput)?;
    Ok(kill_process(pid, Signal::HUP)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_replaced_as_a_whole_where_they_differ() {
        let dir = tempfile::tempdir().unwrap();
        let folder = BrokerFolder::new(dir.path().to_owned());
        assert!(folder.write("a:1\n", "user a\n").unwrap());
        assert!(!folder.write("a:1\n", "user a\n").unwrap());
        fs::write(dir.path().join("password_file.new"), "what a crash left").unwrap();
        assert!(folder.write("a:2\n", "user a\n").unwrap());
        assert_eq!(fs::read_to_string(dir.path().join(PASSWORDS)).unwrap(), "a:2\n");
        for name in [PASSWORDS, RIGHTS] {
            let mode = fs::metadata(dir.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o640);
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
        let missing = BrokerFolder::new(dir.path().join("missing"));
        assert!(missing.write("", "x").unwrap_err().to_string().contains("missing/acl_file: "));
    }

    #[test]
    fn no_group_of_processes_is_told() {
        for pid in [i32::MIN, -1, 0, 1] {
            assert!(reload(pid).is_err(), "{pid}");
        }
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pid");
        assert!(reload_by(&file).is_err());
        fs::write(&file, "mosquitto\n").unwrap();
        assert_eq!(reload_by(&file).unwrap_err().to_string(), "there is no process id in it");
    }
}
