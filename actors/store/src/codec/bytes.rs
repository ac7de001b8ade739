//! Varints, decimals and the checksum.

use super::CodecError;
use twinhub_domain::fingerprint::Fingerprint;

/// Longer decimals do not fit a `u64` for certain, and are kept as text.
const MOST_DIGITS: usize = 19;

pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

pub fn put_signed(out: &mut Vec<u8>, value: i64) {
    put_varint(out, (value.cast_unsigned() << 1) ^ (value >> 63).cast_unsigned());
}

pub fn checksum(bytes: &[u8]) -> u64 {
    Fingerprint::default().field(bytes).value()
}

/// A decimal number: `digits` with the point `scale` places from the right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decimal {
    pub negative: bool,
    pub digits: u64,
    pub scale: u8,
}

impl Decimal {
    /// The decimal that is written exactly as `text`, if there is one: no exponent, no leading zeros.
    pub fn exactly(text: &str) -> Option<Self> {
        let (negative, unsigned) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        let leading_zero = whole.len() > 1 && whole.starts_with('0');
        let empty = whole.is_empty() || (fraction.is_empty() && unsigned.len() != whole.len());
        if empty || leading_zero || whole.len() + fraction.len() > MOST_DIGITS {
            return None;
        }
        let mut digits = 0u64;
        for byte in whole.bytes().chain(fraction.bytes()) {
            if !byte.is_ascii_digit() {
                return None;
            }
            digits = digits.checked_mul(10)?.checked_add(u64::from(byte - b'0'))?;
        }
        Some(Self { negative, digits, scale: u8::try_from(fraction.len()).ok()? })
    }

    /// Writes it as [`Decimal::exactly`] reads it.
    pub fn write(self, out: &mut String) {
        let scale = usize::from(self.scale);
        let mut buffer = [b'0'; 64];
        let mut at = buffer.len();
        let mut rest = self.digits;
        while rest > 0 || buffer.len() - at <= scale {
            at -= 1;
            // One decimal digit.
            buffer[at] = b'0' + (rest % 10).to_le_bytes()[0];
            rest /= 10;
        }
        if self.negative {
            out.push('-');
        }
        for (place, byte) in buffer[at..].iter().enumerate() {
            if scale > 0 && place == buffer.len() - at - scale {
                out.push('.');
            }
            out.push(char::from(*byte));
        }
    }
}

/// Reads bytes from the front, and never beyond their end.
pub struct ByteReader<'a>(pub &'a [u8]);

impl<'a> ByteReader<'a> {
    pub fn left(&self) -> usize {
        self.0.len()
    }

    pub fn byte(&mut self) -> Result<u8, CodecError> {
        let (first, rest) = self.0.split_first().ok_or(CodecError::Short)?;
        self.0 = rest;
        Ok(*first)
    }

    pub fn take(&mut self, count: usize) -> Result<&'a [u8], CodecError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(CodecError::Short)?;
        self.0 = rest;
        Ok(taken)
    }

    pub fn varint(&mut self) -> Result<u64, CodecError> {
        let mut value = 0u64;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte()?;
            let part = u64::from(byte & 0x7f);
            if shift == 63 && part > 1 {
                break;
            }
            value |= part << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(CodecError::Nonsense("a number is longer than 64 bits"))
    }

    pub fn signed(&mut self) -> Result<i64, CodecError> {
        let value = self.varint()?;
        Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    pub fn u64(&mut self) -> Result<u64, CodecError> {
        let (bytes, rest) = self.0.split_first_chunk::<8>().ok_or(CodecError::Short)?;
        self.0 = rest;
        Ok(u64::from_le_bytes(*bytes))
    }

    /// A count of things that take one byte at least, each: never more than there are bytes.
    pub fn count(&mut self) -> Result<usize, CodecError> {
        let count = self.varint()?;
        usize::try_from(count).ok().filter(|count| *count <= self.left()).ok_or(CodecError::Short)
    }
}
