//! The one connection that writes, and turns on it.

use std::time::Duration;

use sea_orm::{Database, DatabaseConnection, DatabaseTransaction, TransactionTrait};
use tokio::sync::{Mutex, MutexGuard};

use super::sqlite;
use crate::StoreError;

/// Hands out turns to write, first come, first served.
///
/// A connection whose transaction failed is not used again: SQLite ends a transaction by itself on some errors (a full
/// disk), and then the connection pool's idea of its state is wrong for good.
pub struct WriteConnection {
    url: String,
    busy_timeout: Duration,
    connection: Mutex<Option<DatabaseConnection>>,
}

/// A write transaction. Dropped, it is rolled back.
pub struct WriteTransaction<'a> {
    operation: &'static str,
    transaction: DatabaseTransaction,
    connection: DatabaseConnection,
    slot: MutexGuard<'a, Option<DatabaseConnection>>,
}

/// A transaction that is durable. While this is held, no other write begins.
#[must_use]
pub struct EndedTransaction<'a>(
    #[expect(dead_code, reason = "held for its drop")] MutexGuard<'a, Option<DatabaseConnection>>,
);

impl WriteConnection {
    pub fn new(url: &str, busy_timeout: Duration) -> Self {
        Self { url: url.to_owned(), busy_timeout, connection: Mutex::new(None) }
    }

    /// Waits for its turn, and gives the connection back. The next to write gets another.
    pub async fn close(&self) {
        if let Some(connection) = self.connection.lock().await.take() {
            let _ = connection.close().await; // it is not used any more either way
        }
    }

    /// Waits for its turn and begins a transaction, for `operation` in error messages.
    pub async fn begin(&self, operation: &'static str) -> Result<WriteTransaction<'_>, StoreError> {
        let failed = |error: sea_orm::DbErr| StoreError::Failed { operation, detail: error.to_string() };
        let mut slot = self.connection.lock().await;
        let connection = match slot.take() {
            Some(connection) => connection,
            None => Database::connect(sqlite::writer(&self.url, self.busy_timeout)).await.map_err(failed)?,
        };
        let transaction = connection.begin_with_options(sqlite::write_transaction()).await.map_err(failed)?;
        Ok(WriteTransaction { operation, transaction, connection, slot })
    }
}

impl<'a> WriteTransaction<'a> {
    pub fn sql(&self) -> &DatabaseTransaction {
        &self.transaction
    }

    /// Makes it durable.
    pub async fn finish(mut self) -> Result<EndedTransaction<'a>, StoreError> {
        let operation = self.operation;
        self.transaction
            .commit()
            .await
            .map_err(|error| StoreError::Unknown { operation, detail: error.to_string() })?;
        *self.slot = Some(self.connection);
        Ok(EndedTransaction(self.slot))
    }

    /// Ends it with nothing written.
    pub async fn abandon(mut self) -> Result<EndedTransaction<'a>, StoreError> {
        let operation = self.operation;
        self.transaction
            .rollback()
            .await
            .map_err(|error| StoreError::Failed { operation, detail: error.to_string() })?;
        *self.slot = Some(self.connection);
        Ok(EndedTransaction(self.slot))
    }
}
