//! A twin's state.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, DeriveEntityModel)]
#[sea_orm(table_name = "twins")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub number: i64,
    /// The state is as it was after this event; later ones are to be folded onto it.
    pub seq: i64,
    /// All its readings up to this `seq` are in chunks.
    pub ordered_seq: i64,
    /// The twin in its serde form, JSON.
    pub state: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
