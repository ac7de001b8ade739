//! A run of a rule, or an evaluation that did not run.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, DeriveEntityModel)]
#[sea_orm(table_name = "runs")]
pub struct Model {
    /// The 16 bytes of its UUID.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Vec<u8>,
    pub rule: String,
    /// The device that fired it; 0 where there is none, or none any more.
    pub device: i64,
    pub began: i64,
    /// Grows with each run, in the order in which they are written first.
    pub seq: i64,
    /// The time of its last change: its end, or when the same was found last.
    pub last_at: i64,
    pub outcome: String,
    /// The run did something: its outcome is not `not_run`.
    pub telling: bool,
    pub parent: Option<Vec<u8>>,
    /// The entry in its serde form, JSON.
    pub body: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
