//! Access of devices: the token before the present one, while both count, and keys that are bound to one purpose, such
//! as the provisioning of devices.

use sea_orm_migration::prelude::*;

use crate::columns::{KEY, big, key, maybe, text};

/// Of a key: 10 letters and digits.
const KEY_ID: u32 = 10;
/// The longest written form of an address.
const ADDRESS: u32 = 45;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let token = key("old_token_hash", KEY).default("").take();
        manager.alter_table(Table::alter().table("devices").add_column(token).take()).await?;
        let by_token =
            Index::create().name("devices_old_token_hash").table("devices").col("old_token_hash").take();
        manager.create_index(by_token).await?;

        let keys = Table::create()
            .table("bound_keys")
            .col(key("id", KEY_ID).primary_key())
            .col(key("kind", 3))
            .col(ColumnDef::new("hash").binary_len(32).not_null())
            .col(key("last_4", 4))
            .col(key("name", KEY))
            // The user who made it; none: nobody who could be removed.
            .col(ColumnDef::new("owner").binary_len(16))
            // JSON: what it is for.
            .col(text(manager, "purpose"))
            .col(big("created_at"))
            .col(maybe("expires_at"))
            .col(big("uses"))
            .col(maybe("most_uses"))
            .col(maybe("last_used_at"))
            .col(ColumnDef::new("last_address").string_len(ADDRESS))
            .take();
        manager.create_table(keys).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}
