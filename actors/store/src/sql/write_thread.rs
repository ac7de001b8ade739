//! The thread on which group commits are written: one message to it a commit, and one back.
//!
//! Through sea-orm's pool a commit of one row is four trips to the driver's thread and back (begin, insert, commit, and
//! a ping as the connection returns to the pool), each a switch of threads both ways. Here a transaction is sent whole,
//! its statements are prepared once, and one of a single statement needs no `BEGIN` and no `COMMIT`. So this one path goes
//! through rusqlite, which links the same SQLite as sqlx does; all else of the store stays with sea-orm. What each costs,
//! `examples/commit_cost.rs` measures.

#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::hooks::Wal;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, OpenFlags, ToSql};
use sea_orm::{Statement, Value};
use tokio::sync::oneshot;

use super::checkpoints::{Checkpointer, WalGrowth};
use super::{rows, sqlite};
use crate::StoreError;

/// Prepared statements that are kept. A commit of telemetry needs one; the others are of changes, where full statements
/// and those of few rows come again and again.
const CACHED_STATEMENTS: usize = 48;

/// A transaction, whole.
pub struct PlannedTransaction {
    /// For error messages.
    pub operation: &'static str,
    /// Looked at first.
    pub fence: Option<Fence>,
    /// The statements in order, each with its operation for error messages.
    pub statements: Vec<(&'static str, Statement)>,
}

/// A number in the database that must not be beyond a limit, or nothing of the transaction is done.
pub struct Fence {
    /// It selects one number, or none.
    pub query: Statement,
    pub most: i64,
    /// The error where it is beyond.
    pub refusal: StoreError,
}

/// Counts of what the thread did, since the store was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriteCounts {
    /// Messages to the thread that were answered: one a transaction.
    pub trips: u64,
    /// Statements executed, `BEGIN` and `COMMIT` among them.
    pub statements: u64,
}

/// The thread, from outside. It starts with the first transaction.
pub struct WriteThread {
    path: PathBuf,
    busy_timeout: Duration,
    jobs: Mutex<Option<Sender<WriteJob>>>,
    counters: Arc<WriteTally>,
}

#[derive(Default)]
struct WriteTally {
    trips: AtomicU64,
    statements: AtomicU64,
}

/// Work for the thread. A turn to write travels with it and back, so that nobody else writes before it is done, even
/// where the caller has gone away.
pub(super) enum WriteJob {
    Write(Box<dyn FnOnce(&mut ThreadConnection) + Send>),
    /// The checkpointer is through with what there was when it began.
    EndCheckpoint,
}

impl WriteThread {
    /// A thread that will write to the database in this file.
    pub fn new(path: &Path, busy_timeout: Duration) -> Self {
        Self { path: path.to_owned(), busy_timeout, jobs: Mutex::default(), counters: Arc::default() }
    }

    pub fn counts(&self) -> WriteCounts {
        WriteCounts {
            trips: self.counters.trips.load(Ordering::Relaxed),
            statements: self.counters.statements.load(Ordering::Relaxed),
        }
    }

    /// Writes a transaction. The `turn` comes back when it has ended, or is let go then, where the caller has gone away.
    pub async fn write<T: Send + 'static>(
        &self,
        turn: T,
        transaction: PlannedTransaction,
    ) -> (Option<T>, Result<(), StoreError>) {
        let operation = transaction.operation;
        let (reply, answer) = oneshot::channel();
        let job = WriteJob::Write(Box::new(move |connection| {
            let result = connection.write(transaction);
            // Where nobody waits any more, the turn ends here.
            let _ = reply.send((turn, result));
        }));
        if let Err(error) = self.send(job) {
            return (None, Err(StoreError::Failed { operation, detail: error.to_string() }));
        }
        match answer.await {
            Ok((turn, result)) => (Some(turn), result),
            Err(_) => {
                let detail = "the thread that writes has ended".to_owned();
                (None, Err(StoreError::Unknown { operation, detail }))
            }
        }
    }

    /// Ends the thread and closes its connection, after what it was sent.
    pub async fn close(&self) {
        let Some(jobs) = self.slot().take() else { return };
        let (reply, closed) = oneshot::channel();
        let job = WriteJob::Write(Box::new(move |connection| {
            connection.end();
            let _ = reply.send(());
        }));
        if jobs.send(job).is_ok() {
            drop(jobs);
            let _ = closed.await;
        }
    }

    /// Looks at the connection as it is, for tests.
    #[cfg(test)]
    pub async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Connection) -> T + Send + 'static,
    ) -> rusqlite::Result<T> {
        let (reply, answer) = oneshot::channel();
        let job = WriteJob::Write(Box::new(move |connection| {
            let _ = reply.send(connection.open().map(look));
        }));
        self.send(job).unwrap();
        answer.await.unwrap()
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Option<Sender<WriteJob>>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner) // a sender is whole whatever happens
    }

    fn send(&self, job: WriteJob) -> std::io::Result<()> {
        let mut slot = self.slot();
        let job = match &*slot {
            // One that has ended (a bug: it panicked) is started again.
            Some(jobs) => match jobs.send(job) {
                Ok(()) => return Ok(()),
                Err(error) => error.0,
            },
            None => job,
        };
        let (sender, receiver) = channel();
        let connection = ThreadConnection {
            path: self.path.clone(),
            busy_timeout: self.busy_timeout,
            open: None,
            has_ended: false,
            counters: Arc::clone(&self.counters),
            wal: WalGrowth::default(),
            checkpointer: Checkpointer::new(&self.path, self.busy_timeout, sender.clone()),
        };
        std::thread::Builder::new().name("store-writer".into()).spawn(move || run(connection, &receiver))?;
        // It cannot have ended before it had work.
        let _ = sender.send(job);
        *slot = Some(sender);
        Ok(())
    }
}

