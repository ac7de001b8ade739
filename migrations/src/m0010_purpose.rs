//! The purpose of a message in the outbox: whose it is and which command it carries, whatever its topic and payload are.

use sea_orm_migration::prelude::*;

use crate::columns::ID;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // A device's id, `command`, a UUID and a number.
        let purpose = ColumnDef::new("purpose").string_len(ID + 60).take();
        manager.alter_table(Table::alter().table("outbox").add_column(purpose).take()).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}
