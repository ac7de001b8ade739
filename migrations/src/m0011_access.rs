//! Access: users, their keys and those of service accounts, sessions, and the audit.

use sea_orm_migration::prelude::*;

use crate::columns::{KEY, big, key, maybe, text};

/// E-mail addresses have 254 bytes at most.
const EMAIL: u32 = 254;
/// Of a key: 10 letters and digits.
const KEY_ID: u32 = 10;
/// The longest written form of an address.
const ADDRESS: u32 = 45;

/// Entries come by their place, of all or of one caller, action or target; they go by their time.
const AUDIT_INDEXES: [&[&str]; 4] = [&["who", "seq"], &["action", "seq"], &["target", "seq"], &["at"]];

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let users = Table::create()
            .table("users")
            .col(uuid("id").not_null().primary_key())
            // As they are compared: in lower case, composed.
            .col(key("name_key", KEY))
            .col(ColumnDef::new("email_key").string_len(EMAIL))
            .col(big("created_at"))
            // JSON, sealed: it has the hash of a password and the secret of a second factor.
            .col(text(manager, "body"))
            .take();
        manager.create_table(users).await?;
        index(manager, "users", &["name_key"], true).await?;
        index(manager, "users", &["email_key"], true).await?;

        let keys = Table::create()
            .table("access_keys")
            .col(key("id", KEY_ID).primary_key())
            .col(key("kind", 3))
            // None: a service account's.
            .col(uuid("owner"))
            .col(ColumnDef::new("hash").binary_len(32).not_null())
            .col(key("last_4", 4))
            .col(key("name", KEY))
            .col(key("role", 16))
            .col(text(manager, "scope"))
            .col(big("created_at"))
            .col(big("expires_at"))
            .col(maybe("last_used_at"))
            .col(ColumnDef::new("last_address").string_len(ADDRESS))
            .take();
        manager.create_table(keys).await?;
        index(manager, "access_keys", &["owner"], false).await?;

        let sessions = Table::create()
            .table("sessions")
            .col(uuid("id").not_null().primary_key())
            .col(ColumnDef::new("hash").binary_len(32).not_null())
            .col(uuid("user").not_null())
            .col(big("created_at"))
            .col(big("last_seen"))
            .col(key("address", ADDRESS))
            .col(text(manager, "agent"))
            .take();
        manager.create_table(sessions).await?;
        index(manager, "sessions", &["hash"], true).await?;
        index(manager, "sessions", &["user"], false).await?;

        let audit = Table::create()
            .table("audit")
            // A place is never given again, even when the last entry is gone.
            .col(ColumnDef::new("seq").big_integer().not_null().auto_increment().primary_key())
            .col(big("at"))
            .col(key("who", KEY))
            .col(ColumnDef::new("address").string_len(ADDRESS))
            .col(key("action", 32))
            .col(key("target", KEY))
            .col(key("outcome", 16))
            .col(text(manager, "detail"))
            .take();
        manager.create_table(audit).await?;
        for columns in AUDIT_INDEXES {
            index(manager, "audit", columns, false).await?;
        }
        Ok(())
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

/// A UUID's bytes.
fn uuid(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).binary_len(16).take()
}

async fn index(
    manager: &SchemaManager<'_>,
    table: &'static str,
    columns: &[&'static str],
    unique: bool,
) -> Result<(), DbErr> {
    let mut index = Index::create().name(format!("{table}_{}", columns.join("_"))).table(table).take();
    if unique {
        index.unique();
    }
    for column in columns {
        index.col(*column);
    }
    manager.create_index(index).await
}
