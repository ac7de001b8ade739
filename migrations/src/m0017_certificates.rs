//! The certificates that are bound to devices: by which fingerprint a device is found, and when a certificate ends.

use sea_orm_migration::prelude::*;

use crate::columns::{KEY, key, maybe};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let fingerprint = key("certificate", KEY).default("").take();
        manager.alter_table(Table::alter().table("devices").add_column(fingerprint).take()).await?;
        let end = maybe("certificate_end");
        manager.alter_table(Table::alter().table("devices").add_column(end).take()).await?;
        for column in ["certificate", "certificate_end"] {
            let index = Index::create().name(format!("devices_{column}")).table("devices").col(column).take();
            manager.create_index(index).await?;
        }
        Ok(())
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}
