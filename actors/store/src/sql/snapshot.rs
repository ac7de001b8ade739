//! A copy of a database as it is at one moment, while a hub writes to it, and a look through all that is stored in one.

use std::panic::RefUnwindSafe;
use std::path::Path;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use rusqlite::{Connection, OpenFlags};
use sea_orm::{EntityTrait, PaginatorTrait};

use super::entities::{chunk, journal, meta, piece};
use super::rows::{self, failed};
use super::{SqlStore, chunks};
use crate::history::Summary;
use crate::{Store as _, StoreError};

const COPY: &str = "copy the database";
const LOOK: &str = "look through the database";
/// Instructions of SQLite between two looks at how far it is: some milliseconds.
const LOOK_EVERY: i32 = 100_000;
/// As [`super::head::head`] finds it.
const LAST_PLACE: &str = "SELECT max(coalesce((SELECT max(last_seq) FROM journal), 0), \
    coalesce((SELECT value FROM meta WHERE name = ?1), 0))";

/// The amount of what lies in a database, all of which could be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoredAmount {
    /// The last place in the sequence.
    pub seq: u64,
    /// Messages with readings, in chunks and pieces.
    pub messages: u64,
    /// Events in the journal.
    pub events: u64,
}

/// Copies the SQLite database in the file `from` into the new file `to`, which is durable then, and gives the last place in
/// the sequence of the copy. A hub that writes to it goes on: the copy is of the moment at which it begins, and has no free
/// pages. `progress` is told, now and then, about how many bytes of how many are written. Blocks.
///
/// # Errors
/// The database cannot be read or `to` cannot be written, or is there already.
pub fn copy_database(
    from: &Path,
    to: &Path,
    mut progress: impl FnMut(u64, u64) + Send + RefUnwindSafe + 'static,
) -> Result<u64, StoreError> {
    // SQLite would make an empty one.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let copied = Connection::open_with_flags(from, flags).and_then(|source| {
        source.busy_timeout(Duration::from_secs(5))?;
        let number = |name| source.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let used = number("page_count")?.saturating_sub(number("freelist_count")?);
        let all = rows::uint(used.saturating_mul(number("page_size")?));
        let growing = to.to_owned();
        let look = move || {
            progress(growing.metadata().map_or(0, |file| file.len()).min(all), all);
            false // it goes on
        };
        source.progress_handler(LOOK_EVERY, Some(look))?;
        source.execute("VACUUM INTO ?1", [to.to_string_lossy()])?;
        Connection::open_with_flags(to, flags)?.query_row(LAST_PLACE, [meta::ORDERED_SEQ], |row| row.get(0))
    });
    let failed = |detail| StoreError::Failed { operation: COPY, detail };
    let seq: i64 = copied.map_err(|error| failed(error.to_string()))?;
    // SQLite does not wait for the disk here.
    let synced = std::fs::File::open(to).and_then(|file| file.sync_all());
    synced.map_err(|error| failed(format!("{}: {error}", to.display())))?;
    Ok(rows::uint(seq))
}

/// See [`SqlStore::look_through`].
pub async fn look_through(
    store: &SqlStore,
    mut progress: impl FnMut(u64, u64) + Send,
) -> Result<StoredAmount, StoreError> {
    let sql = &store.readers;
    let mut all = 0;
    for count in [
        chunk::Entity::find().count(sql).await,
        piece::Entity::find().count(sql).await,
        journal::Entity::find().count(sql).await,
    ] {
        all += count.map_err(failed(LOOK))?;
    }
    let mut read = 0;
    let mut one_more = || {
        read += 1;
        progress(read, all);
    };
    let mut amount = StoredAmount { seq: store.head().await?.seq, ..StoredAmount::default() };
    let mut rows = chunk::Entity::find().stream(sql).await.map_err(failed(LOOK))?;
    while let Some(row) = rows.try_next().await.map_err(failed(LOOK))? {
        amount.messages += chunks::messages(LOOK, &row)?.len() as u64;
        if let Some(summary) = &row.summary {
            Summary::decode(summary).map_err(rows::damaged(LOOK, row.first_seq))?;
        }
        one_more();
    }
    drop(rows);
    let mut rows = piece::Entity::find().stream(sql).await.map_err(failed(LOOK))?;
    while let Some(row) = rows.try_next().await.map_err(failed(LOOK))? {
        amount.messages += rows::messages(LOOK, row.first_seq, &row.body)?.len() as u64;
        one_more();
    }
    drop(rows);
    let mut rows = journal::Entity::find().stream(sql).await.map_err(failed(LOOK))?;
    while let Some(row) = rows.try_next().await.map_err(failed(LOOK))? {
        amount.events += store.events(LOOK, row.first_seq, &row.body).await?.len() as u64;
        one_more();
    }
    Ok(amount)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::contract::support::TestFleet;
    use crate::{SqlOptions, Store};

    async fn open(path: &Path) -> std::sync::Arc<SqlStore> {
        SqlStore::open(&format!("sqlite:{}", path.display()), SqlOptions::default()).await.unwrap()
    }

    #[tokio::test]
    async fn a_copy_has_what_there_was_at_its_beginning() {
        let folder = TempDir::new().unwrap();
        let (from, to) = (folder.path().join("twinhub.db"), folder.path().join("copy.db"));
        let store = open(&from).await;
        let mut world = TestFleet::new();
        for number in 0..20 {
            world.register(&format!("pump-{number}"), r#"{"name": "Pump"}"#);
        }
        store.commit(&mut world.batch()).await.unwrap();
        let seq = copy_database(&from, &to, |_, _| {}).unwrap();
        world.register("later", r#"{"name": "Later"}"#);
        store.commit(&mut world.batch()).await.unwrap();
        let copy = open(&to).await;
        assert_eq!(copy.damages().await.unwrap(), [""; 0]);
        let (mine, its) = (
            store.replay(0, u64::MAX, 1_000).await.unwrap().events,
            copy.replay(0, u64::MAX, 1_000).await.unwrap().events,
        );
        assert_eq!(format!("{its:?}"), format!("{:?}", &mine[..20]));
        let amount = copy.look_through(|_, _| {}).await.unwrap();
        assert_eq!((amount.events, amount.seq, seq), (20, 20, 20));
        assert_eq!(store.head().await.unwrap().seq, 21);
    }

    #[tokio::test]
    async fn a_file_that_is_there_stays() {
        let folder = TempDir::new().unwrap();
        let (from, to) = (folder.path().join("twinhub.db"), folder.path().join("copy.db"));
        let _store = open(&from).await;
        std::fs::write(&to, "mine").unwrap();
        assert!(copy_database(&from, &to, |_, _| {}).is_err());
        assert_eq!(std::fs::read(&to).unwrap(), b"mine");
        let nothing = folder.path().join("nothing.db");
        assert!(copy_database(&nothing, &folder.path().join("x"), |_, _| {}).is_err());
        assert!(!nothing.exists(), "it is not made");
    }
}
