//! A message for a device that no broker has acknowledged yet.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, DeriveEntityModel)]
#[sea_orm(table_name = "outbox")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    pub topic: String,
    pub payload: Vec<u8>,
    pub retain: bool,
    /// After this, in ms since the epoch, it must not go out any more.
    pub until: Option<i64>,
    /// The text of its purpose; none for one that no twin asks about.
    pub purpose: Option<String>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
