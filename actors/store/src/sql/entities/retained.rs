//! The last retained message of a topic at the embedded broker.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, DeriveEntityModel)]
#[sea_orm(table_name = "retained")]
pub struct Model {
    /// The 32 bytes of the topic's SHA-256.
    #[sea_orm(primary_key, auto_increment = false)]
    pub topic_hash: Vec<u8>,
    pub topic: String,
    pub payload: Vec<u8>,
    pub qos: i16,
    pub properties: Vec<u8>,
    pub stored_at: i64,
    pub expires_at: Option<i64>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
