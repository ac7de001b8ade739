//! Kinds of columns that the steps share.

use sea_orm_migration::prelude::{ColumnDef, IntoIden, SchemaManager};
use sea_orm_migration::sea_orm::DbBackend;

/// Device ids have 128 characters at most.
pub const ID: u32 = 128;
/// Text that is looked up or sorted by. MySQL indexes 3072 bytes at most, which is 768 of its characters.
pub const KEY: u32 = 190;
/// The text that a search looks into.
pub const SEARCH: u32 = 600;

/// A 64-bit integer: numbers, places in the sequence, times in ms since the epoch.
pub fn big(name: impl IntoIden) -> ColumnDef {
    ColumnDef::new(name).big_integer().not_null().take()
}

/// The same where there may be none.
pub fn maybe(name: impl IntoIden) -> ColumnDef {
    ColumnDef::new(name).big_integer().take()
}

/// Text of at most `length` characters.
pub fn key(name: impl IntoIden, length: u32) -> ColumnDef {
    ColumnDef::new(name).string_len(length).not_null().take()
}

/// Text of any length. MySQL's own `text` ends at 64 KiB.
pub fn text(manager: &SchemaManager<'_>, name: impl IntoIden) -> ColumnDef {
    let mut column = ColumnDef::new(name);
    match manager.get_database_backend() {
        DbBackend::MySql => column.custom("longtext"),
        _ => column.text(),
    };
    column.not_null().take()
}

/// Bytes of any number. MySQL's own `blob` ends at 64 KiB.
pub fn bytes(manager: &SchemaManager<'_>, name: impl IntoIden) -> ColumnDef {
    let mut column = ColumnDef::new(name);
    match manager.get_database_backend() {
        DbBackend::MySql => column.custom("longblob"),
        _ => column.blob(),
    };
    column.not_null().take()
}
