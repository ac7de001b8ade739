//! The engine's state for one rule and one device.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, DeriveEntityModel)]
#[sea_orm(table_name = "scopes")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub rule: String,
    /// 0 for none.
    #[sea_orm(primary_key, auto_increment = false)]
    pub device: i64,
    /// The rule's, its 64 bits as a signed number.
    pub fingerprint: i64,
    /// The state, JSON.
    pub body: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
