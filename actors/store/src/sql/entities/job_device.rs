//! A job's progress with a device.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, DeriveEntityModel)]
#[sea_orm(table_name = "job_devices")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub job: Vec<u8>,
    #[sea_orm(primary_key, auto_increment = false)]
    pub device: i64,
    /// In the job's order, from 0.
    pub place: i64,
    /// As it was when the job was made: the device may be gone.
    pub device_id: String,
    pub state: String,
    pub detail: String,
    pub percent: Option<i16>,
    pub command: Option<Vec<u8>>,
    pub at: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
