//! History as bytes: sealed chunks of one device's messages with their summaries, and blocks of the journal.
//!
//! Pure: bytes in, bytes out. A chunk's body and a block begin with a byte that no row-wise body of [`crate::codec`]
//! begins with, and both readers here read those too.

mod block;
mod chunk;
mod summary;

pub use block::{block_texts, decode_block, encode_block};
pub use chunk::{SealedChunk, decode_chunk, encode_chunk};
pub use summary::{SeriesSummary, Summary};
