//! A request outward, on its way or done.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, DeriveEntityModel)]
#[sea_orm(table_name = "deliveries")]
pub struct Model {
    /// The 16 bytes of its UUID.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Vec<u8>,
    pub run: Vec<u8>,
    pub status: String,
    pub created_at: i64,
    pub ended_at: Option<i64>,
    /// The record in its serde form, JSON.
    pub body: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
