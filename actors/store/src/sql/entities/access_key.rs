//! A key of a user or of a service account.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, DeriveEntityModel)]
#[sea_orm(table_name = "access_keys")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// Three letters: `pat`.
    pub kind: String,
    /// The 16 bytes of its user's UUID; none: a service account's.
    pub owner: Option<Vec<u8>>,
    pub hash: Vec<u8>,
    pub last_4: String,
    pub name: String,
    pub role: String,
    /// JSON.
    pub scope: String,
    pub created_at: i64,
    pub expires_at: i64,
    pub last_used_at: Option<i64>,
    pub last_address: Option<String>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
