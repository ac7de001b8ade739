//! Devices in the order in which people read them (`climate-2` before `climate-10`), found however an `ü` is written,
//! and found by their tokens: columns to sort and to look up by, and the text that a search looks into in its composed
//! form.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::TryGetable as _;
use unicode_normalization::UnicodeNormalization as _;

use crate::columns::{KEY, key};

/// Devices that are brought into the new form with one question.
const AT_ONCE: i64 = 1_000;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for column in ["id_order", "name_order"] {
            let column = key(column, KEY).default("").take();
            manager.alter_table(Table::alter().table("devices").add_column(column).take()).await?;
        }
        let token = key("token_hash", KEY).default("").take();
        manager.alter_table(Table::alter().table("devices").add_column(token).take()).await?;
        fill(manager).await?;
        fill_tokens(manager).await?;
        let by_token = Index::create().name("devices_token_hash").table("devices").col("token_hash").take();
        manager.create_index(by_token).await?;
        for (name, column) in [("devices_id_order", "id_order"), ("devices_name_order", "name_order")] {
            let index = Index::create().name(name).table("devices").col(column).col("number").take();
            manager.create_index(index).await?;
        }
        // Nothing is sorted by it any more.
        manager.drop_index(Index::drop().name("devices_name_number").table("devices").to_owned()).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

/// Fills the columns of the devices that are there.
async fn fill(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let sql = manager.get_connection();
    let mut after = i64::MIN;
    loop {
        let some = Query::select()
            .columns(["number", "id", "name", "search"])
            .from("devices")
            .and_where(Expr::col("number").gt(after))
            .order_by("number", Order::Asc)
            .limit(AT_ONCE.unsigned_abs())
            .to_owned();
        let rows = sql.query_all(&some).await?;
        if rows.is_empty() {
            return Ok(());
        }
        for row in rows {
            let number: i64 = row.try_get("", "number")?;
            let text = |column: &str| String::try_get(&row, "", column);
            let mut update = Query::update()
                .table("devices")
                .value("id_order", order_key(&text("id")?))
                .value("name_order", order_key(&text("name")?))
                .and_where(Expr::col("number").eq(number))
                .to_owned();
            let search = text("search")?;
            if !search.is_ascii() {
                // It does not become longer by this.
                update.value("search", search.nfc().collect::<String>());
            }
            sql.execute(&update).await?;
            after = number;
        }
    }
}

/// Tokens were in the twins' states alone.
async fn fill_tokens(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let hash = "(SELECT json_extract(state, '$.profile.more.token_hash') FROM twins WHERE twins.number = devices.number)";
    let update = Query::update()
        .table("devices")
        .value("token_hash", Expr::cust(format!("COALESCE({hash}, '')")))
        .to_owned();
    manager.exec_stmt(update).await
}

/// As the program made it when this step was made: numbers with how many digits they have before them.
fn order_key(text: &str) -> String {
    let text: String = text.nfc().collect();
    let mut key = String::with_capacity(text.len() + 4);
    let mut digits = String::new();
    let mut is_number = false;
    let end = |key: &mut String, digits: &mut String| {
        let number = digits.trim_start_matches('0');
        match number.len() {
            few @ 0..=8 => key.push_str(&few.to_string()),
            many => key.push_str(&format!("9{:03}", many.min(999))),
        }
        key.push_str(number);
        digits.clear();
    };
    for character in text.chars() {
        if character.is_ascii_digit() {
            is_number = true;
            digits.push(character);
            continue;
        }
        if std::mem::take(&mut is_number) {
            end(&mut key, &mut digits);
        }
        key.push(character);
    }
    if is_number {
        end(&mut key, &mut digits);
    }
    key.chars().take(KEY as usize).collect()
}
