//! The rules folder: read at start, and again when something in it changes. All files are read anew then, so
//! that what runs is what stands there; a file that is being written settles first.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use actix::Addr;
use notify::event::ModifyKind;
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::{mpsc, oneshot};
use tracing::{info, warn};

use super::Automation;
use crate::mailbox::try_send_unbounded;
use crate::messages::automation::{LoadFiles, RuleFileRead};
use twinhub_rules::file::SecretNames;
use twinhub_rules::model::RuleOrigin;
use twinhub_rules::{FileProblem, RuleFile};

/// A change is followed by others, as an editor writes: quiet for so long, it is read.
const SETTLES_IN: Duration = Duration::from_millis(100);
/// A change goes unread no longer than this, however busy the folder is.
const LONGEST_WAIT: Duration = Duration::from_secs(2);
/// Folders in folders are followed this far.
const DEEPEST: usize = 8;

/// Reads every rule file (`.yaml`, `.yml`, `.json`) below `folder`, in the order of their paths. A folder that is
/// not there has none.
///
/// # Errors
/// The folder cannot be listed. A file that cannot be read is reported as one that does not check out.
pub fn read(folder: &Path, secrets: &SecretNames) -> std::io::Result<Vec<RuleFileRead>> {
    let mut paths = Vec::new();
    find(folder, DEEPEST, &mut paths)?;
    paths.sort();
    Ok(paths.iter().map(|path| read_one(folder, path, secrets)).collect())
}

fn find(folder: &Path, deeper: usize, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let path = entry?.path();
        let is_hidden =
            path.file_name().and_then(|name| name.to_str()).is_none_or(|name| name.starts_with('.'));
        if is_hidden {
            continue; // an editor's
        }
        if path.is_dir() {
            if deeper > 0 {
                find(&path, deeper - 1, found)?;
            }
        } else if is_rule_file(&path) {
            found.push(path);
        }
    }
    Ok(())
}

/// Is it one by its name?
#[must_use]
pub fn is_rule_file(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ["yaml", "yml", "json"].iter().any(|known| ending == *known))
}

fn read_one(folder: &Path, path: &Path, secrets: &SecretNames) -> RuleFileRead {
    let below = path.strip_prefix(folder).unwrap_or(path);
    let name: Arc<str> = below
        .components()
        .map(|part| part.as_os_str().to_string_lossy())
        .collect::<Vec<_>>()
        .join("/")
        .into();
    let read = match std::fs::read(path) {
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => RuleFile::parse_with(&text, &RuleOrigin::File(Arc::clone(&name)), secrets),
            Err(_) => Err(vec![whole("the file is no UTF-8 text".into())]),
        },
        Err(error) => Err(vec![whole(format!("the file cannot be read: {error}"))]),
    };
    RuleFileRead { path: name, read }
}

fn whole(message: String) -> FileProblem {
    FileProblem { line: 0, column: 0, pointer: String::new(), message, hint: None }
}

/// Reads `folder` for `automation`, and again whenever something in it changes, until automation is gone. Returns
/// when the rules run that stand there now.
pub async fn watch(folder: PathBuf, secrets: SecretNames, automation: Addr<Automation>) {
    let (changed, mut changes) = mpsc::channel(1);
    // Before it is first read, so that no change falls between.
    let mut watcher = FolderWatcher::start(&folder, changed);
    load(&folder, &secrets, &automation, true).await;
    tokio::spawn(async move {
        while changes.recv().await.is_some() {
            settle(&mut changes).await;
            if !automation.connected() {
                return;
            }
            if let Some(watcher) = &mut watcher {
                watcher.follow(); // another folder may stand there, or the first one
            }
            load(&folder, &secrets, &automation, false).await;
        }
    });
}

/// Waits until nothing changes any more.
async fn settle(changes: &mut mpsc::Receiver<()>) {
    let quiet = async { while let Ok(Some(())) = tokio::time::timeout(SETTLES_IN, changes.recv()).await {} };
    let _ = tokio::time::timeout(LONGEST_WAIT, quiet).await; // long enough either way
}

/// May other rules stand there than before? Not where something was only looked at, or where the content alone of other
/// files changed: the folder may be that of the database, which changes with each commit. Another name may be that of a
/// folder full of rules.
fn may_change_rules(event: &Event) -> bool {
    match event.kind {
        EventKind::Access(_) => false,
        EventKind::Modify(ModifyKind::Name(_)) => true,
        EventKind::Modify(_) => event.paths.is_empty() || event.paths.iter().any(|path| is_rule_file(path)),
        _ => true,
    }
}

/// The eye on the rules folder: on all that stands in it, and on the folder above, so that it may be made, removed, and
/// come again.
struct FolderWatcher {
    folder: PathBuf,
    watcher: RecommendedWatcher,
}

impl FolderWatcher {
    /// None where the system cannot say what changes, which the log tells.
    fn start(folder: &Path, changed: mpsc::Sender<()>) -> Option<Self> {
        Self::try_start(folder, changed)
            .inspect_err(|error| {
                warn!(folder = %folder.display(), %error, "rule files are read at start only");
            })
            .ok()
    }

