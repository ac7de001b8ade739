//! A stretch of one device's readings.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, DeriveEntityModel)]
#[sea_orm(table_name = "chunks")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub device: i64,
    /// The earliest `at` in it; all are of one day (UTC).
    #[sea_orm(primary_key, auto_increment = false)]
    pub first_at: i64,
    /// The smallest `seq` in it.
    #[sea_orm(primary_key, auto_increment = false)]
    pub first_seq: i64,
    pub last_at: i64,
    pub last_seq: i64,
    /// Messages in it.
    pub count: i64,
    /// Its events by time, as `codec` writes them, where an earlier version made it; empty otherwise.
    pub body: Vec<u8>,
    /// As `history` writes it. It stands before the content, which may go on to other pages.
    pub summary: Option<Vec<u8>>,
    /// Its events by time, as `history` writes them.
    pub sealed: Option<Vec<u8>>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