/// The thread ends when it has done what it was sent.
impl Drop for WriteThread {
    fn drop(&mut self) {
        if let Some(jobs) = self.slot().take() {
            let _ = jobs.send(WriteJob::Write(Box::new(ThreadConnection::end))); // it has ended where it fails
        }
    }
}

fn run(mut connection: ThreadConnection, jobs: &Receiver<WriteJob>) {
    while let Ok(job) = jobs.recv() {
        match job {
            WriteJob::Write(work) => {
                work(&mut connection);
                if connection.has_ended {
                    return;
                }
                connection.look_at_wal();
            }
            WriteJob::EndCheckpoint => connection.end_checkpoint(),
        }
    }
}

thread_local! {
    /// The pages in the write-ahead log after this thread's last commit.
    static WAL_PAGES: Cell<i32> = const { Cell::new(0) };
}

/// The length of the log as this thread knows it.
#[cfg(test)]
pub fn log_pages() -> i32 {
    WAL_PAGES.get()
}

/// The thread's connection. One whose transaction failed is not used again: SQLite ends a transaction by itself on some
/// errors (a full disk), and the next begins with nothing of it.
pub(super) struct ThreadConnection {
    path: PathBuf,
    busy_timeout: Duration,
    open: Option<Connection>,
    has_ended: bool,
    counters: Arc<WriteTally>,
    wal: WalGrowth,
    checkpointer: Checkpointer,
}

impl ThreadConnection {
    fn end(&mut self) {
        self.checkpointer.end();
        self.open = None;
        self.has_ended = true;
    }

    fn open(&mut self) -> rusqlite::Result<&Connection> {
        let connection = match self.open.take() {
            Some(connection) => connection,
            None => {
                let connection = open(&self.path, self.busy_timeout)?;
                connection.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
                connection.wal_hook(Some(|_: &Wal, pages| {
                    WAL_PAGES.set(pages);
                    Ok(())
                }));
                connection
            }
        };
        Ok(self.open.insert(connection))
    }

    fn write(&mut self, transaction: PlannedTransaction) -> Result<(), StoreError> {
        self.counters.trips.fetch_add(1, Ordering::Relaxed);
        let operation = transaction.operation;
        let counters = Arc::clone(&self.counters);
        let result = match self.open() {
            Ok(connection) => write(connection, transaction, &counters.statements),
            Err(error) => Err(failed(operation, &error)),
        };
        if result.is_err() {
            self.open = None; // and with it the transaction, where it has not ended
        }
        result
    }

    fn look_at_wal(&mut self) {
        if self.wal.grew_to(WAL_PAGES.get()) && !self.checkpointer.begin() {
            self.end_checkpoint();
        }
    }

    fn end_checkpoint(&mut self) {
        if let Ok(connection) = self.open() {
            // One that fails is tried again when the log has grown further.
            let left = super::checkpoints::checkpoint(connection).ok();
            self.wal.checkpointed(left);
        }
    }
}

/// Opens the file as sea-orm's connections are opened.
pub(super) fn open(path: &Path, busy_timeout: Duration) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(busy_timeout)?;
    for (name, value) in sqlite::WRITER_PRAGMAS {
        connection.pragma_update(None, name, value)?;
    }
    Ok(connection)
}

