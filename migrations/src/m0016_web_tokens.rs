//! Sessions that are shown by JSON web tokens, which last as long as these.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let by_web_tokens = ColumnDef::new("by_web_tokens").boolean().not_null().default(false).take();
        manager.alter_table(Table::alter().table("sessions").add_column(by_web_tokens).take()).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}
