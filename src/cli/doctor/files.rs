//! Files: who may read them, and the hub's own key.

use std::path::PathBuf;

use super::finding::Finding;

const FILES: &str = "files";
const KEY: &str = "secret key";

/// The data folder and the files of the hub, as they were found.
#[derive(Clone, Debug)]
pub struct FileFacts {
    pub data_dir: PathBuf,
    pub is_there: bool,
    /// Files and folders of the hub that others may read or write, with their modes.
    pub open: Vec<(PathBuf, u32)>,
    /// Files and folders of the hub that belong to somebody else than who asks.
    pub foreign: Vec<PathBuf>,
    /// The configuration file, where others may read it and it has passwords in it.
    pub open_config: Option<PathBuf>,
    pub has_database: bool,
    pub key_file: PathBuf,
    /// How many keys are in the key file; none where it is not there, an error where it cannot be used.
    pub keys: Result<Option<usize>, String>,
}

/// Checks them.
pub fn check(facts: &FileFacts) -> Vec<Finding> {
    let data_dir = facts.data_dir.display();
    let mut found = Vec::new();
    if !facts.is_there {
        found.push(Finding::warn(
            FILES,
            format!("there is no data folder {data_dir}"),
            "the first start makes it; name another one with --data-dir",
        ));
    }
    for path in &facts.foreign {
        found.push(Finding::fail(
            FILES,
            format!("{} belongs to another user than the one who asks", path.display()),
            "ask as the user who runs the hub, or give it to that one (chown)",
        ));
    }
    for (path, mode) in &facts.open {
        let path = path.display();
        found.push(Finding::fail(
            FILES,
            format!("others on this machine may read {path} (mode {mode:o})"),
            format!("chmod go= {path}; a start of the hub does so, too"),
        ));
    }
    if let Some(path) = &facts.open_config {
        let path = path.display();
        found.push(Finding::fail(
            FILES,
            format!("{path} has a password in it, and others on this machine may read it"),
            format!("chmod 600 {path}"),
        ));
    }
    if found.is_empty() {
        found.push(Finding::ok(FILES, format!("{data_dir} is its owner's alone")));
    }
    let path = facts.key_file.display();
    found.push(match &facts.keys {
        Ok(None) if facts.has_database => Finding::fail(
            KEY,
            format!("{path} is not there, and the database does not open without it"),
            "put it back from your backups",
        ),
        Ok(None) => Finding::ok(KEY, format!("{path} is made at the first start")),
        Ok(Some(1)) => Finding::ok(KEY, format!("{path} has the hub's key; keep it with your backups")),
        Ok(Some(keys)) => Finding::ok(
            KEY,
            format!("{path} has the hub's key and {} older; keep it with your backups", keys - 1),
        ),
        Err(error) => Finding::fail(KEY, error.clone(), "put it back from your backups"),
    });
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::testing::bad;

    fn well() -> FileFacts {
        FileFacts {
            data_dir: "/d".into(),
            is_there: true,
            has_database: true,
            key_file: "/d/secret.key".into(),
            keys: Ok(Some(1)),
            open: Vec::new(),
            foreign: Vec::new(),
            open_config: None,
        }
    }

    #[test]
    fn what_others_may_read_is_found() {
        assert_eq!(bad(&check(&well())), [""; 0]);
        let more = FileFacts { keys: Ok(Some(3)), ..well() };
        assert_eq!(bad(&check(&more)), [""; 0]);
        assert!(check(&more)[1].detail.contains("and 2 older"));
        let open = FileFacts { open: vec![("/d/twinhub.db".into(), 0o644)], ..well() };
        assert_eq!(
            bad(&check(&open)),
            [
                "fail  files: others on this machine may read /d/twinhub.db (mode 644)  → chmod go= /d/twinhub.db; a start of the hub does so, too"
            ]
        );
        let foreign = FileFacts { foreign: vec!["/d".into()], ..well() };
        assert!(bad(&check(&foreign))[0].starts_with("fail  files: /d belongs to another user"));
        let config = FileFacts { open_config: Some("/e/twinhub.toml".into()), ..well() };
        assert!(bad(&check(&config))[0].ends_with("→ chmod 600 /e/twinhub.toml"));
        let new = FileFacts { is_there: false, has_database: false, keys: Ok(None), ..well() };
        let found = bad(&check(&new));
        assert!(
            found.len() == 1 && found[0].starts_with("warn  files: there is no data folder /d"),
            "{found:?}"
        );
    }

    #[test]
    fn a_key_that_is_gone_or_broken_is_found() {
        let gone = FileFacts { keys: Ok(None), ..well() };
        assert!(bad(&check(&gone))[0].starts_with("fail  secret key: /d/secret.key is not there"));
        let broken = FileFacts { keys: Err("it is no key".into()), ..well() };
        assert!(bad(&check(&broken))[0].starts_with("fail  secret key: it is no key"));
    }
}
