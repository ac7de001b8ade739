//! Rows written in bulk, by commits and by the making of order.

use std::future::Future;

use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ActiveModelTrait, ConnectionTrait, DatabaseTransaction, DbBackend, EntityTrait, IntoActiveModel,
    Iterable, ModelTrait, QueryTrait, Statement,
};

use super::entities::{meta, twin};
use super::rows::failed;
use crate::StoreError;

/// Values in one statement at most. Databases take more (SQLite 32,766, MySQL and PostgreSQL 65,535), but
/// each value costs its text, its place here and its place in the prepared statement, which is kept; and full
/// statements are all alike, so that they need not be prepared again.
const MOST_VALUES: usize = 500;

/// The number of values of one kind (the members of an `IN`) in one statement.
pub const AT_ONCE: usize = MOST_VALUES - 1;

/// A transaction that takes statements: it executes each at once, or gathers them to be sent whole.
pub trait WriteSql: Sync {
    /// The connection for reads. It may not see what this transaction wrote.
    fn reads(&self) -> &impl ConnectionTrait;

    /// Takes a statement, with its operation for error messages.
    fn take(
        &self,
        operation: &'static str,
        statement: Statement,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The same of one that is not built yet.
    fn run(
        &self,
        operation: &'static str,
        query: impl QueryTrait,
    ) -> impl Future<Output = Result<(), StoreError>> + Send {
        self.take(operation, query.build(DbBackend::Sqlite))
    }
}

impl WriteSql for DatabaseTransaction {
    fn reads(&self) -> &impl ConnectionTrait {
        self
    }

    async fn take(&self, operation: &'static str, statement: Statement) -> Result<(), StoreError> {
        self.execute_raw(statement).await.map(drop).map_err(failed(operation))
    }
}

/// Inserts `rows` in as few statements as databases take.
pub async fn insert<M>(
    sql: &impl WriteSql,
    operation: &'static str,
    rows: Vec<M>,
    on_conflict: Option<OnConflict>,
) -> Result<(), StoreError>
where
    M: ModelTrait + IntoActiveModel<<M::Entity as EntityTrait>::ActiveModel>,
    <M::Entity as EntityTrait>::ActiveModel: ActiveModelTrait<Entity = M::Entity> + Send,
{
    let at_once = MOST_VALUES / <M::Entity as EntityTrait>::Column::iter().count().max(1);
    let mut left = rows.into_iter().map(IntoActiveModel::into_active_model);
    loop {
        let some: Vec<_> = left.by_ref().take(at_once).collect();
        if some.is_empty() {
            return Ok(());
        }
        let mut insert = M::Entity::insert_many(some);
        if let Some(on_conflict) = &on_conflict {
            insert = insert.on_conflict(on_conflict.clone());
        }
        sql.run(operation, insert).await?;
    }
}

/// Writes twins' states. `columns` are those that an existing row takes over.
pub async fn twins(
    sql: &impl WriteSql,
    twins: Vec<twin::Model>,
    columns: &[twin::Column],
) -> Result<(), StoreError> {
    let overwrite =
        OnConflict::column(twin::Column::Number).update_columns(columns.iter().copied()).to_owned();
    insert(sql, "write twins", twins, Some(overwrite)).await
}

/// Sets one of the numbers that outlive their rows.
pub async fn meta(sql: &impl WriteSql, name: &str, value: i64) -> Result<(), StoreError> {
    let row = meta::Model { name: name.to_owned(), value };
    let overwrite = OnConflict::column(meta::Column::Name).update_column(meta::Column::Value).to_owned();
    insert(sql, "write meta", vec![row], Some(overwrite)).await
}
