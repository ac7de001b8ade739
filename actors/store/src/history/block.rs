//! Blocks: stretches of the journal, of all devices and kinds of events.
//!
//! ```text
//! content = messages size form packed_size others
//! ```
//! Telemetry lies column by column in the order of its devices, the other events lie row by row. Both are put into one
//! order again when they are read, so a block is read as a whole: a few thousand events are a few milliseconds.

use super::texts::{packed, put_packed};
use super::{BLOCK, close, messages, open};
use crate::codec::bytes::ByteReader;
use crate::codec::{self, CodecError};
use crate::layers::LayerCache;
use twinhub_domain::{EventBody, Recorded};

/// Writes the events of many batches, in the order of their `seq`. The names of layers come from `layers`.
#[must_use]
pub fn encode_block(events: &[&Recorded], layers: &LayerCache) -> Vec<u8> {
    let is_telemetry = |recorded: &&Recorded| matches!(recorded.event.body, EventBody::Telemetry { .. });
    let (mut telemetry, others): (Vec<&Recorded>, Vec<&Recorded>) =
        events.iter().copied().partition(is_telemetry);
    if !messages::fit(&telemetry) {
        return codec::encode(events.iter().copied(), layers);
    }
    // A device's messages in the order of the sequence: what came late is rare.
    telemetry.sort_by_key(|recorded| (recorded.event.number, recorded.seq));
    let mut block = vec![BLOCK];
    messages::put(&mut block, &telemetry);
    put_packed(&mut block, &codec::encode(others, layers));
    close(block)
}

/// Reads the events of a block with `after < seq`, in order: as [`encode_block`] writes it, or as [`crate::codec`] does.
///
/// # Errors
/// Says why the bytes are no events; nothing of them is used then.
pub fn decode_block(block: &[u8], after: u64, layers: &LayerCache) -> Result<Vec<Recorded>, CodecError> {
    let mut events = if block.first() == Some(&BLOCK) {
        let mut bytes = ByteReader(open(block, BLOCK)?);
        let mut events = messages::get(&mut bytes)?;
        events.extend(codec::decode(&packed(&mut bytes)?, layers)?);
        events.sort_by_key(|recorded| recorded.seq);
        events
    } else {
        codec::decode(block, layers)?
    };
    events.retain(|event| event.seq > after);
    Ok(events)
}

/// The events of a block that are no telemetry, in order: the others are not read.
///
/// # Errors
/// Says why the bytes are no events; nothing of them is used then.
pub fn decode_block_log(block: &[u8], layers: &LayerCache) -> Result<Vec<Recorded>, CodecError> {
    match others(block)? {
        Some(others) => codec::decode(&others, layers),
        None => {
            let mut events = codec::decode(block, layers)?;
            events.retain(|recorded| !matches!(recorded.event.body, EventBody::Telemetry { .. }));
            Ok(events)
        }
    }
}

/// The texts of a block's events other than telemetry, each once or more: the names of layers are among them.
///
/// # Errors
/// Says why the bytes are no events.
pub fn block_texts(block: &[u8]) -> Result<Vec<Box<str>>, CodecError> {
    let others = others(block)?;
    let texts = codec::texts(others.as_deref().unwrap_or(block))?;
    Ok(texts.into_iter().map(Into::into).collect())
}

/// The row-wise part of a block; none where all of it is row-wise.
fn others(block: &[u8]) -> Result<Option<Vec<u8>>, CodecError> {
    if block.first() != Some(&BLOCK) {
        return Ok(None);
    }
    let mut bytes = ByteReader(open(block, BLOCK)?);
    messages::pass(&mut bytes)?;
    packed(&mut bytes).map(Some)
}
