//! Twins and commands as rows, and helpers for all code that reads and writes rows.

use sea_orm::DbErr;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::entities::{command, device, twin};
use crate::codec::CodecError;
use crate::layers::LayerCache;
use crate::{CommandRecord, Deadline, StoreError, history, select};
use twinhub_domain::{DeviceId, DeviceNumber, Recorded, Timestamp, Twin};

/// `last_seen` of a twin that was never heard: before everything, in every database.
const NEVER: i64 = i64::MIN;

/// The row of a twin as it is after the event `seq`, its readings in chunks up to `ordered`.
pub fn of_twin(seq: u64, ordered: u64, twin: &Twin) -> Result<twin::Model, StoreError> {
    let state = json("write twin", twin)?;
    Ok(twin::Model { number: twin.number.0, seq: int(seq), ordered_seq: int(ordered), state })
}

/// The row of a twin for lists.
pub fn of_device(twin: &Twin) -> device::Model {
    let deadline = select::deadline(twin);
    let (wake_at, silence) = deadline.map_or((None, None), |waits| (waits.wake_at, waits.silence));
    device::Model {
        number: twin.number.0,
        id: twin.id.as_str().to_owned(),
        serial_number: select::key(&twin.profile.serial_number).to_owned(),
        name: select::key(twin.display_name()).to_owned(),
        device_type: select::alike(&twin.profile.device_type).into_owned(),
        group_id: select::key(twin.profile.text("group_id")).to_owned(),
        status: twin.presence.status.as_str().to_owned(),
        mode: twin.control.mode.as_str().to_owned(),
        claimed: twin.control.claimed,
        last_seen: twin.presence.last_seen.map_or(NEVER, Timestamp::millis),
        created_at: twin.created_at.millis(),
        updated_at: twin.updated_at.millis(),
        search: select::search_text(twin),
        wake_at: wake_at.map(Timestamp::millis),
        silence_ms: silence.map(|(_, silence)| silence),
        drifting_since: twin.drifting_since().map(Timestamp::millis),
        template: twin.template_id().map(Into::into),
        lifecycle: twin.lifecycle().as_str().to_owned(),
        id_order: select::ordered(twin.id.as_str()),
        name_order: select::ordered(twin.display_name()),
        token_hash: select::key(twin.profile.text("token_hash")).to_owned(),
        old_token_hash: select::key(twin.profile.text("old_token_hash")).to_owned(),
        certificate: select::key(twin.profile.certificate()).to_owned(),
        certificate_end: twin.profile.certificate_end().map(Timestamp::millis),
        owner_id: select::key(twin.profile.text("owner_id")).to_owned(),
    }
}

/// The twin in a row.
pub fn to_twin(row: &twin::Model, layers: &LayerCache) -> Result<Twin, StoreError> {
    let mut twin: Twin = serde_json::from_str(&row.state).map_err(|error| StoreError::Damaged {
        operation: "read twin",
        detail: format!("number {}: {error}", row.number),
    })?;
    twin.settle();
    twin.setup.share_layer(|layer| layers.share(layer)); // a row has it whole: thousands have the same
    Ok(twin)
}

/// The deadline in a twin's row.
pub fn to_deadline(row: &device::Model) -> Result<Deadline, StoreError> {
    let device = device_id("read deadlines", &row.id)?;
    let last_seen = Timestamp::from_millis(row.last_seen);
    Ok(Deadline {
        device,
        number: DeviceNumber(row.number),
        wake_at: row.wake_at.map(Timestamp::from_millis),
        silence: row.silence_ms.map(|silence| (last_seen, silence)),
    })
}

/// The row of a command.
pub fn of_command(record: &CommandRecord) -> Result<command::Model, StoreError> {
    let CommandRecord { device, number, command } = record;
    let body = json("write command", command)?;
    Ok(command::Model {
        id: command.id.0.as_bytes().to_vec(),
        device: number.0,
        device_id: device.as_str().to_owned(),
        command_type: select::key(&command.request.command_type).to_owned(),
        status: command.status.as_str().to_owned(),
        idempotency_key: command.request.idempotency_key.as_deref().map(|key| select::key(key).to_owned()),
        created_at: command.created_at.millis(),
        body,
    })
}

/// The command in a row.
pub fn to_command(row: &command::Model) -> Result<CommandRecord, StoreError> {
    const READ: &str = "read command";
    let device = device_id(READ, &row.device_id)?;
    let command = serde_json::from_str(&row.body).map_err(|error| StoreError::Damaged {
        operation: READ,
        detail: format!("of device {}, asked for at {}: {error}", row.device, row.created_at),
    })?;
    Ok(CommandRecord { device, number: DeviceNumber(row.device), command })
}

/// The id in a row.
pub fn device_id(operation: &'static str, text: &str) -> Result<DeviceId, StoreError> {
    DeviceId::parse(text).map_err(|error| StoreError::Damaged { operation, detail: error.to_string() })
}

/// The serde form of a value.
pub fn json(operation: &'static str, value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Failed { operation, detail: error.to_string() })
}

/// The value in a row; `place` is for the error.
pub fn from_json<T: DeserializeOwned>(
    operation: &'static str,
    place: impl FnOnce() -> String,
    text: &str,
) -> Result<T, StoreError> {
    serde_json::from_str(text)
        .map_err(|error| StoreError::Damaged { operation, detail: format!("{}: {error}", place()) })
}

/// The events in a blob with `after < seq`; `operation` and `place` are for the error.
pub fn events(
    operation: &'static str,
    place: i64,
    blob: &[u8],
    after: u64,
    layers: &LayerCache,
) -> Result<Vec<Recorded>, StoreError> {
    history::decode_block(blob, after, layers).map_err(damaged(operation, place))
}

/// The messages in a chunk or a piece.
pub fn messages(operation: &'static str, place: i64, blob: &[u8]) -> Result<Vec<Recorded>, StoreError> {
    history::decode_chunk(blob).map_err(damaged(operation, place))
}

/// Stored bytes that make no sense.
pub fn damaged(operation: &'static str, place: i64) -> impl Fn(CodecError) -> StoreError + Copy {
    move |error| StoreError::Damaged { operation, detail: format!("at {place}: {error}") }
}

/// Databases have no unsigned numbers; nobody counts to 2^63.
pub fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The other way; stored numbers were never negative.
pub fn uint(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// A limit or offset: databases take no more than a signed number.
pub fn bound(count: u64) -> u64 {
    uint(int(count))
}

/// The numbers of devices in tables.
pub fn numbers<'a>(devices: impl IntoIterator<Item = &'a DeviceNumber>) -> Vec<i64> {
    devices.into_iter().map(|device| device.0).collect()
}

/// A database's error: nothing was done.
pub fn failed(operation: &'static str) -> impl Fn(DbErr) -> StoreError + Copy {
    move |error| StoreError::Failed { operation, detail: error.to_string() }
}
