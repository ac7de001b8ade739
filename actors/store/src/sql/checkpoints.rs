//! Checkpoints: the write-ahead log's pages go into the database between commits, and not, as SQLite does by itself, within
//! the commit that fills a thousand pages, whose callers wait for it.
//!
//! A thread of its own copies what there is while commits go on. Under a steady stream it never catches up, so the rest,
//! few pages, is copied by the thread that writes, between two commits; then the next begins the log anew.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, SyncSender, sync_channel};
use std::time::Duration;

use rusqlite::Connection;

use super::write_thread::{WriteJob, open};

/// The log's length in pages at which it is written into the database: SQLite's own.
const CHECKPOINT_PAGES: i32 = 1_000;

/// The length of the log, as far as it is known to the thread that writes.
#[derive(Debug, Default)]
pub struct WalGrowth {
    pages: i32,
    /// The length at which the next checkpoint begins, where it is another than usual: one is under way, or the last
    /// could not copy all, as a reader still needed the log.
    next: Option<i32>,
}

impl WalGrowth {
    /// Tells the length of the log after a commit. True: a checkpoint is to begin.
    pub fn grew_to(&mut self, pages: i32) -> bool {
        if pages < self.pages {
            self.next = None; // it began anew
        }
        self.pages = pages;
        let due = pages >= self.next.unwrap_or(CHECKPOINT_PAGES);
        if due {
            self.next = Some(i32::MAX);
        }
        due
    }

    /// A checkpoint has ended with so many pages left; none: it failed.
    pub fn checkpointed(&mut self, left: Option<i32>) {
        self.next = match left {
            Some(0) => None,
            // The next commit may find the same log, as long as a reader needs it.
            _ => Some(self.pages.saturating_add(CHECKPOINT_PAGES)),
        };
        if left == Some(0) {
            // The next commit begins it anew.
            self.pages = 0;
        }
    }
}

/// Copies what no reader stands in the way of, and gives the number of pages that are left.
pub fn checkpoint(connection: &Connection) -> rusqlite::Result<i32> {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
        let (pages, copied): (i32, i32) = (row.get(1)?, row.get(2)?);
        Ok(pages - copied)
    })
}

/// The thread that copies while commits go on. It starts with the first checkpoint.
pub struct Checkpointer {
    path: PathBuf,
    busy_timeout: Duration,
    done: Sender<WriteJob>,
    thread: Option<(SyncSender<()>, std::thread::JoinHandle<()>)>,
}

impl Checkpointer {
    /// It tells `done` when it is through.
    pub fn new(path: &Path, busy_timeout: Duration, done: Sender<WriteJob>) -> Self {
        Self { path: path.to_owned(), busy_timeout, done, thread: None }
    }

    /// Begins a checkpoint. False: no thread could be started.
    pub fn begin(&mut self) -> bool {
        if let Some((nudge, _)) = &self.thread {
            return nudge.try_send(()).is_ok();
        }
        let (nudge, nudged) = sync_channel(1);
        let (path, busy_timeout, done) = (self.path.clone(), self.busy_timeout, self.done.clone());
        let copy = move || {
            let mut connection = None;
            while nudged.recv().is_ok() {
                connection = connection.take().or_else(|| open(&path, busy_timeout).ok());
                if let Some(open) = &connection
                    && checkpoint(open).is_err()
                {
                    connection = None;
                }
                if done.send(WriteJob::EndCheckpoint).is_err() {
                    return;
                }
            }
        };
        let Ok(thread) = std::thread::Builder::new().name("store-checkpoint".into()).spawn(copy) else {
            return false;
        };
        let begun = nudge.try_send(()).is_ok();
        self.thread = Some((nudge, thread));
        begun
    }

    /// Ends the thread, and waits until its connection is closed.
    pub fn end(&mut self) {
        if let Some((nudge, thread)) = self.thread.take() {
            drop(nudge);
            let _ = thread.join(); // one that panicked has ended, too
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_begins_when_the_log_has_grown_by_enough() {
        let mut wal = WalGrowth::default();
        let mut begins = |pages| wal.grew_to(pages);
        assert!(!begins(999));
        assert!(begins(1_000));
        assert!(!begins(5_000), "one at a time");
        wal.checkpointed(Some(0));
        assert!(!wal.grew_to(3), "it began anew");
        assert!(wal.grew_to(1_001));
        // A reader needs some of it: it is left for a while.
        wal.checkpointed(Some(200));
        assert!(!wal.grew_to(1_500));
        assert!(wal.grew_to(2_001));
        wal.checkpointed(None);
        assert!(!wal.grew_to(3_000));
        assert!(wal.grew_to(3_001));
        wal.checkpointed(Some(1));
        assert!(!wal.grew_to(2), "somebody else has written the rest");
        assert!(wal.grew_to(1_000));
    }
}
