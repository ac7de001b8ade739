//! Messages to devices.

use bytes::Bytes;

use super::clock::Timestamp;

/// A message for a device, as it lies in the outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Given once; a later one is larger.
    pub id: u64,
    pub topic: String,
    pub payload: Bytes,
    pub retain: bool,
    /// After this it must not go out any more: it is no longer wanted.
    pub until: Option<Timestamp>,
}
