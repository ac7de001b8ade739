//! A session of a user.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, DeriveEntityModel)]
#[sea_orm(table_name = "sessions")]
pub struct Model {
    /// The 16 bytes of its UUID.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Vec<u8>,
    /// The SHA-256 of its token.
    pub hash: Vec<u8>,
    /// The 16 bytes of its user's UUID.
    pub user: Vec<u8>,
    pub created_at: i64,
    pub last_seen: i64,
    pub address: String,
    pub agent: String,
    /// It is shown by JSON web tokens.
    pub by_web_tokens: bool,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
