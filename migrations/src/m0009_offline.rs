//! A device that was never heard is offline. Before, it had a word of its own, `unknown`; that its `last_seen` is
//! none says the same.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_query::Query;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let offline = Query::update()
            .table("devices")
            .value("status", "offline")
            .and_where(Expr::col("status").eq("unknown"))
            .to_owned();
        manager.exec_stmt(offline).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}
