//! A command, as far as it has come.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, DeriveEntityModel)]
#[sea_orm(table_name = "commands")]
pub struct Model {
    /// The 16 bytes of its UUID.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Vec<u8>,
    pub device: i64,
    pub device_id: String,
    #[sea_orm(column_name = "type")]
    pub command_type: String,
    pub status: String,
    /// The part of it that is looked up by.
    pub idempotency_key: Option<String>,
    pub created_at: i64,
    /// The command in its serde form, JSON.
    pub body: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
