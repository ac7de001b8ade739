//! The hub's own keys: 32 bytes of chance each, as hexadecimal digits in a file, a line each, the newest first. The first
//! is made once. The file must be kept with the data: what a key seals opens with nothing else.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use twinhub_domain::text::hex;
use twinhub_store::seal::{HubKeyId, KEY_BYTES, Seal};

const NAME: &str = "secret.key";
/// Lines that begin so are for people.
const COMMENT: char = '#';
const HEAD: &str = "# The keys of this hub, the newest first. Keep this file with your backups.";

type KeyBytes = [u8; KEY_BYTES];

/// The reason why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("cannot use the key file {}: {source}", path.display())]
    Unusable { path: PathBuf, source: io::Error },
    #[error("the key file {} is not 64 hexadecimal digits: make one with `openssl rand -hex 32`", path.display())]
    NoKey { path: PathBuf },
    #[error("line {line} of the key file {} is not 64 hexadecimal digits", path.display())]
    BadLine { path: PathBuf, line: usize },
}

/// The place of the key file: the one that is `named`, or the data folder's own.
#[must_use]
pub fn place(named: Option<&Path>, data_dir: &Path) -> PathBuf {
    named.map_or_else(|| data_dir.join(NAME), Path::to_owned)
}

/// The keys in the file that is `named`, which must be there, or in the data folder's own, which is made where there is
/// none.
///
/// # Errors
/// Names the file.
pub fn load(named: Option<&Path>, data_dir: &Path) -> Result<Seal, KeyError> {
    let path = place(named, data_dir);
    match read(&path) {
        Err(KeyError::Unusable { source, .. }) if source.kind() == ErrorKind::NotFound && named.is_none() => {
            let key = new_key().and_then(|key| write(&path, &key, &[]).map(|()| key));
            Ok(Seal::new(&key.map_err(|source| KeyError::Unusable { path, source })?))
        }
        found => found.map(|(newest, older)| Seal::of_keys(&newest, &older)),
    }
}

