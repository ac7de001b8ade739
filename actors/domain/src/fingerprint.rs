//! A stable 64-bit hash of a message's content, by which a repeat of it is known.

/// FNV-1a, 64 bit (Fowler, Noll, Vo: offset basis and prime from draft-eastlake-fnv).
#[derive(Clone, Copy, Debug)]
pub struct Fingerprint(u64);

impl Default for Fingerprint {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fingerprint {
    /// Adds one field. Fields are kept apart: `("ab", "c")` and `("a", "bc")` differ.
    pub fn field(&mut self, bytes: &[u8]) -> &mut Self {
        for byte in bytes.iter().chain(&[0xff]) {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        self
    }

    /// The hash so far, as the tag of a content: 16 digits.
    #[must_use]
    pub fn tag(self) -> Box<str> {
        format!("{:016x}", self.0).into()
    }

    /// The hash so far.
    #[must_use]
    pub fn value(self) -> u64 {
        self.0
    }
}
