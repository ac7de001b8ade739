//! Columns for filters and order of lists of twins.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "devices")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub number: i64,
    pub id: String,
    pub serial_number: String,
    /// The display name: its name, or its id while it has none.
    pub name: String,
    #[sea_orm(column_name = "type")]
    pub device_type: String,
    pub group_id: String,
    pub status: String,
    pub mode: String,
    pub claimed: bool,
    pub last_seen: i64,
    pub created_at: i64,
    pub updated_at: i64,
    /// See `select::search_text`.
    pub search: String,
    /// The time of its next deadline of its own.
    pub wake_at: Option<i64>,
    /// After how many ms of silence it counts as offline, while it is online.
    pub silence_ms: Option<i64>,
    /// The time since which it differs from the desired state.
    pub drifting_since: Option<i64>,
    /// The id of its template, where it has one.
    pub template: Option<String>,
    pub lifecycle: String,
    /// See `select::ordered`.
    pub id_order: String,
    pub name_order: String,
    /// Empty where it has no token.
    pub token_hash: String,
    /// Of the token before, while it counts; else empty.
    pub old_token_hash: String,
    /// The fingerprint of the certificate that is bound to it; empty where none is.
    pub certificate: String,
    /// The end of that certificate, where it is known.
    pub certificate_end: Option<i64>,
    /// Empty where it has no owner.
    pub owner_id: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
