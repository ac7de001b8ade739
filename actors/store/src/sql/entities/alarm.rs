//! An alarm, active or over.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, DeriveEntityModel)]
#[sea_orm(table_name = "alarms")]
pub struct Model {
    /// The 16 bytes of its UUID.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Vec<u8>,
    /// 0 where it is no device's.
    pub device: i64,
    /// The rule that raised it last, or that it is about.
    pub rule: Option<String>,
    #[sea_orm(column_name = "type")]
    pub alarm_type: String,
    /// From 0, the least.
    pub severity: i64,
    pub active: bool,
    pub acknowledged: bool,
    pub raised_at: i64,
    pub cleared_at: Option<i64>,
    /// The alarm in its serde form, JSON.
    pub body: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