/// The keys in a file; none where there is no such file.
///
/// # Errors
/// The file cannot be read, or has no key in it.
pub fn read_there(path: &Path) -> Result<Option<Seal>, KeyError> {
    match read(path) {
        Ok((newest, older)) => Ok(Some(Seal::of_keys(&newest, &older))),
        Err(KeyError::Unusable { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Puts a new key before those in the file. Whatever happens meanwhile, the file has all that it had before.
///
/// # Errors
/// The file cannot be read or written.
pub fn add_key(path: &Path) -> Result<Seal, KeyError> {
    let (before, mut older) = read(path)?;
    older.insert(0, before);
    let unusable = |source| KeyError::Unusable { path: path.to_owned(), source };
    let newest = new_key().map_err(unusable)?;
    write(path, &newest, &older).map_err(unusable)?;
    Ok(Seal::of_keys(&newest, &older))
}

/// Removes older keys from the file, and says how many are left.
///
/// # Errors
/// The file cannot be read or written.
pub fn forget_keys(path: &Path, is_to_go: impl Fn(HubKeyId) -> bool) -> Result<usize, KeyError> {
    let (newest, mut older) = read(path)?;
    let count = older.len();
    older.retain(|key| !Seal::new(key).ids().any(&is_to_go));
    if older.len() < count {
        write(path, &newest, &older)
            .map_err(|source| KeyError::Unusable { path: path.to_owned(), source })?;
    }
    Ok(older.len())
}

/// The keys in a file: the newest, and the older ones.
fn read(path: &Path) -> Result<(KeyBytes, Vec<KeyBytes>), KeyError> {
    let text = fs::read_to_string(path).map_err(|source| match source.kind() {
        ErrorKind::InvalidData => KeyError::NoKey { path: path.to_owned() },
        _ => KeyError::Unusable { path: path.to_owned(), source },
    })?;
    let (mut newest, mut older) = (None, Vec::new());
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with(COMMENT) {
            continue;
        }
        match (parse(line), newest) {
            (Some(key), None) => newest = Some(key),
            (Some(key), Some(_)) => older.push(key),
            (None, None) => return Err(KeyError::NoKey { path: path.to_owned() }),
            (None, Some(_)) => return Err(KeyError::BadLine { path: path.to_owned(), line: at + 1 }),
        }
    }
    newest.map(|newest| (newest, older)).ok_or_else(|| KeyError::NoKey { path: path.to_owned() })
}

fn parse(text: &str) -> Option<KeyBytes> {
    if text.len() != KEY_BYTES * 2 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut key = [0; KEY_BYTES];
    for (at, byte) in key.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(key)
}

fn new_key() -> io::Result<KeyBytes> {
    let mut key = [0; KEY_BYTES];
    getrandom::fill(&mut key).map_err(io::Error::other)?;
    Ok(key)
}

fn write(path: &Path, newest: &KeyBytes, older: &[KeyBytes]) -> io::Result<()> {
    // A link leads to the file that is meant, and stays one.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut lines: Vec<String> = std::iter::once(newest).chain(older).map(|key| hex(key)).collect();
    if !older.is_empty() {
        lines.insert(0, HEAD.to_owned());
    }
    // It is written whole or not at all, and on the disk before anything is sealed with it: half a key would lose what it seals.
    let fresh = path.with_extension("key.new");
    let _ = fs::remove_file(&fresh); // there is none but after a crash
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
    writeln!(file, "{}", lines.join("\n"))?;
    if let Ok(before) = fs::metadata(&path) {
        file.set_permissions(Permissions::from_mode(before.permissions().mode() & 0o7777))?;
    }
    file.sync_all()?;
    fs::rename(&fresh, &path)?;
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_is_made_once_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let first = load(None, dir.path()).unwrap();
        assert_eq!(load(None, dir.path()).unwrap().check(), first.check());
        let mode = fs::metadata(dir.path().join(NAME)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let other = tempfile::tempdir().unwrap();
        assert_ne!(load(None, other.path()).unwrap().check(), first.check());
        let named = dir.path().join(NAME);
        assert_eq!(load(Some(&named), other.path()).unwrap().check(), first.check());
    }

    #[test]
    fn a_key_that_is_named_must_be_there_and_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("k");
        let text = |path: &Path| load(Some(path), dir.path()).err().unwrap().to_string();
        assert!(text(&path).starts_with("cannot use the key file "));
        for bad in ["", "abc", &"g".repeat(64), &"a".repeat(63), &"é".repeat(32)] {
            fs::write(&path, bad).unwrap();
            assert!(text(&path).contains("is not 64 hexadecimal digits"), "{bad}");
        }
    }

    #[test]
    fn a_new_key_comes_before_the_old_ones_until_they_are_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let path = place(None, dir.path());
        let first = load(None, dir.path()).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        fs::write(path.with_extension("key.new"), "what a crash left").unwrap();
        let second = add_key(&link).unwrap();
        let ids: Vec<_> = second.ids().collect();
        assert!(ids.len() == 2 && ids[1] == first.ids().next().unwrap(), "{ids:?}");
        assert_eq!(load(Some(&path), dir.path()).unwrap().ids().collect::<Vec<_>>(), ids);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert!(!path.with_extension("key.new").exists());

        assert_eq!(forget_keys(&path, |id| id == ids[0]).unwrap(), 1, "the newest stays");
        assert_eq!(forget_keys(&path, |id| id == ids[1]).unwrap(), 0);
        assert_eq!(load(None, dir.path()).unwrap().ids().collect::<Vec<_>>(), ids[..1]);

        fs::write(&path, format!("# mine\n\n{}\nhm\n", "a".repeat(64))).unwrap();
        let text = load(None, dir.path()).unwrap_err().to_string();
        assert!(text.starts_with("line 4 of the key file "), "{text}");
    }
}
