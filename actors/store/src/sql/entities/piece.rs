//! A stretch of one device's readings that is still to be merged with others.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, DeriveEntityModel)]
#[sea_orm(table_name = "pieces")]
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
    /// The number of times that its messages have been merged.
    pub level: i64,
    /// Messages in it.
    pub count: i64,
    /// Its events by time, as `history` writes a chunk.
    pub body: Vec<u8>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
