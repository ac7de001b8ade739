//! History as bytes: sealed chunks of one device's messages with their summaries, and blocks of the journal.
//!
//! Pure: bytes in, bytes out. A chunk's body and a block begin with a byte that no row-wise body of [`crate::codec`]
//! begins with, and both readers here read those too.
//!
//! ```text
//! chunk   = 0xc1 messages checksum          see `messages`; the checksum is that of a row-wise body
//! block   = 0xb1 messages others checksum   others: the events that are no telemetry, row by row, packed
//! summary = 0xa1 …                          see `summary`
//! ```

mod bits;
mod block;
mod chunk;
mod identity;
mod integers;
mod messages;
mod numbers;
mod senders;
mod series;
mod summary;
mod sums;
#[cfg(test)]
mod tests;
mod texts;
mod times;

pub use block::{block_texts, decode_block, decode_block_log, encode_block};
pub use chunk::{SealedChunk, decode_chunk, decode_numbers, encode_chunk};
pub use messages::NumberColumn;
pub use summary::{Edge, NumberSummary, SeriesSummary, Summary};
pub use sums::NumberSums;

use crate::codec::CodecError;
use crate::codec::bytes::checksum;

/// The first bytes: the versions of these forms. Row-wise bodies begin with a small number, that of their version.
const CHUNK: u8 = 0xc1;
const BLOCK: u8 = 0xb1;
const SUMMARY: u8 = 0xa1;

/// Puts the checksum behind what is written.
fn close(mut bytes: Vec<u8>) -> Vec<u8> {
    let sum = checksum(&bytes);
    bytes.extend(sum.to_le_bytes());
    bytes
}

/// The content of bytes that begin with `version` and end with their checksum.
fn open(bytes: &[u8], version: u8) -> Result<&[u8], CodecError> {
    let (checked, sum) = bytes.split_last_chunk::<8>().ok_or(CodecError::Short)?;
    let (first, content) = checked.split_first().ok_or(CodecError::Short)?;
    if *first != version {
        return Err(CodecError::Version(*first));
    }
    if checksum(checked) != u64::from_le_bytes(*sum) {
        return Err(CodecError::Checksum);
    }
    Ok(content)
}
