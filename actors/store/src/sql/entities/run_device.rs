//! A device's part in a run: it fired it, or was acted upon.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, DeriveEntityModel)]
#[sea_orm(table_name = "run_devices")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub run: Vec<u8>,
    /// Never 0: no device has no part in a run.
    #[sea_orm(primary_key, auto_increment = false)]
    pub device: i64,
    /// The beginning of the run, so that an index has a device's runs in their order.
    pub began: i64,
    /// The run's.
    pub seq: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {
    #[sea_orm(belongs_to = "super::run::Entity", from = "Column::Run", to = "super::run::Column::Id")]
    Run,
}

impl Related<super::run::Entity> for Entity {
    fn to() -> RelationDef {
        Relation::Run.def()
    }
}

impl ActiveModelBehavior for ActiveModel {}
