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
//!
//! # Size
//!
//! Bytes a reading, of a day of one device (8,640 messages), with all that an event keeps unless it says otherwise. The
//! shared work is that of a thousand devices that send three readings with one decimal every 10 s, up to 40 ms early or
//! late.
//!
//! | | temperature | power meter | GPS track | shared work |
//! |---|--:|--:|--:|--:|
//! | row by row, chunks of 256 messages (until now) | 22.3 | 12.2 | 12.4 | 11.4 |
//! | Gorilla, a series each: times and values alone | 2.34 | 6.76 | 7.33 | 6.09 |
//! | Parquet with zstd, the day in one file; without identities | 2.44 | 2.15 | 4.35 | – |
//! | the same, files of 1,024 messages | 3.86 | 3.49 | 5.13 | – |
//! | pcodec, a column each, the day; without identities | 1.98 | 1.26 | 1.43 | – |
//! | **here**, chunks of 64 messages | 3.54 | 1.94 | 2.13 | 1.81 |
//! | **here**, chunks of 256 | 2.18 | 1.33 | 1.47 | 1.14 |
//! | **here**, chunks of 1,024 | 1.83 | 1.17 | 1.30 | 0.97 |
//! | **here**, the day in one chunk | 1.71 | 1.12 | 1.25 | 0.92 |
//! | a summary, for chunks of 1,024 | 0.08 | 0.07 | 0.07 | 0.06 |
//!
//! The journal of the shared work takes 3.43 bytes a reading in blocks of 256 events, 1.51 of 4,096, 1.11 of 16,384 and 1.00
//! of 65,536 (row by row: 12.9 to 26.2). Most of what is left are the times: jitter of 40 ms is 7 bits a message.
//!
//! Measured with `examples/history_codec` (the generator, Gorilla and this), pyarrow 26.0.1 (`parquet.py` there: zstd level 9,
//! `DELTA_BINARY_PACKED` for times, `BYTE_STREAM_SPLIT` for values, the best of two ways) and pcodec 1.1.0. Gorilla, Parquet
//! and pcodec keep doubles: they do not tell `23.50` from `23.5`. More than 1,024 messages in a chunk save little, and cost
//! whoever reads one moment more.
//!
//! Zstd (level 9) over a day's chunk saves nothing of the temperature and the track and 4 % of the power meter, and 8 % of a
//! block of 16,384 events: bits of Rice's code are as good as noise, and the program does without. Texts are packed with
//! deflate, which it has for HTTP.
//!
//! # Speed
//!
//! One core (2 cores that others used too; the time of the thread alone) reads 21 to 33 million values a second of one series
//! out of chunks of 1,024 messages ([`decode_numbers`]), 17 to 29 out of such of 256, 4 to 6 million readings as whole
//! messages (row by row: 4 to 8), and writes 2 to 4 million with their summaries.

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
