//! The stored state of a rule beside its file.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, DeriveEntityModel)]
#[sea_orm(table_name = "rules")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// The rule as it was sent, JSON; empty where its text is in a file.
    pub body: String,
    /// The switch that people have set; none: as the rule's own text has it.
    pub enabled: Option<bool>,
    /// The author of the text, JSON; none: the rule acts as the hub.
    pub author: Option<String>,
    pub created_at: i64,
    pub updated_at: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
