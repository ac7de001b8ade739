//! Bits in bytes, the lowest of each byte first.

/// More bits than this are not looked at in one step: those of a word behind a place within its first byte.
pub const WINDOW: u32 = 57;

/// Writes numbers of any width.
#[derive(Default)]
pub struct BitWriter {
    out: Vec<u8>,
    held: u64,
    /// Bits in `held`: below 64.
    filled: u32,
}

/// Reads what [`BitWriter`] wrote. Beyond the end are zeros, see [`BitReader::is_beyond`].
pub struct BitReader<'a> {
    bytes: &'a [u8],
    /// The place, in bits.
    at: usize,
}

impl BitWriter {
    /// Writes a `value` of up to `width` bits, 64 at most.
    pub fn put(&mut self, value: u64, width: u32) {
        self.held |= value.checked_shl(self.filled).unwrap_or_default();
        let room = u64::BITS - self.filled;
        if width < room {
            self.filled += width;
            return;
        }
        self.out.extend(self.held.to_le_bytes());
        self.held = value.checked_shr(room).unwrap_or_default();
        self.filled = width - room;
    }

    pub fn finish(mut self) -> Vec<u8> {
        let bytes = self.filled.div_ceil(8) as usize;
        self.out.extend(&self.held.to_le_bytes()[..bytes]);
        self.out
    }
}

impl<'a> BitReader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The next [`WINDOW`] bits, and some more above them.
    pub fn window(&self) -> u64 {
        let rest = self.bytes.get(self.at / 8..).unwrap_or_default();
        let word = match rest.first_chunk::<8>() {
            Some(word) => u64::from_le_bytes(*word),
            None => {
                let mut word = [0; 8];
                word[..rest.len()].copy_from_slice(rest);
                u64::from_le_bytes(word)
            }
        };
        word >> (self.at % 8)
    }

    /// Goes on by `width` bits.
    pub fn skip(&mut self, width: u32) {
        self.at += width as usize;
    }

    /// Reads a number of `width` bits, 64 at most.
    pub fn get(&mut self, width: u32) -> u64 {
        if width <= WINDOW {
            let value = self.window() & mask(width);
            self.skip(width);
            return value;
        }
        let low = self.get(32);
        low | self.get(width - 32) << 32
    }

    /// Was more read than there is?
    pub fn is_beyond(&self) -> bool {
        self.at > self.bytes.len() * 8
    }
}

/// The lowest `width` bits, 63 at most.
pub fn mask(width: u32) -> u64 {
    (1 << width) - 1
}
