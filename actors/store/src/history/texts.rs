//! The texts of a stretch, each once: names, units, topics, values.
//!
//! ```text
//! texts = count [length* size form packed_size bytes]     form: PLAIN or DEFLATED (RFC 1951)
//! ```

use std::borrow::Cow;
use std::io::Read as _;

use ahash::AHashMap;
use flate2::Compression;
use flate2::read::{DeflateDecoder, DeflateEncoder};

use crate::codec::CodecError;
use crate::codec::bytes::{ByteReader, put_varint};

const PLAIN: u8 = 0;
const DEFLATED: u8 = 1;
/// Fewer bytes are not worth a try.
const WORTH_PACKING: usize = 96;
/// The text of one stretch's events, spelled out: as much as in a row-wise body.
const MOST_TEXT: usize = 1 << 30;

/// Gathers texts in the order of their first use.
#[derive(Default)]
pub struct TextTable<'a> {
    indexes: AHashMap<Cow<'a, str>, usize>,
    in_order: Vec<Cow<'a, str>>,
}

/// The texts of a stretch that is read.
pub struct Texts {
    all: String,
    ends: Vec<usize>,
    left: usize,
}

impl<'a> TextTable<'a> {
    /// The text's place.
    pub fn index(&mut self, text: impl Into<Cow<'a, str>>) -> usize {
        let text = text.into();
        if let Some(index) = self.indexes.get(&text) {
            return *index;
        }
        let index = self.in_order.len();
        self.indexes.insert(text.clone(), index);
        self.in_order.push(text);
        index
    }

    pub fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, self.in_order.len() as u64);
        if self.in_order.is_empty() {
            return;
        }
        for text in &self.in_order {
            put_varint(out, text.len() as u64);
        }
        put_packed(out, self.in_order.concat().as_bytes());
    }
}

impl Texts {
    pub fn get(bytes: &mut ByteReader<'_>) -> Result<Self, CodecError> {
        let count = bytes.count()?;
        let (mut ends, mut end) = (Vec::with_capacity(count), 0usize);
        for _ in 0..count {
            let length = usize::try_from(bytes.varint()?).unwrap_or(usize::MAX);
            end = end.saturating_add(length);
            ends.push(end);
        }
        let all = if count == 0 { Vec::new() } else { packed(bytes)? };
        let all = String::from_utf8(all).map_err(|_| CodecError::Nonsense("a text is not UTF-8"))?;
        if all.len() != end || !ends.iter().all(|end| all.is_char_boundary(*end)) {
            return Err(CodecError::Nonsense("texts are not as long as is said"));
        }
        Ok(Self { all, ends, left: MOST_TEXT })
    }

    /// The text at this place.
    pub fn text(&self, index: u64) -> Result<&str, CodecError> {
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        let end = self.ends.get(index).ok_or(CodecError::Nonsense("there is no such text"))?;
        let start =
            index.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or_default();
        Ok(self.all.get(start..*end).unwrap_or_default()) // as checked
    }

    /// Notes that a text of this length is spelled out.
    pub fn spend(&mut self, length: usize) -> Result<(), CodecError> {
        let left = self.left.checked_sub(length).ok_or(CodecError::Nonsense("there is too much text"))?;
        self.left = left;
        Ok(())
    }
}

/// Writes bytes packed, where that makes them fewer.
pub fn put_packed(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    let mut packed = Vec::new();
    // In memory nothing fails; where it did, the bytes would stay as they are.
    let is_packed = bytes.len() >= WORTH_PACKING
        && DeflateEncoder::new(bytes, Compression::default()).read_to_end(&mut packed).is_ok()
        && packed.len() < bytes.len();
    let (form, written) = if is_packed { (DEFLATED, packed.as_slice()) } else { (PLAIN, bytes) };
    out.push(form);
    put_varint(out, written.len() as u64);
    out.extend(written);
}

/// Reads what [`put_packed`] wrote. Deflate makes a byte of some thousand at most, so it takes no memory that is beyond
/// all measure of its input.
pub fn packed(bytes: &mut ByteReader<'_>) -> Result<Vec<u8>, CodecError> {
    const NONSENSE: CodecError = CodecError::Nonsense("packed bytes cannot be unpacked");
    let size = bytes.varint()?;
    let form = bytes.byte()?;
    let length = bytes.count()?;
    let written = bytes.take(length)?;
    let unpacked = match form {
        PLAIN => written.to_vec(),
        DEFLATED if size <= MOST_TEXT as u64 => {
            let mut unpacked = Vec::new();
            let mut decoder = DeflateDecoder::new(written).take(size + 1);
            decoder.read_to_end(&mut unpacked).map_err(|_| NONSENSE)?;
            unpacked
        }
        _ => return Err(NONSENSE),
    };
    if unpacked.len() as u64 == size { Ok(unpacked) } else { Err(NONSENSE) }
}
