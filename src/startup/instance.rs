//! The hub's own name, made once and kept with its data: an outside broker knows the hub's session by it,
//! so that two hubs on one broker do not take each other's messages.

use std::fs::{File, read_to_string, rename};
use std::io::{ErrorKind, Result, Write as _};
use std::path::Path;

const FILE: &str = "instance";

/// The name that is kept in `data_dir`; made where there is none yet.
pub(super) fn name(data_dir: &Path) -> Result<String> {
    let path = data_dir.join(FILE);
    match read_to_string(&path) {
        Ok(text) if !text.trim().is_empty() => return Ok(text.trim().to_owned()),
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let name = twinhub_actors::clock::new_id().simple().to_string();
    // It is written whole or not at all: half a name after a power cut would be another hub.
    let fresh = data_dir.join("instance.new");
    let mut file = File::create(&fresh)?;
    writeln!(file, "{name}")?;
    file.sync_all()?;
    rename(fresh, path)?;
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hub_keeps_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let first = name(dir.path()).unwrap();
        assert_eq!(first.len(), 32);
        assert_eq!(name(dir.path()).unwrap(), first);
        assert_ne!(name(tempfile::tempdir().unwrap().path()).unwrap(), first);
    }
}
