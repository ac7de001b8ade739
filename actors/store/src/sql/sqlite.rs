//! Code for SQLite alone.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use sea_orm::sea_query::extension::sqlite::SqliteExpr;
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sea_orm::{ColumnTrait, ConnectOptions, SqliteTransactionMode, TransactionOptions};
use twinhub_domain::IdPattern;

/// A page holds a whole chunk of an ordinary device, so most reads of one touch one page.
const PAGE_BYTES: u32 = 8_192;
/// The write-ahead log is cut back to this after a checkpoint: one long reader may have let it grow.
const LOG_BYTES: &str = "67108864";
/// The page cache of a connection (negative means KiB to SQLite). The writer goes over the same pages again and again;
/// for readers the system's own cache does.
const WRITER_CACHE: &str = "-2048";
const READER_CACHE: &str = "-1024";
/// Statements that write the last few rows of many differ by how many, and are seldom met again; only a few are cached:
/// full ones and those of the hot path are among the last used.
const CACHED_STATEMENTS: usize = 16;

/// Commits are not to wait for a checkpoint, see `checkpoints`: within a commit SQLite begins one only where the log is
/// four times as long as usual.
const AUTOCHECKPOINT_PAGES: &str = "4000";

/// The settings of connections that write beside sea-orm's, alike.
pub const WRITER_PRAGMAS: [(&str, &str); 6] = [
    ("foreign_keys", "ON"),
    ("journal_mode", "WAL"),
    ("synchronous", "FULL"),
    ("journal_size_limit", LOG_BYTES),
    ("cache_size", WRITER_CACHE),
    ("wal_autocheckpoint", AUTOCHECKPOINT_PAGES),
];

/// The file of the database at `url`.
///
/// # Errors
/// The URL is none of SQLite's.
pub fn file(url: &str) -> Result<PathBuf, String> {
    let options = SqliteConnectOptions::from_str(url).map_err(|error| error.to_string())?;
    Ok(options.get_filename().to_owned())
}

/// Is `url` a SQLite database that more than one connection can see?
pub fn check_url(url: &str) -> Result<(), &'static str> {
    if !url.starts_with("sqlite:") {
        return Err("only sqlite: is supported so far");
    }
    if url.contains(":memory:") || url.contains("mode=memory") {
        return Err("a database in memory is seen by one connection alone: name a file");
    }
    Ok(())
}

/// The options of the connection that writes, waiting for `busy_timeout` where the file is locked.
pub fn writer(url: &str, busy_timeout: Duration) -> ConnectOptions {
    connections(url, 1, WRITER_CACHE, busy_timeout)
}

/// The options of the connections that read.
pub fn readers(url: &str, count: u32, busy_timeout: Duration) -> ConnectOptions {
    connections(url, Ord::max(count, 1), READER_CACHE, busy_timeout)
}

/// With a write-ahead log readers and the writer don't wait for each other, and `synchronous=FULL` makes
/// each commit wait for the disk.
fn connections(url: &str, count: u32, cache: &'static str, busy_timeout: Duration) -> ConnectOptions {
    let mut options = ConnectOptions::new(url);
    options
        .max_connections(count)
        .min_connections(1)
        .acquire_timeout(busy_timeout + Duration::from_secs(5))
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .sqlx_logging(false)
        .map_sqlx_sqlite_opts(move |sqlite| {
            sqlite
                .create_if_missing(true)
                .page_size(PAGE_BYTES)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full)
                .busy_timeout(busy_timeout)
                .pragma("journal_size_limit", LOG_BYTES)
                .pragma("cache_size", cache)
                .pragma("wal_autocheckpoint", AUTOCHECKPOINT_PAGES)
                .statement_cache_capacity(CACHED_STATEMENTS)
        });
    options
}

/// Options of a transaction that writes. It takes the write lock at its start: one that begins to read and then writes
/// can be refused in its middle.
pub fn write_transaction() -> TransactionOptions {
    TransactionOptions {
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..Default::default()
    }
}

/// A condition for texts that fit one of these patterns, case and all. Ids have none of the characters that mean more
/// to SQLite than they do in a pattern.
pub fn fits(column: impl ColumnTrait, patterns: &[IdPattern]) -> Expr {
    let fits = |pattern: &IdPattern| Expr::col(column.as_column_ref()).glob(pattern.as_str());
    patterns.iter().map(fits).reduce(ExprTrait::or).unwrap_or_else(|| Expr::val(1).eq(0))
}

#[cfg(test)]
mod tests {
    use sea_orm::{ConnectionTrait, DatabaseBackend, DatabaseConnection, Statement, TransactionTrait};
    use tempfile::TempDir;

    use std::time::Duration;

    use crate::sql::write_thread::open;
    use crate::sql::{SqlOptions, SqlStore};

    const PRAGMAS: [&str; 4] = ["synchronous", "journal_mode", "page_size", "journal_size_limit"];

    async fn pragmas(sql: &impl ConnectionTrait) -> Vec<String> {
        let mut found = Vec::new();
        for name in PRAGMAS {
            let asked = Statement::from_string(DatabaseBackend::Sqlite, format!("PRAGMA {name}"));
            let row = sql.query_one_raw(asked).await.unwrap().unwrap();
            let text = row.try_get_by::<String, _>(0);
            found.push(text.unwrap_or_else(|_| row.try_get_by::<i64, _>(0).unwrap().to_string()));
        }
        found
    }

    /// Acknowledged batches must outlive a power cut: each commit waits for the disk, whichever connection makes it.
    #[tokio::test]
    async fn every_connection_waits_for_the_disk() {
        let folder = TempDir::new().unwrap();
        let url = format!("sqlite:{}", folder.path().join("twinhub.db").display());
        let store = SqlStore::open(&url, SqlOptions::default()).await.unwrap();
        let readers: &DatabaseConnection = &store.readers;
        let mut held = Vec::new(); // together, so that each is another connection
        for _ in 0..SqlOptions::default().readers {
            held.push(readers.begin().await.unwrap());
        }
        const FULL: &str = "2";
        for reader in &held {
            assert_eq!(pragmas(reader).await, [FULL, "wal", "8192", "67108864"]);
        }
        drop(held);
        let turn = store.writer.begin("look").await.unwrap();
        assert_eq!(pragmas(turn.sql()).await, [FULL, "wal", "8192", "67108864"]);
        drop(turn);
        let commits = store.writer.thread().look(|sql| PRAGMAS.map(|name| pragma(sql, name))).await.unwrap();
        assert_eq!(commits, [FULL, "wal", "8192", "67108864"]);
        let checkpoints = open(&folder.path().join("twinhub.db"), Duration::ZERO).unwrap();
        assert_eq!(PRAGMAS.map(|name| pragma(&checkpoints, name)), [FULL, "wal", "8192", "67108864"]);
    }

    fn pragma(sql: &rusqlite::Connection, name: &str) -> String {
        let value =
            sql.pragma_query_value(None, name, |row| row.get::<_, rusqlite::types::Value>(0)).unwrap();
        match value {
            rusqlite::types::Value::Text(text) => text,
            rusqlite::types::Value::Integer(number) => number.to_string(),
            other => panic!("{name} is {other:?}"),
        }
    }
}
