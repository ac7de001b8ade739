//! Types and tags of devices in their composed form (NFC), by which filters find them however they were typed.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{DbBackend, TryGetable as _};
use unicode_normalization::UnicodeNormalization as _;

use crate::columns::KEY;

/// Rows that are looked at with one question.
const AT_ONCE: u64 = 1_000;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        types(manager).await?;
        tags(manager).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

async fn types(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let sql = manager.get_connection();
    let mut after = i64::MIN;
    loop {
        let some = Query::select()
            .columns(["number", "type"])
            .from("devices")
            .and_where(Expr::col("number").gt(after))
            .and_where(may_change(manager, "type"))
            .order_by("number", Order::Asc)
            .limit(AT_ONCE)
            .to_owned();
        let rows = sql.query_all(&some).await?;
        if rows.is_empty() {
            return Ok(());
        }
        for row in rows {
            after = row.try_get("", "number")?;
            let device_type = String::try_get(&row, "", "type")?;
            let update = Query::update()
                .table("devices")
                .value("type", composed(&device_type))
                .and_where(Expr::col("number").eq(after))
                .to_owned();
            sql.execute(&update).await?;
        }
    }
}

async fn tags(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let sql = manager.get_connection();
    let (mut device, mut name) = (i64::MIN, String::new());
    loop {
        let behind = Cond::any()
            .add(Expr::col("device").gt(device))
            .add(Expr::col("device").eq(device).and(Expr::col("name").gt(name.as_str())));
        let some = Query::select()
            .columns(["device", "name", "value"])
            .from("tags")
            .cond_where(behind)
            .and_where(may_change(manager, "name").or(may_change(manager, "value")))
            .order_by("device", Order::Asc)
            .order_by("name", Order::Asc)
            .limit(AT_ONCE)
            .to_owned();
        let rows = sql.query_all(&some).await?;
        if rows.is_empty() {
            return Ok(());
        }
        for row in rows {
            device = row.try_get("", "device")?;
            name = row.try_get("", "name")?;
            let value = String::try_get(&row, "", "value")?;
            let now = composed(&name);
            let of = |name: &str| Expr::col("device").eq(device).and(Expr::col("name").eq(name));
            if now != name {
                // Two names that were typed in two forms are one now: the one that comes first stays.
                let other = Query::delete().from_table("tags").and_where(of(&now)).to_owned();
                sql.execute(&other).await?;
            }
            let update = Query::update()
                .table("tags")
                .value("name", now.as_str())
                .value("value", composed(&value))
                .and_where(of(&name))
                .and_where(Expr::col("value").eq(value.as_str())) // it may have given way to one before it
                .to_owned();
            sql.execute(&update).await?;
        }
    }
}

/// May the text have another form? SQLite finds those that are not ASCII itself.
fn may_change(manager: &SchemaManager<'_>, column: &'static str) -> Expr {
    match manager.get_database_backend() {
        DbBackend::Sqlite => Expr::cust(format!("{column} GLOB '*[^ -~]*'")),
        _ => Expr::col(column).ne(""),
    }
}

fn composed(text: &str) -> String {
    text.nfc().take(KEY as usize).collect()
}