fn write(
    connection: &Connection,
    PlannedTransaction { operation, fence, statements }: PlannedTransaction,
    count: &AtomicU64,
) -> Result<(), StoreError> {
    if let (None, [(operation, statement)]) = (&fence, &*statements) {
        // It commits by itself.
        return run_statement(connection, statement, count).map_err(|error| {
            if was_nothing_done(&error) { failed(operation, &error) } else { unknown(operation, &error) }
        });
    }
    let begin = |sql| {
        count.fetch_add(1, Ordering::Relaxed);
        connection.prepare_cached(sql).and_then(|mut statement| statement.raw_execute().map(drop))
    };
    begin("BEGIN IMMEDIATE").map_err(|error| failed(operation, &error))?;
    if let Some(Fence { query, most, refusal }) = fence
        && selected(connection, &query, count)
            .map_err(|error| failed(operation, &error))?
            .is_some_and(|n| n > most)
    {
        return Err(refusal);
    }
    for (operation, statement) in &statements {
        run_statement(connection, statement, count).map_err(|error| failed(operation, &error))?;
    }
    begin("COMMIT").map_err(|error| unknown(operation, &error))
}

fn run_statement(connection: &Connection, statement: &Statement, count: &AtomicU64) -> rusqlite::Result<()> {
    count.fetch_add(1, Ordering::Relaxed);
    let mut prepared = connection.prepare_cached(&statement.sql)?;
    bind(&mut prepared, statement)?;
    prepared.raw_execute().map(drop)
}

fn selected(connection: &Connection, query: &Statement, count: &AtomicU64) -> rusqlite::Result<Option<i64>> {
    count.fetch_add(1, Ordering::Relaxed);
    let mut prepared = connection.prepare_cached(&query.sql)?;
    bind(&mut prepared, query)?;
    let mut rows = prepared.raw_query();
    rows.next()?.map(|row| row.get(0)).transpose()
}

fn bind(prepared: &mut rusqlite::CachedStatement<'_>, statement: &Statement) -> rusqlite::Result<()> {
    for (place, value) in (1..).zip(statement.values.iter().flat_map(|values| &values.0)) {
        prepared.raw_bind_parameter(place, SqlValue(value))?;
    }
    Ok(())
}

/// A value of sea-orm's, for rusqlite: those that the entities have.
struct SqlValue<'a>(&'a Value);

impl ToSql for SqlValue<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let integer = |number: Option<i64>| number.map_or(ValueRef::Null, ValueRef::Integer);
        Ok(ToSqlOutput::Borrowed(match self.0 {
            Value::Bool(value) => integer(value.map(i64::from)),
            Value::TinyInt(value) => integer(value.map(i64::from)),
            Value::SmallInt(value) => integer(value.map(i64::from)),
            Value::Int(value) => integer(value.map(i64::from)),
            Value::BigInt(value) => integer(*value),
            // Limits of queries; nobody counts to 2^63.
            Value::BigUnsigned(value) => integer(value.map(rows::int)),
            Value::Double(value) => value.map_or(ValueRef::Null, ValueRef::Real),
            Value::String(value) => {
                value.as_ref().map_or(ValueRef::Null, |text| ValueRef::Text(text.as_bytes()))
            }
            Value::Bytes(value) => value.as_ref().map_or(ValueRef::Null, |bytes| ValueRef::Blob(bytes)),
            other => {
                let detail = format!("{other:?} is of no type that the store writes");
                return Err(rusqlite::Error::ToSqlConversionFailure(detail.into()));
            }
        }))
    }
}

/// Did a statement that commits by itself fail before the commit began? Where the error is of the disk, its pages may be
/// in the log or not.
fn was_nothing_done(error: &rusqlite::Error) -> bool {
    use ErrorCode::{
        CannotOpen, ConstraintViolation, DatabaseBusy, DatabaseLocked, NotADatabase, ReadOnly, SchemaChanged,
        TooBig, TypeMismatch,
    };
    const SQL_ERROR: i32 = 1; // no such table, and the like
    match error {
        rusqlite::Error::SqliteFailure(failure, _) => {
            failure.extended_code == SQL_ERROR
                || matches!(
                    failure.code,
                    CannotOpen
                        | ConstraintViolation
                        | DatabaseBusy
                        | DatabaseLocked
                        | NotADatabase
                        | ReadOnly
                        | SchemaChanged
                        | TooBig
                        | TypeMismatch
                )
        }
        // Of preparing and binding.
        _ => true,
    }
}

fn failed(operation: &'static str, error: &rusqlite::Error) -> StoreError {
    StoreError::Failed { operation, detail: error.to_string() }
}

fn unknown(operation: &'static str, error: &rusqlite::Error) -> StoreError {
    StoreError::Unknown { operation, detail: error.to_string() }
}
