//! Blocks: stretches of the journal, of all devices and kinds of events.

use crate::codec::{self, CodecError};
use crate::layers::LayerCache;
use twinhub_domain::Recorded;

/// Writes the events of many batches, in the order of their `seq`. The names of layers come from `layers`.
#[must_use]
pub fn encode_block(events: &[&Recorded], layers: &LayerCache) -> Vec<u8> {
    codec::encode(events.iter().copied(), layers)
}

/// Reads the events of a block with `after < seq`, in order: as [`encode_block`] writes it, or as [`crate::codec`] does.
///
/// # Errors
/// Says why the bytes are no events; nothing of them is used then.
pub fn decode_block(block: &[u8], after: u64, layers: &LayerCache) -> Result<Vec<Recorded>, CodecError> {
    let mut events = codec::decode(block, layers)?;
    events.retain(|event| event.seq > after);
    Ok(events)
}

/// The texts of a block's events other than telemetry, each once or more: the names of layers are among them.
///
/// # Errors
/// Says why the bytes are no events.
pub fn block_texts(block: &[u8]) -> Result<Vec<Box<str>>, CodecError> {
    Ok(codec::texts(block)?.into_iter().map(Into::into).collect())
}
