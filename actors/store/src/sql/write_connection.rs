//! Turns to write: on the one connection of sea-orm's that writes, or of a transaction that is sent whole to the thread
//! for commits.

use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;

use sea_orm::{
    ConnectionTrait, Database, DatabaseConnection, DatabaseTransaction, Statement, TransactionTrait,
};
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::sqlite;
use super::write::WriteSql;
use super::write_thread::{Fence, PlannedTransaction, WriteThread};
use crate::StoreError;

/// Hands out turns to write, first come, first served.
///
/// A connection whose transaction failed is not used again: SQLite ends a transaction by itself on some errors (a full
/// disk), and then the connection pool's idea of its state is wrong for good.
pub struct WriteConnection {
    url: String,
    busy_timeout: Duration,
    connection: Arc<Mutex<Option<DatabaseConnection>>>,
    thread: WriteThread,
}

/// A turn, with the connection of the next to write by sea-orm.
type WriteTurn = OwnedMutexGuard<Option<DatabaseConnection>>;

/// A write transaction. Dropped, it is rolled back.
pub struct WriteTransaction {
    operation: &'static str,
    transaction: DatabaseTransaction,
    connection: DatabaseConnection,
    turn: WriteTurn,
}

/// A write transaction that is gathered, and sent to the database whole. Dropped, nothing of it is done.
pub struct GatheredTransaction<'a> {
    operation: &'static str,
    statements: StdMutex<Vec<(&'static str, Statement)>>,
    /// For reads; nobody else writes meanwhile.
    connection: DatabaseConnection,
    thread: &'a WriteThread,
    turn: WriteTurn,
}

/// A transaction that has ended. While this is held, no other write begins.
#[must_use]
pub struct EndedTransaction(#[expect(dead_code, reason = "held for its drop")] Option<WriteTurn>);

impl WriteConnection {
    /// # Errors
    /// The URL is none of SQLite's.
    pub fn new(url: &str, busy_timeout: Duration) -> Result<Self, String> {
        let thread = WriteThread::new(&sqlite::file(url)?, busy_timeout);
        Ok(Self { url: url.to_owned(), busy_timeout, connection: Arc::default(), thread })
    }

    /// The thread for commits.
    pub fn thread(&self) -> &WriteThread {
        &self.thread
    }

    /// Waits for its turn, and gives the connections back. The next to write gets others.
    pub async fn close(&self) {
        let mut turn = self.connection.lock().await;
        self.thread.close().await;
        if let Some(connection) = turn.take() {
            let _ = connection.close().await; // it is not used any more either way
        }
    }

    /// Waits for its turn and begins a transaction, for `operation` in error messages.
    pub async fn begin(&self, operation: &'static str) -> Result<WriteTransaction, StoreError> {
        let mut turn = Arc::clone(&self.connection).lock_owned().await;
        let connection = self.connect(operation, &mut turn).await?;
        *turn = None;
        let transaction =
            connection.begin_with_options(sqlite::write_transaction()).await.map_err(failed(operation))?;
        Ok(WriteTransaction { operation, transaction, connection, turn })
    }

    /// Waits for its turn and gathers a transaction, for `operation` in error messages.
    pub async fn gather(&self, operation: &'static str) -> Result<GatheredTransaction<'_>, StoreError> {
        let mut turn = Arc::clone(&self.connection).lock_owned().await;
        let connection = self.connect(operation, &mut turn).await?;
        Ok(GatheredTransaction {
            operation,
            statements: StdMutex::default(),
            connection,
            thread: &self.thread,
            turn,
        })
    }

    async fn connect(
        &self,
        operation: &'static str,
        turn: &mut WriteTurn,
    ) -> Result<DatabaseConnection, StoreError> {
        if let Some(connection) = &**turn {
            return Ok(connection.clone());
        }
        let connecting = Database::connect(sqlite::writer(&self.url, self.busy_timeout));
        Ok(turn.insert(connecting.await.map_err(failed(operation))?).clone())
    }
}

fn failed(operation: &'static str) -> impl Fn(sea_orm::DbErr) -> StoreError {
    move |error| StoreError::Failed { operation, detail: error.to_string() }
}

impl WriteTransaction {
    pub fn sql(&self) -> &DatabaseTransaction {
        &self.transaction
    }

    /// Makes it durable.
    pub async fn finish(mut self) -> Result<EndedTransaction, StoreError> {
        let operation = self.operation;
        self.transaction
            .commit()
            .await
            .map_err(|error| StoreError::Unknown { operation, detail: error.to_string() })?;
        *self.turn = Some(self.connection);
        Ok(EndedTransaction(Some(self.turn)))
    }

    /// Ends it with nothing written.
    pub async fn abandon(mut self) -> Result<EndedTransaction, StoreError> {
        let operation = self.operation;
        self.transaction
            .rollback()
            .await
            .map_err(|error| StoreError::Failed { operation, detail: error.to_string() })?;
        *self.turn = Some(self.connection);
        Ok(EndedTransaction(Some(self.turn)))
    }
}

impl GatheredTransaction<'_> {
    /// Writes all of it, in one trip, unless `fence` refuses it. The turn goes on until what is given back is dropped; it
    /// ends by itself where the caller goes away, but not before the transaction has ended.
    pub async fn finish(self, fence: Option<Fence>) -> (EndedTransaction, Result<(), StoreError>) {
        let Self { operation, statements, thread, turn, .. } = self;
        let statements = statements.into_inner().unwrap_or_else(PoisonError::into_inner);
        let (turn, result) = thread.write(turn, PlannedTransaction { operation, fence, statements }).await;
        (EndedTransaction(turn), result)
    }
}

impl WriteSql for GatheredTransaction<'_> {
    fn reads(&self) -> &impl ConnectionTrait {
        &self.connection
    }

    async fn take(&self, operation: &'static str, statement: Statement) -> Result<(), StoreError> {
        self.statements.lock().unwrap_or_else(PoisonError::into_inner).push((operation, statement));
        Ok(())
    }
}
