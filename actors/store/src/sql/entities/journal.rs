//! A group commit's events, whole.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, DeriveEntityModel)]
#[sea_orm(table_name = "journal")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub first_seq: i64,
    pub last_seq: i64,
    /// The time of the commit, in ms since the epoch.
    pub at: i64,
    /// The earliest and the latest `at` of its events: a search by time passes over the others unread.
    pub first_at: i64,
    pub last_at: i64,
    /// All its events, as `codec` writes them.
    pub body: Vec<u8>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
