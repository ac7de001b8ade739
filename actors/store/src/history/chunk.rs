//! Chunks: stretches of one device's messages.

use super::messages::NumberColumn;
use super::{CHUNK, Summary, close, messages, open, times};
use crate::codec::bytes::ByteReader;
use crate::codec::{self, CodecError};
use crate::layers::LayerCache;
use twinhub_domain::{EventBody, Recorded, Scalar};

/// A chunk as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedChunk {
    /// The messages, for [`decode_chunk`].
    pub body: Vec<u8>,
    /// The knowledge of them without the body, for [`Summary::decode`].
    pub summary: Vec<u8>,
}

/// Writes telemetry, in the order given: the fewest bytes come of messages of one device in the order of their times.
/// Other events, or more than two million messages and readings, are written row by row.
#[must_use]
pub fn encode_chunk(events: &[&Recorded]) -> SealedChunk {
    let body = if messages::fit(events) {
        let mut body = vec![CHUNK];
        messages::put(&mut body, events);
        close(body)
    } else {
        codec::encode(events.iter().copied(), &LayerCache::default()) // readings name no layers
    };
    SealedChunk { body, summary: Summary::of(events).encode() }
}

/// Reads the body of a chunk: as [`encode_chunk`] writes it, or as [`crate::codec`] does.
///
/// # Errors
/// Says why the bytes are no messages; nothing of them is used then.
pub fn decode_chunk(body: &[u8]) -> Result<Vec<Recorded>, CodecError> {
    if body.first() != Some(&CHUNK) {
        return codec::decode(body, &LayerCache::default());
    }
    let mut bytes = ByteReader(open(body, CHUNK)?);
    messages::get(&mut bytes)
}

/// Reads the numbers of the series called `name` out of the body of a chunk, and nothing else of it.
///
/// # Errors
/// Says why the bytes are no messages.
pub fn decode_numbers(body: &[u8], name: &str) -> Result<NumberColumn, CodecError> {
    if body.first() == Some(&CHUNK) {
        return messages::numbers(&mut ByteReader(open(body, CHUNK)?), name);
    }
    let mut found = NumberColumn::default();
    for Recorded { seq, event, .. } in &decode_chunk(body)? {
        let EventBody::Telemetry { readings, .. } = &event.body else { continue };
        for reading in readings.iter().filter(|reading| *reading.name == *name) {
            let value = match &reading.value {
                Scalar::Number(number) => number.as_f64(),
                Scalar::Bool(value) => f64::from(u8::from(*value)),
                Scalar::Text(_) => continue,
            };
            let (at, nanos) = times::split(event.at);
            found.at.push(at);
            found.nanos.push(nanos);
            found.seq.push(*seq);
            found.values.push(value);
        }
    }
    Ok(found)
}