    fn try_start(folder: &Path, changed: mpsc::Sender<()>) -> notify::Result<Self> {
        // Events name their paths as the watched ones are named.
        let folder = std::path::absolute(folder)?;
        let place = folder.clone();
        let on_event = move |event: notify::Result<Event>| {
            // An error says that something was missed.
            if event.is_ok_and(|event| !is_of(&place, &event) || !may_change_rules(&event)) {
                return;
            }
            let _ = changed.try_send(()); // full says the same
        };
        let mut watcher = notify::recommended_watcher(on_event)?;
        if let Some(above) = folder.parent() {
            watcher.watch(above, RecursiveMode::NonRecursive)?;
        }
        let mut started = Self { folder, watcher };
        started.follow();
        Ok(started)
    }

    /// Looks at the folder that stands there now, if one does.
    fn follow(&mut self) {
        if !self.folder.is_dir() {
            return; // the folder above tells when one comes
        }
        if let Err(error) = self.watcher.watch(&self.folder, RecursiveMode::Recursive) {
            warn!(folder = %self.folder.display(), %error, "changes of rule files are not noticed");
        }
    }
}

/// Is it about the folder, or what is in it? The folder above has other things in it.
fn is_of(folder: &Path, event: &Event) -> bool {
    event.paths.is_empty() || event.paths.iter().any(|path| path.starts_with(folder))
}

/// Reads `folder` and has its rules run, and returns when they do. `first`: nothing ran before. False where the folder
/// cannot be read, which the log says; what ran before goes on then.
pub async fn load(folder: &Path, secrets: &SecretNames, automation: &Addr<Automation>, first: bool) -> bool {
    let place = folder.to_owned();
    let secrets = secrets.clone();
    let read = tokio::task::spawn_blocking(move || read(&place, &secrets)).await;
    let files = match read {
        Ok(Ok(files)) => files,
        Ok(Err(error)) => {
            warn!(folder = %folder.display(), %error, "the rules folder cannot be read");
            if !first {
                return false; // what ran before goes on
            }
            Vec::new()
        }
        Err(_) => return false, // the hub is shutting down
    };
    for RuleFileRead { path, read } in &files {
        // Their errors are reported by the actor that takes them in.
        if let Ok(file) = read
            && !first
        {
            info!(%path, rules = file.rules.len(), "rule file read");
        }
    }
    let (done, runs) = oneshot::channel();
    if try_send_unbounded(automation, LoadFiles { files, done: Some(done) }).is_ok() {
        let _ = runs.await; // gone, the hub is shutting down
    }
    true
}

#[cfg(test)]
mod tests {
    use notify::event::{AccessKind, CreateKind, DataChange, MetadataKind, RemoveKind, RenameMode};

    use super::*;

    #[test]
    fn what_stands_beside_the_folder_is_not_of_it() {
        let check = |path: &str, expected: bool| {
            let event = Event::new(EventKind::Create(CreateKind::Any)).add_path(path.into());
            assert_eq!(is_of(Path::new("/hub/rules"), &event), expected, "{path}");
        };
        check("/hub/rules", true);
        check("/hub/rules/upstairs/hall.yaml", true);
        check("/hub/rules.old", false);
        check("/hub/hall.yaml", false);
        check("/hub/data", false);
        assert!(is_of(Path::new("/hub/rules"), &Event::new(EventKind::Any)), "of what, nobody says");
    }

    /// A folder that is made while the hub runs is read, and so is one that comes in the place of another.
    #[tokio::test]
    async fn a_folder_that_comes_later_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("rules");
        let (changed, mut changes) = mpsc::channel(1);
        let mut watcher = FolderWatcher::start(&folder, changed).unwrap();
        for round in 0..2 {
            std::fs::create_dir(&folder).unwrap();
            changes.recv().await.unwrap();
            watcher.follow();
            while changes.try_recv().is_ok() {}
            std::fs::write(folder.join("hall.yaml"), "version: 1").unwrap();
            changes.recv().await.unwrap();
            std::fs::remove_dir_all(&folder).unwrap();
            changes.recv().await.unwrap();
            settle(&mut changes).await;
            assert!(!folder.exists(), "round {round}");
        }
    }

    #[test]
    fn the_database_in_the_folder_changes_no_rules() {
        let check = |kind: EventKind, path: &str, expected: bool| {
            let event = Event::new(kind).add_path(path.into());
            assert_eq!(may_change_rules(&event), expected, "{kind:?} {path}");
        };
        let content = EventKind::Modify(ModifyKind::Data(DataChange::Any));
        check(content, "data/twinhub.db-wal", false);
        check(content, "data/hall.yaml", true);
        check(EventKind::Modify(ModifyKind::Metadata(MetadataKind::Any)), "data/twinhub.db", false);
        check(EventKind::Modify(ModifyKind::Metadata(MetadataKind::Any)), "data/hall.json", true);
        check(EventKind::Modify(ModifyKind::Any), "data/twinhub.db", false);
        check(EventKind::Access(AccessKind::Any), "data/hall.yaml", false);
        check(EventKind::Create(CreateKind::Any), "data/upstairs", true);
        check(EventKind::Remove(RemoveKind::Any), "data/upstairs", true);
        check(EventKind::Modify(ModifyKind::Name(RenameMode::To)), "data/upstairs", true);
        assert!(may_change_rules(&Event::new(content)), "of what, nobody says");
        assert!(may_change_rules(&Event::new(EventKind::Any)));
    }
}
