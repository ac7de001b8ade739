//! Chunks: stretches of one device's messages, column by column.

use super::Summary;
use crate::codec::{self, CodecError};
use crate::layers::LayerCache;
use twinhub_domain::Recorded;

/// A chunk as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedChunk {
    /// The messages, for [`decode_chunk`].
    pub body: Vec<u8>,
    /// What is known of them without the body, for [`Summary::decode`].
    pub summary: Vec<u8>,
}

/// Writes telemetry, in the order given.
#[must_use]
pub fn encode_chunk(messages: &[&Recorded]) -> SealedChunk {
    let body = codec::encode(messages.iter().copied(), &LayerCache::default()); // readings name no layers
    SealedChunk { body, summary: Summary::of(messages).encode() }
}

/// Reads the body of a chunk: as [`encode_chunk`] writes it, or as [`crate::codec`] does.
///
/// # Errors
/// Says why the bytes are no messages; nothing of them is used then.
pub fn decode_chunk(body: &[u8]) -> Result<Vec<Recorded>, CodecError> {
    codec::decode(body, &LayerCache::default())
}
