//! A key that is bound to one purpose.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, DeriveEntityModel)]
#[sea_orm(table_name = "bound_keys")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// Three letters: `dvp`.
    pub kind: String,
    pub hash: Vec<u8>,
    pub last_4: String,
    pub name: String,
    /// The 16 bytes of the UUID of the user who made it.
    pub owner: Option<Vec<u8>>,
    /// JSON.
    pub purpose: String,
    pub created_at: i64,
    pub expires_at: Option<i64>,
    pub uses: i64,
    pub most_uses: Option<i64>,
    pub last_used_at: Option<i64>,
    pub last_address: Option<String>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
