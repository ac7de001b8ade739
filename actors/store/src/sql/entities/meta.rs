//! A number that must outlive the rows it came from.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, DeriveEntityModel)]
#[sea_orm(table_name = "meta")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub name: String,
    pub value: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// All events up to this `seq` are compacted: in chunks, and folded into the twins' rows.
pub const ORDERED_SEQ: &str = "ordered_seq";
/// The largest id of an outgoing message ever given.
pub const OUTGOING: &str = "outgoing";
/// The largest number of a device whose tombstone is gone.
pub const FORGOTTEN_NUMBER: &str = "forgotten_number";
/// The place in the sequence up to which the engine of rules has come,
pub const AUTOMATION_SEQ: &str = "automation_seq";
/// and its time.
pub const AUTOMATION_TIME: &str = "automation_time";
/// By how many ms the clock is ahead of the time that is believed,
pub const CLOCK_AHEAD: &str = "clock_ahead";
/// and for how many ms of running that has been doubted.
pub const CLOCK_DOUBTED: &str = "clock_doubted";
/// The time of the last look for layers of templates that are not used any more.
pub const LAYERS_LOOKED_AT: &str = "layers_looked_at";
/// The largest `seq` of a run ever given.
pub const RUN_SEQ: &str = "run_seq";
/// Identifies the key that seals secrets.
pub const KEY_CHECK: &str = "key_check";
/// All rows of the journal up to this `seq` are packed into blocks.
pub const PACKED_SEQ: &str = "packed_seq";
/// The chunks of all devices up to this number are as `history` writes them.
pub const SEALED_DEVICE: &str = "sealed_device";
