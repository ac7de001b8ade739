//! The databases of other systems, taken over: what their clients asked for before, the hub answers.

mod bad_rows;
mod journeys;

use std::path::{Path, PathBuf};

use rusqlite::Connection;
use serde_json::Value;
use tempfile::TempDir;
use twinhub_actors::SystemClock;
use twinhub_domain::{Clock as _, Timestamp};

use crate::support::HubProcess;
use crate::support::hub::run;

/// A file of another system, and the connection of its program, which stays open meanwhile.
struct OldSystem {
    _folder: TempDir,
    path: PathBuf,
    program: Connection,
}

impl OldSystem {
    /// With these tables, in the mode that reads while others write.
    fn new(name: &str, tables: &str) -> Self {
        let folder = TempDir::with_prefix("twinhub-old-").unwrap();
        let path = folder.path().join(name);
        let program = Connection::open(&path).unwrap();
        program
            .execute_batch(&format!("PRAGMA journal_mode = WAL; PRAGMA foreign_keys = OFF; {tables}"))
            .unwrap();
        Self { _folder: folder, path, program }
    }

    fn sql(&self, text: &str) {
        self.program.execute_batch(text).unwrap_or_else(|error| panic!("{error} in {text}"));
    }

    fn file(&self) -> &str {
        self.path.to_str().unwrap()
    }
}

/// The exit code and the lines of a migration.
async fn migrate(hub: &HubProcess, file: &Path, more: &[&str]) -> (i32, String) {
    let url = format!("http://{}", hub.http);
    let args: Vec<&str> = ["migrate-from", file.to_str().unwrap(), "--url", &url]
        .into_iter()
        .chain(more.iter().copied())
        .collect();
    let output = run(&args, &[]).await;
    let told = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(told).unwrap())
}

/// Takes it over, twice: the second time everything is there, and nothing changes.
async fn migrate_twice(hub: &HubProcess, old: &OldSystem, more: &[&str], code: i32) -> String {
    let (first, told) = migrate(hub, &old.path, more).await;
    assert_eq!(first, code, "{told}");
    let before = everything(hub).await;
    let (again, repeated) = migrate(hub, &old.path, more).await;
    assert_eq!(again, code, "{repeated}");
    assert_eq!(everything(hub).await, before, "the second time changes nothing");
    assert!(
        !repeated.lines().any(|line| line.contains(" taken over")
            && !line.contains(": 0 ")
            && !line.contains("not taken over")),
        "{repeated}"
    );
    told
}

/// All readings of the hub, its devices and its groups.
async fn everything(hub: &HubProcess) -> [String; 3] {
    let text = async |path: &str| hub.get(path).await.text().await.unwrap();
    [text("/api/data/export").await, text("/api/devices/export").await, text("/api/groups/export").await]
}

/// This many seconds ago, as Python writes it.
fn ago(seconds: i64) -> String {
    let at = Timestamp::from_millis(SystemClock.now().millis() / 1_000 * 1_000).plus_millis(-1_000 * seconds);
    at.to_string().replace('T', " ").replace(".000Z", ".250000")
}

/// The members of each item.
fn members<'a>(list: &'a Value, member: &str) -> Vec<&'a Value> {
    list.as_array().unwrap_or_else(|| panic!("{list}")).iter().map(|item| &item[member]).collect()
}
