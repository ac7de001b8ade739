//! Twins as rows, and what is common to all that reads and writes rows.

use sea_orm::DbErr;

use super::entities::{device, twin};
use crate::domain::{DeviceNumber, Recorded, Timestamp, Twin};
use crate::store::codec::{self, CodecError};
use crate::store::{StoreError, select};

/// `last_seen` of a twin that was never heard: before everything, in every database.
const NEVER: i64 = i64::MIN;
/// The row of a twin as it is after the event `seq`, its readings in chunks up to `ordered`.
pub fn of_twin(seq: u64, ordered: u64, twin: &Twin) -> Result<twin::Model, StoreError> {
    let state = serde_json::to_string(twin)
        .map_err(|error| StoreError::Failed { operation: "write twin", detail: error.to_string() })?;
    Ok(twin::Model { number: twin.number.0, seq: int(seq), ordered_seq: int(ordered), state })
}

/// What lists know of a twin.
pub fn of_device(twin: &Twin) -> device::Model {
    device::Model {
        number: twin.number.0,
        id: twin.id.as_str().to_owned(),
        serial_number: select::key(&twin.profile.serial_number).to_owned(),
        name: select::key(twin.display_name()).to_owned(),
        device_type: select::key(&twin.profile.device_type).to_owned(),
        group_id: select::key(twin.profile.text("group_id")).to_owned(),
        status: twin.status.as_str().to_owned(),
        mode: twin.mode.as_str().to_owned(),
        claimed: twin.claimed,
        last_seen: twin.last_seen.map_or(NEVER, Timestamp::millis),
        created_at: twin.created_at.millis(),
        updated_at: twin.updated_at.millis(),
        search: select::search_text(twin),
    }
}

/// The twin in a row.
pub fn to_twin(row: &twin::Model) -> Result<Twin, StoreError> {
    serde_json::from_str(&row.state).map_err(|error| StoreError::Damaged {
        operation: "read twin",
        detail: format!("number {}: {error}", row.number),
    })
}

/// The events in a blob; `operation` and `place` are for the error.
pub fn events(operation: &'static str, place: i64, blob: &[u8]) -> Result<Vec<Recorded>, StoreError> {
    codec::decode(blob).map_err(|error: CodecError| StoreError::Damaged {
        operation,
        detail: format!("at {place}: {error}"),
    })
}

/// Databases have no unsigned numbers; nobody counts to 2^63.
pub fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The other way; what is stored was never negative.
pub fn uint(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// A limit or offset: databases take no more than a signed number.
pub fn bound(count: u64) -> u64 {
    uint(int(count))
}

/// The numbers that stand for devices in tables.
pub fn numbers<'a>(devices: impl IntoIterator<Item = &'a DeviceNumber>) -> Vec<i64> {
    devices.into_iter().map(|device| device.0).collect()
}

/// A database's error: nothing was done.
pub fn failed(operation: &'static str) -> impl Fn(DbErr) -> StoreError + Copy {
    move |error| StoreError::Failed { operation, detail: error.to_string() }
}
