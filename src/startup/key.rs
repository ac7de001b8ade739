//! The hub's own key: 32 bytes of chance, as hexadecimal digits in a file. It is made once and must be kept with the
//! data: what it seals opens with nothing else.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use twinhub_domain::text::hex;
use twinhub_store::seal::{KEY_BYTES, Seal};

const NAME: &str = "secret.key";

/// The reason why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("cannot use the key file {}: {source}", path.display())]
    Unusable { path: PathBuf, source: io::Error },
    #[error("the key file {} is not 64 hexadecimal digits: make one with `openssl rand -hex 32`", path.display())]
    NoKey { path: PathBuf },
}

/// The key in the file that is `named`, which must be there, or the data folder's own, which is made where there is
/// none.
///
/// # Errors
/// Names the file.
pub fn load(named: Option<&Path>, data_dir: &Path) -> Result<Seal, KeyError> {
    let path = named.map_or_else(|| data_dir.join(NAME), Path::to_owned);
    let unusable = |source| KeyError::Unusable { path: path.clone(), source };
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound && named.is_none() => {
            make(&path).map_err(unusable)?
        }
        Err(error) if error.kind() == ErrorKind::InvalidData => return Err(KeyError::NoKey { path }),
        Err(error) => return Err(unusable(error)),
    };
    let key = parse(text.trim()).ok_or(KeyError::NoKey { path })?;
    Ok(Seal::new(&key))
}

fn parse(text: &str) -> Option<[u8; KEY_BYTES]> {
    if text.len() != KEY_BYTES * 2 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut key = [0; KEY_BYTES];
    for (at, byte) in key.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(key)
}

fn make(path: &Path) -> io::Result<String> {
    let mut key = [0; KEY_BYTES];
    getrandom::fill(&mut key).map_err(io::Error::other)?;
    let text = hex(&key);
    // Whole or not at all, and on the disk before anything is sealed with it: half a key would lose what it seals.
    let fresh = path.with_extension("key.new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    writeln!(file, "{text}")?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    if let Some(folder) = path.parent() {
        File::open(folder)?.sync_all()?;
    }
    Ok(text)
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
}
